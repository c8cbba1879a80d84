"""Random messages, made from the declarations themselves: whatever is declared is covered, with any field values."""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any

from sojourn import wire
from sojourn.wire.fields import Bits, Flag, Octets, Rest, Scaled, Tlvs, UInt
from sojourn.wire.generate import kinds
from sojourn.wire.icmpv6 import MESSAGES as ICMPV6_MESSAGES
from sojourn.wire.icmpv6 import ND_OPTIONS

OPTION_CLASSES = [cls for number, cls in wire.MOBILITY_OPTIONS.classes.items() if number > 1]
"""All mobility options but padding."""
MESSAGE_CLASSES: list[Any] = [
    *wire.MESSAGES.values(),
    *(cls for table in wire.SUBTYPED_MESSAGES.values() for cls in table.values()),
]
ND_OPTION_CLASSES = list(ND_OPTIONS.classes.values())
ICMPV6_MESSAGE_CLASSES = list(ICMPV6_MESSAGES.values())

FAMILIES = {"mobility options": OPTION_CLASSES, "neighbour discovery options": ND_OPTION_CLASSES}


def random_value(kind: Any, rng: Random, unit: int, size: int) -> Any:
    """A value that `kind` can carry; `size` octets stand before a tail, and a length counts `unit` octets."""
    match kind:
        case Flag():
            return rng.random() < 0.5
        case Bits():
            return _edge_or_any(kind.limit, rng)
        case UInt():
            return _edge_or_any(kind.limit, rng)
        case Scaled():
            return _edge_or_any(kind.limit // kind.unit, rng) * kind.unit
        case Octets():
            return rng.randbytes(kind.size)
        case Rest(minimum, sizes):
            length = rng.choice(sizes) if sizes else minimum + rng.choice((0, 1, 2, 4, 6, 8, 16, 33))
            if not sizes and unit > 1:
                length += -(size + length) % unit
            return rng.randbytes(length)
        case Tlvs(family):
            classes = FAMILIES[family]
            return tuple(random_object(rng.choice(classes), rng) for _ in range(rng.randrange(7)))
    raise AssertionError(f"no values for {kind}")


def _edge_or_any(limit: int, rng: Random) -> int:
    return rng.choice((0, 1, limit, rng.randint(0, limit), rng.randint(0, limit)))


def random_object(cls: Any, rng: Random) -> Any:
    """An object of a declared class with random fields, the reserved ones too."""
    head = cls.layout.head
    unit, size = (head.unit, 2 + cls.layout.size) if head else (1, 0)
    init = {field.name for field in dataclasses.fields(cls) if field.init}
    return cls(**{name: random_value(kind, rng, unit, size) for name, kind in kinds(cls).items() if name in init})


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
