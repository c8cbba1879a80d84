"""Tunnels over IPv4 (RFC 5844 4) where the kernel has none: a program of its own, which imports nothing of ours.

It is not the daemon: it goes on when that one ends, as forwarding does, and is found again by the next life. It keeps
an interface (TAP) that routes lead to; the last four octets of the link-layer address that a packet goes to there say
whose tunnel it goes into. What comes out of a tunnel comes in on that interface. It knows of no mobility and of no
messages: a table of peers is all that it is told, through a socket in the abstract namespace, which is the network
namespace's own. Each request is one line of JSON and is answered with one.

    {"peers": {"3": ["192.0.2.1", 5437]}, "forget": [4]}     a port of 0: IP in IPv4, otherwise in UDP
    {"list": true}                                           {"whose": ..., "peers": ..., "counters": ...}
    {"end": true}                                            it ends, its interface with it

Packets are taken from peers in the table only, by address and port. Traffic class and TOS are those of the packet
within, and congestion marks survive (RFC 6040). The outer packet may be divided on its way; the kernel joins it again.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import select
import socket
import struct
from collections import Counter
from contextlib import suppress
from typing import Any

PMIPV6_DATA = 5437
"""As in `sojourn.wire.udp`."""
FIRST = b"\x02\x53"
"""The first octets of the link-layer addresses that stand for peers."""
_IPV6, _IPV4, _UDP = 41, 4, 17
_ETHERTYPES = {6: b"\x86\xdd", 4: b"\x08\x00"}
_TUNSETIFF = 0x400454CA
_IFF_TAP_NO_PI = 0x1002
_IFF_TUN_EXCL = 0x8000
_IP_MTU_DISCOVER, _IP_PMTUDISC_DONT = 10, 0
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_BATCH = 64
_BUFFER = 4 << 20
_LARGEST = 65_536
_ECT_MASK = 3


def socket_name(interface: str) -> str:
    """Where the relay of that interface listens."""
    return f"\0sojourn-ipv4-{interface}"


class Relay:
    """One interface, one own address."""

    def __init__(self, interface: str, own: str, whose: str) -> None:
        self._whose = whose
        """Tells those who ask whether this is the relay that they would start."""
        self._peers: dict[bytes, tuple[str, int]] = {}
        """By the last octets of a link-layer address."""
        self._known: set[tuple[bytes, int]] = set()
        """Address and port of whom packets are taken from."""
        self.counters: Counter[str] = Counter()
        self._tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        request = struct.pack("16sH22x", interface.encode(), _IFF_TAP_NO_PI | _IFF_TUN_EXCL)
        fcntl.ioctl(self._tap, _TUNSETIFF, request)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            found = fcntl.ioctl(asking, 0x8927, struct.pack("16s24x", interface.encode()))  # SIOCGIFHWADDR
        self._link_layer = found[18:24]
        self._raw = {protocol: _raw(protocol, own) for protocol in (_IPV6, _IPV4, _UDP)}
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self._listening.bind(socket_name(interface))
        self._listening.listen(4)
        self._ready = select.epoll()
        self._asking: dict[int, socket.socket] = {}

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        """Its interface is gone."""
        os.close(self._tap)
        for one in (*self._raw.values(), self._listening):
            one.close()
        self._ready.close()

    def run(self) -> None:
        """Until it is told to end."""
        receiving = {raw.fileno(): (raw, protocol) for protocol, raw in self._raw.items()}
        for descriptor in (self._tap, self._listening.fileno(), *receiving):
            self._ready.register(descriptor, select.EPOLLIN)
        while True:
            for descriptor, _ in self._ready.poll():
                if descriptor == self._tap:
                    self._into_tunnels()
                elif descriptor in receiving:
                    self._out_of_tunnels(*receiving[descriptor])
                elif descriptor == self._listening.fileno():
                    self._accept()
                elif not self._answer(self._asking[descriptor]):
                    return

    # --- packets ------------------------------------------------------------------------------------------------------

    def _into_tunnels(self) -> None:
        for _ in range(_BATCH):
            try:
                frame = os.read(self._tap, _LARGEST)
            except OSError as error:
                if error.errno != errno.EAGAIN:  # EIO while the interface is down
                    self.counters["interface-down"] += 1
                return
            peer = self._peers.get(frame[2:6]) if frame[:2] == FIRST else None
            if peer is None:
                self.counters["no-peer"] += frame[:2] == FIRST
                continue
            self._send(frame[14:], *peer)

    def _send(self, packet: bytes, address: str, port: int) -> None:
        first = packet[0] if packet else 0
        if first >> 4 == 6:
            protocol, service = _IPV6, (first << 4 | packet[1] >> 4) & 0xFF
        else:
            protocol, service = _IPV4, packet[1]
        if port:
            protocol = _UDP
            packet = struct.pack("!HHHH", PMIPV6_DATA, port, 8 + len(packet), 0) + packet
        try:
            if service:
                told = [(socket.IPPROTO_IP, socket.IP_TOS, struct.pack("=i", service))]
                self._raw[protocol].sendmsg([packet], told, 0, (address, 0))
            else:
                self._raw[protocol].sendto(packet, (address, 0))
        except OSError as error:
            self.counters[f"send-errors:{errno.errorcode.get(error.errno or 0, '?')}"] += 1
        else:
            self.counters["into-tunnels"] += 1

    def _out_of_tunnels(self, raw: socket.socket, protocol: int) -> None:
        for _ in range(_BATCH):
            try:
                octets = raw.recv(_LARGEST)
            except OSError:
                return
            header = 4 * (octets[0] & 15)
            port = 0
            if protocol == _UDP:
                port = int.from_bytes(octets[header : header + 2], "big")
                header += 8
            if (octets[12:16], port) not in self._known:
                self.counters["unknown-source"] += 1
                continue
            packet = octets[header:]
            kind = _ETHERTYPES.get(packet[0] >> 4) if len(packet) >= 20 else None
            if octets[1] & _ECT_MASK == _ECT_MASK and kind is not None:
                packet = congested(packet)
            if kind is None or not packet:
                self.counters["not-a-packet"] += 1
                continue
            try:
                os.write(self._tap, self._link_layer + b"\x02\x53\0\0\0\0" + kind + packet)
            except OSError as error:
                self.counters[f"write-errors:{errno.errorcode.get(error.errno or 0, '?')}"] += 1
            else:
                self.counters["out-of-tunnels"] += 1

    # --- what it is told ----------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        asking, _ = self._listening.accept()
        credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("=iII", credentials)[1] not in (0, os.geteuid()) or len(self._asking) >= 8:
            asking.close()
            return
        self._asking[asking.fileno()] = asking
        self._ready.register(asking, select.EPOLLIN)

    def _answer(self, asking: socket.socket) -> bool:
        """One request; whether there may be more."""
        try:
            line = asking.recv(_LARGEST)
        except OSError:
            line = b""
        if not line:
            self._hang_up(asking)
            return True
        told: dict[str, Any] = {}
        answer: dict[str, Any] = {}
        try:
            told = json.loads(line)
            self._take(told)
            if told.get("list"):
                peers = {str(int.from_bytes(key, "big")): value for key, value in self._peers.items()}
                answer = {"whose": self._whose, "peers": peers, "counters": dict(self.counters)}
        except (ValueError, TypeError, AttributeError, OverflowError, OSError) as error:
            answer = {"error": str(error)}
        with suppress(OSError):
            asking.send(json.dumps(answer).encode())
        return not (isinstance(told, dict) and told.get("end"))

    def _hang_up(self, asking: socket.socket) -> None:
        self._ready.unregister(asking)
        del self._asking[asking.fileno()]
        asking.close()

    def _take(self, told: dict[str, Any]) -> None:
        for index in told.get("forget", ()):
            self._peers.pop(int(index).to_bytes(4, "big"), None)
        for index, (address, port) in told.get("peers", {}).items():
            socket.inet_aton(address)
            self._peers[int(index).to_bytes(4, "big")] = (address, int(port))
        self._known = {(socket.inet_aton(address), port) for address, port in self._peers.values()}


def congested(packet: bytes) -> bytes:
    """The packet with the mark that its tunnel got (RFC 6040 4.2); nothing, if it cannot have one."""
    if packet[0] >> 4 == 6:
        marks = packet[1] >> 4 & _ECT_MASK
        return bytes((packet[0], packet[1] | _ECT_MASK << 4)) + packet[2:] if marks else b""
    marks = packet[1] & _ECT_MASK
    if marks in (0, _ECT_MASK):
        return packet if marks else b""
    before = int.from_bytes(packet[:2], "big")
    total = (~int.from_bytes(packet[10:12], "big") & 0xFFFF) + (~before & 0xFFFF) + (before | _ECT_MASK)  # RFC 1624
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return bytes((packet[0], packet[1] | _ECT_MASK)) + packet[2:10] + checksum.to_bytes(2, "big") + packet[12:]


def _raw(protocol: int, own: str) -> socket.socket:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    raw.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)
    if protocol == _UDP:
        _only_packets(raw)
    try:
        raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    except OSError:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    raw.bind((own, 0))
    return raw


def _only_packets(raw: socket.socket) -> None:
    """Of all datagrams of the machine, those to port 5437 that begin as an IP packet does."""
    program = (
        (0xB1, 0, 0, 0),  # X = length of the IP header
        (0x48, 0, 0, 2),  # A = destination port
        (0x15, 0, 5, PMIPV6_DATA),
        (0x50, 0, 0, 8),  # A = first octet of the payload
        (0x74, 0, 0, 4),
        (0x15, 1, 0, 4),
        (0x15, 0, 1, 6),
        (0x06, 0, 0, 0x40000),
        (0x06, 0, 0, 0),
    )
    octets = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(octets, len(octets))
    raw.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(buffer)))


PROGRAM = Relay
"""See `outliving`."""
