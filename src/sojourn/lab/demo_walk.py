"""One host walks over access routers while sessions of several kinds run, with mobility or without.

The walk itself, for the demo and for tests; how it is shown is a `View`, what it is worth is judged
afterwards from the `Evidence` that it returns.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from pathlib import Path
from typing import Generic, TypeVar

from sojourn.lab.air import RoamTimes
from sojourn.lab.lab import Lab
from sojourn.lab.live import Session, Stage, View
from sojourn.lab.measure import INITIAL_HOP_LIMIT, Window
from sojourn.lab.measure_run import Anchors, Evidence
from sojourn.lab.measure_signalling import SignallingMonitor, routers_through_tunnel, watch_tunnel, write_signals
from sojourn.lab.topology import Topology
from sojourn.lab.traffic import VOICE_RATE, FlowRecord, Happening, Traffic, TrafficError
from sojourn.wire.addresses import Prefix, address
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

_ATTACH_TIMEOUT = 15.0
"""Seconds for a host with default duplicate address detection to have its first address."""
_PREFIX_LENGTH = 64
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class WalkPlan:
    """What the host does and for how long."""

    stops: tuple[str, ...] = ("ar2", "ar3", "ar1")
    control: float = 3.0
    """Seconds of traffic before the first move."""
    dwell: float = 6.5
    """Seconds at each router."""
    outage: Duration = 0
    """For which the host is nowhere between two routers."""
    linger: float = 2.0
    """Seconds that a flow from the router left before goes on after a move."""
    patience: Duration = 10 * SECOND
    """A client that hears nothing for so long gives up, as download tools and people do. With mobility or without:
    a comparison in which one side has less of it shows nothing.
    """
    download_rate: int = 300_000
    """Octets a second."""
    exchange_every: Duration = 80 * MILLISECOND
    retire_within: float = 15.0
    """Seconds after the flows ended in which their prefixes must be gone."""

    @property
    def away(self) -> float:
        """Seconds between leaving the first router and the last move, which may lead back there."""
        return self.dwell * (len(self.stops) - 1)


@dataclass(slots=True)
class WalkResult:
    """What a walk left behind."""

    evidence: Evidence
    records: list[FlowRecord]
    source: str
    """The host's first address, that the old sessions are bound to."""
    stays: list[tuple[str, Instant, Instant]] = field(default_factory=list)
    """Where the host was when."""
    retired: dict[str, Instant] = field(default_factory=dict)
    """Prefixes that their anchor gave up, and when."""
    visited: dict[str, str] = field(default_factory=dict)
    """Prefix that the host got at each router."""

    @property
    def away(self) -> list[Window]:
        """When the host was at other routers than the one where its old sessions began."""
        first = self.stays[0][0]
        return [Window(since, until) for router, since, until in self.stays if router != first]


class Journey(ABC, Generic[R]):
    """A host that goes from stop to stop while its sessions run; what is watched at a stop is for those who inherit.

    `run` once, in a lab that is up.
    """

    def __init__(self, lab: Lab, plan: WalkPlan, view: View, stage: Stage, anchor: Callable[[str], str | None]) -> None:
        """`anchor` says which node of the lab anchors an address."""
        self._lab, self._plan, self._view, self._stage, self._anchor = lab, plan, view, stage, anchor
        topology: Topology = lab.topology
        self._topology = topology
        self._host, self._server = topology.hosts[0], topology.of_kind("server")[0]
        self._server_address = topology.address(self._server)
        self._moves: list[RoamTimes] = []
        self._stays: list[tuple[str, Instant]] = []
        namespaces = {name: lab.nodes[name].namespace.descriptor for name in (self._host, self._server)}
        self._traffic = Traffic(namespaces, patience=plan.patience, on_event=self._happened)
        self._monitor = SignallingMonitor({name: lab.nodes[name].namespace for name in topology.daemons})

    def run(self, output: Path) -> R:
        """Go. The records of the flows stay in `output`."""
        try:
            return self._run(output)
        finally:
            self._traffic.close()
            self._monitor.close()

    @abstractmethod
    def _run(self, output: Path) -> R: ...

    # --- the steps --------------------------------------------------------------------------------

    def _arrive(self) -> str:
        """Wait for the first address; duplicate address detection takes its time."""
        self._stage.phase = f"{self._host} gets its first address"
        self._traffic.serve(self._server, self._server_address)
        self._traffic.watch(self._host)
        self._at(self._lab.air.where(self._host), time.monotonic_ns())
        found = self._traffic.wait(
            "address", _ATTACH_TIMEOUT, host=self._host, present=True, usable=True, preferred=True
        )
        source: str = found["address"]
        self._view.say(f"{self._host} has {source} at {self._stage.at}")
        return source

    def _start_sessions(self, source: str) -> None:
        plan, anchor = self._plan, self._anchor(source) or ""
        seconds = plan.control + plan.dwell * len(plan.stops) - 1.0
        for flow, title, kind in (
            ("download", "download", "download"),
            ("terminal", "terminal", "exchange"),
            ("voice", "voice call", "stream"),
        ):
            self._stage.sessions[flow] = Session(title, anchor, kind)
        common = (self._host, source, self._server_address)
        octets = int(plan.download_rate * seconds)
        self._traffic.stream("voice", *common, up=VOICE_RATE, down=VOICE_RATE)
        self._traffic.exchange("terminal", *common, interval=plan.exchange_every)
        self._traffic.download("download", *common, octets=octets, rate=plan.download_rate)
        self._view.say(f"a download, a terminal session and a voice call begin from {source}")

    def _roam(self, stop: str) -> None:
        left = self._stage.at
        self._lab.mark(f"{self._host} moves from {left} to {stop}")
        move = self._lab.air.roam(self._host, stop, outage=self._plan.outage / SECOND)
        self._moves.append(move)
        self._at(stop, move.associated or move.start)
        self._view.say(f"{self._host} moves from {left} to {stop}")

    def _finish_sessions(self, *others: str) -> None:
        """The download may need a moment more; then everybody hangs up, these `others` too."""
        try:
            self._traffic.wait("ended", self._plan.patience / SECOND + 5, flow="download")
        except TrafficError as error:
            self._view.say(str(error))
        self._traffic.stop("terminal", "voice", *others)
        self._view.say("all sessions end")

    def _records(self, output: Path) -> list[FlowRecord]:
        """What is left of flows and messages when all is over."""
        self._stage.phase = "done"
        records = self._traffic.finish(output / "traffic.jsonl")
        self._monitor.close()
        write_signals(output / "signalling.jsonl", self._monitor.signals)
        return records

    # --- what is seen ---------------------------------------------------------------------------------

    def _phase(self, name: str, seconds: float) -> None:
        self._stage.phase = name
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._poll()
            time.sleep(min(0.1, left))

    def _poll(self) -> None:
        """Look at what happened meanwhile."""

    def _at(self, router: str | None, since: Instant) -> None:
        self._stage.at = router
        self._stays.append((router or "", since))

    def _stays_until(self, ended: Instant) -> list[tuple[str, Instant, Instant]]:
        """Where the host was, since when and until when."""
        ends: Sequence[Instant] = [since for _, since in self._stays[1:]] + [ended]
        return [(router, since, end) for (router, since), end in zip(self._stays, ends, strict=True)]

    def _happened(self, happening: Happening) -> None:
        """What the traffic process says, in its reader's thread."""
        self._stage.take(happening)
        if happening["event"] == "address":
            self._address_changed(happening)
        elif happening["event"] == "started" and happening["flow"].startswith("new-"):
            if not happening["flow"].endswith("/hops"):
                self._view.say(f"a new flow begins from {happening['source']}")
        elif happening["event"] == "ended" and happening["flow"] in ("download", "terminal", "voice"):
            session = self._stage.sessions[happening["flow"]]
            self._view.say(f"{session.title}: {session.outcome}")

    def _address_changed(self, happening: Happening) -> None:
        if not happening["present"] or not happening["usable"]:
            return
        prefix = Prefix.of(IPv6Address(happening["address"]).packed, _PREFIX_LENGTH)
        name, anchor = str(prefix), self._anchor(happening["address"]) or "?"
        state = "preferred" if happening["preferred"] else "deprecated"
        if self._stage.take_prefix(name, anchor, state):
            self._prefix_has(name, state)
            self._view.say(f"prefix {name} of {anchor} is {state}")

    def _prefix_has(self, prefix: str, state: str) -> None:
        """A prefix of the host is in another state."""


class Walk(Journey[WalkResult]):
    """One walk through a lab of MAARs, or of plain routers. `run` once."""

    def __init__(self, lab: Lab, plan: WalkPlan, view: View, stage: Stage) -> None:
        self._anchors = Anchors(lab.topology)
        self._retired: dict[str, Instant] = {}
        self._old_routers: dict[int, int] = {}
        self._signals_read = 0
        super().__init__(lab, plan, view, stage, self._anchors.of)

    def _run(self, output: Path) -> WalkResult:
        source = self._arrive()
        self._start_sessions(source)
        quiet_from = time.monotonic_ns()
        self._phase("control phase: nobody moves", self._plan.control)
        for number, stop in enumerate(self._plan.stops):
            self._move(number, stop, source)
        last = f"new-{len(self._plan.stops)}"
        self._finish_sessions(last, f"{last}/hops")
        ended = time.monotonic_ns()
        if self._topology.mobility:
            self._await_retirement()
        return self._result(self._records(output), source, quiet_from, ended)

    def _move(self, number: int, stop: str, source: str) -> None:
        """Roam; a new flow starts when the new address is there; the flow of the stop before ends a little later."""
        plan, flow = self._plan, f"new-{number + 1}"
        pool = self._topology.nodes[stop].pool
        self._stage.sessions[flow] = Session(f"new at {stop}", stop, "exchange")
        self._traffic.greet(
            flow, self._host, self._server_address, within=str(pool), interval=plan.exchange_every, rate=20
        )
        self._roam(stop)
        self._phase(f"at {stop}", plan.linger)
        if number > 0:
            self._traffic.stop(f"new-{number}", f"new-{number}/hops")
        started = time.monotonic()
        hops = watch_tunnel(self._lab.nodes[stop].namespace, address(source), 0.5) if self._topology.mobility else None
        if hops is not None:
            self._old_routers[number] = routers_through_tunnel(hops, INITIAL_HOP_LIMIT)
        self._phase(f"at {stop}", plan.dwell - plan.linger - (time.monotonic() - started))

    def _await_retirement(self) -> None:
        """Every prefix of a router that the host is not at goes when nobody used it for a while."""
        self._stage.phase = "old prefixes retire"
        deadline = time.monotonic() + self._plan.retire_within
        expected = {stop for stop in (*self._plan.stops, self._stays[0][0]) if stop != self._stage.at}
        while time.monotonic() < deadline:
            self._poll()
            if expected <= {self._anchors.of_prefix(_prefix(text)) for text in self._retired}:
                return
            time.sleep(0.1)

    def _poll(self) -> None:
        """Retirements, as the wire shows them."""
        signals = self._monitor.signals
        while self._signals_read < len(signals):
            signal = signals[self._signals_read]
            self._signals_read += 1
            if signal.retires is not None and str(signal.retires) not in self._retired:
                name = str(signal.retires)
                self._retired[name] = signal.at
                anchor = self._anchors.of_prefix(signal.retires) or "?"
                self._stage.take_prefix(name, anchor, "retired")
                self._view.say(f"{name} retires: no flow uses it any more, {anchor} forgets it")

    def _prefix_has(self, prefix: str, state: str) -> None:
        if state == "preferred":
            self._retired.pop(prefix, None)

    def _result(self, records: list[FlowRecord], source: str, quiet_from: Instant, ended: Instant) -> WalkResult:
        first = self._moves[0].start if self._moves else ended
        cmd = self._topology.of_kind("cmd")
        evidence = Evidence(
            topology=self._topology,
            mode=self._topology.mode,
            cmd=cmd[0] if cmd else "",
            server=self._server,
            moves=self._moves,
            records=records,
            signals=list(self._monitor.signals),
            identifiers={self._host: self._lab.air.link_layer(self._host)},
            quiet={self._host: [Window(quiet_from, first - 200 * MILLISECOND)]},
            ended=ended,
            old_routers=self._old_routers,
        )
        result = WalkResult(evidence, records, source, retired=self._retired)
        result.stays = self._stays_until(ended)
        result.visited = {seen.anchor: seen.prefix for seen in self._stage.prefixes.values()}
        return result


def _prefix(text: str) -> Prefix:
    network, _, length = text.partition("/")
    return Prefix(address(network), int(length))
