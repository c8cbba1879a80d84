"""Addresses and prefixes as octets.

An IPv6 address is its 16 octets, an `Address`; a prefix is the pair `Prefix`. Octets hash, compare and
travel faster than `ipaddress` objects and an engine never needs more than that; text is for people and is made
at the edge, with the functions below.

An IPv4 address is the IPv6 address that is mapped from it (RFC 4291 2.5.5.2), an IPv4 prefix one of 96 bits or more:
whoever forwards, signals or keeps prefixes does so for both. Text shows it as IPv4.
"""

from __future__ import annotations

import re
import struct
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple, TypeAlias

Address: TypeAlias = bytes
"""An IPv6 address: 16 octets."""
LinkLayer: TypeAlias = bytes
"""A link-layer address: 6 octets on Ethernet."""

UNSPECIFIED: Address = bytes(16)
ALL_NODES: Address = IPv6Address("ff02::1").packed

_MASKS = [((1 << 128) - (1 << (128 - length))).to_bytes(16, "big") for length in range(129)]
_MASK_NUMBERS = [int.from_bytes(mask, "big") for mask in _MASKS]


class Prefix(NamedTuple):
    """An IPv6 prefix. `address` has no bit set beyond `length`; make one with `of` when that is not certain."""

    address: Address
    length: int

    @staticmethod
    @lru_cache(maxsize=4096)
    def of(address: Address, length: int) -> Prefix:
        """The prefix of `length` bits that contains `address`. The same object for the same prefix, mostly."""
        number = int.from_bytes(address, "big") & _MASK_NUMBERS[length]
        return Prefix(number.to_bytes(16, "big"), length)

    def contains(self, other: Prefix) -> bool:
        """Whether `other` lies within this prefix (or is it)."""
        if other.length < self.length:
            return False
        return self.overlaps(other)

    def overlaps(self, other: Prefix) -> bool:
        """Whether one of both lies within the other."""
        length = min(self.length, other.length)
        whole, rest = length >> 3, length & 7
        if self.address[:whole] != other.address[:whole]:
            return False
        return not rest or not (self.address[whole] ^ other.address[whole]) >> (8 - rest)

    def covers(self, address: Address) -> bool:
        """Whether `address` lies within this prefix."""
        return Prefix.of(address, self.length) == self

    def subnet(self, index: int, length: int) -> Prefix:
        """The `index`-th prefix of `length` bits inside this one."""
        number = int.from_bytes(self.address, "big") + (index << (128 - length))
        return Prefix(number.to_bytes(16, "big"), length)

    def index(self, inner: Prefix) -> int:  # type: ignore[override]
        """The inverse of `subnet`."""
        difference = int.from_bytes(inner.address, "big") - int.from_bytes(self.address, "big")
        return difference >> (128 - inner.length)

    @property
    def is_ipv4(self) -> bool:
        """Whether it is an IPv4 prefix, mapped."""
        return self.length >= 96 and is_ipv4(self.address)

    def __str__(self) -> str:
        return f"{text(self.address)}/{self.length - 96 if self.is_ipv4 else self.length}"


ANY = Prefix(UNSPECIFIED, 0)
"""``::/0``: in a Home Network Prefix option it asks for a prefix (RFC 5213 8.3)."""


_MAPPED = bytes(10) + b"\xff\xff"
ANY_IPV4 = Prefix(_MAPPED + bytes(4), 96)
"""``0.0.0.0/0``."""


def is_ipv4(octets: Address) -> bool:
    """Whether it is an IPv4 address, mapped."""
    return octets[:12] == _MAPPED


def from_ipv4(octets: bytes) -> Address:
    """The address that stands for an IPv4 address of 4 octets."""
    return _MAPPED + octets


def to_ipv4(octets: Address) -> bytes:
    """The inverse of `from_ipv4`."""
    return octets[12:]


def address(text_form: str) -> Address:
    """The octets of an address in text, IPv4 or IPv6. Raises ValueError."""
    return IPv6Address(text_form).packed if ":" in text_form else from_ipv4(IPv4Address(text_form).packed)


def prefix(text_form: str) -> Prefix:
    """The prefix in text, IPv4 or IPv6; host bits must be zero. Raises ValueError."""
    if ":" in text_form:
        network = IPv6Network(text_form)
        return Prefix(network.network_address.packed, network.prefixlen)
    of_ipv4 = IPv4Network(text_form)
    return Prefix(from_ipv4(of_ipv4.network_address.packed), 96 + of_ipv4.prefixlen)


@lru_cache(maxsize=4096)
def text(octets: Address) -> str:
    """An address for people (RFC 5952). The few that a router speaks with are remembered. Raises ValueError."""
    if is_ipv4(octets):
        return str(IPv4Address(octets[12:]))
    if len(octets) != 16:
        raise ValueError(f"an address of {len(octets)} octets")
    words = _WORDS.unpack(octets)
    plain = ":".join([f"{word:x}" for word in words])
    zeros = max(_ZEROS.finditer(plain), key=_length, default=None) if 0 in words else None
    return plain if zeros is None else (plain[: zeros.start()] or ":") + (plain[zeros.end() :] or ":")


def _length(found: re.Match[str]) -> int:
    return found.end() - found.start()


_WORDS = struct.Struct("!8H")
_ZEROS = re.compile(r"(?<![^:])0(?::0)+(?![^:])")
"""Zeros that ``::`` may stand for; the first of the longest is taken. In half the time that `ipaddress` takes."""


def link_layer(text_form: str) -> LinkLayer:
    """The octets of ``02:00:00:00:00:01``. Raises ValueError."""
    return bytes.fromhex(text_form.replace(":", "").replace("-", ""))


def link_layer_text(octets: LinkLayer) -> str:
    """``02:00:00:00:00:01``."""
    return octets.hex(":")


def eui64_link_local(octets: LinkLayer) -> Address:
    """The link-local address that RFC 4291 makes of an EUI-48 (modified EUI-64)."""
    identifier = bytes((octets[0] ^ 2,)) + octets[1:3] + b"\xff\xfe" + octets[3:6]
    return b"\xfe\x80" + bytes(6) + identifier
