"""The parts of the lab that need no kernel: units, paths, the relay's queue, captures, what daemons are told."""

from __future__ import annotations

import io
import random
import socket
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pcapng import FileScanner
from pcapng.blocks import EnhancedPacket

from sojourn.daemon.configuration import load as load_configuration
from sojourn.lab.daemons import Daemon, control_directory
from sojourn.lab.links import _plausible
from sojourn.lab.pcapng import Writer
from sojourn.lab.quantities import bit_rate, duration, duration_text, share
from sojourn.lab.registry import ScenarioOptions, scenario, scenarios
from sojourn.lab.relay import Direction
from sojourn.lab.sessions import SessionError, runtime_directory
from sojourn.lab.shortest import next_hops, shortest_path
from sojourn.lab.topology import Link, load
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND

# --- quantities ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "nanoseconds"),
    [
        ("5ms", 5 * MILLISECOND),
        ("0.5 s", SECOND // 2),
        (2, 2 * SECOND),
        ("7us", 7_000),
        ("1m", MINUTE),
        ("3", 3 * SECOND),
        (0, 0),
    ],
)
def test_durations(written: object, nanoseconds: int) -> None:
    assert duration(written) == nanoseconds


@pytest.mark.parametrize("nanoseconds", [0, 5 * MILLISECOND, 7_500_000, SECOND, 90 * SECOND])
def test_duration_text_reads_back(nanoseconds: int) -> None:
    assert duration(duration_text(nanoseconds)) == nanoseconds


@pytest.mark.parametrize("wrong", ["ms", "-5ms", "5 parsecs", True, None, [], -1])
def test_what_is_no_duration(wrong: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        duration(wrong)


def test_shares_and_rates() -> None:
    assert (share("1%"), share(0.5), share("100%")) == (0.01, 0.5, 1.0)
    assert (bit_rate("20mbit"), bit_rate("1.5 Gbit"), bit_rate(9600)) == (20_000_000, 1_500_000_000, 9600)
    for wrong in ("101%", 2, "x", None):
        with pytest.raises(ValueError, match="share"):
            share(wrong)
    for wrong in ("0mbit", "fast", 0):
        with pytest.raises(ValueError, match="rate"):
            bit_rate(wrong)


# --- paths --------------------------------------------------------------------------------------------------------


def test_shortest_paths_prefer_delay_then_hops_then_names() -> None:
    graph = {
        "a": {"b": 1, "c": 1, "d": 5},
        "b": {"a": 1, "d": 1},
        "c": {"a": 1, "d": 1},
        "d": {"a": 5, "b": 1, "c": 1},
        "alone": {},
    }
    assert shortest_path(graph, "a", "d") == ["a", "b", "d"]
    assert next_hops(graph, "a") == {"b": "b", "c": "c", "d": "b"}
    assert shortest_path(graph, "a", "a") == ["a"]
    with pytest.raises(KeyError):
        shortest_path(graph, "a", "alone")


# --- the relay ----------------------------------------------------------------------------------------------------


class Target:
    """Remembers what is sent to it."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)


def direction(**figures: Any) -> tuple[Direction, Target]:
    target = Target()
    complete = {"delay": 0, "jitter": 0, "loss": 0.0, "rate": None} | figures
    made = Direction(cast(socket.socket, None), cast(socket.socket, target), complete, random.Random(7))
    return made, target


def test_a_frame_leaves_when_its_delay_is_over_and_not_before() -> None:
    line, target = direction(delay=5 * MILLISECOND)
    line._enqueue(b"one", 0)
    line._enqueue(b"two", MILLISECOND)
    assert line.flush(5 * MILLISECOND - 1) == 5 * MILLISECOND
    assert target.frames == []
    assert line.flush(5 * MILLISECOND) == 6 * MILLISECOND
    assert target.frames == [b"one"]
    assert line.flush(10 * MILLISECOND) == 0
    assert target.frames == [b"one", b"two"]


def test_jitter_spreads_but_never_reorders() -> None:
    line, target = direction(delay=5 * MILLISECOND, jitter=4 * MILLISECOND)
    frames = [number.to_bytes(2, "big") for number in range(500)]
    for number, frame in enumerate(frames):
        line._enqueue(frame, number * 100_000)
    dues = [due for due, _ in line._queue]
    assert dues == sorted(dues)
    waits = [due - number * 100_000 for number, due in enumerate(dues)]
    assert min(waits) >= MILLISECOND
    assert max(waits) <= 9 * MILLISECOND
    assert max(waits) - min(waits) > MILLISECOND
    line.flush(SECOND)
    assert target.frames == frames


def test_loss_is_of_the_share_asked_for_and_the_same_with_the_same_seed() -> None:
    lost = []
    for _ in range(2):
        line, _ = direction(loss=0.1)
        for _ in range(10_000):
            line._enqueue(b"x", 0)
        lost.append(line.lost)
    assert lost[0] == lost[1]
    assert 850 < lost[0] < 1150


def test_rate_spaces_frames_and_drops_what_waits_too_long() -> None:
    line, _ = direction(rate=8_000_000)  # a microsecond an octet
    frame = bytes(10 + 1000)  # the virtio header does not travel
    for _ in range(100):
        line._enqueue(frame, 0)
    dues = [due for due, _ in line._queue]
    assert dues[0] == MILLISECOND
    assert {later - earlier for earlier, later in pairwise(dues)} == {MILLISECOND}
    assert len(dues) == 51  # 50 ms of queue and the one on the line
    assert line.dropped == 49


def test_a_queue_has_an_end() -> None:
    line, _ = direction(delay=SECOND)
    for _ in range(1100):
        line._enqueue(bytes(1 << 15), 0)
    assert line.dropped == 1100 - 1024


@pytest.mark.parametrize(("trip", "right"), [(10.0, True), (9.9, True), (9.5, False), (12.9, True), (16.0, False)])
def test_what_counts_as_the_delay_asked_for(trip: float, right: bool) -> None:
    link = Link.model_validate({"between": ("a", "b"), "delay": "5ms"})
    assert _plausible(round(trip * MILLISECOND), link) is right


# --- netlink, captures --------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Field type should not be:DeprecationWarning")  # python-pcapng's own
def test_captures_are_read_by_another_library() -> None:
    stream = io.BytesIO()
    writer = Writer(stream)
    first, second = writer.add_interface("ar1:acc0"), writer.add_interface("ar1:to-core")
    writer.packet(first, 1_700_000_000_123_456_789, b"\xaa" * 61, 1500)
    writer.packet(second, 1_700_000_001_000_000_000, b"\xbb" * 60, 60, "mn roams to ar2")
    stream.seek(0)
    packets = [block for block in FileScanner(stream) if isinstance(block, EnhancedPacket)]
    assert [packet.interface.options["if_name"] for packet in packets] == ["ar1:acc0", "ar1:to-core"]
    assert [(len(packet.packet_data), packet.packet_len) for packet in packets] == [(61, 1500), (60, 60)]
    assert packets[0].timestamp == pytest.approx(1_700_000_000.123456789)
    assert packets[1].options["opt_comment"] == "mn roams to ar2"


# --- daemons ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ar2", "cmd"])
def test_daemons_get_a_configuration_that_they_accept(name: str, tmp_path: Path) -> None:
    topology = load("walk").model_copy(update={"mode": "relay", "maar": {"idle_hold": "20s", "buffer": True}})
    planned = topology.nodes[name]
    node = SimpleNamespace(name=name, kind=planned.kind, address=str(planned.address))
    store = tmp_path / "store" / f"{name}.sqlite"
    store.parent.mkdir()
    store.write_text("of an earlier run")
    daemon = Daemon(cast(Any, node), topology, tmp_path, tmp_path / "x.sock")
    assert not store.exists()
    file = load_configuration(daemon.file).file
    if name == "cmd":
        assert file.cmd is not None
        assert [maar.name for maar in file.cmd.maars] == ["ar1", "ar2", "ar3"]
        assert file.cmd.mode == "relay"
    else:
        assert file.maar is not None
        assert len(file.maar.peers) == 2
        assert file.maar.buffer
        assert file.maar.idle_hold == 20 * SECOND


def test_control_sockets_fit_into_a_socket_address(tmp_path: Path) -> None:
    near, temporary = control_directory(Path("/tmp") / tmp_path.name, ["ar1"])
    assert not temporary
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    far, temporary = control_directory(deep, ["ar1"])
    try:
        assert temporary
        assert len(str(far / "ar1.sock")) < 108
    finally:
        far.rmdir()
        near.rmdir()
        near.parent.rmdir()


# --- registry, sessions -------------------------------------------------------------------------------------------


def test_scenarios_register_themselves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sojourn.lab.registry._scenarios", {})
    monkeypatch.setattr("sojourn.lab.registry._MODULES", ())

    @scenario("try", "a trial")
    def trial(options: ScenarioOptions) -> int:
        return 3

    assert scenarios()["try"].function(ScenarioOptions(tmp_path)) == 3


def test_a_runtime_directory_that_others_can_write_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    directory = runtime_directory()
    assert directory.stat().st_mode & 0o777 == 0o700
    directory.chmod(0o777)
    with pytest.raises(SessionError, match="ours alone"):
        runtime_directory()
