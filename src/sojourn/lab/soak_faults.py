"""Hosts roam at random while at random something breaks: ``sojourn lab run soak-faults``, ``make soak``.

A seed says who moves where, what breaks and for how long: daemons are killed with SIGKILL or stand still, their clocks
are wrong or their disks full, links go down, are dead in one direction, or lose packets (`faults`). Hosts go on roaming
meanwhile, to routers whose daemon is dead as well. After every repair all must be well again before the next thing
breaks: every session of every host hears its server. Who plays is the cast's business (`soak_casts`).

What is looked at:

* no TCP session is reset or given up, whatever broke;
* while only daemons are hurt, hosts that stay where they are lose nothing: forwarding never depends on a process;
* while nothing is broken and nobody moves, nothing is lost;
* daemons that nobody killed live on, and none says that it found a bug in itself;
* the kernel refuses nothing that they ask for, and does not complain (`kernel_log`);
* memory and descriptors of the daemons do not grow (`vitals`);
* in the end every daemon finds all in its place (`sojourn selftest`);
* when all hosts are gone, the kernels of all routers hold what they held before the first one came; and when the
  daemons have stopped, what they held before these began.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sojourn.control.client import ControlError
from sojourn.lab.air import RoamTimes
from sojourn.lab.conduct import conduct_with
from sojourn.lab.faults import Fault, Faults, Kind, Plan
from sojourn.lab.kernel_log import KernelLog
from sojourn.lab.kernel_state import KernelState, host_addresses
from sojourn.lab.lab import Lab
from sojourn.lab.measure import Window
from sojourn.lab.promptness import make_prompt
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report
from sojourn.lab.soak_casts import PROBE, Cast, Distributed, Proxy, Stage
from sojourn.lab.soak_excuses import Lost, unexcused
from sojourn.lab.soak_faults_options import Domain, FaultSoakOptions, taken
from sojourn.lab.soak_mobile import Mobile
from sojourn.lab.soak_progress import Progress, SilentProgress, make_progress
from sojourn.lab.traffic import FlowRecord, Happening, Traffic
from sojourn.lab.vitals import Look, Vitals
from sojourn.wire.units import SECOND, Duration, Instant

_LONGEST: dict[Kind, float] = {
    "kill": 1.0, "freeze": 3.0, "cut": 4.0, "deaf": 4.0, "mute": 4.0, "loss": 5.0, "clock": 3.0, "refuse": 3.0,
}  # fmt: skip
"""Seconds; the shortest is a tenth of it."""
_WELL_WITHIN = 60.0
"""Seconds after a repair, on a machine that does other things as well."""
_LOOK_EVERY = 2.0
_DRAWS = 20
_GIVEN_UP_AFTER: Duration = 60 * SECOND
_CASTS: dict[Domain, Callable[[FaultSoakOptions], Cast]] = {"dmm": Distributed, "pmip": Proxy, "mip6": Mobile}


def cast_of(options: FaultSoakOptions) -> Cast:
    """Who plays."""
    return _CASTS[options.domain](options)


@dataclass(slots=True)
class FaultSoakResult:
    """What a run left behind."""

    options: FaultSoakOptions
    records: list[FlowRecord]
    moves: list[RoamTimes]
    faults: list[Fault]
    looks: list[Look]
    began: Instant
    ended: Instant
    unwell: list[str] = field(default_factory=list)
    """Sessions that heard nothing long after a repair."""
    bugs: list[str] = field(default_factory=list)
    """What daemons said of themselves."""
    troubles: list[str] = field(default_factory=list)
    """What daemons found out of place in the end."""
    refused: list[str] = field(default_factory=list)
    """What the kernel refused daemons."""
    complaints: list[str] | None = None
    """Of the kernel itself; None: nobody may read them here."""
    left_behind: dict[str, list[str]] = field(default_factory=dict)

    @property
    def judged(self) -> list[FlowRecord]:
        """The streams whose losses need an excuse."""
        return [one for one in self.records if one.kind == "stream" and one.flow.endswith(PROBE)]

    def unexcused(self) -> list[Lost]:
        """See `soak_excuses`: of the streams that are judged, while things broke."""
        window, cast = Window(self.began, self.ended), cast_of(self.options)
        return unexcused(self.judged, self.moves, self.faults, cast.concerns, window, told=cast.told)


@scenario(
    "soak-faults",
    "hosts roam while daemons are killed and links break, from a seed (--seconds, --seed, --domain, --hosts, --kinds)",
)
def soak_faults(options: ScenarioOptions) -> int:
    """The scenario."""
    return conduct_with("soak-faults", options, taken, _play)


def _play(options: FaultSoakOptions) -> Report:
    from sojourn.lab.soak_faults_report import make_report

    with make_progress(plain=options.plain, quiet=options.json) as progress:
        return make_report(FaultSoak(options, progress).run())


class FaultSoak:
    """One run. `run` once."""

    def __init__(self, options: FaultSoakOptions, progress: Progress | None = None) -> None:
        self._options = options
        self._progress = progress or SilentProgress()
        self._cast = cast_of(options)
        self.topology = self._cast.topology
        self._dice = random.Random(options.seed)
        weights = self._cast.weights
        self._plan = Plan.of(self.topology, {kind: weights.get(kind, 1.0) for kind in options.kinds or weights})
        self._moves: list[RoamTimes] = []
        self._unwell: list[str] = []
        self._looked = self._began = 0.0
        self._broken = 0
        make_prompt()

    def run(self) -> FaultSoakResult:
        """The whole of it. Raises TrafficError, DaemonFailed, OSError."""
        bare: dict[str, KernelState] = {}

        def look(lab: Lab) -> None:
            bare.update({name: lab.state(name) for name in self.topology.daemons})

        options, log = self._options, KernelLog()
        clocks = any(kind == "clock" for kind, _ in self._plan.choices)
        with Lab(self.topology, options.output, seed=options.seed, prepare=look, clocks=clocks) as lab:
            before = {name: lab.state(name) for name in self._cast.watched}
            ends = (*self.topology.hosts, *self._cast.servers)
            places = {name: lab.nodes[name].namespace.descriptor for name in ends}
            with Traffic(places, status_every=0, patience=_GIVEN_UP_AFTER, on_event=self._happened) as traffic:
                self._lab, self._traffic = lab, traffic
                self._stage = Stage(lab, traffic, self._dice)
                self._faults, self._vitals = Faults(lab), Vitals(lab)
                self._attach()
                began = time.monotonic_ns()
                try:
                    self._soak()
                finally:
                    self._faults.heal_all()
                ended = time.monotonic_ns()
                lab.check()
                troubles = self._troubles()
                records = traffic.finish(options.output / "traffic.jsonl", 120)
                self._cast.leave(self._stage)
                left = self._await_clean(before)
                left |= self._stopped(bare)
            bugs, refused = self._said(" bug ", "Traceback"), self._said("effect-failed")
        complaints = log.complaints() if log.readable else None
        log.close()
        refused = [line for line in refused if "effect=StoreBinding" not in line and "effect=DeleteBinding" not in line]
        return FaultSoakResult(
            options, records, self._moves, self._faults.done, self._vitals.looks, began, ended,
            self._unwell, bugs, troubles, refused, complaints, left,
        )  # fmt: skip

    # --- the steps ----------------------------------------------------------------------------------------------------

    def _happened(self, happening: Happening) -> None:
        """In the reader's thread."""
        if happening["event"] == "ended" and happening["kind"] == "exchange" and happening["outcome"] != "complete":
            self._broken += 1

    def _attach(self) -> None:
        """Every host comes somewhere, with its first sessions."""
        for name in self._cast.servers:
            self._traffic.serve(name, self.topology.address(name))
        for host in self.topology.hosts:
            self._cast.attach(self._stage, host)
        total, every = self._options.seconds, 60
        if self._options.kills:
            total, every = self._options.kills * len(self._killed()), 20
        self._progress.begin(f"{len(self.topology.hosts)} hosts are there; seed {self._options.seed}", total, every)
        self._await_well("the start")

    def _soak(self) -> None:
        self._began = time.monotonic()
        while time.monotonic() - self._began < self._options.seconds and not self._enough():
            self._show_progress()
            self._pause(self._dice.uniform(0.2, 1.0))
            if self._dice.random() < 0.5:
                self._roam()
            self._break_something()

    def _enough(self) -> bool:
        options = self._options
        if options.kills:
            return min(self._killed().values()) >= options.kills
        return bool(options.faults) and len(self._faults.done) >= options.faults

    def _killed(self) -> dict[str, int]:
        """How often each role was."""
        roles = {name: self.topology.nodes[name].kind for name in self.topology.daemons}
        killed = Counter(roles[one.node] for one in self._faults.done if one.kind == "kill")
        return {role: killed[role] for role in dict.fromkeys(roles.values())}

    def _show_progress(self) -> None:
        killed = self._killed()
        words = "kills" if self._options.kills else "s, killed"
        done = int(time.monotonic() - self._began)
        if self._options.kills:
            done = sum(min(number, self._options.kills) for number in killed.values())
        by_role = ", ".join(f"{role} {number}" for role, number in killed.items())
        self._progress.advance(done, f"{words}: {by_role}; {len(self._moves)} moves, {self._broken} broken")

    def _break_something(self) -> None:
        """One thing, or several at once, each at another node."""
        number = self._dice.randint(1, self._options.at_once) if self._options.at_once > 1 else 1
        drawn: dict[str, Kind] = {}
        while len(drawn) < number:
            kind, node = self._draw()
            drawn.setdefault(node, kind)
        share = self._dice.uniform(0.1, 1.0)
        longest = share * max(_LONGEST[kind] for kind in drawn.values())
        begun = [self._faults.begin(kind, node) for node, kind in drawn.items()]
        for _ in range(self._dice.randrange(3)):
            self._pause(longest / 3)
            self._roam()
        self._pause(longest / 3)
        self._faults.heal(*begun)
        for number, fault in enumerate(begun, 1 + len(self._faults.done) - len(begun)):
            self._progress.say(f"{number}: {fault.words} for {(fault.healed - fault.began) / SECOND:.1f} s")
        self._lab.check()
        if self._dice.random() < 0.5:
            self._roam()
        self._await_well(" and ".join(fault.words for fault in begun))

    def _draw(self) -> tuple[Kind, str]:
        """What breaks next: rather something else than a role that was killed often enough."""
        for _ in range(_DRAWS):
            kind, node = self._plan.draw(self._dice)
            wanted = self._options.kills
            if kind != "kill" or not wanted or self._killed()[self.topology.nodes[node].kind] < wanted:
                break
        return kind, node

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)
        if time.monotonic() - self._looked > _LOOK_EVERY:
            self._looked = time.monotonic()
            self._vitals.look()

    def _roam(self) -> None:
        host = self._dice.choice(self.topology.hosts)
        here = self._lab.air.where(host)
        target = self._dice.choice([name for name in self._cast.cells(host) if name != here])
        self._lab.mark(f"{host} roams to {target}")
        self._moves.append(self._cast.roam(self._stage, host, target))

    def _await_well(self, after: str) -> None:
        """Every stream of every host hears its server. What does not in a long time is noted, once."""
        waiting = self._cast.streams()
        heard = {flow: self._traffic.count(flow)["arrived"] for flow in waiting}
        deadline = time.monotonic() + _WELL_WITHIN
        while True:
            self._pause(0.5)
            counts = {flow: self._traffic.count(flow) for flow in waiting}
            waiting = [flow for flow in waiting if counts[flow]["sent"] and counts[flow]["arrived"] <= heard[flow]]
            lacking = {host: lacks for host in self.topology.hosts if (lacks := self._cast.lacks(self._stage, host))}
            if not waiting and not lacking:
                return
            if time.monotonic() > deadline:
                words = [*waiting, *(f"{host} without {what}" for host, what in lacking.items())]
                self._unwell.append(f"{', '.join(words)}, {after}")
                self._progress.say(f"unwell: {self._unwell[-1]}")
                self._note_state([*waiting, *lacking])
                return

    def _note_state(self, who: Sequence[str]) -> None:
        """What all nodes with a daemon hold, for whoever looks for the reason."""
        lines = []
        for host in dict.fromkeys(one.partition("/")[0] for one in who):
            at = self._lab.air.where(host)
            addresses = ", ".join(one.address for one in host_addresses(self._lab.nodes[host].namespace))
            lines.append(f"{host}, {self._lab.air.link_layer(host).hex(':')}, at {at}: {addresses}")
        for name in self.topology.daemons:
            lines += [f"--- {name}", *sorted(self._lab.state(name).lines)]
            with self._lab.client(name) as client:
                lines += [str(row) for row in client.show(self._cast.topic(name), plain=True)]
        (self._options.output / f"unwell-{len(self._unwell)}.txt").write_text("\n".join(lines) + "\n")

    # --- the end ------------------------------------------------------------------------------------------------------

    def _troubles(self) -> list[str]:
        """What is not in its place, when nothing has changed for a while."""
        found: list[str] = []

        def none() -> bool:
            found[:] = [line for name in self.topology.daemons for line in self._selftest(name)]
            return not found

        self._stage.until(none, _WELL_WITHIN)
        return found

    def _selftest(self, name: str) -> list[str]:
        try:
            with self._lab.client(name) as client:
                rows = client.selftest()
        except ControlError as error:
            return [f"{name}: {error}"]
        return [f"{name}: {row}" for row in rows if row["result"] not in ("ok", "skipped")]

    def _await_clean(self, before: dict[str, KernelState]) -> dict[str, list[str]]:
        """What is still different when bindings and prefixes had all the time they may take."""
        left: dict[str, list[str]] = {}

        def clean() -> bool:
            left.clear()
            left.update(self._different(before))
            return not left

        self._stage.until(clean, 4 * self._options.lifetime)
        return left

    def _stopped(self, bare: dict[str, KernelState]) -> dict[str, list[str]]:
        """What is different from before their first start when all daemons have stopped in order."""
        for name in bare:
            self._lab.stop_daemon(name)
        return {f"{name} without daemon:": lines for name, lines in self._different(bare).items()}

    def _different(self, before: dict[str, KernelState]) -> dict[str, list[str]]:
        found = {name: self._cast.ours(name, self._lab.state(name).difference(one)) for name, one in before.items()}
        return {name: lines for name, lines in found.items() if lines}

    def _said(self, *words: str) -> list[str]:
        """Lines of the daemons' logs that have one of them."""
        found = []
        for name in self.topology.daemons:
            lines = self._lab.daemon(name).log.read_text(errors="replace").splitlines()
            found += [f"{name}: {line}" for line in lines if any(word in line for word in words)]
        return found
