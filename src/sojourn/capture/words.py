"""Messages and options as rows of names, values and text, whatever their class declares.

The same walk over the declared fields serves the line, the tree and JSON: a value is rendered once as what JSON takes
and once as what people read. Durations become seconds, addresses and prefixes text, registered values words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum, IntFlag
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from sojourn.capture import names
from sojourn.wire.addresses import Prefix, link_layer_text
from sojourn.wire.fields import Flag, Kind, Octets, Rest, Scaled, Tlvs
from sojourn.wire.generate import kinds
from sojourn.wire.names import enumerations
from sojourn.wire.units import SECOND, wall_clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENDLESS = frozenset({"lifetime", "valid", "preferred"})
"""Fields whose largest value means infinity."""
_REMEMBERED = 10_000
"""Addresses and options whose text is kept."""
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
    whole = _second_text(seconds)
    return f"{whole}.{rest:09d}Z" if whole else f"{seconds}.{rest:09d}"


@lru_cache(1024)
def _second_text(seconds: int) -> str:
    try:
        return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    except OverflowError:
        return ""


def seconds_text(duration: int) -> str:
    """``300 s``, ``1.5 s``."""
    seconds, rest = divmod(duration, SECOND)
    return f"{seconds}.{rest:09d}".rstrip("0") + " s" if rest else f"{seconds} s"


def clean(text: str) -> str:
    """Without what could control a terminal."""
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


class Words:
    """Renders declared objects."""

    def __init__(self, identities: Identities | None = None) -> None:
        self._who = identities or Identities()
        self._addresses: dict[bytes, str] = {}
        self._briefs: dict[Any, str] = {}

    def address(self, octets: bytes) -> str:
        """An address, as far as it may be shown."""
        known = self._addresses.get(octets)
        if known is None:
            if len(self._addresses) > _REMEMBERED:
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
        plan = _PLANS.get(cls)
        if plan is None:
            if not hasattr(cls, "align"):  # unknown or malformed: octets
                return [self.opaque(thing.data)]
            plan = _PLANS[cls] = _plan(cls)
        rows = []
        for name, render, quiet in plan:
            value = getattr(thing, name)
            if (value or not quiet) and (row := render(self, thing, name, value)) is not None:
                rows.append(row)
        return rows

    def nested(self, thing: Any) -> Sequence[Any]:
        """Options within an option."""
        layout = getattr(type(thing), "layout", None)
        tail = layout.tail if layout is not None else None
        return getattr(thing, tail[0]) if tail is not None and isinstance(tail[1], Tlvs) else ()

    def brief(self, option: Any) -> str:
        """An option in a few words."""
        cls = type(option)
        values = _values(cls)
        if values is None:
            return self._brief(option)
        key = (cls, values(option))  # captures repeat themselves
        known = self._briefs.get(key)
        if known is None:
            if len(self._briefs) > _REMEMBERED:
                self._briefs.clear()
            known = self._briefs[key] = self._brief(option)
        return known

    def _brief(self, option: Any) -> str:
        if not hasattr(type(option), "align"):
            number = getattr(option, "type", None)
            return f"option {number} [{len(option.data)}]" if number is not None else f"remainder [{len(option.data)}]"
        rows = [row for row in self.rows(option) if row.text and not row.name.startswith(_TOO_LONG)]
        values = [_brief(row, len(rows) > 1) for row in rows]
        inner = [self.brief(item) for item in self.nested(option)]
        return " ".join(filter(None, [names.option_name(type(option)), *values, *inner]))

    def prefix(self, thing: Any, name: str, value: Any) -> Row:
        """The field `prefix_length`, which stands for the prefix."""
        prefix: Prefix | None = getattr(thing, "prefix", None)
        octets, length = (thing.address, value) if prefix is None else prefix
        text = f"{self.address(octets) if len(octets) in (4, 16) else octets.hex()}/{length}"
        return Row("prefix", text, text)

    def other(self, thing: Any, name: str, value: Any) -> Row:
        """A field without a kind of its own here: octets, numbers, or several of either."""
        if isinstance(value, bytes):
            return self.octets(thing, name, value)
        if isinstance(value, tuple):
            parts = [self._item(item) for item in value]
            return Row(name, parts, ",".join(map(str, parts)))
        return Row(name, value, str(value))

    def _item(self, item: Any) -> Any:
        return (self.address(item) if len(item) in (4, 16) else item.hex()) if isinstance(item, bytes) else item

    def octets(self, thing: Any, name: str, value: bytes) -> Row:
        """An address, an identifier, or octets without a meaning here."""
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
_TOO_LONG = ("subtype", "authenticator", "signature", "parameters", "reserved")


def _brief(row: Row, named: bool) -> str:
    """A value in a line; numbers with their names where there are several."""
    if named and type(row.value) is int:
        return f"{row.name.replace('_', '-')}={row.text}"
    return row.text if len(row.text) <= 48 else f"{row.text[:45]}..."


def _readable(octets: bytes) -> bool:
    try:
        return bool(octets) and octets.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _octets_text(octets: bytes) -> str:
    return octets.hex() if len(octets) <= _LONGEST else f"{octets[:_LONGEST].hex()}... [{len(octets)}]"


# --- what to do with a field, found out once for each class ---------------------------------------------------------

_Render: TypeAlias = Callable[[Words, Any, str, Any], Row | None]
_PLANS: dict[Any, list[tuple[str, _Render, bool]]] = {}
"""For each class its fields: name, how to render it, and whether it is left out when it is zero."""


_GETTERS: dict[Any, Callable[[Any], Any] | None] = {}


def _values(cls: Any) -> Callable[[Any], Any] | None:
    """What reads all fields of an option at once; None where they cannot be a key, or are long."""
    if cls not in _GETTERS:
        found = kinds(cls) if hasattr(cls, "layout") else {}
        simple = found and not any(isinstance(kind, Tlvs) for kind in found.values())
        _GETTERS[cls] = attrgetter(*found) if simple else None
    return _GETTERS[cls]


def _plan(cls: Any) -> list[tuple[str, _Render, bool]]:
    prefixed = any(isinstance(getattr(cls, name, None), property) for name in ("prefix", "network"))
    found: list[tuple[str, _Render, bool]] = []
    for name, kind in kinds(cls).items():
        if prefixed and name == "prefix_length":
            found.append((name, Words.prefix, False))
        elif not (prefixed and name in _PREFIX_FIELDS) and not isinstance(kind, Tlvs):
            found.append((name, _renderer(cls, name, kind), name.startswith("reserved")))
    return found


def _renderer(cls: Any, name: str, kind: Kind) -> _Render:
    match kind:
        case Scaled(limit=limit):
            return lambda words, thing, name, value: _duration(name, value, limit)
        case Octets() | Rest():
            return Words.octets
        case Flag():
            return lambda words, thing, name, value: Row(name, bool(value), name.replace("_", "-") if value else "")
    if name == "ticks":
        return lambda words, thing, name, value: _moment(value)
    enumeration = enumerations(cls).get(name)
    if enumeration is None:
        return Words.other
    if issubclass(enumeration, IntFlag):
        flags = enumeration
        return lambda words, thing, name, value: _flags(flags, name, value)
    values = enumeration
    return lambda words, thing, name, value: _registered(values, name, value)


def _duration(name: str, value: int, limit: int) -> Row:
    if value == limit and name in _ENDLESS:
        return Row(name, "infinite", "infinite")
    return Row(name, value / SECOND if value % SECOND else value // SECOND, seconds_text(value))


def _moment(ticks: int) -> Row:
    text = time_text(wall_clock(ticks))
    return Row("time", text, text)


def _flags(flags: type[IntFlag], name: str, value: int) -> Row:
    found = names.flag_words(flags, value)
    letters = "".join(word for word in found if len(word) == 1)
    return Row(name, list(found), "+".join(filter(None, [letters, *(word for word in found if len(word) > 1)])))


def _registered(values: type[IntEnum], name: str, value: int) -> Row:
    word = names.value_word(values, value)
    return Row(name, word, word)
