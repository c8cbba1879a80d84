"""The control socket: answers, refusals, clients that send rubbish or do not read."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sojourn.control import protocol
from sojourn.control.client import ControlClient, ControlError, find_socket
from sojourn.control.protocol import Pong
from sojourn.control.server import CLIENTS, UNREAD_MAX, ControlServer, SocketTaken


class Tables:
    """A handler without a daemon."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, dict[str, str]]] = []
        self.asked = False
        """Whether somebody asked who this is."""

    def status(self) -> Pong:
        self.asked = True
        return Pong("t", "0", ["maar"], os.getpid(), 1.0)

    def show(self, topic: str, plain: bool) -> list[dict[str, Any]]:
        if topic != "sessions":
            raise ValueError(f"there is no table {topic!r}")
        return [{"node": "plain" if plain else "hashed"}]

    def counters(self) -> dict[str, int]:
        return {"maar:driver:NodeSeen": 3}

    def recent(self, plain: bool) -> list[dict[str, Any]]:
        return [{"event": "attached"}]

    def command(self, verb: str, arguments: dict[str, str]) -> list[dict[str, Any]]:
        self.commands.append((verb, arguments))
        return [{"event": "done"}]

    async def selftest(self, target: str, repair: bool, plain: bool) -> list[dict[str, Any]]:
        while not self.asked:
            await asyncio.sleep(0.01)
        return [{"check": target, "result": "ok"}]


class Running:
    """A server in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tables = Tables()
        self.server = ControlServer(path)
        self.loop: asyncio.AbstractEventLoop
        self._stopping: asyncio.Event
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self.loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self.server.take()
        await self.server.serve(self.tables)
        self._ready.set()
        await self._stopping.wait()
        await self.server.close()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def do(self, what: Callable[[], Any]) -> Any:
        """Run `what` in the server's loop."""

        async def inside() -> Any:
            return what()

        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(10)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)


@contextmanager
def running(directory: Path) -> Iterator[Running]:
    server = Running(directory / "c.sock")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as found:
        yield found


def test_every_request_has_its_answer(server: Running) -> None:
    with ControlClient(server.path) as client:
        assert client.ping().roles == ["maar"]
        assert client.show("sessions") == [{"node": "hashed"}]
        assert client.show("sessions", plain=True) == [{"node": "plain"}]
        assert client.counters() == {"maar:driver:NodeSeen": 3}
        assert client.recent() == [{"event": "attached"}]
        assert client.command("retire", {"prefix": "2001:db8::/64"}) == [{"event": "done"}]
    assert server.tables.commands == [("retire", {"prefix": "2001:db8::/64"})]


def test_a_refusal_carries_its_sentence_and_the_connection_goes_on(server: Running) -> None:
    with ControlClient(server.path) as client:
        with pytest.raises(ControlError, match="there is no table 'x'"):
            client.show("x")
        assert client.ping().name == "t"


def test_only_the_user_who_runs_the_daemon_may_connect(server: Running) -> None:
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o600


def test_the_socket_goes_with_the_daemon(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert server.path.exists()
    assert not server.path.exists()


def test_a_second_daemon_is_refused_and_a_dead_ones_socket_taken(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with running(tmp_path), pytest.raises(SocketTaken, match="another daemon is running"):
        ControlServer(path).take()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    assert path.exists()
    with running(tmp_path) as server, ControlClient(server.path) as client:
        assert client.ping().name == "t"
    path.write_text("precious")
    with pytest.raises(SocketTaken, match="is no socket"):
        ControlServer(path).take()
    assert path.read_text() == "precious"


def raw(server: Running) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(server.path))
    return connection


@pytest.mark.parametrize(
    "line",
    [
        b"\n", b"null\n", b"[]\n", b"{}\n", b'{"type":"nothing"}\n', b'{"type":"show"}\n', b"\xff\xfe\n",
        b'{"type":"show","topic":7}\n', b'{"type":"ping","more":1}\n',
        b'{"type":"command","verb":"x","arguments":{"a":1}}\n',
        b"[" * 16_000 + b"\n",
    ],
)  # fmt: skip
def test_what_is_no_request_is_answered_so(server: Running, line: bytes) -> None:
    with raw(server) as connection, connection.makefile("rb") as lines:
        connection.sendall(line + b'{"type":"ping"}\n')
        assert json.loads(lines.readline())["type"] == "failed"
        assert json.loads(lines.readline())["type"] == "pong"


def test_a_line_that_is_too_long_is_answered_and_ends_the_connection(server: Running) -> None:
    with raw(server) as connection, connection.makefile("rb") as lines:
        connection.sendall(b"x" * (protocol.REQUEST_MAX + 1))
        assert "at most" in json.loads(lines.readline())["error"]
        assert lines.readline() == b""
    with ControlClient(server.path) as client:
        assert client.ping().name == "t"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=st.binary(max_size=300))
def test_rubbish_harms_nobody(server: Running, octets: bytes) -> None:
    with raw(server) as connection:
        connection.sendall(octets + b"\n")
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as lines:
            for line in lines:
                assert json.loads(line)["type"] in ("failed", "pong", "rows", "counted", "done")
    with ControlClient(server.path) as client:
        assert client.ping().name == "t"


def test_events_are_followed(server: Running) -> None:
    with ControlClient(server.path) as client:
        events = client.follow()
        assert next(events) == {"event": "attached"}
        assert server.do(lambda: server.server.followed)
        server.do(lambda: server.server.tell(lambda plain: {"event": "moved", "plain": plain}))
        assert next(events) == {"event": "moved", "plain": False}


def test_who_does_not_read_misses_events_and_holds_nobody_up(server: Running) -> None:
    row = {"event": "x" * 1000}
    many = UNREAD_MAX // 1000 * 4 + 1000
    with ControlClient(server.path) as lazy:
        events = lazy.follow()
        next(events)

        def tell(times: int) -> int:
            for _ in range(times):
                server.server.tell(lambda plain: row)
            return next(iter(server.server._clients)).missed

        missed = server.do(lambda: tell(many))
        assert 0 < missed < many
        with ControlClient(server.path) as other:
            assert other.ping().name == "t"
        for _ in range(many - missed):
            assert next(events) == row
        server.do(lambda: tell(1))
        assert next(events) == {"event": "missed", "count": missed}
        assert next(events) == row


def test_more_clients_than_allowed_are_told_so(server: Running) -> None:
    clients = [ControlClient(server.path) for _ in range(CLIENTS)]
    for client in clients:
        client.ping()
    with ControlClient(server.path) as late, pytest.raises(ControlError, match=r"connected already|went away"):
        late.ping()
    for client in clients:
        client.close()


def test_no_daemon_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ControlError, match=r"no daemon is running at .*; start one with"):
        ControlClient(tmp_path / "none.sock")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "stale.sock"))
    stale.close()
    with pytest.raises(ControlError, match="not running any more"):
        ControlClient(tmp_path / "stale.sock")
    monkeypatch.setattr("sojourn.control.client.DIRECTORY", tmp_path / "run")
    monkeypatch.delenv("SOJOURN_SOCKET", raising=False)
    with pytest.raises(ControlError, match="no daemon is running here"):
        find_socket()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a.sock").touch()
    assert find_socket() == str(tmp_path / "run" / "a.sock")
    (tmp_path / "run" / "b.sock").touch()
    with pytest.raises(ControlError, match="several daemons are here"):
        find_socket()
    monkeypatch.setenv("SOJOURN_SOCKET", "/x.sock")
    assert find_socket() == "/x.sock"


def test_a_selftest_takes_a_while_and_keeps_nobody_else_waiting(server: Running) -> None:
    with ControlClient(server.path) as slow, ControlClient(server.path) as quick:
        answers: list[list[dict[str, Any]]] = []
        waiting = threading.Thread(target=lambda: answers.append(slow.selftest("2001:db8::/64")))
        waiting.start()
        assert quick.ping().name == "t"  # which is what the selftest waits for
        waiting.join()
    assert answers == [[{"check": "2001:db8::/64", "result": "ok"}]]
