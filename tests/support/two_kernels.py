"""An access router on this kernel, of a domain whose other router is on another one.

    server -- router -- wire to the other router          router 1: 2001:db8:a1::1, nodes 2001:db8:a100::/48
                |                                         server 1: 2001:db8:51::1
               node, with an address of the other router's pool

The node's prefix is anchored at the other router, so that an echo request to the *other* server goes through a tunnel
there, and the answer through a tunnel back. ``python two_kernels.py 2 vec0`` is router 2, whose wire is there already.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from pathlib import Path

from sojourn.core.effects import EnsureDelivery, EnsurePrefix, EnsureTunnel, EnsureUplink
from sojourn.dataplane import nftables
from sojourn.dataplane.linux import LinuxDataplane, LinuxSettings
from sojourn.dataplane.settings import SHARED_LINK_LAYER, SHARED_LINK_LOCAL
from sojourn.lab.namespaces import NetworkNamespace, own_namespace
from sojourn.lab.rtnetlink import End, RouteNetlink
from sojourn.wire.addresses import Address, Prefix, address, prefix, text

ECHO_REQUEST, ECHO_REPLY = 128, 129


def router_address(number: int) -> Address:
    return address(f"2001:db8:a{number}::1")


def server_address(number: int) -> Address:
    return address(f"2001:db8:5{number}::1")


def node_prefix(anchor: int) -> Prefix:
    return prefix(f"2001:db8:a{anchor}00:1::/64")


class Side:
    """Router `number` with its server and its node. `close` it."""

    def __init__(self, number: int, router: NetworkNamespace, wire: int) -> None:
        """`wire` is the index of the router's interface to the other one."""
        self.number, self.other = number, 3 - number
        self.router = router
        self.server, self.node = NetworkNamespace("server"), NetworkNamespace("node")
        for namespace in (self.router, self.server, self.node):
            namespace.sysctl("net/ipv6/conf/default/accept_dad", 0)
            namespace.sysctl("net/ipv6/conf/all/accept_dad", 0)
        router.sysctl("net/ipv6/conf/all/forwarding", 1)
        self._routes = {name: RouteNetlink(name) for name in (self.router, self.server, self.node)}
        self._connect(wire)
        self._cable("to-server", self.server, 200)
        self._cable("acc0", self.node, 210)
        self._serve()
        with router.entered():
            self.plane = LinuxDataplane(self._settings())
            self.plane.start()
        self._move()

    def _connect(self, wire: int) -> None:
        routes = self._routes[self.router]
        routes.set_link(wire, up=True)
        routes.add_address(1, router_address(self.number), 128)
        routes.add_address(wire, address(f"2001:db8:ff::{self.number}"), 64)
        routes.add_route(bytes(16), 0, address(f"2001:db8:ff::{self.other}"), wire)

    def _cable(self, name: str, inside: NetworkNamespace, index: int) -> None:
        near = End(self.router, name, index, b"\x02\0\0\0\1" + bytes((index,)))
        far = End(inside, "eth", index + 1, b"\x02\0\0\0\2" + bytes((index,)))
        self._routes[self.router].add_veth(near, far, 1500)
        self._routes[self.router].set_link(near.index, up=True)
        self._routes[inside].set_link(far.index, up=True)

    def _serve(self) -> None:
        own, gateway = server_address(self.number), server_address(self.number)[:15] + b"\xff"
        self._routes[self.router].add_address(200, gateway, 64)
        self._routes[self.server].add_address(201, own, 64)
        self._routes[self.server].add_route(bytes(16), 0, gateway, 201)
        self._routes[self.node].add_address(1, self.node_address, 128)
        self._routes[self.node].add_neighbour(211, SHARED_LINK_LOCAL, SHARED_LINK_LAYER)
        self._routes[self.node].add_route(bytes(16), 0, SHARED_LINK_LOCAL, 211)

    def _settings(self) -> LinuxSettings:
        pool = prefix(f"2001:db8:a{self.number}00::/48")
        peers = (router_address(self.other),)
        return LinuxSettings(router_address(self.number), pool, peers, ("acc0",), counters=nftables.usable())

    def _move(self) -> None:
        """Our node is from the other router, and the other's node from us."""
        theirs, ours = node_prefix(self.other), node_prefix(self.number)
        self.plane.apply(EnsureDelivery(1, "acc0", b"\x02\0\0\0\2" + bytes((210,))))
        self.plane.apply(EnsurePrefix(theirs, 1))
        self.plane.apply(EnsureUplink(theirs, router_address(self.other)))
        self.plane.apply(EnsureTunnel(2, router_address(self.other)))
        self.plane.apply(EnsurePrefix(ours, 2))

    @property
    def node_address(self) -> Address:
        return node_prefix(self.other).address[:15] + b"\x05"

    def answers(self, count: int, patience: float = 10.0) -> int:
        """How many of `count` echo requests of our node the other server answers, once it answered one."""
        with self.node.entered(), socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as echo:
            echo.settimeout(0.3)
            echo.bind((text(self.node_address), 0))
            end = time.monotonic() + patience
            while not self._answered(echo, 0) and time.monotonic() < end:
                pass
            return sum(self._answered(echo, number) for number in range(1, count + 1))

    def _answered(self, echo: socket.socket, number: int) -> bool:
        echo.sendto(struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, 7, number), (text(server_address(self.other)), 0))
        try:
            while True:
                answer = echo.recv(2000)
                if answer[0] == ECHO_REPLY and answer[4:8] == struct.pack("!HH", 7, number):
                    return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self.plane.leave()
        for routes in self._routes.values():
            routes.close()
        for namespace in (self.server, self.node):
            namespace.close()


def main(number: int, wire: str) -> None:
    """A side in the namespace of the caller: says what it tunnels with and how many of 20 were answered; stays."""
    here = object.__new__(NetworkNamespace)
    here.name, here.descriptor = "here", own_namespace()
    side = Side(number, here, socket.if_nametoindex(wire))
    print(side.plane.backend, os.uname().release, flush=True)
    print(side.answers(20), flush=True)
    time.sleep(60)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main(int(sys.argv[1]), sys.argv[2])
