"""What a store held is checked before it is believed: a disk may have changed it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeAlias

from msgspec import Meta

from sojourn.wire.addresses import Address

StoredAddress: TypeAlias = Annotated[Address, Meta(min_length=16, max_length=16)]
"""In the declaration of a record: of any other length it is not decoded, which is a ValueError."""
StoredLength: TypeAlias = Annotated[int, Meta(ge=1, le=128)]
"""Of a prefix, likewise."""


def well_formed(addresses: Iterable[bytes], prefixes: Iterable[tuple[bytes, int]]) -> bool:
    """Whether what a store held can be addresses and prefixes at all, where the declaration does not say it."""
    for address in addresses:
        if len(address) != 16:
            return False
    for address, length in prefixes:  # noqa: SIM110 - a generator takes twice the time
        if len(address) != 16 or not 0 < length <= 128:
            return False
    return True
