"""What is simulated: the protocol and its settings, as one value that every part of the simulator understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sojourn.wire.units import HOUR, SECOND, Duration

Mode = Literal["proxy", "relay", "locator", "pmipv6", "none"]
"""RFC 8885 3.4, 3.2, 3.3, RFC 5213 with one anchor for all, and no mobility at all (sessions break at a move)."""

WireMode = Literal["off", "size", "full"]
"""Messages as objects; with their octets counted; really encoded and decoded. Equal in result."""


@dataclass(frozen=True, slots=True)
class ProtocolSettings:
    """Settings of the simulated domain."""

    mode: Mode = "proxy"
    database: int | None = None
    """The place of the central database (or anchor); None: `Topology.best_place`."""
    lifetime: Duration = 1 * HOUR
    """Lifetime of a registration."""
    idle_hold: Duration = 1 * SECOND
    """An old prefix retires when its last session has been over for this long."""
    processing: Duration = 0
    """Time that each engine takes for a message."""
    loss: float = 0.0
    """Share of messages that the network loses."""
    advertise_confirmed: bool = False
    """A new prefix is announced when the registration is confirmed, not at once."""
