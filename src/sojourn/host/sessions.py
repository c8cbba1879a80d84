"""How many sockets of this host use each of its IPv6 addresses (`CountSessions`), as /proc says."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

from sojourn.wire.addresses import UNSPECIFIED, Address

_TABLES = ("tcp6", "udp6")
_TIME_WAIT, _LISTEN = "06", "0A"
"""Of TCP: nobody sends any more, nobody sends yet."""


def count(directory: Path = Path("/proc/thread-self/net")) -> dict[Address, int]:
    """By local address. Raises OSError."""
    found: Counter[Address] = Counter()
    for name in _TABLES:
        for line in (directory / name).read_text().splitlines()[1:]:
            fields = line.split()
            if len(fields) < 4 or (name == "tcp6" and fields[3] in (_TIME_WAIT, _LISTEN)):
                continue
            local = _address(fields[1])
            if local != UNSPECIFIED:
                found[local] += 1
    return dict(found)


def _address(field: str) -> Address:
    """``00000000000000000000000001000000:0050``: four numbers in the machine's own order of octets."""
    words = [int(field[start : start + 8], 16) for start in range(0, 32, 8)]
    return struct.pack("=4I", *words)
