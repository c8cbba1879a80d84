"""What a message must not be, although it decodes: rules about values, options and their order.

`problems` looks at one message and says which sentence of which RFC it breaks. It is for people, tests and tools; an
engine has its own answers to a wrong registration. Receivers are asked to ignore much of this (reserved bits, options
that they do not expect), which is why the codec takes such messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sojourn.wire import mobility
from sojourn.wire.fields import Bits, Tlvs, UInt
from sojourn.wire.generate import alignment_of, kinds
from sojourn.wire.mobility import MOBILITY_OPTIONS, MobilityMessage, Remainder, UnknownMessage, UnknownOption
from sojourn.wire.names import enumerations
from sojourn.wire.options.mip6 import Pad1, PadN
from sojourn.wire.values import BindingUpdateFlags


@dataclass(slots=True, order=True)
class Problem:
    """A rule that a message breaks."""

    what: str
    rfc: str
    """The section that has the rule, such as ``RFC 6275 6.2.7``."""
    position: int | None = None
    """The octet in the Mobility Header, where octets were looked at."""

    def __str__(self) -> str:
        where = "" if self.position is None else f" (octet {self.position})"
        return f"{self.what}{where}: {self.rfc}"


Problems = Iterator[Problem]

ANYWHERE: Final = frozenset((0, 1, 8, 18, 19))
"""Options of any message: padding, identifiers (RFC 4283 3), experiments (RFC 5096 4), vendors (RFC 5094 3)."""
ALLOWED: Final[dict[str, frozenset[int] | None]] = {
    "BRR": frozenset((35,)),
    "HoTI": frozenset((18,)),
    "CoTI": frozenset((35,)),
    "HoT": frozenset((18,)),
    "CoT": frozenset((35,)),
    # 7: RFC 5648 5.6.3, which RFC 5568 6.4.4 could not know.
    "BU": frozenset((3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 17, 18, 19, 20, 29, 32, 35, 44, 45)),
    "PBU": frozenset(
        (3, 8, 19, 20, 22, 23, 24, 25, 26, 27, 33, 36, 43, 46, 49, 50, 52, 53, 55, 56, 57, 58, 59, 63, 64, 65, 66, 68)
    ),
    "BA": frozenset((2, 5, 9, 10, 12, 13, 14, 16, 17, 30, 31, 35, 45)),
    # 68: RFC 8885 4.6 names the PBU only, but 3.2 step 3 lets the answer of a previous MAAR include it.
    "PBA": frozenset((8, 19, *range(22, 28), 31, 33, 37, 38, 39, 43, 47, 48, 49, 50, *range(52, 60), *range(62, 71))),
    "BE": frozenset(),
    "FBU": frozenset((3, 7, 21, 60)),
    "FBack": frozenset((3, 21, 61)),
    "FNA": frozenset((7,)),
    "EMH": frozenset(),
    "HAS": frozenset((2,)),
    "HB": frozenset((28,)),
    "HI": frozenset((7, 34, 60)),
    "HI, P": frozenset((8, 22, 25, 26, 33, 36, 40, 41, 42, 19, 60)),
    "HAck": frozenset((34, 61)),
    "HAck, P": frozenset((8, 19, 22, 25, 26, 33, 36, 41, 42, 61)),
    "BRI": frozenset((3, 8, 22, 29, 35, 36, 45, 50)),
    "BRA": frozenset((8, 22, 35, 45, 50)),
    "LRI": frozenset((8, 22, 51)),
    "LRA": frozenset((8, 22)),
    "UPN": None,
    "UPA": None,
    "FBI": frozenset((45,)),
    "FBA": frozenset((45,)),
    "SubQ": frozenset((8, 22)),
    "SubR": frozenset((8, 22, 56, 57)),
}
"""The options that RFCs name for each kind of message, besides those that go anywhere; None: all."""
_KINDS = {0: "BRR", 1: "HoTI", 2: "CoTI", 3: "HoT", 4: "CoT", 7: "BE", 8: "FBU", 9: "FBack", 10: "FNA", 11: "EMH"}
_KINDS |= {12: "HAS", 13: "HB", 17: "LRI", 18: "LRA", 19: "UPN", 20: "UPA", 22: "SubQ", 23: "SubR"}
_PROXY = {5: ("BU", "PBU", 0x0200), 6: ("BA", "PBA", 0x20), 14: ("HI", "HI, P", 0x20), 15: ("HAck", "HAck, P", 0x40)}
_SUBTYPED = {16: ("BRI", "BRA"), 21: ("FBI", "FBA")}
SINGLE: Final = frozenset((5, 9, 10, 20, 21, 23, 24, 27, 28, 52, 62))
"""Options of which a message has at most one; of 9 one of each subtype."""


def kind_of(message: MobilityMessage) -> str:
    """The usual abbreviation: ``BU``, ``PBU``, ``HI, P``; empty for messages that are not known."""
    number = message.number
    if isinstance(message, UnknownMessage):
        return ""
    if number in _PROXY:
        plain, proxy, mask = _PROXY[number]
        return proxy if getattr(message, "flags", 0) & mask else plain
    if number in _SUBTYPED:
        first: int = getattr(message, "revocation_type", 0) or getattr(message, "flow_binding_type", 1)
        return _SUBTYPED[number][first - 1]
    return _KINDS[number]


def problems(message: MobilityMessage, octets: bytes | None = None) -> list[Problem]:
    """The rules that `message` breaks. With its octets, also those about header, padding and alignment.

    `octets` is the Mobility Header that the message was decoded from. Nothing that decodes makes this fail.
    """
    found = list(_reserved(message))
    if not isinstance(message, UnknownMessage):
        options = tuple(option for option in message.options if not isinstance(option, Pad1 | PadN))
        found += _flags(message)
        found += _legal(message, options)
        found += _order(options)
        for option in options:
            found += _about(option)
        found += _whole(message, options)
    if octets is not None:
        found += _octets(octets)
    return found


# --- values -------------------------------------------------------------------------------------------------------


def _reserved(thing: Any) -> Problems:
    """Reserved fields and flag bits of a message, option or sub-option, and of what is in it."""
    cls = type(thing)
    rfc = getattr(cls, "rfc", "")
    if not rfc:
        return  # it is kept as octets
    for name, kind in kinds(cls).items():
        value = getattr(thing, name)
        if name.startswith("reserved") and isinstance(kind, UInt | Bits) and value:
            yield Problem(f"{cls.__name__}.{name} is {value:#x}, not zero", _first(rfc))
        elif isinstance(kind, Tlvs):
            for part in value:
                yield from _reserved(part)


def _flags(message: Any) -> Problems:
    names = enumerations(message.__class__).get("flags")
    if names is None:
        return
    left = message.flags
    for flag in names:
        left &= ~flag.value
    if left:
        yield Problem(f"reserved flags {left:#x} of {type(message).__name__} are set", _first(message.rfc))


def _first(rfc: str) -> str:
    return rfc.split(", ")[0]


# --- options ------------------------------------------------------------------------------------------------------


def _number(option: Any) -> int:
    return option.type if isinstance(option, UnknownOption) else int(option.number)


def _legal(message: MobilityMessage, options: tuple[Any, ...]) -> Problems:
    kind = kind_of(message)
    allowed = ALLOWED.get(kind, frozenset())
    seen = set()
    for option in options:
        if isinstance(option, Remainder):
            yield Problem("the last option does not end within the message", "RFC 6275 6.2.1")
            continue
        number = _number(option)
        cls = MOBILITY_OPTIONS.classes.find(number)
        if cls is None:
            continue  # unknown ones are skipped, as RFC 6275 6.2.1 asks
        if isinstance(option, UnknownOption):
            yield Problem(f"{cls.__name__} is malformed", _first(cls.rfc))
        if allowed is not None and number not in allowed | ANYWHERE:
            yield Problem(f"{cls.__name__} is not for {kind}", _first(cls.rfc))
        mark = (number, option.subtype) if number == 9 and hasattr(option, "subtype") else number
        if mark in seen and number in SINGLE:
            yield Problem(f"more than one {cls.__name__}", _first(cls.rfc))
        seen.add(mark)


def _order(options: tuple[Any, ...]) -> Problems:
    numbers = [_number(option) for option in options if not isinstance(option, Remainder)]
    for last, name, rfc in (
        (5, "BindingAuthorizationData", "RFC 6275 6.2.7"),
        (21, "BindingAuthorizationDataForFmipv6", "RFC 5568 6.4.5"),
    ):
        if last in numbers[:-1]:
            yield Problem(f"{name} is not the last option", rfc)
    if 4 in numbers and 5 not in numbers:
        yield Problem("NonceIndices without BindingAuthorizationData", "RFC 6275 6.2.6")
    if 9 in numbers:
        yield from _authentication(options, numbers)
    if 20 in numbers and 8 in numbers[numbers.index(20) :]:
        yield Problem("ServiceSelection comes before MobileNodeIdentifier", "RFC 5149 3")
    if 20 in numbers and {5, 9} & set(numbers[: numbers.index(20)]):
        yield Problem("ServiceSelection comes after an authentication option", "RFC 5149 3")
    if 12 in numbers:
        yield from _cga(options, numbers)


def _authentication(options: tuple[Any, ...], numbers: list[int]) -> Problems:
    first = numbers.index(9)
    if 8 in numbers[first:]:
        yield Problem("MobileNodeIdentifier comes after an authentication option", "RFC 4283 3")
    subtypes = [getattr(option, "subtype", 0) for option, number in zip(options, numbers, strict=False) if number == 9]
    if set(numbers[first:]) != {9} or subtypes not in ([1], [2], [1, 2]):
        yield Problem("the MN-HA authentication option is not last, or just before MN-AAA", "RFC 4285 5.1")


def _cga(options: tuple[Any, ...], numbers: list[int]) -> Problems:
    first, count = numbers.index(12), numbers.count(12)
    if numbers[first : first + count] != [12] * count:
        yield Problem("the CGA Parameters options do not follow each other", "RFC 4866 5.1")
    pieces = [option for option, number in zip(options, numbers, strict=False) if number == 12]
    if any(len(getattr(piece, "data", b"")) != 255 for piece in pieces[:-1]):
        yield Problem("a CGA Parameters option before the last is not full", "RFC 4866 5.1")
    if 13 in numbers and numbers.index(13) < first:
        yield Problem("the Signature comes before the CGA Parameters", "RFC 4866 5.2")


def _about(option: Any) -> Problems:
    """What one option's values say."""
    check = _CHECKS.get(_number(option)) if not isinstance(option, UnknownOption | Remainder) else None
    if check is None:
        return
    for what, rfc in check(option):
        if what:
            yield Problem(f"{type(option).__name__}: {what}", rfc)


Said = list[tuple[str, str]]


def _when(condition: bool, what: str) -> str:
    return what if condition else ""


def _identifier(option: Any) -> Said:
    from sojourn.wire.extensions.rfc8371 import SIZES

    sizes, length = SIZES.get(option.subtype), len(option.identifier)
    text = f"{length} octets are no identifier of type {option.subtype}"
    return [
        (_when(bool(sizes) and length not in (sizes or ()), text), "RFC 8371 4"),
        (_when(not length, "no identifier at all"), "RFC 4283 3"),
    ]


def _multipath(option: Any) -> Said:
    return [
        (_when(option.bulk and option.overwrite, "B and O exclude each other"), "RFC 8278 4.1"),
        (_when(option.identifier in (0, 255), f"BID {option.identifier} is reserved"), "RFC 8278 4.1"),
    ]


def _redirect(option: Any) -> Said:
    right = (len(option.address) == 16, len(option.address) == 4)
    wrong = (option.ipv6, option.ipv4) != right
    return [(_when(wrong, "K and N do not say what address follows"), "RFC 6463 4.2")]


_CHECKS: dict[int, Callable[[Any], Said]] = {
    1: lambda option: [(_when(any(option.data), "not filled with zeros"), "RFC 6275 6.2.3")],
    8: _identifier,
    23: lambda option: [(_when(option.indicator == 0, "0 is reserved"), "RFC 5213 8.4")],
    24: lambda option: [(_when(option.technology == 0, "0 is reserved"), "RFC 5213 8.5")],
    29: lambda option: [(_when(option.prefix_length == 0, "a prefix length of zero"), "RFC 5555 3.1.1")],
    35: lambda option: [(_when(option.identifier == 0, "BID 0 is reserved"), "RFC 5648 4.3")],
    41: lambda option: [
        (_when(option.code != {16: 1, 4: 2}[len(option.address)], "code and address disagree"), "RFC 5949 6.2.2")
    ],
    47: _redirect,
    50: lambda option: [(_when(option.group == 0, "group 0 is reserved"), "RFC 6602 4.3")],
    51: lambda option: [(_when(option.address_length != 128, "the address length is not 128"), "RFC 6705 11.1")],
    52: lambda option: [(_when(not option.sub_options, "no sub-option"), "RFC 6757 3")],
    53: lambda option: [
        (_when(any(getattr(part, "format", 1) != 1 for part in option.sub_options), "not format 1"), "RFC 6909 3.1")
    ],
    55: lambda option: [
        (_when(option.ipv4 != (len(option.address) == 4), "V does not say what prefix follows"), "RFC 7148 4.1"),
        (_when(option.prefix_length > 8 * len(option.address), "longer than the address"), "RFC 7148 4.1"),
    ],
    61: lambda option: [(_when(option.code != 0, "the code is not zero"), "RFC 7411 5.4")],
    62: lambda option: [(_when(not option.sub_options, "no sub-option"), "RFC 8127 3")],
    63: _multipath,
}
"""By option number: what is wrong (empty when nothing is), and the section."""


# --- messages as a whole ------------------------------------------------------------------------------------------


def _whole(message: Any, options: tuple[Any, ...]) -> Problems:
    numbers = {_number(option) for option in options if not isinstance(option, Remainder)}
    check = _MESSAGE_CHECKS.get(kind_of(message))
    if check:
        yield from check(message, numbers)


def _update(message: Any, numbers: set[int]) -> Problems:
    if message.flags & BindingUpdateFlags.B and 35 not in numbers:
        yield Problem("0x0040 is O without P, but there is no BindingIdentifier", "RFC 5648 4.2")
    if 6 in numbers and not message.flags & BindingUpdateFlags.R:
        yield Problem("MobileNetworkPrefix without the flag R", "RFC 3963 4.3")
    if message.flags & BindingUpdateFlags.D:
        yield Problem("the flag D without P", "RFC 8885 4.1")


def _proxy_update(message: Any, numbers: set[int]) -> Problems:
    required = ((8, "MobileNodeIdentifier"), (23, "HandoffIndicator"), (24, "AccessTechnologyType"))
    for number, name in required:
        if number not in numbers:
            yield Problem(f"no {name}", "RFC 5213 6.9.1.5")
    if not message.flags & BindingUpdateFlags.D:
        if 22 not in numbers and 36 not in numbers:
            yield Problem("no HomeNetworkPrefix", "RFC 5213 6.9.1.5")
        yield from _distributed(numbers, "RFC 8885 4.1")


def _proxy_acknowledgement(message: Any, numbers: set[int]) -> Problems:
    if 8 not in numbers:
        yield Problem("no MobileNodeIdentifier", "RFC 5213 5.3.6")
    if not message.flags & 0x02:
        yield from _distributed(numbers, "RFC 8885 4.2")


def _distributed(numbers: set[int], rfc: str) -> Problems:
    for number in sorted(numbers & {65, 66, 67, 68, 69, 70}):
        yield Problem(f"{MOBILITY_OPTIONS.classes[number].__name__} without the flag D", rfc)


def _fast_update(message: Any, numbers: set[int]) -> Problems:
    if message.flags & 0xC000 != 0xC000:
        yield Problem("A and H are not both set", "RFC 5568 6.2.2")


def _heartbeat(message: Any, numbers: set[int]) -> Problems:
    if 28 in numbers and not message.flags & 1:
        yield Problem("RestartCounter in a request", "RFC 5847 3.4")
    if message.flags & 3 == 2:
        yield Problem("U without R", "RFC 5847 3.3")


_MESSAGE_CHECKS: dict[str, Callable[[Any, set[int]], Problems]] = {
    "BU": _update,
    "PBU": _proxy_update,
    "PBA": _proxy_acknowledgement,
    "FBU": _fast_update,
    "HB": _heartbeat,
}


# --- octets -------------------------------------------------------------------------------------------------------


def _octets(octets: bytes) -> Problems:
    """Header, padding and alignment."""
    if octets[0] != mobility.NO_NEXT_HEADER:
        yield Problem(f"Payload Proto is {octets[0]}, not 59", "RFC 6275 6.1.1", 0)
    if octets[3]:
        yield Problem(f"the reserved octet is {octets[3]:#04x}, not zero", "RFC 6275 6.1.1", 3)
    end = 8 * octets[1] + 8
    if end < len(octets):
        yield Problem(f"{len(octets) - end} octets behind the header's end", "RFC 6275 6.1.1", end)
    message = mobility.decode(octets, padding=True)
    options = message.options
    position = end - sum(map(_size, options))
    after = 0
    for option in options:
        size = _size(option)
        if isinstance(option, Pad1 | PadN):
            if any(getattr(option, "data", b"")):
                yield Problem("PadN is not filled with zeros", "RFC 6275 6.2.3", position)
            if after:
                yield Problem("padding behind BindingAuthorizationData", "RFC 6275 6.2.7", position)
        elif not isinstance(option, Remainder | UnknownOption):
            x, y = alignment_of(option)
            if position % x != y % x:
                where = f"{x}n+{y}" if y else f"{x}n"
                text = f"{type(option).__name__} does not begin at {where}"
                yield Problem(text, _first(option.rfc), position)
            after = option.number == 5
        position += size


def _size(option: Any) -> int:
    out = bytearray()
    option.put(out, False)
    return len(out)


__all__ = ["ALLOWED", "ANYWHERE", "SINGLE", "Problem", "kind_of", "problems"]
