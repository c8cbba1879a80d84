"""A program whose wall clock somebody sets: ``python -m sojourn.lab.wall_clock FILE MODULE ...`` runs that module.

The machine has one wall clock, and it is not for a lab to set. So the process adds to what it reads there what the
first eight octets of FILE say, in nanoseconds, whenever it reads it. Other clocks are as they are.
"""

from __future__ import annotations

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

from sojourn.wire.units import SECOND, Duration

_OFFSET = struct.Struct("=q")


def set_wrong(file: Path, by: Duration) -> None:
    """The clock of the daemon with this file is wrong by so much from now on, for the next life too."""
    with file.open("r+b" if file.exists() else "w+b") as opened:
        opened.write(_OFFSET.pack(by))


def install(file: Path) -> None:
    """From now on this process reads its wall clock so."""
    with file.open("rb") as opened:
        offset = mmap.mmap(opened.fileno(), _OFFSET.size, access=mmap.ACCESS_READ)
    right = time.time_ns

    def time_ns() -> int:
        return right() + int(_OFFSET.unpack(offset)[0])

    time.time_ns = time_ns
    time.time = lambda: time_ns() / SECOND


def main() -> None:
    """The process."""
    file, module, *arguments = sys.argv[1:]
    install(Path(file))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
