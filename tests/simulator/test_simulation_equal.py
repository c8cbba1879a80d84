"""A simulation is the same however it is done: in shards, with octets or without, in one go or in two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sojourn.sim.ledger import Purpose
from sojourn.sim.protocol import ProtocolSettings
from sojourn.sim.results import NotOurs
from sojourn.sim.run import Progress, cut, simulate
from sojourn.sim.scenario import Scenario
from sojourn.sim.wires import Scales, carried
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingUpdate,
    MobileNodeIdentifier,
    MobilityMessage,
    MobilityOption,
    PreviousMaar,
    UnknownOption,
    VendorSpecific,
)
from sojourn.wire.extensions.rfc5844 import Ipv4HomeAddressRequest
from support.marks import first_is_quick
from support.simulations import scenario, star, walk, world

SCENARIO = """\
duration = "90s"
warm_up = "30s"
[topology.grid]
rows = 4
columns = 4
delay = "2ms"
[protocol]
idle_hold = "2s"
[mobility]
nodes = 1100
[mobility.walk]
dwell = "100s"
to = "neighbours"
[sessions.page]
every = "90s"
lasting = "60s"
"""


_MODES = first_is_quick(["proxy", "relay", "locator", "pmipv6", "mipv6"])


@pytest.fixture
def small(tmp_path: Path) -> Scenario:
    """1,100 nodes in two blocks."""
    folder = tmp_path / "scenario"
    folder.mkdir()
    return scenario(folder, SCENARIO)


def run(small: Scenario, output: Path | None = None, **how: Any) -> dict[str, Any]:
    """The summary, without what depends on the machine."""
    topology = small.topology()
    told = {"seed": small.seed, "jobs": 1, "warm_up": small.warm_up, **how}
    found = simulate(topology, small.workload(topology), small.settings, output, **told)
    speed = found.pop("speed")
    return {**found, "events": [speed[name] for name in ("records", "messages", "holds")]}


@pytest.mark.parametrize("mode", [*_MODES, "none"])
def test_the_result_does_not_depend_on_the_shards(small: Scenario, mode: str) -> None:
    small = small.varied({"protocol.mode": mode})
    whole = run(small, shard_nodes=10_000)
    assert whole["handovers"] > 500
    assert run(small, shard_nodes=1_000) == whole


@pytest.mark.slow
def test_nor_on_the_processes(small: Scenario, tmp_path: Path) -> None:
    assert run(small, jobs=2, shard_nodes=1_000, output=tmp_path / "out") == run(small)


def test_the_same_seed_is_the_same_simulation_and_another_is_another(small: Scenario) -> None:
    few = small.varied({"mobility.nodes": 100})
    assert run(few) == run(few)
    assert run(few.varied({"seed": 2}))["log"] != run(few)["log"]


@pytest.mark.slow
def test_with_losses_the_seed_decides_what_is_lost(small: Scenario) -> None:
    lossy = small.varied({"protocol.loss": 0.02, "mobility.nodes": 200})
    found = run(lossy, seed=3)
    assert found["signalling"]["lost"] > 0
    assert found == run(lossy, seed=3)
    assert found["log"] != run(lossy, seed=4)["log"]


def test_what_nodes_share_is_not_cut(small: Scenario) -> None:
    """Processing times and losses: nodes wait for each other, and share what is known of round trips."""
    planned: list[int] = []
    for changes in ({"protocol.processing": "1ms"}, {"protocol.loss": 0.001}):
        shared = small.varied({**changes, "mobility.nodes": 1001, "duration": "35s"})
        run(shared, shard_nodes=1_000, progress=lambda progress: planned.append(progress.planned))
    assert set(planned) == {1}


# --- wire -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", _MODES)
def test_messages_as_objects_with_octets_and_encoded_give_the_same(small: Scenario, mode: str) -> None:
    small = small.varied({"protocol.mode": mode, "mobility.nodes": 150})
    off, size, full = (run(small, wire=wire) for wire in ("off", "size", "full"))
    assert {**size, "wire": "full"} == full
    octets = ("octets", "octets_per_s", "octets_per_handover")
    for found in (off, size):
        assert (found["signalling"]["octets"] is None) == (found is off)
        found["signalling"] = {key: value for key, value in found["signalling"].items() if key not in octets}
        found["by_place"].pop("octets_per_s")
        found.pop("octets_per_handover")
        found.pop("wire")
    assert off == size


def test_the_walk_of_the_demo_costs_what_the_demo_measures() -> None:
    """ar1, ar2, ar3, ar1 with sessions that live on: k = 1, 2, 2 and 528, 824, 824 octets, as README prints."""
    topology = star(15.0, 15.0, 15.0, across=10.0)
    made = world(topology, walk(1, 2, 3, 1), 40.0, mode="proxy", wire="full")
    assert list(made.seen.contacted)[1:] == [1, 2, 2]
    assert made.ledger.of_turn[1:].tolist() == [4, 6, 6]
    assert made.ledger.octets_of_turn[1:].tolist() == [528, 824, 824]


def test_with_pmipv6_the_same_walk_costs_two_exchanges_each_time_and_all_of_it_is_tunnelled(tmp_path: Path) -> None:
    """RFC 5213: the gateway that a node leaves ends the registration, the new one begins one; 2 a of latency."""
    made = world(star(15.0, 15.0, 15.0, across=10.0), walk(1, 2, 3, 1), 40.0, mode="pmipv6", wire="full")
    assert made.ledger.of_turn.tolist() == [2, 4, 4, 4]
    begin = [0, 10, 20, 30]
    assert [at - 10**9 * start for at, start in zip(made.seen.registered, begin, strict=True)] == [30_000_000] * 4
    found = run(scenario(tmp_path, SCENARIO).varied({"protocol.mode": "pmipv6", "mobility.nodes": 300}))
    assert found["sessions"]["tunnelled_share"] == 1.0
    assert found["messages_per_handover"]["mean"] == 4.0
    assert found["unregistered"] + found["unrestored"] <= 2  # under way at the end


def test_the_walk_of_the_demo_retires_its_prefixes_when_all_sessions_are_over() -> None:
    topology = star(15.0, 15.0, 15.0, across=10.0)
    made = world(topology, walk(1, 2, 3, 1, long=30.0), 80.0, mode="proxy")
    assert made.ledger.by_purpose[Purpose.RETIREMENT] == 2 * 4


_OPTIONS: list[tuple[MobilityOption, ...]] = [
    (),
    (MobileNodeIdentifier(5, b"123456"),),
    (MobileNodeIdentifier(1, b"somebody@example.org"), AnchoredPrefix(64, bytes(16))),
    (MobileNodeIdentifier(1, b"x"), AnchoredPrefix(64, bytes(16))),
    (PreviousMaar(64, bytes(16), bytes(16)),) * 3,
    (VendorSpecific(9, 1, b"123"), UnknownOption(200, b"12345")),
    (UnknownOption(200, b"1"),),
    (UnknownOption(200, b"123456789"),),
    (Ipv4HomeAddressRequest(24, b"\n\0\0\1"),),
]


def test_counted_octets_are_those_of_the_encoder_for_every_shape() -> None:
    scales = Scales()
    messages: list[MobilityMessage] = [BindingUpdate(1, 0, 0, options) for options in _OPTIONS]
    messages += [BindingAcknowledgement(0, 0, 1, 0, options) for options in _OPTIONS]
    for message in messages + messages[::-1]:
        assert scales.weigh(message) == (message, carried(message)[1])


# --- directories ------------------------------------------------------------------------------------------------------


class Stop(Exception):
    """In place of Ctrl-C."""


@pytest.mark.slow
def test_what_was_interrupted_goes_on_and_gives_the_same(small: Scenario, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.shards == 1:
            raise KeyboardInterrupt

    whole = run(small, tmp_path / "whole", shard_nodes=1_000)
    with pytest.raises(KeyboardInterrupt):
        run(small, tmp_path / "parts", shard_nodes=1_000, progress=stop)
    done = sorted(path.name for path in (tmp_path / "parts" / "shards").iterdir())
    assert done == ["00000000-00001000.msgpack"]
    begun: list[float] = []
    assert run(small, tmp_path / "parts", progress=lambda progress: begun.append(progress.share)) == whole
    assert min(share for share in begun if share) == pytest.approx(1 / 2)
    for name in ("shards", "handovers"):
        files = [sorted(path.name for path in (tmp_path / way / name).iterdir()) for way in ("whole", "parts")]
        assert files[0] == files[1]


def test_a_directory_with_results_is_taken_up_only_when_asked(small: Scenario, tmp_path: Path) -> None:
    run(small.varied({"mobility.nodes": 10}), tmp_path / "out")
    with pytest.raises(NotOurs, match=r"holds results of this simulation already \(1 of 1 parts are done\)"):
        run(small.varied({"mobility.nodes": 10}), tmp_path / "out", resume=False)


@pytest.mark.parametrize(
    "changes", first_is_quick([{"seed": 2}, {"protocol.mode": "relay"}, {"mobility.nodes": 11}, {"warm_up": "1m"}])
)
def test_results_of_another_simulation_are_not_mixed_in(small: Scenario, tmp_path: Path, changes: Any) -> None:
    few = small.varied({"mobility.nodes": 10})
    run(few, tmp_path / "out")
    with pytest.raises(NotOurs, match="holds results of another simulation"):
        run(few.varied(changes), tmp_path / "out", warm_up=few.varied(changes).warm_up)


def test_files_of_somebody_else_are_left_alone(small: Scenario, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mother.txt").write_text("dear")
    with pytest.raises(NotOurs, match="holds files that are no results of a simulation"):
        run(small, tmp_path / "letters")
    (tmp_path / "letters" / "manifest.json").write_text("{}")
    with pytest.raises(NotOurs, match=r"manifest\.json is not of a simulation"):
        run(small, tmp_path / "letters")
    with pytest.raises(NotOurs, match="is a file"):
        run(small, tmp_path / "letters" / "mother.txt")


@pytest.mark.slow
def test_a_shard_that_fails_is_tried_again_and_then_listed(small: Scenario, tmp_path: Path) -> None:
    topology = small.topology()
    workload = Fragile(small.workload(topology), fails=2)
    output, reason = tmp_path / "out", tmp_path / "out" / "shards" / "00001000-00001100.failure.txt"
    found = simulate(topology, workload, ProtocolSettings(), output, seed=1, jobs=1, shard_nodes=1_000)
    assert found["failed"] == [{"first": 1000, "last": 1099, "reason": "Stop: 1000"}]
    assert found["nodes"] == 1000
    assert "Stop: 1000" in reason.read_text()
    found = simulate(topology, workload, ProtocolSettings(), output, seed=1, jobs=1, shard_nodes=1_000)
    assert (found["failed"], found["nodes"]) == ([], 1100)
    assert not reason.exists()


class Fragile:
    """A workload whose second block cannot be made, at first."""

    def __init__(self, whole: Any, fails: int) -> None:
        self._whole = whole
        self._fails = fails
        self.nodes, self.duration = whole.nodes, whole.duration

    def shard(self, first: int, last: int) -> Any:
        if first == 1000 and self._fails:
            self._fails -= 1
            raise Stop(first)
        return self._whole.shard(first, last)


def test_rows_of_handovers_can_be_read(small: Scenario, tmp_path: Path) -> None:
    from pyarrow import parquet

    few = small.varied({"mobility.nodes": 50})
    found = run(few, tmp_path / "out", wire="size")
    rows = parquet.read_table(tmp_path / "out" / "handovers" / "00000000-00000050.parquet").to_pydict()
    assert len(rows["time"]) == found["handovers"]
    assert sum(rows["contacted"]) == found["contacted"]["mean"] * found["handovers"]
    assert sum(rows["octets"]) == pytest.approx(found["octets_per_handover"]["mean"] * found["handovers"])
    assert all(left != place for left, place in zip(rows["left"], rows["place"], strict=True))


def test_without_pyarrow_rows_are_numpys(small: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import numpy as np

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    found = run(small.varied({"mobility.nodes": 50}), tmp_path / "out")
    rows = np.load(tmp_path / "out" / "handovers" / "00000000-00000050.npz")
    assert len(rows["time"]) == found["handovers"]


def test_shards_are_whole_blocks_and_enough_for_all_processes(small: Scenario) -> None:
    class Many:
        nodes = 1_000_000
        duration = 1

        def shard(self, first: int, last: int) -> Any:
            raise NotImplementedError

    assert cut(Many(), 2)[:2] == [(0, 10_000), (10_000, 20_000)]
    assert len(cut(Many(), 2)) == 100
    workload = small.workload(small.topology())
    assert cut(workload, 2) == [(0, 1000), (1000, 1100)]
    assert cut(workload, 1, 1050) == [(0, 1100)]
