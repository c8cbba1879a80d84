"""The access links of a router: hosts are heard, advertised to, and asked whether they are there.

One packet socket per interface, with a filter in the kernel that lets through only what hosts say about
themselves: router and neighbour discovery and multicast listener reports. Traffic never gets here. On a
bridge the socket is that of the bridge, not of its ports.

Advertisements go to one host each, in a unicast frame with the all-nodes address as destination (RFC 6085),
so a host takes them before its own address is settled and nobody else learns its prefix.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import socket
import struct
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import assert_never

from sojourn.core.effects import AccessEffect, Advertise, ProbeNode, QueryListeners
from sojourn.core.events import Event, GroupsReported, NodeSeen
from sojourn.host import frames
from sojourn.host.limits import Limiter
from sojourn.wire.addresses import ALL_NODES, LinkLayer, eui64_link_local
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

_ETH_P_IPV6 = 0x86DD
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, _PACKET_MR_ALLMULTI = 263, 1, 2
_SIOCGIFINDEX = 0x8933
_FRAME = 2_048


class AccessLink:
    """All access interfaces of one role. Raises OSError when one of them does not exist."""

    def __init__(self, interfaces: Iterable[str], *, clock: Callable[[], Instant] = time.monotonic_ns) -> None:
        self.counters: Counter[str] = Counter()
        self.ports: dict[str, AccessPort] = {}
        self._packets: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        try:
            for interface in interfaces:
                self.ports[interface] = AccessPort(interface, clock, self.counters)
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
                packet = self._advertisement(effect)
                port.send(frames.ethernet(effect.link_layer, effect.router_link_layer, packet))
                self.counters["advertised"] += 1
            case ProbeNode():
                port.probe(effect)
                self.counters["probed"] += 1
            case QueryListeners():
                port.query(effect)
                self.counters["queried"] += 1
            case _:
                assert_never(effect)

    def refresh(self, interface: str) -> None:
        """To be called when `interface` changed: it may be another one now, with another link-layer
        address.
        """
        port = self.ports.get(interface)
        if port is not None:
            port.bind()

    def close(self) -> None:
        """Let go of the sockets."""
        for port in self.ports.values():
            port.close()

    def _advertisement(self, effect: Advertise) -> bytes:
        key = (
            effect.router,
            effect.router_link_layer,
            effect.lifetime,
            effect.mtu,
            effect.routes,
            *[(p.prefix, p.preferred, p.valid) for p in effect.prefixes],
        )
        packet = self._packets.get(key)
        if packet is None:
            packet = self._packets[key] = frames.advertisement(effect)
            if len(self._packets) > ADVERTISEMENTS:
                self._packets.popitem(last=False)
        return packet


class AccessPort:
    """One access interface."""

    def __init__(self, interface: str, clock: Callable[[], Instant], counters: Counter[str]) -> None:
        self.interface = interface
        self.link_layer: LinkLayer = b""
        """Our own link-layer address there."""
        self.counters = counters
        self._clock = clock
        self._index = 0
        self._nodes: Limiter[LinkLayer] = Limiter(NODE_RATE, NODE_BURST, NODES)
        self._all: Limiter[None] = Limiter(LINK_RATE, LINK_BURST, 1)
        # Protocol 0: nothing arrives before the filter is in place and the interface is chosen.
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_PACKET, kind, 0)
        try:
            _attach_filter(self._socket)
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
        """Who showed itself, and what it listens to: out of at most `DRAIN` frames."""
        found: list[Event] = []
        now = self._clock()
        for _ in range(DRAIN):
            try:
                frame = self._socket.recv(_FRAME)
            except BlockingIOError:
                break
            except OSError:  # ENETDOWN, told once when the interface goes down
                self.counters["receive-errors"] += 1
                break
            found += self._on_frame(frame, now)
        return found

    def _on_frame(self, frame: bytes, now: Instant) -> list[Event]:
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
        sign = frames.sign(frame)
        if sign is None:
            self.counters["invalid"] += 1
            return []
        events: list[Event] = [NodeSeen(self.interface, sign.link_layer, sign.sighting, sign.address)]
        if sign.records:
            events.append(GroupsReported(self.interface, sign.link_layer, sign.records, sign.old))
        return events

    def probe(self, effect: ProbeNode) -> None:
        """Ask a node for a sign of life. Raises OSError."""
        router = eui64_link_local(self.link_layer)
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
        self._socket.bind((self.interface, _ETH_P_IPV6))
        self.link_layer = self._socket.getsockname()[4]
        if len(self.link_layer) != 6:
            raise OSError(errno.EINVAL, f"{self.interface} has no Ethernet address")
        # Hosts report their groups to ff02::16, which no router of ours has joined.
        named = struct.pack("=16s24x", self.interface.encode())
        index = struct.unpack_from("=i", fcntl.ioctl(self._socket, _SIOCGIFINDEX, named), 16)[0]
        if index != self._index:
            request = struct.pack("=iHH8s", index, _PACKET_MR_ALLMULTI, 0, b"")
            self._socket.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, request)
            self._index = index


# --- the filter ---------------------------------------------------------------------------------------------

_LOAD_HALF, _LOAD_BYTE, _IF_EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06
_PACKET_TYPE = 0xFFFFF004
"""SKF_AD_OFF + SKF_AD_PKTTYPE: where a filter reads how the frame came."""
_PACKET_OUTGOING = 4

_Line = tuple[str, int, int, str, str]
_FILTER: list[_Line] = [  # label, code, operand, then go to, else go to; "" is the next line
    ("", _LOAD_BYTE, _PACKET_TYPE, "", ""),
    ("", _IF_EQUAL, _PACKET_OUTGOING, "drop", ""),  # what we send is none of our business
    ("", _LOAD_HALF, 12, "", ""),
    ("", _IF_EQUAL, _ETH_P_IPV6, "", "drop"),
    ("", _LOAD_BYTE, 20, "", ""),  # next header
    ("", _IF_EQUAL, 58, "", "options"),
    ("", _LOAD_BYTE, 54, "", ""),
    ("", _IF_EQUAL, 133, "take", ""),  # Router Solicitation
    ("", _IF_EQUAL, 135, "take", ""),  # Neighbour Solicitation
    ("", _IF_EQUAL, 136, "take", "drop"),  # Neighbour Advertisement
    ("options", _IF_EQUAL, 0, "", "drop"),  # Hop-by-Hop Options, as multicast listener messages have
    ("", _LOAD_HALF, 54, "", ""),
    ("", _IF_EQUAL, 58 << 8, "", "drop"),  # eight octets of them, then ICMPv6
    ("", _LOAD_BYTE, 62, "", ""),
    ("", _IF_EQUAL, 130, "take", ""),  # queries, to count them
    ("", _IF_EQUAL, 131, "take", ""),  # reports of either version
    ("", _IF_EQUAL, 132, "take", ""),  # the end of listening, in version 1
    ("", _IF_EQUAL, 143, "take", "drop"),
    ("take", _RETURN, 0xFFFF, "", ""),
    ("drop", _RETURN, 0, "", ""),
]


def _assemble(lines: list[_Line]) -> bytes:
    """An array of `struct sock_filter` (linux/filter.h); jumps count the instructions that they leave out."""
    labels = {line[0]: number for number, line in enumerate(lines)}
    program = b""
    for number, (_, code, operand, then, otherwise) in enumerate(lines):
        jumps = [labels[to] - number - 1 if to else 0 for to in (then, otherwise)]
        program += struct.pack("=HBBI", code, *jumps, operand)
    return program


def _attach_filter(packet_socket: socket.socket) -> None:
    program = _assemble(_FILTER)
    memory = ctypes.create_string_buffer(program, len(program))
    request = struct.pack("@HP", len(_FILTER), ctypes.addressof(memory))
    packet_socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, request)  # the kernel copies it
