"""The procedures of DHCP for a role that has to ask an anchor first, as a MAG does (RFC 5844 3.4.1, figure 7)."""

from __future__ import annotations

from sojourn.core.effects import Report, SendDhcp
from sojourn.core.events import DhcpReceived, Event
from sojourn.engines.base import TimerName
from sojourn.engines.dhcp_service import DhcpServers, DhcpService
from sojourn.engines.dhcpv4 import Dhcpv4Server, Dhcpv4Settings, Home
from sojourn.engines.dhcpv6 import Holdings
from sojourn.wire.addresses import Prefix, address
from sojourn.wire.dhcpv4 import BOOTREQUEST, Code, DhcpType, Dhcpv4Message, decode_dhcpv4
from sojourn.wire.units import SECOND

NODE, MAC = b"\5" + b"123456", b"\2\0\0\0\0\1"


class Gateway(DhcpService):
    """A role whose anchor is slow."""

    def __init__(self) -> None:
        super().__init__(0)
        self.dhcp = DhcpServers(v4=Dhcpv4Server(Dhcpv4Settings(address("10.1.0.1"), 60 * SECOND, 1460)))
        self.home: Home | None = None
        self.asked = 0
        self.given_back: list[Prefix] = []

    def _on_event(self, event: Event) -> None:
        if isinstance(event, DhcpReceived):
            self._on_dhcp(event, NODE)

    def _on_timer(self, name: TimerName) -> None:
        self._on_patience_over(name[1])

    def answered(self, home: Home | None) -> list[object]:
        """The anchor answers."""
        self.home, self.asked = home, 0
        self._on_settled(NODE)
        return list(self._flush())

    def _dhcp_holdings(self, node: bytes) -> Holdings:
        return Holdings()

    def _dhcp_home(self, node: bytes) -> tuple[Home | None, bool]:
        return self.home, self.asked == 0

    def _grant(self, node: bytes, *, ipv4: bool) -> None:
        self.asked += 1

    def _commit(self, node: bytes, prefix: Prefix) -> None:
        pass

    def _give_back(self, node: bytes, prefix: Prefix) -> None:
        self.given_back.append(prefix)


def message(kind: DhcpType, client: str = "0.0.0.0") -> DhcpReceived:
    octets = Dhcpv4Message(
        BOOTREQUEST, 1, MAC, {Code.MESSAGE_TYPE: bytes((kind,))}, client=address(client)[12:]
    ).encode()
    return DhcpReceived("acc0", MAC, address(client), address("255.255.255.255"), octets)


def test_an_offer_comes_as_soon_as_the_anchor_gave_an_address() -> None:
    gateway = Gateway()
    assert gateway.handle(message(DhcpType.DISCOVER), 0) == []
    assert gateway.asked == 1
    (answer,) = gateway.answered(Home(address("10.1.0.5"), 24, address("10.1.0.1")))
    assert isinstance(answer, SendDhcp)
    assert decode_dhcpv4(answer.payload).kind == DhcpType.OFFER


def test_without_an_address_from_the_anchor_there_is_no_offer() -> None:
    """RFC 5844 3.4.3."""
    gateway = Gateway()
    gateway.handle(message(DhcpType.DISCOVER), 0)
    (report,) = gateway.expire(3 * SECOND)
    assert isinstance(report, Report)
    assert report.detail["reason"] == "no IPv4 home address for this host"


def test_a_released_address_is_given_back() -> None:
    gateway = Gateway()
    gateway.home = Home(address("10.1.0.5"), 24, address("10.1.0.1"))
    gateway.handle(message(DhcpType.RELEASE, "10.1.0.5"), 0)
    assert gateway.given_back == [Prefix(address("10.1.0.5"), 128)]
