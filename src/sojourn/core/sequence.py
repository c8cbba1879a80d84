"""Sequence numbers modulo 2**16 (RFC 6275 9.5.1)."""

from __future__ import annotations

MODULUS = 1 << 16


def newer(sequence: int, than: int) -> bool:
    """Whether `sequence` is one of the 32767 numbers after `than`; never compare sequence numbers with ``<``."""
    return 0 < (sequence - than) % MODULUS < MODULUS // 2


def following(sequence: int, step: int = 1) -> int:
    """The number `step` after `sequence`."""
    return (sequence + step) % MODULUS
