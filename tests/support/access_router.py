"""An access router's link in namespaces: a bridge `acc0` with one port to a stock host; needs no tools."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sojourn.core.events import Event
from sojourn.dataplane.netlink import attribute, attributes, nested
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import (
    IFLA_LINKINFO,
    RTM_DELLINK,
    RTM_GETLINK,
    RTM_NEWLINK,
    End,
    RouteNetlink,
)
from sojourn.wire.addresses import address, link_layer, text

PATIENCE = 10.0
"""Seconds after which what did not happen will not."""
NODE = link_layer("02:00:00:00:00:01")
ROUTER = link_layer("00:00:5e:00:52:13")
ROUTER_LINK_LOCAL = address("fe80::200:5eff:fe00:5213")
NODE_LINK_LOCAL = address("fe80::ff:fe00:1")
BRIDGE, PORT, HOST = 10, 11, 12
_INFO_SLAVE_DATA, _BRPORT_STATE, _FORWARDING = 5, 1, b"\x03"
UPDATE_FRAME = b"\xff" * 6 + NODE + b"\x00\x06" + bytes.fromhex("0001af810100")
"""802.2 XID, as access points send on association so that the network learns a station (IEEE 802.11F)."""


class Source(Protocol):
    """What can be waited for and then asked for events."""

    def fileno(self) -> int: ...

    def receive(self) -> Sequence[Event]: ...


class AccessRouter:
    """A router and a host, each in a namespace; the host's link is down. Without `dad` the host loses no time."""

    def __init__(self, dad: bool = True) -> None:
        self.router = NetworkNamespace("router")
        self.host = NetworkNamespace("host")
        self.netlink = RouteNetlink(self.router)
        self.host_netlink = RouteNetlink(self.host)
        self.router.sysctl("net/ipv6/conf/all/forwarding", 1)
        if not dad:
            self.host.sysctl("net/ipv6/conf/default/accept_dad", 0)
            self.host.sysctl("net/ipv6/conf/default/router_solicitation_delay", 0)
        self.netlink.add_bridge(End(self.router, "acc0", BRIDGE, ROUTER), 1500)
        port = End(self.router, "p0", PORT, link_layer("02:00:00:00:00:f1"))
        self.netlink.add_veth(port, End(self.host, "eth0", HOST, NODE), 1500)
        self.netlink.set_link(PORT, up=True, master=BRIDGE)

    def close(self) -> None:
        self.netlink.close()
        self.host_netlink.close()
        self.router.close()
        self.host.close()

    def host_up(self, up: bool = True) -> None:
        """The host's link, and with it the carrier of the router's port; frames pass when this returns."""
        self.host_netlink.set_link(HOST, up=up)
        if up:
            until(self.forwarding)

    def forwarding(self) -> bool:
        """The bridge lets frames of the port pass, which is some time after the carrier."""
        for payload in self.netlink.dump(RTM_GETLINK, bytes(16)):
            if int.from_bytes(payload[4:8], "little") == PORT:
                about = attributes(attributes(payload[16:])[IFLA_LINKINFO])
                return attributes(about[_INFO_SLAVE_DATA])[_BRPORT_STATE] == _FORWARDING
        return False

    def ageing(self, seconds: int) -> None:
        """How long the bridge remembers a silent station."""
        data = attribute(4, (100 * seconds).to_bytes(4, "little"))
        information = nested(18, attribute(1, b"bridge\0") + nested(2, data))
        self.netlink.request(RTM_NEWLINK, 0, End(self.router, "acc0", BRIDGE, ROUTER).link(up=True) + information)

    def remove_bridge(self) -> None:
        self.netlink.request(RTM_DELLINK, 0, End(self.router, "acc0", BRIDGE, ROUTER).link())

    def associate(self) -> None:
        """What an access point does when a station comes."""
        self.from_host(UPDATE_FRAME)

    def from_host(self, frame: bytes) -> None:
        """Send a frame as the host."""
        with self.host.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            raw.send(frame)

    def host_addresses(self) -> dict[bytes, int]:
        """The host's addresses with their flags (linux/if_addr.h): 0x20 is deprecated."""
        lines = self.host.call(Path("/proc/thread-self/net/if_inet6").read_text).splitlines()
        fields = [line.split() for line in lines]
        return {bytes.fromhex(f[0]): int(f[4], 16) for f in fields if f[5] == "eth0"}


@contextmanager
def access_router(dad: bool = True) -> Iterator[AccessRouter]:
    """One, and nothing of it afterwards."""
    made = AccessRouter(dad)
    try:
        yield made
    finally:
        made.close()


def events_until(source: Source, wanted: Callable[[Event], bool]) -> list[Event]:
    """All events of `source` up to the first that is wanted."""
    found: list[Event] = []
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        select.select([source], [], [], 0.2)
        for event in source.receive():
            found.append(event)
            if wanted(event):
                return found
    raise AssertionError(f"not within {PATIENCE} s; instead {found}")


def until(condition: Callable[[], bool]) -> None:
    """Wait for `condition`."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s"
        time.sleep(0.005)


def reachable(namespace: NetworkNamespace, local: bytes, interface: int = 0) -> bool:
    """Whether `local` answers inside: the kernel acknowledges a new address before it delivers packets to it.

    `interface` is for a link-local one.
    """
    with namespace.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.05)
        try:
            probe.bind((text(local), 0, 0, interface))
            probe.sendto(b"?", probe.getsockname())
            return probe.recv(1) == b"?"
        except OSError:  # not assigned yet, or assigned and not delivered to
            return False
