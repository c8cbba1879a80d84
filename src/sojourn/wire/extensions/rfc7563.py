"""More of the access network (RFC 7563)."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated

from sojourn.wire.extensions.rfc6757 import AniSubOption, ani_sub_option
from sojourn.wire.fields import U8, U16, Rest, Scaled
from sojourn.wire.units import SECOND, Duration


class CivicFormat(IntEnum):
    """How the location is written (RFC 7563 3.1)."""

    BINARY = 0


@ani_sub_option(4)
@dataclass(slots=True)
class CivicLocation(AniSubOption):
    """A postal address (RFC 7563 3.1)."""

    format: Annotated[U8, CivicFormat]
    reserved: U8 = field(default=0, kw_only=True)
    location: Annotated[bytes, Rest()]
    """As in RFC 4776, without its first three octets."""


@ani_sub_option(5)
@dataclass(slots=True)
class MagGroupIdentifier(AniSubOption):
    """A group of gateways (RFC 7563 3.2): two octets, as figure and length have it, not three, as the text says."""

    group: U16


@ani_sub_option(6)
@dataclass(slots=True)
class AniUpdateTimer(AniSubOption):
    """How often the gateway repeats this (RFC 7563 3.3)."""

    interval: Annotated[Duration, Scaled(2, unit=4 * SECOND)]
