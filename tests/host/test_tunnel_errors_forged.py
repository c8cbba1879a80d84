"""Errors that nobody's packet caused: no exception, and nobody is told of less than IPv6 must carry."""

from __future__ import annotations

import random
import struct

from sojourn.host.tunnel_errors import LEAST_MTU, TOO_BIG, _report, _unwrapped
from sojourn.wire.icmpv6 import ICMPV6


def forged(dice: random.Random) -> bytes:
    """Half plausible: an error about a tunnelled packet, cut off anywhere, with any MTU."""
    kind = dice.choice([1, 2, 2, 2, 3, 4, dice.randrange(256)])
    mtu = dice.choice([0, 1, 40, 1279, 1280, 1319, 1320, 1500, (1 << 32) - 1])
    outer = struct.pack("!IHBB", 6 << 28, dice.randrange(1 << 16), dice.choice([41, 43, 60, 58, 0]), 64)
    header = dice.choice([bytes((41, 2, 2, 1, 0, 0, 0, 0)), bytes((41, 2, 1, 2, 0, 0, 0xC9, 16)), b""])
    inner = struct.pack("!IHBB", dice.choice([6, 6, 4]) << 28, dice.randrange(1 << 16), dice.choice([6, 17, 58]), 64)
    whole = outer + dice.randbytes(32) + header + inner + dice.randbytes(dice.choice([0, 16, 32, 60, 1300]))
    return struct.pack("!BBHI", kind, 0, 0, mtu) + whole[: dice.choice([len(whole), dice.randrange(len(whole))])]


def test_forged_errors_raise_nothing_grow_nothing_and_tell_no_mtu_below_1280() -> None:
    dice = random.Random(1)
    told = 0
    for _ in range(20_000):
        octets = forged(dice)
        inner, overhead = _unwrapped(octets[8:])
        report = _report(octets, inner, overhead)
        if report is None:
            continue
        told += 1
        assert len(report) <= min(LEAST_MTU - 40, len(octets)), "an answer larger than what caused it"
        assert not (inner[6] == ICMPV6 and inner[40] < 128), "an error about an error"
        if report[0] == TOO_BIG:
            (mtu,) = struct.unpack_from("!I", report, 4)
            (length,) = struct.unpack_from("!H", inner, 4)
            assert LEAST_MTU <= mtu < 40 + length
    assert told > 1000
