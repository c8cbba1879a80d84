"""A lab that stays up: a server in the sandbox, which other commands reach over a Unix socket.

``sojourn lab up`` starts ``python -m sojourn.lab.session`` in the background. That process holds a lock on the
session's directory as long as it or anything of its lab lives, so that a name is taken exactly while a lab uses it;
what a killed one left there (a socket, nothing else) the next one replaces.

A request is one line of JSON with a ``verb``, an answer one line with ``ok`` or ``error``. ``exec`` carries the
caller's standard streams along (SCM_RIGHTS): the program inside uses them itself.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, TypeAlias

from sojourn.lab.lab import Lab
from sojourn.lab.namespaces import SandboxUnavailable, sandbox
from sojourn.lab.plain import PlainRouters
from sojourn.lab.quantities import duration
from sojourn.lab.sessions import LOCK, SOCKET, Specification
from sojourn.lab.topology import load
from sojourn.wire.units import SECOND

Request: TypeAlias = dict[str, Any]

_REQUEST_MAX = 1 << 20
_STREAMS = 3
_HANGUP_GRACE = 1.0
_TERMINAL_HELPER = """
import ctypes, fcntl, os, socket, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
CLONE_NEWUTS = 0x04000000
if ctypes.CDLL(None).unshare(CLONE_NEWUTS) == 0:
    socket.sethostname(os.environ["SOJOURN_NODE"])
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Takes the terminal that is its standard input as its own, so that Ctrl-C, Ctrl-Z and job control work in there, and
the node's name as that of its machine, for prompts."""
_NOT_FOUND, _NOT_STARTED = 127, 126
"""Exit statuses of a shell for a command that is not there or cannot be started."""


class _Refused(Exception):
    """The request cannot be carried out; the text is for people."""


class Server:
    """Answers requests about one running lab, each connection in a thread of its own."""

    def __init__(self, lab: Lab, listener: socket.socket, specification: Specification) -> None:
        self._lab = lab
        self._listener = listener
        self._specification = specification
        self._started = time.time()
        self._lock = threading.Lock()
        self._stopped, self._stop = socket.socketpair()

    def serve(self) -> None:
        """Until somebody asks to take the lab down."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._stopped:
                        return
                    connection, _ = self._listener.accept()
                    threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            request, streams = _receive(connection)
            try:
                answer = self._answer(request, streams, connection)
            except _Refused as refusal:
                answer = {"error": str(refusal)}
            except Exception as error:  # a bug in one request does not take the lab down
                print(f"request {request.get('verb')!r} failed: {error!r}", file=sys.stderr, flush=True)
                answer = {"error": f"{type(error).__name__}: {error}"}
            finally:
                for descriptor in streams:
                    os.close(descriptor)
            _send(connection, answer)
            if request.get("verb") == "down":
                self._stop.send(b"!")

    def _answer(self, request: Request, streams: list[int], connection: socket.socket) -> Request:
        match request.get("verb"):
            case "status":
                return self._status()
            case "roam":
                return self._roam(request)
            case "exec":
                return self._execute(request, streams, connection)
            case "down":
                return {"ok": True}
            case verb:
                raise _Refused(f"unknown request {verb!r}")

    def _status(self) -> Request:
        with self._lock:
            nodes = self._lab.status()
        links = [
            {
                "between": list(report.between),
                "delay_ms": report.delay / 1e6,
                "measured_ms": round(report.measured / 1e6, 3),
                "means": report.means,
            }
            for report in self._lab.links
        ]
        return {
            "ok": True,
            "name": self._specification.name,
            "topology": self._lab.topology.name,
            "output": self._specification.output,
            "up_for": round(time.time() - self._started, 1),
            "pid": self._specification.pid,
            "nodes": nodes,
            "links": links,
        }

    def _roam(self, request: Request) -> Request:
        host, router = str(request.get("host")), str(request.get("router"))
        topology = self._lab.topology
        if host not in topology.hosts:
            raise _Refused(f'"{host}" is not a host; there is {", ".join(topology.hosts) or "none"}')
        if router not in (*topology.cells, "-"):
            known = ", ".join(topology.cells) or "none"
            raise _Refused(f'"{router}" is not an access router; there is {known}, and "-" for no cell')
        notice, carrier = bool(request.get("notice", True)), bool(request.get("carrier"))
        outage = duration(request.get("outage", 0)) / SECOND
        with self._lock:
            there = self._lab.air.where(host)
            if there == (None if router == "-" else router) and not carrier and not outage:
                return {"ok": True, "host": host, "from": there, "to": there, "took_ms": 0.0, "moved": False}
            self._lab.mark(f"{host} roams to {router}")
            if request.get("announce") and router != "-" and not self._lab.announce(host, router):
                raise _Refused(f"{there} hands nothing over to {router}; both need handovers in their configuration")
            if router == "-":
                times = self._lab.air.detach(host, notice=notice, carrier=carrier)
            else:
                times = self._lab.air.roam(host, router, outage=outage, notice=notice, carrier=carrier)
        last = times.announced or times.noticed or times.disassociated
        return {
            "ok": True,
            "host": host,
            "from": times.source,
            "to": times.target,
            "took_ms": round((last - times.start) / 1e6, 3),
            "moved": True,
        }

    def _execute(self, request: Request, streams: list[int], connection: socket.socket) -> Request:
        node = self._lab.nodes.get(str(request.get("node")))
        argv = request.get("argv")
        if node is None:
            raise _Refused(f'there is no node "{request.get("node")}"; there is {", ".join(self._lab.nodes)}')
        if not isinstance(argv, list) or not argv or len(streams) != _STREAMS:
            raise _Refused("expected a command and three streams")
        if request.get("terminal"):
            argv = [sys.executable, "-S", "-E", "-c", _TERMINAL_HELPER, *argv]
        try:
            with self._lock:
                process = node.spawn(
                    argv,
                    stdin=streams[0],
                    stdout=streams[1],
                    stderr=streams[2],
                    env={str(key): str(value) for key, value in dict(request.get("env", {})).items()},
                )
        except OSError as error:
            with contextlib.suppress(OSError):
                os.write(streams[2], f"sojourn: {argv[0]}: {(error.strerror or str(error)).lower()}\n".encode())
            missing = isinstance(error, FileNotFoundError)
            return {"ok": True, "exit": _NOT_FOUND if missing else _NOT_STARTED}
        while streams:  # the program has them now; a pipe must end when the program closes it
            os.close(streams.pop())
        return {"ok": True, "exit": _attend(process, connection)}


def _attend(process: subprocess.Popen[bytes], connection: socket.socket) -> int:
    """The exit status of `process`. Signals that the caller names reach it; when the caller goes, it goes too."""
    ended = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(ended, selectors.EVENT_READ)
            selector.register(connection, selectors.EVENT_READ)
            while process.poll() is None:
                ready = [key.fileobj for key, _ in selector.select()]
                if connection in ready:
                    said = connection.recv(4096)
                    if not said:
                        _hang_up(process)
                        break
                    for line in said.splitlines():
                        _signal_group(process, int(json.loads(line)["signal"]))
        return process.wait()
    finally:
        os.close(ended)


def _hang_up(process: subprocess.Popen[bytes]) -> None:
    _signal_group(process, signal.SIGHUP)
    try:
        process.wait(_HANGUP_GRACE)
    except subprocess.TimeoutExpired:
        _signal_group(process, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _receive(connection: socket.socket) -> tuple[Request, list[int]]:
    """One line of JSON and the descriptors that came with it. Raises OSError."""
    descriptors = array.array("i")
    octets = b""
    while not octets.endswith(b"\n"):
        part, control, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(_STREAMS * 4))
        for level, kind, data in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(data[: len(data) - len(data) % 4])
        octets += part
        if not part or len(octets) > _REQUEST_MAX:
            raise OSError("not a request")
    try:
        request = json.loads(octets)
    except ValueError:
        request = None
    return request if isinstance(request, dict) else {}, list(descriptors)


def _send(connection: socket.socket, answer: Request) -> None:
    connection.sendall(json.dumps(answer).encode() + b"\n")


# --- the process --------------------------------------------------------------------------------------------------


def _run(specification: Specification, listener: socket.socket, told: int) -> int:
    """Inside the sandbox: build the lab, say that it is up, serve."""

    def tell(answer: Request) -> None:
        os.write(told, json.dumps(answer).encode() + b"\n")

    try:
        lab = Lab(
            load(specification.topology),
            Path(specification.output),
            daemons=specification.daemons,
            capture=specification.capture,
        )
        with lab, contextlib.nullcontext() if lab.mobility else PlainRouters(lab):
            tell({"ok": True})
            os.close(told)
            Server(lab, listener, specification).serve()
    except (OSError, RuntimeError, ValueError) as error:
        with contextlib.suppress(OSError):
            tell({"error": str(error)})
        print(f"sojourn: {error}", file=sys.stderr)
        return 1
    return 0


def _lock(path: Path) -> int:
    """A descriptor that holds the lock. Raises BlockingIOError when somebody else does."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(lock).st_ino == path.stat().st_ino:
                return lock
        os.close(lock)  # an ending lab removed the file between the two calls


def main() -> int:
    """``python -m sojourn.lab.session SPECIFICATION DESCRIPTOR``; says how it went on that descriptor."""
    specification, told = Specification(**json.loads(sys.argv[1])), int(sys.argv[2])
    directory = Path(specification.directory)
    try:
        lock = _lock(directory / LOCK)
    except BlockingIOError:
        os.write(told, json.dumps({"error": f'a lab "{specification.name}" is up already'}).encode() + b"\n")
        return 1
    specification.pid = os.getpid()
    os.ftruncate(lock, 0)
    os.write(lock, str(specification.pid).encode())
    path = directory / SOCKET
    path.unlink(missing_ok=True)  # of one that was killed: nobody holds the lock
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(16)
        try:
            code = sandbox(lambda: _run(specification, listener, told), root=specification.root)
        except SandboxUnavailable as error:
            os.write(told, json.dumps({"error": error.strerror}).encode() + b"\n")
            code = 1
        finally:
            path.unlink(missing_ok=True)
            os.unlink(directory / LOCK)
    with contextlib.suppress(OSError):
        directory.rmdir()
    return code


if __name__ == "__main__":
    sys.exit(main())
