"""What the extensions of LMA and MAG are told: one class each; a role without it does not have the extension.

Variables keep the names that their RFC prints.
"""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.wire.addresses import Address
from sojourn.wire.units import MILLISECOND, SECOND, Duration


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


@dataclass(frozen=True, slots=True)
class RenumberingSettings:
    """RFC 8191, at an LMA: how long old prefixes are still forwarded."""

    soft_time: Duration = 30 * SECOND
    """In soft mode (4); 0: hard mode is what there is."""


@dataclass(frozen=True, slots=True)
class RedirectSettings:
    """RFC 6463, at an LMA that assigns others (rfLMA)."""

    anchors: tuple[Address, ...]
    """The LMAs that may be assigned (r2LMA). Each knows us as a MAG whose tunnels end at the MAGs."""
    serve: bool = True
    """Serve MAGs that cannot be redirected; if not, they are refused with status 130."""
    answer_within: Duration = 500 * MILLISECOND
    """An assigned LMA that takes longer is not assigned again for a while."""
    avoided: Duration = 30 * SECOND
    """That while."""


@dataclass(frozen=True, slots=True)
class AccessNetworkSettings:
    """RFC 6757 6, at an LMA: what it keeps and returns of what MAGs say."""

    enable_ani_sub_opt_network_identifier: bool = True
    enable_ani_sub_opt_geo_location: bool = True
    enable_ani_sub_opt_operator_identifier: bool = True


@dataclass(frozen=True, slots=True)
class AccessNetwork:
    """What a MAG says of the network behind an interface (RFC 6757 3.1)."""

    interface: str = ""
    """Empty: behind all that have no entry of their own."""
    network: str = ""
    """Such as an SSID; empty: it is not told."""
    access_point: str = ""
    place: tuple[float, float] | None = None
    """Latitude and longitude in degrees."""
    operator: int = 0
    """Private enterprise number; 0: none."""
    realm: str = ""
    """Of the operator, who has no such number."""


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """RFC 7222, at an LMA: the most that a session may have, in bits a second; 0: no limit."""

    downlink: int = 0
    uplink: int = 0


@dataclass(frozen=True, slots=True)
class QualityRequest:
    """What a MAG asks for a session (RFC 7222 4), in bits a second."""

    dscp: int = 0
    downlink: int = 0
    """Most, of the session; 0: not asked for."""
    uplink: int = 0
    guaranteed_downlink: int = 0
    guaranteed_uplink: int = 0
    priority: int = 0
    """Of allocation and retention: 1 is highest; 0: not asked for."""


@dataclass(frozen=True, slots=True)
class VendorOption:
    """RFC 5094 3."""

    vendor: int
    subtype: int = 0
    data: bytes = b""
