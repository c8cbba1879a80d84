"""Sentences that follow from figures; the answer follows from the sentences."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sojourn.evaluation import words
from sojourn.evaluation.estimate import Estimate
from sojourn.evaluation.findings import Finding, Sign, answer, findings
from sojourn.evaluation.study import Study
from sojourn.evaluation.ways import Way
from support.evaluations import study


def found(one: Study) -> dict[str, Finding]:
    return {finding.topic: finding for finding in findings(one)}


def with_figure(one: Study, way: Way, **figures: float) -> Study:
    """The same study with other means."""
    changed = {name: Estimate(value, 0.0) for name, value in figures.items()}
    return replace(one, estimates={**one.estimates, way: {**one.estimates[way], **changed}})


def test_a_long_line_with_its_anchor_at_the_end_gains_delay() -> None:
    delay = found(study(10.0, 0))["delay"]
    assert delay.sign is Sign.GAINS
    assert "distribution saves" in delay.sentence
    assert answer(findings(study(10.0, 0))).startswith("Yes: distributed mobility pays in this network.")


def test_a_short_line_gains_nothing_and_the_report_says_so() -> None:
    delay = found(study(0.05, 3))["delay"]
    assert delay.sign is Sign.SAME
    assert "not worth it for delay" in delay.sentence
    assert answer(findings(study(0.05, 3))).startswith("Not for delay: distribution makes next to no difference here.")


def test_signalling_of_the_engines_loses_and_says_why() -> None:
    signalling = found(study())["signalling"]
    assert signalling.sign is Sign.LOSES
    assert "each old prefix retires with 4" in signalling.sentence
    assert "costs more signalling" in answer(findings(study()))


def test_break_even_says_which_sessions_make_distribution_send_more() -> None:
    sentences = [one.sentence for one in findings(study()) if one.topic == "break-even"]
    assert len(sentences) == 2
    assert "They send more with sessions of more than" in sentences[0]
    assert "not for any dwell time" in sentences[1]  # fewer than 2 sessions at a time


def test_interruption_and_state_can_lose() -> None:
    longer = with_figure(study(), Way.PROXY, restored_ms=90.0, entries=10_000.0)
    assert found(longer)["handover"].sign is Sign.LOSES
    assert found(longer)["state"].sign is Sign.LOSES
    text = answer(findings(longer))
    assert "interrupts old sessions for longer at a move" in text
    assert "needs more tunnel entries in all" in text
    assert found(with_figure(study(), Way.PROXY, restored_ms=1.0))["handover"].sign is Sign.GAINS


def test_a_single_router_gains_nothing_from_distribution() -> None:
    same = {"busiest_mbit": 100.0, "busiest_entries": 40.0, "lost": 0.9, "restored_ms": 20.0, "entries": 60.0}
    alone = with_figure(with_figure(study(0.05, 3), Way.PROXY, **same), Way.CENTRAL, **same)
    assert found(alone)["load"].sign is Sign.SAME
    assert found(alone)["failure"].sign is Sign.SAME
    assert answer(findings(alone)).startswith("No: distributed mobility does not pay in this network.")


def test_figures_of_the_domain_grow_with_the_population() -> None:
    one = study()
    larger = replace(one, population=10 * one.population)
    assert larger.scale == 100
    many = one.scale * one.mean(Way.CENTRAL, "messages_per_second")
    assert f"against {words.number(many)} messages" in found(one)["signalling"].sentence
    assert f"against {words.number(10 * many)} messages" in found(larger)["signalling"].sentence


def test_it_is_said_when_the_closed_form_is_off() -> None:
    one = study()
    double = replace(one, behaviour=replace(one.behaviour, session=3 * one.behaviour.session))
    assert any("closed form for exponential times expects" in finding.sentence for finding in findings(double))
    short = replace(one, behaviour=replace(one.behaviour, dwell=1000.0))
    assert any("are short for sessions" in finding.sentence for finding in findings(short))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0431, "0.0431"),
        (12.345, "12.3"),
        (1234.5, "1,230"),
        (0, "0"),
        (-2.5, "-2.50"),
        (math.nan, "-"),
        (999.6, "1,000"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert words.number(value) == text


def test_other_words() -> None:
    assert [words.percent(share) for share in (0, 0.0001, 0.004, 0.0953, 0.12, 1)] == [
        "0 %", "under 0.1 %", "0.4 %", "9.5 %", "12 %", "100 %",
    ]  # fmt: skip
    assert [words.time(seconds) for seconds in (0.5, 89, 600, 3600, 200_000)] == [
        "0.5 s",
        "89 s",
        "10 min",
        "1 h",
        "2.31 d",
    ]
    assert [words.rate(mbit) for mbit in (0.5, 12, 4500)] == ["500 kbit/s", "12.0 Mbit/s", "4.50 Gbit/s"]
    assert [words.compact(value) for value in (9.5, 1234, 23_456, 4_560_000, math.nan)] == [
        "9.50",
        "1,230",
        "23.5k",
        "4.56M",
        "-",
    ]
    assert words.interval(Estimate(12.3, 0.42)) == "12.3 ± 0.42"
    assert words.interval(Estimate(12.3, math.nan)) == "12.3"
    assert words.exact(2.0) == "2"


def test_the_interval_is_that_of_student() -> None:
    assert Estimate.of([1.0, 2.0, 3.0]).half == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)
    assert math.isnan(Estimate.of([1.0]).half)
