"""From a packet's payload to a message and all that is wrong with it.

`signals` reads a capture and yields what it holds in the order of the packets: a `Signal` for each message of mobility,
a `Fault` for each place where the file is damaged. Nothing that a capture can hold raises an exception here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sojourn.capture import names
from sojourn.capture.files import Fault, Packet, read
from sojourn.capture.findings import checksum_finding, examine
from sojourn.capture.layers import MOBILITY, Finding, Malformed, Payload, Peeler, UnknownLink
from sojourn.capture.source import Source
from sojourn.wire import MobilityMessage, UnknownMessage
from sojourn.wire.errors import DecodeError
from sojourn.wire.icmpv6 import Icmpv6Message, decode_icmpv6
from sojourn.wire.units import WallClock

if TYPE_CHECKING:
    from sojourn.wire.tolerance import Profile

MOBILITY_ICMPV6 = frozenset({144, 145, 146, 147, 150, 154})
"""ICMPv6 types of RFC 6275 6.5 to 6.8 and of fast handovers (RFC 5568 6.1)."""
NEIGHBOUR_DISCOVERY = frozenset({133, 134, 135, 136, 137})


@dataclass(slots=True)
class Signal:
    """One message, where and when it was seen."""

    origin: str
    """Which of several captures it is from; empty when there is one."""
    number: int
    """Of the packet; of the last one, if it came in fragments."""
    time: WallClock | None
    interface: str
    comment: str
    payload: Payload
    message: MobilityMessage | Icmpv6Message | None
    """None if nothing can be made of the octets."""
    name: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def label(self) -> str:
        """The packet's number, with its capture where there are several."""
        return f"{self.origin}:{self.number}" if self.origin else str(self.number)

    @property
    def grave(self) -> bool:
        """Whether a rule is broken."""
        return any(finding.grave for finding in self.findings)


@dataclass(slots=True)
class Tally:
    """What a capture held, for the last line."""

    packets: int = 0
    faults: int = 0
    lost: bool = False
    """The file could not be read to its end, or not without a gap."""
    first: WallClock | None = None
    last: WallClock | None = None
    messages: Counter[str] = field(default_factory=Counter)
    problems: int = 0
    passed: Counter[str] = field(default_factory=Counter)
    """Packets that were not looked into, in words."""


class Reader:
    """Reads one capture; `tally` grows while `signals` is walked through."""

    def __init__(
        self, source: Source, *, origin: str = "", discovery: bool = False, peer: Profile | None = None
    ) -> None:
        self._source = source
        self._origin = origin
        self._peer = peer
        self._wanted = MOBILITY_ICMPV6 | NEIGHBOUR_DISCOVERY if discovery else MOBILITY_ICMPV6
        self._peeler = Peeler()
        self.tally = Tally(passed=self._peeler.passed)

    def signals(self) -> Iterator[Signal | Fault]:
        """All messages and faults, in order."""
        for record in read(self._source):
            if isinstance(record, Fault):
                yield self._fault(record)
            else:
                yield from self._packet(record)
        self._peeler.fragments.end()
        yield from self._incomplete()

    def _packet(self, packet: Packet) -> Iterator[Signal | Fault]:
        tally = self.tally
        tally.packets += 1
        if packet.time is not None:
            tally.first = packet.time if tally.first is None else min(tally.first, packet.time)
            tally.last = packet.time if tally.last is None else max(tally.last, packet.time)
        try:
            for payload in self._peeler.peel(packet):
                if payload.protocol == MOBILITY or (payload.octets and payload.octets[0] in self._wanted):
                    yield self._counted(_signal(self._origin, packet, payload, self._peer))
        except Malformed as error:
            if packet.length > len(packet.octets):
                tally.passed["cut off within their headers by the capture"] += 1
                return
            yield self._fault(Fault(packet.number, 0, f"packet {packet.number}: {error}", lost=False))
        except UnknownLink as error:
            tally.passed[f"of link type {error.link_type}, which cannot be read here"] += 1
        if self._peeler.fragments.given_up:
            yield from self._incomplete()

    def _counted(self, signal: Signal) -> Signal:
        self.tally.messages[signal.name] += 1
        self.tally.problems += signal.grave
        return signal

    def _fault(self, fault: Fault) -> Fault:
        self.tally.faults += 1
        self.tally.lost |= fault.lost
        return fault

    def _incomplete(self) -> Iterator[Fault]:
        given_up = self._peeler.fragments.given_up
        for waiting in given_up:
            if waiting.protocol in (MOBILITY, -1) or waiting.spoilt:
                what = "contradict each other (RFC 5722 3)" if waiting.spoilt else "never became a whole datagram"
                text = f"packet {waiting.number}: the fragments that begin here {what}"
                yield self._fault(Fault(waiting.number, 0, text, lost=False))
        given_up.clear()


def _signal(origin: str, packet: Packet, payload: Payload, peer: Profile | None) -> Signal:
    message: Any
    if payload.protocol == MOBILITY:
        message, findings = examine(payload, packet.time, peer)
        name = names.short_name(message) if message is not None else _name_of(payload.octets)
    else:
        message, findings = _icmpv6(payload)
        name = names.short_name(message, payload.octets) if message else names.ICMPV6.get(payload.octets[0], "ICMPv6")
    return Signal(
        origin, packet.number, packet.time, packet.interface, packet.comment, payload, message, name, findings
    )


def _name_of(octets: bytes) -> str:
    return names.short_name(UnknownMessage(octets[2], b"")) if len(octets) > 2 else "MH"


def _icmpv6(payload: Payload) -> tuple[Icmpv6Message | None, list[Finding]]:
    findings = [*payload.findings, *checksum_finding(payload)]
    try:
        return decode_icmpv6(payload.octets), findings
    except DecodeError as error:
        return None, [*findings, Finding(error.what)]


__all__ = ["MOBILITY_ICMPV6", "NEIGHBOUR_DISCOVERY", "Reader", "Signal", "Tally"]
