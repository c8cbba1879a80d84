"""What the extensions are told that choose ways for packets. An engine without the settings of one does not have it.

Constants keep the names printed in their RFCs; every duration is in nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.wire.addresses import Address
from sojourn.wire.units import MINUTE, SECOND, Duration


@dataclass(frozen=True, slots=True)
class LocalizedRoutingOfLma:
    """An LMA initiates localized routing (RFC 6705)."""

    pairs: tuple[tuple[bytes, bytes], ...] = ()
    """Nodes that meet, by subtype and identifier; others are named by command."""
    lifetime: Duration = 2 * MINUTE
    """Asked for; renewed at half of it, in whole seconds."""
    lra_wait_time: Duration = 3 * SECOND
    """Between transmissions of an initiation that is not answered (12)."""
    lri_retries: int = 3
    most: int = 1024
    """Pairs at a time."""


@dataclass(frozen=True, slots=True)
class LocalizedRoutingOfMag:
    """A MAG does what the LMA asks for (EnableMAGLocalRouting, RFC 6705 5)."""

    gateways: tuple[Address, ...] = ()
    """Other MAGs that packets are exchanged with, in tunnels."""
    most: int = 1024
    """Pairs at a time."""
