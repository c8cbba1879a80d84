"""What is wrong with a Mobility Header, octet by octet, and with its place in the packet.

What only the octets show is found here: the checksum, the length, padding and alignment, malformed options. Rules about
a message's values and the options it may carry are those of `sojourn.wire.problems`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from sojourn import wire
from sojourn.capture import names
from sojourn.capture.layers import ICMPV6, MOBILITY, Finding, Payload
from sojourn.wire import MobilityMessage, Pad1, PadN, Remainder, Timestamp, UnknownMessage, UnknownOption
from sojourn.wire.checksum import internet_checksum
from sojourn.wire.errors import DecodeError
from sojourn.wire.generate import alignment_of
from sojourn.wire.rules import problems
from sojourn.wire.units import SECOND, WallClock

if TYPE_CHECKING:
    from sojourn.wire.tolerance import Profile, Tolerance

_HEADER = 6
_NO_NEXT_HEADER = 59
_NEAR = 366 * 86400 * SECOND
"""A clock that is off by more than a year counts in something else."""


def examine(
    payload: Payload, now: WallClock | None, peer: Profile | None = None
) -> tuple[MobilityMessage | None, list[Finding]]:
    """The message, as much of it as there is, and the findings; read as `peer` means it, if that is given."""
    if peer is not None and not payload.missing:
        return _tolerant(payload, peer)
    findings = list(payload.findings)
    octets, whole = _cut(payload, findings)
    if octets is None:
        return None, findings
    findings += checksum_finding(payload)
    _header(octets, findings)
    try:
        message = wire.decode(bytes((_NO_NEXT_HEADER,)) + octets[1:], padding=True)
    except DecodeError as error:
        findings.append(Finding(error.what))
        return None, findings
    if isinstance(message, UnknownMessage):
        text = f"Mobility Header type {message.type} is not known here"
        findings.append(Finding(text, "RFC 6275 9.2", grave=False))
        return message, findings
    _options(octets, message, findings, whole)
    _timestamp(message, now, findings)
    shown = tuple([option for option in message.options if not isinstance(option, Pad1 | PadN)])
    if whole:  # what is missing from a part may be in the rest
        _keep(message, tuple([option for option in shown if not isinstance(option, UnknownOption | Remainder)]))
        findings += [Finding(problem.what, problem.rfc) for problem in problems(message)]
    _keep(message, shown)
    return message, findings


def _keep(message: Any, options: tuple[Any, ...]) -> None:
    """Leave `message` with these of its options; some messages have none and no place for any."""
    if message.options != options:
        message.options = options


def _tolerant(payload: Payload, peer: Profile) -> tuple[MobilityMessage | None, list[Finding]]:
    """As a daemon reads it that has this peer in its configuration; what it overlooks is worth knowing."""
    from sojourn.wire.tolerance import decode_from  # with it come the modules of many rare options

    findings = [*payload.findings, *checksum_finding(payload)]
    seen: Counter[Tolerance] = Counter()
    try:
        message = decode_from(payload.octets, peer, seen)
    except DecodeError as error:
        return None, [*findings, Finding(error.what)]
    findings += [Finding(f"tolerated: {tolerance.value}", grave=False) for tolerance in seen]
    return message, findings


def _cut(payload: Payload, findings: list[Finding]) -> tuple[bytes | None, bool]:
    """The octets of the header alone, and whether these are all."""
    octets = payload.octets
    if len(octets) < 8:
        if not payload.missing:
            findings.append(Finding(f"{len(octets)} octets where a Mobility Header has 8", "RFC 6275 6.1.1"))
        return None, False
    end = 8 * octets[1] + 8
    if end < len(octets):
        text = f"{len(octets) - end} octets follow the end that Header Len gives ({end})"
        findings.append(Finding(text, "RFC 6275 6.1.1"))
    if end <= len(octets):
        return octets[:end], True
    left = len(octets) // 8 * 8
    if payload.missing:
        text = f"only {len(octets)} of {len(octets) + payload.missing} octets were captured"
        findings.append(Finding(text, grave=False))
    elif payload.quoted:
        findings.append(Finding(f"{len(octets)} of {end} octets were quoted", "RFC 4443 2.4", grave=False))
    else:
        text = f"Header Len announces {end} octets, but {len(octets)} travel"
        findings.append(Finding(text, "RFC 6275 6.1.1"))
    return octets[:1] + bytes((left // 8 - 1,)) + octets[2:left], False


def checksum_finding(payload: Payload) -> list[Finding]:
    """The checksum, for the addresses that it covers (RFC 6275 6.1.1, RFC 4443 2.3)."""
    if not payload.checksum or payload.missing or payload.quoted or len(payload.source) != 16:
        return []
    octets, protocol = payload.octets, payload.protocol
    source = payload.home_source or payload.source
    destination = payload.home_destination or payload.final or payload.destination
    if internet_checksum(octets, source, destination, protocol) == 0:
        return []
    at = 4 if protocol == MOBILITY else 2
    right = internet_checksum(octets[:at] + b"\0\0" + octets[at + 2 :], source, destination, protocol)
    found = int.from_bytes(octets[at : at + 2], "big")
    text = f"checksum {found:#06x} is wrong, {right:#06x} is right"
    if (payload.home_source or payload.home_destination) and not internet_checksum(
        octets, payload.source, payload.destination, protocol
    ):
        text += "; the sender left the home address out of it"
    return [Finding(text, "RFC 4443 2.3" if protocol == ICMPV6 else "RFC 6275 6.1.1")]


def _header(octets: bytes, findings: list[Finding]) -> None:
    if octets[0] != _NO_NEXT_HEADER:
        findings.append(Finding(f"Payload Proto is {octets[0]}, not 59", "RFC 6275 6.1.1"))
    if octets[3]:
        findings.append(Finding(f"the reserved octet is {octets[3]:#04x}", "RFC 6275 6.1.1"))


# --- options ------------------------------------------------------------------------------------------------------


def _options(octets: bytes, message: MobilityMessage, findings: list[Finding], whole: bool) -> None:
    """Walk the options as they stand, padding and all, with their positions."""
    layout = getattr(type(message), "layout", None)
    begin = len(octets) - sum(map(_size, message.options)) if layout is None else _HEADER + layout.size
    position = begin
    for option in message.options:
        if isinstance(option, PadN) and any(option.data):
            text = f"PadN at octet {position} is not filled with zeros"
            findings.append(Finding(text, "RFC 6275 6.2.3"))
        elif not isinstance(option, Pad1 | PadN):
            _option(option, octets, position, findings, whole)
        if isinstance(option, Remainder):
            return
        if isinstance(option, Pad1):
            position += 1
        else:
            base, unit = wire.MOBILITY_OPTIONS.length(octets[position])
            position += base + unit * octets[position + 1]


def _size(option: Any) -> int:
    """Octets of an option, where they cannot be counted from the front."""
    out = bytearray()
    option.put(out, False)
    return len(out)


def _option(option: Any, octets: bytes, position: int, findings: list[Finding], whole: bool) -> None:
    if isinstance(option, Remainder):
        if whole:
            text = f"option {octets[position]} at octet {position} runs past the header's end"
            findings.append(Finding(text, "RFC 6275 6.2.1"))
    elif isinstance(option, UnknownOption):
        _unknown(option, octets, position, findings)
    else:
        align = type(option).align
        factor, offset = align if isinstance(align, tuple) else alignment_of(option)
        if position % factor != offset % factor:
            name = names.words(type(option))
            where = f"{factor}n+{offset}" if offset else f"{factor}n"
            findings.append(Finding(f"{name} begins at octet {position}, not at {where}", option.rfc))


def _unknown(option: UnknownOption, octets: bytes, position: int, findings: list[Finding]) -> None:
    cls = wire.MOBILITY_OPTIONS.classes.get(option.type)
    if cls is None:
        text = f"option {option.type} at octet {position} is not known here"
        findings.append(Finding(text, "RFC 6275 6.2.1", grave=False))
        return
    reason = f"{names.words(cls)} is malformed"
    try:
        cls.get(octets, position + 2, position + 2 + len(option.data), 1)
    except DecodeError as error:
        reason = error.what
    findings.append(Finding(reason, "" if "RFC" in reason else cls.rfc))


def _timestamp(message: MobilityMessage, now: WallClock | None, findings: list[Finding]) -> None:
    option = message.first(Timestamp)
    if option is None or now is None:
        return
    seconds, rest = option.ticks >> 32, option.ticks & 0xFFFFFFFF
    if abs(seconds * SECOND - now) < _NEAR and rest < 1_000_000:
        text = f"Timestamp {seconds} s {rest} us: two 32-bit words instead of 48.16 bits"
        findings.append(Finding(text, "RFC 5213 8.8"))
