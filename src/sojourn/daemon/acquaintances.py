"""Which addresses hosts were seen with lately, so that a selftest knows whom to ask."""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.effects import Report
from sojourn.core.events import Event, NodeSeen
from sojourn.wire.addresses import Address, Prefix

EACH = 4
"""Addresses that are remembered of a prefix."""
MOST = 50_000
"""Prefixes; of more, those that were learnt first are forgotten."""
_LENGTH = 64


class Acquaintances:
    """Addresses by their /64, the latest last."""

    def __init__(self) -> None:
        self._known: dict[bytes, list[Address]] = {}

    def take(self, item: Event | Report) -> None:
        """An event: perhaps it shows an address."""
        if type(item) is not NodeSeen or item.address is None:
            return
        address = item.address
        if address[0] & 0xE0 != 0x20:  # not a global one
            return
        key = address[:8]
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MOST:
                del self._known[next(iter(self._known))]
            self._known[key] = [address]
        elif address not in known:
            known.append(address)
            del known[:-EACH]

    def of(self, prefix: Prefix) -> list[Address]:
        """Addresses in `prefix`, the latest first."""
        if prefix.length == 128:
            return [prefix.address]
        return [address for address in reversed(self._known.get(prefix.address[:8], [])) if within(address, prefix)]


def within(address: Address, prefix: Prefix) -> bool:
    """Whether the prefix is one of the address."""
    return Prefix.of(address, prefix.length) == prefix


def made_of(prefix: Prefix, link_layers: Iterable[bytes]) -> list[Address]:
    """The addresses that hosts with these link-layer addresses may make by RFC 4291, appendix A."""
    return [
        prefix.address[:8] + bytes((octets[0] ^ 2,)) + octets[1:3] + b"\xff\xfe" + octets[3:]
        for octets in link_layers
        if prefix.length == _LENGTH and len(octets) == 6
    ]
