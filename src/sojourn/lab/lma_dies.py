"""The active one of two LMAs dies, and sessions go on: ``sojourn lab run lma-dies``.

Two LMAs have one address, one pool and one store: a PostgreSQL server with a synchronous standby. Hosts with sessions
roam between two gateways. The active LMA is restarted, as for another version, and goes on; then it is killed and comes
back; the other one, active now, is cut off at once, with its links, and comes back; the next one is stopped as a
machine that hangs, and goes on when it is no longer the anchor; the server of the store is killed under load and its
standby promoted; at last the active LMA is stopped in order. Both hosts move as soon as each of this has happened, so
that the LMA has something to answer, but for restart and stop, which lose nothing.

How long a session stands still is compared with a limit that the machine's own lateness, measured just before, is
added to.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sojourn.control.client import ControlClient, ControlError
from sojourn.dataplane.object_parts import PROTOCOL
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.lab.conduct import conduct
from sojourn.lab.measure import Window, milliseconds
from sojourn.lab.postgres import Partition, partitions
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table
from sojourn.lab.scene import Scene, holds, perform
from sojourn.lab.scraped import gauge
from sojourn.lab.standstill import Standstill
from sojourn.lab.topology import Topology, load
from sojourn.lab.traffic import FlowRecord, resets
from sojourn.wire.units import MILLISECOND, Instant

RATE = 100
"""Packets a second of each stream, each way."""
LIMIT = 1500 * MILLISECOND
"""A session stands still for no longer when its anchor dies."""
BRIEF = 500 * MILLISECOND
"""And for no longer at a move, while anything else happens."""
CALM, RESTARTED, KILLED, BACK, DARK, LIT, HUNG, AWAKE, STORE, STOPPED = (
    "all is well",
    "the active LMA is restarted",
    "the daemon of the active LMA is killed",
    "it is back, and stands by",
    "the active LMA is dark",
    "it is back, and stands by again",
    "the active LMA hangs",
    "it goes on, and is no longer the anchor",
    "a PostgreSQL server is killed",
    "the active LMA is stopped in order",
)
_STILL = (CALM, RESTARTED, STOPPED)
"""Nobody moves."""
_CHANGES = 4
"""The address changes hands: when one is killed, dark, hangs, is stopped; never else."""
_LMAS = ("lma1", "lma2")
_MAGS = ("mag1", "mag2")


@scenario("lma-dies", "the active one of two LMAs dies in four ways, and a server of their store: sessions go on")
def lma_dies(options: ScenarioOptions) -> int:
    """The scenario."""
    return conduct("lma-dies", options, lambda: play(options))


def with_databases(topology: Topology, sources: Sequence[str]) -> Topology:
    """`topology` with its LMAs on these."""
    return topology.model_copy(update={"lma": {**topology.lma, "databases": list(sources)}})


def play(options: ScenarioOptions, dwell: float = 1.5) -> Report:
    """The whole run. Raises `DatabaseFailed`, `SceneFailed`, TrafficError, DaemonFailed, OSError."""
    if not options.json:
        print("a PostgreSQL server with a standby is made", flush=True)
    with partitions(1) as (store,):
        topology = with_databases(load("lma-dies"), [store.source])
        return perform(options, topology, lambda scene: _Play(scene, store, dwell).run())


@dataclass(slots=True)
class Moment:
    """Something died or came back."""

    name: str
    at: Instant
    active: str
    """The LMA that is the anchor when the phase of that name is over."""
    told: list[str]
    """Those whose figures for Prometheus say then that they are it."""


class _Play:
    def __init__(self, scene: Scene, store: Partition, dwell: float) -> None:
        self._scene, self._store, self._dwell = scene, store, dwell
        self._moments: list[Moment] = []

    def run(self) -> Report:
        """The whole run."""
        scene, lab = self._scene, self._scene.lab
        scene.until("one LMA is the anchor", lambda: active(scene) is not None)
        server = scene.topology.address("server")
        scene.traffic.serve("server", server)
        for host in scene.topology.hosts:
            source = scene.address(host, "2001:db8:ff")
            scene.traffic.stream(f"{host}-call", host, source, server, up=RATE, down=RATE)
            scene.traffic.exchange(f"{host}-terminal", host, source, server, interval=50 * MILLISECOND)
        self._phase(CALM, lambda _: None)
        self._phase(RESTARTED, lab.restart_daemon)
        self._phase(KILLED, lambda node: lab.stop_daemon(node, kill=True), other=True)
        down = self._other()
        self._phase(BACK, lambda _: lab.start_daemon(down))
        self._phase(DARK, lab.darken, other=True)
        down = self._other()
        self._phase(LIT, lambda _: self._light(down))
        self._phase(HUNG, lambda node: self._signal(node, signal.SIGSTOP), other=True)
        down = self._other()
        self._phase(AWAKE, lambda _: self._signal(down, signal.SIGCONT))
        self._phase(STORE, lambda _: self._lose_server())
        kept, left = self._kept(), self._left()
        self._phase(STOPPED, lab.stop_daemon, other=True)
        clean = self._left()
        return self._report(dict(scene.finish()), kept, {AWAKE: left, STOPPED: clean})

    def _phase(self, name: str, act: Callable[[str], object], *, other: bool = False) -> None:
        """Something happens to the active LMA; `other`: then the other one is to be it. Hosts move meanwhile."""
        scene = self._scene
        before = self._anchor()
        since = scene.happens(name, lambda: act(before))
        if other:
            there = _LMAS[1 - _LMAS.index(before)]
            scene.until(f"{there} is the anchor", lambda: serves(scene, there))
        if name not in _STILL:
            self._roam()
        scene.until("both are known where they are", self._all_known)
        time.sleep(self._dwell)
        scene.phase(name, self._dwell)
        told = [node for node in _LMAS if gauge(scene.lab, node, "sojourn_anchor_active")]
        self._moments.append(Moment(name, since, self._anchor(), told))

    def _anchor(self) -> str:
        found = active(self._scene)
        assert found is not None
        return found

    def _other(self) -> str:
        return _LMAS[1 - _LMAS.index(self._anchor())]

    def _roam(self) -> None:
        for host in self._scene.topology.hosts:
            here = self._scene.lab.air.where(host)
            self._scene.lab.air.roam(host, _MAGS[here == _MAGS[0]])

    def _all_known(self) -> bool:
        """As gateways and the active LMA have it."""
        scene = self._scene
        for gateway in _MAGS:
            here = [host for host in scene.topology.hosts if scene.lab.air.where(host) == gateway]
            rows = [row for row in scene.rows(gateway, "sessions") if row["presence"] == "served" and row["confirmed"]]
            if len(rows) != len(here):
                return False
        anchor = active(scene)
        rows = [] if anchor is None else scene.rows(anchor, "bindings")
        return len(rows) == len(scene.topology.hosts) and all(row["state"] == "active" for row in rows)

    def _light(self, node: str) -> None:
        self._scene.lab.lighten(node)
        self._scene.lab.start_daemon(node)

    def _signal(self, node: str, number: signal.Signals) -> None:
        process = self._scene.lab.daemon(node).process
        assert process is not None
        process.send_signal(number)

    def _lose_server(self) -> None:
        self._store.primary.kill()
        self._roam()
        self._store.standby.promote()

    def _kept(self) -> int:
        """Sessions in the store."""
        return int(self._store.standby.sql("SELECT count(*) FROM session"))

    def _left(self) -> list[str]:
        """What of the anchor is at the LMA that is not it."""
        state = self._scene.lab.state(self._other())
        return [line for line in state.lines if "sojourn" in line or f"protocol {PROTOCOL}" in line]

    # --- figures ------------------------------------------------------------------------------------------------------

    def _report(self, records: dict[str, FlowRecord], kept: int, left: dict[str, list[str]]) -> Report:
        scene = self._scene
        hosts = scene.topology.hosts
        calls = [records[f"{host}-call"] for host in hosts]
        figures = [Standstill(one.name, calls, Window(one.at, scene.window(one.name).end)) for one in self._moments]
        died = {KILLED, DARK, HUNG, STORE}
        alive = sum(record.outcome in ("running", "complete") for record in records.values())
        reset = resets(records.values())
        holders = [moment.active for moment in self._moments]
        told = [moment.told for moment in self._moments]
        changes = sum(one != other for one, other in pairwise(holders))
        settled = sum(Standstill(one.name, calls, scene.window(one.name)).lost for one in self._moments)
        verdicts = [
            holds("sessions alive", f"{alive} of {len(records)}", f"{len(records)}", alive == len(records)),
            holds("TCP resets", reset, "0", reset == 0),
            *[figure.lossless() for figure in figures if figure.name in _STILL],
            *[figure.still(LIMIT if figure.name in died else BRIEF) for figure in figures],
            holds("the address changed hands", changes, f"{_CHANGES}: nobody took it back", changes == _CHANGES),
            holds(
                "who is the anchor by its metrics",
                ", ".join("+".join(one) or "nobody" for one in told),
                ", ".join(holders),
                told == [[one] for one in holders],
            ),
            holds("lost while nothing happens", settled, "0", settled == 0),
            holds("sessions in the store", kept, str(len(hosts)), kept == len(hosts)),
            *[
                holds(f"{name}: left of the anchor there", ", ".join(found) or "nothing", "nothing", not found)
                for name, found in left.items()
            ],
        ]
        settings = LivenessSettings()
        return Report(
            "The active one of two LMAs dies",
            "Two LMAs with one address and one store; hosts with sessions move between two gateways.",
            verdicts=verdicts,
            tables=[_table(figures, holders)],
            conditions=[
                ("pair", f"beats of {milliseconds(settings.interval):.0f} ms at most, {settings.misses} missed"),
                ("streams", f"{RATE} packets a second each way and host; every host moves in every phase"),
                ("store", "synchronous standby, fsync on"),
                ("routes", "static; what an LMA announces reaches all others as soon as a kernel tells it"),
            ],
            data={"topology": scene.topology.model_dump(mode="json"), "active": holders},
        )


def serves(scene: Scene, node: str) -> bool:
    """Whether that LMA is the anchor, as it says itself."""
    try:
        with ControlClient(scene.lab.daemon(node).control, timeout=0.5) as client:
            return "lma" in client.ping().roles
    except ControlError:
        return False


def active(scene: Scene) -> str | None:
    """The LMA that is the anchor; one that does not answer is not waited for."""
    return next((node for node in _LMAS if serves(scene, node)), None)


def _table(figures: Sequence[Standstill], holders: Sequence[str]) -> Table:
    rows: list[Sequence[str]] = [
        (one.name, holder, f"{milliseconds(one.silence):.0f} ms", str(one.sent), str(one.lost))
        for one, holder in zip(figures, holders, strict=True)
    ]
    return Table("After each moment", ("since", "anchor then", "longest silence", "sent", "lost"), rows)
