"""Traces: what happened is what is simulated; mistakes have line and column; repairs are counted; memory is bounded."""

from __future__ import annotations

import gzip
import os
import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sojourn.files.toml import ConfigurationError
from sojourn.sim.flows import Flows, FlowSource
from sojourn.sim.movements import AWAY
from sojourn.sim.scenario import load
from sojourn.sim.sessions import Correspondents
from sojourn.sim.traces import Trace, TraceSource
from sojourn.sim.workload import BLOCK, Happening
from sojourn.wire.units import HOUR, SECOND

ROOT = Path(__file__).parents[2]
PLACES = ("a", "b", "c")
GOOD = "time,node,attachment\n0,x,a\n1,y,b\n2.5,x,b\n3,x,c\n4,y,-1\n9,x,\n"


def source(folder: Path, text: str | bytes, **more: object) -> TraceSource:
    path = folder / "trace.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return replace(TraceSource(path, 0.0, HOUR, "-1", False), **more)  # type: ignore[arg-type]


def told(folder: Path, text: str | bytes, **more: object) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        Trace(source(folder, text, **more), PLACES)
    return [line.removeprefix(f"{folder / 'trace.csv'}:") for line in str(caught.value).splitlines()]


def test_a_trace_is_what_nodes_do(tmp_path: Path) -> None:
    trace = Trace(source(tmp_path, GOOD), PLACES)
    block = trace.block(0)
    assert trace.names == {"x": 0, "y": 1}
    assert block.node.tolist() == [0, 0, 0, 0, 1, 1]
    assert (block.time / SECOND).tolist() == [0, 2.5, 3, 9, 1, 4]
    assert block.place.tolist() == [0, 1, 2, AWAY, 1, AWAY]
    figures = trace.figures
    assert (figures.rows, figures.nodes, figures.handovers, figures.departures) == (6, 2, 2, 2)
    assert figures.dwell == pytest.approx((2.5 + 0.5 + 6 + 3) / 4)
    assert figures.repairs == ()


@pytest.mark.parametrize("header", ["time_s,node,site", "Time, NODE ,place", "\ufefftime,node,attachment"])
def test_columns_may_be_called_in_several_ways(tmp_path: Path, header: str) -> None:
    trace = Trace(source(tmp_path, GOOD.replace("time,node,attachment", header)), PLACES)
    assert trace.figures.handovers == 2


def test_order_and_unit_of_columns_are_said_by_the_header(tmp_path: Path) -> None:
    trace = Trace(source(tmp_path, "extra,attachment,node,time_ms\n1,a,x,0\n1,b,x,1500\n"), PLACES)
    assert (trace.block(0).time / SECOND).tolist() == [0, 1.5]


def test_a_trace_may_be_compressed_and_begin_at_any_time(tmp_path: Path) -> None:
    text = "time,node,attachment\n1700000000.25,x,a\n1700000001.5,x,b\n1700000002,x,c\n"
    trace = Trace(source(tmp_path, gzip.compress(text.encode()), begin=1_700_000_001.0, duration=SECOND), PLACES)
    assert (trace.block(0).time / SECOND).tolist() == [0.5, 1.0]
    assert trace.figures.repairs == (f"{tmp_path / 'trace.csv'}: 1 rows outside of the simulated time left out",)


HEADER = "time,node,attachment\n"
WRONG: list[tuple[str, str]] = [
    (
        HEADER + "0,x,a\n5,y,a\n4,x,b\n",
        "4:1: time: 4 is earlier than the row before: out of order; mend the row, or say",
    ),
    (HEADER + "0,x,a\n1,x,q\n", "3:5: attachment: 'q' is no place of the topology; mend the row, or say repair = true"),
    (HEADER + "0,x,a\nsoon,x,b\n", "3:1: time: 'soon' is not a number"),
    (HEADER + "0,x,a\nnan,x,b\n", "3:1: time: 'nan' is not a number"),
    (HEADER + "0,x,a\n1,x\n", "3: has 2 fields, and the header has 3"),
    (HEADER + "0,x,a\n1,,b\n", "3: the node: is missing"),
    ("time,node\n0,x\n", "1: there is no column attachment or place or site (where the node is attached)"),
    (
        "0,x,a\n",
        "1: there is no column time or time_s or time_ms or time_us or time_ns (time); there is no column node",
    ),
    (HEADER, " has no row between 0 and 3600 s"),
    (HEADER + "7200,x,a\n", " has no row between 0 and 3600 s after begin = 0; its times are 7200 to 7200 s"),
    (HEADER + '0,"x,a\n', "2: is not CSV"),
    (HEADER + "0,x," + "a" * 70_000 + "\n", "2: is longer than 65536 octets|3:|2:5: attachment"),
]


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_a_mistake_has_line_and_column(tmp_path: Path, text: str, expected: str) -> None:
    said = told(tmp_path, text)
    assert any(said[0].startswith(part) for part in expected.split("|")), said


@given(
    st.one_of(st.binary(max_size=60), st.text('time,nodeabc01-.\n\r" \0é', max_size=80).map(str.encode)), st.booleans()
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_file_holds_is_read_or_refused_in_words(tmp_path: Path, octets: bytes, repair: bool) -> None:
    for text in (octets, HEADER.encode() + octets, gzip.compress(HEADER.encode() + octets)):
        try:
            trace = Trace(source(tmp_path, text, repair=repair), PLACES)
        except ConfigurationError:
            continue
        assert trace.nodes > 0


def test_a_line_without_end_is_not_read_into_memory(tmp_path: Path) -> None:
    assert told(tmp_path, HEADER + "0,x,a\n" + "y" * 3_000_000)[0].startswith("3: is longer than 65536 octets")


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    whole = gzip.compress(GOOD.encode() * 1000)
    assert told(tmp_path, whole[: len(whole) // 2])[0].startswith(" cannot be decompressed")
    assert told(tmp_path, whole[:20] + b"\0\0\0\0" + whole[24:])[0].startswith(" cannot be decompressed")


def test_what_may_be_mended_is_mended_and_counted(tmp_path: Path) -> None:
    text = HEADER + "0,x,a\n5,x,b\n4,y,a\n6,x,q\nsoon,x,c\n7,x\n8,x,c\n9,x,c\n"
    trace = Trace(source(tmp_path, text, repair=True), PLACES)
    file = tmp_path / "trace.csv"
    assert set(trace.figures.repairs) == {
        f"{file}: 1 rows out of order sorted",
        f"{file}: 1 rows with unknown places taken for leaving",
        f"{file}: 1 rows with a bad number left out",
        f"{file}: 1 rows with too many or too few fields left out",
        f"{file}: 1 rows that change nothing left out",
    }
    block = trace.block(0)
    assert list(zip(block.node, block.time // SECOND, block.place, strict=True)) == [
        (0, 0, 0),
        (0, 5, 1),
        (0, 6, AWAY),
        (0, 8, 2),
        (1, 4, 0),
    ]


def test_rows_of_one_node_out_of_order_are_sorted(tmp_path: Path) -> None:
    trace = Trace(source(tmp_path, HEADER + "9,x,c\n0,x,a\n5,x,b\n", repair=True), PLACES)
    assert trace.block(0).place.tolist() == [0, 1, 2]


def test_bologna_has_the_handovers_that_its_readme_says() -> None:
    scenario = load(ROOT / "examples" / "bologna")
    workload = scenario.workload(scenario.topology())
    trace = workload.mobility
    assert isinstance(trace, Trace)
    assert (trace.figures.handovers, trace.figures.nodes, trace.figures.repairs) == (56_882, 8_779, ())
    stream = workload.shard(0, workload.nodes)
    attached = (stream.kind == Happening.ATTACH).sum()
    assert attached - workload.nodes == 56_882
    assert (stream.kind == Happening.LEAVE).sum() == 8_779


def test_another_process_reads_the_same_rows(tmp_path: Path) -> None:
    text = HEADER + "".join(f"{number},{number % 2500},{'abc'[number % 3]}\n" for number in range(3000))
    trace = Trace(source(tmp_path, text), PLACES)
    copy = pickle.loads(pickle.dumps(trace))
    for number in range(3):
        assert (copy.block(number).time == trace.block(number).time).all()
        assert (copy.block(number).node == trace.block(number).node).all()
    assert trace.block(2).node.max() == 499
    assert len(trace.block(3).node) == 0


def test_files_of_a_trace_end_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    trace = Trace(source(tmp_path, GOOD), PLACES)
    copy = pickle.loads(pickle.dumps(trace))
    del copy
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    del trace
    assert list((tmp_path / "tmp").iterdir()) == []


def test_too_little_room_for_sorting_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sojourn.sim.spool.Spool._add", full)
    assert told(tmp_path, GOOD)[0].endswith("no space left on device; name a directory with more room by TMPDIR")


def test_more_rows_of_few_nodes_than_fit_into_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sojourn.sim.spool.MOST_IN_A_BLOCK", 5)
    assert told(tmp_path, GOOD) == [" has 6 rows of a thousand nodes; expected at most 5; simulate a shorter time"]


def test_a_forked_process_that_ends_leaves_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    trace = Trace(source(tmp_path, GOOD), PLACES)
    child = os.fork()
    if child == 0:
        del trace
        os._exit(0)
    os.waitpid(child, 0)
    assert trace.block(0).place.tolist() == [0, 1, 2, AWAY, 1, AWAY]


def test_a_whole_population_can_be_sent_to_another_process() -> None:
    scenario = load(ROOT / "examples" / "bologna")
    workload = scenario.workload(scenario.topology())
    copy = pickle.loads(pickle.dumps(workload))
    assert (copy.shard(0, 1000).time == workload.shard(0, 1000).time).all()


def _peak(folder: Path, rows: int) -> int:
    """Octets that Python and numpy hold at most while a trace of so many rows is read and one block used."""
    path = folder / f"{rows}.csv"
    with path.open("w") as file:
        file.write(HEADER)
        for number in range(0, rows, 1000):
            file.writelines(
                f"{number / 1000},{number + offset & 0x3FFF},{'abc'[offset % 3]}\n" for offset in range(1000)
            )
    tracemalloc.start()
    try:
        trace = Trace(TraceSource(path, 0.0, HOUR, "-1", False), PLACES)
        trace.block(3)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_length_of_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times as many rows need no more than what one block of nodes has more of them."""
    monkeypatch.setattr("sojourn.sim.rows.PIECE", 1 << 16)
    monkeypatch.setattr("sojourn.sim.spool._MOVED_AT_ONCE", 1 << 12)
    short, long = _peak(tmp_path, 50_000), _peak(tmp_path, 200_000)
    one_block = 150_000 / 16 * 8 * 8
    assert long < short + one_block
    assert long < 8 << 20


# --- flow logs ------------------------------------------------------------------------------------------------------


def flows(folder: Path, text: str, names: dict[str, int] | None = None, repair: bool = False) -> Flows:
    path = folder / "flows.csv"
    path.write_text(text)
    return Flows(FlowSource(path, 0.0, HOUR, repair, Correspondents(edge=1.0)), PLACES, 2000, names or {})


FLOWS = "start,node,duration,peer\n"


def test_a_log_of_flows_is_what_sessions_are(tmp_path: Path) -> None:
    found = flows(tmp_path, "start_ms,node,duration_s,peer\n1500,0,2,b\n0,1999,0.5,\n")
    node, time, lasting, peer = found.block(0)
    assert (node.tolist(), time.tolist(), lasting.tolist(), peer.tolist()) == ([0], [1_500_000_000], [2 * SECOND], [1])
    assert found.block(1)[0].tolist() == [999]
    assert found.count == 2


WRONG_FLOWS = [
    (FLOWS + "0,0,-1,a\n", "2:5: duration: a flow that lasts no time"),
    (FLOWS + "0,0,0,a\n", "2:5: duration: a flow that lasts no time"),
    (FLOWS + "0,5000,1,a\n", "2:3: node: '5000' is no node 0 to 1999"),
    (FLOWS + "0,x,1,a\n", "2:3: node: 'x' is no node 0 to 1999"),
    (FLOWS + "0,1,1,q\n", "2:7: peer: 'q' is no place of the topology"),
    (FLOWS + "x,1,1,a\n", "2:1: start: 'x' is not a number"),
    ("start,node\n0,1\n", "1: there is no column duration"),
]


@pytest.mark.parametrize(("text", "expected"), WRONG_FLOWS)
def test_a_mistake_in_a_log_has_line_and_column(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        flows(tmp_path, text)
    assert str(caught.value).removeprefix(f"{tmp_path / 'flows.csv'}:").startswith(expected), str(caught.value)


def test_broken_flows_are_left_out_and_counted_where_the_file_says_so(tmp_path: Path) -> None:
    found = flows(tmp_path, FLOWS + "0,0,1,a\n0,0,0,a\n0,9999,1,a\n0,0,1,q\n7200,0,1,a\n", repair=True)
    assert found.count == 1
    assert [line.split(": ")[1] for line in found.repairs] == [
        "1 rows with bad number left out",
        "1 rows with an unknown node left out",
        "1 rows with an unknown place left out",
        "1 flows outside of the simulated time left out",
    ]


SCENARIO = """\
duration = "1h"
[topology.star]
places = 3
[mobility.trace]
file = "trace.csv"
[flows]
file = "flows.csv"
to = { core = 1 }
"""


def test_flows_of_a_trace_begin_where_the_node_is_then(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text(HEADER + "0,x,r1\n0,y,r2\n10,x,r3\n20,x,-1\n30,x,r1\n")
    (tmp_path / "flows.csv").write_text("start,node,duration,peer\n5,y,1,r1\n5,x,10,r2\n12,x,1,\n25,x,1,r1\n")
    (tmp_path / "x.toml").write_text(SCENARIO)
    scenario = load(tmp_path / "x.toml")
    stream = scenario.workload(scenario.topology()).shard(0, 2)
    begun = stream.kind == Happening.BEGIN
    rows = zip(
        stream.time[begun] // SECOND, stream.node[begun], stream.argument[begun], stream.peer[begun], strict=True
    )
    assert [tuple(map(int, row)) for row in rows] == [(5, 0, 0, 2), (5, 1, 0, 1), (12, 0, 1, 0)]
    assert stream.lost == 1, "the flow at 25 s, when x is away"


def test_a_trace_with_a_mistake_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text(HEADER + "0,x,r9\n")
    (tmp_path / "flows.csv").write_text("start,node,duration\n")
    (tmp_path / "x.toml").write_text(SCENARIO)
    scenario = load(tmp_path / "x.toml")
    with pytest.raises(ConfigurationError, match="2:5: attachment: 'r9' is no place of the topology"):
        scenario.workload(scenario.topology())


def test_nodes_are_numbered_as_they_appear_across_blocks(tmp_path: Path) -> None:
    names = [f"node-{number}" for number in range(BLOCK + 5)]
    text = HEADER + "".join(f"{number / 100},{name},a\n" for number, name in enumerate(names))
    trace = Trace(source(tmp_path, text), PLACES)
    assert trace.nodes == BLOCK + 5
    assert trace.block(1).node.tolist() == [0, 1, 2, 3, 4]
    assert np.diff(trace.block(0).time).min() > 0
