"""``/metrics`` and ``/health`` over HTTP, in threads of their own: a reader who is slow keeps nobody waiting.

The event loop is asked for a snapshot (`Figures`), which takes it a moment; making text of it, and everything that a
stranger may do to a connection, happens elsewhere. A loop that does not answer is what ``/health`` is for.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import TimeoutError as NoAnswer
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from sojourn.telemetry.exposition import Exposition
from sojourn.telemetry.figures import Figures

PATIENCE = 5.0
"""Seconds that the event loop has for a snapshot, and a reader for a request."""
READERS = 16
"""Connections at a time; others are turned away."""
BACKLOG = 64
_NOT_FOUND = "there are /metrics and /health\n"


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are no news."""

    def handle(self) -> None:
        with suppress(OSError):  # the reader went away, or is too slow
            super().handle()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = BACKLOG
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._room = threading.BoundedSemaphore(READERS)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Without the look into DNS that the library takes."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """One thread for each, as long as there is room."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In that thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A request that cannot be answered is the reader's trouble."""


class Endpoint:
    """Listens at `address`, from its making on. `take` is called in the event loop.

    Raises OSError when the address is not of this machine, or somebody listens there.
    """

    def __init__(self, address: tuple[str, int], take: Callable[[], Figures]) -> None:
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._exposition = Exposition(self._snapshot)
        self._server = _Server(address)
        self._server.set_app(self._answer)
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Listen no more. Answers under way are not waited for: they may wait for this very thread."""
        if self._thread.is_alive():
            threading.Thread(target=self._server.shutdown, daemon=True).start()
        with suppress(OSError):  # at once: whoever waits for connections holds on to a socket that is closed
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.socket.close()

    def _snapshot(self) -> Figures:
        """Raises NoAnswer (TimeoutError) when the loop has no time for us."""

        async def take() -> Figures:
            return self._take()

        return asyncio.run_coroutine_threadsafe(take(), self._loop).result(PATIENCE)

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            status, kind, body = "405 Method Not Allowed", "text/plain", b"GET or HEAD\n"
        elif path == "/metrics":
            status, kind, body = self._metrics(environ.get("HTTP_ACCEPT", ""))
        elif path in ("/health", "/healthz"):
            status, kind, body = self._health()
        else:
            status, kind, body = "404 Not Found", "text/plain", _NOT_FOUND.encode()
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    def _metrics(self, accept: str) -> tuple[str, str, bytes]:
        try:
            body, kind = self._exposition.render(accept)
        except (NoAnswer, RuntimeError):
            return "503 Service Unavailable", "text/plain", b"the event loop does not answer\n"
        return "200 OK", kind, body

    def _health(self) -> tuple[str, str, bytes]:
        try:
            problems = list(self._snapshot().problems)
        except (NoAnswer, RuntimeError):
            problems = [f"the event loop does not answer within {PATIENCE:g} s"]
        body = json.dumps({"healthy": not problems, "problems": problems}).encode() + b"\n"
        return "503 Service Unavailable" if problems else "200 OK", "application/json", body
