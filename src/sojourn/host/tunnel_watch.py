"""Who writes to our home addresses through the tunnel (RFC 6275 11.7.2): candidates for route optimisation.

A packet socket sees tunnelled packets before the kernel takes them out. Its filter lets through only those that come
from the home agent, whose inner destination is a home address with a tunnel to it, and whose inner source was not told
of lately, so that the traffic of a correspondent costs one look of the filter. Nobody else makes the node ask others
(RFC 6275 15.4). What is told is bounded: inventing sources does not help.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

from sojourn.core.events import CorrespondentSeen
from sojourn.host.limits import Limiter
from sojourn.wire import MOBILITY_HEADER
from sojourn.wire.addresses import Address
from sojourn.wire.ipv6 import DESTINATION_OPTIONS, ROUTING
from sojourn.wire.units import SECOND, Instant

KNOWN = 256
"""Correspondents that the filter knows at a time."""
HOMES = 64
AGAIN = 10 * SECOND
"""After this time a correspondent whose packets still come through the tunnel is told of again."""
RATE, BURST = 50, 100
"""Correspondents told of per second, and at once."""
DRAIN = 32
_HEADER = 40
_SNAP = 80
_ETH_P_IPV6 = 0x86DD
_SO_ATTACH_FILTER = 26
_IPV6_IN_IPV6 = 41
_LOAD_BYTE, _LOAD_WORD, _IF_EQUAL, _JUMP, _RETURN = 0x30, 0x20, 0x15, 0x05, 0x06
_PACKET_TYPE = 0xFFFFF004
_BUFFER = 256 << 10


class TunnelWatch:
    """Opens a packet socket, which hears nothing before `watch`. Raises OSError."""

    def __init__(self, clock: Callable[[], Instant] = time.monotonic_ns) -> None:
        self.counters: Counter[str] = Counter()
        self._clock = clock
        self._homes: dict[Address, Address] = {}
        """Home addresses with their home agents."""
        self._told: OrderedDict[Address, Instant] = OrderedDict()
        """Sources, the longest known first, with when they were told of."""
        self._limiter: Limiter[None] = Limiter(RATE, BURST, 1)
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_PACKET, kind, socket.htons(_ETH_P_IPV6))
        try:
            self._attach()
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """For `loop.add_reader`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def watch(self, home: Address, agent: Address) -> None:
        """`home` has a tunnel to `agent`; who was told of before is told of again when it writes through it."""
        if home not in self._homes and len(self._homes) >= HOMES:
            return
        self._homes[home] = agent
        self._told.clear()
        self._attach()

    def forget(self, home: Address) -> None:
        """There is none any more."""
        if home in self._homes:
            del self._homes[home]
            self._attach()

    def receive(self) -> list[CorrespondentSeen]:
        """Who wrote since."""
        found: dict[tuple[Address, Address], CorrespondentSeen] = {}
        now = self._clock()
        for _ in range(DRAIN):
            try:
                octets = self._socket.recv(_SNAP)
            except BlockingIOError:
                break
            except OSError:
                self.counters["receive-errors"] += 1
                break
            if len(octets) < 2 * _HEADER:
                continue
            source, home = octets[_HEADER + 8 : _HEADER + 24], octets[_HEADER + 24 : _HEADER + 40]
            if self._homes.get(home) != octets[8:24] or source in self._told or (home, source) in found:
                continue
            if not self._limiter.allow(None, now):
                self.counters["rate-limited"] += 1
                continue
            found[home, source] = CorrespondentSeen(home, source)
        if found:
            self._tell([source for _, source in found], now)
        return list(found.values())

    def tick(self) -> None:
        """Time passed: correspondents that were told of long ago may be told of again."""
        old = [source for source, told in self._told.items() if told + AGAIN <= self._clock()]
        for source in old:
            del self._told[source]
        if old:
            self._attach()

    def _tell(self, sources: list[Address], now: Instant) -> None:
        for source in sources:
            self._told[source] = now
        while len(self._told) > KNOWN:
            self._told.popitem(last=False)
        self._attach()

    def _attach(self) -> None:
        program = instructions(sorted(self._homes.items()), list(self._told))
        buffer = ctypes.create_string_buffer(program, len(program))
        request = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, request)


def instructions(homes: list[tuple[Address, Address]], told: list[Address]) -> bytes:
    """Classic BPF, 8 octets an instruction: IPv6 in IPv6 for this machine, to one of `homes` from its home agent, and
    from none of `told`.

    What has a Mobility Header, or headers with home addresses in them, is signalling of another mobile node.
    """
    refused = _line(_RETURN, 0)
    head = _line(_LOAD_BYTE, _PACKET_TYPE) + _line(_IF_EQUAL, 0, 1, 0) + refused
    head += _line(_LOAD_BYTE, 6) + _line(_IF_EQUAL, _IPV6_IN_IPV6, 1, 0) + refused
    head += _line(_LOAD_BYTE, _HEADER + 6)
    for header in (MOBILITY_HEADER, DESTINATION_OPTIONS, ROUTING):
        head += _line(_IF_EQUAL, header, 0, 1) + refused
    blocks = b""
    for left, (home, agent) in zip(range(len(homes) - 1, -1, -1), homes, strict=True):
        blocks += _is(agent, 8) + _line(_JUMP, 1) + _line(_JUMP, _ADDRESS + 1)
        blocks += _is(home, _HEADER + 24) + _line(_JUMP, left * _BLOCK + 1)
    known = b"".join(_is(source, _HEADER + 8) + refused for source in told)
    return head + blocks + refused + known + _line(_RETURN, _SNAP)


_ADDRESS = 8
"""Instructions that compare an address."""
_BLOCK = 2 * _ADDRESS + 3
"""Those for one home address."""


def _is(address: Address, at: int) -> bytes:
    """If the address at that octet is this one, the next instruction but one block is reached, else the one after."""
    words = struct.unpack("!4I", address)
    program = b""
    for left, index in enumerate((3, 2, 1, 0)):
        program += _line(_LOAD_WORD, at + 4 * index) + _line(_IF_EQUAL, words[index], 0, 2 * (3 - left) + 1)
    return program


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
