"""One access router between two hosts and a multicast network that is not ours: a bridge of the kernel that snoops.

    a, b: hosts on the bridge acc0 of ar1                  core: a bridge that is an MLD querier and passes a group only
    c: a host on a second access link, acc1                to those ports where somebody joined; ar1's port is one
    source: 2001:db8:5::1 and ::2, behind core             idle: another port, where nobody joins

Made with ip(8) and bridge(8); the kernel's snooping is the other implementation that our joins have to satisfy.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from sojourn.dataplane.linux import LinuxDataplane
from sojourn.dataplane.multicast import end_multicast
from sojourn.dataplane.settings import LinuxSettings
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.wire.addresses import Address, address, link_layer, prefix, text

AR1 = address("2001:db8:a1::1")
POOL = prefix("2001:db8:a100::/48")
SOURCES = tuple(address(f"2001:db8:5::{number}") for number in (1, 2))
PORT = 5000
PATIENCE = 10.0
HOSTS = {name: link_layer(f"02:00:00:00:00:0{name}") for name in "abc"}
_SNOOPING = (
    "mcast_snooping 1 mcast_mld_version 2 mcast_startup_query_interval 20 mcast_query_response_interval 20 "
    "mcast_last_member_interval 10 mcast_last_member_count 1"
)


class MulticastBed:
    """The network. `close` it."""

    def __init__(self, snooping: bool = False) -> None:
        self.namespaces = {name: NetworkNamespace(name) for name in ("source", "core", "idle", "ar1", "a", "b", "c")}
        self._index = 100
        for namespace in self.namespaces.values():
            namespace.sysctl("net/ipv6/conf/default/accept_dad", 0)
        self.namespaces["ar1"].sysctl("net/ipv6/conf/all/forwarding", 1)
        self.run("core", f"ip link add core type bridge forward_delay 0 {_SNOOPING}", "ip link set core up")
        self.run("core", "ip link set core type bridge mcast_querier 1")  # the intervals must be known by then
        for name in ("source", "ar1", "idle"):
            self._cable("core", f"to-{name}", name, "core0")
            self.run("core", f"ip link set to-{name} master core", f"bridge link set dev to-{name} mcast_flood off")
        for number, hosts in enumerate(("ab", "c")):
            self.run("ar1", f"ip link add acc{number} type bridge forward_delay 0 mcast_snooping {int(snooping)}")
            self.run("ar1", f"ip link set acc{number} up")
            for host in hosts:
                self._cable("ar1", f"port-{host}", host, "wlan0", HOSTS[host].hex(":"))
                self.run("ar1", f"ip link set port-{host} master acc{number}")
        for source in SOURCES:
            self.run("source", f"ip address add {text(source)}/64 dev core0 nodad")
        self.run("ar1", f"ip address add {text(AR1)}/128 dev core0 nodad")
        self.planes: list[LinuxDataplane] = []
        self._opened: list[Listener | Wire] = []
        self._wait_for_core()

    def _wait_for_core(self) -> None:
        """A bridge snoops when it has been the querier for a moment; until then it does not know whom to send to."""
        group = address("ff0e::ffff")
        probe = self.listen("idle", group, "core0")

        def arrives() -> bool:
            self.send(group, 1)
            return bool(probe.heard())

        until("the core passes groups", arrives)

    def run(self, name: str, *commands: str) -> str:
        """The output of the last command inside."""
        out = ""
        with self.namespaces[name].entered():
            for command in commands:
                done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{name}: {command}: {done.stderr}"
                out = done.stdout
        return out

    def _cable(self, one: str, here: str, other: str, there: str, mac: str = "") -> None:
        self._index += 2
        where = f"/proc/{os.getpid()}/fd/{self.namespaces[other].descriptor}"
        peer = f"peer name {there} index {self._index + 1} {f'address {mac} ' if mac else ''}netns {where}"
        self.run(one, f"ip link add {here} index {self._index} type veth {peer}", f"ip link set {here} up")
        self.run(other, f"ip link set {there} up")

    def plane(self, **changes: object) -> LinuxDataplane:
        """The data plane of ar1, started."""
        values = {"address": AR1, "pool": POOL, "peers": (), "access": ("acc0", "acc1"), "upstream": "core0", **changes}
        with self.namespaces["ar1"].entered():
            plane = LinuxDataplane(LinuxSettings(**values))  # type: ignore[arg-type]
            self.planes.append(plane)
            plane.begin()
        return plane

    def stop(self, plane: LinuxDataplane) -> None:
        """Close in order."""
        self.planes.remove(plane)
        with self.namespaces["ar1"].entered():
            plane.close()

    def crash(self, plane: LinuxDataplane) -> None:
        """The process is gone; its sockets with it."""
        self.planes.remove(plane)
        plane.leave()

    def close(self) -> None:
        for plane in self.planes:
            plane.leave()
        with self.namespaces["ar1"].entered():
            end_multicast()
        for opened in self._opened:
            opened.close()
        for namespace in self.namespaces.values():
            namespace.close()

    # --- packets --------------------------------------------------------------------------------------------------

    def listen(self, name: str, group: Address, interface: str = "wlan0", source: Address | None = None) -> Listener:
        """A stock listener."""
        with self.namespaces[name].entered():
            listener = Listener(group, interface, source)
        self._opened.append(listener)
        return listener

    def wire(self, name: str, interface: str) -> Wire:
        """What passes an interface."""
        with self.namespaces[name].entered():
            wire = Wire(interface)
        self._opened.append(wire)
        return wire

    def send(
        self,
        group: Address,
        count: int = 20,
        *,
        name: str = "source",
        interface: str = "core0",
        source: Address = SOURCES[0],
    ) -> None:
        """Numbered packets to a group, a millisecond apart, and a moment to arrive."""
        with self.namespaces[name].entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 8)
            index = socket.if_nametoindex(interface)
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            udp.bind((text(source), 0, 0, index))
            for number in range(count):
                udp.sendto(struct.pack("!I", number), (text(group), PORT))
                time.sleep(0.001)
        time.sleep(0.05)

    def joined(self, group: Address, port: str = "to-ar1") -> bool:
        """Whether the bridge in the core knows a listener of the group behind `port`."""
        return any(
            f"port {port} grp {text(group)} " in line for line in self.run("core", "bridge mdb show").splitlines()
        )


class Listener:
    """Joins a group on an interface of the calling namespace and counts what comes."""

    def __init__(self, group: Address, interface: str, source: Address | None) -> None:
        index = socket.if_nametoindex(interface)
        self._socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self._socket.bind((text(group), PORT, 0, index))
        if source is None:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("=I", index))
        else:
            request = struct.pack("=I4x", index) + _storage(group) + _storage(source)
            self._socket.setsockopt(socket.IPPROTO_IPV6, 46, request)  # MCAST_JOIN_SOURCE_GROUP

    def heard(self) -> list[int]:
        """The numbers of the packets since the last call, in the order in which they came."""
        numbers = []
        while True:
            try:
                numbers.append(struct.unpack_from("!I", self._socket.recv(2000))[0])
            except BlockingIOError:
                return numbers

    def close(self) -> None:
        """Leave the group."""
        self._socket.close()


class Wire:
    """Counts the packets to groups that pass an interface of the calling namespace, in either direction."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self._socket.bind((interface, 3))

    def passed(self, group: Address) -> int:
        """Datagrams to `group` since the last call."""
        found = 0
        while True:
            try:
                packet = self._socket.recv(2000)
            except BlockingIOError:
                return found
            found += packet[6] == socket.IPPROTO_UDP and packet[24:40] == group

    def close(self) -> None:
        self._socket.close()


def _storage(octets: Address) -> bytes:
    return struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, octets, 0).ljust(128, b"\0")


def until(what: str, condition: Callable[[], bool]) -> None:
    """Wait for `condition`."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        time.sleep(0.01)


def mroutes(bed: MulticastBed) -> str:
    """What multicast routing of ar1 holds."""
    return bed.namespaces["ar1"].call(Path("/proc/thread-self/net/ip6_mr_cache").read_text)
