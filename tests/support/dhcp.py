"""A host's side of DHCP: what it sends as events, what it is answered as messages."""

from __future__ import annotations

from sim.domain import HOSTS, DmmDomain
from sojourn.core.events import DhcpReceived
from sojourn.wire.addresses import ANY_IPV4, Address, Prefix, address, eui64_link_local, from_ipv4, to_ipv4
from sojourn.wire.dhcpv4 import BOOTREQUEST, Code, DhcpType, Dhcpv4Message, decode_dhcpv4
from sojourn.wire.dhcpv6 import (
    ClientIdentifier,
    Dhcpv6Message,
    Dhcpv6Option,
    IaAddress,
    IaNa,
    IaPd,
    IaPrefix,
    MessageType,
    ServerIdentifier,
    decode_dhcpv6,
    link_layer_duid,
)

ALL_SERVERS = address("ff02::1:2")
BROADCAST = address("255.255.255.255")
SERVER = ServerIdentifier(link_layer_duid(bytes.fromhex("00005e005213")))
"""Every router of a domain."""


def duid(host: str) -> bytes:
    return link_layer_duid(HOSTS[host])


class Client:
    """A host at a MAAR of a domain."""

    def __init__(self, domain: DmmDomain, host: str) -> None:
        self.domain = domain
        self.host = host
        self.duid = duid(host)

    @property
    def interface(self) -> str:
        """The link on which it is."""
        return "acc0"

    # --- IPv6 -----------------------------------------------------------------------------------------------------

    def say(self, name: str, kind: MessageType, *options: Dhcpv6Option, to: Address = ALL_SERVERS) -> None:
        """A message to the router `name`."""
        server = (SERVER,) if kind in (3, 5, 8, 9) else ()
        message = Dhcpv6Message(kind, b"abc", (ClientIdentifier(self.duid), *server, *options))
        source = eui64_link_local(HOSTS[self.host])
        self.domain.members[name].tell(DhcpReceived(self.interface, HOSTS[self.host], source, to, message.encode()))

    def ask(self, name: str, kind: MessageType, *options: Dhcpv6Option) -> Dhcpv6Message:
        """The answer to a message, which comes at once."""
        sent = self.domain.members[name].dhcp
        before = len(sent)
        self.say(name, kind, *options)
        assert len(sent) == before + 1, "one answer"
        assert sent[-1].link_layer == HOSTS[self.host]
        return decode_dhcpv6(sent[-1].payload)

    # --- IPv4 -----------------------------------------------------------------------------------------------------

    def shout(
        self,
        name: str,
        kind: DhcpType,
        client: Address = ANY_IPV4.address,
        hardware: bytes | None = None,
        **options: bytes,
    ) -> None:
        """A message of DHCPv4; `options` by the names of `Code`, in lower case."""
        values = {Code.MESSAGE_TYPE: bytes((kind,))} | {Code[key.upper()]: value for key, value in options.items()}
        mac = HOSTS[self.host]
        message = Dhcpv4Message(BOOTREQUEST, 7, hardware or mac, dict(values), client=to_ipv4(client))
        self.domain.members[name].tell(DhcpReceived(self.interface, mac, client, BROADCAST, message.encode()))

    def answers(self, name: str) -> list[Dhcpv4Message]:
        """All that the router answered in IPv4 so far."""
        return [
            decode_dhcpv4(sent.payload) for sent in self.domain.members[name].dhcp if sent.source[:12] == BROADCAST[:12]
        ]

    def obtain_ipv4(self, name: str) -> Address:
        """Discover, and request what is offered."""
        self.shout(name, DhcpType.DISCOVER)
        offer = self.answers(name)[-1]
        assert offer.kind == DhcpType.OFFER
        self.shout(
            name,
            DhcpType.REQUEST,
            requested_address=offer.yours,
            server_identifier=offer.options[Code.SERVER_IDENTIFIER],
        )
        assert self.answers(name)[-1].kind == DhcpType.ACK
        return from_ipv4(offer.yours)

    def renew_ipv4(self, name: str, own: Address) -> int:
        """The type of the answer to a renewal, 0 for none."""
        before = len(self.answers(name))
        self.shout(name, DhcpType.REQUEST, client=own)
        found = self.answers(name)[before:]
        return found[-1].kind if found else 0


def address_in(message: Dhcpv6Message) -> list[IaAddress]:
    """The addresses in the first association."""
    ia = message.first(IaNa)
    assert ia is not None
    return [option for option in ia.options if isinstance(option, IaAddress)]


def prefixes_in(message: Dhcpv6Message) -> list[IaPrefix]:
    """The prefixes in the first association."""
    ia = message.first(IaPd)
    assert ia is not None
    return [option for option in ia.options if isinstance(option, IaPrefix)]


def single(own: Address) -> Prefix:
    """An address as the engines name it among prefixes."""
    return Prefix(own, 128)
