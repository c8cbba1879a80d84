"""Real PostgreSQL servers of the distribution, each in a directory of its own, reached through a socket there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sojourn.lab.interruption import BrokeOff

USER = "postgres"
"""The role that owns everything in them."""


_MISSING = "no PostgreSQL server is installed; on Debian: apt install postgresql"


def binaries() -> Path | None:
    """Where the newest server is installed."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4].split(".")[0])
    )
    return found[-1].parent if found else None


class DatabaseFailed(BrokeOff):
    """A server or one of its programs did not do what it should; the text says what."""


class Server:
    """One server below `directory`; with `primary` a synchronous standby of that one."""

    def __init__(self, directory: Path, primary: Server | None = None, *, durable: bool = False) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.primary = primary
        self.durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)
        if primary is None:
            self._run("initdb", "-D", self.data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")
        else:
            self._run(
                "pg_basebackup", "-D", self.data, "-h", primary.directory, "-U", USER, "-R", "--no-sync", "-c", "fast"
            )
        self._set(
            listen_addresses="''",
            unix_socket_directories=f"'{directory}'",
            fsync="on" if durable else "off",
            wal_level="replica",
            hot_standby="on",
            wal_retrieve_retry_interval="'100ms'",
            max_connections="50",
            shared_buffers="'32MB'",
        )

    def start(self) -> Server:
        """Until it answers."""
        assert self._process is None
        program = binaries()
        if program is None:
            raise DatabaseFailed(_MISSING)
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_as_owner(), str(program / "postgres"), "-D", str(self.data)],
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        self._wait("pg_isready", "-q", "-h", self.directory)
        return self

    @property
    def running(self) -> bool:
        """Whether it was started and not killed since."""
        return self._process is not None

    def replicate(self, standby: Server) -> None:
        """From now on what is committed is at `standby` too."""
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.sql("SELECT pg_reload_conf()")
        self._wait(
            *("psql", "-h", self.directory, "-U", USER, "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c"),
            "DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync') = 1; END $$",
        )

    def promote(self) -> None:
        """The standby becomes the primary."""
        self.sql("SELECT pg_promote(true)")
        self.sql("ALTER SYSTEM RESET synchronous_standby_names")
        self.sql("SELECT pg_reload_conf()")

    def kill(self) -> None:
        """As a machine that loses its power."""
        if self._process is not None:
            _signal(self._process, signal.SIGKILL)
            self._process = None
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def pause(self, paused: bool) -> None:
        """As a machine that hangs."""
        assert self._process is not None
        _signal(self._process, signal.SIGSTOP if paused else signal.SIGCONT)

    def sql(self, statement: str) -> str:
        """The answer, as psql prints it."""
        return self._run("psql", "-h", self.directory, "-U", USER, "-d", "postgres", "-qAtc", statement)

    def source(self, *others: Server) -> str:
        """A connection string for it, or whichever of `others` may be written to."""
        hosts = ",".join(str(server.directory) for server in (self, *others))
        return f"postgresql:///postgres?user={USER}&host={hosts}&target_session_attrs=read-write"

    def _set(self, **values: str) -> None:
        path = self.data / "postgresql.auto.conf"
        before = path.read_text() if path.exists() else ""
        kept = [line for line in before.splitlines() if line.split("=")[0].strip() in ("primary_conninfo",)]
        path.write_text("\n".join([*kept, *(f"{name} = {value}" for name, value in values.items())]) + "\n")

    def _run(self, program: str, *arguments: str | Path) -> str:
        where = binaries()
        if where is None:
            raise DatabaseFailed(_MISSING)
        command = [*_as_owner(), str(where / program), *map(str, arguments)]
        answer = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
        if answer.returncode:
            raise DatabaseFailed(f"{program}: {' '.join(answer.stderr.split())}")
        return answer.stdout.strip()

    def _wait(self, program: str, *arguments: str | Path) -> None:
        for _ in range(200):
            try:
                self._run(program, *arguments)
            except DatabaseFailed:
                time.sleep(0.05)
            else:
                return
        raise DatabaseFailed(f"{program} waited in vain: {(self.directory / 'log').read_text()[-2000:]}")


@dataclass
class Partition:
    """A server and its standby."""

    primary: Server
    standby: Server

    @property
    def source(self) -> str:
        """For whoever connects."""
        return self.primary.source(self.standby)


@contextmanager
def servers(*, durable: bool = False) -> Iterator[Callable[[Server | None], Server]]:
    """Each call starts a server, or the synchronous standby of one; in the end all are killed and their files removed.

    Raises `DatabaseFailed`.
    """
    directory = Path(tempfile.mkdtemp(prefix="sojourn-"))  # short: the path of a socket has at most 107 octets
    found: list[Server] = []

    def start(primary: Server | None = None) -> Server:
        found.append(Server(directory / f"{len(found)}", primary, durable=durable))
        found[-1].start()
        if primary is not None:
            primary.replicate(found[-1])
        return found[-1]

    try:
        yield start
    finally:
        for server in found:
            server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def partitions(count: int, *, durable: bool = True) -> Iterator[list[Partition]]:
    """Servers, each with a synchronous standby, as long as this lasts. Raises `DatabaseFailed`."""
    with servers(durable=durable) as start:
        primaries = [start(None) for _ in range(count)]
        yield [Partition(primary, start(primary)) for primary in primaries]


def _as_owner() -> Sequence[str]:
    """PostgreSQL refuses to be root: in a namespace of its own it is not, and its files are ours all the same."""
    return ("unshare", "--user", "--map-user=1000", "--map-group=1000") if os.geteuid() == 0 else ()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the server and all its processes."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == process.pid:
                    os.kill(int(entry.name), number)
            except OSError:
                continue  # it ended by itself meanwhile
    process.send_signal(number)
    if number is signal.SIGKILL:
        process.wait()
