"""How a run ends before its time: by itself, or by Ctrl-C and SIGTERM, when everything is taken down undisturbed."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

_SIGNALLED = 128
"""An exit status above this says which signal ended a program."""


class BrokeOff(RuntimeError):
    """A run cannot go on; the text says why."""


def interruptible(run: Callable[[], int], output: Path) -> int:
    """The exit status of `run`; that of a shell, 128 + the number, when a signal ended it.

    The sandbox turns SIGTERM, SIGHUP and SIGQUIT into SystemExit. A second Ctrl-C does not disturb whoever cleans up
    after the first one.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _once)
    try:
        return run()
    except KeyboardInterrupt:
        status = _SIGNALLED + signal.SIGINT
    except SystemExit as leave:
        if not isinstance(leave.code, int) or leave.code <= _SIGNALLED:
            raise
        status = leave.code
    print(f"sojourn: interrupted; everything is taken down, partial files are in {output}", file=sys.stderr)
    return status


def _once(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
