"""From the tables of a scenario to topology, settings and population."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sojourn.files.sections import Key
from sojourn.files.toml import Fault
from sojourn.sim import topology_generated as generated
from sojourn.sim.flows import Flows, FlowSource
from sojourn.sim.graph import Cable, Finish, Graph, NotPossible, finish
from sojourn.sim.movements import Mobility
from sojourn.sim.plane import metres, neighbours
from sojourn.sim.population import Population
from sojourn.sim.protocol import Failures, ProtocolSettings
from sojourn.sim.scenario_model import (
    FailuresTable,
    File,
    GraphMl,
    MobilityTable,
    SessionTable,
    TopologyTable,
    WalkTable,
    Waypoint,
)
from sojourn.sim.sessions import Correspondents, Mix, Peers, SessionClass
from sojourn.sim.topology import Topology
from sojourn.sim.topology_files import links_file, sites_file, topohub
from sojourn.sim.topology_graphml import Attributes, graphml
from sojourn.sim.traces import Trace, TraceSource
from sojourn.sim.walks import Anywhere, Chain, Walk, dwell_of, gravity
from sojourn.sim.walks import neighbours as beside
from sojourn.sim.waypoints import Cells, Waypoints
from sojourn.wire.units import MICROSECOND, MILLISECOND, NANOSECOND, SECOND

_TIMES = {"": 0, "s": SECOND, "ms": MILLISECOND, "us": MICROSECOND, "ns": NANOSECOND}
_LENGTHS = {"": 0.0, "m": 1.0, "km": 1_000.0}
_TAIL = 1.5
_MOST_GRAVITY = 2_000
_ANYWHERE = ("local", "edge", "uniform")


def topology(table: TopologyTable, folder: Path) -> Topology:
    """The network. Raises `NotPossible`, and `ConfigurationError` for a file of it."""
    how = Finish(table.largest_part, table.access, table.routers_per_place, table.router_delay, table.router_distance)
    return finish(_graph(table, folder), how)


def _graph(table: TopologyTable, folder: Path) -> Graph:
    """The one kind of which there is a table."""
    if hub := table.topohub:
        return topohub(hub.name, Cable(hub.per_km, hub.per_link))
    if table.graphml:
        return _graphml(table.graphml, folder)
    if links := table.links:
        places = folder / links.places if links.places else None
        return links_file(folder / links.file, places, Cable(links.per_km, links.per_link))
    if sites := table.sites:
        return sites_file(folder / sites.file, sites.links == "hub", Cable(sites.per_km, sites.per_link))
    return _generated(table)


def _graphml(given: GraphMl, folder: Path) -> Graph:
    attributes = Attributes(
        given.name,
        given.delay,
        _TIMES[given.delay_unit],
        given.length,
        _LENGTHS[given.length_unit],
        given.latitude,
        given.longitude,
        given.fill_positions,
    )
    return graphml(folder / given.file, attributes, Cable(given.per_km, given.per_link))


def _generated(table: TopologyTable) -> Graph:
    if ring := table.ring:
        return generated.ring(ring.places, ring.delay, ring.spacing)
    if grid := table.grid:
        return generated.grid(grid.rows, grid.columns, grid.delay, grid.spacing)
    if star := table.star:
        return generated.star(star.places, star.delay, star.spacing)
    if tree := table.tree:
        return generated.tree(tree.branches, tree.levels, tree.delay, tree.spacing)
    if campus := table.campus:
        delays = generated.CampusDelays(
            campus.core_delay, campus.building_delay, campus.router_delay, campus.border_delay
        )
        return generated.campus(campus.buildings, campus.routers, delays, campus.spacing)
    assert table.geometric is not None, "exactly one table, which was checked"
    made = table.geometric
    return generated.geometric(made.places, made.side, made.reach, made.seed, Cable(made.per_km, made.per_link))


# --- what refers to places -------------------------------------------------------------------------------------------


def unknown_places(file: File, places: Sequence[str]) -> Iterator[Fault]:
    """Names in the scenario that are no place of its topology."""
    known = set(places)
    named: list[tuple[Key, dict[str, float]]] = [
        (("sessions", name, "to"), session.to) for name, session in file.sessions.items()
    ]
    if file.flows:
        named.append((("flows", "to"), file.flows.to))
    for key, shares in named:
        for name in shares.keys() - known - {*_ANYWHERE}:
            yield Fault(key, f"{name!r} is no place of the topology", _expected(places, _ANYWHERE))
    if file.mobility.walk:
        for name in file.mobility.walk.masses.keys() - known:
            wrong = f"{name!r} is no place of the topology"
            yield Fault(("mobility", "walk", "masses"), wrong, _expected(places))
    if file.protocol.database and file.protocol.database not in known:
        wrong = f"{file.protocol.database!r} is no place of the topology"
        yield Fault(("protocol", "database"), wrong, _expected(places))

    if file.failures:
        for name in sorted(set(file.failures.routers) - known):
            yield Fault(("failures", "routers"), f"{name!r} is no place of the topology", _expected(places))


def _expected(places: Sequence[str], more: Sequence[str] = ()) -> str:
    shown = ", ".join([*more, *places[:6]])
    return f"there are {shown}" + (f" and {len(places) - 6} more" if len(places) > 6 else "")


def settings(file: File, places: Sequence[str]) -> ProtocolSettings:
    """What is simulated."""
    protocol = file.protocol
    return ProtocolSettings(
        protocol.mode,
        places.index(protocol.database) if protocol.database else None,
        protocol.lifetime,
        protocol.idle_hold,
        protocol.processing,
        protocol.loss,
        tells_previous=protocol.tells_previous,
        anchors=protocol.anchors,
        route_optimisation=protocol.route_optimisation,
        wireless=protocol.wireless,
        failures=_failures(file.failures, places) if file.failures else None,
    )


def _failures(table: FailuresTable, places: Sequence[str]) -> Failures:
    return Failures(
        tuple(places.index(name) for name in table.routers),
        table.at,
        table.every or 0,
        table.lasting,
        table.partner == "nearest",
        table.interval,
        table.misses,
        table.hold,
        table.gives_up,
    )


def correspondents(shares: Mapping[str, float], places: Sequence[str]) -> Correspondents:
    """Where the other ends of sessions are."""
    fixed = tuple((places.index(name), share) for name, share in shares.items() if name not in _ANYWHERE)
    local, edge, uniform = (shares.get(word, 0.0) for word in _ANYWHERE)
    return Correspondents(local, edge, uniform, fixed)


def session_class(name: str, table: SessionTable, places: Sequence[str]) -> SessionClass:
    """Sessions of one kind."""
    tail = _TAIL if table.tail is None else table.tail
    to = correspondents(table.to, places)
    return SessionClass(name, table.every / SECOND, table.lasting / SECOND, table.law, tail, to)


# --- the population -------------------------------------------------------------------------------------------------


def population(file: File, network: Topology, folder: Path) -> Population:
    """The workload. Raises `NotPossible`, and `ConfigurationError` for traces and logs."""
    mobility = _mobility(file, network, folder)
    classes = [session_class(name, table, network.places) for name, table in file.sessions.items()]
    names = mobility.names if isinstance(mobility, Trace) else {}
    flows = None
    if file.flows:
        source = FlowSource(
            folder / file.flows.file,
            file.flows.begin,
            file.duration,
            file.flows.repair,
            correspondents(file.flows.to, network.places),
        )
        flows = Flows(source, network.places, mobility.nodes, names)
    repairs = (mobility.figures.repairs if isinstance(mobility, Trace) else ()) + (flows.repairs if flows else ())
    return Population(file.duration, file.seed, mobility, Mix(classes), Peers(network), flows, repairs)


def _mobility(file: File, network: Topology, folder: Path) -> Mobility:
    """The one kind of which there is a table."""
    table = file.mobility
    if table.trace:
        trace = table.trace
        source = TraceSource(folder / trace.file, trace.begin, file.duration, trace.leave, trace.repair)
        return Trace(source, network.places)
    if table.walk:
        return _walk(file, table, table.walk, network)
    assert table.waypoint is not None, "exactly one table, which was checked"
    return _waypoints(file, table, table.waypoint, network)


def mean_dwell(walk: WalkTable) -> float:
    """Seconds at a place."""
    if walk.dwell is not None:
        return walk.dwell / SECOND
    assert walk.speed is not None, "checked"
    assert walk.radius is not None, "checked"
    return dwell_of(walk.speed, walk.radius)


def _walk(file: File, table: MobilityTable, walk: WalkTable, network: Topology) -> Walk:
    access = network.attachable()
    return Walk(
        table.nodes or 0,
        file.duration,
        file.seed,
        access,
        _chain(walk, network, access) if len(access) > 1 else None,
        mean_dwell(walk),
        walk.shape,
        table.arrive,
        walk.gap_share,
        walk.gap / SECOND,
    )


def _chain(walk: WalkTable, network: Topology, access: NDArray[np.int64]) -> Chain:
    if walk.to == "uniform":
        return Anywhere(len(access))
    if walk.to == "neighbours":
        return beside(network, walk.nearest, walk.inside)
    if len(access) > _MOST_GRAVITY:
        wrong = f"with gravity every place is weighed against all {len(access)}"
        raise NotPossible("mobility.walk.to", wrong, f"expected at most {_MOST_GRAVITY} places where nodes attach")
    masses = np.array([walk.masses.get(network.places[place], 1.0) for place in access])
    if (masses > 0).sum() < 2:
        raise NotPossible("mobility.walk.masses", "leave nowhere to go", "expected two places with a mass at least")
    return gravity(network, masses, walk.exponent)


def _waypoints(file: File, table: MobilityTable, waypoint: Waypoint, network: Topology) -> Waypoints:
    access = network.attachable()
    if network.positions is None:
        wrong = "the places have no positions"
        raise NotPossible("mobility.waypoint", wrong, "name a topology with positions, or another mobility")
    points = metres(network.positions, network.geographic)[access]
    if len(np.unique(points, axis=0)) < len(points) or len(points) < 2:
        wrong = "places where nodes attach are at one point, so that none is the nearest"
        raise NotPossible("mobility.waypoint", wrong, "expected two or more, each with a position of its own")
    margin = waypoint.margin
    if margin is None:
        pairs = neighbours(points)
        margin = float(np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T).mean()) / 2
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    if (high <= low).any():
        raise NotPossible("mobility.waypoint.margin", "the area has no extent", "expected more than 0")
    return Waypoints(
        table.nodes or 0,
        file.duration,
        file.seed,
        access,
        Cells(points),
        low,
        high,
        waypoint.slowest,
        waypoint.fastest,
        waypoint.pause / SECOND,
        table.arrive,
    )
