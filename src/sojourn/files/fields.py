"""The values that a configuration file may hold: how they are written, what they become, what to say when wrong.

Each kind is a pydantic annotation with an `Expected` beside it, from which the error messages, the JSON Schema and
``docs/configuration.md`` are made.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, TypeAlias

from pydantic import PlainValidator, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from sojourn.wire.addresses import Address, LinkLayer, Prefix, from_ipv4, prefix
from sojourn.wire.extensions.rfc8371 import SIZES, imsi
from sojourn.wire.units import HOUR, MICROSECOND, MILLISECOND, MINUTE, SECOND, Duration
from sojourn.wire.values import IdentifierType

_UNITS = {"us": MICROSECOND, "ms": MILLISECOND, "s": SECOND, "m": MINUTE, "min": MINUTE, "h": HOUR}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)")
_NAI, _EUI_48 = 1, 5
"""Subtypes of the Mobile Node Identifier option (RFC 4283, RFC 8371)."""
_LONGEST = 1000 * 365 * 24 * HOUR


@dataclass(frozen=True)
class Expected:
    """What a value of this kind is, in words, and one that is right."""

    what: str
    example: object


def wrong(sentence: str) -> PydanticCustomError:
    """The value is not of its kind, because `sentence`."""
    return PydanticCustomError("sojourn", "{sentence}", {"sentence": sentence})


def parse_address(value: object) -> Address:
    """An IPv6 address that a packet can have as its source."""
    if isinstance(value, bytes) and len(value) == 16:
        return value
    if not isinstance(value, str):
        raise wrong(f"{value!r} is not a text")
    try:
        address = IPv6Address(value)
    except ValueError:
        raise wrong(f"{value!r} is not an IPv6 address") from None
    if address.scope_id or address.is_multicast or address.is_unspecified or address.is_loopback:
        raise wrong(f"{value!r} is not an address that other routers can reach")
    if address.is_link_local:
        raise wrong(f"{value!r} is a link-local address, which other routers cannot reach")
    return address.packed


def parse_link_local(value: object) -> Address:
    """An address of fe80::/64."""
    if isinstance(value, bytes) and len(value) == 16:
        return value
    if not isinstance(value, str):
        raise wrong(f"{value!r} is not a text")
    try:
        address = IPv6Address(value)
    except ValueError:
        raise wrong(f"{value!r} is not an IPv6 address") from None
    if address not in IPv6Network("fe80::/64") or address == IPv6Address("fe80::") or address.scope_id:
        raise wrong(f"{value!r} is not a link-local address")
    return address.packed


def parse_link_layer(value: object) -> LinkLayer:
    """An Ethernet address of one station."""
    if isinstance(value, bytes) and len(value) == 6:
        return value
    if not isinstance(value, str) or not re.fullmatch(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}", value):
        raise wrong(f"{value!r} is not an Ethernet address")
    octets = bytes.fromhex(value.replace(":", "").replace("-", ""))
    if octets[0] & 1 or not any(octets):
        raise wrong(f"{value!r} is not the address of one station")
    return octets


def parse_prefix(value: object) -> Prefix:
    """An IPv6 prefix without host bits."""
    if isinstance(value, Prefix):
        return value
    if not isinstance(value, str):
        raise wrong(f"{value!r} is not a text")
    try:
        network = IPv6Network(value, strict=False)
    except ValueError:
        raise wrong(f"{value!r} is not an IPv6 prefix") from None
    if "/" not in value:
        raise wrong(f"{value!r} has no length")
    found = Prefix(network.network_address.packed, network.prefixlen)
    if IPv6Address(value.split("/")[0]) != network.network_address:
        raise wrong(f"{value!r} has bits set beyond its length; the prefix is {found}")
    return found


def parse_pool(value: object) -> Prefix:
    """A prefix from which /64s are taken."""
    found = parse_prefix(value)
    if found.length > 64:
        raise wrong(f"{found} has no room for a /64")
    if found.length < 16:
        raise wrong(f"{found} is more than anybody's network")
    if IPv6Address(found.address).is_link_local or IPv6Address(found.address).is_multicast:
        raise wrong(f"{found} is not for addresses of nodes")
    return found


def parse_ipv4_pool(value: object) -> Prefix:
    """An IPv4 prefix from which addresses are taken."""
    if isinstance(value, Prefix):
        return value
    if not isinstance(value, str):
        raise wrong(f"{value!r} is not a text")
    try:
        network = IPv4Network(value, strict=False)
    except ValueError:
        raise wrong(f"{value!r} is not an IPv4 prefix") from None
    if "/" not in value:
        raise wrong(f"{value!r} has no length")
    if IPv4Address(value.split("/")[0]) != network.network_address:
        raise wrong(f"{value!r} has bits set beyond its length; the prefix is {network}")
    if not 8 <= network.prefixlen <= 29:
        raise wrong(f"{value!r} has no room for hosts, or is more than anybody's network")
    if network.is_multicast or network.is_loopback or network.is_link_local or network.is_unspecified:
        raise wrong(f"{value!r} is not for addresses of nodes")
    return prefix(value)


def parse_ipv4_address(value: object) -> Address:
    """An IPv4 address that a router can have, mapped."""
    try:
        found = IPv4Address(value if isinstance(value, str) else "")
    except ValueError:
        raise wrong(f"{value!r} is not an IPv4 address") from None
    if found.is_multicast or found.is_unspecified or found.is_loopback or found.is_link_local or found.packed[0] > 239:
        raise wrong(f"{value!r} is not an address that routers are reached at")
    return from_ipv4(found.packed)


def parse_name_server(value: object) -> Address:
    """An address of either family that hosts can reach."""
    if isinstance(value, str) and ":" not in value:
        try:
            found = IPv4Address(value)
        except ValueError:
            raise wrong(f"{value!r} is not an address") from None
        if found.is_multicast or found.is_unspecified or found.is_loopback or found.is_link_local:
            raise wrong(f"{value!r} is not an address that hosts can reach")
        return from_ipv4(found.packed)
    return parse_address(value)


def parse_domain(value: object) -> str:
    """A domain name as it is written, without the dot at the end."""
    if not isinstance(value, str) or not re.fullmatch(r"(?i)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", value):
        raise wrong(f"{value!r} is not a domain name")
    if len(value) > 253:
        raise wrong(f"{value[:20]!r}... is too long for a domain name")
    return value


def parse_duration(value: object) -> Duration:
    """``"250ms"``, ``"60s"``, ``"5m"``, ``"1h"`` or a number of seconds, as nanoseconds."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong(f"{value!r} is not a length of time")
    if isinstance(value, str):
        return _parse_duration_text(value)
    if (isinstance(value, float) and not math.isfinite(value)) or value < 0:
        raise wrong(f"{value!r} is not a length of time")
    return _bounded(round(min(value, _LONGEST) * SECOND), value)  # a float may be too long even to be counted


def _parse_duration_text(value: str) -> Duration:
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise wrong(f"{value!r} is not a length of time")
    number, unit = match.groups()
    if unit not in _UNITS:
        raise wrong(f"{value!r} has the unknown unit {unit!r} (there are {', '.join(_UNITS)})")
    return _bounded(round(float(number) * _UNITS[unit]), value)


def _bounded(duration: Duration, written: object) -> Duration:
    if duration > _LONGEST:
        raise wrong(f"{written!r} is longer than anything lasts")
    return duration


def duration_text(duration: Duration) -> str:
    """A length of time as it is written in a file."""
    for unit in ("h", "m", "s", "ms"):
        if duration and duration % _UNITS[unit] == 0:
            return f"{duration // _UNITS[unit]}{unit}"
    return f"{duration / SECOND:g}s"


def parse_identifier(value: object) -> bytes:
    """Subtype and identifier of a Mobile Node Identifier option (RFC 4283).

    A link-layer address, one of another type of RFC 8371 as ``imsi:001010123456789`` (`_SCHEMES`), or any other text.
    """
    if isinstance(value, bytes) and len(value) > 1:
        return value
    if not isinstance(value, str):
        raise wrong(f"{value!r} is not a text")
    if re.fullmatch(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}", value):
        return bytes((_EUI_48,)) + parse_link_layer(value)
    scheme, separator, rest = value.partition(":")
    if separator and scheme in _SCHEMES:
        return _typed_identifier(_SCHEMES[scheme], rest)
    octets = value.encode()
    if not 0 < len(octets) <= 253 or not value.isprintable() or value != value.strip():
        raise wrong(f"{value[:60]!r} is not an identifier of 1 to 253 octets")
    return bytes((_NAI,)) + octets


_SCHEMES = {
    "ipv6": IdentifierType.IPV6_ADDRESS,
    "imsi": IdentifierType.IMSI,
    "p-tmsi": IdentifierType.P_TMSI,
    "eui-64": IdentifierType.EUI_64,
    "guti": IdentifierType.GUTI,
    "duid": IdentifierType.DUID,
}
"""How identifiers of other types than names and Ethernet addresses begin (RFC 8371)."""


def _typed_identifier(kind: IdentifierType, text: str) -> bytes:
    try:
        if kind is IdentifierType.IPV6_ADDRESS:
            octets = IPv6Address(text).packed
        elif kind is IdentifierType.IMSI:
            octets = imsi(text)
        else:
            octets = bytes.fromhex(text.replace(":", "").replace("-", ""))
    except ValueError:
        octets = b""
    sizes = SIZES.get(kind, range(1, 254))
    if len(octets) not in sizes:
        raise wrong(f"{text[:60]!r} is not an identifier of the type {kind.name} (RFC 8371)")
    return bytes((kind,)) + octets


def _parse_interface(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value.encode()) < 16 or re.search(r"[\s/:%]", value):
        raise wrong(f"{value!r} is not the name of an interface")
    return value


def _parse_name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value):
        raise wrong(f"{value!r} is not a name")
    return value


def _parse_path(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise wrong(f"{value!r} is not a path")
    return value


def _parse_socket_path(value: object) -> str:
    path = _parse_path(value)
    if not path:
        raise wrong("an empty path")
    if not path.startswith("/"):
        raise wrong(f"{path!r} depends on where the daemon is started")
    if len(path.encode()) > 107:  # sun_path of sockaddr_un
        raise wrong(f"{path!r} is longer than the 107 octets that a Unix socket may have")
    return path


def _text(pattern: str | None = None) -> WithJsonSchema:
    return WithJsonSchema({"type": "string"} | ({"pattern": pattern} if pattern else {}))


DURATION = Expected('a length of time as "250ms", "60s", "5m" or "1h", or a number of seconds', "60s")

AddressField: TypeAlias = Annotated[
    Address, PlainValidator(parse_address), _text(), Expected("an IPv6 address", "2001:db8:a1::1")
]
LinkLocalField: TypeAlias = Annotated[
    Address,
    PlainValidator(parse_link_local),
    _text(),
    Expected("a link-local address", "fe80::200:5eff:fe00:5213"),
]
LinkLayerField: TypeAlias = Annotated[
    LinkLayer, PlainValidator(parse_link_layer), _text(), Expected("an Ethernet address", "00:00:5e:00:52:13")
]
IdentifierField: TypeAlias = Annotated[
    bytes,
    PlainValidator(parse_identifier),
    _text(),
    Expected(
        "an identifier as user@realm, an Ethernet address, or one of RFC 8371 as imsi:001010123456789",
        "user@example.net",
    ),
]
PrefixField: TypeAlias = Annotated[
    Prefix, PlainValidator(parse_prefix), _text("/"), Expected("an IPv6 prefix", "2001:db8:a100::/48")
]
PoolField: TypeAlias = Annotated[
    Prefix,
    PlainValidator(parse_pool),
    _text("/"),
    Expected("an IPv6 prefix of 16 to 64 bits", "2001:db8:a100::/48"),
]
Ipv4PoolField: TypeAlias = Annotated[
    Prefix,
    PlainValidator(parse_ipv4_pool),
    _text("/"),
    Expected("an IPv4 prefix of 8 to 29 bits", "10.1.0.0/16"),
]
Ipv4AddressField: TypeAlias = Annotated[
    Address, PlainValidator(parse_ipv4_address), _text(), Expected("an IPv4 address", "192.0.2.1")
]
NameServersField: TypeAlias = Annotated[
    tuple[Annotated[Address, PlainValidator(parse_name_server), _text()], ...],
    Expected("a list of IPv4 or IPv6 addresses", ["2001:db8:53::1", "192.0.2.53"]),
]
DomainsField: TypeAlias = Annotated[
    tuple[Annotated[str, PlainValidator(parse_domain), _text()], ...],
    Expected("a list of domain names", ["example.net"]),
]
DurationField: TypeAlias = Annotated[
    Duration,
    PlainValidator(parse_duration),
    WithJsonSchema({"type": ["string", "number"]}),
    DURATION,
]
InterfaceField: TypeAlias = Annotated[
    str, PlainValidator(_parse_interface), _text(), Expected("the name of an interface", "acc0")
]
NameField: TypeAlias = Annotated[
    str,
    PlainValidator(_parse_name),
    _text("^[A-Za-z0-9_.-]{1,64}$"),
    Expected("a name of letters, digits, dots, dashes and underscores", "ar1"),
]
PathField: TypeAlias = Annotated[
    str, PlainValidator(_parse_path), _text(), Expected("a path", "/var/lib/sojourn/ar1.sqlite")
]
SocketField: TypeAlias = Annotated[
    str,
    PlainValidator(_parse_socket_path),
    _text(),
    Expected("the path of a Unix socket, from the root", "/run/sojourn/ar1.sock"),
]
SwitchField: TypeAlias = Annotated[bool, Strict(), Expected("true or false", True)]
TextField: TypeAlias = Annotated[str, Strict(), Expected("a text", "correct horse battery")]
