"""Recordings: complete, bounded, without names, and good for a replay."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import get_args

import pytest

from sojourn.core.effects import (
    Advertise,
    AdvertisedPrefix,
    CheckBinding,
    CountQueue,
    CountTraffic,
    DeleteBinding,
    Effect,
    EnsureCounter,
    EnsureDelivery,
    EnsureFlowToNode,
    EnsureFlowToRouter,
    EnsureHold,
    EnsureLogicalInterface,
    EnsureMembership,
    EnsureMulticastRoute,
    EnsurePaths,
    EnsurePool,
    EnsurePrefix,
    EnsureQueue,
    EnsureRate,
    EnsureShortcut,
    EnsureSpread,
    EnsureTransport,
    EnsureTunnel,
    EnsureUplink,
    FindBindings,
    ForgetMulticast,
    ForgetStation,
    ProbeNode,
    ProbePath,
    QueryListeners,
    Report,
    SendDhcp,
    SendMessage,
    StoreBinding,
    WithdrawCounter,
    WithdrawLogicalInterface,
    WithdrawMembership,
    WithdrawMulticastRoute,
    WithdrawPool,
    WithdrawPrefix,
    WithdrawQueue,
    WithdrawRate,
    WithdrawShortcut,
    WithdrawSlot,
    WithdrawSpread,
    WithdrawTransport,
    WithdrawUplink,
)
from sojourn.core.events import (
    AddressChanged,
    AddressProbed,
    BindingChanged,
    BindingsFound,
    ClockStepped,
    Commanded,
    CorrespondentSeen,
    DhcpReceived,
    EffectFailed,
    Event,
    GroupsReported,
    HandoverExpected,
    HomeAddressRefused,
    IcmpErrorReceived,
    Icmpv6Received,
    LinkChanged,
    MessageReceived,
    NameResolved,
    NodeDetached,
    NodeSeen,
    PathProbed,
    QueueCounted,
    RouterProbed,
    SessionsCounted,
    Sighting,
    TrafficCounted,
)
from sojourn.core.mobile_effects import (
    AnnounceAddress,
    CareOfWay,
    CountSessions,
    EnsureCareOfPeers,
    EnsureCareOfRoute,
    EnsureFlows,
    EnsureHomeAddress,
    EnsureHomeBlock,
    EnsureProxyNeighbour,
    EnsureReverseFlows,
    EnsureReverseTunnel,
    EnsureRouteOptimisation,
    EnsureTunnelEnd,
    Flow,
    ProbeAddress,
    ProbeRouter,
    ResolveName,
    SendDhcpv6,
    SendIcmpv6,
    WithdrawCareOfRoute,
    WithdrawHomeAddress,
    WithdrawProxyNeighbour,
    WithdrawReverseTunnel,
    WithdrawRouteOptimisation,
    WithdrawTunnelEnd,
)
from sojourn.host.recorder import RETRY, Recorder, load_events, load_steps, replay
from sojourn.wire import (
    BindingUpdate,
    HomeNetworkPrefix,
    LinkLocalAddress,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    UnknownMessage,
    UnknownOption,
    decode,
    encode,
)
from sojourn.wire.addresses import ALL_NODES, address, eui64_link_local, link_layer_text, text
from sojourn.wire.extensions.rfc6088 import Ipv6TrafficSelector
from sojourn.wire.icmpv6 import RouterSolicitation
from sojourn.wire.listeners import MulticastAddressRecord, RecordType
from sojourn.wire.units import SECOND
from support.toy import MAC, OURS, PEER, PREFIX, Echo, World

UPDATE = BindingUpdate(
    7,
    0x8200,
    60 * SECOND,
    (
        MobileNodeIdentifier(1, b"ann@example.net"),
        HomeNetworkPrefix.of(PREFIX),
        MobileNodeLinkLayerIdentifier(MAC),
        LinkLocalAddress(eui64_link_local(MAC)),
        UnknownOption(99, b"ann@example.net!"),
    ),
)
GROUP = address("ff0e::1234")
FLOW = Flow(Ipv6TrafficSelector(source=(PEER, None), destination=(OURS, OURS), source_port=(80, 81)), PEER)
EVENTS: list[Event] = [
    MessageReceived(UPDATE, PEER, OURS),
    NodeSeen("acc0", MAC, Sighting.STATION),
    NodeSeen("acc0", MAC, Sighting.NEIGHBOUR, eui64_link_local(MAC)),
    NodeSeen("acc0", MAC, Sighting.STATION, identity="ann@example.net"),
    NodeSeen("acc0", MAC, Sighting.STATION, previous=PEER),
    NodeSeen("acc0", MAC, Sighting.STATION, previous=b"\x02\xaa\0\0\0\x01"),
    DhcpReceived("acc0", MAC, eui64_link_local(MAC), ALL_NODES, b"\x01abc" + MAC),
    NodeDetached("acc0", MAC),
    TrafficCounted({PREFIX: 5}),
    LinkChanged("acc0", True),
    ClockStepped(1_700_000_000 * SECOND),
    EffectFailed(EnsureDelivery(3, "acc0", MAC), 12, f"no room for {link_layer_text(MAC)}"),
    Commanded("detach", {"node": link_layer_text(MAC), "why": "because"}),
    GroupsReported("acc0", MAC, (MulticastAddressRecord(RecordType.ALLOW_NEW_SOURCES, GROUP, (PEER,)),), False),
    HandoverExpected(MAC, PEER),
    QueueCounted(1, 2, 3, 4),
    PathProbed(PEER),
    BindingChanged(MAC, b"record", 3 * SECOND),
    BindingsFound(PEER),
    MessageReceived(UPDATE, PEER, OURS, eui64_link_local(MAC), PEER, encode(UPDATE)),
    Icmpv6Received(RouterSolicitation(), PEER, OURS, "eth0", PEER, OURS),
    IcmpErrorReceived(4, 1, PEER, 135),
    AddressChanged("eth0", eui64_link_local(MAC), 64, True, SECOND, 2 * SECOND),
    RouterProbed("eth0", PEER, False),
    AddressProbed("eth0", PEER, True),
    CorrespondentSeen(OURS, PEER),
    HomeAddressRefused(PEER, PEER, OURS),
    SessionsCounted({OURS: 3}),
    NameResolved("ha.example.net", (OURS, PEER)),
]
EFFECTS: list[Effect] = [
    SendMessage(UPDATE, OURS, PEER),
    EnsureDelivery(1, "acc0", MAC),
    EnsureTransport(PEER, OURS, 5437),
    WithdrawTransport(PEER),
    EnsureTunnel(1, PEER),
    EnsureHold(1),
    WithdrawSlot(1),
    EnsurePrefix(PREFIX, 1),
    EnsureRate(PREFIX, 1_000_000, 0),
    WithdrawRate(PREFIX),
    WithdrawPrefix(PREFIX),
    EnsurePool(PREFIX),
    WithdrawPool(PREFIX),
    EnsureUplink(PREFIX, PEER),
    EnsureUplink(PREFIX, None),
    WithdrawUplink(PREFIX),
    EnsurePaths(1, (PEER, OURS)),
    EnsureSpread(PREFIX, (OURS, PEER)),
    WithdrawSpread(PREFIX),
    EnsureShortcut(PREFIX, PREFIX, PEER),
    WithdrawShortcut(PREFIX, PREFIX),
    EnsureCounter(PREFIX),
    WithdrawCounter(PREFIX),
    CountTraffic(),
    EnsureQueue(1, True),
    EnsureFlowToNode(1, True, "acc0", MAC),
    EnsureFlowToRouter(1, False, PEER),
    WithdrawQueue(1),
    CountQueue(1),
    ProbePath(PEER),
    Advertise("acc0", MAC, OURS, MAC, 60 * SECOND, (AdvertisedPrefix(PREFIX, 0, SECOND),), (PREFIX,), 1460),
    EnsureLogicalInterface("acc0", OURS),
    WithdrawLogicalInterface("acc0", OURS),
    ProbeNode("acc0", MAC, None),
    SendDhcp("acc0", MAC, OURS, eui64_link_local(MAC), b"\x07abc" + MAC),
    ForgetStation("acc0", MAC),
    ForgetMulticast(),
    EnsureMulticastRoute(GROUP, PEER, ("acc0", "acc1")),
    EnsureMulticastRoute(GROUP, None, ()),
    WithdrawMulticastRoute(GROUP, None),
    EnsureMembership(GROUP, False, (PEER,)),
    WithdrawMembership(GROUP),
    QueryListeners("acc0", MAC, None, SECOND, 2, 125 * SECOND),
    QueryListeners("acc0", None, GROUP, SECOND, 2, 125 * SECOND),
    StoreBinding(b"ann@example.net", b"about ann@example.net"),
    CheckBinding(MAC),
    FindBindings(PEER),
    DeleteBinding(b"ann@example.net"),
    Report("attached", {"node": "ann@example.net", "at": link_layer_text(MAC), "prefixes": 2}),
    SendMessage(UPDATE, OURS, PEER, PEER, OURS),
    SendIcmpv6(RouterSolicitation(), OURS, PEER, "eth0", PEER, OURS),
    ProbeAddress("eth0", PEER),
    EnsureProxyNeighbour("eth0", PEER),
    WithdrawProxyNeighbour("eth0", PEER),
    EnsureTunnelEnd(1, PEER),
    EnsureFlows(1, (FLOW,)),
    ResolveName("ha.example.net"),
    EnsureCareOfPeers((PREFIX,)),
    EnsureReverseFlows(OURS, PEER, (CareOfWay(PEER, "lte0", OURS),), (FLOW, Flow(Ipv6TrafficSelector(), PEER))),
    WithdrawTunnelEnd(1, PEER),
    EnsureCareOfRoute(PEER, OURS),
    WithdrawCareOfRoute(PEER),
    EnsureHomeAddress(PEER, "eth0", True),
    WithdrawHomeAddress(PEER),
    AnnounceAddress("eth0", PEER),
    EnsureReverseTunnel(PEER, OURS, PEER),
    EnsureHomeBlock(PEER),
    WithdrawReverseTunnel(PEER),
    EnsureRouteOptimisation(PEER, OURS, PEER),
    WithdrawRouteOptimisation(PEER, OURS),
    ProbeRouter("eth0", PEER),
    CountSessions(),
    SendDhcpv6(OURS, PEER, b"\x0c\1"),
    EnsureRate(PREFIX, 1_000_000, 0),
    WithdrawRate(PREFIX),
]


def test_the_examples_above_leave_nothing_out() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(Event))
    assert {type(effect) for effect in EFFECTS} == set(get_args(Effect))


def _record(path: Path, **options: object) -> Recorder:
    recorder = Recorder(path, **options)  # type: ignore[arg-type]
    for now, item in enumerate([*EVENTS, None, *EFFECTS]):
        recorder.write(now, item)
    recorder.close()
    return recorder


def test_a_plain_recording_gives_back_what_was_recorded(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    recorder = _record(path, identifiers="plain")
    assert list(load_steps(path)) == list(enumerate([*EVENTS, None, *EFFECTS]))
    assert list(load_events(path)) == list(enumerate(EVENTS))
    assert recorder.counters == {"lines-written": 2 + len(EVENTS) + len(EFFECTS)}


def test_lines_are_for_people_too(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _record(path, identifiers="plain")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0].keys() == {"sojourn", "identifiers", "epoch"}
    assert (lines[0]["sojourn"], lines[0]["identifiers"]) == (1, "plain")
    assert lines[2] == {
        "t": 1,
        "event": "NodeSeen",
        "interface": "acc0",
        "link_layer": "02:00:00:00:00:01",
        "sighting": "station",
        "address": None,
        "identity": None,
        "previous": None,
    }
    assert decode(bytes.fromhex(lines[1]["message"])) == UPDATE


def test_without_being_asked_no_node_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _record(path)
    octets = path.read_bytes()
    for name in (b"ann", b"ann@example.net", MAC, eui64_link_local(MAC)):
        assert name.hex().encode() not in octets
    assert b"ann" not in octets
    assert link_layer_text(MAC).encode() not in octets
    assert text(eui64_link_local(MAC)).encode() not in octets
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    seen, gone, message = lines[2], lines[5], lines[1]
    assert seen["link_layer"] == gone["link_layer"], "one node, one name"
    update = decode(bytes.fromhex(message["message"]))
    identifier = update.first(MobileNodeLinkLayerIdentifier)
    assert identifier is not None
    assert link_layer_text(identifier.identifier) == seen["link_layer"]
    with pytest.raises(ValueError, match="pseudonyms, which cannot be replayed"):
        list(load_events(path))


def test_the_next_run_has_other_pseudonyms(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _record(tmp_path / name)
    lines = [json.loads((tmp_path / name).read_text().splitlines()[2]) for name in ("a", "b")]
    assert lines[0]["link_layer"] != lines[1]["link_layer"]


def test_unknown_messages_keep_only_their_form(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    recorder = Recorder(path)
    recorder.write(0, MessageReceived(UnknownMessage(77, b"ann" + bytes(7)), PEER, OURS))
    recorder.close()
    assert "616e6e" not in path.read_text()


def test_size_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    recorder = Recorder(path, identifiers="plain", limit=10_000)
    for now in range(1_000):
        recorder.write(now, EVENTS[1])
    recorder.close()
    assert sorted(os.listdir(tmp_path)) == ["events.jsonl", "events.jsonl.1"]
    assert all(file.stat().st_size <= 10_000 for file in tmp_path.iterdir())
    both = [*load_events(tmp_path / "events.jsonl.1"), *load_events(path)]
    assert [now for now, _ in both] == list(range(1_000 - len(both), 1_000)), "no gap where the file changed"


def test_a_disk_that_refuses_costs_lines_and_nothing_else() -> None:
    recorder = Recorder("/dev/full")
    recorder.write(0, EVENTS[1])
    assert recorder.counters == {"lines-lost": 2}
    recorder.close()


def test_a_pipe_that_nobody_empties_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    recorder = Recorder(path)
    for now in range(2_000):
        recorder.write(now, EVENTS[1])
    assert recorder.counters["lines-lost"] > 0
    recorder.close()
    os.close(reader)


def test_a_last_line_that_was_cut_short_ends_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    _record(path, identifiers="plain")
    path.write_bytes(path.read_bytes()[:-10])
    assert list(load_steps(path)) == list(enumerate([*EVENTS, None, *EFFECTS[:-1]]))


@pytest.mark.parametrize(
    "line", ["{", '{"t": 1, "event": "Nonsense"}', '{"sojourn": 99}', '{"event": "NodeSeen"}', "[]"]
)
def test_a_file_of_something_else_is_named_with_the_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"events\.jsonl, line 1"):
        list(load_events(path))


def test_a_recorded_run_replays_to_equal_effects(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    recorder = Recorder(path, identifiers="plain")
    world = World(Echo(), record=recorder.write)
    world.driver.start()
    world.driver.dispatch([MessageReceived(UPDATE, PEER, OURS), NodeSeen("acc0", MAC, Sighting.STATION)])
    world.now += 30 * SECOND
    world.dataplane.trouble = lambda effect: OSError(12, "no room")
    world.driver.dispatch([NodeSeen("acc0", MAC, Sighting.ROUTER_SOLICITATION)])
    world.now += 31 * SECOND
    world.driver.wake()
    recorder.close()
    happened = [(now, item) for now, item in load_steps(path) if type(item) in get_args(Effect)]
    assert {type(effect).__name__ for _, effect in happened} >= {"SendMessage", "Report", "EnsureDelivery"}
    assert list(replay(Echo(), path)) == happened


def test_after_a_rotation_by_others_the_recording_goes_on_at_its_path(tmp_path: Path) -> None:
    path = tmp_path / "ar1.jsonl"
    recorder = Recorder(path, identifiers="plain")
    recorder.write(1, EVENTS[0])
    path.rename(tmp_path / "ar1.jsonl.1")
    assert recorder.reopen()
    recorder.write(2, EVENTS[0])
    path.unlink()
    path.mkdir()  # cannot be opened: it goes on where it was
    assert not recorder.reopen()
    recorder.write(3, None)
    recorder.close()
    assert recorder.counters["lines-lost"] == 0
    assert recorder.counters["reopens-failed"] == 1
    assert list(load_steps(tmp_path / "ar1.jsonl.1")) == [(1, EVENTS[0])]


def test_a_file_that_cannot_be_rotated_grows_no_further(tmp_path: Path) -> None:
    path, kept = tmp_path / "ar1.jsonl", tmp_path / "ar1.jsonl.1"
    (kept / "in the way").mkdir(parents=True)
    recorder = Recorder(path, identifiers="plain", limit=2000)
    for now in range(RETRY):
        recorder.write(now, None)
    assert path.stat().st_size <= 2000
    assert recorder.counters["rotations-failed"] == 1
    assert recorder.counters["lines-lost"] + recorder.counters["lines-written"] == RETRY + 1
    (kept / "in the way").rmdir()
    kept.rmdir()
    for now in range(RETRY):
        recorder.write(now, None)
    recorder.close()
    assert kept.exists()
    assert path.stat().st_size <= 2000
    assert recorder.counters["rotations-failed"] == 1


def test_what_is_recorded_after_reopening_replays(tmp_path: Path) -> None:
    path = tmp_path / "ar1.jsonl"
    recorder = Recorder(path, identifiers="plain")
    path.rename(tmp_path / "old")
    recorder.reopen()
    recorder.write(2, EVENTS[0])
    recorder.close()
    assert list(load_steps(path)) == [(2, EVENTS[0])]
