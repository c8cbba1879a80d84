"""Our messages and options as Scapy layers, made from the declarations, for those who craft packets there.

    >>> from sojourn.bridge import scapy as sojourn_layers
    >>> layers = sojourn_layers.install()
    >>> packet = IPv6(dst="2001:db8::1") / layers.UpdateNotification(sequence=1, reason=1, options=[
    ...     layers.HomeNetworkPrefix(prefix_length=64, address="2001:db8:1::")])

`install` adds what Scapy lacks: Mobility Header types from 8 on and options from 17 on; with ``replace=True`` also
what it has (its flags of Binding Updates end at P). Scapy dissects captures with these layers from then on. A field has
the name that it has in our class, with an underscore behind it where Scapy needs the name itself; times are in the
units of the wire. Alignment and lengths are filled in; within an option with sub-options no padding is.

Scapy is not a dependency of sojourn: ``pip install scapy``.
"""

from __future__ import annotations

import dataclasses
from enum import IntFlag
from types import SimpleNamespace
from typing import Any

from scapy.fields import (
    BitField,
    ByteEnumField,
    ByteField,
    Field,
    FieldLenField,
    FieldListField,
    FlagsField,
    IntEnumField,
    IntField,
    IPField,
    LongField,
    PacketListField,
    ShortEnumField,
    ShortField,
    X3BytesField,
    XShortField,
    XStrFixedLenField,
    XStrLenField,
)
from scapy.layers import inet6
from scapy.packet import Packet, Raw

from sojourn import wire
from sojourn.wire.errors import DecodeError
from sojourn.wire.fields import Bits, Counted, Octets, Repeated, Rest, Scaled, SInt, Tlvs, UInt
from sojourn.wire.generate import alignment_of, kinds
from sojourn.wire.names import enumerations
from sojourn.wire.tolerance import FAMILIES

_NUMBERS = {1: ByteField, 2: ShortField, 3: X3BytesField, 4: IntField, 8: LongField}
_ENUMERATED = {1: ByteEnumField, 2: ShortEnumField, 4: IntEnumField}


class _Option(inet6._MIP6OptAlign):  # type: ignore[misc]
    """A mobility option of ours; the class of the declaration is `declared`."""

    __slots__: list[str] = []
    declared: Any = None
    head = (2, 1)
    x = y = 0

    def post_build(self, p: bytes, pay: bytes) -> bytes:
        if self.olen is None and len(p) > 1:
            base, unit = self.head
            p += bytes((base - len(p)) % unit)
            p = p[:1] + bytes(((len(p) - base) // unit & 255,)) + p[2:]
        return p + pay

    def alignment_delta(self, curpos: int) -> int:
        octets = bytes(self)
        try:
            x, y = alignment_of(self.declared.get(octets, 2, len(octets), 0))
        except DecodeError:
            return 0
        return int((y - curpos) % x)


class _SubOption(Packet):  # type: ignore[misc]
    """A sub-option; those of one option are told apart by their first octet."""

    declared: Any = None

    def post_build(self, p: bytes, pay: bytes) -> bytes:
        if len(p) > 1 and getattr(self, "olen", 0) is None:
            p = p[:1] + bytes((len(p) - 2 & 255,)) + p[2:]
        return p + pay

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        return b"", s


class _Message(inet6._MobilityHeader):  # type: ignore[misc]
    declared: Any = None
    overload_fields = {inet6.IPv6: {"nh": wire.MOBILITY_HEADER}}  # noqa: RUF012


def _safe(name: str) -> str:
    return f"{name}_" if hasattr(Packet, name) or name in Packet.__slots__ else name


def _field(cls: Any, name: str, kind: Any, default: Any, size: int) -> Field | list[Field]:
    """The Scapy field for a kind; `size` octets of an option stand before a tail."""
    named, safe = enumerations(cls).get(name), _safe(name)
    match kind:
        case UInt(octets) | Scaled(octets) if named and issubclass(named, IntFlag):
            return FlagsField(safe, default, 8 * octets, _letters(named, 8 * octets))
        case UInt(octets) | Scaled(octets) if named and octets in _ENUMERATED:
            return _ENUMERATED[octets](safe, default, {one.value: one.name for one in named})
        case UInt(octets) | Scaled(octets) if octets in _NUMBERS:
            return _NUMBERS[octets](safe, default)
        case UInt(octets) | SInt(octets):
            return XStrFixedLenField(safe, bytes(octets), octets)
        case Bits(bits):
            return BitField(safe, int(default), bits)
        case Octets(16):
            return inet6.IP6Field(safe, "::")
        case Octets(4):
            return IPField(safe, "0.0.0.0")
        case Octets(octets):
            return XStrFixedLenField(safe, bytes(octets), octets)
        case Rest():
            return XStrLenField(safe, b"", length_from=lambda packet: _total(packet) - size)
        case Repeated(octets, _, number):
            one = _NUMBERS[octets]("", 0) if number else inet6.IP6Field("", "::")
            return FieldListField(safe, [], one, length_from=lambda packet: _total(packet) - size)
        case Tlvs(family):
            return PacketListField(safe, [], _sub_options(family), length_from=lambda packet: _total(packet) - size)
        case Counted():
            length = FieldLenField(f"{safe}_length", None, length_of=safe, fmt="B")
            return [length, XStrLenField(safe, b"", length_from=lambda packet: getattr(packet, f"{safe}_length"))]
    raise AssertionError(f"{cls.__name__}.{name}: no field for {kind}")


def _letters(flags: type[IntFlag], bits: int) -> list[str]:
    """The names of the bits from the lowest up, as Scapy wants them."""
    short = {flag.value: min((n for n, f in flags.__members__.items() if f is flag), key=len) for flag in flags}
    return [short.get(1 << bit, f"bit{bit}") for bit in range(bits)]


def _total(packet: Any) -> int:
    """Octets of an option behind type and length, as its length octet says."""
    base, unit = getattr(packet, "head", (2, 1))
    return int(base + unit * packet.olen - 2) if packet.olen is not None else 0


def _fields(cls: Any) -> list[Field]:
    """All fields of a declaration but the options of a message."""
    defaults = {
        field.name: 0 if field.default is dataclasses.MISSING else field.default for field in dataclasses.fields(cls)
    }
    layout = getattr(cls, "layout", None)
    found: list[Field] = []
    for name, kind in kinds(cls).items():
        if kind == Tlvs("mobility options"):
            continue
        one = _field(cls, name, kind, defaults[name], layout.size if layout else 0)
        found += one if isinstance(one, list) else [one]
    return found


def _make(cls: Any, bases: tuple[type, ...], title: str, fields: list[Field], **more: Any) -> type[Packet]:
    body = {"name": title, "fields_desc": fields, "declared": cls, "__doc__": cls.__doc__, **more}
    made: type[Packet] = type(bases[0])(cls.__name__, bases, body)
    return made


def _sub_options(family: str) -> Any:
    """The class that dissects the sub-options of a family."""
    table: dict[int, type[Packet]] = {}
    for number, cls in FAMILIES[family].classes.items():
        if cls.__name__ == "FlowPad1":
            table[number] = inet6.Pad1
            continue
        names = {one: other.__name__ for one, other in FAMILIES[family].classes.items()}
        head = [ByteEnumField("otype", number, names), ByteField("olen", None)]
        table[number] = _make(cls, (_SubOption,), f"Mobility sub-option - {cls.__name__}", head + _fields(cls))
        _MADE.setdefault(cls.__name__, table[number])
    unknown: type[Packet] = type(
        "UnknownSubOption",
        (_SubOption,),
        {
            "fields_desc": [
                ByteField("otype", 255),
                ByteField("olen", None),
                XStrLenField("data", b"", length_from=lambda packet: packet.olen),
            ]
        },
    )

    def choose(octets: bytes, **_: Any) -> Packet:
        return table.get(octets[0], unknown)(octets) if len(octets) > 1 else Raw(octets)

    return choose


_MADE: dict[str, type[Packet]] = {}


def _option(number: int, cls: Any) -> type[Packet]:
    head = [ByteEnumField("otype", number, inet6._mobopttypes), ByteField("olen", None)]
    title = f"Mobile IPv6 Option - {cls.__name__}"
    return _make(cls, (_Option,), title, head + _fields(cls), head=wire.MOBILITY_OPTIONS.length(number))


def _header(number: int) -> list[Field]:
    return [
        ByteEnumField("nh", wire.mobility.NO_NEXT_HEADER, inet6.ipv6nh),
        ByteField("len", None),
        ByteEnumField("mhtype", number, inet6.mhtypes),
        ByteField("res", 0),
        XShortField("cksum", None),
    ]


def _options_at(size: int) -> list[Field]:
    """The option area behind so many octets of data."""
    area = inet6._OptionsField(
        "options", [], inet6.MIP6OptUnknown, 6 + size, length_from=lambda packet: 8 * packet.len + 2 - size
    )
    return [inet6._PhantomAutoPadField("autopad", 1), area]


def _message(number: int, cls: Any) -> type[Packet]:
    title = f"IPv6 Mobility Header - {cls.__name__}"
    if number == 11:
        data = XStrLenField("data", bytes(2), length_from=lambda packet: 8 * packet.len + 2)
        return _make(cls, (_Message,), title, [*_header(number), data])
    if number == 12:
        return _make(cls, (_Message,), title, [*_header(number), *_home_agents()])
    return _make(cls, (_Message,), title, [*_header(number), *_fields(cls), *_options_at(cls.layout.size)])


def _home_agents() -> list[Field]:
    """Home Agent Switch (RFC 5142 4): its addresses take multiples of eight octets, so that alignment is as without."""
    addresses = FieldListField("addresses", [], inet6.IP6Field("", "::"), count_from=lambda packet: packet.count)
    area = inet6._OptionsField(
        "options", [], inet6.MIP6OptUnknown, 8, length_from=lambda packet: 8 * packet.len - 16 * packet.count
    )
    return [
        FieldLenField("count", None, count_of="addresses", fmt="B"),
        ByteField("reserved", 0),
        addresses,
        inet6._PhantomAutoPadField("autopad", 1),
        area,
    ]


def _one_of(number: int, table: dict[bytes, Any]) -> Any:
    """The layers of a type whose data begin with a type of their own."""
    classes = {subtype: _message(number, cls) for subtype, cls in table.items()}
    _MADE.update({made.__name__: made for made in classes.values()})

    def choose(octets: bytes, **more: Any) -> Packet:
        for subtype, made in classes.items():
            if octets[6:].startswith(subtype):
                return made(octets, **more)
        return inet6.MIP6MH_Generic(octets, **more)

    return choose


def install(*, replace: bool = False) -> SimpleNamespace:
    """Register our layers with Scapy; all of them by the names of their classes. Calling it again changes nothing."""
    for number, option in wire.MOBILITY_OPTIONS.classes.items():
        if number < 2 or (option.__name__ in _MADE and not replace):
            continue
        inet6._mobopttypes.setdefault(number, option.__name__)
        made = _MADE.setdefault(option.__name__, _option(number, option))
        if replace or number not in inet6.moboptcls:
            inet6.moboptcls[number] = made
    for number, message in wire.MESSAGES.items():
        inet6.mhtypes.setdefault(number, message.__name__)
        made = _MADE.setdefault(message.__name__, _message(number, message))
        if replace or number not in inet6._mip6_mhtype2cls:
            inet6._mip6_mhtype2cls[number] = made
    for number, table in wire.SUBTYPED_MESSAGES.items():
        if number not in inet6._mip6_mhtype2cls:
            inet6._mip6_mhtype2cls[number] = _one_of(number, table)
    return SimpleNamespace(**_MADE)
