"""What a handover costs with real daemons and packets on emulated links. Run it in the sandbox:

    python -m sojourn.lab.sandbox python bench/handover.py [MOVES]

One host with optimistic duplicate address detection moves MOVES times (default 16) at random between four access
routers, 5 ms from the core each, with the database 10 ms from it; once in every mode of RFC 8885, and once in proxy
mode with buffering and 20 ms outage in the air. Goals: the first packet of a new flow leaves within 30 ms of the
attach event and takes a way of stretch 1.00; the loss of old flows is at most the formula of shared/standards.md 7.5
plus 15 ms, with buffering at most 2 packets of 1000 a second; messages exactly as RFC 8885 draws them. p95 everywhere.

Exit code 1 when a goal is missed. ``sojourn lab run soak`` asks the same of many hosts.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import get_args

from sojourn.lab.measure import percentile
from sojourn.lab.measure_run import judge
from sojourn.lab.soak import Mode, Soak, SoakOptions
from sojourn.lab.soak_report import ALLOWANCE_MS, BUFFERED_PACKETS

FIRST_PACKET_MS = 30.0
ROW = "{:<16}{:>13}{:>12}{:>9}{:>11}{:>12}{:>10}"


def run(mode: Mode, moves: int, *, buffer: bool = False) -> bool:
    """One line of the table; whether its goals were reached."""
    with tempfile.TemporaryDirectory() as directory:
        options = SoakOptions(Path(directory), hosts=1, roams=moves, mode=mode, buffer=buffer)
        found = judge(Soak(options, lambda _: None).run().evidence)
    fresh = [move.new_flow for move in found if move.new_flow is not None]
    first = percentile((new.first_packet_ms for new in fresh), 0.95)
    stretch = max((new.stretch or 9.99 for new in fresh), default=9.99)
    probes = [one for move in found for one in move.losses if one.direction == "down" and one.rate > 500]
    lost = percentile((one.lost_ms for one in probes), 0.95)
    beyond = percentile((one.lost_ms - one.bound_ms for one in probes), 0.95)
    exact = sum(move.exact for move in found)
    print(
        ROW.format(
            mode + (", buffer" if buffer else ""), f"{first:.1f} ms", f"{stretch:.2f}", f"{lost:.1f}",
            "-" if buffer else f"{beyond:+.1f} ms", f"{exact} of {len(found)}", len(probes),
        ),
        flush=True,
    )  # fmt: skip
    small = lost <= BUFFERED_PACKETS if buffer else beyond <= ALLOWANCE_MS
    return len(fresh) == moves and first <= FIRST_PACKET_MS and stretch == 1.0 and small and exact == moves


def main() -> int:
    """All modes."""
    moves = int(sys.argv[1]) if len(sys.argv) > 1 else 16
    print(ROW.format("mode", "first packet", "stretch", "lost ms", "- formula", "exact msgs", "probes"))
    reached = [run(mode, moves) for mode in get_args(Mode)]
    reached.append(run("proxy", moves, buffer=True))
    return 0 if all(reached) else 1


if __name__ == "__main__":
    raise SystemExit(main())
