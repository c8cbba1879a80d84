"""Mobility Headers over UDP and IPv4 (RFC 5844 4), and the port of a DHCP relay (3.4.2): what the sockets take."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from sojourn.core.effects import SendDhcp, SendMessage
from sojourn.core.events import DhcpReceived
from sojourn.host.dhcp_relay import DhcpRelay
from sojourn.host.udp import UdpSockets
from sojourn.lab.ipv4 import add_address
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import RouteNetlink
from sojourn.wire import BindingRefreshRequest, encode
from sojourn.wire.addresses import address
from sojourn.wire.udp import signalling

pytestmark = pytest.mark.lab

OWN, PEER, STRANGER = (address(f"127.0.0.{host}") for host in (1, 2, 3))
MESSAGE = bytes(encode(BindingRefreshRequest()))


@pytest.fixture
def inside() -> Iterator[NetworkNamespace]:
    namespace = NetworkNamespace("udp")
    netlink = RouteNetlink(namespace)
    netlink.set_link(1, up=True)
    add_address(namespace, 1, "127.0.0.1", 8)
    netlink.close()
    with namespace.entered():
        yield namespace
    namespace.close()


def heard(sockets: UdpSockets, octets: bytes, source: str = "127.0.0.2", port: int = 5436) -> int:
    """How many messages come of that datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        sender.sendto(octets, ("127.0.0.1", port))
        select.select([sockets.fileno()], [], [], 0.2)
        events = sockets.events()
        assert all((one.port, one.own_port) == (sender.getsockname()[1], port) for one in events)
    return len(events)


def test_4_1_3_1_the_checksum_of_the_mobility_header_is_not_looked_at(inside: NetworkNamespace) -> None:
    sockets = UdpSockets(OWN, peers={PEER})
    for octets in (MESSAGE, signalling(MESSAGE), MESSAGE[:4] + b"\xff\xff" + MESSAGE[6:]):
        assert heard(sockets, octets) == 1
    sockets.close()


def test_tunnelled_packets_are_not_for_these_sockets(inside: NetworkNamespace) -> None:
    sockets = UdpSockets(OWN, peers={PEER})
    assert heard(sockets, MESSAGE, port=5437) == 1
    for octets in (b"\x60" + bytes(39), b"\x45" + bytes(19), b"\xff", b""):
        assert heard(sockets, octets, port=5437) == 0
    assert sockets.counters["received"] == 1
    sockets.close()


def test_hostile_octets_and_strangers_are_counted(inside: NetworkNamespace) -> None:
    sockets = UdpSockets(OWN, peers={PEER}, strangers=1)
    assert heard(sockets, b"\x3b\xff\x05\0") == 0
    assert heard(sockets, b"\x29" + MESSAGE[1:]) == 0
    assert sockets.counters["decode-errors"] == 2
    assert [heard(sockets, MESSAGE, "127.0.0.3") for _ in range(3)] == [1, 0, 0], "one a second"
    assert sockets.counters["unknown-source"] == 3
    sockets.close()


def test_what_a_node_sends_is_not_believed(inside: NetworkNamespace) -> None:
    sockets = UdpSockets(OWN, peers={PEER}, access=("lo",))
    assert heard(sockets, MESSAGE) == 0
    assert sockets.counters["from-access-link"] == 1
    sockets.close()


def test_4_1_3_2_what_is_sent_has_a_checksum_of_udp_and_none_of_its_own(inside: NetworkNamespace) -> None:
    sockets = UdpSockets(OWN, peers={PEER})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.2", 4444))
        receiver.settimeout(1.0)
        sockets.send(SendMessage(BindingRefreshRequest(), OWN, PEER, port=4444, own_port=5437))
        octets, source = receiver.recvfrom(2000)
    assert source == ("127.0.0.1", 5437)
    assert octets == signalling(MESSAGE)
    assert octets[4:6] == b"\0\0"
    sockets.close()


def test_3_4_2_a_relay_speaks_with_its_server_and_hears_nobody_else(inside: NetworkNamespace) -> None:
    relay = DhcpRelay(OWN, PEER)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        server.bind(("127.0.0.2", 67))
        server.settimeout(1.0)
        other.bind(("127.0.0.3", 67))
        relay.send(SendDhcp("", b"", OWN, PEER, b"asked"))
        assert server.recvfrom(100) == (b"asked", ("127.0.0.1", 67))
        other.sendto(b"forged", ("127.0.0.1", 67))
        server.sendto(b"answered", ("127.0.0.1", 67))
        select.select([relay.fileno()], [], [], 1.0)
        assert relay.receive() == [DhcpReceived("", b"", PEER, OWN, b"answered")]
        assert relay.counters == {"sent": 1, "unknown-source": 1}
    relay.close()
