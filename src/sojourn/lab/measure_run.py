"""From what a run left behind to what it shows: one `HandoverResult` for every move of a host.

Everything here is a function of records: flows with their sequence numbers, messages heard on the wire,
the times of the moves. Nothing asks the lab, so that a kept run can be judged again, and a test can
invent one.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from sojourn.lab.air import RoamTimes
from sojourn.lab.measure import (
    IN_FLIGHT,
    Distances,
    Loss,
    Window,
    bound,
    control_loss,
    expected_messages,
    handover_window,
    loss,
    lost_time,
    milliseconds,
    routers_passed,
    stretch_formula,
)
from sojourn.lab.measure_signalling import Classified, Signal, Signalling, classify, tally
from sojourn.lab.traffic import FlowRecord
from sojourn.wire.addresses import Prefix, address
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

_RACE = 5 * MILLISECOND
"""A retirement and a move that reach the database so close together may be seen in either order."""


class Place(Protocol):
    """What this module asks of a topology beside distances."""

    @property
    def pool(self) -> Any:
        """The prefixes that an access router gives out."""
        ...


class Map(Distances, Protocol):
    """A topology, as far as it matters here."""

    @property
    def access_routers(self) -> list[str]:
        """Their names."""
        ...

    @property
    def nodes(self) -> Mapping[str, Any]:
        """All nodes by name."""
        ...

    def address(self, name: str) -> str:
        """Of a node that is not a host."""
        ...


class Anchors:
    """Which access router anchors an address: the one whose pool it is from."""

    def __init__(self, topology: Map) -> None:
        self._pools = {name: _prefix(topology.nodes[name].pool) for name in topology.access_routers}

    def of(self, source: str) -> str | None:
        """The anchor of an address in text."""
        octets = address(source)
        return next((name for name, pool in self._pools.items() if pool.covers(octets)), None)

    def of_prefix(self, prefix: Prefix) -> str | None:
        """The anchor of a prefix."""
        return next((name for name, pool in self._pools.items() if pool.contains(prefix)), None)


def _prefix(network: Any) -> Prefix:
    return Prefix(network.network_address.packed, network.prefixlen)


@dataclass(slots=True)
class FlowLoss:
    """What one direction of one old flow lost in one handover."""

    flow: str
    direction: str
    anchor: str
    sent: int
    lost: int
    control_sent: int
    control_lost: int
    packets: float
    """Lost, less the share that the control phase lost too."""
    rate: float
    """Packets a second."""
    lost_ms: float
    """`packets` at `rate`."""
    bound_ms: float
    """`shared/standards.md` 7.5, with the outage of the air added where the run asked for one."""


@dataclass(slots=True)
class NewFlow:
    """The flow that started from the new address."""

    first_packet_ms: float
    """From the attach event to its first packet."""
    answer_ms: float
    """From the attach event to the first answer."""
    routers: int | None
    """That its packets pass."""
    stretch: float | None


@dataclass(slots=True)
class HandoverResult:
    """One move."""

    number: int
    host: str
    source: str
    target: str
    at: Instant
    """When the host left."""
    old_anchors: list[str]
    """Whom the database told: k is their number."""
    losses: list[FlowLoss] = field(default_factory=list)
    messages: int = 0
    expected: list[int] = field(default_factory=list)
    """The right number of messages; two when a retirement raced with the move."""
    octets: int = 0
    repeated: int = 0
    """Of the messages: retransmissions and the answers to them."""
    resets: int = 0
    """TCP sessions of the host that ended in a reset before the next move."""
    old_routers: int | None = None
    old_stretch: float | None = None
    old_stretch_formula: float | None = None
    new_flow: NewFlow | None = None

    @property
    def exact(self) -> bool:
        """As many messages as RFC 8885 draws; what a loaded machine or a lossy link made repeat is not drawn there."""
        return self.messages - self.repeated in self.expected

    def worst(self, direction: str | None = None) -> FlowLoss | None:
        """The flow that lost most, against its bound."""
        losses = [one for one in self.losses if direction in (None, one.direction)]
        return max(losses, key=lambda one: (one.lost_ms - one.bound_ms, one.lost_ms), default=None)


@dataclass(slots=True)
class Evidence:
    """What a run leaves."""

    topology: Map
    mode: str
    cmd: str
    server: str
    moves: Sequence[RoamTimes]
    """In the order of time."""
    records: Sequence[FlowRecord]
    signals: Sequence[Signal]
    identifiers: Mapping[str, bytes]
    """Of the hosts, as they appear in the Mobile Node Identifier option."""
    quiet: Mapping[str, Sequence[Window]]
    """The control phases of each host."""
    ended: Instant
    outage: Duration = 0
    """That the run asked of the air for every move."""
    reach: Duration | None = None
    """How long after a move flows are judged; None: as long as `measure.SETTLED` or until the next move."""
    old_routers: Mapping[int, int] = field(default_factory=dict)
    """Routers on the way of an old flow after the move with this number (from 0), where that was watched."""


def judge(evidence: Evidence) -> list[HandoverResult]:
    """Every move of the run with what it cost."""
    anchors = Anchors(evidence.topology)
    messages = classify(evidence.signals)
    return [
        _judge_move(evidence, anchors, messages, number, move)
        for number, move in enumerate(evidence.moves)
        if move.source is not None and move.target is not None
    ]


def _judge_move(
    evidence: Evidence, anchors: Anchors, messages: Sequence[Classified], number: int, move: RoamTimes
) -> HandoverResult:
    assert move.source is not None
    assert move.target is not None
    until = _next_move(evidence, move)
    told, racing = _old_anchors(evidence, anchors, move)
    result = HandoverResult(number + 1, move.host, move.source, move.target, move.disassociated, sorted(told))
    counts = [len(told)] if not racing else range(len(told) - len(racing), len(told) + 1)
    asked = 0 if _knows(evidence, anchors, move) else len(evidence.topology.access_routers) - 1
    cmd = bool(evidence.cmd)
    result.expected = [expected_messages(evidence.mode, count, asked, told_afterwards=cmd) for count in counts]
    heard = _signalling(evidence, messages, move, until)
    result.messages, result.octets = heard.handover.messages, heard.handover.octets
    result.repeated = heard.handover.repeated
    result.resets = sum(
        record.host == move.host and record.outcome == "reset" and move.start <= record.ended < until
        for record in evidence.records
    )
    result.losses = list(_losses(evidence, anchors, move, until, told))
    _measure_hops(evidence, anchors, number, move, until, result)
    return result


def _next_move(evidence: Evidence, move: RoamTimes) -> Instant:
    later = [other.start for other in evidence.moves if other.host == move.host and other.start > move.start]
    return min(later, default=evidence.ended)


# --- signalling -------------------------------------------------------------------------------------


def _signalling(evidence: Evidence, messages: Sequence[Classified], move: RoamTimes, until: Instant) -> Signalling:
    node = evidence.identifiers[move.host]
    return tally(one for one in messages if move.start <= one.signal.at < until and one.signal.identifier == node)


def _old_anchors(evidence: Evidence, anchors: Anchors, move: RoamTimes) -> tuple[set[str], set[str]]:
    """The anchors that the database knows when it learns of `move`, and those that retire at that moment."""
    assert move.target is not None
    arrives = move.announced or move.start
    if evidence.mode != "direct":
        arrives += evidence.topology.delay(move.target, evidence.cmd)
    visited = {move.source} | {
        name
        for other in evidence.moves
        if other.host == move.host and other.start < move.start
        for name in (other.source, other.target)
    }
    told, racing = {name for name in visited if name not in (None, move.target)}, set[str]()
    for name, at in _retirements(evidence, anchors, move.host):
        if name in told and at < arrives + _RACE and not _visited_since(evidence, move, name, at):
            if at > arrives - _RACE:
                racing.add(name)
            else:
                told.discard(name)
    return {name for name in told if name is not None}, racing


def _retirements(evidence: Evidence, anchors: Anchors, host: str) -> Iterable[tuple[str, Instant]]:
    """Anchor, and when its request to let go of a prefix reached the database, or (direct mode) left."""
    direct = evidence.mode == "direct"
    cmd = None if direct else address(evidence.topology.address(evidence.cmd))
    for signal in evidence.signals:
        if signal.retires is None or cmd not in (None, signal.destination):
            continue
        anchor = anchors.of_prefix(signal.retires)
        if anchor is not None and signal.identifier == evidence.identifiers[host]:
            yield anchor, signal.at + (0 if direct else evidence.topology.delay(signal.node, evidence.cmd))


def _knows(evidence: Evidence, anchors: Anchors, move: RoamTimes) -> bool:
    """Direct mode: whether the new router anchors a prefix of the node still, so that it knows who served it."""
    left = [one.start for one in evidence.moves if one.host == move.host and one.source == move.target]
    last = max((start for start in left if start < move.start), default=None)
    retired = [at for name, at in _retirements(evidence, anchors, move.host) if name == move.target]
    return last is not None and not any(last < at < move.start for at in retired)


def _visited_since(evidence: Evidence, move: RoamTimes, name: str, retired: Instant) -> bool:
    return any(
        other.host == move.host and other.target == name and retired < other.start < move.start
        for other in evidence.moves
    )


# --- loss -------------------------------------------------------------------------------------------


def _losses(
    evidence: Evidence, anchors: Anchors, move: RoamTimes, until: Instant, told: set[str]
) -> Iterable[FlowLoss]:
    assert move.source is not None
    assert move.target is not None
    for record in evidence.records:
        anchor = anchors.of(record.source)
        if record.kind != "stream" or record.host != move.host or anchor is None:
            continue
        if not record.started < move.start < (record.ended or evidence.ended):
            continue
        limit = bound(
            evidence.topology, evidence.mode, cmd=evidence.cmd, serving=move.target, anchor=anchor,
            previous=move.source, others=told,
        )  # fmt: skip
        ends = min(until, record.ended or evidence.ended)
        window = handover_window(move.disassociated, ends)
        if evidence.reach is not None:
            window = Window(window.start, min(window.end, move.disassociated + evidence.reach))
        for name, direction in (("down", record.down), ("up", record.up)):
            found = loss(direction, window)
            if not found.sent:
                continue
            control = control_loss(direction, evidence.quiet.get(move.host, ()))
            rate = _rate([at for at in direction.sent if window.start <= at < window.end])
            yield _flow_loss(record, name, anchor, found, control, rate, limit.old_prefix + evidence.outage)


def _flow_loss(
    record: FlowRecord, direction: str, anchor: str, found: Loss, control: Loss, rate: float, limit: Duration
) -> FlowLoss:
    packets = found.less(control)
    return FlowLoss(
        record.flow, direction, anchor, found.sent, found.lost, control.sent, control.lost,
        packets, rate, lost_time(packets, rate), milliseconds(limit),
    )  # fmt: skip


def _rate(sent: Sequence[Instant]) -> float:
    """Packets a second that a sender meant to send: stalls of a busy machine do not count."""
    if len(sent) < 2:
        return 0.0
    spans = [after - before for before, after in pairwise(sent)]
    # After a stall a sender catches up with packets back to back: spans of ten tell its intention.
    tens = [after - before for before, after in zip(sent, sent[10:], strict=False)]
    span = statistics.median(tens) / 10 if len(tens) > 10 else statistics.median(spans)
    return SECOND / span if span else 0.0


# --- hops -------------------------------------------------------------------------------------------


def _measure_hops(
    evidence: Evidence, anchors: Anchors, number: int, move: RoamTimes, until: Instant, result: HandoverResult
) -> None:
    assert move.target is not None
    window = Window(move.associated or move.start, until - IN_FLIGHT)
    result.new_flow = new_flow(evidence, anchors, move, until)
    direct = result.new_flow.routers if result.new_flow else None
    oldest = next((one for one in result.losses if one.direction == "down"), None)
    if oldest is None:
        return
    record = next(record for record in evidence.records if record.flow == oldest.flow)
    result.old_routers = evidence.old_routers.get(number) or routers_passed(record.down, window)
    result.old_stretch_formula = stretch_formula(
        evidence.topology, server=evidence.server, anchor=oldest.anchor, serving=move.target
    )
    if oldest.anchor == move.target:
        result.old_stretch_formula = 1.0
    if direct and result.old_routers:
        result.old_stretch = result.old_routers / direct


def new_flow(evidence: Evidence, anchors: Anchors, move: RoamTimes, until: Instant) -> NewFlow | None:
    """The first exchange that began after `move` from an address of the new router."""
    attached = move.announced or move.start
    for record in evidence.records:
        # By the start of the move: the time of the attach is noted after it, and the host may be quicker.
        if record.kind != "exchange" or record.host != move.host or not move.start < record.started < until:
            continue
        if anchors.of(record.source) != move.target or not record.first_sent:
            continue
        beside = next((other for other in evidence.records if other.flow == record.flow + "/hops"), None)
        passed = routers_passed(beside.down, Window(attached, until - IN_FLIGHT)) if beside else None
        assert move.target is not None
        direct = len(evidence.topology.path(evidence.server, move.target)) - 1
        return NewFlow(
            first_packet_ms=max(0.0, milliseconds(record.first_sent - attached)),
            answer_ms=milliseconds(record.connected - attached) if record.connected else float("inf"),
            routers=passed,
            stretch=passed / direct if passed else None,
        )
    return None
