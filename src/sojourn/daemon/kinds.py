"""Kinds of values that keys of the configuration file have, beside those that any file has (`sojourn.files.fields`)."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, PlainValidator, Strict, WithJsonSchema

from sojourn.files.fields import Expected, InterfaceField, LinkLayerField, wrong

Listen: TypeAlias = tuple[str, int]
"""An address of this machine, and a port of TCP."""


def parse_listen(value: object) -> Listen:
    """``[2001:db8::1]:9478``, or ``192.0.2.1:9478``."""
    if isinstance(value, tuple):
        return value
    found = _LISTEN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise wrong(f"{value!r} is not an address in brackets and a port")
    try:
        address = str(IPv6Address(found[1])) if found[1] is not None else str(IPv4Address(found[2]))
    except ValueError:
        raise wrong(f"{value!r} has no address of this machine before the port") from None
    port = int(found[3])
    if not 0 < port < 1 << 16:
        raise wrong(f"{value!r} has a port that is not from 1 to 65535")
    return address, port


_LISTEN = re.compile(r"(?:\[([0-9A-Fa-f:.%a-z]+)\]|([0-9.]+)):([0-9]{1,6})")

ModeField: TypeAlias = Annotated[
    Literal["proxy", "relay", "locator", "direct"],
    Expected('"proxy", "relay" or "locator" (RFC 8885 3.2 to 3.4), or "direct", the same in the whole domain', "proxy"),
]
LogField: TypeAlias = Annotated[
    Literal["debug", "info", "warning", "error"], Expected('"debug", "info", "warning" or "error"', "info")
]
LevelField: TypeAlias = Annotated[
    Literal["debug", "info", "warning", "error"] | None, Expected('"debug", "info", "warning" or "error"', "debug")
]
LogFormatField: TypeAlias = Annotated[
    Literal["text", "json", "journal"], Expected('"text", "json" or "journal"', "json")
]
ListenField: TypeAlias = Annotated[
    Listen,
    PlainValidator(parse_listen),
    WithJsonSchema({"type": "string", "pattern": r"^(\[.*\]|[0-9.]+):[0-9]+$"}),
    Expected("an address in brackets (or one of IPv4) and a port", "[::1]:9478"),
]
IdentifiersField: TypeAlias = Annotated[Literal["hashed", "plain"], Expected('"hashed" or "plain"', "plain")]
ToleranceField: TypeAlias = Annotated[
    Literal["mad-pmipv6", "oai-pmipv6", "opmip", "inet", "umip-dsmip"] | None,
    Expected('"mad-pmipv6", "oai-pmipv6", "opmip", "inet" or "umip-dsmip"', "mad-pmipv6"),
]
Dhcpv6Field: TypeAlias = Annotated[
    Literal["off", "stateless", "stateful"], Expected('"off", "stateless" or "stateful"', "stateful")
]
BackendField: TypeAlias = Annotated[
    Literal["auto", "seg6", "ip6tnl", "memory"], Expected('"auto", "seg6", "ip6tnl" or "memory"', "ip6tnl")
]
DatabasesField: TypeAlias = Annotated[
    tuple[Annotated[str, Field(pattern="^postgres(ql)?://")], ...],
    Expected(
        "a list of connection strings of PostgreSQL", ["postgresql://db1,db2/sojourn?target_session_attrs=read-write"]
    ),
]
CountField: TypeAlias = Annotated[
    int, Strict(), Field(ge=1, le=100_000_000), Expected("a whole number from 1 to 100000000", 1000)
]
HandoversField: TypeAlias = Annotated[
    int, Strict(), Field(ge=0, le=1024), Expected("a whole number from 0 to 1024", 32)
]
AccessPointsField: TypeAlias = Annotated[
    tuple[LinkLayerField, ...], Expected("a list of link-layer addresses", ["02:00:00:00:00:a1"])
]
FewField: TypeAlias = Annotated[int, Strict(), Field(ge=1, le=64), Expected("a whole number from 1 to 64", 8)]
MtuField: TypeAlias = Annotated[
    int,
    Strict(),
    Field(ge=1320, le=65535),
    Expected("a number of octets from 1320 (1280 and a tunnel) to 65535", 1500),
]
LengthField: TypeAlias = Annotated[int, Strict(), Field(ge=48, le=64), Expected("a whole number from 48 to 64", 64)]
DelegatedField: TypeAlias = Annotated[int, Strict(), Field(ge=48, le=63), Expected("a whole number from 48 to 63", 60)]
PairField: TypeAlias = Annotated[
    tuple[InterfaceField, InterfaceField], Expected("two names of interfaces", ["sojourn0", "sojourn1"])
]
TableField: TypeAlias = Annotated[
    int, Strict(), Field(ge=1, le=(1 << 32) - 7), Expected("a whole number, and five after it, but not 253 to 255", 50)
]
PriorityField: TypeAlias = Annotated[
    int, Strict(), Field(ge=1, le=32_000), Expected("a whole number from 1 to 32000", 9)
]
NexthopField: TypeAlias = Annotated[
    int, Strict(), Field(ge=1, le=(1 << 32) - (3 << 24)), Expected("a whole number below 2^32 - 3 * 2^24", 0x8C000000)
]
MarkField: TypeAlias = Annotated[
    int, Strict(), Field(ge=1, le=(1 << 32) - 1), Expected("a whole number of 32 bits, not 0", 0x8C0000)
]
HoldField: TypeAlias = Annotated[
    int, Strict(), Field(ge=4096, le=1 << 30), Expected("a number of octets from 4096 to 2^30", 1 << 20)
]
SecondsField: TypeAlias = Annotated[int, Strict(), Field(ge=1, le=60), Expected("a whole number from 1 to 60", 5)]
RobustnessField: TypeAlias = Annotated[int, Strict(), Field(ge=1, le=7), Expected("a whole number from 1 to 7", 2)]
OctetField: TypeAlias = Annotated[int, Strict(), Field(ge=0, le=255), Expected("a whole number from 0 to 255", 4)]
