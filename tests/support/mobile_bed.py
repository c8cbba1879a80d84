"""A mobile node, its home agent, a correspondent node and a stranger around one router, in namespaces.

    mn       wlan0: 2001:db8:f1::2, wlan1: 2001:db8:f2::2 (two foreign links), lan0: 2001:db8:b05::1 (behind it)
    ha       core: 2001:db8:a::1, lan0: 2001:db8:1::1 on the home link 2001:db8:1::/64
    cn       2001:db8:5::1
    stranger 2001:db8:66::1
    home     2001:db8:1::99, a host on the home link
    behind   2001:db8:b05::2, a host behind the mobile node
    net      the router; the home link and 2001:db8:b00::/40 are at ha

The home address is 2001:db8:1::b0. Data planes are made by `mobile_node`, `home_agent` and `correspondent`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TypeVar

from sojourn.core.effects import EnsurePrefix, EnsureTunnel
from sojourn.core.mobile_effects import EnsureHomeAddress, EnsureReverseTunnel
from sojourn.dataplane import nftables
from sojourn.dataplane.correspondent import CorrespondentDataplane
from sojourn.dataplane.home_agent import HomeAgentDataplane
from sojourn.dataplane.linux import LinuxSettings
from sojourn.dataplane.mobile_node import MobileNodeDataplane
from sojourn.lab.kernel_state import KernelState
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import End, RouteNetlink
from sojourn.wire.addresses import UNSPECIFIED, Address, Prefix, address, eui64_link_local, prefix, text

HOME_AGENT = address("2001:db8:1::1")
HOME = address("2001:db8:1::b0")
HOME_LINK = prefix("2001:db8:1::/64")
CARE_OF, CARE_OF_2 = address("2001:db8:f1::2"), address("2001:db8:f2::2")
CORRESPONDENT = address("2001:db8:5::1")
STRANGER = address("2001:db8:66::1")
NEIGHBOUR = address("2001:db8:1::99")
NETWORK = prefix("2001:db8:b05::/64")
BEHIND = address("2001:db8:b05::2")
COUNTERS = nftables.usable()
"""Tests that need nf_tables are marked so."""
_NAMES = ("mn", "ha", "cn", "stranger", "home", "behind", "net")
_Plane = MobileNodeDataplane | HomeAgentDataplane | CorrespondentDataplane
_P = TypeVar("_P", MobileNodeDataplane, HomeAgentDataplane, CorrespondentDataplane)


class MobileBed:
    """The network. `close` it."""

    def __init__(self, mtu: int = 1500) -> None:
        self.namespaces = {name: NetworkNamespace(name) for name in _NAMES}
        self.mtu = mtu
        self.ends: dict[tuple[str, str], End] = {}
        self.planes: list[_Plane] = []
        self.gateways: dict[tuple[str, str], Address] = {}
        self._placed: list[tuple[str, Address]] = []
        self._index = 100
        self._netlink = {name: RouteNetlink(namespace) for name, namespace in self.namespaces.items()}
        for namespace in self.namespaces.values():
            namespace.sysctl("net/ipv6/conf/default/accept_dad", 0)
            namespace.sysctl("net/ipv6/conf/all/accept_dad", 0)
        for name in ("net", "ha"):
            self.namespaces[name].sysctl("net/ipv6/conf/all/forwarding", 1)
        self._join("mn", "wlan0", "net", "f1", CARE_OF)
        self._join("mn", "wlan1", "net", "f2", CARE_OF_2)
        self._join("ha", "core", "net", "ha", address("2001:db8:a::1"))
        self._join("cn", "eth0", "net", "cn", CORRESPONDENT)
        self._join("stranger", "eth0", "net", "stranger", STRANGER)
        self._join("home", "eth0", "ha", "lan0", NEIGHBOUR, HOME_AGENT)
        self._join("behind", "eth0", "mn", "lan0", BEHIND, address("2001:db8:b05::1"))
        gateway, index = address("2001:db8:a::1"), self.ends["net", "ha"].index
        for one in (HOME_LINK, prefix("2001:db8:b00::/40")):
            self._netlink["net"].add_route(one.address, one.length, gateway, index)
        for name, interface in (
            ("ha", "core"),
            ("cn", "eth0"),
            ("stranger", "eth0"),
            ("home", "eth0"),
            ("behind", "eth0"),
        ):
            self.default(name, interface)
        self.default("mn", "wlan0")
        for (name, _), end in self.ends.items():
            self.settle(name, eui64_link_local(end.link_layer))
        for name, placed in self._placed:
            self.settle(name, placed)

    def _join(
        self, name: str, interface: str, router: str, port: str, own: Address, gateway: Address | None = None
    ) -> None:
        one, two = self._end(name, interface), self._end(router, port)
        self._netlink[name].add_veth(one, two, self.mtu)
        for owner, end, placed in ((name, one, own), (router, two, gateway or own[:15] + b"\xff")):
            self._netlink[owner].set_link(end.index, up=True)
            self._netlink[owner].add_address(end.index, placed, 64)
            self._placed.append((owner, placed))
        self.gateways[name, interface] = gateway or own[:15] + b"\xff"

    def _end(self, name: str, interface: str) -> End:
        self._index += 1
        mac = b"\x02\0\0\0" + self._index.to_bytes(2, "big")
        end = self.ends[name, interface] = End(self.namespaces[name], interface, self._index, mac)
        return end

    def default(self, name: str, interface: str) -> None:
        """Packets of `name` leave through that interface, as after a Router Advertisement there."""
        index = self.ends[name, interface].index
        self._netlink[name].add_route(UNSPECIFIED, 0, self.gateways[name, interface], index)

    def settings(self, own: Address = UNSPECIFIED, **changes: object) -> LinuxSettings:
        """As a daemon would have them."""
        values = {"address": own, "pool": None, "peers": (), "access": (), "link_layer": None, "link_local": None}
        return LinuxSettings(**{**values, "mtu": self.mtu, "counters": False, **changes})  # type: ignore[arg-type]

    def mobile_node(self, *, router: bool = False, begin: bool = True, **options: object) -> MobileNodeDataplane:
        """The data plane of the mobile node."""
        networks = {HOME: (NETWORK,)} if router else {}
        settings = self.settings(counters=router and COUNTERS)

        def make() -> MobileNodeDataplane:
            return MobileNodeDataplane(settings, ("wlan0", "wlan1"), networks, **options)  # type: ignore[arg-type]

        return self._made("mn", make, begin)

    def home_agent(self, begin: bool = True) -> HomeAgentDataplane:
        """The data plane of the home agent."""
        settings = self.settings(HOME_AGENT)
        return self._made("ha", lambda: HomeAgentDataplane(settings, "lan0", (64,), filtered=COUNTERS), begin)

    def correspondent(self, name: str = "cn", begin: bool = True) -> CorrespondentDataplane:
        """The data plane of a correspondent node."""
        return self._made(name, lambda: CorrespondentDataplane(self.settings()), begin)

    def _made(self, name: str, make: Callable[[], _P], begin: bool) -> _P:
        with self.namespaces[name].entered():
            plane = make()
            self.planes.append(plane)
            if begin:
                plane.begin()
                plane.finish()
        return plane

    def stop(self, name: str, plane: _Plane) -> None:
        """Close in order."""
        self.planes.remove(plane)
        with self.namespaces[name].entered():
            plane.close()

    def crash(self, plane: _Plane) -> None:
        """The process is gone; its sockets with it."""
        self.planes.remove(plane)
        plane.leave()

    def close(self) -> None:
        """Everything is gone."""
        for plane in self.planes:
            plane.leave()
        for netlink in self._netlink.values():
            netlink.close()
        for namespace in self.namespaces.values():
            namespace.close()

    def register(self, node: MobileNodeDataplane, agent: HomeAgentDataplane, care_of: Address = CARE_OF) -> None:
        """As after a registration: tunnel, home address, tunnel."""
        agent.apply(EnsureTunnel(1, care_of))
        agent.apply(EnsurePrefix(Prefix(HOME, 128), 1))
        node.apply_mobile(EnsureHomeAddress(HOME, "", True))
        node.apply_mobile(EnsureReverseTunnel(HOME, care_of, HOME_AGENT))
        self.settle("mn", HOME)

    def settle(self, name: str, own: Address) -> None:
        """The kernel makes the local route of a new address in a moment of its own."""
        for _ in range(300):
            lines = KernelState.of(self.namespaces[name]).lines
            if any("table 255" in line and f"to {text(own)}/128 " in line for line in lines):
                return
            time.sleep(0.01)
        raise AssertionError(f"{name}: no local route to {text(own)}")

    def state(self, name: str) -> frozenset[str]:
        """What is in the kernel, without what it learns by itself."""
        lines = KernelState.of(self.namespaces[name]).lines
        return frozenset(line for line in lines if not line.startswith("neighbour ") or line.endswith(" permanent"))

    def netlink(self, name: str) -> RouteNetlink:
        """For what a test changes in a namespace."""
        return self._netlink[name]

    def udp(self, name: str, bound: Address = UNSPECIFIED, wait: float = 1.0) -> socket.socket:
        """A UDP socket inside."""
        with self.namespaces[name].entered():
            udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        udp.bind((text(bound), 0))
        udp.settimeout(wait)
        return udp

    def raw(self, name: str, protocol: int) -> socket.socket:
        """A raw socket inside."""
        with self.namespaces[name].entered():
            raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol)
        raw.settimeout(0.5)
        return raw

    def wire(self, name: str, interface: str) -> socket.socket:
        """A packet socket that sees what passes an interface, from the IPv6 header on."""
        with self.namespaces[name].entered():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
            wire.bind((interface, 3))
        wire.settimeout(0.3)
        return wire
