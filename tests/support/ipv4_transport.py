"""A domain whose gateways reach their LMA over IPv4, some of them from behind a NAT that can forget (RFC 5844 4)."""

from __future__ import annotations

from collections.abc import Callable

from sojourn.core.effects import EnsureTransport, SendMessage
from sojourn.core.events import MessageReceived
from sojourn.engines.way_settings import Ipv4Gateway, Ipv4TransportOfLma, Ipv4TransportOfMag
from sojourn.wire import MobilityMessage, decode, encode
from sojourn.wire.addresses import Address, address
from support.pmip import ProxyDomain, gateway

LMA4 = address("198.51.100.1")
NAT4 = address("203.0.113.7")


def inside(number: int) -> Address:
    """The IPv4 address of ``magN``."""
    return address(f"10.0.{number}.2")


class Nat:
    """It maps each inner address and port to a port of its own, as long as it remembers."""

    def __init__(self) -> None:
        self._next = 40_000
        self.ports: dict[tuple[Address, int, int], int] = {}
        """By inner address and port, and the port at the LMA."""

    def forget(self) -> None:
        """No packet from outside comes through any more."""
        self.ports.clear()

    def out(self, source: Address, port: int, to: int) -> int:
        if (source, port, to) not in self.ports:
            self._next += 1
            self.ports[source, port, to] = self._next
        return self.ports[source, port, to]

    def back(self, port: int, at: int) -> tuple[Address, int] | None:
        return next((key[:2] for key, mapped in self.ports.items() if mapped == port and key[2] == at), None)


class Ipv4Domain(ProxyDomain):
    """``mag1`` is behind the NAT, the others are not."""

    def __init__(
        self, lma: dict[str, object] | None = None, mag: dict[str, object] | None = None, **more: object
    ) -> None:
        self.nat = Nat()
        self.change: Callable[[MobilityMessage], MobilityMessage] = lambda message: message
        """What becomes of a message of the LMA on its way."""
        self.datagrams: list[tuple[str, SendMessage]] = []
        known = tuple(Ipv4Gateway(gateway(n), inside(n), NAT4 if n == 1 else None) for n in (1, 2))
        self._of_lma = Ipv4TransportOfLma(address=LMA4, gateways=known, **(lma or {}))  # type: ignore[arg-type]
        self._of_mag = mag or {}
        super().__init__(lma={"ipv4_transport": self._of_lma}, **more)  # type: ignore[arg-type]

    def _populate(self, names: dict[Address, str]) -> None:
        for number in self.numbers:
            own = Ipv4TransportOfMag(address=inside(number), lma=LMA4, **self._of_mag)  # type: ignore[arg-type]
            name = f"mag{number}"
            configuration = self.mag_configurations[name]
            self.mag_configurations[name] = type(configuration)(
                **{field: getattr(configuration, field) for field in configuration.__dataclass_fields__}
                | {"ipv4_transport": own}
            )
        super()._populate(names)

    def _send_udp(self, name: str, effect: SendMessage) -> None:
        message = decode(bytes(encode(effect.message)))
        self.datagrams.append((name, effect))
        if name == "lma":
            self._down(effect, message)
        else:
            self._up(name, effect, message)

    def _up(self, name: str, effect: SendMessage, message: MobilityMessage) -> None:
        assert effect.destination == LMA4
        self.messages.append((self.now, name, "lma", message))
        if self.lose(name, "lma", message):
            return
        source, port = effect.source, effect.own_port
        if name == "mag1":
            source, port = NAT4, self.nat.out(source, port, effect.port)
        event = MessageReceived(message, source, LMA4, port=port, own_port=effect.port)
        self.later(self._delay(name, "lma"), "lma", event)

    def _down(self, effect: SendMessage, message: MobilityMessage) -> None:
        assert effect.source == LMA4
        message = self.change(message)
        to, port = effect.destination, effect.port
        if to == NAT4:
            found = self.nat.back(port, effect.own_port)
            if found is None:
                return
            to, port = found
        receiver = next((f"mag{n}" for n in self.numbers if inside(n) == to), None)
        self.messages.append((self.now, "lma", receiver or to.hex(), message))
        if receiver is None or self.lose("lma", receiver, message):
            return
        event = MessageReceived(message, LMA4, to, port=effect.own_port, own_port=port)
        self.later(self._delay("lma", receiver), receiver, event)

    def datagram(
        self, message: MobilityMessage, source: Address, port: int = 5436, own_port: int = 5436
    ) -> list[SendMessage]:
        """What the LMA sends when this arrives."""
        before = len(self.datagrams)
        event = MessageReceived(decode(bytes(encode(message))), source, LMA4, port=port, own_port=own_port)
        self.event("lma", event)
        return [effect for name, effect in self.datagrams[before:] if name == "lma"]

    def ports(self, name: str) -> set[int]:
        """Ports at which `name` spoke to the LMA."""
        return {effect.port for sender, effect in self.datagrams if sender == name}

    def transport(self, name: str, peer: str) -> EnsureTransport | None:
        """How packets of `name` to `peer` travel."""
        remote = next(address for address, known in self.names.items() if known == peer)
        return self.plane(name).state.transports.get(remote)
