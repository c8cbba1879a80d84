"""A domain of two kernels: SRv6 code tunnels to ip6tnl devices and back, with real packets (RFC 2473)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import End, RouteNetlink
from support import two_kernels
from support.two_kernels import Side, node_prefix, router_address, server_address

pytestmark = pytest.mark.lab

ICMPV6, MULTICAST = 58, 0xFF

RUN = [sys.executable, str(Path(__file__).with_name("run.py")), "--wire", "uml0"]
GUEST = [sys.executable, two_kernels.__file__, "2", "vec0"]


@pytest.fixture
def here() -> Iterator[tuple[Side, NetworkNamespace]]:
    """Router 1, and the namespace in which the other end of its wire is."""
    router, between = NetworkNamespace("ar1"), NetworkNamespace("between")
    near, far = End(router, "wire", 300, b"\x02\0\0\0\0\1"), End(between, "uml0", 301, b"\x02\0\0\0\0\2")
    netlink = RouteNetlink(between)
    between.sysctl("net/ipv6/conf/all/disable_ipv6", 1)
    netlink.add_veth(near, far, 1500)
    netlink.set_link(far.index, up=True)
    netlink.close()
    side = Side(1, router, near.index)
    yield side, between
    side.close()
    router.close()
    between.close()


def test_srv6_code_and_ip6tnl_devices_understand_each_other(here: tuple[Side, NetworkNamespace]) -> None:
    side, between = here
    assert side.plane.backend == "seg6"
    with between.entered():
        seen = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        seen.bind(("uml0", 3))
        guest = subprocess.Popen([*RUN, *GUEST], stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(60, guest.kill)
    watchdog.start()
    assert guest.stdout is not None
    try:
        first = guest.stdout.readline()
        assert first, "the guest did not come up; its words are above"
        backend, release = first.split()
        assert (backend, release == os.uname().release) == ("ip6tnl", False)
        theirs = int(guest.stdout.readline())  # from the node there, anchored here, to the server here
        ours = side.answers(20)
        assert (theirs, ours) == (20, 20)
    finally:
        guest.kill()
        guest.wait()
        guest.stdout.close()
        watchdog.cancel()
    with seen:
        seen.settimeout(0.2)
        packets = captured_packets(seen)
    outer = {(packet[6], packet[8:24], packet[24:40]) for packet in packets if packet[6] != ICMPV6}
    one, two = router_address(1), router_address(2)
    assert outer == {(41, one, two), (41, two, one)}, "nothing of the sessions is outside of the tunnels"
    inner = {(packet[48:64], packet[64:80]) for packet in packets if packet[6] == 41}
    for anchor in (1, 2):
        node, server = node_prefix(anchor).address[:15] + b"\x05", server_address(anchor)
        assert {(node, server), (server, node)} <= inner


def captured_packets(seen: socket.socket) -> list[bytes]:
    packets = []
    try:
        while True:
            packets.append(seen.recv(2000))
    except TimeoutError:
        return [packet for packet in packets if packet[0] >> 4 == 6 and packet[24] != MULTICAST]
