"""What an evaluation leaves: pictures with their circumstances, one page that needs no network, the same as data."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sojourn.evaluation import fidelity
from sojourn.evaluation.findings import findings
from sojourn.evaluation.plots import canvas, failure
from sojourn.evaluation.plots.load import positions
from sojourn.evaluation.report import document, pictures, write
from sojourn.evaluation.tables import comparison, comparison_with_intervals, engines, validity
from support.evaluations import study
from support.workloads import line

LAB = {
    "title": "Soak, proxy mode",
    "handovers": [
        {"losses": [
            {"direction": "down", "rate": 990.0, "bound_ms": 40.0, "lost_ms": 43.0},
            {"direction": "down", "rate": 20.0, "bound_ms": 40.0, "lost_ms": 100.0},
            {"direction": "up", "rate": 990.0, "bound_ms": 40.0, "lost_ms": 1.0},
            {"direction": "down", "rate": 990.0, "bound_ms": 0.0, "lost_ms": 1.0},
        ]},
        {"losses": [{"direction": "down", "rate": 985.0, "bound_ms": 10.0, "lost_ms": 15.0}]},
    ],
}  # fmt: skip


@pytest.fixture
def lab(tmp_path: Path) -> fidelity.LabRun:
    file = tmp_path / "lab.json"
    file.write_text(json.dumps(LAB))
    return fidelity.load(file)


def test_of_the_lab_the_fastest_flows_to_hosts_away_from_their_anchor_count(lab: fidelity.LabRun) -> None:
    assert list(zip(lab.expected, lab.measured, strict=True)) == [(40.0, 43.0), (10.0, 15.0)]
    assert lab.difference == lab.beyond == 4
    assert replace(lab, measured=(30.0, 5.0)).beyond == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "no JSON"),
        ("[]", "no handover with losses"),
        ('{"handovers": [{"losses": []}]}', "give the report.json of sojourn lab run soak or walk"),
    ],
)
def test_what_is_no_report_of_the_lab_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "report.json"
    file.write_text(text)
    with pytest.raises(fidelity.LabReportError, match=re.escape(sentence)):
        fidelity.load(file)
    with pytest.raises(fidelity.LabReportError, match="no such file"):
        fidelity.load(tmp_path / "absent.json")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[canvas.Picture]]:
    """A report with all its pictures, drawn once."""
    pytest.importorskip("matplotlib", reason="drawing is optional")
    folder = tmp_path_factory.mktemp("report")
    run = fidelity.LabRun("Soak", Path("report.json"), (40.0, 10.0), (43.0, 15.0))
    one = replace(study(), name="a <b> & c", lab=run)
    drawn = pictures(one, folder)
    write(one, drawn, folder)
    return folder, drawn


@pytest.mark.slow
def test_every_picture_is_drawn_twice_and_says_its_circumstances(written: tuple[Path, list[canvas.Picture]]) -> None:
    _, drawn = written
    names = ["interruption", "edge", "messages", "anchors", "load", "failure", "fidelity"]
    assert [picture.name for picture in drawn] == names
    for picture in drawn:
        assert picture.png.read_bytes().startswith(b"\x89PNG")
        assert "<svg" in picture.svg.read_text()
        if picture.name != "fidelity":
            assert "3 runs, seeds 1, 2, 3" in picture.caption
            assert "dwell time" in picture.caption
    assert "Bands: 95 % confidence over the runs" in drawn[0].caption
    assert "(packets are lost" not in drawn[-1].caption


@pytest.mark.slow
def test_the_same_study_draws_the_same_file(written: tuple[Path, list[canvas.Picture]], tmp_path: Path) -> None:
    folder, _ = written
    again = failure.picture(replace(study(), name="a <b> & c"), study().outage, tmp_path)
    assert again.svg.read_bytes() == (folder / "failure.svg").read_bytes()


@pytest.mark.slow
def test_the_page_is_complete_without_network(written: tuple[Path, list[canvas.Picture]]) -> None:
    page = (written[0] / "report.html").read_text()
    assert "Does distributed mobility pay for a &lt;b&gt; &amp; c?" in page
    assert page.index("class=answer") < page.index("<h2>Why</h2>") < page.index("What each way costs")
    assert page.count("data:image/svg+xml;base64,") == 7
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    for word in ("Formulas", "What was supposed", "Engines in the simulator", "seeds 1, 2, 3"):
        assert word in page


def test_the_document_is_json_with_intervals(tmp_path: Path) -> None:
    one = study()
    write(one, [], tmp_path)
    data = json.loads((tmp_path / "report.json").read_text())
    again = json.loads(json.dumps(document(one)))
    assert data.pop("machine").keys() == again.pop("machine").keys()  # its load changes from one second to the next
    assert data == again
    assert set(data["ways"]) == {"central", "relay", "proxy", "locator", "direct", "relocation", "host"}
    assert data["ways"]["proxy"]["messages"]["half"] > 0
    assert data["ways"]["host"]["registered_ms"]["mean"] is None
    assert data["findings"][0]["topic"] == "delay"
    assert data["population"] == 400
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# Does distributed mobility pay for line?")
    assert all(finding.sentence in text for finding in findings(one))


def test_without_matplotlib_there_are_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canvas, "available", lambda: False)
    assert pictures(study(), tmp_path) == []


def test_tables_have_a_column_for_each_way_and_engines_only_with_simulation() -> None:
    table = comparison(study())
    assert table.columns == ["", "central", "relay", "proxy", "locator", "direct", "reloc.", "host"]
    assert {len(row) for row in table.rows} == {8}
    assert max(len(cell) for row in table.rows for cell in row[1:]) <= 7
    assert any("±" in cell for row in comparison_with_intervals(study()).rows for cell in row)
    assert validity(study()).columns[-1] == "engines"
    assert validity(study(simulated=False)).columns[-1] == "counted"
    measured = engines(study())
    assert measured is not None
    assert any(row[0] == "proxy: old session waits, ms" for row in measured.rows)
    assert engines(study(simulated=False)) is None


def test_places_without_positions_are_drawn_as_far_apart_as_their_delays() -> None:
    where = positions(line(5, 3.0))
    apart = np.hypot(*(where[0] - where[4]))
    assert apart == pytest.approx(12)
    assert np.hypot(*(where[1] - where[2])) == pytest.approx(3)
