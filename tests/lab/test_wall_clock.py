"""A program that was given a wrong clock, and whose clock is set while it runs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from sojourn.lab.wall_clock import set_wrong
from sojourn.wire.units import HOUR, SECOND

_PROGRAM = """
import sys, time
for line in sys.stdin:
    print(time.time_ns(), time.time(), time.monotonic_ns(), *sys.argv[1:], flush=True)
"""


def test_the_wall_clock_is_wrong_and_no_other_one(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(_PROGRAM)
    clock = tmp_path / "clock"
    set_wrong(clock, 0)
    command = [sys.executable, "-m", "sojourn.lab.wall_clock", str(clock), "told", "--word"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for wrong in (0, HOUR, -HOUR, 3 * SECOND):
            set_wrong(clock, wrong)
            before, monotonic = time.time_ns() + wrong, time.monotonic_ns()
            process.stdin.write("\n")
            process.stdin.flush()
            nanoseconds, seconds, other, word = process.stdout.readline().split()
            assert before <= int(nanoseconds) <= time.time_ns() + wrong
            assert abs(float(seconds) - int(nanoseconds) / SECOND) < 60
            assert monotonic <= int(other) <= time.monotonic_ns()
            assert word == "--word"
        process.stdin.close()
