"""A download that can be checked: HTTP from the standard library, content that both ends know.

The content of a download is a pure function of its name, so that the host's end computes what it should be
without hearing it from the server. The server paces what it writes, because a session should last through a
walk, and hashes what it really wrote.
"""

from __future__ import annotations

import hashlib
import http.client
import http.server
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sojourn.lab.namespaces import setns
from sojourn.lab.traffic import FlowRecord

HTTP_PORT = 8080
_BLOCK = 1 << 14
_TICKS_A_SECOND = 20


def content(name: str, octets: int) -> Iterator[bytes]:
    """The content that is called `name`: pseudo-random octets, not for secrets."""
    source = random.Random(name)
    while octets > 0:
        block = source.randbytes(_BLOCK)[:octets]
        octets -= len(block)
        yield block


def digest(name: str, octets: int) -> str:
    """SHA-256 of `content`."""
    sha = hashlib.sha256()
    for block in content(name, octets):
        sha.update(block)
    return sha.hexdigest()


class _Handler(http.server.BaseHTTPRequestHandler):
    """``GET /NAME?octets=N&rate=R``: N octets at R octets a second."""

    protocol_version = "HTTP/1.1"
    server: DownloadServer

    def do_GET(self) -> None:
        """Write the content in small pieces, each at its time."""
        request = urlsplit(self.path)
        query = parse_qs(request.query)
        name, octets, rate = request.path.strip("/"), int(query["octets"][0]), int(query["rate"][0])
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(octets))
        self.end_headers()
        sha = hashlib.sha256()
        try:
            for piece in _paced(content(name, octets), rate):
                sha.update(piece)
                # Before it is written: a client that has the last piece asks for the digest at once.
                self.server.digests[name] = sha.hexdigest()
                self.wfile.write(piece)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


def _paced(blocks: Iterator[bytes], rate: int) -> Iterator[bytes]:
    """The same octets in pieces, no earlier than `rate` octets a second allow."""
    size = max(1, rate // _TICKS_A_SECOND)
    due = time.monotonic()
    rest = b""
    for block in blocks:
        rest += block
        while len(rest) >= size:
            time.sleep(max(0.0, due - time.monotonic()))
            yield rest[:size]
            rest = rest[size:]
            due += size / rate
    yield rest


class DownloadServer(http.server.ThreadingHTTPServer):
    """The HTTP server of a run; make it with the thread inside the server's namespace."""

    address_family = socket.AF_INET6
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: str) -> None:
        super().__init__((address, HTTP_PORT), _Handler)
        self.digests: dict[str, str] = {}
        """SHA-256 of what was written or is about to be, by name."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.5}, daemon=True).start()

    def server_bind(self) -> None:
        """As the library does, without asking a name server who we are."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = str(self.server_address[0]), HTTP_PORT

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is the client's affair; its end of the flow tells."""


class Download:
    """The host's end of a download, in a thread that lives in the host's namespace."""

    def __init__(
        self,
        record: FlowRecord,
        namespace: int,
        server: str,
        rate: int,
        patience: float,
        done: Callable[[], object],
    ) -> None:
        self.record = record
        self._namespace, self._server, self._rate, self._patience = namespace, server, rate, patience
        self._done = done
        self._stopped = False
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def received(self) -> int:
        """Octets so far."""
        return self.record.arrivals[-1][1] if self.record.arrivals else 0

    def stop(self) -> None:
        """Give up at the next octets."""
        self._stopped = True

    def _run(self) -> None:
        record = self.record
        setns(self._namespace)
        try:
            record.outcome = self._fetch()
        except (ConnectionResetError, BrokenPipeError, http.client.HTTPException):
            record.outcome = "reset"
        except TimeoutError:
            record.outcome = "timeout"
        except OSError as error:
            record.outcome = f"refused: {error.strerror}"
        record.ended = time.monotonic_ns()
        self._done()

    def _fetch(self) -> str:
        record, sha, total = self.record, hashlib.sha256(), 0
        connection = http.client.HTTPConnection(
            self._server, HTTP_PORT, timeout=self._patience, source_address=(record.source, 0)
        )
        try:
            record.first_sent = time.monotonic_ns()
            connection.request("GET", f"/{record.flow}?octets={record.octets}&rate={self._rate}")
            response = connection.getresponse()
            record.connected = time.monotonic_ns()
            while block := response.read1(_BLOCK):
                total += len(block)
                sha.update(block)
                record.arrivals.append((time.monotonic_ns(), total))
                if self._stopped:
                    return "stopped"
        finally:
            connection.close()
        record.digest_received = sha.hexdigest()
        record.digest_expected = digest(record.flow, record.octets)
        return "complete" if total == record.octets else "reset"
