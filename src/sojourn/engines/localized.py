"""What the messages of localized routing say, at both ends (RFC 6705 10).

Figure 4 of the RFC shows one node in an initiation to one of two gateways; 10.1 says that there are always two, each
followed by its prefixes, and without the prefixes of the other node a gateway could not know which packets are meant.
Here the node of the gateway that is asked comes first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sojourn.engines.registration import identifier_option
from sojourn.wire import HomeNetworkPrefix, MobileNodeIdentifier, MobilityMessage, MobilityOption
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.extensions.rfc6705 import MagIpv6Address

LIFETIME_INFINITE = 0xFFFF
"""Seconds: "A value of 0xffff (all ones) indicates an infinite lifetime"."""


@dataclass(frozen=True, slots=True)
class End:
    """One of two nodes: [MN-ID, HNP]."""

    node: bytes
    """Subtype and identifier."""
    prefixes: tuple[Prefix, ...]

    def options(self) -> tuple[MobilityOption, ...]:
        """In the order of 10.1."""
        return (identifier_option(self.node), *map(HomeNetworkPrefix.of, self.prefixes))


def options_of(ends: Iterable[End], gateway: Address | None = None) -> tuple[MobilityOption, ...]:
    """Those of an initiation; `gateway` is that of the other node, if it is another one."""
    options = [option for end in ends for option in end.options()]
    return tuple(options) if gateway is None else (*options, MagIpv6Address(gateway))


def ends_of(message: MobilityMessage) -> tuple[End, ...]:
    """The nodes that a message is about, each with the prefixes that follow it."""
    found: list[tuple[bytes, list[Prefix]]] = []
    for option in message.options:
        if isinstance(option, MobileNodeIdentifier):
            found.append((option.key(), []))
        elif isinstance(option, HomeNetworkPrefix) and found and any(option.address):
            found[-1][1].append(option.prefix)
    return tuple(End(node, tuple(prefixes)) for node, prefixes in found)
