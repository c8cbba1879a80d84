"""The access links of a router: hosts are heard, advertised to, and asked whether they are there.

One packet socket per interface, with a filter in the kernel that lets through only what hosts say about
themselves, router and neighbour discovery and multicast listener reports, and what they ask the DHCP server.
Traffic never gets here. On a bridge the socket is that of the bridge, not of its ports. Where nodes get IPv4
addresses there are two more, for ARP and DHCPv4.

Advertisements go to one host each, in a unicast frame with the all-nodes address as destination (RFC 6085),
so a host takes them before its own address is settled and nobody else learns its prefix.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import assert_never

from sojourn.core.effects import AccessEffect, Advertise, ProbeNode, QueryListeners, SendDhcp
from sojourn.core.events import Event
from sojourn.host import frames, ipv4_frames, packet_filter
from sojourn.host.limits import Limiter
from sojourn.wire.addresses import ALL_NODES, LinkLayer, eui64_link_local, is_ipv4, to_ipv4
from sojourn.wire.units import Instant

DRAIN = 64
"""Frames taken per wake-up of the event loop."""
NODE_RATE, NODE_BURST = 20, 40
"""Sightings per second, and at once, that one link-layer address may cause."""
NODES = 4_096
"""Link-layer addresses whose share is remembered, per interface."""
LINK_RATE, LINK_BURST = 2_000, 500
"""The same for all of an interface together: inventing addresses does not help."""
ADVERTISEMENTS = 1_024
"""Advertisements kept ready, as refreshes repeat them."""

_ETH_P_IPV4, _ETH_P_ARP, _ETH_P_IPV6 = 0x0800, 0x0806, 0x86DD
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_MR_ALLMULTI, _PACKET_AUXDATA = 263, 1, 2, 8
_AUXDATA = socket.CMSG_SPACE(20)
_CHECKSUM_NOT_READY = 8
_SIOCGIFINDEX = 0x8933
_SIOCGIFMTU = 0x8921
_FRAME = 2_048


class AccessLink:
    """All access interfaces of one role, with `ipv4` for both families.

    Raises OSError when one of them does not exist.
    """

    def __init__(
        self, interfaces: Iterable[str], *, ipv4: bool = False, clock: Callable[[], Instant] = time.monotonic_ns
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.ports: dict[str, AccessPort] = {}
        """What IPv6 says, by interface."""
        self.ipv4_ports: list[AccessPort] = []
        self._packets: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        try:
            for interface in interfaces:
                port = self.ports[interface] = AccessPort(interface, clock, self.counters)
                for protocol in (_ETH_P_ARP, _ETH_P_IPV4) if ipv4 else ():
                    self.ipv4_ports.append(Ipv4Port(port, protocol))
        except OSError:
            self.close()
            raise

    def apply(self, effect: AccessEffect) -> None:
        """Carry out `effect`. Raises OSError: ENODEV for an interface that is not ours or is gone."""
        port = self.ports.get(effect.interface)
        if port is None:
            raise OSError(errno.ENODEV, f"{effect.interface} is not an access interface of this role")
        match effect:
            case Advertise():
                packet = self._advertisement(port.fitting(effect))
                port.send(frames.ethernet(effect.link_layer, effect.router_link_layer, packet))
                self.counters["advertised"] += 1
            case ProbeNode():
                port.probe(effect)
                self.counters["probed"] += 1
            case QueryListeners():
                port.query(effect)
                self.counters["queried"] += 1
            case SendDhcp():
                make = ipv4_frames.dhcp if is_ipv4(effect.source) else frames.dhcp
                port.send(make(effect, port.link_layer))
                self.counters["dhcp-sent"] += 1
            case _:
                assert_never(effect)

    def refresh(self, interface: str) -> None:
        """To be called when `interface` changed: it may be another one now, with another link-layer
        address.
        """
        for port in self.all_ports():
            if port.interface == interface:
                port.bind()

    def all_ports(self) -> Iterator[AccessPort]:
        """Everything that may be readable."""
        yield from self.ports.values()
        yield from self.ipv4_ports

    def close(self) -> None:
        """Let go of the sockets."""
        for port in self.all_ports():
            port.close()

    def _advertisement(self, effect: Advertise) -> bytes:
        key = (
            effect.router,
            effect.router_link_layer,
            effect.lifetime,
            effect.mtu,
            effect.managed,
            effect.other,
            effect.autonomous,
            effect.routes,
            *[(p.prefix, p.preferred, p.valid, p.on_link) for p in effect.prefixes],
        )
        packet = self._packets.get(key)
        if packet is None:
            packet = self._packets[key] = frames.advertisement(effect)
            if len(self._packets) > ADVERTISEMENTS:
                self._packets.popitem(last=False)
        return packet


class AccessPort:
    """One access interface."""

    _PROTOCOL = _ETH_P_IPV6
    _FILTER = packet_filter.IPV6

    def __init__(self, interface: str, clock: Callable[[], Instant], counters: Counter[str]) -> None:
        self.interface = interface
        self.link_layer: LinkLayer = b""
        """Our own link-layer address there."""
        self.mtu = 0
        self.counters = counters
        self._clock = clock
        self._index = 0
        self._nodes: Limiter[LinkLayer] = Limiter(NODE_RATE, NODE_BURST, NODES)
        self._all: Limiter[None] = Limiter(LINK_RATE, LINK_BURST, 1)
        # Protocol 0: nothing arrives before the filter is in place and the interface is chosen.
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_PACKET, kind, 0)
        try:
            self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            packet_filter.attach(self._socket, self._FILTER)
            self._bind()
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """For `loop.add_reader`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def bind(self) -> None:
        """Find the interface again by its name; while there is none, nothing is heard and sending fails."""
        try:
            self._bind()
        except OSError:
            self.counters["interfaces-missing"] += 1

    def receive(self) -> list[Event]:
        """Who showed itself, what it listens to, and what it asked for: out of at most `DRAIN` frames."""
        found: list[Event] = []
        now = self._clock()
        for _ in range(DRAIN):
            try:
                frame, control, _, _ = self._socket.recvmsg(_FRAME, _AUXDATA)
            except BlockingIOError:
                break
            except OSError:  # ENETDOWN, told once when the interface goes down
                self.counters["receive-errors"] += 1
                break
            found += self._on_frame(frame, now, _sealed(control))
        return found

    def _on_frame(self, frame: bytes, now: Instant, sealed: bool) -> list[Event]:
        self.counters["heard"] += 1
        sender = frame[6:12]
        if sender == self.link_layer:
            self.counters["own"] += 1  # of another router of the domain, which has the same (RFC 6543)
            return []
        if not self._nodes.allow(sender, now) or not self._all.allow(None, now):
            self.counters["rate-limited"] += 1
            return []
        if frames.is_query(frame):  # we ask on this link and nobody else, so RFC 3810 7.6.2 has nothing to elect
            self.counters["queries-ignored"] += 1
            return []
        events = self._events(frame, sealed)
        if not events:
            self.counters["invalid"] += 1
        return events

    def _events(self, frame: bytes, sealed: bool) -> list[Event]:
        return frames.events(self.interface, frame, sealed)

    def fitting(self, effect: Advertise) -> Advertise:
        """`effect` with an MTU that this link has (RFC 5213 6.9.5: "the MTU of the access link MUST be used")."""
        return replace(effect, mtu=self.mtu) if effect.mtu > self.mtu > 0 else effect

    def probe(self, effect: ProbeNode) -> None:
        """Ask a node for a sign of life. Raises OSError."""
        router = eui64_link_local(self.link_layer)
        if effect.address is not None and is_ipv4(effect.address):
            self.send(ipv4_frames.arp_request(self.link_layer, effect.link_layer, to_ipv4(effect.address)))
            return
        if effect.address is not None:
            packet = frames.solicitation(router, self.link_layer, effect.address)
        else:
            packet = frames.sign_of_life_query(router)
        self.send(frames.ethernet(effect.link_layer, self.link_layer, packet))

    def query(self, effect: QueryListeners) -> None:
        """Ask one node or all of them what they listen to. Raises OSError."""
        packet = frames.query(eui64_link_local(self.link_layer), effect)
        receiver = effect.link_layer or frames.group_link_layer(effect.group or ALL_NODES)
        self.send(frames.ethernet(receiver, self.link_layer, packet))

    def send(self, frame: bytes) -> None:
        """Send `frame`. Raises OSError."""
        self._socket.send(frame)

    def _bind(self) -> None:
        self._socket.bind((self.interface, self._PROTOCOL))
        self.link_layer = self._socket.getsockname()[4]
        if len(self.link_layer) != 6:
            raise OSError(errno.EINVAL, f"{self.interface} has no Ethernet address")
        self._join()

    def _join(self) -> None:
        """Hosts report their groups to ff02::16, and ask DHCP at ff02::1:2, which no router of ours has joined."""
        named = struct.pack("=16s24x", self.interface.encode())
        index = struct.unpack_from("=i", fcntl.ioctl(self._socket, _SIOCGIFINDEX, named), 16)[0]
        self.mtu = struct.unpack_from("=i", fcntl.ioctl(self._socket, _SIOCGIFMTU, named), 16)[0]
        if index != self._index:
            request = struct.pack("=iHH8s", index, _PACKET_MR_ALLMULTI, 0, b"")
            self._socket.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, request)
            self._index = index


class Ipv4Port(AccessPort):
    """The same interface, for one protocol beside IPv6; what a node may say there counts against one share."""

    def __init__(self, beside: AccessPort, protocol: int) -> None:
        self._PROTOCOL = protocol
        self._FILTER = packet_filter.ARP if protocol == _ETH_P_ARP else packet_filter.IPV4
        super().__init__(beside.interface, beside._clock, beside.counters)
        self._nodes, self._all = beside._nodes, beside._all

    def _events(self, frame: bytes, sealed: bool) -> list[Event]:
        event = ipv4_frames.event(self.interface, frame, sealed)
        return [] if event is None else [event]

    def _join(self) -> None:
        """Nothing here is multicast."""


def _sealed(control: list[tuple[int, int, bytes]]) -> bool:
    """Whether the frame's transport checksum is filled in: one that never left this machine's memory may lack it."""
    for level, kind, data in control:
        if level == _SOL_PACKET and kind == _PACKET_AUXDATA:
            return not struct.unpack_from("=I", data)[0] & _CHECKSUM_NOT_READY
    return True
