"""Two access routers, two hosts, a core router and a server, in namespaces, for tests of the Linux data plane.

    a, b: hosts, each with a link to both routers        ar1: 2001:db8:a1::1, nodes 2001:db8:a100::/48
    core: joins the routers and the server, MTU 1500     ar2: 2001:db8:a2::1, nodes 2001:db8:a200::/48
    server: 2001:db8:5::1                                ar3: an address in the core that is nobody's peer

A host has its addresses on `lo` and leaves through one router at a time.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sojourn.core.effects import EnsureDelivery, EnsurePrefix, EnsureTunnel, EnsureUplink
from sojourn.dataplane import nftables
from sojourn.dataplane.linux import LinuxDataplane, LinuxSettings
from sojourn.dataplane.settings import SHARED_LINK_LAYER, SHARED_LINK_LOCAL
from sojourn.lab.kernel_state import KernelState
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import End, RouteNetlink
from sojourn.wire.addresses import Address, Prefix, address, eui64_link_local, link_layer, prefix, text

AR1, AR2 = address("2001:db8:a1::1"), address("2001:db8:a2::1")
STRANGER = address("2001:db8:a3::1")
SERVER = address("2001:db8:5::1")
POOLS = {"ar1": prefix("2001:db8:a100::/48"), "ar2": prefix("2001:db8:a200::/48")}
HOME = POOLS["ar1"].subnet(1, 64)
NEW = POOLS["ar2"].subnet(1, 64)
OTHER = POOLS["ar1"].subnet(2, 64)
HOST = HOME.address[:15] + b"\x05"
HOST_NEW = NEW.address[:15] + b"\x05"
HOST_B = OTHER.address[:15] + b"\x05"
ROUTERS = {"ar1": AR1, "ar2": AR2}
BACKENDS = dict(zip(ROUTERS, os.environ.get("SOJOURN_BACKENDS", "auto auto").split(), strict=True))
"""What tunnels at each router; for kernels that have several, which the tests' own kernels have not."""
COUNTERS = nftables.usable()
"""Tests that need nf_tables are marked so; all others run without it where the kernel has none."""
ICMPV6 = socket.getprotobyname("ipv6-icmp")


class Bed:
    """The network. `close` it."""

    def __init__(self, mtu: int = 1500) -> None:
        self.namespaces = {name: NetworkNamespace(name) for name in ("a", "b", "ar1", "ar2", "core", "server")}
        self._index = 100
        self.ends: dict[tuple[str, str], End] = {}
        self.planes: list[LinuxDataplane] = []
        self._netlink = {name: RouteNetlink(namespace) for name, namespace in self.namespaces.items()}
        for namespace in self.namespaces.values():
            namespace.sysctl("net/ipv6/conf/default/accept_dad", 0)
        for name in ("core", "ar1", "ar2"):
            self.namespaces[name].sysctl("net/ipv6/conf/all/forwarding", 1)
        for router in ROUTERS:
            self._bridge(router)
            for host in ("a", "b"):
                self._veth((router, f"p{host}"), (host, router), mtu)
                bridge = self.ends[router, "acc0"].index
                self._netlink[router].set_link(self.ends[router, f"p{host}"].index, master=bridge)
                end = self.ends[host, router].index
                self._netlink[host].add_neighbour(end, SHARED_LINK_LOCAL, SHARED_LINK_LAYER)
        self._core("ar1", AR1, mtu)
        self._core("ar2", AR2, mtu)
        self._core("server", SERVER, mtu)
        for router, pool in POOLS.items():
            gateway = self.ends["core", router].index
            self._netlink["core"].add_route(pool.address, pool.length, ROUTERS[router], gateway)
        for host, owned in (("a", (HOST, HOST_NEW)), ("b", (HOST_B,))):
            for owned_address in owned:
                self._netlink[host].add_address(1, owned_address, 128)
            self.leave_through(host, "ar1")
        for router in ROUTERS:
            ends = (end for (name, _), end in self.ends.items() if name == router)
            self.wait_for(router, {eui64_link_local(end.link_layer) for end in ends})

    def _end(self, name: str, interface: str) -> End:
        self._index += 1
        mac = b"\x02\0\0\0" + self._index.to_bytes(2, "big")
        end = self.ends[name, interface] = End(self.namespaces[name], interface, self._index, mac)
        return end

    def _bridge(self, router: str) -> None:
        self._netlink[router].add_bridge(self._end(router, "acc0"), 1500)

    def _veth(self, one: tuple[str, str], two: tuple[str, str], mtu: int) -> None:
        first, second = self._end(*one), self._end(*two)
        self._netlink[one[0]].add_veth(first, second, mtu)
        for name, end in ((one[0], first), (two[0], second)):
            self._netlink[name].set_link(end.index, up=True)

    def _core(self, name: str, own: Address, mtu: int) -> None:
        self._veth((name, "core"), ("core", name), mtu)
        mine, theirs = self.ends[name, "core"].index, self.ends["core", name].index
        gateway = own[:15] + b"\xff"
        self._netlink[name].add_address(mine, own, 64)
        self._netlink["core"].add_address(theirs, gateway, 64)
        self._netlink[name].add_route(bytes(16), 0, gateway, mine)

    def leave_through(self, host: str, router: str) -> None:
        """The host's packets go to `router` from now on."""
        index = self.ends[host, router].index
        self._netlink[host].add_route(bytes(16), 0, SHARED_LINK_LOCAL, index)

    def mac(self, host: str, router: str) -> bytes:
        """The host's link-layer address on its link to `router`."""
        return self.ends[host, router].link_layer

    def settings(self, router: str, **changes: object) -> LinuxSettings:
        """As the daemon of `router` would have them."""
        other = AR2 if router == "ar1" else AR1
        values = {"address": ROUTERS[router], "pool": POOLS[router], "peers": (other,), "access": ("acc0",)}
        values |= {"backend": BACKENDS[router], "counters": COUNTERS, **changes}
        return LinuxSettings(**values)  # type: ignore[arg-type]

    def plane(self, router: str, **changes: object) -> LinuxDataplane:
        """A data plane of `router`, reconciled with what is there."""
        with self.namespaces[router].entered():
            plane = LinuxDataplane(self.settings(router, **changes))
            self.planes.append(plane)
            plane.begin()
        self.settle(router)
        return plane

    def settle(self, router: str) -> None:
        """The kernel makes the local route of a new address in a moment of its own; the state is whole then."""
        self.wait_for(router, {SHARED_LINK_LOCAL})

    def wait_for(self, name: str, owned: set[Address]) -> None:
        """The kernel takes packets to these addresses of `name`."""
        wanted = {f"to {text(one)}/128" for one in owned}
        for _ in range(300):
            lines = [line for line in KernelState.of(self.namespaces[name]).lines if "table 255" in line]
            missing = {local for local in wanted if not any(f"{local} " in f"{line} " for line in lines)}
            if not missing:
                return
            time.sleep(0.01)
        raise AssertionError(f"{name}: no local route {missing}")

    def stop(self, router: str, plane: LinuxDataplane) -> None:
        """Close in order."""
        self.planes.remove(plane)
        with self.namespaces[router].entered():
            plane.close()

    def crash(self, plane: LinuxDataplane) -> None:
        """The process is gone; its sockets with it."""
        self.planes.remove(plane)
        plane.leave()

    def serve_home(self, anchor: LinuxDataplane) -> None:
        """Host a is at ar1, which anchors its prefix."""
        anchor.apply(EnsureDelivery(1, "acc0", self.mac("a", "ar1")))
        anchor.apply(EnsurePrefix(HOME, 1))
        anchor.apply(EnsureUplink(HOME, None))

    def serve_away(self, anchor: LinuxDataplane, serving: LinuxDataplane) -> None:
        """Host a is at ar2; ar1 anchors its prefix."""
        serving.apply(EnsureDelivery(1, "acc0", self.mac("a", "ar2")))
        serving.apply(EnsurePrefix(HOME, 1))
        serving.apply(EnsureUplink(HOME, AR1))
        anchor.apply(EnsureTunnel(1, AR2))
        anchor.apply(EnsurePrefix(HOME, 1))
        self.leave_through("a", "ar2")

    def udp(self, name: str, bound: Address, port: int = 0, wait: float = 1.0) -> socket.socket:
        """A UDP socket inside."""
        with self.namespaces[name].entered():
            udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        udp.bind((text(bound), port))
        udp.settimeout(wait)
        return udp

    def raw(self, name: str, protocol: int) -> socket.socket:
        """A raw socket inside: for ICMPv6 to look at, or IPPROTO_RAW to send whole packets."""
        with self.namespaces[name].entered():
            raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol)
        raw.settimeout(1.0)
        return raw

    def wire(self, name: str, interface: str) -> socket.socket:
        """A packet socket that sees what passes an interface, from the IPv6 header on."""
        with self.namespaces[name].entered():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
            wire.bind((interface, 3))  # ETH_P_ALL: both directions
        wire.settimeout(0.3)
        return wire

    def netlink(self, name: str) -> RouteNetlink:
        """For what a test changes in a namespace."""
        return self._netlink[name]

    def close(self) -> None:
        """Everything is gone."""
        for plane in self.planes:
            plane.leave()
        for netlink in self._netlink.values():
            netlink.close()
        for namespace in self.namespaces.values():
            namespace.close()


def captured(wire: socket.socket) -> list[bytes]:
    """What `wire` has seen so far, until it is quiet."""
    packets = []
    try:
        while True:
            packets.append(wire.recv(65535))
    except TimeoutError:
        return packets


def arrives(source: socket.socket, target: socket.socket, to: Address, wait: float = 1.0) -> bool:
    """Whether a datagram from `source` to `to` comes out of `target`."""
    token = struct.pack("!d", time.monotonic())
    source.sendto(token, (text(to), target.getsockname()[1]))
    deadline = time.monotonic() + wait
    while (left := deadline - time.monotonic()) > 0:
        target.settimeout(left)
        try:
            if target.recv(2000) == token:
                return True
        except TimeoutError:
            return False
    return False


class Stream:
    """Numbered datagrams at a steady rate from one socket to another; what came is judged by its numbers."""

    def __init__(self, source: socket.socket, target: socket.socket, to: Address, rate: int = 1000) -> None:
        self.sent = 0
        self.received: list[int] = []
        self._source, self._target = source, target
        self._to = (text(to), target.getsockname()[1])
        self._pause = 1 / rate
        self._stop = threading.Event()
        target.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        target.settimeout(0.3)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Datagrams flow meanwhile; afterwards everything has arrived or is lost, and the sockets are closed."""
        sender, receiver = threading.Thread(target=self._send), threading.Thread(target=self._receive)
        receiver.start()
        sender.start()
        time.sleep(0.05)
        try:
            yield
            time.sleep(0.05)
        finally:
            self._stop.set()
            sender.join()
            receiver.join()
            self._source.close()
            self._target.close()

    def _send(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._source.sendto(struct.pack("!I", self.sent) + bytes(60), self._to)
            self.sent += 1
            due += self._pause
            time.sleep(max(0.0, due - time.monotonic()))

    def _receive(self) -> None:
        while True:
            try:
                self.received.append(struct.unpack_from("!I", self._target.recv(2000))[0])
            except TimeoutError:
                if self._stop.is_set():
                    return

    @property
    def lost(self) -> int:
        return self.sent - len(set(self.received))

    @property
    def repeated(self) -> int:
        return len(self.received) - len(set(self.received))

    @property
    def overtaken(self) -> int:
        """Datagrams that came after a later one."""
        highest, late = -1, 0
        for number in self.received:
            late += number < highest
            highest = max(highest, number)
        return late


def ipv6(source: Address, destination: Address, next_header: int, payload: bytes, hop_limit: int = 64) -> bytes:
    """A whole IPv6 packet."""
    return struct.pack("!IHBB", 6 << 28, len(payload), next_header, hop_limit) + source + destination + payload


def udp_packet(source: Address, destination: Address, port: int, payload: bytes) -> bytes:
    """An IPv6 packet with a UDP datagram, checksum and all."""
    datagram = struct.pack("!HHHH", 4444, port, 8 + len(payload), 0) + payload
    pseudo = source + destination + struct.pack("!II", len(datagram), 17) + datagram
    total = sum(struct.unpack(f"!{(len(pseudo) + 1) // 2}H", pseudo + bytes(len(pseudo) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    checksum = ~total & 0xFFFF or 0xFFFF
    return ipv6(source, destination, 17, datagram[:6] + struct.pack("!H", checksum) + datagram[8:])


__all__ = ["Bed", "Prefix", "Stream", "arrives", "captured", "ipv6", "link_layer", "udp_packet"]
