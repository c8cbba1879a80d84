"""Hosts roam at random while at random something breaks: ``sojourn lab run soak-faults``, ``make soak``.

A seed says who moves where, what breaks and for how long: daemons are killed with SIGKILL or stand still, links go
down, are dead in one direction, or lose packets (`faults`). Hosts go on roaming meanwhile, to routers whose daemon is
dead as well. After every repair all must be well again before the next thing breaks: every session of every host hears
its server.

What is looked at:

* no TCP session is reset or given up, whatever broke;
* while only daemons are hurt, hosts that stay where they are lose nothing: forwarding never depends on a process;
* while nothing is broken and nobody moves, nothing is lost;
* daemons that nobody killed live on, and none says that it found a bug in itself;
* memory and descriptors of the daemons do not grow (`vitals`);
* when all hosts are gone, the kernels of all routers hold what they held before the first one came.
"""

from __future__ import annotations

import random
import sys
import time
from bisect import bisect_right
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from sojourn.lab.air import RoamTimes
from sojourn.lab.daemons import DaemonFailed
from sojourn.lab.demo_summary import conclude
from sojourn.lab.faults import KINDS, Fault, Faults, Kind, Plan
from sojourn.lab.interruption import interruptible
from sojourn.lab.kernel_state import KernelState, configured, host_addresses
from sojourn.lab.lab import Lab
from sojourn.lab.promptness import make_prompt
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.topology import Topology, parse
from sojourn.lab.traffic import PROBE_SIZE, FlowRecord, Happening, Traffic, TrafficError
from sojourn.lab.vitals import Look, Vitals
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

Domain: TypeAlias = Literal["dmm", "pmip"]

WEIGHTS: dict[Kind, float] = {"kill": 6, "freeze": 1, "cut": 1, "deaf": 1, "mute": 1, "loss": 1}
RATE = 20.0
"""Packets a second each way of the one stream that every host has from its first address."""
_LONGEST: dict[Kind, float] = {"kill": 1.0, "freeze": 3.0, "cut": 4.0, "deaf": 4.0, "mute": 4.0, "loss": 5.0}
"""Seconds; the shortest is a tenth of it."""
_KEPT_STOPS = 2
_WELL_WITHIN = 60.0
"""Seconds after a repair, on a machine that does other things as well."""
_BEFORE: Duration = 300 * MILLISECOND
_AFTER: Duration = 8 * SECOND
"""Around a move or a fault, what is lost has an excuse."""
_LOOK_EVERY = 2.0
_GIVEN_UP_AFTER: Duration = 60 * SECOND


@dataclass(frozen=True, slots=True)
class FaultSoakOptions:
    """What the command line says."""

    output: Path
    domain: Domain = "dmm"
    seconds: int = 120
    seed: int = 1
    hosts: int = 10
    routers: int = 4
    kinds: tuple[Kind, ...] = KINDS
    partners: bool = False
    """Routers miss each other within a second, and each has a partner that takes its pool over."""
    faults: int = 0
    """End after so many; 0: when the time is over."""
    lifetime: int = 40
    """Of bindings, in seconds: longer than a daemon may be away on a machine that does other things as well."""
    json: bool = False


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
    left_behind: dict[str, list[str]] = field(default_factory=dict)


@scenario(
    "soak-faults",
    "hosts roam while daemons are killed and links break, from a seed (--seconds, --seed, --domain, --hosts, --kinds)",
)
def soak_faults(options: ScenarioOptions) -> int:
    """The scenario."""
    try:
        wanted = parsed(options)
    except ValueError as error:
        print(f"sojourn: soak-faults: {error}", file=sys.stderr)
        return 2
    return interruptible(lambda: _run(wanted), options.output)


def _run(options: FaultSoakOptions) -> int:
    from sojourn.lab.soak_faults_report import make_report

    options.output.mkdir(parents=True, exist_ok=True)
    try:
        result = FaultSoak(options).run()
    except (TrafficError, DaemonFailed, OSError) as error:
        print(f"sojourn: the soak broke off: {error}", file=sys.stderr)
        return 1
    return conclude(make_report(result), options.output, as_json=options.json)


def topology(options: FaultSoakOptions) -> Topology:
    """Access routers around a core, and hosts that are nowhere yet."""
    distributed = options.domain == "dmm"
    prefix, kind = ("ar", "access-router") if distributed else ("mag", "mag")
    anchor = "cmd" if distributed else "lma"
    routers = [f"{prefix}{number}" for number in range(1, options.routers + 1)]
    lines = ['name = "soak-faults"', "[nodes]", 'core = "router"', f'{anchor} = "{anchor}"', 'server = "server"']
    following = [*routers[1:], routers[0]]
    for name, partner in zip(routers, following, strict=True):
        lines.append(
            f'{name} = {{ kind = "{kind}", partner = "{partner}" }}' if options.partners else f'{name} = "{kind}"'
        )
    lines += [f'h{number} = {{ kind = "host", dad = "optimistic" }}' for number in range(1, options.hosts + 1)]
    lines += ["[links]", f'core.{anchor} = "5ms"', 'core.server = "2ms"', *(f'core.{name} = "2ms"' for name in routers)]
    if distributed:
        lines += ["[cmd]", 'warm_up = "1s"', "[maar]", 'idle_hold = "60s"', f'lifetime = "{options.lifetime}s"']
        lines += ['liveness = { interval = "250ms", misses = 3, hold = "2s" }'] if options.partners else []
    else:
        lines += ["[mag]", f'lifetime = "{options.lifetime}s"']
        lines += ["[lma]", f'min_delay_before_bce_delete = "{options.lifetime}s"']
    return parse("\n".join(lines), "soak-faults")


class FaultSoak:
    """One run. `run` once."""

    def __init__(self, options: FaultSoakOptions) -> None:
        self._options = options
        self.topology = topology(options)
        self._dice = random.Random(options.seed)
        self._plan = Plan.of(self.topology, {kind: WEIGHTS[kind] for kind in options.kinds})
        self._server = self.topology.address("server")
        self._moves: list[RoamTimes] = []
        self._stops: dict[str, list[str]] = {host: [] for host in self.topology.hosts}
        self._count = 0
        self._unwell: list[str] = []
        self._looked = 0.0
        make_prompt()

    def run(self) -> FaultSoakResult:
        """The whole of it. Raises TrafficError, DaemonFailed, OSError."""
        with Lab(self.topology, self._options.output, seed=self._options.seed) as lab:
            routers = [*self.topology.daemons, "core", "server"]
            before = {name: lab.state(name) for name in routers}
            places = {name: lab.nodes[name].namespace.descriptor for name in (*self.topology.hosts, "server")}
            with Traffic(places, status_every=0, patience=_GIVEN_UP_AFTER, on_event=self._happened) as traffic:
                self._lab, self._traffic = lab, traffic
                self._faults, self._vitals = Faults(lab), Vitals(lab)
                self._attach()
                began = time.monotonic_ns()
                try:
                    self._soak()
                finally:
                    self._faults.heal_all()
                ended = time.monotonic_ns()
                lab.check()
                records = traffic.finish(self._options.output / "traffic.jsonl", 120)
                for host in self.topology.hosts:
                    lab.air.detach(host)
                left = self._await_clean(before)
            bugs = self._bugs()
        return FaultSoakResult(
            self._options, records, self._moves, self._faults.done, self._vitals.looks, began, ended,
            self._unwell, bugs, left,
        )  # fmt: skip

    # --- the steps ----------------------------------------------------------------------------------------------------

    def _say(self, words: str) -> None:
        if not self._options.json:
            print(words, flush=True)

    def _attach(self) -> None:
        """Every host comes somewhere, with a stream and a terminal session from its first address."""
        self._traffic.serve("server", self._server)
        for host in self.topology.hosts:
            self._traffic.watch(host)
            self._lab.air.roam(host, self._dice.choice(self.topology.access_routers))
            found = self._traffic.wait("address", 60, host=host, present=True, usable=True, preferred=True)
            common = (host, found["address"], self._server)
            self._traffic.stream(f"{host}/probe", *common, up=RATE, down=RATE, size=PROBE_SIZE)
            self._traffic.exchange(f"{host}/terminal", *common, interval=200 * MILLISECOND)
        self._say(f"{len(self.topology.hosts)} hosts are there; seed {self._options.seed}")
        self._await_well("the start")

    def _soak(self) -> None:
        until = time.monotonic() + self._options.seconds
        while time.monotonic() < until:
            if self._options.faults and len(self._faults.done) >= self._options.faults:
                return
            self._pause(self._dice.uniform(0.2, 1.0))
            if self._dice.random() < 0.5:
                self._roam()
            self._break_something()

    def _break_something(self) -> None:
        kind, node = self._plan.draw(self._dice)
        lasting = self._dice.uniform(0.1, 1.0) * _LONGEST[kind]
        fault = self._faults.begin(kind, node)
        for _ in range(self._dice.randrange(3)):
            self._pause(lasting / 3)
            self._roam()
        self._pause(lasting / 3)
        self._faults.heal(fault)
        self._say(f"{len(self._faults.done)}: {fault.words} for {(fault.healed - fault.began) / SECOND:.1f} s")
        self._lab.check()
        if self._dice.random() < 0.5:
            self._roam()
        self._await_well(fault.words)

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)
        if time.monotonic() - self._looked > _LOOK_EVERY:
            self._looked = time.monotonic()
            self._vitals.look()

    def _roam(self) -> None:
        host = self._dice.choice(self.topology.hosts)
        here = self._lab.air.where(host)
        target = self._dice.choice([name for name in self.topology.access_routers if name != here])
        self._lab.mark(f"{host} roams to {target}")
        if self._options.domain == "dmm":
            self._greet(host, target)
        self._moves.append(self._lab.air.roam(host, target))

    def _greet(self, host: str, target: str) -> None:
        """A terminal session and a stream from the new address as soon as it is there."""
        self._count += 1
        flow = f"{host}/stop-{self._count}"
        within = str(self.topology.nodes[target].pool)
        self._traffic.greet(flow, host, self._server, within=within, interval=200 * MILLISECOND, rate=RATE / 4)
        self._stops[host].append(flow)
        while len(self._stops[host]) > _KEPT_STOPS:
            old = self._stops[host].pop(0)
            self._traffic.stop(old, f"{old}/hops")

    def _await_well(self, after: str) -> None:
        """Every stream of every host hears its server. What does not in a long time is noted, once."""
        waiting = [f"{host}/probe" for host in self.topology.hosts]
        waiting += [f"{flow}/hops" for flows in self._stops.values() for flow in flows]
        heard = {flow: self._traffic.count(flow)["arrived"] for flow in waiting}
        deadline = time.monotonic() + _WELL_WITHIN
        while True:
            self._pause(0.5)
            counts = {flow: self._traffic.count(flow) for flow in waiting}
            waiting = [flow for flow in waiting if counts[flow]["sent"] and counts[flow]["arrived"] <= heard[flow]]
            homeless = [host for host in self.topology.hosts if not self._has_address(host)]
            if not waiting and not homeless:
                return
            if time.monotonic() > deadline:
                self._unwell.append(
                    f"{', '.join([*waiting, *(f'{host} without address' for host in homeless)])}, {after}"
                )
                self._say(f"unwell: {self._unwell[-1]}")
                self._note_state([*waiting, *homeless])
                return

    def _has_address(self, host: str) -> bool:
        """That of the router where it is, to begin new sessions from."""
        if self._options.domain != "dmm":
            return True
        pool = self.topology.nodes[self._lab.air.where(host) or ""].pool
        assert pool is not None
        found = host_addresses(self._lab.nodes[host].namespace)
        return any(IPv6Address(one.address) in pool for one in found if not one.deprecated and not one.tentative)

    def _note_state(self, who: list[str]) -> None:
        """What all routers hold, for whoever looks for the reason."""
        lines = []
        for host in dict.fromkeys(one.partition("/")[0] for one in who):
            at = self._lab.air.where(host)
            addresses = ", ".join(one.address for one in host_addresses(self._lab.nodes[host].namespace))
            lines.append(f"{host}, {self._lab.air.link_layer(host).hex(':')}, at {at}: {addresses}")
        for name in self.topology.daemons:
            lines += [f"--- {name}", *sorted(self._lab.state(name).lines)]
            topic = "sessions" if name in self.topology.access_routers else "bindings"
            with self._lab.client(name) as client:
                lines += [str(row) for row in client.show(topic, plain=True)]
        (self._options.output / f"unwell-{len(self._unwell)}.txt").write_text("\n".join(lines) + "\n")

    def _await_clean(self, before: dict[str, KernelState]) -> dict[str, list[str]]:
        """What is still different when bindings and prefixes had all the time they may take."""
        deadline = time.monotonic() + 4 * self._options.lifetime
        while True:
            left = {name: configured(self._lab.state(name).difference(state)) for name, state in before.items()}
            left = {name: lines for name, lines in left.items() if lines}
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.5)

    def _bugs(self) -> list[str]:
        found = []
        for name in self.topology.daemons:
            lines = self._lab.daemon(name).log.read_text(errors="replace").splitlines()
            found += [f"{name}: {line}" for line in lines if " bug " in line or "Traceback" in line]
        return found

    def _happened(self, happening: Happening) -> None:
        """In the reader's thread. Nothing to do: whoever waits for something asks."""


def unexcused(result: FaultSoakResult) -> dict[str, int]:
    """Packets of the hosts' streams that were lost with nothing to blame, by the fault that lasted, or ``""``.

    A move of the host itself excuses, and a link that is broken excuses all hosts. A daemon that is dead or stands
    still excuses only hosts that moved while it was.
    """
    links = [(one.began - _BEFORE, one.healed + _AFTER) for one in result.faults if not one.of_daemon]
    daemons = [one for one in result.faults if one.of_daemon]
    moves: dict[str, list[tuple[Instant, Instant]]] = {}
    for move in result.moves:
        until = move.start + _AFTER
        for one in daemons:
            if one.began - _BEFORE <= move.start + SECOND and move.start <= one.healed + _BEFORE:
                until = max(until, one.healed + _AFTER)
        moves.setdefault(move.host, []).append((move.start - _BEFORE, until))
    found: dict[str, int] = {}
    for record in result.records:
        if record.kind != "stream" or not record.flow.endswith("/probe"):
            continue
        excuses = _merged([*links, *moves.get(record.host, [])])
        for way in (record.up, record.down):
            for sent, received in zip(way.sent, way.received, strict=True):
                if not received and result.began <= sent < result.ended and not _within(excuses, sent):
                    blamed = next((one.words for one in daemons if one.began <= sent < one.healed + SECOND), "")
                    found[blamed] = found.get(blamed, 0) + 1
    return found


def _merged(windows: list[tuple[Instant, Instant]]) -> list[tuple[Instant, Instant]]:
    merged: list[tuple[Instant, Instant]] = []
    for start, end in sorted(windows):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _within(windows: list[tuple[Instant, Instant]], instant: Instant) -> bool:
    index = bisect_right(windows, (instant, 1 << 63)) - 1
    return index >= 0 and windows[index][0] <= instant < windows[index][1]


def parsed(options: ScenarioOptions) -> FaultSoakOptions:
    """The options of the command line. Raises ValueError, which names what is wrong."""
    extra = dict(options.extra)
    domain = extra.pop("domain", "dmm")
    if domain not in get_args(Domain):
        raise ValueError(f'--domain: expected dmm or pmip, found "{domain}"')
    kinds = tuple(extra.pop("kinds", ",".join(KINDS)).split(","))
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise ValueError(f'--kinds: expected some of {", ".join(KINDS)}, with commas between, found "{unknown[0]}"')
    result = FaultSoakOptions(
        options.output,
        domain=cast(Domain, domain),
        seconds=_number(extra.pop("seconds", "120"), "--seconds", 1, 1_000_000),
        seed=_number(extra.pop("seed", "1"), "--seed", 0, 1 << 31),
        hosts=_number(extra.pop("hosts", "10"), "--hosts", 1, 100),
        kinds=cast("tuple[Kind, ...]", kinds),
        partners=_switch(extra.pop("partners", "no"), domain),
        faults=_number(extra.pop("faults", "0"), "--faults", 0, 1_000_000),
        json=options.json,
    )
    if extra:
        unknown_words = ", ".join(f"--{name}" for name in extra)
        known = "--seconds, --seed, --domain, --hosts, --kinds, --partners, --faults"
        raise ValueError(f"there is no {unknown_words}; there are {known}")
    return result


def _switch(text: str, domain: str) -> bool:
    on = text.lower() not in ("", "no", "false", "0")
    if on and domain != "dmm":
        raise ValueError("--partners: anchors have partners in the domain dmm only")
    return on


def _number(text: str, name: str, least: int, most: int) -> int:
    if not text.isdigit() or not least <= int(text) <= most:
        raise ValueError(f'{name}: expected a number from {least} to {most}, found "{text}"')
    return int(text)
