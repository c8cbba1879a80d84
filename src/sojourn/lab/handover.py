"""Fast and lossless handover (RFC 5949), beside an ordinary one: ``sojourn lab run handover``.

A stock host gets 2,000 packets a second while it changes routers, and is in no cell for 60 ms each time. Four kinds of
change, in a domain of Proxy Mobile IPv6 and in one of RFC 8885, and there also of a host that is a router, whose
passengers get the packets (RFC 7148):

* ordinary: the same software without fast handovers, for comparison;
* predictive: the old router is told before where the host goes, as access points know (IEEE 802.11r, 802.11v);
* reactive: the old router sees the host leave, and nobody knows where to;
* unnoticed: not even that.

Every packet is numbered; each change has a flow of its own, so that lost, overtaken and repeated packets are those of
that change.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network
from pathlib import Path

from sojourn.lab.conduct import conduct
from sojourn.lab.kernel_state import host_addresses
from sojourn.lab.lab import Lab
from sojourn.lab.measure import crowding, milliseconds
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict, to_json
from sojourn.lab.topology import Setting, Topology, load
from sojourn.lab.traffic import FlowRecord, Traffic, TrafficError
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

RATE = 2000
"""Packets a second to the host."""
UP_RATE = 100
GAP: Duration = 60 * MILLISECOND
SLACK: Duration = 50 * MILLISECOND
"""For a busy machine: how much later than the formula says a message may be."""
ORDINARY, PREDICTIVE, REACTIVE, UNNOTICED = "ordinary", "predictive", "reactive", "unnoticed"
FAST = (PREDICTIVE, REACTIVE, UNNOTICED)
_DOMAINS = (("MAG", "pmipv6", "mag"), ("MAAR", "walk", "maar"))
NETWORK = "MAG, network"
"""Packets to the delegated prefix of a host that is a router."""
_ADDRESS_WITHIN = 15.0
_BEFORE, _AFTER = 0.6, 1.6
"""Seconds of a flow before and after a change."""


@dataclass(slots=True)
class Change:
    """One change of routers, and what became of the packets."""

    domain: str
    """``MAG`` or ``MAAR``."""
    kind: str
    source: str
    target: str
    sent: int
    lost: int
    overtaken: int
    repeated: int
    up_lost: int
    """Packets of the host that were lost, beyond those that it sent to nobody during the gap."""
    up_disorder: int
    """Packets of the host that were overtaken or repeated."""
    bound: int
    """Packets to the host that may be lost."""


@scenario("handover", "fast handover without loss between MAGs and between MAARs, beside an ordinary one (RFC 5949)")
def handover(options: ScenarioOptions) -> int:
    """All kinds of change in both kinds of domain."""
    return conduct("handover", options, lambda: make_report(_all_domains(options)))


def _all_domains(options: ScenarioOptions) -> list[Change]:
    say: Callable[[str], object] = (lambda line: None) if options.json else print
    changes: list[Change] = []
    for name, topology, section in _DOMAINS:
        for fast in (False, True):
            say(f"{name}: {'fast' if fast else 'ordinary'} handovers ...")
            place = options.output / f"{section}-{'fast' if fast else 'ordinary'}"
            kinds = FAST if fast else (ORDINARY,)
            changes += run_domain(name, load(topology), section, kinds, place)
    say(f"{NETWORK}: fast handovers ...")
    known = (PREDICTIVE, REACTIVE)
    return changes + run_domain(NETWORK, load("delegation"), "mag", known, options.output / "network", passenger)


# --- the run ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Stream:
    """Where the packets of a run go."""

    address: str
    """Of the host, or of somebody behind it."""
    radio: str
    """What roams, as the air calls it."""


def run_domain(
    name: str,
    topology: Topology,
    section: str,
    kinds: Sequence[str],
    output: Path,
    arrive: Callable[[Lab], Stream] | None = None,
) -> list[Change]:
    """There and back for each kind, between the first two routers. `arrive` waits for what the packets go to, if that
    is not an address of the host's own. Raises TrafficError, DaemonFailed, OSError."""
    settings: dict[str, Setting] = {"handovers": 0 if ORDINARY in kinds else 8}
    merged = getattr(topology, section) | settings
    with Lab(topology.model_copy(update={section: merged}), output, capture="signalling") as lab:
        return _Domain(lab, name).run(kinds, output, arrive or own_address)


def own_address(lab: Lab) -> Stream:
    """The first address of the first host."""
    host = lab.topology.hosts[0]

    def look() -> str | None:
        found = host_addresses(lab.nodes[host].namespace)
        return next((one.address for one in found if not one.tentative and not one.deprecated), None)

    address = until(look, f"{host} has no address")
    time.sleep(0.5)  # what duplicate address detection holds up goes first
    return Stream(address, host)


def passenger(lab: Lab) -> Stream:
    """An address of the network that is delegated to the first host, behind no link that a gateway sees."""
    stream = own_address(lab)

    def look() -> str | None:
        with lab.client("lma") as client:
            return next((one for row in client.show("bindings", plain=True) for one in row["delegated"]), None)

    network = until(look, f"{stream.radio} is not delegated a prefix")
    address = str(IPv6Network(network)[0x42])
    with lab.nodes[stream.radio].namespace.entered():
        subprocess.run(("ip", "address", "add", f"{address}/128", "dev", "lo", "nodad"), check=True)
    return Stream(address, stream.radio)


def until(look: Callable[[], str | None], complaint: str) -> str:
    """What `look` finds. Raises TrafficError after a while."""
    deadline = time.monotonic() + _ADDRESS_WITHIN
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.05)
    raise TrafficError(f"{complaint} after {_ADDRESS_WITHIN:g} s")


class _Domain:
    """One lab with one host."""

    def __init__(self, lab: Lab, name: str) -> None:
        self._lab, self._name = lab, name
        self._host, self._server = lab.topology.hosts[0], lab.topology.of_kind("server")[0]
        self._routers = lab.topology.access_routers[:2]
        places = (self._host, self._server)
        namespaces = {place: lab.nodes[place].namespace.descriptor for place in places}
        self._traffic = Traffic(namespaces, status_every=0)
        self._times: list[tuple[Instant, Duration]] = []
        """When the host left at each change, and the gap as it was: a busy machine sleeps longer than it is told to."""

    def run(self, kinds: Sequence[str], output: Path, arrive: Callable[[Lab], Stream]) -> list[Change]:
        """Change by change."""
        with self._traffic:
            self._traffic.serve(self._server, self._lab.topology.address(self._server))
            stream = arrive(self._lab)
            ways = (self._routers, self._routers[::-1])
            moves = [(kind, one, other) for kind in kinds for one, other in ways]
            for number, move in enumerate(moves):
                self._move(f"{number} {' '.join(move)}", stream, *move)
            records = self._traffic.finish(output / "flows.jsonl")
        self._lab.check()
        found = {int(record.flow.partition(" ")[0]): record for record in records}
        return [self._judge(found[number], *self._times[number], *move) for number, move in enumerate(moves)]

    def _move(self, flow: str, stream: Stream, kind: str, one: str, other: str) -> None:
        server = self._lab.topology.address(self._server)
        self._traffic.stream(flow, self._host, stream.address, server, up=UP_RATE, down=RATE)
        time.sleep(_BEFORE)
        self._lab.mark(flow)
        if kind == PREDICTIVE and not self._lab.announce(stream.radio, other):
            raise TrafficError(f"{one} does not forward to {other}")
        times = self._lab.air.roam(stream.radio, other, outage=GAP / SECOND, notice=kind != UNNOTICED)
        assert times.associated is not None
        self._times.append((times.disassociated, max(times.associated - times.disassociated, GAP)))
        time.sleep(_AFTER)
        self._traffic.stop(flow)

    def _judge(self, record: FlowRecord, left: Instant, gap: Duration, kind: str, one: str, other: str) -> Change:
        down, up = record.down, record.up
        silent = int(UP_RATE * gap / SECOND) + 1
        return Change(
            self._name,
            kind,
            one,
            other,
            len(down.sent),
            len(down.sent) - down.arrived,
            down.reordered,
            down.duplicates,
            max(0, len(up.sent) - up.arrived - silent),
            up.reordered + up.duplicates,
            self._bound(left, gap, kind, one, other),
        )

    def _bound(self, left: Instant, gap: Duration, kind: str, one: str, other: str) -> int:
        """Lost at most: predictive nothing; reactive what came during the gap, or until the old router heard of it, if
        the machine let it wait; unnoticed until the new one asked."""
        slack = int(SLACK * crowding())
        if kind == PREDICTIVE:
            return 0
        if kind == UNNOTICED:
            return RATE * (gap + self._lab.topology.delay(other, one) + slack) // SECOND
        if kind == REACTIVE:
            return RATE * max(gap, self._heard(one, left) - left + slack) // SECOND
        return RATE * gap // SECOND  # an ordinary one is not judged by this

    def _heard(self, router: str, left: Instant) -> Instant:
        """When the daemon of `router` was told that the host was gone, by its own record."""
        with (self._lab.output / "events" / f"{router}.jsonl").open() as lines:
            told = (json.loads(line) for line in lines if '"NodeDetached"' in line)
            return next((one["t"] for one in told if one["t"] >= left), left)


# --- what came of it ----------------------------------------------------------------------------------------------


def make_report(changes: Sequence[Change]) -> Report:
    """The table, and what had to hold."""
    rows: list[Sequence[str]] = []
    for change in changes:
        rows.append(
            (
                change.domain,
                change.kind,
                f"{change.source} to {change.target}",
                str(change.sent),
                str(change.lost),
                str(change.overtaken),
                str(change.repeated),
                str(change.up_lost),
            )
        )
    columns = ("", "handover", "", "sent", "lost", "overtaken", "twice", "up lost")
    return Report(
        "Fast handovers",
        f"A host gets {RATE} packets a second and is in no cell for {milliseconds(GAP):g} ms at each change.",
        verdicts=[*verdicts(changes)],
        tables=[Table("Packets to the host at each change of routers", columns, rows, _NOTE)],
        conditions=[
            ("traffic", f"{RATE} packets a second to the host, {UP_RATE} from it, 172 octets each"),
            ("gap", f"{milliseconds(GAP):g} ms without any cell"),
        ],
        data={"changes": to_json(list(changes))},
    )


def verdicts(changes: Sequence[Change]) -> list[Verdict]:
    """Goals of each kind; the ordinary ones show that packets are lost at all."""
    found = []
    for domain in dict.fromkeys(change.domain for change in changes):
        of_domain = [change for change in changes if change.domain == domain]
        for kind in dict.fromkeys(change.kind for change in of_domain):
            these = [change for change in of_domain if change.kind == kind]
            lost, bound = max(change.lost for change in these), max(change.bound for change in these)
            disorder = sum(change.overtaken + change.repeated + change.up_disorder for change in these)
            if kind == ORDINARY:
                least = RATE * GAP // SECOND // 2
                said = f"{lost} lost"
                found.append(Verdict(f"{domain}, {kind}", said, f"more than {least}: the control", lost > least))
            else:
                said = f"{lost} lost, {disorder} out of order or twice"
                required = f"at most {bound} lost, 0 out of order or twice"
                found.append(Verdict(f"{domain}, {kind}", said, required, lost <= bound and disorder == 0))
    return found


_NOTE = (
    "Ordinary: without fast handovers. Predictive: the old router is told where the host goes. Reactive: it sees the "
    "host leave. Unnoticed: it does not. Up lost: packets of the host beyond those that it sent during the gap."
)
