"""Random numbers of engines: drawn from a seed that the host gives them at birth, as an engine has no entropy itself.

The generator is HMAC-SHA256 in counter mode: who does not know the seed cannot tell the next number from the others.
"""

from __future__ import annotations

from hmac import digest

SEED_MIN = 16
"""A daemon gives 32 octets of the system's; tests give what reads well, of at least this length."""


class Entropy:
    """All random numbers of one engine."""

    __slots__ = ("_count", "_seed")

    def __init__(self, seed: bytes) -> None:
        if len(seed) < SEED_MIN:
            raise ValueError(f"a seed of {len(seed)} octets, where at least {SEED_MIN} are needed")
        self._seed = seed
        self._count = 0

    def take(self, count: int) -> bytes:
        """`count` octets, at most 32."""
        self._count += 1
        return digest(self._seed, b"take" + self._count.to_bytes(8, "big"), "sha256")[:count]

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit - 1``."""
        return int.from_bytes(self.take(16), "big") % limit

    def derived(self, label: bytes) -> bytes:
        """32 octets that are the same for the same label."""
        return digest(self._seed, b"label" + label, "sha256")
