"""What engineers call the messages and options, and which registered values a field holds.

All is looked up by what the declarations in `sojourn.wire` say. A message that is declared there tomorrow appears with
the words of its class name until somebody gives it a shorter one here.
"""

from __future__ import annotations

import re
from enum import IntEnum, IntFlag
from functools import cache, lru_cache
from typing import Any

from sojourn import wire
from sojourn.wire import BindingAcknowledgement, BindingUpdate, BindingUpdateFlags, MobilityMessage, UnknownMessage

MESSAGES = {
    0: "BRR",
    1: "HoTI",
    2: "CoTI",
    3: "HoT",
    4: "CoT",
    5: "BU",
    6: "BA",
    7: "BE",
    8: "FBU",
    9: "FBack",
    10: "FNA",
    11: "EMH",
    12: "HAS",
    13: "HB",
    14: "HI",
    15: "HAck",
    17: "LRI",
    18: "LRA",
    19: "UPN",
    20: "UPA",
    22: "SubQ",
    23: "SubR",
}
"""By Mobility Header type."""
SUBTYPED = {16: {1: "BRI", 2: "BRA"}, 21: {1: "FBI", 2: "FBA"}}
ICMPV6 = {
    133: "RS",
    134: "RA",
    135: "NS",
    136: "NA",
    137: "Redirect",
    144: "HAADReq",
    145: "HAADRep",
    146: "MPS",
    147: "MPA",
    150: "FMIP",
    154: "FMIP",
}
FAST = {2: "RtSolPr", 3: "PrRtAdv"}
"""Subtypes of ICMPv6 type 154 (RFC 5568 6.1)."""
OPTIONS = {
    2: "refresh",
    3: "ACoA",
    6: "MNP",
    8: "MN",
    20: "service",
    22: "HNP",
    23: "handoff",
    24: "access",
    25: "LL",
    26: "LLA",
    27: "at",
    28: "restarts",
    29: "HoA",
    32: "CoA",
    33: "GRE key",
    35: "BID",
    41: "LMA",
    55: "DMNP",
    65: "anchored",
    66: "local",
    67: "previous",
    68: "serving",
    69: "DLIF",
    70: "DLIF LL",
}
"""Mobility options, as short as one line for a whole message needs them."""
NEW_IN_8885 = range(65, 71)
"""Options that RFC 8885 marks messages with a star for: PBU* and PBA* carry one."""


def short_name(message: Any, octets: bytes = b"") -> str:
    """``PBU``, ``PBA*``, ``HoTI``: as RFCs draw it in their figures."""
    if isinstance(message, MobilityMessage):
        return _mobility_name(message)
    number = type(message).number or getattr(message, "type", 0)
    if number == 154 and len(octets) > 4:
        return FAST.get(octets[4], ICMPV6[154])
    return ICMPV6.get(number) or (words(type(message)) if type(message).number else f"ICMPv6 {number}")


def _mobility_name(message: MobilityMessage) -> str:
    if isinstance(message, UnknownMessage):
        return MESSAGES.get(message.type, f"MH{message.type}")
    if proxy(message) is not None:
        star = any(type(option).number in NEW_IN_8885 for option in message.options if hasattr(option, "align"))
        return f"{'P' if proxy(message) else ''}{MESSAGES[message.number]}{'*' if star else ''}"
    if message.number in SUBTYPED:
        return SUBTYPED[message.number].get(subtype(message), words(type(message)))
    return MESSAGES.get(message.number) or words(type(message))


def subtype(message: MobilityMessage) -> int:
    """The number with which the data of types 16 and 21 begin."""
    for name in ("revocation_type", "flow_binding_type", "fb_type", "message_type", "subtype"):
        value = getattr(message, name, None)
        if isinstance(value, int):
            return value
    return 0


def proxy(message: MobilityMessage) -> bool | None:
    """Whether a Binding Update or Acknowledgement belongs to Proxy Mobile IPv6; None for other messages."""
    if isinstance(message, BindingUpdate):
        return bool(message.flags & BindingUpdateFlags.P)
    if isinstance(message, BindingAcknowledgement):
        return bool(message.flags & wire.BindingAcknowledgementFlags.P)
    return None


def words(cls: Any) -> str:
    """``Binding Update`` for the class `BindingUpdate`."""
    return _words(cls.__name__)


@cache
def _words(name: str) -> str:
    return " ".join(re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z][a-z]*\d*", name))


def option_name(cls: Any) -> str:
    """A word or two for an option of any kind."""
    if issubclass(cls, wire.MobilityOption) and cls.number in OPTIONS:
        return OPTIONS[cls.number]
    return words(cls).lower()


@lru_cache(4096)
def flag_words(kind: type[IntFlag], value: int) -> tuple[str, ...]:
    """The names of the bits that are set; those without a name as one hexadecimal number."""
    found = [_flag_name(member) for member in kind if value & member == member]
    unknown = value
    for member in kind:
        unknown &= ~int(member)
    return (*found, hex(unknown)) if unknown else tuple(found)


def _flag_name(member: IntFlag) -> str:
    """Not cached: members of different enumerations are equal when their numbers are."""
    name = member.name or hex(member)
    return name if len(name) == 1 else name.lower().replace("_", "-")


@lru_cache(4096)
def value_word(kind: type[IntEnum], value: int) -> str:
    """A registered value in words."""
    try:
        return kind(value).name.lower().replace("_", " ")
    except ValueError:
        return f"unknown {value}"
