"""Many hosts, many random moves, and at the end nothing must be left: ``sojourn lab run soak``.

Every host has a download, a terminal session and a probe stream on its first address, and for each of its latest stops
a terminal session and a stream from the address it got there. For a moment around a move one stream of the host that
moves, chosen at random, goes up to a thousand packets a second towards it; what is lost of these is compared with the
formula of `shared/standards.md` 7.5. The packets of the same burst before the move are the control phase.

With buffering the host is nowhere for 20 ms at a time. A router that hears of the leaving only when it happened loses
what arrives until it has begun to hold packets; with ``--notice 5ms`` it hears of it that much earlier, as from
stations that say where they are going (IEEE 802.11r over the DS, 802.11v).

Then all flows end, prefixes retire, hosts leave, bindings run out, and the kernels of all routers must hold what they
held before the first host came.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from sojourn.lab.air import RoamTimes
from sojourn.lab.conduct import conduct_with
from sojourn.lab.kernel_state import KernelState, configured
from sojourn.lab.lab import Lab
from sojourn.lab.measure import Window
from sojourn.lab.measure_run import Anchors, Evidence
from sojourn.lab.measure_signalling import SignallingMonitor, write_signals
from sojourn.lab.own_options import choice, number, switch
from sojourn.lab.promptness import make_prompt
from sojourn.lab.quantities import duration
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report
from sojourn.lab.soak_progress import Progress, make_progress
from sojourn.lab.soak_report import OUTAGE, air_words, make_soak_report
from sojourn.lab.topology import Topology, star
from sojourn.lab.traffic import PROBE_SIZE, FlowRecord, Happening, Traffic
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

Mode = Literal["proxy", "relay", "locator", "direct"]

BURST = 1000.0
"""Packets a second towards the host that moves."""
_BACKGROUND = 20.0
_BURST_BEFORE = 0.35
_BURST_AFTER = 0.55
_JUDGED = 450 * MILLISECOND
"""After a move, while the burst lasts."""
_CONTROL_UNTIL = 110 * MILLISECOND
"""Before a move: packets sent later may be on the way when the host leaves."""
_KEPT_STOPS = 2
"""Flows from so many earlier stops go on."""


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """What the command line says."""

    output: Path
    hosts: int = 10
    roams: int = 100
    mode: Mode = "proxy"
    buffer: bool = False
    notice: Duration = 0
    """The old router hears of a leaving so long before the host's frames stop."""
    seed: int = 1
    json: bool = False
    plain: bool = False
    """Lines of text even on a terminal."""
    routers: int = 4
    pause: float = 0.15
    """Seconds between the end of a burst and the next one."""
    download_rate: int = 60_000
    dad: str = "optimistic"
    lifetime: int = 20
    """Of bindings, in seconds: the end of a run waits for them to run out."""


@dataclass(slots=True)
class SoakResult:
    """What a soak left behind."""

    options: SoakOptions
    evidence: Evidence
    records: list[FlowRecord]
    left_behind: dict[str, list[str]]
    """Per router, what its kernel holds now and did not before, or the other way round."""
    stations: dict[str, str] = field(default_factory=dict)
    """Where each host was at the end of the roams."""


@scenario(
    "soak",
    "many hosts roam at random: losses, messages, and kernels as before (--hosts, --roams, --mode, --buffer, --notice)",
)
def soak(options: ScenarioOptions) -> int:
    """The soak as a scenario."""
    return conduct_with("soak", options, _taken, _play)


def _play(options: SoakOptions) -> Report:
    with make_progress(plain=options.plain, quiet=options.json) as progress:
        progress.begin(_heading(options), options.roams)
        return make_soak_report(Soak(options, progress).run())


def soak_topology(options: SoakOptions) -> Topology:
    """Access routers around a core, hosts that are nowhere yet. Raises TopologyError."""
    routers = [f"ar{number}" for number in range(1, options.routers + 1)]
    hosts = [f"h{number}" for number in range(1, options.hosts + 1)]
    nodes: dict[str, str | dict[str, object]] = {"cmd": "cmd", "server": "server"}
    nodes |= dict.fromkeys(routers, "access-router")
    nodes |= {name: {"kind": "host", "dad": options.dad} for name in hosts}
    maar = {"lifetime": f"{options.lifetime}s", "idle_hold": "5s", "buffer": options.buffer}
    cmd = {"warm_up": "1s"}  # so that bindings may end while the run watches
    return star("soak", nodes, "5ms", delays={"cmd": "10ms"}, mode=options.mode, cmd=cmd, maar=maar)


class Soak:
    """One run. `run` once."""

    def __init__(self, options: SoakOptions, progress: Progress) -> None:
        self._options, self._progress = options, progress
        self._topology = soak_topology(options)
        self._random = random.Random(options.seed)
        self._anchors = Anchors(self._topology)
        self._server = self._topology.address("server")
        self._moves: list[RoamTimes] = []
        self._quiet: dict[str, list[Window]] = {host: [] for host in self._topology.hosts}
        self._stops: dict[str, list[str]] = {host: [] for host in self._topology.hosts}
        """Names of the flows from each host's latest stops, oldest first."""
        self._downloads: dict[str, int] = dict.fromkeys(self._topology.hosts, 0)
        self._addresses: dict[str, str] = {}
        self._over = False
        self._count = 0
        self._lost = 0
        make_prompt()

    def run(self) -> SoakResult:
        """The whole of it. Raises TrafficError, DaemonFailed, OSError."""
        with Lab(self._topology, self._options.output, seed=self._options.seed) as lab:
            routers = [*self._topology.access_routers, "cmd", "core", "server"]
            before = {name: lab.state(name) for name in routers}
            monitored = [*self._topology.access_routers, "cmd"]
            places = {name: lab.nodes[name].namespace.descriptor for name in (*self._topology.hosts, "server")}
            with (
                SignallingMonitor({name: lab.nodes[name].namespace for name in monitored}) as monitor,
                Traffic(places, status_every=0, patience=10 * SECOND, on_event=self._happened) as traffic,
            ):
                self._attach(lab, traffic)
                for number in range(self._options.roams):
                    self._roam(lab, traffic, number)
                lab.check()
                self._over = True
                ended = time.monotonic_ns()
                records = traffic.finish(self._options.output / "traffic.jsonl", 60)
                stations = {host: lab.air.where(host) or "" for host in self._topology.hosts}
                self._leave(lab)
                left = self._await_clean(lab, before)
            evidence = self._evidence(lab, records, monitor, ended)
            write_signals(self._options.output / "signalling.jsonl", evidence.signals)
        return SoakResult(self._options, evidence, records, left, stations)

    # --- the steps --------------------------------------------------------------------------------

    def _attach(self, lab: Lab, traffic: Traffic) -> None:
        """Every host comes somewhere and starts its old flows."""
        self._progress.say(f"{len(self._topology.hosts)} hosts attach")
        traffic.serve("server", self._server)
        for host in self._topology.hosts:
            traffic.watch(host)
            lab.air.roam(host, self._random.choice(self._topology.access_routers))
            found = traffic.wait("address", 15, host=host, present=True, usable=True, preferred=True)
            self._addresses[host] = found["address"]
            common = (host, found["address"], self._server)
            traffic.stream(f"{host}/probe", *common, up=_BACKGROUND, down=_BACKGROUND, size=PROBE_SIZE)
            traffic.exchange(f"{host}/terminal", *common, interval=200 * MILLISECOND)
            self._download(traffic, host)
        self._traffic = traffic
        time.sleep(1.0)

    def _download(self, traffic: Traffic, host: str) -> None:
        """The next download of a host, from the address that its kernel prefers now."""
        self._downloads[host] += 1
        octets = self._options.download_rate * self._random.randint(4, 12)
        traffic.download(
            f"{host}/download-{self._downloads[host]}", host, self._addresses[host], self._server,
            octets=octets, rate=self._options.download_rate,
        )  # fmt: skip

    def _roam(self, lab: Lab, traffic: Traffic, number: int) -> None:
        host = self._random.choice(self._topology.hosts)
        here = lab.air.where(host)
        target = self._random.choice([name for name in self._topology.access_routers if name != here])
        probed = self._random.choice([f"{host}/probe", *(f"{flow}/hops" for flow in self._stops[host])])
        before = self._lost_of(traffic, probed)
        self._burst(traffic, probed, BURST)
        burst_began = time.monotonic_ns()
        time.sleep(_BURST_BEFORE)
        self._greet(traffic, host, target)
        outage = OUTAGE / SECOND if self._options.buffer else 0.0
        move = lab.air.roam(host, target, outage=outage, lead=self._options.notice / SECOND)
        self._moves.append(move)
        self._quiet[host].append(Window(burst_began + 20 * MILLISECOND, move.start - _CONTROL_UNTIL))
        time.sleep(_BURST_AFTER)
        self._burst(traffic, probed, _BACKGROUND)
        self._end_old_stop(traffic, host)
        time.sleep(self._options.pause)
        self._lost += self._lost_of(traffic, probed) - before
        self._progress.advance(number + 1, f"moves, {self._lost} probe packets lost in them")
        if (number + 1) % 10 == 0:
            lab.check()

    def _burst(self, traffic: Traffic, flow: str, down: float) -> None:
        traffic.pace(flow, up=_BACKGROUND, down=down)

    def _lost_of(self, traffic: Traffic, flow: str) -> int:
        """What a stream lost towards its host so far, for who watches; a packet on the way counts too."""
        count = traffic.count(flow)
        return int(count["sent"] - count["arrived"])

    def _greet(self, traffic: Traffic, host: str, target: str) -> None:
        """A terminal session and a stream from the new address as soon as it is there."""
        self._count += 1
        flow = f"{host}/stop-{self._count}"
        within = str(self._topology.nodes[target].pool)
        traffic.greet(flow, host, self._server, within=within, interval=200 * MILLISECOND, rate=_BACKGROUND)
        self._stops[host].append(flow)

    def _end_old_stop(self, traffic: Traffic, host: str) -> None:
        while len(self._stops[host]) > _KEPT_STOPS:
            flow = self._stops[host].pop(0)
            traffic.stop(flow, f"{flow}/hops")

    def _leave(self, lab: Lab) -> None:
        self._progress.say("all flows ended; the hosts leave, bindings run out")
        for host in self._topology.hosts:
            lab.air.detach(host)

    def _await_clean(self, lab: Lab, before: dict[str, KernelState]) -> dict[str, list[str]]:
        """What is still different when bindings and prefixes had all the time they may take."""
        deadline = time.monotonic() + 3 * self._options.lifetime
        while True:
            left = {name: configured(lab.state(name).difference(state)) for name, state in before.items()}
            left = {name: lines for name, lines in left.items() if lines}
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.5)

    # --- what happens ---------------------------------------------------------------------------------

    def _happened(self, happening: Happening) -> None:
        """In the reader's thread: addresses change, downloads end and the next begins."""
        if happening["event"] == "address" and happening["usable"] and happening["preferred"]:
            self._addresses[happening["host"]] = happening["address"]
        elif happening["event"] == "ended" and happening["kind"] == "download" and not self._over:
            self._download(self._traffic, happening["flow"].partition("/")[0])

    def _evidence(self, lab: Lab, records: list[FlowRecord], monitor: SignallingMonitor, ended: Instant) -> Evidence:
        return Evidence(
            topology=self._topology,
            mode=self._options.mode,
            cmd="cmd",
            server="server",
            moves=self._moves,
            records=records,
            signals=list(monitor.signals),
            identifiers={host: lab.air.link_layer(host) for host in self._topology.hosts},
            quiet=self._quiet,
            ended=ended,
            outage=OUTAGE if self._options.buffer else 0,
            reach=_JUDGED,
        )


# --- the command line ---------------------------------------------------------------------------------


def _taken(options: ScenarioOptions) -> SoakOptions:
    extra = options.extra
    return SoakOptions(
        options.output,
        hosts=number(extra, "hosts", 10, 1, 200),
        roams=number(extra, "roams", 100, 1, 100_000),
        mode=choice(extra, "mode", get_args(Mode)),
        buffer=switch(extra, "buffer"),
        notice=_notice(extra.pop("notice", "0ms")),
        plain=options.plain,
        seed=number(extra, "seed", 1, 0, 1 << 31),
        json=options.json,
    )


def _notice(text: str) -> Duration:
    try:
        return duration(text)
    except ValueError as error:
        raise ValueError(f"--notice: {error}") from None


def _heading(options: SoakOptions) -> str:
    words = [f"soak, {options.mode} mode", f"{options.hosts} hosts", f"{options.roams} moves", f"seed {options.seed}"]
    return ", ".join([*words, *air_words(options)])
