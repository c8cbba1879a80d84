"""Two machines on one link: a host of Mobile IPv6, and one that sends it whatever a test wants."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import partial

from sojourn.host.mobile_packets import Packet, built
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import End, RouteNetlink
from sojourn.wire.addresses import address, eui64_link_local, text
from support.access_router import reachable, until

OURS, THEIRS, HOME = address("2001:db8:1::1"), address("2001:db8:1::2"), address("2001:db8:9::1")
TAKEN = address("2001:db8:1::77")


class Pair:
    """Two machines on one link: ours and theirs."""

    def __init__(self) -> None:
        self.ours, self.theirs = NetworkNamespace("ours"), NetworkNamespace("theirs")
        for one in (self.ours, self.theirs):
            one.sysctl("net/ipv6/conf/default/accept_dad", 0)
        ends = (
            End(self.ours, "link0", 100, bytes.fromhex("020000000001")),
            End(self.theirs, "link0", 101, bytes.fromhex("020000000002")),
        )
        netlinks = [RouteNetlink(one) for one in (self.ours, self.theirs)]
        netlinks[0].add_veth(*ends, 1500)
        for netlink, end, own in zip(netlinks, ends, (OURS, THEIRS), strict=True):
            netlink.set_link(end.index, up=True)
            netlink.add_address(end.index, own, 64)
        netlinks[1].add_address(101, TAKEN, 64)
        for one, own in ((self.ours, OURS), (self.theirs, THEIRS)):
            until(partial(reachable, one, own))
        for end in ends:  # routers are asked at theirs
            until(partial(reachable, end.namespace, eui64_link_local(end.link_layer), end.index))
        for netlink in netlinks:
            netlink.close()
        with self.theirs.entered():
            self.raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self.mobility = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 135)
            self.icmp = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        for heard in (self.mobility, self.icmp):
            heard.settimeout(1.0)

    def send(self, packet: Packet) -> None:
        self.raw.sendto(built(packet), (text(packet.destination), 0))

    def errors(self) -> list[bytes]:
        """ICMPv6 errors that came back."""
        found = []
        with suppress(TimeoutError):
            while True:
                octets = self.icmp.recv(2048)
                if octets[0] < 128:
                    found.append(octets)
        return found

    def answers(self) -> list[bytes]:
        found = []
        with suppress(TimeoutError):
            while True:
                found.append(self.mobility.recv(2048))
        return found

    def close(self) -> None:
        for one in (self.raw, self.mobility, self.icmp):
            one.close()
        self.ours.close()
        self.theirs.close()
