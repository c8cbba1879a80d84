"""Short slices are a wish: what the kernel does not know changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sojourn.lab.promptness import make_prompt

_CHILD = """
import os
from sojourn.lab.promptness import make_prompt
granted = make_prompt()
print(type(granted).__name__, os.sched_getscheduler(0) == os.SCHED_OTHER, os.getpriority(os.PRIO_PROCESS, 0))
"""


def test_policy_and_nice_value_stay_as_they_are() -> None:
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    child = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True)
    assert child.stdout.split() == ["bool", "True", str(nice)]


def test_a_process_that_ended_is_no_trouble() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert make_prompt(process.pid) is False


def test_a_machine_whose_call_number_is_not_known_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sojourn.lab.promptness._SCHED_SETATTR", {})
    assert make_prompt() is False
