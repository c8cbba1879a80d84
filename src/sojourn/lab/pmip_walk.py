"""The same walk through a domain of Proxy Mobile IPv6 (RFC 5213): ``sojourn lab run pmipv6``.

One stock host walks over three gateways with a download, a terminal session and a voice call. It keeps its address, and
so do its sessions; all of its packets go by way of the LMA, wherever it is. Three figures are set beside what the
standard implies on these links:

* packets of the voice call that were lost at a move, beyond those of the outage: those to the host until the LMA knows
  of the new gateway, and those that are on the way to the old one; those from the host until the new gateway has the
  answer of the LMA (RFC 5213 6.10.5: it forwards for registered nodes);
* signalling: de-registration and registration, each with its acknowledgement (RFC 5213, figure 4);
* the delay of packets to the host, beside that of the straight way, which they do not take.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from pathlib import Path
from time import monotonic_ns
from typing import Any

from sojourn.lab.air import RoamTimes
from sojourn.lab.conduct import conduct_before
from sojourn.lab.demo import ALLOWANCE_MS, PACKET_MS
from sojourn.lab.demo_summary import describe_flow
from sojourn.lab.demo_walk import Journey, WalkPlan
from sojourn.lab.kernel_state import host_addresses
from sojourn.lab.lab import Lab
from sojourn.lab.live import Stage, View
from sojourn.lab.measure import IN_FLIGHT, Window, handover_window, loss, lost_time, milliseconds
from sojourn.lab.measure_signalling import Signal, classify, tally
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict, to_json
from sojourn.lab.topology import Topology, load
from sojourn.lab.traffic import VOICE_RATE, Direction, FlowRecord, resets
from sojourn.wire.units import MILLISECOND, Duration, Instant

PLAN = WalkPlan(stops=("mag2", "mag3", "mag1"), dwell=5.0, outage=20 * MILLISECOND)
"""The outage is what a change between access points takes. Without one, the old gateway may ask for the
de-registration after the new one registered the node, and either the LMA ignores that, or the later timestamp wins and
the new gateway must ask again (RFC 5213 5.3.5, 5.5).
"""
MESSAGES = 4
"""Of one handover: two requests and their answers (RFC 5213, figure 4)."""
_SESSIONS = 3


@dataclass(slots=True)
class Move:
    """One handover between gateways."""

    source: str
    target: str
    down: float
    """Packets of the voice call to the host that were lost, as milliseconds of it."""
    up: float
    down_bound: float
    """Milliseconds in which they must be lost on these links."""
    up_bound: float
    messages: int
    """Without retransmissions."""
    repeated: int
    octets: int
    delay: float
    """Median one-way delay from the server after the move, in milliseconds."""


@dataclass(slots=True)
class ProxyWalk:
    """What the walk left behind."""

    topology: Topology
    records: list[FlowRecord]
    source: str
    """The host's address."""
    addresses: list[str] = field(default_factory=list)
    """All that it has in the end."""
    stays: list[tuple[str, Instant, Instant]] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)


@scenario("pmipv6", "one host walks over three gateways of Proxy Mobile IPv6 and keeps its address (RFC 5213)")
def pmipv6(options: ScenarioOptions) -> int:
    """The walk as a scenario."""
    return conduct_before("pmipv6", options, lambda view: make_report(walk(load("pmipv6"), PLAN, options.output, view)))


def walk(topology: Topology, plan: WalkPlan, output: Path, view: View) -> ProxyWalk:
    """Build the lab, walk, take it down. Raises TrafficError, DaemonFailed, OSError."""
    with Lab(topology, output, capture="signalling") as lab:
        lma = topology.of_kind("lma")[0]
        stage = Stage("Proxy Mobile IPv6", topology.access_routers, topology.hosts[0], True, lma)
        view.open(stage)
        return _Walk(lab, plan, view, stage, _Anchors(topology).of).run(output)


class _Anchors:
    """Which LMA anchors an address."""

    def __init__(self, topology: Topology) -> None:
        self._pools = {name: topology.nodes[name].pool for name in topology.of_kind("lma")}

    def of(self, source: str) -> str | None:
        """By its pool."""
        address = IPv6Address(source)
        return next((name for name, pool in self._pools.items() if pool is not None and address in pool), None)


class _Walk(Journey[ProxyWalk]):
    """The host and its sessions, nothing else: there are no new addresses to begin anything from."""

    def _run(self, output: Path) -> ProxyWalk:
        source = self._arrive()
        self._start_sessions(source)
        self._phase("nobody moves", self._plan.control)
        for stop in self._plan.stops:
            self._roam(stop)
            self._phase(f"at {stop}", self._plan.dwell)
        self._finish_sessions()
        ended = monotonic_ns()
        addresses = [found.address for found in host_addresses(self._lab.nodes[self._host].namespace)]
        result = ProxyWalk(self._topology, self._records(output), source, addresses, self._stays_until(ended))
        result.signals = list(self._monitor.signals)
        ends = [move.start for move in self._moves[1:]] + [ended]
        identifier = self._lab.air.link_layer(self._host)
        outage = self._plan.outage
        result.moves = [_judge(result, identifier, outage, *one) for one in zip(self._moves, ends, strict=True)]
        return result


def _judge(result: ProxyWalk, identifier: bytes, outage: Duration, move: RoamTimes, until: Instant) -> Move:
    assert move.source is not None
    assert move.target is not None
    topology, lma = result.topology, result.topology.of_kind("lma")[0]
    server = topology.of_kind("server")[0]
    voice = next(record for record in result.records if record.flow == "voice")
    window = handover_window(move.disassociated, until)
    settled = Window(window.end, until - IN_FLIGHT)
    there = topology.delay(move.target, lma)
    heard = tally(
        one
        for one in classify(result.signals)
        if move.start <= one.signal.at < until and one.signal.identifier == identifier
    )
    counted = (heard.handover, heard.retirement)
    return Move(
        source=move.source,
        target=move.target,
        down=lost_time(loss(voice.down, window).lost, VOICE_RATE),
        up=lost_time(loss(voice.up, window).lost, VOICE_RATE),
        down_bound=milliseconds(outage + there + topology.delay(lma, move.source)),
        up_bound=milliseconds(outage + 2 * there),
        messages=sum(tally.messages - tally.repeated for tally in counted),
        repeated=sum(tally.repeated for tally in counted),
        octets=sum(tally.octets for tally in counted),
        delay=_median_delay(voice.down, settled, milliseconds(topology.delay(server, lma) + there)),
    )


def _median_delay(direction: Direction, window: Window, otherwise: float) -> float:
    """Milliseconds; `otherwise` when nothing arrived."""
    found = [
        received - sent
        for sent, received in zip(direction.sent, direction.received, strict=True)
        if received and window.start <= sent < window.end
    ]
    return milliseconds(statistics.median(found)) if found else otherwise


# --- what came of it ----------------------------------------------------------------------------------


def make_report(result: ProxyWalk) -> Report:
    """Tables for people, and what had to hold."""
    first, *_ = result.stays
    return Report(
        "The walk with Proxy Mobile IPv6",
        "A stock Linux host walks {} with a download, a terminal session and a voice call, all from {}.".format(
            " to ".join(name for name, _, _ in result.stays), result.source
        ),
        verdicts=verdicts(result),
        tables=[_move_table(result)],
        conditions=_conditions(result, first[0]),
        data={
            "topology": result.topology.model_dump(mode="json"),
            "address": result.source,
            "moves": to_json(result.moves),
            "sessions": [describe_flow(record) for record in result.records],
        },
    )


def verdicts(result: ProxyWalk) -> list[Verdict]:
    """What the walk must show: one address, living sessions, no more loss and no more messages than implied."""
    living = sum(record.outcome == "complete" for record in result.records)
    download = next(record for record in result.records if record.flow == "download")
    beyond = max((max(move.down - move.down_bound, move.up - move.up_bound) for move in result.moves), default=0.0)
    allowed = ALLOWANCE_MS + PACKET_MS
    counts = sorted({move.messages for move in result.moves})
    reset = resets(result.records)
    address = "the same" if result.addresses == [result.source] else ", ".join(result.addresses) or "none"
    right = "checksum right" if download.intact else "checksum wrong"
    return [
        Verdict("address of the host", address, "the same", result.addresses == [result.source]),
        Verdict("sessions alive", f"{living} of {_SESSIONS}", f"{_SESSIONS} of {_SESSIONS}", living == _SESSIONS),
        Verdict("download", right, "checksum right", download.intact),
        Verdict("TCP resets", str(reset), "0", reset == 0),
        Verdict("messages of a move", " or ".join(map(str, counts)), str(MESSAGES), counts == [MESSAGES]),
        Verdict(
            "voice lost at a move", f"{max(0.0, beyond):.0f} ms beyond the formula",
            f"allowed {ALLOWANCE_MS:.0f} + {PACKET_MS:.0f}", beyond <= allowed,
        ),
    ]  # fmt: skip


def _move_table(result: ProxyWalk) -> Table:
    topology, moves = result.topology, result.moves
    server = topology.of_kind("server")[0]
    rows: list[Sequence[str]] = [
        ("voice lost, to host", *(f"{move.down:.0f} ms" for move in moves)),
        ("  formula", *(f"{move.down_bound:.0f} ms" for move in moves)),
        ("voice lost, from host", *(f"{move.up:.0f} ms" for move in moves)),
        ("  formula", *(f"{move.up_bound:.0f} ms" for move in moves)),
        ("signalling messages", *(_messages(move) for move in moves)),
        ("signalling octets", *(str(move.octets) for move in moves)),
        ("delay from the server", *(f"{move.delay:.1f} ms" for move in moves)),
        ("  of the straight way", *(f"{milliseconds(topology.delay(server, one.target)):.1f} ms" for one in moves)),
    ]
    return Table("What each move cost", ["", *(f"{move.source} to {move.target}" for move in moves)], rows, _NOTE)


def _messages(move: Move) -> str:
    return str(move.messages) + (f" and {move.repeated} again" if move.repeated else "")


_NOTE = (
    "Lost: packets of the voice call (one every 20 ms). Formula: the outage of 20 ms, what the signalling needs on "
    "these links if nobody takes time to think, and what was in the tunnel to the old gateway; 15 ms more are allowed, "
    "and one packet interval of 20 ms. Every packet goes by way of the LMA (RFC 5213); a domain of RFC 8885 (sojourn "
    "demo) begins new flows on the straight way."
)


def _conditions(result: ProxyWalk, first: str) -> list[tuple[str, str]]:
    topology = result.topology
    lma, server = topology.of_kind("lma")[0], topology.of_kind("server")[0]
    delays: dict[str, Any] = {
        "gateway to LMA": topology.delay(first, lma),
        "LMA to server": topology.delay(lma, server),
        "gateway to server": topology.delay(first, server),
    }
    links = ", ".join(f"{name} {milliseconds(delay):g} ms" for name, delay in delays.items())
    stay = max(round((end - since) / 1e9, 1) for _, since, end in result.stays)
    return [
        ("stops", " to ".join(name for name, _, _ in result.stays)),
        ("time at each gateway", f"{stay:g} s at most"),
        ("links", f"one way: {links}"),
        ("host", "stock Linux; it takes no part in signalling, and does not notice that it moved"),
        ("leaving", "the old gateway sees the host leave, and de-registers it"),
    ]
