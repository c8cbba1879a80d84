"""A run that a signal ends says so once and answers as a shell would."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.lab.interruption import interruptible


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_one_sentence_and_130_and_a_second_one_does_not_disturb(capsys: pytest.CaptureFixture[str]) -> None:
    cleaned = []

    def run() -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            return 0
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            cleaned.append(True)

    assert interruptible(run, Path("somewhere")) == 130
    assert cleaned
    assert capsys.readouterr().err == (
        "sojourn: interrupted; everything is taken down, partial files are in somewhere\n"
    )


def test_sigterm_as_the_sandbox_tells_it(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> int:
        raise SystemExit(128 + signal.SIGTERM)

    assert interruptible(run, Path("somewhere")) == 143
    assert "interrupted" in capsys.readouterr().err


def test_other_ends_are_left_alone() -> None:
    assert interruptible(lambda: 1, Path()) == 1
    with pytest.raises(SystemExit):
        interruptible(lambda: (_ for _ in ()).throw(SystemExit("sentence")), Path())
