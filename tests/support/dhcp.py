"""A host's side of DHCP: what it sends as events, what it is answered as messages."""

from __future__ import annotations

from random import Random

from sojourn.core.events import DhcpReceived
from sojourn.wire.addresses import ANY_IPV4, Address, Prefix, address, eui64_link_local, from_ipv4, is_ipv4, to_ipv4
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
    RapidCommit,
    ServerIdentifier,
    decode_dhcpv6,
    link_layer_duid,
)
from sojourn.wire.units import SECOND
from support.domain import HOSTS, Domain

ALL_SERVERS = address("ff02::1:2")
BROADCAST = address("255.255.255.255")
SERVER = ServerIdentifier(link_layer_duid(bytes.fromhex("00005e005213")))
"""Every router of a domain."""


def duid(host: str) -> bytes:
    return link_layer_duid(HOSTS[host])


class Client:
    """A host at a MAAR of a domain on a table."""

    def __init__(self, domain: Domain, host: str) -> None:
        self.domain = domain
        self.host = host
        self.duid = duid(host)

    # --- IPv6 -----------------------------------------------------------------------------------------------------

    def say(self, name: str, kind: MessageType, *options: Dhcpv6Option, to: Address = ALL_SERVERS) -> None:
        """A message to the router `name`."""
        server = (SERVER,) if kind in (3, 5, 8, 9) else ()
        message = Dhcpv6Message(kind, b"abc", (ClientIdentifier(self.duid), *server, *options))
        source = eui64_link_local(HOSTS[self.host])
        self.domain.event(name, DhcpReceived("acc0", HOSTS[self.host], source, to, message.encode()))

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
        self.domain.event(name, DhcpReceived("acc0", mac, client, BROADCAST, message.encode()))

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


class WalkingClient(Client):
    """A host that keeps what it got as long as nobody takes it away, wherever it is."""

    def __init__(self, domain: Domain, host: str) -> None:
        super().__init__(domain, host)
        self.ipv4: Address | None = None
        self.prefix: Prefix | None = None
        self.place: str | None = None
        self.renewed = {"ipv4": 0, "prefix": 0}
        self._heard: dict[str, int] = {}

    def step(self, place: str, dice: Random) -> str:
        """Do one thing; answers what."""
        self.place = place
        what = dice.choice(["discover", "request", "solicit", "renew", "release", "decline"])
        match what:
            case "discover" if self.ipv4 is None:
                self.shout(place, DhcpType.DISCOVER)
            case "request" if self.ipv4 is None:
                self.shout(place, DhcpType.REQUEST, requested_address=bytes((10, dice.randrange(1, 5), 0, 2)))
            case "solicit" if self.prefix is None:
                self.say(place, MessageType.SOLICIT, IaPd(9, 0, 0), RapidCommit())
            case "release" if self.ipv4 is not None and dice.random() < 0.3:
                self.shout(place, DhcpType.RELEASE, client=self.ipv4)
                self.ipv4 = None
            case "decline" if self.ipv4 is not None and dice.random() < 0.1:
                self.shout(place, DhcpType.DECLINE, requested_address=to_ipv4(self.ipv4))
                self.ipv4 = None
            case _:
                self.renew(place)
        self.listen()
        return what

    def renew(self, place: str | None) -> None:
        """All that it has."""
        self.place = place
        if place is None or not self.domain.members[place].alive:
            return
        if self.ipv4 is not None:
            self.shout(place, DhcpType.REQUEST, client=self.ipv4)
        if self.prefix is not None:
            self.say(place, MessageType.REBIND, IaPd(9, 0, 0, (IaPrefix.of(self.prefix, SECOND, SECOND),)))
        self.listen()

    def listen(self) -> None:
        """Take up all answers, late ones too, of the router where it is."""
        for name, member in self.domain.members.items():
            while (heard := self._heard.get(name, 0)) < len(member.dhcp):
                self._heard[name] = heard + 1
                sent = member.dhcp[heard]
                if sent.link_layer != HOSTS[self.host] or name != self.place:
                    continue
                if is_ipv4(sent.source):
                    self._on_ipv4(name, decode_dhcpv4(sent.payload))
                else:
                    self._on_ipv6(decode_dhcpv6(sent.payload))

    def _on_ipv4(self, name: str, answer: Dhcpv4Message) -> None:
        if answer.kind == DhcpType.OFFER and self.ipv4 is None:
            server = answer.options[Code.SERVER_IDENTIFIER]
            self.shout(name, DhcpType.REQUEST, requested_address=answer.yours, server_identifier=server)
        elif answer.kind == DhcpType.ACK:
            self.ipv4, self.renewed["ipv4"] = from_ipv4(answer.yours), self.domain.now
        elif answer.kind == DhcpType.NAK:
            self.ipv4 = None

    def _on_ipv6(self, answer: Dhcpv6Message) -> None:
        for lease in prefixes_in(answer) if answer.first(IaPd) else ():
            if lease.valid:
                self.prefix, self.renewed["prefix"] = lease.prefix, self.domain.now
            elif lease.prefix == self.prefix:
                self.prefix = None

    def faults(self, place: str | None) -> list[str]:
        """What it has and just renewed must be forwarded."""
        self.place = place
        self.listen()
        if place is None:
            return []
        found = []
        held = {"ipv4": None if self.ipv4 is None else single(self.ipv4), "prefix": self.prefix}
        for what, prefix in held.items():
            fresh = self.domain.now - self.renewed[what] < 10 * SECOND
            if prefix is not None and fresh and prefix not in self.domain.plane(place).state.prefixes:
                found.append(f"{self.host} at {place} has {prefix}, and nobody forwards it")
        return found


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
