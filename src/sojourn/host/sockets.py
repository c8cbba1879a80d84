"""Mobility Headers in and out of the kernel.

A raw socket of protocol 135, bound to the address of one role, so that the destination of what arrives is
known. The kernel verifies checksums and fills them in. What a kernel without Mobile IPv6 does not do is done
here: the checks of RFC 6275 9.2 with their answers (a kernel that does them itself never hands us such a
message, so nobody is answered twice).

Most of what a stranger may send is dropped before it costs anything: first by its source, then by the share
that each source has, and only then is it decoded. Strangers wait in a small buffer of their own in the kernel, which
a flood of theirs fills without taking the room of peers. Nothing in here raises because of what arrived.

Routers are known by their addresses, so it matters where a message came in: a node on an access link that writes a
router's address as its source would be believed. What comes in from there is dropped, whatever it says.
"""

from __future__ import annotations

import errno
import fcntl
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from functools import partial
from ipaddress import IPv6Address

from sojourn.core.events import MessageReceived
from sojourn.host import source_filter
from sojourn.host.limits import Limiter
from sojourn.host.signalling import Tally
from sojourn.wire import BindingError, DecodeError, MobilityMessage, UnknownMessage, decode, encode
from sojourn.wire.addresses import UNSPECIFIED, Address, text
from sojourn.wire.tolerance import PROFILES, Profile, Tolerance, decode_from
from sojourn.wire.units import Instant

IPPROTO_MOBILITY = 135
PAYLOAD_NONE = 59
"""IPPROTO_NONE, the only Payload Proto that RFC 6275 6.1.1 knows."""
DRAIN = 64
"""Messages taken per wake-up of the event loop; the rest waits in the kernel while others have their turn."""
LARGEST = 2048
"""Octets of the longest Mobility Header: Header Len counts to 255."""
RATE = 4_000
BURST = 2_000
"""Messages per second, and at once, that one source may send."""
SOURCES = 4_096
ERRORS_PER_SECOND = 20
"""Answers to malformed messages, to one peer."""
RECEIVE_BUFFER = 8 << 20
"""Octets; a message of a hundred octets occupies about a thousand."""
STRANGERS_BUFFER = 64 << 10
UNRECOGNIZED_TYPE = 2
"""Binding Error status (RFC 6275 6.1.9)."""

_SHORTEST = {0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 1, 6: 1, 7: 2}
"""The least Header Len of each message of RFC 6275 6.1."""
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_IPV6_RECVPKTINFO, _IPV6_PKTINFO = 49, 50
IPV6_FREEBIND = 78
_CONTROL = socket.CMSG_SPACE(20)
_SIOCGIFNAME = 0x8910
_ICMP6_FILTER = 1
_PARAMETER_PROBLEM = 4


class MobilitySocket:
    """Protocol 135 at `address`.

    Only `peers` are listened to; None means everybody, who then get no error messages. `rate` and `burst` limit each
    source, None: no limit. `strangers` messages a second of others than `peers`, all together, are handed on all the
    same: to a role that refuses them with a status (RFC 5213 5.3.1). Nothing is taken that came in on one of the
    interfaces `access`. `profiles` names the way of writing messages in which a peer is understood (`wire.tolerance`),
    by its address; `profile` is that of all others, None: the RFCs' only. Raises OSError when `address` is not of this
    machine (`arriving`: it will be, sockets are there first) or the right to raw sockets is missing.
    """

    def __init__(
        self,
        address: Address,
        *,
        peers: Collection[Address] | None = None,
        rate: int | None = RATE,
        burst: int = BURST,
        strangers: int = 0,
        access: Collection[str] = (),
        profile: str | None = None,
        profiles: Mapping[Address, str] | None = None,
        arriving: bool = False,
        clock: Callable[[], Instant] = time.monotonic_ns,
    ) -> None:
        self.address = address
        self.counters: Counter[str] = Counter()
        self.tally = Tally(peers)
        self._profile = None if profile is None else PROFILES[profile]
        self._profiles = {peer: PROFILES[name] for peer, name in (profiles or {}).items()}
        self._clock = clock
        self._limiter: Limiter[Address] | None = Limiter(rate, burst, SOURCES) if rate else None
        self._strangers: Limiter[None] | None = Limiter(strangers, strangers, 1) if strangers else None
        self._errors: Limiter[Address] = Limiter(ERRORS_PER_SECOND, ERRORS_PER_SECOND, SOURCES)
        self._addresses: dict[str, Address] = {}
        self._names: dict[Address, tuple[str, int]] = {}
        self._access = frozenset(access)
        self._trusted: dict[int, bool] = {}
        """Whether what came in on the interface of that index may be taken, as far as it was asked."""
        with ExitStack() as opened:
            self._socket = opened.enter_context(_bound(IPPROTO_MOBILITY, address, arriving))
            self._strange = opened.enter_context(_bound(IPPROTO_MOBILITY, address, arriving))
            self._icmp = opened.enter_context(_bound(socket.IPPROTO_ICMPV6, address, arriving))
            self._ready = opened.enter_context(select.epoll())
            _enlarge(self._socket)
            self._strange.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STRANGERS_BUFFER)
            self._icmp.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, b"\xff" * 32)  # it only sends
            for raw in (self._socket, self._strange):
                self._ready.register(raw, select.EPOLLIN)
                if self._access:
                    raw.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
            self.peers = peers
            self._opened = opened.pop_all()

    @property
    def peers(self) -> Collection[Address] | None:
        """Who is listened to; may be set anew."""
        return self._peers

    @peers.setter
    def peers(self, peers: Collection[Address] | None) -> None:
        self._peers = peers
        told_apart = peers is not None and len(peers) <= source_filter.MOST
        source_filter.attach(self._socket, peers if told_apart and peers else (), others=not told_apart)
        source_filter.attach(self._strange, peers if told_apart and peers else (), others=told_apart)

    def fileno(self) -> int:
        """For `loop.add_reader`."""
        return self._ready.fileno()

    def close(self) -> None:
        """Let go of the sockets."""
        self._opened.close()

    def refresh(self) -> None:
        """To be called when interfaces changed: indices may stand for others now."""
        self._trusted.clear()

    # --- in -------------------------------------------------------------------------------------------------

    def events(self) -> list[MessageReceived]:
        """What arrived and could be decoded, at most `DRAIN` of it."""
        found: list[MessageReceived] = []
        for octets, source in self.receive():
            profile = self._profiles.get(source, self._profile)
            try:
                message = decode(octets) if profile is None else self._decode_tolerantly(octets, profile)
            except DecodeError:
                self.counters["decode-errors"] += 1
                continue
            if isinstance(message, UnknownMessage):
                self._on_unknown_type(source)
                continue
            found.append(MessageReceived(message, source, self.address))
        return found

    def _decode_tolerantly(self, octets: bytes, profile: Profile) -> MobilityMessage:
        """What the peer means; each thing that is overlooked is counted."""
        overlooked: Counter[Tolerance] = Counter()
        message = decode_from(octets, profile, overlooked)
        for tolerance, times in overlooked.items():
            self.counters[f"tolerated:{tolerance.name.lower().replace('_', '-')}"] += times
        return message

    def receive(self) -> list[tuple[bytes, Address]]:
        """Mobility Headers that passed the checks that come before decoding, with their sources."""
        return self._receive(self._socket) + self._receive(self._strange)

    def _receive(self, raw: socket.socket) -> list[tuple[bytes, Address]]:
        found: list[tuple[bytes, Address]] = []
        counters, now = self.counters, self._clock()
        fetch = partial(self._fetch_with_interface, raw) if self._access else raw.recvfrom
        for _ in range(DRAIN):
            try:
                octets, name = fetch(LARGEST + 1)
            except BlockingIOError:
                break
            except OSError:
                counters["receive-errors"] += 1
                break
            counters["received"] += 1
            if name is None:
                counters["from-access-link"] += 1
                continue
            source = self._address_of(name[0])
            if self._peers is not None and source not in self._peers:
                counters["unknown-source"] += 1
                if self._strangers is not None and self._strangers.allow(None, now) and self._sound(octets, source):
                    self.tally.received(octets, source)
                    found.append((octets, source))
            elif self._limiter is not None and not self._limiter.allow(source, now):
                counters["rate-limited"] += 1
            elif self._sound(octets, source):
                self.tally.received(octets, source)
                found.append((octets, source))
        return found

    def _fetch_with_interface(self, raw: socket.socket, size: int) -> tuple[bytes, tuple[str, int] | None]:
        """As `recvfrom`; no source for what came in on an access interface. Raises OSError."""
        octets, control, _, name = raw.recvmsg(size, _CONTROL)
        for level, kind, data in control:
            if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
                index = struct.unpack_from("=i", data, 16)[0]
                trusted = self._trusted.get(index)
                return octets, name if (self._look_at(index) if trusted is None else trusted) else None
        return octets, None

    def _look_at(self, index: int) -> bool:
        """Whether what came in on that interface may be taken. One that is gone already is not asked about again."""
        try:
            found = fcntl.ioctl(self._socket, _SIOCGIFNAME, struct.pack("=16xi20x", index))
        except OSError:
            return False
        trusted = self._trusted[index] = found[:16].rstrip(b"\0").decode(errors="replace") not in self._access
        return trusted

    def overflowed(self) -> int:
        """Messages that the kernel dropped because we were too slow to fetch them."""
        return _dropped(self._socket)

    def overflowed_strange(self) -> int:
        """The same, of those that strangers sent."""
        return _dropped(self._strange)

    def _address_of(self, name: str) -> Address:
        address = self._addresses.get(name)
        if address is None:
            if len(self._addresses) >= SOURCES:
                self._addresses.clear()
            address = socket.inet_pton(socket.AF_INET6, name.partition("%")[0])
            self._addresses[name] = address
        return address

    def _sound(self, octets: bytes, source: Address) -> bool:
        """RFC 6275 9.2: Payload Proto and Header Len, which `decode` looks at again with the eyes of the
        codec.
        """
        if len(octets) < 8 or len(octets) > LARGEST:
            self.counters["decode-errors"] += 1
            return False
        if octets[0] != PAYLOAD_NONE:
            self.counters["payload-proto"] += 1
            self._parameter_problem(octets, source, pointer=0)
            return False
        if octets[1] < _SHORTEST.get(octets[2], 0):
            self.counters["header-length"] += 1
            self._parameter_problem(octets, source, pointer=1)
            return False
        return True

    # --- out ------------------------------------------------------------------------------------------------

    def send(self, message: MobilityMessage, source: Address, destination: Address) -> None:
        """Send `message`, or count that the kernel would not: whoever needs an answer retransmits."""
        octets = encode(message)
        try:
            if source == self.address:
                self._socket.sendto(octets, self._name_of(destination))
            else:
                control = (socket.IPPROTO_IPV6, _IPV6_PKTINFO, source + bytes(4))
                self._socket.sendmsg([octets], [control], 0, self._name_of(destination))
        except OSError as error:
            self.counters["send-errors"] += 1
            self.counters[f"send-errors:{errno.errorcode.get(error.errno or 0, '?')}"] += 1
        else:
            self.counters["sent"] += 1
            self.tally.sent(octets, destination)

    def _name_of(self, address: Address) -> tuple[str, int]:
        name = self._names.get(address)
        if name is None:
            if len(self._names) >= SOURCES:
                self._names.clear()
            name = self._names[address] = (text(address), 0)
        return name

    def _may_answer(self, source: Address) -> bool:
        """Errors go to peers only, and slowly: nobody is to be hit with our answers to forged messages."""
        known = self._peers is not None and source in self._peers
        return known and self._errors.allow(source, self._clock())

    def _on_unknown_type(self, source: Address) -> None:
        """RFC 6275 9.2: an unknown MH Type is answered with a Binding Error of status 2."""
        self.counters["unknown-type"] += 1
        if self._may_answer(source):
            self.send(BindingError(UNRECOGNIZED_TYPE, UNSPECIFIED), self.address, source)

    def _parameter_problem(self, octets: bytes, source: Address, pointer: int) -> None:
        """ICMPv6 Parameter Problem, code 0, at octet `pointer` of the Mobility Header (RFC 6275 9.2, RFC 4443
        3.4).

        The IPv6 header that it quotes is made again from what we know; extension headers that stood between
        the two are not known.
        """
        if not self._may_answer(source):
            return
        quoted = struct.pack("!IHBB", 6 << 28, len(octets), IPPROTO_MOBILITY, 64) + source + self.address + octets
        report = struct.pack("!BBHI", _PARAMETER_PROBLEM, 0, 0, 40 + pointer) + quoted[: 1280 - 48]
        try:
            self._icmp.sendto(report, self._name_of(source))
        except OSError:
            self.counters["send-errors"] += 1
        else:
            self.counters["parameter-problems"] += 1


def _bound(protocol: int, address: Address, arriving: bool) -> socket.socket:
    raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
    try:
        if arriving:
            raw.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        raw.bind((str(IPv6Address(address)), 0))
    except OSError:
        raw.close()
        raise
    return raw


def _dropped(raw: socket.socket) -> int:
    values = raw.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
    return int(struct.unpack("=9I", values)[8]) if len(values) == 36 else 0


def _enlarge(raw: socket.socket) -> None:
    """Bursts wait in the kernel; without the right to a large buffer, as much as an ordinary process may
    have.
    """
    try:
        raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except OSError:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
