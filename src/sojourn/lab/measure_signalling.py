"""Mobility signalling as it is on the wire, counted and sorted.

A packet socket in every router's namespace hears the Mobility Headers that this node *sends*, so that
each message is counted once, whatever happens to it on the way. The count of a handover is compared with
what RFC 8885 draws: 2+2k messages in proxy and relay mode, 1+3k in locator mode, k being the number of
old anchors.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sojourn.lab.namespaces import NetworkNamespace
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingUpdate,
    DecodeError,
    Handoff,
    HandoffIndicator,
    MobileNodeIdentifier,
    MobilityMessage,
    Timestamp,
    decode,
)
from sojourn.wire.addresses import Address, Prefix, text
from sojourn.wire.units import MILLISECOND, Instant

_ALL_PROTOCOLS = 0x0003
_OUTGOING = 4
_ETHERNET = 14
_IPV6_HEADER = 40
_MOBILITY_HEADER = 135
_IPV6_IN_IPV6 = 41
_ATTACH_FILTER = 26
_LONG_AGO = 100 * MILLISECOND
"""An answer has arrived after this time."""


def packet_socket(next_header: int) -> socket.socket:
    """All Ethernet frames with IPv6 and this next header, in and out, in the namespace the thread is in."""
    program = struct.pack(
        "=" + "HBBI" * 6,
        *(0x28, 0, 0, 12),  # ldh  [12]            ethertype
        *(0x15, 0, 3, 0x86DD),  # jne  ipv6, drop
        *(0x30, 0, 0, _ETHERNET + 6),  # ldb  [20]            next header
        *(0x15, 0, 1, next_header),  # jne  next_header, drop
        *(0x06, 0, 0, 0xFFFF),  # ret  all
        *(0x06, 0, 0, 0),  # drop: ret 0
    )
    memory = ctypes.create_string_buffer(program)
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(_ALL_PROTOCOLS))
    packets.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", 6, ctypes.addressof(memory)))
    with suppress(BlockingIOError):  # what came before there was a filter
        while True:
            packets.recv(1)
    return packets


@dataclass(frozen=True, slots=True)
class Signal:
    """One message, where it was sent."""

    at: Instant
    node: str
    source: Address
    destination: Address
    octets: int
    """With the IPv6 header, without that of the link."""
    message: MobilityMessage | None
    """None when it does not decode."""

    @property
    def sequence(self) -> int | None:
        """Of an update or its acknowledgement."""
        if isinstance(self.message, BindingUpdate | BindingAcknowledgement):
            return self.message.sequence
        return None

    @property
    def identifier(self) -> bytes | None:
        """The mobile node that it is about."""
        if isinstance(self.message, BindingUpdate | BindingAcknowledgement):
            option = self.message.first(MobileNodeIdentifier)
            return option.identifier if option else None
        return None

    @property
    def retires(self) -> Prefix | None:
        """The prefix that an update asks to be let go of (`shared/design.md` 5, decision 1)."""
        if isinstance(self.message, BindingUpdate) and self.message.lifetime == 0:
            option = self.message.first(AnchoredPrefix)
            return option.prefix if option else None
        return None

    def to_row(self) -> dict[str, str | int | None]:
        """As one line of JSON."""
        return {
            "at": self.at,
            "node": self.node,
            "to": text(self.destination),
            "message": type(self.message).__name__ if self.message else "undecodable",
            "sequence": self.sequence,
            "about": self.identifier.hex() if self.identifier else None,
            "octets": self.octets,
        }


class SignallingMonitor:
    """Hears what each of `namespaces` sends, until closed. `signals` grows."""

    def __init__(self, namespaces: Mapping[str, NetworkNamespace]) -> None:
        self.signals: list[Signal] = []
        self._selector = selectors.DefaultSelector()
        for name, namespace in namespaces.items():
            self._selector.register(namespace.call(lambda: packet_socket(_MOBILITY_HEADER)), selectors.EVENT_READ, name)
        self._wake, self._stop = os.pipe()
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear no more; what was heard stays in `signals`."""
        if self._stop < 0:
            return
        os.write(self._stop, b".")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        os.close(self._wake)
        os.close(self._stop)
        self._stop = -1

    def __enter__(self) -> SignallingMonitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                assert isinstance(key.fileobj, socket.socket)
                self._read(key.data, key.fileobj)

    def _read(self, node: str, packets: socket.socket) -> None:
        while True:
            try:
                frame, (interface, _, direction, _, _) = packets.recvfrom(4096)
            except OSError:
                return
            if direction == _OUTGOING and interface != "lo":
                self.signals.append(_signal(node, frame[_ETHERNET:]))


def _signal(node: str, packet: bytes) -> Signal:
    source, destination = packet[8:24], packet[24:40]
    message: MobilityMessage | None
    try:
        message = decode(packet[_IPV6_HEADER:])
    except DecodeError:
        message = None
    return Signal(time.monotonic_ns(), node, source, destination, len(packet), message)


@dataclass(slots=True)
class Tally:
    """Messages of one kind."""

    messages: int = 0
    octets: int = 0
    repeated: int = 0
    """Of the messages: retransmissions and the answers to them."""

    def add(self, signal: Signal, repeated: bool) -> None:
        """One more."""
        self.messages += 1
        self.octets += signal.octets
        self.repeated += repeated


@dataclass(slots=True)
class Signalling:
    """All messages of a window, by what they were for."""

    handover: Tally = field(default_factory=Tally)
    refresh: Tally = field(default_factory=Tally)
    retirement: Tally = field(default_factory=Tally)
    """Removal of one prefix, or of the whole node."""
    other: Tally = field(default_factory=Tally)
    """What does not decode, binding errors, refresh requests."""


@dataclass(frozen=True, slots=True)
class Classified:
    """A message and what it was for: the name of a tally of `Signalling`."""

    signal: Signal
    purpose: str
    repeated: bool


def classify(signals: Iterable[Signal]) -> list[Classified]:
    """What each message was for; `signals` are all of a run, in the order of time."""
    sorter = _Sorter()
    return [sorter.take(signal) for signal in signals]


def tally(messages: Iterable[Classified]) -> Signalling:
    """Count them."""
    result = Signalling()
    for one in messages:
        counted: Tally = getattr(result, one.purpose)
        counted.add(one.signal, one.repeated)
    return result


class _Sorter:
    """Says of each message what it was for.

    An acknowledgement belongs where the update with its sequence number belongs that went to its sender: that also
    holds in locator mode, where an anchor acknowledges to the serving router what the database asked. An update with
    the time stamp of one before is a retransmission, with a new sequence number (RFC 6275 11.8), unless the first one
    was answered long ago: then a router that lost its memory is told again what it anchors, because it asked.
    """

    def __init__(self) -> None:
        self._asked: dict[tuple[Address, bytes | None, int], Classified] = {}
        self._asked_by: dict[tuple[Address, Address, bytes | None, int], Classified] = {}
        self._told: set[tuple[Address, bytes | None, int]] = set()
        self._answered: dict[tuple[Address, bytes | None], Instant] = {}

    def take(self, signal: Signal) -> Classified:
        """One more message."""
        message, node = signal.message, signal.identifier
        if isinstance(message, BindingUpdate):
            result = Classified(signal, *self._purpose(signal, message))
            self._asked[signal.destination, node, message.sequence] = result
            self._asked_by[signal.source, signal.destination, node, message.sequence] = result
            return result
        if not isinstance(message, BindingAcknowledgement):
            return Classified(signal, "other", False)
        self._answered[signal.source, node] = signal.at
        request = self._asked_by.get((signal.destination, signal.source, node, message.sequence))
        request = request or self._asked.get((signal.source, node, message.sequence))
        return Classified(signal, *(("handover", False) if request is None else (request.purpose, request.repeated)))

    def _purpose(self, signal: Signal, update: BindingUpdate) -> tuple[str, bool]:
        if update.lifetime == 0:
            return "retirement", False
        indicator, stamp = update.first(HandoffIndicator), update.first(Timestamp)
        if indicator is not None and indicator.indicator == Handoff.NOT_CHANGED:
            return "refresh", False
        if stamp is None:
            return "handover", False
        attachment = (signal.destination, signal.identifier, stamp.ticks)
        if attachment not in self._told:
            self._told.add(attachment)
            return "handover", False
        answered = self._answered.get((signal.destination, signal.identifier))
        if answered is not None and answered < signal.at - _LONG_AGO:
            return "refresh", False
        return "handover", True


def write_signals(path: Path, signals: Iterable[Signal]) -> None:
    """One line for each, to look at a single handover."""
    path.write_text("".join(json.dumps(signal.to_row()) + "\n" for signal in signals))


@dataclass(frozen=True, slots=True)
class TunnelHops:
    """What a tunnelled packet shows at the router that takes it out of the tunnel."""

    outer: int
    """Hop limit of the tunnel's header, copied from the inner one where the tunnel begins."""
    inner: int


def watch_tunnel(serving: NetworkNamespace, address: Address, timeout: float) -> TunnelHops | None:
    """The next tunnelled UDP packet that reaches `serving` for `address`; None when none comes in time.

    Others start with other hop limits: a solicitation of a router that still looks for its host, for example.
    """
    packets = serving.call(lambda: packet_socket(_IPV6_IN_IPV6))
    deadline = time.monotonic() + timeout
    try:
        while (left := deadline - time.monotonic()) > 0:
            packets.settimeout(left)
            try:
                frame, (_, _, direction, _, _) = packets.recvfrom(256)
            except TimeoutError:
                return None
            inner = frame[_ETHERNET + _IPV6_HEADER :]
            if direction != _OUTGOING and inner[6] == socket.IPPROTO_UDP and inner[24:40] == address:
                return TunnelHops(outer=frame[_ETHERNET + 7], inner=inner[7])
        return None
    finally:
        packets.close()


def routers_through_tunnel(hops: TunnelHops, initial: int) -> int:
    """All routers on the way of a packet that arrives with `hops`, the one that ends the tunnel included.

    The tunnel's header starts with the hop limit that the packet had where the tunnel began and loses
    one at every router inside, so that what it has left tells of the whole way (RFC 2473 6.3, and what
    Linux does with seg6).
    """
    return initial - hops.outer + 1
