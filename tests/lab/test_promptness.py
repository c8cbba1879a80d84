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
print(type(granted).__name__, os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))
"""


@pytest.mark.parametrize("policy", [os.SCHED_OTHER, os.SCHED_IDLE])
def test_policy_and_nice_value_stay_as_they_are(policy: int) -> None:
    """Whoever runs a lab on spare time only (chrt(1)) gets no more."""
    nice, own = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)
    policy = max(policy, own)  # from the idle policy there may be no way back

    def begin() -> None:
        os.sched_setscheduler(0, policy, os.sched_param(0))

    child = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True, preexec_fn=begin)
    assert child.stdout.split() == ["bool", str(policy), str(nice)]


def test_a_process_that_ended_is_no_trouble() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert make_prompt(process.pid) is False


def test_a_machine_whose_call_number_is_not_known_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sojourn.lab.promptness._SCHED_SETATTR", {})
    assert make_prompt() is False
