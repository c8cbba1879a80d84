"""RFC 2473 7.1, 8, RFC 6275 10.4.2: a link in the middle has a small MTU, and who sends learns of it."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from sojourn.core.effects import EnsurePrefix, EnsureUplink
from sojourn.core.mobile_effects import EnsureCareOfRoute, EnsureRouteOptimisation
from sojourn.host.tunnel_errors import TunnelErrors, Tunneller
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.wire.addresses import Address, Prefix, text
from support import dataplane_bed
from support.mobile_bed import BEHIND, CARE_OF, CORRESPONDENT, HOME, HOME_AGENT, NETWORK, MobileBed

pytestmark = pytest.mark.lab
BED = MobileBed
SMALL = 1400
"""Octets that the link in the middle takes."""
MTU, DISCOVER = 24, 23  # IPV6_MTU, IPV6_MTU_DISCOVER
PATIENCE = 20.0


@contextmanager
def told(namespace: NetworkNamespace, tunneller: Tunneller, own: Address) -> Iterator[TunnelErrors]:
    """Errors are passed on, as a daemon does it."""
    with namespace.entered():
        errors = TunnelErrors(tunneller, lambda known: known == own)
    ended = threading.Event()

    def serve() -> None:
        while not ended.wait(0.005):
            errors.receive()

    server = threading.Thread(target=serve)
    server.start()
    try:
        yield errors
    finally:
        ended.set()
        server.join()
        errors.close()


def learns(sender: socket.socket, receiver: socket.socket, mtu: int, least: int = 0) -> None:
    """Whoever sends what does not fit hears what fits, or a little less, and that arrives."""
    sender.connect(receiver.getsockname())
    sender.setsockopt(socket.IPPROTO_IPV6, DISCOVER, 2)
    wanted, deadline = mtu, time.monotonic() + PATIENCE

    def known() -> int:
        return int(struct.unpack("=i", sender.getsockopt(socket.IPPROTO_IPV6, MTU, 4))[0])

    while known() > mtu:
        assert time.monotonic() < deadline
        with suppress(OSError):  # the error of the one before
            sender.send(bytes(1420 - 48))
        time.sleep(0.02)
    mtu = known()
    assert mtu >= (least or wanted)
    receiver.settimeout(0.02)
    with suppress(OSError):
        while receiver.recv(2000):
            pass
    receiver.settimeout(1)
    with suppress(OSError):
        sender.send(b"")
    sender.send(bytes(mtu - 48))
    while True:
        if len(receiver.recv(2000)) == mtu - 48:
            return


def streams(sender: NetworkNamespace, own: Address, receiver: NetworkNamespace, to: Address) -> None:
    """A stream of big segments arrives."""
    data = os.urandom(1 << 20)
    found: list[bytes] = []
    with receiver.entered():
        listener = socket.create_server((text(to), 0), family=socket.AF_INET6)

    def receive() -> None:
        connection, _ = listener.accept()
        with connection:
            digest = hashlib.sha256()
            while chunk := connection.recv(1 << 18):
                digest.update(chunk)
            found.append(digest.digest())

    taker = threading.Thread(target=receive)
    taker.start()
    with sender.entered():
        connection = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    with listener, connection:
        connection.bind((text(own), 0))
        connection.settimeout(PATIENCE)
        connection.connect((text(to), listener.getsockname()[1]))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        taker.join(PATIENCE)
    assert found == [hashlib.sha256(data).digest()]


def _narrow(bed: MobileBed, port: str, mtu: int = SMALL) -> None:
    bed.netlink("net").set_link(bed.ends["net", port].index, mtu=mtu)


def test_a_mobile_node_learns_what_fits_into_the_middle_of_its_tunnel(bed: MobileBed) -> None:
    node, agent = bed.mobile_node(), bed.home_agent()
    bed.register(node, agent)
    _narrow(bed, "ha")
    with told(bed.namespaces["mn"], node, CARE_OF) as errors:
        with bed.udp("mn", HOME) as mn, bed.udp("cn", CORRESPONDENT) as cn:
            learns(mn, cn, SMALL - 40, SMALL - 40 - 64)  # the kernel leaves room for a routing header in the tunnel
        streams(bed.namespaces["mn"], HOME, bed.namespaces["cn"], CORRESPONDENT)
        assert errors.counters["passed-on"] > 0


def test_a_host_behind_a_mobile_router_learns_it(bed: MobileBed) -> None:
    node, agent = bed.mobile_node(router=True), bed.home_agent()
    bed.register(node, agent)
    agent.apply(EnsurePrefix(NETWORK, 1))
    node.apply(EnsureUplink(NETWORK, HOME_AGENT))
    _narrow(bed, "ha")
    with told(bed.namespaces["mn"], node, CARE_OF):
        with bed.udp("behind", BEHIND) as behind, bed.udp("cn", CORRESPONDENT) as cn:
            learns(behind, cn, SMALL - 40)
        streams(bed.namespaces["behind"], BEHIND, bed.namespaces["cn"], CORRESPONDENT)


def test_a_correspondent_learns_it_of_the_tunnel_to_a_mobile_node(bed: MobileBed) -> None:
    node, agent = bed.mobile_node(), bed.home_agent()
    bed.register(node, agent)
    _narrow(bed, "f1")
    with told(bed.namespaces["ha"], agent, HOME_AGENT):
        with bed.udp("mn", HOME) as mn, bed.udp("cn", CORRESPONDENT) as cn:
            learns(cn, mn, SMALL - 40)
        streams(bed.namespaces["cn"], CORRESPONDENT, bed.namespaces["mn"], HOME)


def test_both_ends_of_a_direct_way_learn_what_their_headers_leave(bed: MobileBed) -> None:
    """The kernel would look for who sent from the care-of address, or to it."""
    node, agent, peer = bed.mobile_node(), bed.home_agent(), bed.correspondent()
    bed.register(node, agent)
    peer.apply_mobile(EnsureCareOfRoute(HOME, CARE_OF))
    node.apply_mobile(EnsureRouteOptimisation(HOME, CORRESPONDENT, CARE_OF))
    for who, plane, own, narrow in (("mn", node, CARE_OF, "cn"), ("cn", peer, CORRESPONDENT, "f1")):
        _narrow(bed, narrow)
        sender, receiver = (HOME, CORRESPONDENT) if who == "mn" else (CORRESPONDENT, HOME)
        other = "cn" if who == "mn" else "mn"
        with told(bed.namespaces[who], plane, own):
            with bed.udp(who, sender) as one, bed.udp(other, receiver) as two:
                learns(one, two, SMALL - 24)
            streams(bed.namespaces[who], sender, bed.namespaces[other], receiver)
        _narrow(bed, narrow, 1500)


def _routers(narrow: str, who: str) -> Callable[[], None]:
    def run() -> None:
        bed = dataplane_bed.Bed()
        try:
            planes = {name: bed.plane(name) for name in dataplane_bed.ROUTERS}
            bed.serve_away(planes["ar1"], planes["ar2"])
            bed._netlink["core"].set_link(bed.ends["core", narrow].index, mtu=SMALL)
            with told(bed.namespaces[who], planes[who], dataplane_bed.ROUTERS[who]):
                host, server = bed.udp("a", dataplane_bed.HOST), bed.udp("server", dataplane_bed.SERVER)
                with host, server:
                    learns(*((server, host) if who == "ar1" else (host, server)), SMALL - 40)
        finally:
            bed.close()

    return run


@pytest.mark.parametrize(("narrow", "who"), [("ar2", "ar1"), ("ar1", "ar2")], ids=["anchor", "serving router"])
def test_routers_that_tunnel_for_nodes_pass_it_on(narrow: str, who: str) -> None:
    _routers(narrow, who)()


def test_only_what_leaves_here_so_is_passed_on() -> None:
    node = MobileBed()
    try:
        plane, agent = node.mobile_node(), node.home_agent()
        node.register(plane, agent)
        plane.apply_mobile(EnsureRouteOptimisation(HOME, CORRESPONDENT, CARE_OF))
        stranger = Prefix(CORRESPONDENT, 64).address[:15] + b"\x77"
        assert plane.carries((CARE_OF, HOME_AGENT), (HOME, stranger))
        assert plane.carries((CARE_OF, CORRESPONDENT), (HOME, CORRESPONDENT))
        assert not plane.carries((CARE_OF, HOME_AGENT), (stranger, CORRESPONDENT))
        assert not plane.carries((CARE_OF, stranger), (HOME, stranger))
        assert not plane.carries((CARE_OF[:15] + b"\x09", HOME_AGENT), (HOME, stranger))
    finally:
        node.close()
