"""Where a message came in: nothing is taken from an access link, whatever address it claims to come from."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from sojourn.core.events import MessageReceived
from sojourn.host.sockets import MobilitySocket
from sojourn.lab.rtnetlink import RTM_DELLINK, End
from sojourn.wire import BindingUpdate, MobileNodeIdentifier, encode, seal
from sojourn.wire.addresses import address, link_layer
from sojourn.wire.units import SECOND
from support.access_router import BRIDGE, NODE, PORT, ROUTER, AccessRouter, access_router, reachable, until
from support.mobile_kernel import mobile_ipv6

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True, scope="module")
def _mobile_ipv6() -> Iterator[None]:
    with mobile_ipv6():
        yield


OURS, PEER = address("2001:db8::1"), address("2001:db8:c::1")
UPDATE = BindingUpdate(7, 0x8200, 60 * SECOND, (MobileNodeIdentifier(1, b"node"),))
MESSAGE = seal(encode(UPDATE), PEER, OURS)
MOBILITY, HOP_BY_HOP, FRAGMENT, DESTINATION_OPTIONS = 135, 0, 44, 60
PADDING = bytes((MOBILITY, 0, 1, 4, 0, 0, 0, 0))
"""An extension header with nothing in it, before a Mobility Header."""
CORE, FAR = 20, 21
CORE_LINK_LAYER = link_layer("02:00:00:00:00:c1")


def _packet(next_header: int, payload: bytes) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), next_header, 64) + PEER + OURS + payload


def _fragments() -> list[bytes]:
    halves = MESSAGE[:16], MESSAGE[16:]
    heads = (struct.pack("!BBHI", MOBILITY, 0, offset | more, 7) for offset, more in ((0, 1), (16, 0)))
    return [_packet(FRAGMENT, head + half) for head, half in zip(heads, halves, strict=True)]


SHAPES = {
    "plain": [_packet(MOBILITY, MESSAGE)],
    "destination options": [_packet(DESTINATION_OPTIONS, PADDING + MESSAGE)],
    "hop-by-hop options": [_packet(HOP_BY_HOP, PADDING + MESSAGE)],
    "fragments": _fragments(),
}


@pytest.fixture
def network() -> Iterator[AccessRouter]:
    """The router has a second link, `core`, to the same namespace as the host's."""
    with access_router(dad=False) as made:
        made.netlink.add_address(1, OURS, 128)
        core = End(made.router, "core", CORE, CORE_LINK_LAYER)
        made.netlink.add_veth(core, End(made.host, "far", FAR, link_layer("02:00:00:00:00:c2")), 1500)
        made.netlink.set_link(CORE, up=True)
        made.host_netlink.set_link(FAR, up=True)
        made.host_up()
        until(lambda: reachable(made.router, OURS))
        yield made


@pytest.fixture
def ours(network: AccessRouter) -> Iterator[MobilitySocket]:
    with network.router.entered():
        made = MobilitySocket(OURS, peers={PEER}, access=["acc0"])
    yield made
    made.close()


def _send(network: AccessRouter, packets: list[bytes], interface: str, to: bytes) -> None:
    with network.host.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((interface, 0))
        for packet in packets:
            raw.send(to + NODE + b"\x86\xdd" + packet)


def _received(ours: MobilitySocket, count: int) -> list[MessageReceived]:
    found: list[MessageReceived] = []
    until(lambda: found.extend(ours.events()) or ours.counters["received"] == count)  # type: ignore[func-returns-value]
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_a_node_cannot_speak_as_a_router(network: AccessRouter, ours: MobilitySocket, shape: str) -> None:
    _send(network, SHAPES[shape], "eth0", ROUTER)
    assert _received(ours, 1) == []
    assert ours.counters == {"received": 1, "from-access-link": 1}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_from_the_core_is_taken(network: AccessRouter, ours: MobilitySocket, shape: str) -> None:
    _send(network, SHAPES[shape], "far", CORE_LINK_LAYER)
    assert _received(ours, 1) == [MessageReceived(UPDATE, PEER, OURS)]
    assert ours.counters == {"received": 1}


def test_an_access_interface_that_was_made_anew_is_one_still(network: AccessRouter, ours: MobilitySocket) -> None:
    """It has another index then, and its old index may be that of a link to the core."""
    _send(network, SHAPES["plain"], "eth0", ROUTER)
    assert _received(ours, 1) == []
    network.netlink.request(RTM_DELLINK, 0, End(network.router, "acc0", BRIDGE, ROUTER).link())
    network.netlink.add_bridge(End(network.router, "acc0", BRIDGE + 30, ROUTER), 1500)
    network.netlink.set_link(PORT, up=True, master=BRIDGE + 30)
    until(network.forwarding)
    ours.refresh()
    _send(network, SHAPES["plain"], "eth0", ROUTER)
    assert _received(ours, 2) == []
    assert ours.counters["from-access-link"] == 2


def test_our_own_messages_to_ourselves_are_taken(network: AccessRouter, ours: MobilitySocket) -> None:
    """A database on the same machine."""
    network.netlink.add_address(1, PEER, 128)
    until(lambda: reachable(network.router, PEER))
    with network.router.entered():
        database = MobilitySocket(PEER)
    database.send(UPDATE, PEER, OURS)
    assert _received(ours, 1) == [MessageReceived(UPDATE, PEER, OURS)]
    database.close()
