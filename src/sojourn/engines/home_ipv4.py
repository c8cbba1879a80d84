"""IPv4 home addresses of Proxy Mobile IPv6: what a request says, what an answer says, and the LMA's pool (RFC 5844 3).

An IPv4 home address is one more prefix of a session, the one that is mapped from it: it is stored, tunnelled and
withdrawn as the others are. Only in messages it has options of its own.

A gateway that serves IPv4 asks for an address for every node, in every registration: nobody knows in time which of
them are going to ask by DHCP, and one that roams has its address at the new gateway before its next packet (3.1.1). A
session for which there is none is a session without IPv4 (3.3.2), not a refused one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sojourn.engines.configuration import LmaConfiguration
from sojourn.engines.dhcpv4 import Home
from sojourn.engines.leases import router_of
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.prefix_pool import PrefixPool
from sojourn.wire import MobilityOption
from sojourn.wire.addresses import Prefix, from_ipv4, to_ipv4
from sojourn.wire.extensions.rfc5844 import (
    Ipv4DefaultRouterAddress,
    Ipv4HomeAddressReply,
    Ipv4HomeAddressReplyStatus,
    Ipv4HomeAddressRequest,
)
from sojourn.wire.units import Instant

_MAPPED = 96
_ANY = bytes(4)


def ipv4_request(known: Iterable[Prefix]) -> Ipv4HomeAddressRequest:
    """For the address that the node has, if it has one among its prefixes, else for any (3.3.1)."""
    prefix = next((prefix for prefix in known if prefix.is_ipv4), None)
    return Ipv4HomeAddressRequest(0, _ANY) if prefix is None else Ipv4HomeAddressRequest(32, to_ipv4(prefix.address))


def home_in(firsts: dict[type, Any]) -> Home | None:
    """What an answer assigns; None when that is nothing, or nothing that a node could use (3.3.2, 3.3.3)."""
    reply: Ipv4HomeAddressReply | None = firsts.get(Ipv4HomeAddressReply)
    router: Ipv4DefaultRouterAddress | None = firsts.get(Ipv4DefaultRouterAddress)
    if reply is None or router is None or reply.status >= Ipv4HomeAddressReplyStatus.FAILURE_REASON_UNSPECIFIED:
        return None
    if reply.address[0] in (0, 127) or reply.address[0] >= 224 or router.address == reply.address:
        return None
    home = Home(from_ipv4(reply.address), reply.prefix_length, from_ipv4(router.address))
    subnet = Prefix.of(home.address, _MAPPED + home.length)
    return home if 0 < home.length < 32 and subnet.covers(home.router) else None


class HomeIpv4:
    """The LMA's IPv4 addresses: all of one subnet, whose first address is the default router of all nodes."""

    def __init__(self, configuration: LmaConfiguration) -> None:
        pool = configuration.ipv4_pool
        self.pool: PrefixPool | None = None
        self.subnet = pool
        if pool is not None:
            last = pool.subnet((1 << 128 - pool.length) - 1, 128)
            self.pool = PrefixPool(pool, 128, configuration.quarantine, (pool.subnet(0, 127), last))

    def assign(self, asked: Ipv4HomeAddressRequest | None, now: Instant) -> tuple[Prefix, ...]:
        """An address for a session that has none, the one that is asked for if it is free (3.1.2)."""
        if asked is None or self.pool is None:
            return ()
        if asked.address != _ANY:
            wanted = Prefix(from_ipv4(asked.address), 128)
            return (wanted,) if self.pool.claim(wanted) else ()
        found = self.pool.allocate(now)
        return () if found is None else (found,)

    def answer(self, entry: BindingCacheEntry, asked: Ipv4HomeAddressRequest | None) -> list[MobilityOption]:
        """The options of an acknowledgement (3.1.2, 3.3.2, 3.3.3); none for who did not ask."""
        if asked is None:
            return []
        prefix = next((prefix for prefix in entry.prefixes if prefix.is_ipv4), None)
        status = Ipv4HomeAddressReplyStatus
        if prefix is None or self.subnet is None:
            found = status.DYNAMIC_IPV4_HOME_ADDRESS_ASSIGNMENT_NOT_AVAILABLE
            return [Ipv4HomeAddressReply(found if asked.address == _ANY else status.INVALID_IPV4_ADDRESS, 0, _ANY)]
        address, length = to_ipv4(prefix.address), self.subnet.length - _MAPPED
        if asked.address not in (_ANY, address):
            return [Ipv4HomeAddressReply(status.INCORRECT_IPV4_HOME_ADDRESS, length, asked.address)]
        router = Ipv4DefaultRouterAddress(to_ipv4(router_of(self.subnet)))
        return [Ipv4HomeAddressReply(status.SUCCESS, length, address), router]
