"""A short walk through a real domain in every mode: sessions live on, the download is right, every message is counted.

How long a handover takes is a figure (bench/handover.py, ``sojourn lab run soak``); here a machine under load may lose
more packets, but not its sessions.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.lab.demo import demo_topology, handover_row, verdicts
from sojourn.lab.demo_walk import Walk, WalkPlan, WalkResult
from sojourn.lab.lab import Lab
from sojourn.lab.live import SilentView, Stage
from sojourn.lab.measure import control_loss, crowding
from sojourn.lab.measure_run import judge
from sojourn.lab.outages import without
from sojourn.lab.plain import PlainRouters
from sojourn.lab.topology import Topology
from sojourn.wire.units import SECOND
from support import simulations

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

SHORT = WalkPlan(control=1.0, dwell=3.0, linger=1.0)
_GENEROUS = 10


def optimistic(topology: Topology) -> Topology:
    """The hosts do not wait for duplicate address detection, so that the walk is short."""
    dad = "optimistic" if Path("/proc/sys/net/ipv6/conf/all/optimistic_dad").exists() else "off"
    nodes = {
        name: node.model_copy(update={"dad": dad}) if node.kind == "host" else node
        for name, node in topology.nodes.items()
    }
    return topology.model_copy(update={"nodes": nodes})


def walk(mode: str, output: Path, *, mobility: bool = True, plan: WalkPlan = SHORT) -> WalkResult:
    topology = optimistic(demo_topology(mode, mobility=mobility))
    if mode == "direct":
        topology = without(topology, "cmd")
    with Lab(topology, output, daemons=mobility) as lab:
        stage = Stage(mode, topology.access_routers, topology.hosts[0], mobility)
        if mobility:
            return Walk(lab, plan, SilentView(), stage).run(output)
        with PlainRouters(lab):
            return Walk(lab, plan, SilentView(), stage).run(output)


@pytest.mark.parametrize("mode", ["proxy", "relay", "locator", "direct"])
def test_sessions_live_through_a_walk(mode: str, tmp_path: Path) -> None:
    result = walk(mode, tmp_path)
    moves = judge(result.evidence)
    assert [verdict.sentence() for verdict in verdicts(result, moves) if not verdict.holds] == []
    assert [(move.source, move.target) for move in moves] == [("ar1", "ar2"), ("ar2", "ar3"), ("ar3", "ar1")]
    for move in moves:
        assert move.exact, handover_row(move)
        for one in move.losses:
            allowed = max(2.0, _GENEROUS * crowding() * one.bound_ms * one.rate / 1000)
            assert one.lost <= allowed, (move.number, one)
    assert [move.old_stretch for move in moves] == [2.0, 2.0, 1.0]
    assert [move.old_stretch_formula for move in moves] == [2.0, 2.0, 1.0]
    for move, (messages, octets) in zip(moves, simulated(mode), strict=True):
        assert move.messages - move.repeated == messages
        assert move.octets == octets or move.repeated, move  # a loaded machine repeats


def simulated(mode: str) -> list[tuple[int, int]]:
    """Messages and octets of each handover of the same walk, as the simulator counts them.

    A bridge says that a host is there, and not where it comes from.
    """
    ways = simulations.star(15.0, 15.0, 15.0, across=10.0)
    made = simulations.world(ways, simulations.walk(1, 2, 3, 1), 40.0, mode=mode, tells_previous=False, wire="full")
    return list(zip(made.ledger.of_turn[1:].tolist(), made.ledger.octets_of_turn[1:].tolist(), strict=True))


def test_without_mobility_the_same_sessions_die(tmp_path: Path) -> None:
    """The other half of the demo: clients give up, as the host is away for longer than their patience."""
    plan = WalkPlan(control=1.0, dwell=2.0, linger=0.5, patience=2 * SECOND)
    assert plan.patience < plan.away * SECOND
    result = walk("proxy", tmp_path, mobility=False, plan=plan)
    outcomes = {record.flow: record.outcome for record in result.records}
    assert (outcomes["terminal"], outcomes["download"]) == ("timeout", "timeout")
    voice = next(record for record in result.records if record.flow == "voice")
    away = control_loss(voice.down, result.away)
    assert away.lost >= away.sent - 2 > 100
    fresh = next(record for record in result.records if record.flow == "new-1")
    assert fresh.connected  # the new address works
