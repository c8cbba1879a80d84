"""How far a simulated message goes towards the wire: not at all, as far as its length, or all the way and back.

The octets are those of the packet: the IPv6 header and the Mobility Header, as the lab counts them. Messages repeat
themselves: the same options in the same order, with identifiers of the same length, take the same octets. So a length
is found by encoding once for each *shape*. A shape is known for options that a declaration describes entirely; a
message with any other option is encoded whenever its length is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from sojourn.sim.protocol import WireMode
from sojourn.wire import MobilityMessage, MobilityOption, decode, encode
from sojourn.wire.fields import Rest, Tlvs

Weigh: TypeAlias = Callable[[MobilityMessage], tuple[MobilityMessage, int]]
"""The message as it arrives, and its octets."""
_IPV6_HEADER = 40
_ENDS: dict[type, str | None] = {}
"""The field of a class of options whose length varies; "" for none, None where that cannot be told."""


def weigher(mode: WireMode) -> Weigh | None:
    """What becomes of each message; None: nothing."""
    if mode == "off":
        return None
    return Scales().weigh if mode == "size" else carried


def carried(message: MobilityMessage) -> tuple[MobilityMessage, int]:
    """Encoded, and decoded again."""
    octets = encode(message)
    return decode(octets), _IPV6_HEADER + len(octets)


class Scales:
    """Knows the shapes that it has seen."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[type, ...], tuple[tuple[int, str], ...] | None] = {}
        """Where in a shape there are fields of varying length; None: it must be encoded."""
        self._octets: dict[tuple[object, ...], int] = {}

    def weigh(self, message: MobilityMessage) -> tuple[MobilityMessage, int]:
        """The message itself, and its octets."""
        options = message.options
        shape = (type(message), *map(type, options))
        try:
            ends = self._shapes[shape]
        except KeyError:
            ends = self._shapes[shape] = _ends(type(message), options)
        if ends is None:
            return message, _octets(message)
        key = (*shape, *[len(getattr(options[index], name)) for index, name in ends])
        octets = self._octets.get(key)
        if octets is None:
            octets = self._octets[key] = _octets(message)
        return message, octets


def _octets(message: MobilityMessage) -> int:
    return _IPV6_HEADER + len(encode(message))


def _ends(cls: type[MobilityMessage], options: tuple[MobilityOption, ...]) -> tuple[tuple[int, str], ...] | None:
    layout = getattr(cls, "layout", None)
    if layout is None or layout.custom or layout.tail is None or not isinstance(layout.tail[1], Tlvs):
        return None
    found = []
    for index, option in enumerate(options):
        if type(option) not in _ENDS:
            _ENDS[type(option)] = _end(type(option))
        end = _ENDS[type(option)]
        if end is None:
            return None
        if end:
            found.append((index, end))
    return tuple(found)


def _end(cls: type[MobilityOption]) -> str | None:
    layout = getattr(cls, "layout", None)
    if layout is None or layout.custom:
        return None
    if layout.tail is None:
        return ""
    name, kind = layout.tail
    return str(name) if isinstance(kind, Rest) else None
