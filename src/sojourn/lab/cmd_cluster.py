"""Several databases on one store, and each of them can die: ``sojourn lab run cmd-cluster``.

Three CMDs serve a domain over two PostgreSQL servers, each with a synchronous standby. Hosts roam while a CMD is
killed, and while a PostgreSQL server is killed and its standby promoted, which elsewhere is the work of Patroni.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

from sojourn.engines.database_entry import BindingCacheEntry
from sojourn.lab.air import RoamTimes
from sojourn.lab.conduct import conduct
from sojourn.lab.measure import Window, crowding, loss, lost_time
from sojourn.lab.postgres import Partition, partitions
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, to_json
from sojourn.lab.scene import Scene, holds, perform
from sojourn.lab.topology import Topology, load
from sojourn.wire.addresses import link_layer_text, text
from sojourn.wire.units import MILLISECOND

_RATE = 100
_APART = 0.2
"""Seconds between two hosts that roam."""
_SERVED = 2.5
"""Seconds within which a host that roamed is known where it is, whatever died."""
_ALLOWED_MS = 500.0
"""Of a session, lost at a move while everything works: what is to be seen here is not how fast that is."""
_DIES_MS = 1500.0
"""The same while something dies: the router that the host left learns it when another one, or the store, answers."""
_CALM, _CMD, _PRIMARY = "all is well", "a CMD is killed", "a PostgreSQL server is killed"


@scenario("cmd-cluster", "three databases share a store; one of them dies, then a server of the store, hosts roam on")
def cmd_cluster(options: ScenarioOptions) -> int:
    """The scenario."""
    return conduct("cmd-cluster", options, lambda: play(options))


def with_databases(topology: Topology, sources: Sequence[str]) -> Topology:
    """`topology` with its databases on these."""
    return topology.model_copy(update={"cmd": {**topology.cmd, "databases": list(sources)}})


def play(options: ScenarioOptions) -> Report:
    """The whole run. Raises `DatabaseFailed`, `SceneFailed`, TrafficError, DaemonFailed, OSError."""
    if not options.json:
        print("two PostgreSQL servers with a standby each are made", flush=True)
    with partitions(2) as stores:
        topology = with_databases(load("cmd-cluster"), [store.source for store in stores])
        return perform(options, topology, lambda scene: _play(scene, stores))


def _play(scene: Scene, stores: Sequence[Partition]) -> Report:
    hosts, server = scene.topology.hosts, scene.topology.of_kind("server")[0]
    destination = scene.topology.address(server)
    scene.traffic.serve(server, destination)
    for host in hosts:
        source = scene.address(host, "2001:db8:a")
        scene.traffic.stream(f"{host}-stream", host, source, destination, up=_RATE, down=_RATE)
        scene.traffic.exchange(f"{host}-tcp", host, source, destination, interval=20 * MILLISECOND)
    moves: dict[str, list[tuple[str, RoamTimes]]] = {}
    times: dict[str, float] = {}
    _round(scene, _CALM, moves, times, lambda: None)
    _round(scene, _CMD, moves, times, lambda: _kill_cmd(scene))
    scene.lab.start_daemon("cmd1")
    _round(scene, _PRIMARY, moves, times, stores[0].primary.kill, stores[0].standby.promote)
    scene.phase("nobody roams", 2.0)
    return _report(scene, stores, moves, times)


def _kill_cmd(scene: Scene) -> None:
    scene.lab.stop_daemon("cmd1", kill=True)


def _round(
    scene: Scene,
    name: str,
    moves: dict[str, list[tuple[str, RoamTimes]]],
    times: dict[str, float],
    before: Callable[[], object],
    amid: Callable[[], object] = lambda: None,
) -> None:
    """Every host goes on to the next router; something happens before, and something amid."""
    scene.say(f"every host roams; {name}")
    routers = scene.topology.access_routers
    moves[name] = []
    before()
    for number, host in enumerate(scene.topology.hosts):
        there = routers[(routers.index(scene.lab.air.where(host) or routers[0]) + 1) % len(routers)]
        moves[name].append((host, scene.lab.air.roam(host, there)))
        if number == len(scene.topology.hosts) // 2:
            amid()
        time.sleep(_APART)
    since = time.monotonic()
    scene.until("every host is known where it is", lambda: _all_known(scene))
    times[name] = time.monotonic() - since
    time.sleep(1.0)


def _all_known(scene: Scene) -> bool:
    """Every router that serves a host had an answer, and the routers that it left forward to it."""
    for router in scene.topology.access_routers:
        here = {
            link_layer_text(scene.lab.air.link_layer(host))
            for host in scene.topology.hosts
            if scene.lab.air.where(host) == router
        }
        rows = scene.rows(router, "sessions")
        served = {row["link_layer"] for row in rows if row["presence"] == "served" and row["confirmed"]}
        if served != here:
            return False
    return True


def _kept(stores: Sequence[Partition]) -> dict[str, str]:
    """Where the hosts are, as the servers have it that may be written to."""
    found: dict[str, str] = {}
    for store in stores:
        server = store.primary if store.primary.running else store.standby
        for line in server.sql("SELECT encode(key, 'hex'), encode(record, 'hex') FROM binding").splitlines():
            key, _, record = line.partition("|")
            node = bytes.fromhex(key)
            found[link_layer_text(node[-6:])] = text(BindingCacheEntry.restored(node, bytes.fromhex(record), 0).serving)
    return found


def _report(
    scene: Scene,
    stores: Sequence[Partition],
    moves: dict[str, list[tuple[str, RoamTimes]]],
    times: dict[str, float],
) -> Report:
    air, topology = scene.lab.air, scene.topology
    kept = _kept(stores)
    right = {link_layer_text(air.link_layer(host)): topology.address(air.where(host) or "") for host in topology.hosts}
    records = scene.finish()
    connections = [records[f"{host}-tcp"] for host in topology.hosts]
    broken = sum(record.outcome not in ("running", "complete") for record in connections)
    lost = {
        name: [
            max(lost_time(loss(way, _around(times_of)).lost, _RATE) for way in (record.up, record.down))
            for host, times_of in made
            for record in (records[f"{host}-stream"],)
        ]
        for name, made in moves.items()
    }
    quiet = sum(
        scene.measured(way, "nobody roams").lost
        for host in topology.hosts
        for way in (records[f"{host}-stream"].up, records[f"{host}-stream"].down)
    )
    bounds = [limit * crowding() for limit in (_ALLOWED_MS, _DIES_MS, _DIES_MS)]
    verdicts = [
        holds("TCP connections that ended", broken, "0", broken == 0),
        holds("bindings in the store", len(kept), f"{len(right)}, each where its host is", kept == right),
        *[
            holds(f"{name}: lost at a move", f"{max(found):.0f} ms", f"{bound:.0f} ms at most", max(found) <= bound)
            for (name, found), bound in zip(lost.items(), bounds, strict=True)
        ],
        *[
            holds(f"{name}: last host known", f"{after:.1f} s", f"{_SERVED:g} s at most", after <= _SERVED)
            for name, after in times.items()
        ],
        holds("lost while nobody roams", quiet, "0", quiet == 0),
    ]
    rows: list[Sequence[str]] = [
        (name, str(len(found)), f"{median(found):.0f} ms", f"{max(found):.0f} ms", f"{times[name]:.1f} s")
        for name, found in lost.items()
    ]
    return Report(
        "Several databases on one store",
        "Three CMDs of one domain over two PostgreSQL servers with a standby each, while hosts roam.",
        verdicts=verdicts,
        tables=[Table("Moves", ("while", "moves", "lost, median", "lost, most", "all known after"), rows)],
        conditions=[
            ("streams", f"{_RATE} packets a second each way and host"),
            ("store", "synchronous standby, fsync on"),
        ],
        data={"topology": topology.model_dump(mode="json"), "lost": to_json(lost), "times": times},
    )


def _around(move: RoamTimes) -> Window:
    return Window(move.disassociated - 50 * MILLISECOND, move.disassociated + 2000 * MILLISECOND)
