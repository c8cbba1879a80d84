"""IPv4 home addresses of Proxy Mobile IPv6: what a request says, what an answer says, and the LMA's pool (RFC 5844 3).

An IPv4 home address is one more prefix of a session, the one that is mapped from it: it is stored, tunnelled and
withdrawn as the others are. Only in messages it has options of its own.

A gateway that serves IPv4 asks for an address for every node, in every registration: nobody knows in time which of
them are going to ask by DHCP, and one that roams has its address at the new gateway before its next packet (3.2.3.1).
An LMA refuses a registration with a request that it cannot grant (3.1.2.2); the gateway then goes on without IPv4.
"""

from __future__ import annotations

from typing import Any

from sojourn.engines.configuration import LmaConfiguration
from sojourn.engines.dhcpv4 import Home
from sojourn.engines.leases import router_of
from sojourn.engines.prefix_pool import PrefixPool
from sojourn.engines.registration import Refused
from sojourn.wire import MobilityOption, Status
from sojourn.wire.addresses import Prefix, from_ipv4, to_ipv4
from sojourn.wire.extensions.rfc5844 import (
    Ipv4DefaultRouterAddress,
    Ipv4DhcpSupportMode,
    Ipv4HomeAddressReply,
    Ipv4HomeAddressReplyStatus,
    Ipv4HomeAddressRequest,
)
from sojourn.wire.units import Instant

_MAPPED = 96
_ANY = bytes(4)
_REFUSING = Ipv4HomeAddressReplyStatus.FAILURE_REASON_UNSPECIFIED
ABOUT_IPV4 = frozenset(
    {
        Status.NOT_AUTHORIZED_FOR_IPV4_MOBILITY_SERVICE,
        Status.NOT_AUTHORIZED_FOR_IPV4_HOME_ADDRESS,
        Status.MULTIPLE_IPV4_HOME_ADDRESS_ASSIGNMENT_NOT_SUPPORTED,
    }
)
"""With one of these the request for an IPv4 home address is what was refused (3.3.5)."""


def ipv4_request(home: Home | None) -> Ipv4HomeAddressRequest:
    """For the address that the node has, else for any (3.2.3.1, 3.2.3.3)."""
    if home is None:
        return Ipv4HomeAddressRequest(0, _ANY)
    return Ipv4HomeAddressRequest(home.length, to_ipv4(home.address))


def ipv4_of(asked: Ipv4HomeAddressRequest | None) -> Prefix | None:
    """The address that is asked for by name, as a prefix."""
    return None if asked is None or asked.address == _ANY else Prefix(from_ipv4(asked.address), 128)


def home_in(firsts: dict[type, Any], relays: bool = False) -> Home | None:
    """What an answer assigns; None when that is nothing, or nothing that a node could use (3.2.3.2).

    Without the S flag of the IPv4 DHCP Support Mode option a gateway is to be a DHCP relay; if it is none, no IPv4.
    """
    reply: Ipv4HomeAddressReply | None = firsts.get(Ipv4HomeAddressReply)
    router: Ipv4DefaultRouterAddress | None = firsts.get(Ipv4DefaultRouterAddress)
    mode: Ipv4DhcpSupportMode | None = firsts.get(Ipv4DhcpSupportMode)
    relayed = mode is None or not mode.server
    if reply is None or router is None or reply.status >= _REFUSING or (relayed and not relays):
        return None
    if reply.address[0] in (0, 127) or reply.address[0] >= 224 or router.address == reply.address:
        return None
    home = Home(from_ipv4(reply.address), reply.prefix_length, from_ipv4(router.address), relayed)
    subnet = Prefix.of(home.address, _MAPPED + home.length)
    return home if 0 < home.length < 32 and subnet.covers(home.router) else None


def is_about_ipv4(status: int, firsts: dict[type, Any]) -> bool:
    """Whether a refusal means the request for an IPv4 home address, not the registration (3.1.2.2)."""
    reply: Ipv4HomeAddressReply | None = firsts.get(Ipv4HomeAddressReply)
    return status in ABOUT_IPV4 or (reply is not None and reply.status >= _REFUSING)


class HomeIpv4:
    """The LMA's IPv4 addresses: all of one subnet, whose first address is the default router of all nodes."""

    def __init__(self, configuration: LmaConfiguration) -> None:
        pool = configuration.ipv4_pool
        self.pool: PrefixPool | None = None
        self.subnet = pool
        self._mode = Ipv4DhcpSupportMode(server=not configuration.dhcp_relay)
        if pool is not None:
            last = pool.subnet((1 << 128 - pool.length) - 1, 128)
            self.pool = PrefixPool(pool, 128, configuration.quarantine, (pool.subnet(0, 127), last))

    def assign(self, asked: Ipv4HomeAddressRequest | None, now: Instant) -> tuple[Prefix, ...]:
        """For a session that has none: none if it was not asked for. Raises `Refused` (3.1.2.1, 3.1.2.2)."""
        if asked is None:
            return ()
        if self.pool is None:
            raise Refused(Status.NOT_AUTHORIZED_FOR_IPV4_MOBILITY_SERVICE, "no IPv4 here")
        wanted = ipv4_of(asked)
        found = self.pool.allocate(now) if wanted is None else wanted if self.pool.claim(wanted) else None
        if found is not None:
            return (found,)
        if wanted is None:
            raise _refused(Status.INSUFFICIENT_RESOURCES, "no IPv4 address is free", asked, _REFUSING)
        prohibited = Ipv4HomeAddressReplyStatus.ADMINISTRATIVELY_PROHIBITED
        raise _refused(
            Status.NOT_AUTHORIZED_FOR_IPV4_HOME_ADDRESS, "not an IPv4 address for this node", asked, prohibited
        )

    def check(self, asked: Ipv4HomeAddressRequest | None, had: Prefix) -> None:
        """Raises `Refused` when another address is asked for than the session has."""
        if asked is not None and ipv4_of(asked) not in (None, had):
            wrong = Ipv4HomeAddressReplyStatus.INCORRECT_IPV4_HOME_ADDRESS
            raise _refused(
                Status.NOT_AUTHORIZED_FOR_IPV4_HOME_ADDRESS, "not the IPv4 address of the session", asked, wrong
            )

    def answer(self, prefixes: tuple[Prefix, ...], asked: Ipv4HomeAddressRequest | None) -> list[MobilityOption]:
        """The options of an acknowledgement (3.1.2.6); none for who did not ask."""
        if asked is None or self.subnet is None or not prefixes[-1].is_ipv4:
            return []
        address, length = to_ipv4(prefixes[-1].address), self.subnet.length - _MAPPED
        return [
            Ipv4HomeAddressReply(Ipv4HomeAddressReplyStatus.SUCCESS, length, address),
            Ipv4DefaultRouterAddress(to_ipv4(router_of(self.subnet))),
            self._mode,
        ]


def _refused(status: Status, reason: str, asked: Ipv4HomeAddressRequest, about: int) -> Refused:
    return Refused(status, reason, more=(Ipv4HomeAddressReply(about, asked.prefix_length, asked.address),))
