"""What depends on the database, and what does not: ``sojourn lab run no-cmd``, ``cmd-dies`` and ``partition``.

Three hosts with calls and terminal sessions go from router to router. `no-cmd`: the routers tell each other (direct
mode), first without any database, then with one that is told afterwards. `cmd-dies`: the database is killed and comes
back with its store, then without. `partition`: one router and the database do not hear each other, in one direction, in
the other, and in both. Whoever does not move loses nothing; whoever moves has a new address at once, and old sessions
again soon after the database is back, or at once where it is not needed.

Limits for how long something takes are longer by what this machine is late by itself, measured just before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sojourn.lab.conduct import conduct
from sojourn.lab.measure import Window, loss, milliseconds
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict
from sojourn.lab.scene import Scene, SceneFailed, holds, perform, run
from sojourn.lab.standstill import in_time, lateness, silence
from sojourn.lab.topology import Topology, load
from sojourn.lab.traffic import FlowRecord
from sojourn.wire.addresses import link_layer_text
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

_RATE = 100
"""Packets a second of each call, each way."""
_MOVE = 500 * MILLISECOND
"""A call stands still for no longer at a move."""
_RESUMED = 2 * SECOND
"""After the database is back, old sessions of those who moved meanwhile go on within this time, ..."""
_KNOWN = 5 * SECOND
"""... and everything is known again within this time."""
PATIENCE = 60 * SECOND
"""Of terminal sessions: TCP waits twice as long as an outage before it tries again."""
_SETTLING = 0.3
"""Seconds after something happened; what is sent then belongs to nothing."""
_NEW = 2 * SECOND
"""A host that moved has a new address within this time, Duplicate Address Detection included, whatever the database
does."""


@scenario(
    "no-cmd", "routers tell each other where hosts are: a walk without a database, and one with it told afterwards"
)
def no_cmd(options: ScenarioOptions) -> int:
    """The scenario."""
    return conduct("no-cmd", options, lambda: play_no_cmd(options))


@scenario("cmd-dies", "the database is killed under roaming hosts; it comes back with its store, then without")
def cmd_dies(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, "cmd-dies", play_cmd_dies, patience=PATIENCE)


@scenario("partition", "a router and the database do not hear each other: one way, the other way, both ways")
def partition(options: ScenarioOptions) -> int:
    """The scenario."""
    return run(options, "partition", play_partition, patience=PATIENCE)


# --- what happens ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Happened:
    """One thing that happened, and what came of it."""

    name: str
    moved: tuple[str, ...]
    at: Instant
    """When the hosts began to move; or when it was said that nobody does."""
    back: Instant = 0
    """When the database was back, if it was away."""
    unasked: Duration = 0
    """How long it was away, if nobody asks when it is back: then routers say again what was not heard after at most
    that time again, as they double the time between two attempts."""
    addressed: Duration = 0
    """Until the last of those who moved had its new address."""
    known: Duration = 0
    """Until all routers, and the database, agreed; since it is back, if it was away."""
    ended: Instant = 0


Binding: TypeAlias = tuple[str, str, str, str]
"""Node, prefix, its anchor, and the router that serves the node."""


class Walk:
    """Hosts with sessions, what happens to them, and the verdicts on it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.happened: list[Happened] = []
        topology = scene.topology
        self._server = topology.address("server")
        scene.traffic.serve("server", self._server)
        for host in topology.hosts:
            source = scene.address(host, "2001:db8:a")
            scene.traffic.stream(f"{host}-call", host, source, self._server, up=_RATE, down=_RATE)
            scene.traffic.exchange(f"{host}-terminal", host, source, self._server, interval=20 * MILLISECOND)
        self._agree("everybody is known")
        time.sleep(1.0)  # in which the machine's own lateness is seen

    def move(self, name: str, *hosts: str, to: str = "") -> Happened:
        """These hosts, or all, go on to the next router, or to the one that is named."""
        scene = self.scene
        scene.say(name)
        hosts = hosts or tuple(scene.topology.hosts)
        happened = Happened(name, hosts, time.monotonic_ns())
        self.happened.append(happened)
        routers = scene.topology.access_routers
        for host in hosts:
            there = routers[(routers.index(scene.lab.air.where(host) or routers[0]) + 1) % len(routers)]
            scene.lab.air.roam(host, to or there)
        for host in hosts:
            pool = scene.topology.nodes[scene.lab.air.where(host) or ""].pool
            assert pool is not None
            scene.address(host, str(pool.network_address).split("::")[0].removesuffix("00"))
        happened.addressed = time.monotonic_ns() - happened.at
        return happened

    def stay(self, name: str, seconds: float) -> None:
        """Nobody moves."""
        self.scene.say(name)
        happened = Happened(name, (), time.monotonic_ns())
        self.happened.append(happened)
        time.sleep(seconds)
        happened.ended = time.monotonic_ns()
        time.sleep(_SETTLING)

    def settle(self, happened: Happened, back: Instant = 0) -> None:
        """Until everybody agrees; `back`: since when that can be asked for."""
        happened.back = back
        since = back or happened.at
        self._agree(f"{happened.name}: everything is known")
        happened.known = time.monotonic_ns() - since
        time.sleep(1.0)
        happened.ended = time.monotonic_ns()
        time.sleep(_SETTLING)

    def _agree(self, what: str) -> None:
        """Wait until they do. Raises `SceneFailed`."""
        try:
            self.scene.until(what, lambda: not self.disagreements())
        except SceneFailed as failure:
            raise SceneFailed(f"{failure}; {'; '.join(self.disagreements()[:3])}") from None

    # --- who knows what -------------------------------------------------------------------------------------------

    def disagreements(self) -> list[str]:
        """Where tables say something else than is true, or than another one says."""
        scene, names = self.scene, self.scene.topology.access_routers
        rows = {name: scene.rows(name, "bindings") for name in names}
        served = {(row["node"], row["prefix"], _or(row["anchor"], name), name) for name, row in _here(rows)}
        away = {(row["node"], row["prefix"], name, row["serving"]) for name, row in _away(rows)}
        wrong = [f"not forwarded: {one}" for one in served if one[2] != one[3] and one not in away]
        wrong += [f"not served: {one}" for one in away - served]
        place = {
            link_layer_text(scene.lab.air.link_layer(host)): scene.lab.air.where(host) for host in scene.topology.hosts
        }
        own = {node: name for node, _, anchor, name in served if anchor == name}
        wrong += [f"at {own.get(node)}, not {where}" for node, where in place.items() if own.get(node) != where]
        owners: dict[str, str] = {}
        for node, prefix, _, _ in served:
            if owners.setdefault(prefix, node) != node:
                wrong.append(f"{prefix} has two nodes")
        for name, known in self.known():
            wrong += [f"{name} lacks {one}" for one in served - known] + [f"{name} has {one}" for one in known - served]
        return wrong

    def known(self) -> Iterator[tuple[str, set[Binding]]]:
        """What each database has of each node."""
        for cmd in self.scene.topology.of_kind("cmd"):
            yield (
                cmd,
                {
                    (row["node"], prefix, anchor, row["serving"])
                    for row in self.scene.rows(cmd, "bindings")
                    for prefix, _, anchor in (one.partition(" at ") for one in row["prefixes"])
                },
            )

    # --- the verdicts ---------------------------------------------------------------------------------------------

    def verdicts(self, records: dict[str, FlowRecord]) -> list[Verdict]:
        """On everything that happened."""
        ended = sum(
            record.outcome not in ("running", "complete") for record in records.values() if record.kind != "stream"
        )
        found = [holds("terminal sessions that ended", ended, "0", ended == 0)]
        for one in self.happened:
            found += self._of(one, records)
        return found

    def _of(self, one: Happened, records: dict[str, FlowRecord]) -> Iterator[Verdict]:
        window = Window(one.at, one.ended)
        ways = {host: (records[f"{host}-call"].up, records[f"{host}-call"].down) for host in self.scene.topology.hosts}
        late = max(lateness(way, one.at) for both in ways.values() for way in both)
        still = [way for host, both in ways.items() if host not in one.moved for way in both]
        if still:
            lost = sum(loss(way, window).lost for way in still)
            yield holds(f"{one.name}: lost of those who stay", lost, "0", lost == 0)
        if not one.moved:
            return
        yield in_time(f"{one.name}: new addresses", one.addressed, _NEW, late)
        moving = [way for host in one.moved for way in ways[host]]
        if one.back:
            since = Window(one.back, one.ended)
            resumed = max(min((at for at in way.received if at >= one.back), default=1 << 62) for way in moving)
            yield in_time(f"{one.name}: old sessions go on", resumed - since.start, _RESUMED + one.unasked, late)
        else:
            yield in_time(f"{one.name}: calls stand still", max(silence(way, window) for way in moving), _MOVE, late)
        yield in_time(f"{one.name}: everything is known", one.known, _KNOWN + one.unasked, late)

    def report(self, title: str, words: str) -> Report:
        """All of it."""
        records = dict(self.scene.finish())
        rows: list[Sequence[str]] = [
            (
                one.name,
                str(len(one.moved)),
                f"{milliseconds(one.addressed):.0f} ms" if one.moved else "",
                f"{milliseconds(one.known):.0f} ms" if one.known else "",
            )
            for one in self.happened
        ]
        return Report(
            title,
            words,
            verdicts=self.verdicts(records),
            tables=[Table("What happened", ("", "hosts that moved", "new addresses after", "known after"), rows)],
            conditions=[("calls", f"{_RATE} packets a second each way and host")],
            data={"topology": self.scene.topology.model_dump(mode="json")},
        )


def _here(rows: dict[str, list[dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, row) for name, found in rows.items() for row in found if row["serving"] == "here")


def _away(rows: dict[str, list[dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    return (
        (name, row)
        for name, found in rows.items()
        for row in found
        if row["serving"] != "here" and row["anchor"] == "here"
    )


def _or(anchor: str, here: str) -> str:
    return here if anchor == "here" else anchor


# --- without a database -----------------------------------------------------------------------------------------------


def without(topology: Topology, name: str) -> Topology:
    """`topology` without a node and its links."""
    nodes = {known: node for known, node in topology.nodes.items() if known != name}
    links = tuple(link for link in topology.links if name not in link.between)
    return topology.model_copy(update={"nodes": nodes, "links": links})


def play_no_cmd(options: ScenarioOptions, rounds: int = 3) -> Report:
    """Both walks. Raises `SceneFailed`, TrafficError, DaemonFailed, OSError."""
    topology = load("no-cmd")
    alone = perform(replace(options, output=options.output), without(topology, "cmd"), lambda s: _walk(s, rounds, ""))
    told = replace(options, output=options.output / "told-afterwards")
    told.output.mkdir(parents=True, exist_ok=True)
    told.output.chmod(0o700)
    other = perform(told, topology, lambda s: _walk(s, rounds, "with a CMD, "))
    alone.verdicts += other.verdicts
    alone.tables += other.tables
    return alone


def _walk(scene: Scene, rounds: int, which: str) -> Report:
    walk = Walk(scene)
    for number in range(rounds):
        walk.settle(walk.move(f"{which}move {number + 1}"))
    walk.stay(f"{which}nobody moves", 1.0)
    return walk.report(
        "Routers tell each other",
        "Three hosts go from router to router: without a database, and with one that is told afterwards.",
    )


# --- a database that dies ---------------------------------------------------------------------------------------------


def play_cmd_dies(scene: Scene, dwell: float = 1.5) -> Report:
    """The whole run."""
    walk, lab = Walk(scene), scene.lab
    walk.settle(walk.move("all is well"))
    for store, name in ((True, "dead, back with its store"), (False, "dead, back without its store")):
        lab.stop_daemon("cmd", kill=True)
        walk.stay(f"{name}: nobody moves", dwell)
        happened = walk.move(f"{name}: all move")
        time.sleep(dwell)
        if not store:
            for path in lab.daemon("cmd").store.parent.glob("cmd.sqlite*"):
                path.unlink()
        lab.start_daemon("cmd")
        walk.settle(happened, back=time.monotonic_ns())
    walk.settle(walk.move("all is well again"))
    return walk.report(
        "The database dies",
        "Three hosts go from router to router while the database is dead; it comes back with its store, then without.",
    )


# --- a router that is cut off -----------------------------------------------------------------------------------------


@contextmanager
def cut(scene: Scene, *ways: tuple[str, str]) -> Iterator[None]:
    """Nothing gets from the first to the second of each pair."""
    for source, destination in ways:
        scene.ip(source, "route", "add", "blackhole", f"{scene.topology.address(destination)}/128", "metric", "1")
    try:
        yield
    finally:
        for source, destination in ways:
            scene.ip(source, "route", "del", "blackhole", f"{scene.topology.address(destination)}/128", "metric", "1")


def play_partition(scene: Scene, dwell: float = 1.5) -> Report:
    """The whole run: of the hosts, one goes to the router that is cut off, one leaves it, one stays elsewhere."""
    walk = Walk(scene)
    walk.settle(walk.move("all is well"))
    cut = "ar2"
    for name, ways in (
        (f"{cut} is not heard", ((cut, "cmd"),)),
        (f"{cut} hears nothing", (("cmd", cut),)),
        (f"{cut} is cut off", ((cut, "cmd"), ("cmd", cut))),
    ):
        _cut_off(walk, name, ways, dwell)
    walk.settle(walk.move("all is well again"))
    return walk.report(
        "A router is cut off from the database",
        f"{cut} and the database do not hear each other, in one direction and in both, while hosts go there and leave.",
    )


def _cut_off(walk: Walk, name: str, ways: tuple[tuple[str, str], ...], dwell: float) -> None:
    scene = walk.scene
    where: Callable[[str], str | None] = scene.lab.air.where
    moving = [host for host in scene.topology.hosts if where(host) != "ar3"]  # from ar1 to ar2, from ar2 to ar3
    with cut(scene, *ways):
        walk.stay(f"{name}: nobody moves", dwell)
        happened = walk.move(f"{name}: hosts come and leave", *moving)
        time.sleep(dwell)
    back = time.monotonic_ns()
    happened.unasked = back - happened.at
    walk.settle(happened, back)
