"""Mobility Headers over UDP and IPv4 (RFC 5844 4), of one role.

Port 5436 carries nothing else. On port 5437, where tunnelled packets travel too, the kernel's filter lets only Mobility
Headers through to us: their first octet is 59, that of a packet begins with 4 or 6, as the version. As in
`host.sockets`, what comes from an access link is not believed, each source has its share, strangers one share together.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import ExitStack

from sojourn.core.effects import SendMessage
from sojourn.core.events import MessageReceived
from sojourn.host.limits import Limiter
from sojourn.host.signalling import Tally
from sojourn.host.sockets import BURST, DRAIN, LARGEST, PAYLOAD_NONE, RATE, SOURCES
from sojourn.wire import DecodeError, UnknownMessage, decode, encode
from sojourn.wire.addresses import Address, from_ipv4, to_ipv4
from sojourn.wire.udp import PMIPV6_CONTROL, PMIPV6_DATA, signalling
from sojourn.wire.units import Instant

_SO_ATTACH_FILTER = 26
_IP_PKTINFO = 8
_CONTROL = socket.CMSG_SPACE(12)
_SIOCGIFNAME = 0x8910
_UDP_HEADER = 8
_HEADERS = 20 + _UDP_HEADER


class UdpSockets:
    """Both ports at `address`, an IPv4 address of this machine as `wire.addresses` writes it.

    `peers`: who is listened to; of others `strangers` messages a second, all together. Nothing is taken from the
    interfaces `access`. Raises OSError when the address is not of this machine or a port is in use.
    """

    def __init__(
        self,
        address: Address,
        *,
        peers: Collection[Address],
        strangers: int = 0,
        access: Collection[str] = (),
        clock: Callable[[], Instant] = time.monotonic_ns,
    ) -> None:
        self.address = address
        self.counters: Counter[str] = Counter()
        self.tally = Tally(peers)
        self._peers = frozenset(peers)
        self._access = frozenset(access)
        self._trusted: dict[int, bool] = {}
        self._clock = clock
        self._limiter: Limiter[Address] = Limiter(RATE, BURST, SOURCES)
        self._strangers: Limiter[None] | None = Limiter(strangers, strangers, 1) if strangers else None
        self._sockets: dict[int, socket.socket] = {}
        with ExitStack() as opened:
            self._ready = opened.enter_context(select.epoll())
            for port in (PMIPV6_CONTROL, PMIPV6_DATA):
                one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
                self._sockets[port] = opened.enter_context(one)
                if port == PMIPV6_DATA:
                    _only_mobility_headers(one)
                one.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
                one.bind((socket.inet_ntop(socket.AF_INET, to_ipv4(address)), port))
                self._ready.register(one, select.EPOLLIN)
            self._opened = opened.pop_all()

    def fileno(self) -> int:
        """For `loop.add_reader`."""
        return self._ready.fileno()

    def close(self) -> None:
        """Let go of the ports."""
        self._opened.close()

    def refresh(self) -> None:
        """To be called when interfaces changed: indices may stand for others now."""
        self._trusted.clear()

    def events(self) -> list[MessageReceived]:
        """What arrived and could be decoded."""
        return [event for port, one in self._sockets.items() for event in self._receive(one, port)]

    def _receive(self, one: socket.socket, own_port: int) -> list[MessageReceived]:
        found: list[MessageReceived] = []
        now = self._clock()
        for _ in range(DRAIN):
            try:
                octets, control, _, (host, port) = one.recvmsg(LARGEST + 1, _CONTROL)
            except BlockingIOError:
                break
            except OSError:
                self.counters["receive-errors"] += 1
                break
            self.counters["received"] += 1
            source = from_ipv4(socket.inet_aton(host))
            if not self._may_come_in(control):
                self.counters["from-access-link"] += 1
            elif self._is_welcome(source, now):
                try:
                    message = decode(octets) if octets[:1] == bytes((PAYLOAD_NONE,)) else None
                except DecodeError:
                    message = None
                if message is None:
                    self.counters["decode-errors"] += 1
                elif isinstance(message, UnknownMessage):
                    self.counters["unknown-type"] += 1
                elif port:
                    self.tally.received(octets, source, _HEADERS)
                    found.append(MessageReceived(message, source, self.address, port=port, own_port=own_port))
        return found

    def _is_welcome(self, source: Address, now: Instant) -> bool:
        if source in self._peers:
            allowed = self._limiter.allow(source, now)
            self.counters["rate-limited"] += not allowed
            return allowed
        self.counters["unknown-source"] += 1
        return self._strangers is not None and self._strangers.allow(None, now)

    def _may_come_in(self, control: list[tuple[int, int, bytes]]) -> bool:
        """Whether it came in on an interface that no node is on."""
        for level, kind, data in control:
            if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
                index = struct.unpack_from("=i", data)[0]
                trusted = self._trusted.get(index)
                return self._look_at(index) if trusted is None else trusted
        return False

    def _look_at(self, index: int) -> bool:
        try:
            found = fcntl.ioctl(self._ready_socket, _SIOCGIFNAME, struct.pack("=16xi20x", index))
        except OSError:
            return False
        trusted = self._trusted[index] = found[:16].rstrip(b"\0").decode(errors="replace") not in self._access
        return trusted

    @property
    def _ready_socket(self) -> socket.socket:
        return self._sockets[PMIPV6_CONTROL]

    def send(self, effect: SendMessage) -> None:
        """Send a message, or count that the kernel would not: whoever needs an answer retransmits."""
        name = (socket.inet_ntop(socket.AF_INET, to_ipv4(effect.destination)), effect.port)
        octets = encode(effect.message)
        try:
            self._sockets[effect.own_port].sendto(signalling(octets), name)
        except OSError as error:
            self.counters["send-errors"] += 1
            self.counters[f"send-errors:{errno.errorcode.get(error.errno or 0, '?')}"] += 1
        else:
            self.counters["sent"] += 1
            self.tally.sent(octets, effect.destination, _HEADERS)


def _only_mobility_headers(one: socket.socket) -> None:
    """Of datagrams, those whose first octet says that no payload follows (RFC 6275 6.1.1)."""
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (0x30, 0, 0, _UDP_HEADER),
            (0x15, 0, 1, PAYLOAD_NONE),
            (0x06, 0, 0, 0x40000),
            (0x06, 0, 0, 0),
        )
    )
    buffer = ctypes.create_string_buffer(program, len(program))
    one.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    )
