"""Random messages, made from the declarations themselves: whatever is declared is covered, with any field values."""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any

from sojourn import wire
from sojourn.wire import icmpv6
from sojourn.wire.extensions import rfc5949, rfc6088, rfc6089, rfc6757, rfc7222, rfc8127
from sojourn.wire.fields import (
    Bits,
    Counted,
    Flag,
    InHeader,
    Octets,
    Repeated,
    Rest,
    Scaled,
    SInt,
    Tlvs,
    UInt,
)
from sojourn.wire.generate import kinds
from sojourn.wire.icmpv6 import ND_OPTIONS

OPTION_CLASSES = [cls for number, cls in wire.MOBILITY_OPTIONS.classes.items() if number > 1]
"""All mobility options but padding."""
MESSAGE_CLASSES: list[Any] = [
    *wire.MESSAGES.values(),
    *(cls for table in wire.SUBTYPED_MESSAGES.values() for cls in table.values()),
]
ND_OPTION_CLASSES = list(ND_OPTIONS.classes.values())
ICMPV6_MESSAGE_CLASSES: list[Any] = [
    *icmpv6.MESSAGES.values(),
    *(cls for table in icmpv6.SUBTYPED_MESSAGES.values() for cls in table.values()),
]
SUB_FAMILIES = [
    rfc6089.FLOW_SUB_OPTIONS,
    rfc6757.ANI_SUB_OPTIONS,
    rfc7222.QOS_ATTRIBUTES,
    rfc8127.LCMP_SUB_OPTIONS,
]
PADDING_CLASSES = (wire.Pad1, wire.PadN, rfc6089.FlowPad1, rfc6089.FlowPadN)
SUB_OPTION_CLASSES: list[Any] = [
    cls for family in SUB_FAMILIES for cls in family.classes.values() if cls not in PADDING_CLASSES
]

FAMILIES: dict[str, list[Any]] = {
    "mobility options": OPTION_CLASSES,
    "neighbour discovery options": ND_OPTION_CLASSES,
    "context requests": [rfc5949.RequestedContext],
    **{family.name: [cls for cls in family.classes.values() if cls not in PADDING_CLASSES] for family in SUB_FAMILIES},
}


def random_value(kind: Any, rng: Random, unit: int = 1, size: int = 0) -> Any:
    """A value that `kind` can carry; `size` octets stand before a tail, and a length counts `unit` octets."""
    match kind:
        case Flag():
            return rng.random() < 0.5
        case Bits() | UInt():
            return _edge_or_any(kind.limit, rng)
        case InHeader():
            return rng.randrange(256)
        case SInt():
            return rng.choice((0, -1, kind.limit, -kind.limit - 1, rng.randint(-kind.limit, kind.limit)))
        case Scaled():
            return _edge_or_any(kind.limit // kind.unit, rng) * kind.unit
        case Octets():
            return rng.randbytes(kind.size)
        case Rest(minimum, sizes):
            length = rng.choice(sizes) if sizes else minimum + rng.choice((0, 1, 2, 4, 6, 8, 16, 33))
            if not sizes and unit > 1:
                length += -(size + length) % unit
            return rng.randbytes(length)
        case Counted():
            return rng.randbytes(rng.choice((0, 1, 5, 32)))
        case Repeated(item, minimum, number):
            one = UInt(item) if number else Octets(item)
            return tuple(random_value(one, rng) for _ in range(minimum + rng.choice((0, 1, 2, 5))))
        case Tlvs(family):
            classes = FAMILIES[family]
            most = 7 if family == "mobility options" else 4
            return tuple(random_object(rng.choice(classes), rng) for _ in range(rng.randrange(most)))
    raise AssertionError(f"no values for {kind}")


def _edge_or_any(limit: int, rng: Random) -> int:
    return rng.choice((0, 1, limit, rng.randint(0, limit), rng.randint(0, limit)))


def random_object(cls: Any, rng: Random) -> Any:
    """An object of a declared class with random fields, the reserved ones too."""
    if cls is rfc5949.RequestedContext:
        return cls(rng.randrange(256), rng.randbytes(rng.choice((0, 0, 5))))
    if cls is wire.MESSAGES[11]:
        return cls(rng.randbytes(rng.choice((2, 10, 66))))  # to the end of the message: more would be padding
    layout = getattr(cls, "layout", None)
    unit, size = (layout.head.unit, 2 + layout.size) if layout and layout.head else (1, 0)
    init = {field.name for field in dataclasses.fields(cls) if field.init}
    fields = {name: random_value(kind, rng, unit, size) for name, kind in kinds(cls).items() if name in init}
    if cls in (rfc6089.TrafficSelector, rfc7222.QosTrafficSelector):
        fields |= random_selector(rng)
    return cls(**fields)


def random_selector(rng: Random) -> dict[str, Any]:
    """Format and octets of a traffic selector; in one of four cases of none."""
    if rng.random() < 0.25:
        return {"format": rng.choice((0, 1, 2, 3)), "octets": rng.randbytes(rng.choice((0, 4, 9)))}
    cls = rng.choice(list(rfc6088.CLASSES.values()))
    value = cls(reserved=rng.choice((0, 1)))
    for name, code in zip(cls._ranges(), cls._codes.split(), strict=True):
        if rng.random() < 0.4:
            size = {"4s": 4, "16s": 16, "I": 4, "H": 2, "B": 1}[code]
            one = Octets(size) if code.endswith("s") else UInt(size)
            start = random_value(one, rng)
            setattr(value, name, (start, rng.choice((None, random_value(one, rng)))))
    return {"format": rfc6088.format_of(value), "octets": value.encode()}


def options_at(message: Any) -> int:
    """Where the options of a Mobility Header message begin."""
    if isinstance(message, wire.MESSAGES[12]):
        return 8 + 16 * len(message.addresses)  # Home Agent Switch has its addresses before them
    if isinstance(message, wire.MESSAGES[11]):
        return 6 + len(message.data)  # an Experimental Mobility Header has none
    return 6 + int(message.layout.size)


PARENTS: dict[str, Any] = {
    "flow identification sub-options": lambda parts: rfc6089.FlowIdentification(1, 2, sub_options=parts),
    "access network identifier sub-options": rfc6757.AccessNetworkIdentifier,
    "quality-of-service attributes": lambda parts: rfc7222.QualityOfService(1, 0, 1, parts),
    "LMA-controlled MAG parameters": rfc8127.LmaControlledMagParameters,
}
"""What makes the option around sub-options of each family."""


def random_message(rng: Random) -> wire.MobilityMessage:
    """Any declared Mobility Header message with up to six options."""
    message: wire.MobilityMessage = random_object(rng.choice(MESSAGE_CLASSES), rng)
    return message


def damage(octets: bytes, rng: Random) -> bytes:
    """The octets with a few of them changed, lost, repeated or inserted."""
    out = bytearray(octets)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        position = rng.randrange(len(out) + 1)
        match rng.randrange(5):
            case 0 | 1 if position < len(out):
                out[position] = rng.choice((0, 1, 2, 22, 67, 128, 255, rng.randrange(256)))
            case 2:
                del out[position:]
            case 3:
                out[position:position] = rng.randbytes(rng.choice((1, 8, 40)))
            case _:
                del out[position : position + rng.choice((1, 2, 8))]
    return bytes(out)
