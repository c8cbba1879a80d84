"""The authentication protocol for Mobile IPv6 (RFC 4285), as data: no key and no digest is handled here."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from sojourn.wire.fields import U8, U32, U64, Rest
from sojourn.wire.mobility import MobilityOption, mobility_option
from sojourn.wire.units import SECOND, WallClock

_EPOCH = 2_208_988_800
"""Seconds from 1900, where NTP begins, to 1970."""


class AuthenticationSubtype(IntEnum):
    """Whom the authenticator is for (RFC 4285 5.1, 5.2)."""

    MN_HA = 1
    MN_AAA = 2


class ReservedSpi(IntEnum):
    """Security parameter indexes with a meaning; SPIs are 32 bits, 4294967296 in section 8 is one too many."""

    NOT_ASSIGNED = 0  # RFC 4285 8
    HMAC_SHA1_SPI = 3
    RESERVED_FOR_3GPP2 = 5


@mobility_option(9, align=(4, 1))
@dataclass(slots=True)
class MobilityMessageAuthentication(MobilityOption):
    """Who shares a key proves it (RFC 4285 5). MN-HA comes last, or just before MN-AAA.

    The code covers the header up to and including the SPI: 96 bits of HMAC-SHA1 for MN-HA (5.1), for MN-AAA a code
    over the SHA-1 of the data (5.2), so the two need separate computations.
    """

    subtype: Annotated[U8, AuthenticationSubtype]
    spi: Annotated[U32, ReservedSpi]
    authenticator: Annotated[bytes, Rest()]


@mobility_option(10, align=(8, 2))
@dataclass(slots=True)
class MobilityMessageReplayProtection(MobilityOption):
    """When the message was sent, in the format of NTP (RFC 4285 6): not that of the Timestamp of RFC 5213 8.8."""

    timestamp: U64
    """32 bits of seconds since 1900-01-01 UTC, 32 bits of fraction."""

    @property
    def wall_clock(self) -> WallClock:
        """The same in nanoseconds since 1970; before that year, negative."""
        return (self.timestamp * SECOND + (1 << 31) >> 32) - _EPOCH * SECOND

    @classmethod
    def at(cls, wall: WallClock) -> "MobilityMessageReplayProtection":
        """The option for a time in nanoseconds since 1970. The count of seconds starts again in 2036."""
        return cls(((wall + _EPOCH * SECOND) << 32) // SECOND & 0xFFFFFFFFFFFFFFFF)
