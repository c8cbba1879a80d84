"""The answers of a DHCPv4 server that gives a host its IPv4 home address (RFC 2131 4.3, RFC 5844 3.4.1).

The address is that of the session, which an anchor gave: like the DHCPv6 server this one has no table of leases. The
default router's address is the server's identifier, the same at every router, so that the host renews wherever it is.
Whether an address that we do not know is the host's is known once the anchor answered: until then, `NotYet`.
"""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.engines.dhcp import Discarded, NotYet
from sojourn.wire.addresses import Address, LinkLayer, from_ipv4, is_ipv4, to_ipv4
from sojourn.wire.dhcpv4 import (
    BOOTREPLY,
    BOOTREQUEST,
    BROADCAST_FLAG,
    Code,
    DhcpType,
    Dhcpv4Message,
    lease_octets,
)
from sojourn.wire.units import Duration

_ANY = bytes(4)
_BROADCAST = from_ipv4(b"\xff\xff\xff\xff")


@dataclass(frozen=True, slots=True)
class Dhcpv4Settings:
    """What all hosts are told."""

    router: Address
    """Who refuses an address to a host that has none."""
    lease: Duration
    mtu: int
    """Of the tunnel (RFC 5844 3.4.3)."""
    dns: tuple[Address, ...] = ()
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Home:
    """A host's IPv4 home address."""

    address: Address
    length: int
    """Of its home subnet."""
    router: Address
    relayed: bool = False
    """Another DHCP server tells the host of it (RFC 5844 3.4.2)."""

    @property
    def mask(self) -> bytes:
        """The subnet mask."""
        return ((1 << 32) - (1 << (32 - self.length))).to_bytes(4, "big")


@dataclass(slots=True)
class Answer:
    """What follows from a message."""

    message: Dhcpv4Message | None
    destination: Address = _BROADCAST
    source: Address = _BROADCAST
    """The server's identifier."""
    committed: bool = False
    """The host has its address from now on, for a whole lease."""
    released: bool = False
    """The host gave it back."""
    declined: bool = False
    """The host found it in use."""


class Dhcpv4Server:
    """Answers, as a function of the question and of the host's home address."""

    def __init__(self, settings: Dhcpv4Settings) -> None:
        self._settings = settings

    def check(self, message: Dhcpv4Message, link_layer: LinkLayer) -> None:
        """Raises `Discarded` for what is not a client's own message on this link."""
        if message.op != BOOTREQUEST or message.kind not in _ANSWERS:
            raise Discarded("not a client's message")
        if message.relay != _ANY:
            raise Discarded("through a relay")
        if message.hardware != link_layer:
            raise Discarded("in the name of another host")

    def wants_address(self, message: Dhcpv4Message) -> bool:
        """Whether the host is to get an address, if it has none."""
        return message.kind == DhcpType.DISCOVER

    def answer(self, message: Dhcpv4Message, home: Home | None, settled: bool) -> Answer:
        """The answer to a message that `check` let through. Raises `NotYet`, and `Discarded` for no answer."""
        if home is None:
            return self._answer_stranger(message, settled)
        match message.kind:
            case DhcpType.DISCOVER:
                return self._give(message, home, DhcpType.OFFER)
            case DhcpType.REQUEST:
                return self._request(message, home, settled)
            case DhcpType.RELEASE:
                return Answer(None, released=from_ipv4(message.client) == home.address)
            case DhcpType.DECLINE:
                return Answer(None, declined=message.address(Code.REQUESTED_ADDRESS) == to_ipv4(home.address))
            case _:  # INFORM: it has an address, and wants to know the rest (RFC 2131 4.3.5)
                return self._inform(message, home)

    def _answer_stranger(self, message: Dhcpv4Message, settled: bool) -> Answer:
        """The host has no address: if it believes so, it learns better."""
        if message.kind != DhcpType.REQUEST or Code.SERVER_IDENTIFIER in message.options:
            raise Discarded("no IPv4 home address for this host")
        if not settled:
            raise NotYet
        return self._refuse(message, self._settings.router)

    def _request(self, message: Dhcpv4Message, home: Home, settled: bool) -> Answer:
        """RFC 2131 4.3.2: chosen, after a reboot, to renew or to rebind."""
        chosen = message.address(Code.SERVER_IDENTIFIER)
        if chosen is not None and chosen != to_ipv4(home.router):
            raise Discarded("the host chose another server")
        wanted = message.client if message.client != _ANY else message.address(Code.REQUESTED_ADDRESS)
        if wanted is None:
            raise Discarded("a request for no address")
        if wanted == to_ipv4(home.address):
            return self._give(message, home, DhcpType.ACK)
        if not settled:
            raise NotYet
        return self._refuse(message, home.router)

    def _give(self, message: Dhcpv4Message, home: Home, kind: DhcpType) -> Answer:
        lease = self._settings.lease
        options = self._options(message, home, kind) | {
            Code.LEASE_TIME: lease_octets(lease),
            Code.RENEWAL_TIME: lease_octets(lease // 2),
            Code.REBINDING_TIME: lease_octets(lease * 7 // 8),
        }
        answer = self._reply(message, options, to_ipv4(home.address))
        return Answer(answer, reply_destination(message, home.address), home.router, committed=kind is DhcpType.ACK)

    def _refuse(self, message: Dhcpv4Message, router: Address) -> Answer:
        options = {Code.MESSAGE_TYPE: bytes((DhcpType.NAK,)), Code.SERVER_IDENTIFIER: to_ipv4(router)}
        answer = self._reply(message, options | _echo(message), _ANY)
        answer.flags |= BROADCAST_FLAG
        answer.client = _ANY
        return Answer(answer, _BROADCAST, router)

    def _inform(self, message: Dhcpv4Message, home: Home) -> Answer:
        answer = self._reply(message, self._options(message, home, DhcpType.ACK), _ANY)
        return Answer(answer, from_ipv4(message.client), home.router)

    def _options(self, message: Dhcpv4Message, home: Home, kind: DhcpType) -> dict[int, bytes]:
        """Mask, router and MTU are there whether the host asks or not (RFC 5844 3.4.3)."""
        settings = self._settings
        options: dict[int, bytes] = {
            Code.MESSAGE_TYPE: bytes((kind,)),
            Code.SERVER_IDENTIFIER: to_ipv4(home.router),
            Code.SUBNET_MASK: home.mask,
            Code.ROUTER: to_ipv4(home.router),
            Code.INTERFACE_MTU: settings.mtu.to_bytes(2, "big"),
        }
        servers = b"".join(to_ipv4(address) for address in settings.dns if is_ipv4(address))
        if servers:
            options[Code.DNS_SERVERS] = servers
        if settings.domain:
            options[Code.DOMAIN_NAME] = settings.domain.encode("ascii", "replace")
        return options | _echo(message)

    def _reply(self, message: Dhcpv4Message, options: dict[int, bytes], yours: bytes) -> Dhcpv4Message:
        return Dhcpv4Message(
            BOOTREPLY,
            message.transaction,
            message.hardware,
            options,
            flags=message.flags,
            client=message.client,
            yours=yours,
        )


_ANSWERS = frozenset((DhcpType.DISCOVER, DhcpType.REQUEST, DhcpType.RELEASE, DhcpType.DECLINE, DhcpType.INFORM))


def _echo(message: Dhcpv4Message) -> dict[int, bytes]:
    """The client's identifier comes back (RFC 6842)."""
    identifier = message.options.get(Code.CLIENT_IDENTIFIER)
    return {} if identifier is None else {Code.CLIENT_IDENTIFIER: identifier}


def reply_destination(message: Dhcpv4Message, address: Address) -> Address:
    """RFC 2131 4.1; in either case the frame goes to this host alone."""
    if message.client != _ANY:
        return from_ipv4(message.client)
    return _BROADCAST if message.flags & BROADCAST_FLAG else address
