"""What is tolerated in messages that we receive, counted; and what is tolerated of particular peers.

Strict decoding refuses all that is listed in `Tolerance`; it is for what we send and for tests. Lenient decoding, the
default, takes the first four of the list and counts them when given a counter::

    tolerated: Counter[Tolerance] = Counter()
    message = decode(octets, tolerated=tolerated)

The others are mistakes of other implementations. They change what a message means, so each is taken only from a peer
whose `Profile` names it; no profile is in force unless somebody asks for one::

    message = decode_from(octets, PROFILES["mad-pmipv6"], tolerated)

Profiles are for what arrives. What we send stays as the RFCs have it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from sojourn.wire import mobility
from sojourn.wire.errors import DecodeError
from sojourn.wire.extensions.rfc5949 import ContextRemainder
from sojourn.wire.fields import Tlvs
from sojourn.wire.messages import BindingAcknowledgement, BindingUpdate
from sojourn.wire.mobility import MOBILITY_OPTIONS, MobilityMessage, MobilityOption, Remainder, UnknownOption
from sojourn.wire.options.identifiers import MobileNodeIdentifier
from sojourn.wire.options.pmip6 import HomeNetworkPrefix, MobileNodeLinkLayerIdentifier, Timestamp
from sojourn.wire.tlv import SubRemainder, UnknownSubOption
from sojourn.wire.values import BindingAcknowledgementFlags, BindingUpdateFlags, IdentifierType

_HOST = 128
_D = int(BindingAcknowledgementFlags.D)
_OF_RFC_8885 = range(65, 71)
_NO_OPTIONS: Mapping[int, int] = MappingProxyType({})


class Tolerance(Enum):
    """A deviation that was overlooked."""

    MALFORMED_OPTION = "an option of a known type with a wrong length or value; kept as octets"
    MALFORMED_SUB_OPTION = "the same within an option, or octets at its end that are no sub-option"
    OPTION_BEYOND_END = "the last option runs past the header's end; kept as octets"
    OCTETS_BEHIND_HEADER = "octets behind the end that Header Len announces; ignored"
    LONGER_THAN_HEADER_LEN = "options behind the end that Header Len announces; read"
    MISSING_PROXY_FLAG = "a registration without the flag P; taken as a proxy registration"
    SECONDS_AND_MICROSECONDS = "a Timestamp of 32 bits of seconds and 32 of microseconds; converted"
    SWAPPED_WORDS = "a Timestamp as two 32-bit words in the order of its sender's processor; put right"
    PREFIX_LENGTH = "a Home Network Prefix with the length 128; taken as the 64 bits that it begins with"
    LINK_LAYER_IDENTIFIER = "the link-layer identifier of an acknowledgement, which is another one than sent; left out"
    MISPLACED_PROXY_FLAG = "P of an update in an acknowledgement, where its bit is that of D; taken as P"
    OPTION_NUMBER = "an option with the number of a draft; taken as the registered one"
    IDENTIFIER_TYPE = "an identifier whose type does not fit its octets; taken as the type that does"


ALWAYS: Final = (
    Tolerance.MALFORMED_OPTION,
    Tolerance.MALFORMED_SUB_OPTION,
    Tolerance.OPTION_BEYOND_END,
    Tolerance.OCTETS_BEHIND_HEADER,
)
"""What lenient decoding takes from everybody."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is tolerated of one implementation."""

    name: str
    why: str
    """What is known of it, and from where."""
    longer_than_header_len: bool = False
    missing_proxy_flag: bool = False
    misplaced_proxy_flag: bool = False
    seconds_and_microseconds: bool = False
    swapped_words: bool = False
    identifier_type: bool = False
    host_prefixes: bool = False
    other_link_layer: bool = False
    options: Mapping[int, int] = field(default_factory=lambda: _NO_OPTIONS)
    """Registered numbers by the numbers that it sends."""


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile(
                "mad-pmipv6",
                "measured: 87 octets where 80 are announced, flags 0x42 in acknowledgements, options 28, 29, 30 for "
                "serving router, previous router and link-layer address, time in seconds and microseconds (its code: "
                "in words of the processor's order, as the year 121059 that was measured shows), EUI-64 as type 2",
                longer_than_header_len=True,
                missing_proxy_flag=True,
                misplaced_proxy_flag=True,
                seconds_and_microseconds=True,
                swapped_words=True,
                identifier_type=True,
                options=MappingProxyType({28: 68, 29: 67, 30: 70}),
            ),
            Profile(
                "oai-pmipv6",
                "measured: 84 octets where 80 are announced, no P in acknowledgements, time as mad-pmipv6 has it, "
                "binary identifiers as names, prefixes of 128 bits; its code: eight octets of link-layer identifier, "
                "however many there were",
                longer_than_header_len=True,
                missing_proxy_flag=True,
                seconds_and_microseconds=True,
                swapped_words=True,
                identifier_type=True,
                host_prefixes=True,
                other_link_layer=True,
            ),
            Profile(
                "opmip",
                "measured: options that are not aligned, no time, the reserved access technology 0; all of this is "
                "taken from everybody, and nothing more",
            ),
            Profile(
                "inet",
                "its model's code: no P in acknowledgements",
                missing_proxy_flag=True,
            ),
            Profile(
                "umip-dsmip",
                "its code: options 21, 22, 23 for IPv4 home address, care-of address and acknowledgement",
                options=MappingProxyType({21: 29, 22: 32, 23: 30}),
            ),
        )
    }
)
"""By name, off unless asked for."""


def count(message: MobilityMessage, octets: bytes, tolerated: Counter[Tolerance]) -> None:
    """Add what lenient decoding overlooked in `octets` to `tolerated`."""
    if len(octets) > 8 * octets[1] + 8:
        tolerated[Tolerance.OCTETS_BEHIND_HEADER] += 1
    for option in message.options:
        if isinstance(option, UnknownOption):
            if MOBILITY_OPTIONS.classes.find(option.type):
                tolerated[Tolerance.MALFORMED_OPTION] += 1
        elif isinstance(option, Remainder):
            tolerated[Tolerance.OPTION_BEYOND_END] += 1
        elif wrong := sum(_is_malformed(type(option), one) for one in _inner(option)):
            tolerated[Tolerance.MALFORMED_SUB_OPTION] += wrong


def _inner(option: Any) -> tuple[Any, ...]:
    """The sub-options of an option."""
    layout = getattr(type(option), "layout", None)
    if layout and layout.tail and isinstance(layout.tail[1], Tlvs):
        found: tuple[Any, ...] = getattr(option, layout.tail[0])
        return found
    return ()


def _is_malformed(parent: Any, one: Any) -> bool:
    if isinstance(one, SubRemainder | ContextRemainder):
        return True
    if not isinstance(one, UnknownSubOption):
        return False
    siblings = FAMILIES[parent.layout.tail[1].family]
    return siblings.classes.find(one.type) is not None


def decode_from(octets: bytes, peer: Profile, tolerated: Counter[Tolerance] | None = None) -> MobilityMessage:
    """The message that `peer` means, counting what was overlooked. Raises `DecodeError` and nothing else."""
    seen: Counter[Tolerance] = Counter() if tolerated is None else tolerated
    octets = bytes(octets)
    if peer.longer_than_header_len and len(octets) >= 8 and len(octets) > 8 * octets[1] + 8:
        message = mobility.decode_to_end(octets)
        seen[Tolerance.LONGER_THAN_HEADER_LEN] += 1
        octets = octets[: 8 * octets[1] + 8]
    else:
        message = mobility.decode(octets)
    message = _renumbered(message, peer, seen)
    count(message, octets, seen)
    message = _as_proxy(message, peer, seen)
    options = tuple(_meant(option, peer, seen) for option in message.options)
    if peer.other_link_layer and isinstance(message, BindingAcknowledgement):
        options = _without_link_layer(options, seen)
    return _with(message, options)


def _without_link_layer(options: tuple[Any, ...], seen: Counter[Tolerance]) -> tuple[Any, ...]:
    kept = tuple(option for option in options if not isinstance(option, MobileNodeLinkLayerIdentifier))
    if len(kept) < len(options):
        seen[Tolerance.LINK_LAYER_IDENTIFIER] += 1
    return kept


def _with(message: Any, options: tuple[Any, ...]) -> MobilityMessage:
    found: MobilityMessage = message
    return found if options == message.options else dataclasses.replace(message, options=options)


def _renumbered(message: MobilityMessage, peer: Profile, seen: Counter[Tolerance]) -> MobilityMessage:
    if not peer.options:
        return message
    return _with(message, tuple(_registered(option, peer, seen) for option in message.options))


def _registered(option: Any, peer: Profile, seen: Counter[Tolerance]) -> Any:
    """The option that the number stands for at this peer; the same if its octets do not fit that."""
    number: int = option.type if isinstance(option, UnknownOption) else getattr(option, "number", -1)
    cls = MOBILITY_OPTIONS.classes.find(peer.options[number]) if number in peer.options else None
    if cls is None:
        return option
    out = bytearray()
    option.put(out, False)
    try:
        meant: MobilityOption = cls.get(bytes(out), 2, len(out), 0)
    except DecodeError:
        return option
    seen[Tolerance.OPTION_NUMBER] += 1
    return meant


def _as_proxy(message: Any, peer: Profile, seen: Counter[Tolerance]) -> Any:
    if not peer.missing_proxy_flag:
        return message
    if isinstance(message, BindingUpdate):
        flag: int = BindingUpdateFlags.P
    elif isinstance(message, BindingAcknowledgement):
        flag = BindingAcknowledgementFlags.P
    else:
        return message
    if message.flags & flag:
        return message
    if peer.misplaced_proxy_flag and _is_misplaced(message):
        seen[Tolerance.MISPLACED_PROXY_FLAG] += 1
        return dataclasses.replace(message, flags=message.flags & ~_D | int(flag))
    seen[Tolerance.MISSING_PROXY_FLAG] += 1
    return dataclasses.replace(message, flags=message.flags | int(flag))


def _is_misplaced(message: Any) -> bool:
    distributed = any(getattr(option, "number", 0) in _OF_RFC_8885 for option in message.options)
    return isinstance(message, BindingAcknowledgement) and bool(message.flags & _D) and not distributed


def _meant(option: Any, peer: Profile, seen: Counter[Tolerance]) -> Any:
    """Timestamps, identifiers and prefixes as this peer means them."""
    if isinstance(option, Timestamp):
        return _time(option, peer, seen)
    if peer.host_prefixes and isinstance(option, HomeNetworkPrefix) and option.prefix_length == _HOST:
        seen[Tolerance.PREFIX_LENGTH] += 1
        half = option.address[:8] + bytes(8)
        return HomeNetworkPrefix(64 if any(half) else 0, half)  # all zeros asks for any (RFC 5213 8.3)
    if peer.identifier_type and isinstance(option, MobileNodeIdentifier):
        binary = option.subtype == IdentifierType.NAI and not option.identifier.isascii()
        wrong = option.subtype == IdentifierType.IPV6_ADDRESS and len(option.identifier) != 16
        if len(option.identifier) == 8 and (wrong or binary or _is_eui64_named(option)):
            seen[Tolerance.IDENTIFIER_TYPE] += 1
            return MobileNodeIdentifier(IdentifierType.EUI_64, option.identifier)
    return option


def _time(option: Timestamp, peer: Profile, seen: Counter[Tolerance]) -> Timestamp:
    """Which of three ways it was written in shows where its 16 bits of zero are, at any time until the year 2106.

    They are first in the RFC's, as in what a peer returns of ours, and second where the words are swapped.
    """
    octets = option.ticks.to_bytes(8, "big")
    if octets[:2] == b"\0\0":
        return option
    if peer.swapped_words and octets[2:4] == b"\0\0":
        seen[Tolerance.SWAPPED_WORDS] += 1
        return Timestamp(int.from_bytes(octets[3::-1] + octets[:3:-1], "big"))
    seconds, micro = option.ticks >> 32, option.ticks & 0xFFFFFFFF
    if peer.seconds_and_microseconds and micro < 1_000_000:
        seen[Tolerance.SECONDS_AND_MICROSECONDS] += 1
        return Timestamp((seconds << 16) + (micro << 16) // 1_000_000)
    return option


def _is_eui64_named(option: MobileNodeIdentifier) -> bool:
    """Eight octets as a name that hold something else than printable characters."""
    return option.subtype == IdentifierType.NAI and not all(32 < octet < 127 for octet in option.identifier)


def _families() -> dict[str, Any]:
    from sojourn.wire.extensions import rfc5949, rfc6089, rfc6757, rfc7222, rfc8127

    found = (
        rfc5949.CONTEXT_REQUESTS,
        rfc6089.FLOW_SUB_OPTIONS,
        rfc6757.ANI_SUB_OPTIONS,
        rfc7222.QOS_ATTRIBUTES,
        rfc8127.LCMP_SUB_OPTIONS,
    )
    return {family.name: family for family in found}


FAMILIES: Final = _families()
"""The families of sub-options by name."""
