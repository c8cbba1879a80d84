"""What hosts of Mobile IPv6 say to each other, in and out: Mobility Headers and ICMPv6, with home addresses or without.

Three ways lead in. A raw socket of protocol 135 hears plain Mobility Headers at every address of this machine, one of
ICMPv6 what routers, home agents and errors say. What travels with a Home Address option or a type 2 routing header a
kernel without Mobile IPv6 refuses, and tells the sender so; a packet socket hears it before, and `signalling_filter`
keeps the kernel from answering. What came through a tunnel is heard in its outer packet. Of data with a Home Address
option only what no binding made plain comes so far: that is told too (RFC 6275 9.3.1).

Who sends is not known beforehand: everybody may ask a correspondent node. So each source has a share, all together have
one, and the errors that malformed messages are answered with (RFC 6275 9.2) are few. Nothing in here raises because of
what arrived.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from typing import TypeAlias

from sojourn.core.effects import SendMessage
from sojourn.core.events import Event, HomeAddressRefused, IcmpErrorReceived, Icmpv6Received, MessageReceived
from sojourn.core.mobile_effects import EnsureCareOfRoute, MobileEffect, SendIcmpv6, WithdrawCareOfRoute
from sojourn.host import packet_filter, signalling_programs
from sojourn.host.limits import Limiter
from sojourn.host.mobile_packets import HOP_LIMIT, Packet, built, parsed, quoted
from sojourn.host.signalling import IPV6_HEADER, Tally
from sojourn.wire import (
    MOBILITY_HEADER,
    BindingAcknowledgement,
    BindingError,
    DecodeError,
    decode,
    encode,
    seal,
    verify,
)
from sojourn.wire.addresses import UNSPECIFIED, Address, Prefix, text
from sojourn.wire.icmpv6 import ICMPV6, decode_icmpv6, encode_icmpv6, seal_icmpv6, verify_icmpv6
from sojourn.wire.units import Instant

DRAIN = 64
"""Packets taken of each socket per wake-up of the event loop."""
SOURCE_RATE, SOURCES = 200, 4_096
"""Messages per second of one source, and twice as many at once; how many sources are told apart."""
RATE, BURST = 20_000, 10_000
"""Messages per second, and at once, of all sources together: inventing addresses does not help."""
ERRORS_PER_SECOND = 20
"""Answers to what is malformed, all together."""
HEARD_ERRORS = 100
"""ICMPv6 errors a second that are looked at, of all sources together: each may be about any binding."""
UNKNOWN_TYPE = 2
"""Binding Error status (RFC 6275 6.1.9)."""
UNREACHABLE, PARAMETER_PROBLEM, ROUTER_ADVERTISEMENT = 1, 4, 134
DISCOVERY = (144, 145, 146, 147)
"""Home agent address discovery and mobile prefixes (RFC 6275 6.5 to 6.8)."""

_NONE = 59
_IPV6_IN_IPV6 = 41
_LARGEST = 2048
_FRAME = 2048
_SHORTEST = {0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 1, 6: 1, 7: 2}
_ETH_P_IPV6 = 0x86DD
_ICMP6_FILTER = 1
_IPV6_RECVPKTINFO, _IPV6_PKTINFO, _IPV6_RECVHOPLIMIT, _IPV6_HOPLIMIT, _IPV6_FREEBIND = 49, 50, 51, 52, 78
_IPV6_JOIN_ANYCAST = 27
_CONTROL = socket.CMSG_SPACE(20) + socket.CMSG_SPACE(4)
_HOP_LIMIT_DISCOVERY = 255
_BUFFER = 1 << 20

_Arrived: TypeAlias = tuple[bytes, Address, Address, int, int]
"""Octets, source, destination, index of the interface, hop limit."""


class MobileSockets:
    """Raises OSError when the right to raw sockets is missing.

    `icmpv6` are the types that are listened to. `handled` are the types of Mobility Headers that the role knows (None:
    it answers for all); others are left to another role here, or, if it is the `only` one, answered with Binding Error.
    `is_ours` says whether an address is one of this machine, `interface_of` the index of the link that packets with
    this source leave by (0: as the routes say), `tunnelled` whether packets from one address to another are taken out
    of a tunnel here. `kernel_has_mobile_ipv6`: it takes data with a Home Address option by itself. `home_link` is that
    of a home agent, with its prefixes: who returns there is answered there.
    """

    def __init__(
        self,
        icmpv6: Collection[int],
        *,
        is_ours: Callable[[Address], bool],
        interface_of: Callable[[Address], int] = lambda address: 0,
        tunnelled: Callable[[Address, Address], bool] = lambda source, destination: False,
        handled: frozenset[int] | None = None,
        only: bool = True,
        source_rate: int = SOURCE_RATE,
        kernel_has_mobile_ipv6: bool = False,
        home_link: str = "",
        home_prefixes: Sequence[Prefix] = (),
        clock: Callable[[], Instant] = time.monotonic_ns,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.tally = Tally()
        self._is_ours = is_ours
        self._interface_of = interface_of
        self._tunnelled = tunnelled
        self._handled = handled
        self._only = only
        self._clock = clock
        self._sources: Limiter[Address] = Limiter(source_rate, 2 * source_rate, SOURCES)
        self._all: Limiter[None] = Limiter(RATE, BURST, 1)
        self._errors: Limiter[None] = Limiter(ERRORS_PER_SECOND, ERRORS_PER_SECOND, 1)
        self._heard_errors: Limiter[None] = Limiter(HEARD_ERRORS, HEARD_ERRORS, 1)
        self._names: dict[int, str] = {}
        self._taken: dict[Address, Address] | None = {} if kernel_has_mobile_ipv6 else None
        """Care-of addresses by home address whose data the kernel takes itself."""
        with ExitStack() as opened:
            self._plain = opened.enter_context(_raw(MOBILITY_HEADER))
            self._icmpv6 = opened.enter_context(_raw(ICMPV6))
            self._out = opened.enter_context(_raw(socket.IPPROTO_RAW))
            kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            self._packets = opened.enter_context(socket.socket(socket.AF_PACKET, kind, socket.htons(_ETH_P_IPV6)))
            packet_filter.attach(self._packets, signalling_programs.heard_in_packets(self._taken))
            packet_filter.attach(self._plain, signalling_programs.HEARD_PLAINLY)
            packet_filter.attach(self._icmpv6, signalling_programs.ICMPV6_HEARD_PLAINLY)
            self._home_prefixes = home_prefixes if home_link else ()
            self._on_home_link = self._out
            if home_link:
                self._on_home_link = opened.enter_context(_raw(socket.IPPROTO_RAW))
                self._on_home_link.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, home_link.encode())
            self._packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._icmpv6.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _passed(icmpv6))
            self._ready = opened.enter_context(select.epoll())
            for one in (self._plain, self._icmpv6, self._packets):
                self._ready.register(one, select.EPOLLIN)
            self._opened = opened.pop_all()

    def fileno(self) -> int:
        """For `loop.add_reader`."""
        return self._ready.fileno()

    def close(self) -> None:
        """Let go of the sockets."""
        self._opened.close()

    def refresh(self) -> None:
        """To be called when interfaces changed: indices may stand for others now."""
        self._names.clear()

    def follow(self, effect: MobileEffect) -> None:
        """The kernel takes data from a care-of address, or does not any more. Raises OSError."""
        if self._taken is None:
            return
        match effect:
            case EnsureCareOfRoute(home, care_of):
                self._taken[home] = care_of
            case WithdrawCareOfRoute(home):
                self._taken.pop(home, None)
            case _:
                return
        packet_filter.attach(self._packets, signalling_programs.heard_in_packets(self._taken))

    def listen_at_anycast(self, address: Address, interface: str) -> None:
        """`address` is one of this machine from now on, which others on the link may have too. Raises OSError."""
        request = address + struct.pack("=i", socket.if_nametoindex(interface))
        try:
            self._icmpv6.setsockopt(socket.IPPROTO_IPV6, _IPV6_JOIN_ANYCAST, request)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise

    # --- in -----------------------------------------------------------------------------------------------------------

    def events(self) -> list[Event]:
        """What arrived, as far as it may be believed to be what it says."""
        found: list[Event | None] = []
        for octets, source, destination, _, _ in self._drain(self._plain):
            if self._may(source):
                found.append(self._message(octets, Packet(source, destination, 0, MOBILITY_HEADER, octets)))
        for octets, source, destination, index, hop_limit in self._drain(self._icmpv6):
            if self._may(source):
                packet = Packet(source, destination, hop_limit, ICMPV6, octets)
                found.append(self._icmp(packet, self._name(index)))
        found += self._heard_in_packets()
        return [event for event in found if event is not None]

    def _drain(self, raw: socket.socket) -> list[_Arrived]:
        arrived: list[_Arrived] = []
        for _ in range(DRAIN):
            try:
                octets, control, _, name = raw.recvmsg(_LARGEST + 1, _CONTROL)
            except BlockingIOError:
                break
            except OSError:
                self.counters["receive-errors"] += 1
                break
            self.counters["received"] += 1
            destination, index, hop_limit = UNSPECIFIED, 0, 0
            for level, kind, data in control:
                if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
                    destination, index = data[:16], struct.unpack_from("=i", data, 16)[0]
                elif level == socket.IPPROTO_IPV6 and kind == _IPV6_HOPLIMIT:
                    hop_limit = struct.unpack_from("=i", data)[0]
            source = socket.inet_pton(socket.AF_INET6, name[0].partition("%")[0])
            arrived.append((octets, source, destination, index, hop_limit))
        return arrived

    def _may(self, source: Address) -> bool:
        now = self._clock()
        if self._sources.allow(source, now) and self._all.allow(None, now):
            return True
        self.counters["rate-limited"] += 1
        return False

    def _heard_in_packets(self) -> list[Event | None]:
        found: list[Event | None] = []
        for _ in range(DRAIN):
            try:
                octets, sender = self._packets.recvfrom(_FRAME)
            except BlockingIOError:
                break
            except OSError:
                self.counters["receive-errors"] += 1
                break
            self.counters["received-in-packets"] += 1
            packet = parsed(octets)
            if packet is not None and packet.protocol == _IPV6_IN_IPV6:
                packet = parsed(packet.payload) if self._tunnelled(packet.source, packet.destination) else None
            plain = packet is None or (packet.home_address is None and packet.routed_to is None)
            if packet is None or plain or not self._is_ours(packet.destination):
                self.counters["not-for-us"] += 1
            elif self._may(packet.source):
                found.append(self._in_packet(packet, sender[0]))
        return found

    def _in_packet(self, packet: Packet, interface: str) -> Event | None:
        """One with a Home Address option or a type 2 routing header."""
        if packet.protocol == MOBILITY_HEADER:
            if not verify(packet.payload, *packet.checksum_addresses):
                self.counters["checksum-errors"] += 1
                return None
            return self._message(packet.payload, packet)
        if packet.protocol == ICMPV6 and packet.payload[:1] and packet.payload[0] in DISCOVERY:
            if not verify_icmpv6(packet.payload, *packet.checksum_addresses):
                self.counters["checksum-errors"] += 1
                return None
            return self._icmp(packet, interface)
        if packet.home_address is not None:
            self.counters["home-address-refused"] += 1
            return HomeAddressRefused(packet.home_address, packet.source, packet.routed_to or packet.destination)
        self.counters["routing-header-refused"] += 1
        return None

    def _message(self, octets: bytes, packet: Packet) -> Event | None:
        if not self._sound(octets, packet):
            return None
        if self._handled is not None and octets[2] not in self._handled:
            if self._only:
                self.counters["unknown-type"] += 1
                self._answer_unknown(packet)
            return None
        try:
            message = decode(octets)
        except DecodeError:
            self.counters["decode-errors"] += 1
            return None
        self.tally.received(octets, packet.source, IPV6_HEADER + _extensions(packet))
        return MessageReceived(
            message, packet.source, packet.destination, packet.home_address, packet.routed_to, octets
        )

    def _sound(self, octets: bytes, packet: Packet) -> bool:
        """RFC 6275 9.2: Payload Proto and Header Len; errors are answered with ICMPv6 Parameter Problem, code 0."""
        if not 8 <= len(octets) <= _LARGEST:
            self.counters["decode-errors"] += 1
            return False
        if octets[0] != _NONE:
            self.counters["payload-proto"] += 1
            self._parameter_problem(packet, pointer=0)
            return False
        if octets[1] < _SHORTEST.get(octets[2], 0) or 8 * octets[1] + 8 > len(octets):
            self.counters["header-length"] += 1
            self._parameter_problem(packet, pointer=1)
            return False
        return True

    def _icmp(self, packet: Packet, interface: str) -> Event | None:
        octets = packet.payload
        if octets[:1] and octets[0] in (UNREACHABLE, PARAMETER_PROBLEM):
            return self._icmp_error(octets)
        try:
            message = decode_icmpv6(octets)
        except DecodeError:
            self.counters["decode-errors"] += 1
            return None
        if octets[0] == ROUTER_ADVERTISEMENT and not _said_on_link(packet):
            self.counters["advertisements-refused"] += 1
            return None
        return Icmpv6Received(
            message, packet.source, packet.destination, interface, packet.home_address, packet.routed_to
        )

    def _icmp_error(self, octets: bytes) -> Event | None:
        """About a packet that one of our addresses sent, as far as that can be seen."""
        ours = quoted(octets[8:])
        if ours is None or not self._is_ours(ours.source):
            self.counters["errors-refused"] += 1
            return None
        if not self._heard_errors.allow(None, self._clock()):
            self.counters["rate-limited"] += 1
            return None
        return IcmpErrorReceived(octets[0], octets[1], ours.destination, ours.protocol)

    def _name(self, index: int) -> str:
        name = self._names.get(index)
        if name is None:
            try:
                name = socket.if_indextoname(index)
            except OSError:
                return ""
            self._names[index] = name
        return name

    # --- out ----------------------------------------------------------------------------------------------------------

    def send(self, effect: SendMessage) -> None:
        """Send it, or count that the kernel would not: whoever needs an answer retransmits."""
        octets = encode(effect.message)
        packet = Packet(effect.source, effect.destination, HOP_LIMIT, MOBILITY_HEADER, octets)
        packet.home_address, packet.routed_to = effect.home_address, effect.routed_to
        returning = self._is_for_who_returns(effect)
        if packet.home_address is None and packet.routed_to is None and not returning:
            sent = self._send(self._plain, octets, packet)
        else:
            packet.payload = seal(octets, *packet.checksum_addresses)
            sent = self._send(self._on_home_link if returning else self._out, built(packet), packet)
        if sent:
            self.tally.sent(octets, effect.destination, IPV6_HEADER + _extensions(packet))

    def _is_for_who_returns(self, effect: SendMessage) -> bool:
        """The answer of a home agent to a node that is at home again, while there may be a tunnel to where it was: it
        would never hear that it was refused (RFC 6275 11.5.5)."""
        plain = effect.home_address is None and effect.routed_to is None
        answer = plain and isinstance(effect.message, BindingAcknowledgement)
        return answer and any(prefix.covers(effect.destination) for prefix in self._home_prefixes)

    def send_icmpv6(self, effect: SendIcmpv6) -> None:
        """The same for ICMPv6; what is said on one link only is sent by `neighbours`."""
        octets = encode_icmpv6(effect.message)
        packet = Packet(effect.source, effect.destination, HOP_LIMIT, ICMPV6, octets)
        packet.home_address, packet.routed_to = effect.home_address, effect.routed_to
        if packet.home_address is None and packet.routed_to is None:
            self._send(self._icmpv6, octets, packet)
        else:
            packet.payload = seal_icmpv6(octets, *packet.checksum_addresses)
            self._send(self._out, built(packet), packet)

    def _send(self, raw: socket.socket, octets: bytes, packet: Packet) -> bool:
        control = packet.source + struct.pack("=i", self._interface_of(packet.source))
        try:
            raw.sendmsg([octets], [(socket.IPPROTO_IPV6, _IPV6_PKTINFO, control)], 0, (text(packet.destination), 0))
        except OSError as error:
            self.counters["send-errors"] += 1
            self.counters[f"send-errors:{errno.errorcode.get(error.errno or 0, '?')}"] += 1
            return False
        self.counters["sent"] += 1
        return True

    def _answer_unknown(self, packet: Packet) -> None:
        """RFC 6275 9.2, 9.3.3: Binding Error, status 2, to where the message came from."""
        if self._errors.allow(None, self._clock()):
            error = BindingError(UNKNOWN_TYPE, packet.home_address or UNSPECIFIED)
            self.send(SendMessage(error, packet.destination, packet.source))

    def _parameter_problem(self, packet: Packet, pointer: int) -> None:
        """Code 0, at octet `pointer` of the Mobility Header (RFC 4443 3.4), with the packet as it was."""
        if not self._errors.allow(None, self._clock()):
            return
        whole = built(packet)
        place = len(whole) - len(packet.payload) + pointer
        report = struct.pack("!BBHI", PARAMETER_PROBLEM, 0, 0, place) + whole[: 1280 - 48]
        self._send(self._icmpv6, report, Packet(packet.destination, packet.source, HOP_LIMIT, ICMPV6, report))
        self.counters["parameter-problems"] += 1


def _extensions(packet: Packet) -> int:
    """Octets of the Home Address option and the type 2 routing header, 24 each (RFC 6275 6.3, 6.4)."""
    return 24 * ((packet.home_address is not None) + (packet.routed_to is not None))


def _said_on_link(packet: Packet) -> bool:
    """RFC 4861 6.1.2: no router passed it on, and its source is the router's link-local address."""
    link_local = packet.source[0] == 0xFE and packet.source[1] & 0xC0 == 0x80
    return packet.hop_limit == _HOP_LIMIT_DISCOVERY and link_local


def _raw(protocol: int) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    raw = socket.socket(socket.AF_INET6, kind, protocol)
    for option in (_IPV6_RECVPKTINFO, _IPV6_RECVHOPLIMIT, _IPV6_FREEBIND):
        raw.setsockopt(socket.IPPROTO_IPV6, option, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    return raw


def _passed(types: Collection[int]) -> bytes:
    """An ICMPv6 filter (RFC 3542 3.2) that lets these types through."""
    blocked = bytearray(b"\xff" * 32)
    for number in types:
        word = number // 32 * 4
        (bits,) = struct.unpack_from("=I", blocked, word)
        struct.pack_into("=I", blocked, word, bits & ~(1 << number % 32))
    return bytes(blocked)
