"""What an access point says becomes events; one that restarts, lies in wait, or talks nonsense harms nobody."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sojourn.core.events import Event, HandoverExpected, NodeDetached, NodeSeen, Sighting
from sojourn.host.hostapd import INTERVAL, PATIENCE, QUESTIONS, STATIONS, AccessPoint, AccessPoints
from sojourn.wire.addresses import LinkLayer, link_layer, link_layer_text
from sojourn.wire.units import SECOND
from support.hostapd import Hostapd

ANN, BOB = link_layer("02:00:00:00:00:01"), link_layer("02:00:00:00:00:02")


def seen(station: LinkLayer, identity: str | None = None) -> NodeSeen:
    return NodeSeen("br-lan", station, Sighting.STATION, identity=identity)


def gone(station: LinkLayer) -> NodeDetached:
    return NodeDetached("br-lan", station)


class World:
    """One access point or two of the link ``br-lan``, and time."""

    def __init__(self, directory: Path, count: int = 1) -> None:
        self.now = 0
        self.paths = [directory / f"wlan{number}" for number in range(count)]
        self.servers = [Hostapd(path) for path in self.paths]
        self.all = AccessPoints([("br-lan", str(path), "") for path in self.paths], clock=lambda: self.now)

    @property
    def point(self) -> AccessPoint:
        return self.all.points[0]

    @property
    def server(self) -> Hostapd:
        return self.servers[0]

    def pump(self) -> list[Event]:
        """Everything said is heard."""
        events: list[Event] = []
        while True:
            for point in self.all.points:
                events += point.receive()
            if not sum(server.serve() for server in self.servers if server.socket.fileno() >= 0):
                return events

    def tick(self) -> list[Event]:
        """Some time passes."""
        self.now += INTERVAL
        for point in self.all.points:
            if point.due() <= self.now:
                point.tick()
        return self.pump()

    def restart(self) -> None:
        stations = self.server.stations
        self.server.close()
        self.servers[0] = Hostapd(self.paths[0])
        self.server.stations = stations

    def close(self) -> None:
        self.all.close()
        for server in self.servers:
            server.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_stations_come_with_their_identity_and_go(world: World) -> None:
    assert world.tick() == []
    assert world.point.heard
    world.server.connect(ANN, "ann@example.net")
    world.server.connect(BOB)
    assert world.pump() == [seen(ANN, "ann@example.net"), seen(BOB)]
    world.server.disconnect(ANN)
    assert world.pump() == [gone(ANN)]
    assert world.all.counters == {"connected": 2, "disconnected": 1}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("status_code=0 bss_termination_delay=0 target_bssid=02:00:00:00:00:a2", True),
        ("status_code=6 bss_termination_delay=0", False),
        ("status_code=0 bss_termination_delay=0 target_bssid=nowhere", False),
        ("", False),
    ],
)
def test_a_station_that_agrees_to_go_to_another_access_point_is_expected_there(
    world: World, answer: str, told: bool
) -> None:
    """As hostapd 2.10 words it; only who agrees (status 0) goes."""
    world.tick()
    world.server.connect(ANN)
    world.pump()
    world.server.say(f"<3>BSS-TM-RESP {link_layer_text(ANN)} {answer}")
    assert world.pump() == ([HandoverExpected(ANN, link_layer("02:00:00:00:00:a2"))] if told else [])


def test_stations_of_before_are_listed(world: World) -> None:
    world.server.stations = {ANN: "ann@example.net", BOB: ""}
    assert world.tick() == [seen(ANN, "ann@example.net"), seen(BOB)]


def test_a_station_that_is_not_let_in_yet_is_not_reported(world: World) -> None:
    world.server.stations = {ANN: ""}
    world.server.about = lambda name: f"{name}\nflags=[AUTH][ASSOC]\n"  # type: ignore[method-assign]
    assert world.tick() == []


def test_one_that_leaves_before_it_is_known_is_not_reported(world: World) -> None:
    world.tick()
    world.server.connect(ANN, "ann@example.net")
    world.server.disconnect(ANN)
    assert world.pump() == [gone(ANN)]
    assert world.tick() == []


def test_an_access_point_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.server.close()
    for _ in range(3):
        assert world.tick() == []
    assert not world.point.heard
    assert world.all.counters == {"unreachable": 3}
    world.servers[0] = Hostapd(world.paths[0])
    world.server.stations = {ANN: ""}
    assert world.tick() == [seen(ANN)]
    world.close()


def test_after_a_restart_the_differences_are_reported(world: World) -> None:
    world.tick()
    for station in (ANN, BOB):
        world.server.connect(station)
    world.pump()
    world.restart()
    carol = link_layer("02:00:00:00:00:03")
    world.server.stations = {BOB: "", carol: "carol@example.net"}
    events = [event for _ in range(3) for event in world.tick()]
    assert events == [seen(carol, "carol@example.net"), gone(ANN)]
    assert world.point.heard


def test_a_station_that_leaves_while_the_list_is_read(world: World) -> None:
    """hostapd has no next one after a station that is gone; nobody else is taken for gone because of that."""
    world.server.stations = {ANN: "", BOB: ""}
    answer, left = world.server.answer, False

    def leaving(question: str, sender: str | bytes) -> str | None:
        nonlocal left
        if question.startswith("STA-NEXT") and not left:
            left = True
            del world.server.stations[ANN]
        return answer(question, sender)

    world.server.answer = leaving  # type: ignore[method-assign]
    assert world.tick() == [seen(ANN), seen(BOB)]
    assert world.server.asked.count("STA-FIRST") == 2


def test_a_list_that_could_not_be_asked_for_is_read_later(world: World) -> None:
    """hostapd's queue was full just then."""
    world.server.stations = {ANN: "", BOB: ""}
    ask, full = world.point._ask, True

    def refused(question: str) -> bool:
        return not (full and question.startswith("STA-")) and ask(question)

    world.point._ask = refused  # type: ignore[method-assign]
    assert world.tick() == []
    full = False
    assert world.tick() == [seen(ANN), seen(BOB)]


def test_a_silent_access_point_is_left_and_tried_again(world: World) -> None:
    world.tick()
    answer = world.server.answer
    world.server.answer = lambda question, sender: None  # type: ignore[method-assign]
    while world.point.heard:
        world.tick()
        assert world.now <= PATIENCE + 4 * INTERVAL
    assert world.all.counters["silent"] == 1
    world.server.answer = answer  # type: ignore[method-assign]
    world.server.stations = {ANN: ""}
    assert [event for _ in range(3) for event in world.tick()] == [seen(ANN)]


def test_a_station_of_two_access_points_of_a_link_left_the_old_one_only(tmp_path: Path) -> None:
    """It went from one radio to the other; the old one notices late."""
    world = World(tmp_path, 2)
    world.tick()
    old, new = world.servers
    old.connect(ANN)
    world.pump()
    new.connect(ANN)
    assert world.pump() == [seen(ANN)]
    old.disconnect(ANN)
    assert world.pump() == []
    new.disconnect(ANN)
    assert world.pump() == [gone(ANN)]
    world.close()


def test_more_at_once_than_can_be_asked_about_are_reported_without_identity(world: World) -> None:
    world.tick()
    stations = [b"\x02\0\0\0" + number.to_bytes(2, "big") for number in range(QUESTIONS + 20)]
    at_once: list[Event] = []
    for station in stations:
        world.server.connect(station, "ann@example.net")
        at_once += world.point.receive()
    asked = len(stations) - len(at_once)
    assert 0 < asked <= QUESTIONS
    assert at_once == [seen(station) for station in stations[asked:]]
    assert world.pump() == [seen(station, "ann@example.net") for station in stations[:asked]]


def test_what_is_remembered_is_bounded(world: World) -> None:
    world.tick()
    for number in range(STATIONS + 50):
        world.server.connect(b"\x02\0\0\0" + number.to_bytes(2, "big"))
        world.pump()
        world.server.stations.clear()
    assert len(world.point._stations) == STATIONS


@pytest.mark.parametrize(
    ("identity", "told"),
    [
        ("ann@example.net", "ann@example.net"),
        ("J\u00f6rg@example.net", "J\u00f6rg@example.net"),
        ("a\x1b[2Jb", None),
        ("x" * 254, None),
        ("", None),
        ("ann\ndot1xAuthSessionUserName=bob", "ann"),
    ],
)
def test_only_identifiers_are_identities(world: World, identity: str, told: str | None) -> None:
    world.tick()
    world.server.connect(ANN, identity)
    assert world.pump() == [seen(ANN, told)]


def test_nobody_else_is_listened_to(world: World) -> None:
    """The name of our socket is no secret on this machine."""
    world.tick()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind("")
        [name] = world.server.listeners
        with pytest.raises(PermissionError):
            other.sendto(f"<3>AP-STA-CONNECTED {link_layer_text(ANN)}".encode(), name)
    assert world.pump() == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(
    st.lists(st.binary(max_size=80) | st.sampled_from([b"OK\n", b"PONG\n", b"FAIL\n", b"", b"<3>AP-STA-CONNECTED "]))
)
def test_whatever_is_said_it_is_heard_again_afterwards(world: World, said: list[bytes]) -> None:
    world.tick()
    for words in said:
        for listener in world.server.listeners:
            world.server.socket.sendto(words, listener)
        assert world.point.receive() == []
    world.server.disconnect(ANN)
    for _ in range(8):
        world.tick()
    assert world.point.heard
    world.server.connect(ANN, "ann@example.net")
    assert world.pump() == [seen(ANN, "ann@example.net")]
    world.server.disconnect(ANN)
    assert world.pump() == [gone(ANN)]


def test_time_between_two_looks_is_short_enough_to_notice_a_restart() -> None:
    assert INTERVAL <= 2 * SECOND < PATIENCE
