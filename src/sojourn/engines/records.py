"""What a store held is checked before it is believed: a disk may have changed it."""

from __future__ import annotations

from collections.abc import Iterable


def well_formed(addresses: Iterable[bytes], prefixes: Iterable[tuple[bytes, int]]) -> bool:
    """Whether what a store held can be addresses and prefixes at all."""
    return all(len(address) == 16 for address in addresses) and all(
        len(address) == 16 and 0 < length <= 128 for address, length in prefixes
    )
