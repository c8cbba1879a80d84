"""Messages and options as rows of names, values and text, whatever their class declares.

The same walk over the declared fields serves the line, the tree and JSON: a value is rendered once as what JSON takes
and once as what people read. Durations become seconds, addresses and prefixes text, registered values words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntFlag
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

from sojourn.capture import names
from sojourn.wire.addresses import Prefix, link_layer_text
from sojourn.wire.fields import Bits, Flag, Kind, Octets, Rest, Scaled, Tlvs
from sojourn.wire.generate import kinds
from sojourn.wire.units import SECOND, wall_clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENDLESS = frozenset({"lifetime", "valid", "preferred"})
"""Fields whose largest value means infinity."""
_LONGEST = 64
"""Octets that a line shows of a value without a meaning here."""


class Row(NamedTuple):
    """One field."""

    name: str
    value: Any
    """For JSON."""
    text: str
    """For people; empty when there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Identities:
    """How to write what tells who somebody is. The defaults hide nothing."""

    node: Callable[[bytes], str] = bytes.hex
    """Of the subtype and identifier in a Mobile Node Identifier option."""
    link_layer: Callable[[bytes], str] = link_layer_text
    address: Callable[[str], str] = str
    hidden: bool = False
    """Octets that nobody could decode are not shown either: they may hold an identifier."""


def address_text(octets: bytes) -> str:
    """An address of either version."""
    return str(IPv6Address(octets)) if len(octets) == 16 else str(IPv4Address(octets))


def time_text(wall: int) -> str:
    """``2026-05-01T12:00:00.123456789Z``; far away from our time, seconds since 1970."""
    seconds, rest = divmod(wall, SECOND)
    try:
        whole = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    except OverflowError:
        return f"{seconds}.{rest:09d}"
    return f"{whole}.{rest:09d}Z"


def seconds_text(duration: int) -> str:
    """``300 s``, ``1.5 s``."""
    return f"{duration / SECOND:g} s" if duration % SECOND else f"{duration // SECOND} s"


def clean(text: str) -> str:
    """Without what could control a terminal."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


class Words:
    """Renders declared objects."""

    def __init__(self, identities: Identities | None = None) -> None:
        self._who = identities or Identities()
        self._addresses: dict[bytes, str] = {}

    def address(self, octets: bytes) -> str:
        """An address, as far as it may be shown."""
        known = self._addresses.get(octets)
        if known is None:
            if len(self._addresses) > 10_000:
                self._addresses.clear()
            known = self._addresses[octets] = self._who.address(address_text(octets))
        return known

    def node(self, octets: bytes) -> str:
        """A node, from the subtype and identifier of its option."""
        return clean(self._who.node(octets))

    def opaque(self, octets: bytes) -> Row:
        """Octets that nobody could decode."""
        if self._who.hidden:
            return Row("octets", None, f"[{len(octets)}]")
        return Row("octets", octets.hex(), _octets_text(octets))

    def rows(self, thing: Any) -> list[Row]:
        """The fields of a message or option, without its options; reserved ones only if they are not zero."""
        cls = type(thing)
        if not hasattr(cls, "align"):  # unknown or malformed: octets
            return [self.opaque(thing.data)]
        rows = []
        prefixed = "prefix_length" in cls.__annotations__ and isinstance(getattr(cls, "prefix", None), property)
        for name, kind in _kinds(cls):
            value = getattr(thing, name)
            if name.startswith("reserved") and not value:
                continue
            if prefixed and name in _PREFIX_FIELDS:
                if name == "prefix_length":
                    rows.append(self._prefix(thing.prefix))
                continue
            if name != "options" and (row := self._row(thing, name, kind, value)):
                rows.append(row)
        return rows

    def nested(self, thing: Any) -> Sequence[Any]:
        """Options within an option."""
        for name, kind in _kinds(type(thing)) if hasattr(type(thing), "align") else ():
            if isinstance(kind, Tlvs):
                return tuple(getattr(thing, name))
        return ()

    def brief(self, option: Any) -> str:
        """An option in a few words."""
        if not hasattr(type(option), "align"):
            number = getattr(option, "type", None)
            return f"option {number} [{len(option.data)}]" if number is not None else f"remainder [{len(option.data)}]"
        values = [_brief(row) for row in self.rows(option) if row.text and row.name not in _TOO_LONG]
        inner = [self.brief(item) for item in self.nested(option)]
        return " ".join(filter(None, [names.option_name(type(option)), *values, *inner]))

    def _prefix(self, prefix: Prefix) -> Row:
        text = f"{self.address(prefix.address)}/{prefix.length}"
        return Row("prefix", text, text)

    def _row(self, thing: Any, name: str, kind: Kind, value: Any) -> Row | None:
        match kind:
            case Scaled():
                endless = value == kind.limit and name in _ENDLESS
                plain = value // SECOND if value % SECOND == 0 else value / SECOND
                return Row(name, "infinite" if endless else plain, "infinite" if endless else seconds_text(value))
            case Octets() | Rest():
                return self._octets(thing, name, value)
            case Flag():
                return Row(name, bool(value), name.replace("_", "-") if value else "")
            case Tlvs():
                return None
        if isinstance(value, tuple):
            parts = [self._item(item) for item in value]
            return Row(name, parts, ",".join(map(str, parts)))
        if isinstance(value, bytes):
            return self._octets(thing, name, value)
        if name == "ticks":
            text = time_text(wall_clock(value))
            return Row("time", text, text.partition("T")[2] or text)
        return self._number(type(thing), name, kind, value)

    def _number(self, cls: type, name: str, kind: Kind, value: int) -> Row:
        enumeration = names.enumeration(cls, name)
        if enumeration is None:
            return Row(name, value, str(value))
        if issubclass(enumeration, IntFlag):
            found = names.flag_words(enumeration, value)
            letters = all(len(word) == 1 for word in found)
            return Row(name, found, ("" if letters else "+").join(found))
        word = names.value_word(enumeration, value)
        return Row(name, word, word if not isinstance(kind, Bits) or value else "")

    def _item(self, item: Any) -> Any:
        return (self.address(item) if len(item) in (4, 16) else item.hex()) if isinstance(item, bytes) else item

    def _octets(self, thing: Any, name: str, value: bytes) -> Row:
        cls = type(thing).__name__
        if cls == "MobileNodeIdentifier" and name == "identifier":
            text = self.node(bytes((thing.subtype,)) + value)
        elif (name in _LINK_LAYER or "LinkLayer" in cls) and value:
            text = self._who.link_layer(value)
        elif len(value) in (4, 16) and any(part in name or part in cls.lower() for part in _ADDRESS_WORDS):
            text = self.address(value)
        elif name in _TEXTS and _readable(value):
            text = value.decode()
            return Row(name, text, text)
        else:
            return Row(name, value.hex(), _octets_text(value))
        return Row(name, text, text)


_PREFIX_FIELDS = ("prefix_length", "address", "leading", "prefix_octets")
_LINK_LAYER = frozenset({"link_layer", "link_layer_address", "lla"})
_ADDRESS_WORDS = ("address", "maar", "target", "group", "prefix", "destination", "source", "router", "anchor")
_TEXTS = frozenset({"identifier", "name", "realm", "ssid", "service", "text", "operator"})
_TOO_LONG = frozenset({"subtype", "authenticator", "signature", "parameters"})


def _brief(row: Row) -> str:
    return row.text if len(row.text) <= 48 else f"{row.text[:45]}..."


def _readable(octets: bytes) -> bool:
    try:
        return bool(octets) and octets.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _octets_text(octets: bytes) -> str:
    return octets.hex() if len(octets) <= _LONGEST else f"{octets[:_LONGEST].hex()}... [{len(octets)}]"


_KINDS: dict[Any, tuple[tuple[str, Kind], ...]] = {}


def _kinds(cls: Any) -> tuple[tuple[str, Kind], ...]:
    known = _KINDS.get(cls)
    if known is None:
        known = _KINDS[cls] = tuple(kinds(cls).items())
    return known
