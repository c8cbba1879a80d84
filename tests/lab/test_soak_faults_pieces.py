"""What a soak with faults takes on its command line, what it excuses, and when it says that memory grows."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from sojourn.lab.air import RoamTimes
from sojourn.lab.faults import Fault, Kind, Plan
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.soak_faults import FaultSoakResult, cast_of, soak_faults
from sojourn.lab.soak_faults_options import Domain, FaultSoakOptions
from sojourn.lab.soak_faults_report import make_report
from sojourn.lab.traffic import Direction, FlowRecord
from sojourn.lab.vitals import RIPE, Look, growth
from sojourn.wire.units import MILLISECOND, SECOND


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"domain": "mip4"}, "--domain"),
        ({"seconds": "0"}, "--seconds"),
        ({"kinds": "kill,bribe"}, '"bribe"'),
        ({"speed": "1"}, "--speed"),
        ({"kills": "many"}, "--kills"),
        ({"at-once": "9"}, "--at-once"),
        ({"domain": "mip6", "partners": "yes"}, "--partners"),
    ],
)
def test_wrong_options_are_refused_by_name(
    extra: dict[str, str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert soak_faults(ScenarioOptions(tmp_path, extra=extra)) == 2
    assert word in capsys.readouterr().err


@pytest.mark.parametrize("domain", get_args(Domain))
def test_every_role_is_hit_as_often_as_every_other(domain: Domain, tmp_path: Path) -> None:
    built = cast_of(FaultSoakOptions(tmp_path, domain=domain)).topology
    plan, dice = Plan.of(built, {"kill": 1, "freeze": 0}), random.Random(1)
    drawn = [plan.draw(dice) for _ in range(2000)]
    assert {kind for kind, _ in drawn} == {"kill"}
    hits = Counter(built.nodes[node].kind for _, node in drawn)
    assert len(hits) == (3 if domain == "mip6" else 2)
    assert min(hits.values()) > 0.9 * len(drawn) / len(hits)
    assert {node for _, node in drawn} == set(built.daemons)


def result(output: Path, lost_at: int, *, faults: list[Fault] | None = None, moved: int = 0) -> FaultSoakResult:
    """A minute of one stream, ten packets a second, one of which was lost."""
    sent = [number * 100 * MILLISECOND for number in range(600)]
    down = Direction(sent, [at + 1 if at != lost_at else 0 for at in sent])
    record = FlowRecord("h1/probe", "stream", "h1", "2001:db8::1", 0, outcome="complete", down=down)
    moves = [RoamTimes("h1", "ar1", "ar2", moved, moved, moved, moved, moved)] if moved else []
    return FaultSoakResult(FaultSoakOptions(output, hosts=1), [record], moves, faults or [], [], 0, 60 * SECOND)


def fault(kind: Kind) -> Fault:
    return Fault(kind, "ar1", 30 * SECOND, 32 * SECOND)


def lost(found: FaultSoakResult) -> list[tuple[str, int, str]]:
    return [(one.way, one.packets, one.blamed) for one in found.unexcused()]


def test_what_has_no_excuse_is_counted(tmp_path: Path) -> None:
    """A host that stays loses nothing by the death of a daemon; by a link that is down it may."""
    assert lost(result(tmp_path, 31 * SECOND)) == [("down", 1, "")]
    killed = [fault("kill")]
    assert lost(result(tmp_path, 31 * SECOND, faults=killed)) == [("down", 1, "the daemon of ar1 is killed")]
    assert lost(result(tmp_path, 31 * SECOND, faults=killed, moved=31 * SECOND)) == []
    assert lost(result(tmp_path, 31 * SECOND, faults=[fault("cut")])) == []
    assert lost(result(tmp_path, 50 * SECOND, faults=[fault("cut")])) == [("down", 1, "")]
    assert lost(result(tmp_path, 20 * SECOND, moved=20 * SECOND)) == []
    assert lost(result(tmp_path, -1)) == []


def test_the_report_fails_for_what_was_found(tmp_path: Path) -> None:
    assert make_report(result(tmp_path, -1)).failures == []
    found = result(tmp_path, 31 * SECOND, faults=[fault("kill")])
    found.unwell, found.bugs, found.left_behind = ["h1/probe"], ["ar1: bug"], {"ar1": ["+ route"]}
    found.troubles, found.refused, found.complaints = ["ar1: way"], ["ar1: effect-failed"], ["WARNING:"]
    assert len(make_report(found).failures) == 7


def test_a_link_of_mobile_ipv6_excuses_those_whose_packets_pass_it(tmp_path: Path) -> None:
    cast = cast_of(FaultSoakOptions(tmp_path, domain="mip6"))
    through, direct = (FlowRecord(f"mn1{way}/probe", "stream", "mn1", "2001:db8::1", 0) for way in ("", "/direct"))
    agent = cast.topology.home_agent("mn1")
    for node, excused in (
        ("mn1", (True, True)), ("mn2", (False, False)), (agent, (True, True)), ("cn1", (False, True)),
        ("cn2", (False, False)),
    ):  # fmt: skip
        broken = Fault("cut", node)
        assert (cast.concerns(broken, through), cast.concerns(broken, direct)) == excused
    assert {cast.topology.home_agent(host) for host in cast.topology.hosts} == {"home1", "home2"}


def test_what_a_mobile_nodes_kernel_learnt_of_links_is_its_own(tmp_path: Path) -> None:
    cast = cast_of(FaultSoakOptions(tmp_path, domain="mip6"))
    home = cast.topology.address("mn1")
    left = [f"+ address {home}/128 dev wlan0", "+ route type 1 protocol 140 table 53 dev wlan0", "+ filter x dev wlan0"]
    learnt = ["+ address 2001:db8:d100::1/64 dev wlan0", "+ route type 1 protocol 2 table 254 dev wlan0 to fe80::/64"]
    assert cast.ours("mn1", left + learnt) == left
    assert cast.ours("home1", learnt) == learnt


def test_memory_that_grows_in_the_second_half_is_seen() -> None:
    def looks(grows: int) -> list[Look]:
        return [Look("ar1", 7, at * SECOND, RIPE, 10_000_000 + grows * at, 20, 0) for at in range(1000)]

    assert growth(looks(0), ["ar1"], 0, 1000 * SECOND) == 0
    assert growth(looks(1000), ["ar1"], 0, 1000 * SECOND) > 0.02
    young = [Look("ar1", 7, at * SECOND, 0, 1000 * at, 20, 0) for at in range(1000)]
    assert growth(young, ["ar1"], 0, 1000 * SECOND) == 0
