"""``sojourn lab run multicast``: two stock hosts listen to a group and roam; one copy on every wire, and it follows.

First both are at ar1: the control phase, in which one copy of each packet must pass ar1's uplink and both must get each
packet once. Then mn2 roams to and fro, and what it loses is set beside what the signalling needs and beside what mn1,
which stays, loses meanwhile. At the end mn1 follows, and ar1 must have ceased to pull the group.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from sojourn.lab.conduct import conduct_with
from sojourn.lab.lab import Lab
from sojourn.lab.multicast_traffic import MulticastTraffic, missing, repeated
from sojourn.lab.own_options import number
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict
from sojourn.lab.topology import load
from sojourn.wire.addresses import address, text
from sojourn.wire.units import MILLISECOND, SECOND

GROUP = address("ff0e::5052")
RATE = 500
"""Packets a second."""
_CONTROL = 2.0
"""Seconds of the control phase."""
_DWELL = 1.2
"""Seconds at each place."""
_MOVES = 10
_PATIENCE = 10.0
_SPARE = 10 * MILLISECOND
"""What a packet may take longer than its links say."""
_TICKS_MS = 12.0
"""What a Linux host takes to answer a query that allows it no time: three ticks at 250 Hz."""
_ALLOWANCE_MS = 20.0
"""For scheduling, kernels and Python."""


@dataclass(slots=True)
class Phase:
    """A stretch of packet numbers, and where the listeners were."""

    places: dict[str, str]
    first: int
    behind: int = 0
    moved: str = ""
    """Who roamed at its beginning."""

    @property
    def numbers(self) -> range:
        """The packets that were sent meanwhile."""
        return range(self.first, self.behind)


@dataclass(slots=True)
class Result:
    """All phases, and what was heard and passed."""

    traffic: MulticastTraffic
    phases: list[Phase] = field(default_factory=list)
    signalling_ms: float = 0.0
    """From an access router to the core and back."""
    under_way: int = 0
    """Packets that are on their way from source to access router: who roams misses those."""

    @property
    def moves(self) -> list[Phase]:
        """The phases that began with a roam of mn2."""
        return [phase for phase in self.phases if phase.moved == "mn2"]

    def lost(self, host: str, phase: Phase) -> int:
        """Packets of the phase that `host` never got."""
        return len(missing(self.traffic.heard[host], phase.numbers))

    def twice(self, host: str, phase: Phase) -> int:
        """Packets of the phase that `host` got more than once: in a move, both routers may have one for it."""
        return len(repeated(self.traffic.heard[host], phase.numbers))

    def copies(self, router: str, phase: Phase) -> tuple[int, int]:
        """Packets of the phase that passed the router's uplink, and how many of them more than once."""
        counter = self.traffic.passed[f"{router}:to-core"]
        numbers = phase.numbers
        return len(numbers) - len(missing(counter, numbers)), len(repeated(counter, numbers))


@scenario("multicast", "two listeners of one group roam: one copy on each wire, and it follows them (--moves)")
def multicast(options: ScenarioOptions) -> int:
    """Exit status 0 when everything that had to hold did."""
    return conduct_with(
        "multicast",
        options,
        lambda options: number(options.extra, "moves", _MOVES, 1, 1000),
        lambda moves: make_report(_lab(options, moves)),
    )


def _lab(options: ScenarioOptions, moves: int) -> Result:
    with Lab(load("multicast"), options.output, capture="signalling") as lab:
        result = roam(lab, moves)
        lab.check()
    return result


# --- the run ------------------------------------------------------------------------------------------------------


def roam(lab: Lab, moves: int) -> Result:
    """Listen, roam, and tell what came of it. Raises TimeoutError when the group does not arrive at all."""
    server = lab.nodes["server"]
    with MulticastTraffic(server, GROUP, RATE) as traffic:
        result = Result(traffic, signalling_ms=2 * lab.topology.delay("ar1", "core") / MILLISECOND)
        result.under_way = RATE * (lab.topology.delay("server", "ar1") + _SPARE) // SECOND
        for router in ("ar1", "ar2"):
            traffic.watch(lab.nodes[router], "to-core")
        for host in ("mn1", "mn2"):
            traffic.listen(lab.nodes[host])
            _wait_for(traffic, host)
        _stay(result, {"mn1": "ar1", "mn2": "ar1"}, _CONTROL)
        for number in range(moves):
            place = "ar1" if number % 2 else "ar2"
            _move(lab, result, "mn2", place)
        if result.phases[-1].places["mn2"] == "ar1":
            _move(lab, result, "mn2", "ar2")
        _move(lab, result, "mn1", "ar2")
        _stay(result, {"mn1": "ar2", "mn2": "ar2"}, _DWELL)
    return result


def _wait_for(traffic: MulticastTraffic, host: str) -> None:
    end = time.monotonic() + _PATIENCE
    while not traffic.heard[host]:
        if time.monotonic() > end:
            raise TimeoutError(f"{host} hears nothing of {text(GROUP)} after {_PATIENCE:g} s")
        time.sleep(0.01)


def _stay(result: Result, places: dict[str, str], seconds: float, moved: str = "") -> None:
    first = result.phases[-1].behind if result.phases else result.traffic.sent
    phase = Phase(places, first, moved=moved)
    result.phases.append(phase)
    time.sleep(seconds)
    phase.behind = result.traffic.sent - result.under_way


def _move(lab: Lab, result: Result, host: str, router: str) -> None:
    lab.mark(f"{host} roams to {router}")
    lab.air.roam(host, router)
    _stay(result, result.phases[-1].places | {host: router}, _DWELL, moved=host)


# --- what came of it ----------------------------------------------------------------------------------------------


def make_report(result: Result) -> Report:
    """Tables and verdicts."""
    return Report(
        "Multicast to hosts that roam",
        f"Two stock listeners of {text(GROUP)}, {RATE} packets a second; each access router is an MLD proxy.",
        verdicts=_verdicts(result),
        tables=[_table(result)],
        data={
            "lost_per_move": [result.lost("mn2", phase) for phase in result.moves],
            "lost_by_mn1_meanwhile": [result.lost("mn1", phase) for phase in result.moves],
            "twice_per_move": [result.twice("mn2", phase) for phase in result.moves],
            "packets_per_move": [len(phase.numbers) for phase in result.moves],
        },
    )


def _table(result: Result) -> Table:
    rows: list[Sequence[str]] = []
    for phase in result.phases:
        cells = [str(result.lost(host, phase)) for host in ("mn1", "mn2")]
        copies = ["/".join(map(str, result.copies(router, phase))) for router in ("ar1", "ar2")]
        rows.append((_title(phase), str(len(phase.numbers)), *cells, *copies))
    note = (
        "Lost: packets that the host never got. ar1, ar2: packets that passed the router's uplink, and how many of "
        f"these more than once. A move to where nobody listened costs {result.signalling_ms:.0f} ms of signalling to "
        f"the core and back and up to {_TICKS_MS:.0f} ms until a Linux host answers (3 ticks at 250 Hz); "
        f"{_ALLOWANCE_MS:.0f} ms more are allowed."
    )
    return Table("What came, and on which wire", ("", "sent", "mn1 lost", "mn2 lost", "ar1", "ar2"), rows, note)


def _title(phase: Phase) -> str:
    return f"{phase.moved} to {phase.places[phase.moved]}" if phase.moved else "nobody moves"


def _verdicts(result: Result) -> list[Verdict]:
    control, last = result.phases[0], result.phases[-1]
    sent = len(control.numbers)
    copies, more = result.copies("ar1", control)
    resting = [("mn1", phase) for phase in (control, *result.moves, last)] + [("mn2", control), ("mn2", last)]
    twice = sum(result.twice(host, phase) for host, phase in resting)
    moves = [phase for phase in result.moves if phase.places["mn2"] == "ar2"]
    lost_ms = [result.lost("mn2", phase) * 1000 / RATE for phase in moves]
    allowed = result.signalling_ms + _TICKS_MS + _ALLOWANCE_MS
    quiet = sum(result.lost(host, control) for host in ("mn1", "mn2"))
    stayed = sum(result.lost("mn1", phase) for phase in result.moves)
    pulled, _ = result.copies("ar1", last)
    final, doubled = result.copies("ar2", last)
    return [
        _exactly(
            "copies on ar1's wire for two listeners", f"{copies} of {sent}, {more} twice", f"{sent} of {sent}, 0 twice"
        ),
        _exactly("lost by both while nobody moved", str(quiet), "0"),
        _exactly("lost by mn1, which stayed, while mn2 moved", str(stayed), "0"),
        _exactly("packets that a listener which rested got twice", str(twice), "0"),
        Verdict(
            f"lost by mn2 in a move to ar2, median of {len(lost_ms)}",
            f"{median(lost_ms):.0f} ms",
            f"at most {allowed:.0f} ms",
            median(lost_ms) <= allowed,
        ),
        _exactly("packets that ar1 still pulled when both had left", str(pulled), "0"),
        _exactly("copies on ar2's wire then, twice", f"{final}, {doubled}", f"{len(last.numbers)}, 0"),
    ]


def _exactly(name: str, measured: str, required: str) -> Verdict:
    return Verdict(name, measured, required, measured == required)
