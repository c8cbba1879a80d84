"""Which module declares which number.

The messages and options of a walk are imported with `sojourn.wire`; the others are declared in the module of their RFC,
which is imported when one of its numbers first occurs.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Contents(NamedTuple):
    """The numbers that a module declares."""

    messages: tuple[int, ...] = ()
    """Mobility Header types."""
    options: tuple[int, ...] = ()
    """Mobility options."""
    icmpv6: tuple[int, ...] = ()
    """ICMPv6 types."""
    discovery: tuple[int, ...] = ()
    """Neighbour discovery options."""


PACKAGE: Final = "sojourn.wire.extensions"
EXTENSIONS: Final[dict[str, Contents]] = {
    "rfc3963": Contents(options=(6,)),
    "rfc4068": Contents(messages=(10,)),
    "rfc4285": Contents(options=(9, 10)),
    "rfc4866": Contents(options=(11, 12, 13, 14, 15, 16)),
    "rfc5026": Contents(options=(17,)),
    "rfc5096": Contents(messages=(11,), options=(18,)),
    "rfc5142": Contents(messages=(12,)),
    "rfc5149": Contents(options=(20,)),
    "rfc5175": Contents(discovery=(26,)),
    "rfc5380": Contents(discovery=(23,)),
    "rfc5555": Contents(options=(29, 30, 31, 32)),
    "rfc5568": Contents(messages=(8, 9, 14, 15), options=(7, 21, 34)),
    "rfc5568_discovery": Contents(icmpv6=(154,), discovery=(17, 19, 20)),
    "rfc5648": Contents(options=(35,)),
    "rfc5844": Contents(options=(36, 37, 38, 39)),
    "rfc5845": Contents(options=(33,)),
    "rfc5949": Contents(options=(40, 41, 42)),
    "rfc6058": Contents(options=(43,)),
    "rfc6089": Contents(options=(44, 45)),
    "rfc6275_discovery": Contents(icmpv6=(144, 145, 146, 147), discovery=(7, 8)),
    "rfc6463": Contents(options=(46, 47, 48, 49)),
    "rfc6602": Contents(options=(50,)),
    "rfc6705": Contents(messages=(17, 18), options=(51,)),
    "rfc6757": Contents(options=(52,)),
    "rfc6909": Contents(options=(53,)),
    "rfc7028": Contents(options=(54,)),
    "rfc7077": Contents(messages=(19, 20)),
    "rfc7109": Contents(messages=(21,)),
    "rfc7148": Contents(options=(55,)),
    "rfc7161": Contents(messages=(22, 23), options=(56, 57)),
    "rfc7222": Contents(options=(58,)),
    "rfc7389": Contents(options=(59,)),
    "rfc7411": Contents(options=(60, 61)),
    "rfc8127": Contents(options=(62,)),
    "rfc8278": Contents(options=(63, 64)),
}
HELPERS: Final = ("rfc5726", "rfc6088", "rfc6618", "rfc7563", "rfc8371")
"""Modules that declare no number of these: formats within options, sub-options, encapsulation."""
SUBTYPED: Final = frozenset((16, 21))
"""Mobility Header types whose data begin with a type of their own."""
SUBTYPED_ICMPV6: Final = frozenset((154,))


def places(kind: str) -> dict[int, str]:
    """The full name of the module by number, for one field of `Contents`."""
    return {
        number: f"{PACKAGE}.{module}" for module, contents in EXTENSIONS.items() for number in getattr(contents, kind)
    }
