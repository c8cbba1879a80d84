"""Random DHCP messages, made from the declarations of their options."""

from __future__ import annotations

from random import Random
from typing import Any

from sojourn.wire import dhcpv4, dhcpv6
from sojourn.wire.dhcpv4 import Code, Dhcpv4Message
from sojourn.wire.dhcpv6 import Dhcpv6Message, MessageType, UnknownDhcpv6Option
from sojourn.wire.fields import Tlvs
from sojourn.wire.generate import kinds
from support.wire_messages import random_value

OPTION_CLASSES: list[Any] = list(dhcpv6.OPTIONS.values())
_INNERMOST = [dhcpv6.Status, dhcpv6.RapidCommit, UnknownDhcpv6Option]


def random_option(cls: Any, rng: Random, depth: int = 0) -> Any:
    """An option with any values, and options in it as deep as may be."""
    if cls is UnknownDhcpv6Option:
        return UnknownDhcpv6Option(rng.randrange(500, 1 << 16), rng.randbytes(rng.choice((0, 1, 40))))
    values = {}
    for name, kind in kinds(cls).items():
        if isinstance(kind, Tlvs):
            inner = OPTION_CLASSES if depth < 2 else _INNERMOST
            values[name] = tuple(random_option(rng.choice(inner), rng, depth + 1) for _ in range(rng.randrange(3)))
        else:
            values[name] = random_value(kind, rng)
    return cls(**values)


def random_dhcpv6(rng: Random) -> Dhcpv6Message:
    classes = [*OPTION_CLASSES, UnknownDhcpv6Option]
    options = tuple(random_option(rng.choice(classes), rng) for _ in range(rng.randrange(6)))
    return Dhcpv6Message(rng.choice(list(MessageType)), rng.randbytes(3), options)


def random_dhcpv4(rng: Random) -> Dhcpv4Message:
    codes = [code for code in range(1, 255) if code != Code.OVERLOAD]
    options = {
        code: rng.randbytes(rng.choice((0, 1, 4, 255, 256, 600))) for code in rng.sample(codes, rng.randrange(6))
    }
    addresses = [rng.randbytes(4) for _ in range(4)]
    return Dhcpv4Message(
        rng.choice((dhcpv4.BOOTREQUEST, dhcpv4.BOOTREPLY)),
        rng.getrandbits(32),
        rng.randbytes(6),
        options,
        rng.getrandbits(16),
        rng.getrandbits(16),
        *addresses,
    )
