"""What a scenario says that cannot be true together, or that has no steady state.

The checks read the file as it was parsed and pass over what the model complains about, so that all is told at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sojourn.files.fields import duration_text, parse_duration
from sojourn.files.raw import readable, table
from sojourn.files.sections import Key, key_text
from sojourn.files.toml import Fault
from sojourn.sim.graph import MOST_PLACES
from sojourn.sim.population import LONGEST
from sojourn.sim.scenario_fields import parse_length, parse_number, parse_speed
from sojourn.sim.walks import dwell_of
from sojourn.wire.units import SECOND

TOPOLOGIES = ("topohub", "graphml", "links", "sites", "ring", "grid", "star", "tree", "campus", "geometric")
MOBILITIES = ("walk", "waypoint", "trace")
MOST_PER_NODE = 20_000
"""Movements or sessions of one node: the stream of a block has a thousand times as many rows, and is in memory."""
_LEAST_SHAPE = 0.05
_FILES = (
    ("topology", "graphml", "file"),
    ("topology", "links", "file"),
    ("topology", "links", "places"),
    ("topology", "sites", "file"),
    ("mobility", "trace", "file"),
    ("flows", "file"),
)
_OF_TO = {"nearest": "neighbours", "inside": "neighbours", "exponent": "gravity", "masses": "gravity"}
_LONGEST_LIFETIME = (0xFFFF - 1) * 4 * SECOND


def find(data: Mapping[str, Any], folder: Path) -> list[Fault]:
    """All contradictions of a parsed file that lies in `folder`."""
    topology, mobility = table(data.get("topology")), table(data.get("mobility"))
    faults = [*_one_of(("topology",), topology, TOPOLOGIES), *_one_of(("mobility",), mobility, MOBILITIES)]
    faults += _times(data, mobility)
    faults += _sizes(topology)
    faults += _graphml(table(topology.get("graphml")))
    faults += _population(mobility)
    if "walk" in mobility:
        faults += _walk(table(mobility["walk"]), _duration(data.get("duration")))
    faults += _waypoint(table(mobility.get("waypoint")))
    for name, session in table(data.get("sessions")).items():
        faults += _session(("sessions", name), table(session), _duration(data.get("duration")))
    faults += _protocol(table(data.get("protocol")))
    if "failures" in data:
        faults += _failures(table(data["failures"]), data)
    faults += _files(data, folder)
    return faults


def _one_of(key: Key, inside: Mapping[str, Any], kinds: tuple[str, ...]) -> Iterator[Fault]:
    there = [kind for kind in kinds if kind in inside]
    tables = ", ".join(f"[{key_text((*key, kind))}]" for kind in kinds)
    if not there:
        yield Fault(key, "says not of which kind it is", f"expected one table of {tables}")
    for kind in there[1:]:
        yield Fault((*key, kind), f"there is [{key_text((*key, there[0]))}] already", "expected one of them")


def _duration(value: object) -> float | None:
    """Seconds."""
    duration = None if value is None else readable(parse_duration, value)
    return None if duration is None else duration / SECOND


def _times(data: Mapping[str, Any], mobility: Mapping[str, Any]) -> Iterator[Fault]:
    duration = _duration(data.get("duration"))
    if duration is None:
        return
    if not 0 < duration <= LONGEST / SECOND:
        yield Fault(
            ("duration",), f"{data['duration']!r} cannot be simulated", "expected more than 0, at most 100 days"
        )
        return
    warm_up, arrive = _duration(data.get("warm_up", "0s")), _duration(mobility.get("arrive"))
    if warm_up is not None and warm_up >= duration:
        yield Fault(
            ("warm_up",), f"{data.get('warm_up')!r} leaves nothing to be counted", "expected less than duration"
        )
    if arrive is not None and arrive > duration:
        wrong = f"{mobility['arrive']!r} is longer than the simulation"
        yield Fault(("mobility", "arrive"), wrong, "expected at most its duration")


def _sizes(topology: Mapping[str, Any]) -> Iterator[Fault]:
    """Generated topologies that would be too large, before they are generated."""
    grid, tree = table(topology.get("grid")), table(topology.get("tree"))
    sizes = {
        "grid": _product(grid.get("rows"), grid.get("columns")),
        "tree": _leaves(tree.get("branches"), tree.get("levels")),
    }
    for kind, size in sizes.items():
        if size > MOST_PLACES:
            yield Fault(("topology", kind), f"has {size} places or more", f"expected at most {MOST_PLACES}")


def _product(one: object, other: object) -> int:
    return one * other if isinstance(one, int) and isinstance(other, int) else 0


def _leaves(branches: object, levels: object) -> int:
    return int(branches ** min(levels, 12)) if isinstance(branches, int) and isinstance(levels, int) else 0


def _graphml(graphml: Mapping[str, Any]) -> Iterator[Fault]:
    for kind in ("delay", "length"):
        if graphml.get(kind) and not graphml.get(f"{kind}_unit"):
            yield Fault(("topology", "graphml", f"{kind}_unit"), "is missing", f"say the unit of {graphml[kind]!r}")
    if graphml.get("delay") and graphml.get("length"):
        yield Fault(("topology", "graphml", "length"), "there is a delay already", "expected one of them")


def _population(mobility: Mapping[str, Any]) -> Iterator[Fault]:
    if "trace" in mobility:
        for key in ("nodes", "arrive"):
            if key in mobility:
                yield Fault(("mobility", key), "is what the trace says", "leave it out")
    elif "nodes" not in mobility and any(kind in mobility for kind in MOBILITIES):
        yield Fault(("mobility", "nodes"), "is missing", "expected how many nodes there are (for example 10000)")


def _walk(walk: Mapping[str, Any], duration: float | None) -> Iterator[Fault]:
    key: Key = ("mobility", "walk")
    yield from _dwell(key, walk)
    dwell = _mean_dwell(walk)
    if dwell and duration and duration / dwell > MOST_PER_NODE:
        wrong = f"a node would move {duration / dwell:,.0f} times"
        yield Fault((*key, "dwell" if "dwell" in walk else "speed"), wrong, f"expected at most {MOST_PER_NODE:,}")
    shape = readable(parse_number, walk.get("shape", 1))
    if shape is not None and shape < _LEAST_SHAPE:
        wrong = f"{walk['shape']!r}: so uneven stays have no steady state that a simulation would reach"
        yield Fault((*key, "shape"), wrong, f"expected at least {_LEAST_SHAPE}")
    to = walk.get("to", "uniform")
    for setting, meant in _OF_TO.items():
        if setting in walk and to != meant and isinstance(to, str):
            yield Fault((*key, setting), f"means nothing with to = {to!r}", f'leave it out, or say to = "{meant}"')
    if walk.get("gap_share") and _duration(walk.get("gap", "60s")) == 0:
        yield Fault((*key, "gap"), "a gap of no time", "expected more, or leave gap_share out")


def _dwell(key: Key, walk: Mapping[str, Any]) -> Iterator[Fault]:
    flow = [name for name in ("speed", "radius") if name in walk]
    if ("dwell" in walk) == bool(flow) or len(flow) == 1:
        yield Fault(key, "says not how long a node stays", "expected dwell, or speed and radius")
    if _duration(walk.get("dwell")) == 0:
        wrong = "a node would move for ever without time passing: there is no steady state"
        yield Fault((*key, "dwell"), wrong, "expected more than 0")
    if "speed" in walk and readable(parse_speed, walk["speed"]) == 0:
        yield Fault((*key, "speed"), "nodes that stand still have no dwell time", "expected more than 0")
    if "radius" in walk and readable(parse_length, walk["radius"]) == 0:
        wrong = "a cell without extent is left at once: there is no steady state"
        yield Fault((*key, "radius"), wrong, "expected more than 0")


def _mean_dwell(walk: Mapping[str, Any]) -> float | None:
    """Seconds, as far as it can be said."""
    if "dwell" in walk:
        return _duration(walk["dwell"])
    speed, radius = readable(parse_speed, walk.get("speed")), readable(parse_length, walk.get("radius"))
    return dwell_of(speed, radius) if speed and radius else None


def _waypoint(waypoint: Mapping[str, Any]) -> Iterator[Fault]:
    slowest, fastest = (
        readable(parse_speed, waypoint[name]) if name in waypoint else None for name in ("slowest", "fastest")
    )
    if slowest == 0:
        wrong = "with speeds down to 0 the population comes to rest: random waypoint has no steady state then"
        yield Fault(("mobility", "waypoint", "slowest"), wrong, "expected more than 0")
    if slowest is not None and fastest is not None and slowest > fastest:
        yield Fault(("mobility", "waypoint", "slowest"), "is more than fastest", "expected at most that")


def _session(key: Key, session: Mapping[str, Any], duration: float | None) -> Iterator[Fault]:
    every, lasting = _duration(session.get("every")), _duration(session.get("lasting"))
    if every == 0:
        wrong = "sessions would arrive infinitely often: there is no steady state"
        yield Fault((*key, "every"), wrong, "expected more than 0")
    elif every and duration and duration / every > MOST_PER_NODE:
        wrong = f"a node would begin {duration / every:,.0f} sessions"
        yield Fault((*key, "every"), wrong, f"expected at most {MOST_PER_NODE:,}")
    if lasting == 0:
        yield Fault((*key, "lasting"), "a session that lasts no time is none", "expected more than 0")
    law, tail = session.get("law", "exponential"), session.get("tail")
    number = None if tail is None else readable(parse_number, tail)
    if tail is not None and law in ("exponential", "fixed"):
        yield Fault((*key, "tail"), f"means nothing with law = {law!r}", 'leave it out, or say law = "pareto"')
    elif number is not None and law == "pareto" and number <= 1:
        wrong = f"{tail!r}: such sessions have no mean, so that ever more of them are open: there is no steady state"
        yield Fault((*key, "tail"), wrong, "expected more than 1")
    elif number is not None and law == "lognormal" and not 0 < number <= 5:
        yield Fault((*key, "tail"), f"{tail!r} is no standard deviation to simulate", "expected more than 0, at most 5")


def _protocol(protocol: Mapping[str, Any]) -> Iterator[Fault]:
    lifetime = readable(parse_duration, protocol.get("lifetime", "1h"))
    if lifetime is not None and not 4 * SECOND <= lifetime <= _LONGEST_LIFETIME:
        expected = f'expected "4s" to "{duration_text(_LONGEST_LIFETIME)}" (RFC 6275 6.1.7)'
        yield Fault(("protocol", "lifetime"), f"{protocol['lifetime']!r} is nothing that a message can say", expected)
    if (loss := protocol.get("loss")) is not None and loss == 1:
        yield Fault(("protocol", "loss"), "nothing would ever arrive", "expected less than 1")


def _failures(failures: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[Fault]:
    mode = table(data.get("protocol")).get("mode", "proxy")
    if mode in ("pmipv6", "mipv6", "none"):
        wrong = f"with mode {mode!r} there is no router that others could stand in for"
        yield Fault(("failures",), wrong, "expected protocol.mode proxy, relay, locator or direct")
    if ("at" in failures) == ("every" in failures):
        wrong = "says when routers die in two ways" if "at" in failures else "says not when routers die"
        yield Fault(("failures",), wrong, "expected at or every")
    if "every" in failures and _duration(failures["every"]) == 0:
        yield Fault(("failures", "every"), "nobody could live", "expected more than 0")
    if (interval := _duration(failures.get("interval"))) is not None and not 0.01 <= interval <= 60:
        yield Fault(
            ("failures", "interval"), f"{failures['interval']!r} is no time to beat in", 'expected "10ms" to "60s"'
        )
    times, routers = failures.get("at"), failures.get("routers", [])
    if not isinstance(times, list) or not isinstance(routers, list):
        return
    if not routers or not times or (len(times) != len(routers) and 1 not in (len(times), len(routers))):
        wrong = f"{len(times)} times for {len(routers)} routers"
        yield Fault(("failures", "at"), wrong, "expected one for each router, or one for all, or several for one")
    warm_up = _duration(data.get("warm_up", "0s")) or 0.0
    for number, time in enumerate(times):
        at = _duration(time)
        if at is not None and at < warm_up:
            yield Fault(
                ("failures", "at", number), f"{time!r} is before the end of the warm-up", "expected a later time"
            )


def _files(data: Mapping[str, Any], folder: Path) -> Iterator[Fault]:
    for key, name in _named_files(data):
        if not (folder / name).is_file():
            yield Fault(key, f"there is no file {folder / name}", "expected a path from the folder of the scenario")


def file_names(data: Mapping[str, Any]) -> list[str]:
    """The files that a scenario names."""
    return [name for _, name in _named_files(data)]


def _named_files(data: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    for key in _FILES:
        inside: Mapping[str, Any] = data
        for part in key[:-1]:
            inside = table(inside.get(part))
        name = inside.get(key[-1])
        if isinstance(name, str) and name and "\0" not in name:
            yield key, name
