"""A scenario file: every mistake at once, with its line, its key and what was expected; and what follows from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sojourn.files.toml import ConfigurationError
from sojourn.sim import reference
from sojourn.sim.protocol import ProtocolSettings
from sojourn.sim.scenario import Scenario, load, parameters
from sojourn.wire.units import HOUR, MINUTE, SECOND

ROOT = Path(__file__).parents[2]
RING = """\
duration = "1h"
[topology.ring]
places = 5
[mobility]
nodes = 10
[mobility.walk]
dwell = "60s"
[sessions.web]
every = "30s"
lasting = "10s"
"""


def read(folder: Path, text: str) -> Scenario:
    path = folder / "x.toml"
    path.write_text(text)
    return load(path)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, text)
    return [line.removeprefix(str(folder / "x.toml")) for line in str(caught.value).splitlines()]


def test_a_scenario_says_what_the_simulator_is_told(tmp_path: Path) -> None:
    more = 'name = "far"\nseed = 7\nwarm_up = "5m"\nwire = "full"\n' + RING
    protocol = '[protocol]\nmode = "locator"\ndatabase = "r3"\nidle_hold = "2s"\nloss = 0.01\nlifetime = "10m"\n'
    scenario = read(tmp_path, more + protocol)
    assert (scenario.name, scenario.seed, scenario.duration, scenario.warm_up) == ("far", 7, HOUR, 5 * MINUTE)
    assert scenario.wire == "full"
    assert scenario.settings == ProtocolSettings("locator", 2, 10 * MINUTE, 2 * SECOND, 0, 0.01)
    assert scenario.topology().places == ("r1", "r2", "r3", "r4", "r5")
    workload = scenario.workload(scenario.topology())
    assert (workload.nodes, workload.duration) == (10, HOUR)
    assert [(each.name, each.every, each.lasting) for each in scenario.sessions] == [("web", 30.0, 10.0)]
    assert scenario.dwell == 60.0


def test_absent_keys_are_the_simulators_own_defaults(tmp_path: Path) -> None:
    scenario = read(tmp_path, RING)
    assert scenario.settings == ProtocolSettings()
    assert (scenario.seed, scenario.warm_up, scenario.name) == (1, 0, "x")
    assert scenario.evaluate.worthwhile == SECOND // 1000


def test_a_folder_means_its_scenario_and_gives_it_a_name(tmp_path: Path) -> None:
    (tmp_path / "city").mkdir()
    (tmp_path / "city" / "scenario.toml").write_text(RING)
    assert load(tmp_path / "city").name == "city"


@pytest.mark.parametrize(
    ("speed", "radius", "dwell"), [("1.4 m/s", "50m", 56.1), ("14 m/s", "200m", 22.4), ("108 km/h", "0.5km", 26.2)]
)
def test_fluid_flow_gives_the_dwell_time(tmp_path: Path, speed: str, radius: str, dwell: float) -> None:
    """The check values of standards.md 7.1."""
    scenario = read(tmp_path, RING.replace('dwell = "60s"', f'speed = "{speed}"\nradius = "{radius}"'))
    assert scenario.dwell == pytest.approx(dwell, abs=0.05)


WALK, SESSIONS, MOBILITY = 'dwell = "60s"', 'every = "30s"\nlasting = "10s"', "[mobility.walk]\n" + 'dwell = "60s"'
WRONG: list[tuple[str, str, str]] = [
    ('duration = "1h"', 'duration = "0s"', ":1: duration: '0s' cannot be simulated"),
    ('duration = "1h"', 'duration = "200000h"', ":1: duration: '200000h' cannot be simulated"),
    ('duration = "1h"', 'duration = "an hour"', ":1: duration: 'an hour' is not a length of time"),
    ('duration = "1h"', 'duration = "1h"\nwarm_up = "1h"', ":2: warm_up: '1h' leaves nothing to be counted"),
    ('duration = "1h"', 'duration = "1h"\nsede = 3', ":2: sede: there is no such key; did you mean seed?"),
    ("places = 5", "places = 2", ":3: topology.ring.places: 2 is not possible here; expected a whole number from 3"),
    ("places = 5", "places = 5\n[topology.star]\nplaces = 3", ":4: topology.star: there is [topology.ring] already"),
    ("[topology.ring]\nplaces = 5", "[topology]", ":2: topology: says not of which kind it is; expected one table of"),
    ("places = 5", "places = 5\n[topology]\naccess = ['x*']", ":5: topology.access: 'x*' is the name of no place"),
    ("[topology.ring]\nplaces = 5", "[topology.tree]\nbranches = 64\nlevels = 12", ":2: topology.tree: has 4722366482"),
    ("[topology.ring]\nplaces = 5", "[topology.topohub]\nname = 'Abilen'", "did you mean Abilene"),
    ("[topology.ring]\nplaces = 5", "[topology.topohub]\nname = '0'", "several topologies of topohub; did you mean"),
    ("[topology.ring]\nplaces = 5", "[topology.links]\nfile = 'none.csv'", ":3: topology.links.file: there is no file"),
    ("nodes = 10", "", ":4: mobility.nodes: is missing; expected how many"),
    ("nodes = 10", 'nodes = 10\narrive = "2h"', ":6: mobility.arrive: '2h' is longer than the simulation"),
    (WALK, 'dwell = "0s"', ":7: mobility.walk.dwell: a node would move for ever without time passing"),
    (WALK, 'dwell = "1ms"', ":7: mobility.walk.dwell: a node would move 3,600,000 times; expected at most 20,000"),
    (WALK, 'speed = "1 m/s"', ":6: mobility.walk: says not how long a node stays; expected dwell, or speed and radius"),
    (WALK, WALK + '\nspeed = "1 m/s"\nradius = "5m"', ":6: mobility.walk: says not how long a node stays"),
    (WALK, 'speed = "0 m/s"\nradius = "5m"', ":7: mobility.walk.speed: nodes that stand still"),
    (WALK, 'speed = "1 mph"\nradius = "5m"', ":7: mobility.walk.speed: '1 mph' is no speed in m/s or km/h"),
    (WALK, WALK + "\nshape = 0", ":8: mobility.walk.shape: 0: so uneven stays have no steady state"),
    (WALK, WALK + "\nnearest = 2", ":8: mobility.walk.nearest: means nothing with to = 'uniform'"),
    (WALK, WALK + '\nto = "gravity"\nmasses = { r9 = 2 }', ":9: mobility.walk.masses: 'r9' is no place"),
    (WALK, WALK + "\ngap_share = 1.5", ":8: mobility.walk.gap_share: 1.5 is more than 1"),
    (MOBILITY, '[mobility.waypoint]\nslowest = "0 m/s"\nfastest = "2 m/s"', "random waypoint has no steady state then"),
    (MOBILITY, '[mobility.waypoint]\nslowest = "3 m/s"\nfastest = "2 m/s"', ":7: mobility.waypoint.slowest: is more"),
    (SESSIONS, 'every = "0s"\nlasting = "1s"', ":9: sessions.web.every: sessions would arrive infinitely often"),
    (SESSIONS, 'every = "1us"\nlasting = "1s"', ":9: sessions.web.every: a node would begin 3,600,000,000 sessions"),
    (SESSIONS, 'every = "1s"\nlasting = "0s"', ":10: sessions.web.lasting: a session that lasts no time is none"),
    (SESSIONS, SESSIONS + '\nlaw = "pareto"\ntail = 1', "they have no mean|such sessions have no mean"),
    (SESSIONS, SESSIONS + "\ntail = 1.5", ":11: sessions.web.tail: means nothing with law = 'exponential'"),
    (SESSIONS, SESSIONS + "\nto = { edge = 0.5 }", ":11: sessions.web.to: the shares add up to 0.5"),
    (
        SESSIONS,
        SESSIONS + "\nto = { r7 = 1 }",
        ":11: sessions.web.to: 'r7' is no place of the topology; there are local",
    ),
    (SESSIONS, 'lasting = "10s"', ":8: sessions.web.every: is missing; expected a length of time"),
    (SESSIONS, SESSIONS + "\n[protocol]\nloss = 1", ":12: protocol.loss: nothing would ever arrive"),
    (SESSIONS, SESSIONS + "\n[protocol]\nlifetime = '1s'", ":12: protocol.lifetime: '1s' is nothing that a message"),
    (SESSIONS, SESSIONS + "\n[protocol]\ndatabase = 'hq'", ":12: protocol.database: 'hq' is no place of the topology"),
    (SESSIONS, SESSIONS + "\n[protocol]\nmode = 'fast'", ':12: protocol.mode: "fast" is not possible here; expected'),
    (SESSIONS, SESSIONS + "\n[flows]\nfile = 'x.csv'", ":12: flows.file: there is no file"),
    (SESSIONS, SESSIONS + "\n[sweep.grid]\nseed = [1]", ":12: sweep.grid.seed: nothing that a grid can vary"),
    (
        SESSIONS,
        SESSIONS + '\n[sweep.grid]\n"protocol.mod" = ["x"]',
        ":12: sweep.grid.protocol.mod: there is no such key",
    ),
    (SESSIONS, SESSIONS + '\n[sweep.grid]\n"mobility.walk.dwell" = ["1m", "0s"]', ":12: mobility.walk.dwell: a node"),
    (
        SESSIONS,
        SESSIONS + "\n[sweep.grid]\nmobility.walk.dwell = ['1m', 'x']",
        ":12: mobility.walk.dwell: 'x' is not a",
    ),
    (SESSIONS, SESSIONS + "\n[sweep]\nseeds = [1, 1]", ":12: sweep.seeds: [1, 1] has a seed twice"),
    ("[topology.ring]", "[topology.ring", "is not TOML"),
]


@pytest.mark.parametrize(("right", "wrong", "said"), WRONG)
def test_a_mistake_is_told_with_line_key_and_remedy(tmp_path: Path, right: str, wrong: str, said: str) -> None:
    assert right in RING
    told = problems(tmp_path, RING.replace(right, wrong))
    assert any(part in line for line in told for part in said.split("|")), told
    assert all("; " in line for line in told)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = RING.replace("places = 5", "places = 0").replace('dwell = "60s"', 'dwell = "0s"').replace('"30s"', '"x"')
    assert [line.split(": ")[1] for line in problems(tmp_path, text)] == [
        "topology.ring.places",
        "mobility.walk.dwell",
        "sessions.web.every",
    ]


_VALUES: list[Any] = [0, -1, 10**30, 1.5, True, "", "x", "\0", "-5s", "5", [], [1], ["x"], {}, {"a": 1}, [{}]]


@pytest.mark.parametrize("table", [name.strip("[]").replace("NAME", "web") for name, _ in reference.LAYOUT.tables[1:]])
@pytest.mark.parametrize("value", _VALUES, ids=repr)
def test_any_value_of_any_key_is_taken_or_refused_in_words(tmp_path: Path, table: str, value: object) -> None:
    models = {name.strip("[]").replace("NAME", "web"): model for name, model in reference.LAYOUT.tables}
    base = read(tmp_path, RING)
    found = []
    for key in models[table].model_fields:
        try:
            base.varied({f"{table}.{key}": value})
        except ConfigurationError as error:
            found += error.problems
    assert found
    assert all(problem.wrong and problem.expected for problem in found)


def test_a_scenario_is_varied_without_being_written(tmp_path: Path) -> None:
    base = read(tmp_path, RING)
    varied = base.varied({"mobility.walk.dwell": "2m", "sessions.web.every": "1s"}).varied({"seed": 5})
    assert (varied.dwell, varied.seed, varied.sessions[0].every) == (120.0, 5, 1.0)
    assert (base.dwell, base.seed) == (60.0, 1)
    assert varied.changes == {"mobility.walk.dwell": "2m", "sessions.web.every": "1s", "seed": 5}
    assert varied.topology() is base.topology()


def test_parameters_are_all_keys_as_numbers(tmp_path: Path) -> None:
    told = parameters(read(tmp_path, RING))
    assert (told["duration"], told["mobility.walk.dwell"], told["sessions.web.every"]) == (3600.0, 60.0, 30.0)
    assert told["protocol.idle_hold"] == 1.0
    assert told["sessions.web.to.uniform"] == 1.0
    assert not any(key.startswith(("sweep", "evaluate")) for key in told)
    json.dumps(told)


def test_the_documentation_is_that_of_the_model() -> None:
    page = ROOT / "docs" / "simulating.md"
    assert page.read_text() == reference.markdown(), "python -m sojourn.sim.reference > docs/simulating.md"


def test_the_documented_example_is_right(tmp_path: Path) -> None:
    assert read(tmp_path, reference.EXAMPLE).workload(read(tmp_path, reference.EXAMPLE).topology()).nodes == 10_000


def test_the_schema_is_json_and_knows_every_table() -> None:
    schema = json.loads(json.dumps(reference.json_schema()))
    assert {"TopologyTable", "WalkTable", "SessionTable", "SweepTable"} <= set(schema["$defs"])


@pytest.mark.parametrize("example", ["campus", "bologna", "geant"])
def test_the_examples_can_be_simulated(example: str) -> None:
    scenario = load(ROOT / "examples" / example)
    assert scenario.name == example
    assert not scenario.topology().repairs
    workload = scenario.workload(scenario.topology())
    stream = workload.shard(0, min(1000, workload.nodes))
    assert len(stream) > 10_000
