"""What the extensions of LMA and MAG are told: one class each; a role without it does not have the extension.

Variables keep the names that their RFC prints.
"""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.wire.addresses import Address
from sojourn.wire.units import SECOND, Duration


@dataclass(frozen=True, slots=True)
class HeartbeatSettings:
    """RFC 5847 5. An LMA may set them for its MAGs (RFC 8127)."""

    heartbeat_interval: Duration = 60 * SECOND
    missing_heartbeats_allowed: int = 3
    """With one more request unanswered the peer is not reachable."""
    retransmission_delay: Duration = 0
    """After an unanswered request the next one follows so soon (RFC 8127 3.1.2); 0: an interval later."""


@dataclass(frozen=True, slots=True)
class RevocationSettings:
    """RFC 5846 11, of both roles."""

    bri_max_retries_number: int = 1
    """BRIMaxRetriesNumber."""
    init_min_delay_bris: Duration = 1 * SECOND
    """InitMINDelayBRIs, at least half a second."""
    max_brack_timeout: Duration = 2 * SECOND
    """MAX_BRACK_TIMEOUT."""
    authorized: tuple[tuple[bytes, Address], ...] = ()
    """LMA: identity (subtype and identifier) and address of each MAG that may revoke all of its bindings at once."""
    identity: bytes = b""
    """MAG: by what it is known to the LMA for that; empty: it does not ask for it."""


@dataclass(frozen=True, slots=True)
class NotificationSettings:
    """RFC 7077 7."""

    max_update_notification_retransmit_count: int = 1
    min_delay_between_update_notification_replay: Duration = 1 * SECOND


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """RFC 8127 4.1; rounded up to the units that they travel in."""

    enable_lcmp_sub_opt_rereg_control: bool = False
    enable_lcmp_sub_opt_heartbeat_control: bool = False
    lcmp_reregistration_start_time: Duration = 40 * SECOND
    """So long before the end of the lifetime a MAG registers again."""
    lcmp_initial_retransmission_time: Duration = 1 * SECOND
    lcmp_maximum_retransmission_time: Duration = 32 * SECOND
    lcmp_heartbeat_interval: Duration = 60 * SECOND
    lcmp_heartbeat_retransmission_delay: Duration = 5 * SECOND
    lcmp_heartbeat_max_retransmissions: int = 3
