"""What a soak with faults takes on its command line, what it excuses, and when it says that memory grows."""

from __future__ import annotations

import io
import random
from collections import Counter
from pathlib import Path
from typing import cast, get_args

import pytest
from rich.console import Console

from sojourn.lab.air import RoamTimes
from sojourn.lab.demo_summary import print_table
from sojourn.lab.faults import Fault, Faults, Kind, Plan
from sojourn.lab.lab import Lab
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.soak_faults import FaultSoak, FaultSoakResult, cast_of, soak_faults
from sojourn.lab.soak_faults_options import Domain, FaultSoakOptions
from sojourn.lab.soak_faults_report import make_report
from sojourn.lab.soak_progress import PlainProgress
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


def result(
    output: Path, lost_at: int, *, faults: list[Fault] | None = None, moved: int = 0, host: str = "h1"
) -> FaultSoakResult:
    """A minute of one stream, ten packets a second, one of which was lost."""
    sent = [number * 100 * MILLISECOND for number in range(600)]
    down = Direction(sent, [at + 1 if at != lost_at else 0 for at in sent])
    record = FlowRecord(f"{host}/probe", "stream", host, "2001:db8::1", 0, outcome="complete", down=down)
    moves = [RoamTimes(host, "ar1", "ar2", moved, moved, moved, moved, moved)] if moved else []
    return FaultSoakResult(FaultSoakOptions(output, hosts=1), [record], moves, faults or [], [], 0, 60 * SECOND)


def fault(kind: Kind, node: str = "ar1") -> Fault:
    return Fault(kind, node, 30 * SECOND, 32 * SECOND)


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
    assert lost(result(tmp_path, 24 * SECOND, moved=20 * SECOND)) == [("down", 1, "")]
    assert lost(result(tmp_path, 36 * SECOND, faults=killed, moved=31 * SECOND)) == [("down", 1, "")]
    for node, excused in (("home2", True), ("home1", False)):  # nobody tells it that its own home agent is back
        mobile = result(tmp_path, 36 * SECOND, faults=[fault("kill", node)], moved=31 * SECOND, host="mn1")
        mobile.options = FaultSoakOptions(tmp_path, domain="mip6", hosts=1)
        assert (lost(mobile) == []) is excused
    assert lost(result(tmp_path, -1)) == []


def test_what_was_lost_is_told_in_bursts_that_fit_a_terminal(tmp_path: Path) -> None:
    found = result(tmp_path, 20 * SECOND, faults=[fault("kill")])
    down = found.records[0].down
    for lost_at in (205, 206, 310):
        down.received[lost_at] = 0
    told = [(one.packets, one.last - one.first, one.blamed) for one in found.unexcused()]
    assert told == [(3, 600 * MILLISECOND, ""), (1, 0, "the daemon of ar1 is killed")]
    page, report = io.StringIO(), make_report(found)
    assert [picture.read_bytes()[1:4] for picture in report.pictures] == [b"PNG"]
    for table in report.tables:
        print_table(Console(file=page, width=80), table)
    assert "h1/probe" in page.getvalue()
    assert "the daemon of ar1 is killed" in page.getvalue()
    assert max(map(len, page.getvalue().splitlines())) <= 80


def test_a_role_that_was_killed_often_enough_is_left_alone(tmp_path: Path) -> None:
    soak = FaultSoak(FaultSoakOptions(tmp_path, kinds=("kill",), kills=2))
    soak._faults = Faults(cast(Lab, None))
    soak._faults.done += [Fault("kill", "cmd")] * 2 + [Fault("kill", "ar1"), Fault("freeze", "ar2")]
    assert soak._killed() == {"cmd": 2, "access-router": 1}
    assert not soak._enough()
    assert {soak._draw()[1] for _ in range(200)} == {"ar1", "ar2", "ar3", "ar4"}
    soak._faults.done.append(Fault("kill", "ar2"))
    assert soak._enough()
    assert soak._draw()[0] == "kill"  # there is nothing else to break


def test_progress_counts_kills(tmp_path: Path) -> None:
    page = io.StringIO()
    progress = PlainProgress(page)
    soak = FaultSoak(FaultSoakOptions(tmp_path, kills=15), progress)
    soak._faults = Faults(cast(Lab, None))
    soak._faults.done += [Fault("kill", "cmd")] * 16 + [Fault("kill", "ar1")] * 5
    progress.begin("10 hosts are there", 30, 20)
    soak._show_progress()
    soak._happened({"event": "ended", "kind": "exchange", "outcome": "reset"})
    soak._faults.done += [Fault("kill", "ar1")] * 10
    soak._show_progress()
    assert page.getvalue().splitlines() == [
        "10 hosts are there",
        "20 of 30 kills: cmd 16, access-router 5; 0 moves, 0 broken",
        "30 of 30 kills: cmd 16, access-router 15; 0 moves, 1 broken",
    ]


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
