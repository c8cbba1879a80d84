"""A way to a PostgreSQL server that can be shut: nothing passes then, and nobody is told so, as in a network."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

_SOCKET = ".s.PGSQL.5432"
_OCTETS = 1 << 16


class Gate:
    """Listens in `directory`, which stands for the server in `behind`, until closed."""

    def __init__(self, directory: Path, behind: Path) -> None:
        self.directory = directory
        self._behind = str(behind / _SOCKET)
        directory.mkdir(parents=True)
        self._loop = asyncio.new_event_loop()
        self._passes = asyncio.Event()
        self._passes.set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="gate", daemon=True)
        self._thread.start()
        self._ready.wait()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def shut(self) -> None:
        """From now on what is sent waits, in either direction."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def open(self) -> None:
        """It goes on."""
        self._loop.call_soon_threadsafe(self._passes.set)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        path = str(self.directory / _SOCKET)
        server = self._loop.run_until_complete(asyncio.start_unix_server(self._connect, path))
        Path(path).chmod(0o777)
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            await self._passes.wait()
            behind, to_behind = await asyncio.open_unix_connection(self._behind)
            await asyncio.gather(self._carry(reader, to_behind), self._carry(behind, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while octets := await reader.read(_OCTETS):
                await self._passes.wait()
                writer.write(octets)
                await writer.drain()
        finally:
            writer.close()
