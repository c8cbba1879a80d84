"""Tables of the configuration file that switch on extensions of [lma] and [mag]: a role without one does not have it.

Keys and fields of the engines' settings have the same names; `settings` makes one of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from pydantic import Field, PlainValidator, Strict, WithJsonSchema

from sojourn.daemon.engine_keys import as_the_engine
from sojourn.engines.extension_settings import (
    AccessNetwork,
    AccessNetworkSettings,
    ControlSettings,
    HeartbeatSettings,
    NotificationSettings,
    QualityRequest,
    QualitySettings,
    RedirectSettings,
    RenumberingSettings,
    RevocationSettings,
    VendorOption,
)
from sojourn.files.fields import AddressField, DurationField, Expected, IdentifierField, SwitchField, TextField, wrong
from sojourn.files.sections import Section, setting

_DATA_MAX = 64
"""Octets of a vendor's option."""
TimesField: TypeAlias = Annotated[int, Strict(), Field(ge=0, le=100), Expected("a whole number from 0 to 100", 3)]


RateField: TypeAlias = Annotated[
    int, Strict(), Field(ge=0, le=(1 << 32) - 1), Expected("a number of bits a second, of 32 bits", 10_000_000)
]
DscpField: TypeAlias = Annotated[int, Strict(), Field(ge=0, le=63), Expected("a whole number from 0 to 63", 46)]
PriorityField: TypeAlias = Annotated[int, Strict(), Field(ge=0, le=15), Expected("a whole number from 0 to 15", 1)]
OctetField: TypeAlias = Annotated[int, Strict(), Field(ge=0, le=255), Expected("a whole number from 0 to 255", 1)]
EnterpriseField: TypeAlias = Annotated[
    int, Strict(), Field(ge=0, le=(1 << 32) - 1), Expected("a private enterprise number", 32473)
]
NameOfNetworkField: TypeAlias = Annotated[
    str, Strict(), Field(max_length=32), Expected("a text of at most 32 characters", "campus")
]
_Latitude: TypeAlias = Annotated[float, Field(ge=-90, le=90)]
_Longitude: TypeAlias = Annotated[float, Field(ge=-180, le=180)]
PlaceField: TypeAlias = Annotated[
    tuple[_Latitude, _Longitude] | None, Expected("latitude and longitude in degrees", [52.5163, 13.3777])
]


def _parse_hexadecimal(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        octets = bytes.fromhex(value) if isinstance(value, str) else None
    except ValueError:
        octets = None
    if octets is None or len(octets) > _DATA_MAX:
        raise wrong(f"{value!r} is not a text of at most {_DATA_MAX} octets in hexadecimal")
    return octets


HexadecimalField: TypeAlias = Annotated[
    bytes,
    PlainValidator(_parse_hexadecimal),
    WithJsonSchema({"type": "string"}),
    Expected("octets in hexadecimal", "c0ffee"),
]


def _networks(name: str, about: str) -> Any:
    return as_the_engine(AccessNetworkSettings, name, about)


def _quality(name: str, about: str) -> Any:
    return as_the_engine(QualityRequest, name, about)


def _heartbeat(name: str, about: str) -> Any:
    return as_the_engine(HeartbeatSettings, name, about)


def _revocation(name: str, about: str) -> Any:
    return as_the_engine(RevocationSettings, name, about)


def _notification(name: str, about: str) -> Any:
    return as_the_engine(NotificationSettings, name, about)


def _timers(name: str, about: str) -> Any:
    return as_the_engine(ControlSettings, name, about)


def _redirect(name: str, about: str) -> Any:
    return as_the_engine(RedirectSettings, name, about)


class Heartbeat(Section):
    """Heartbeats (RFC 5847): peers that restarted or cannot be reached are noticed."""

    heartbeat_interval: DurationField = _heartbeat(
        "heartbeat_interval", "HEARTBEAT_INTERVAL, between two requests; the RFC wants 30 s to an hour."
    )
    missing_heartbeats_allowed: TimesField = _heartbeat(
        "missing_heartbeats_allowed", "MISSING_HEARTBEATS_ALLOWED: with one more unanswered a peer is unreachable."
    )
    retransmission_delay: DurationField = _heartbeat(
        "retransmission_delay", "An unanswered request is followed by the next one so soon; 0: an interval later."
    )


class Revocation(Section):
    """What both sides of a revocation are told (RFC 5846 11)."""

    bri_max_retries_number: TimesField = _revocation(
        "bri_max_retries_number", "BRIMaxRetriesNumber: how often a request is repeated."
    )
    init_min_delay_bris: DurationField = _revocation(
        "init_min_delay_bris", "InitMINDelayBRIs, before the first repetition; then it doubles."
    )
    max_brack_timeout: DurationField = _revocation("max_brack_timeout", "MAX_BRACK_TIMEOUT, the longest of these.")


class Authorized(Section):
    """A gateway that may end all of its bindings at once."""

    identity: IdentifierField = setting("By what it names itself.", example="mag1@example.net")
    address: AddressField = setting("Where it asks from.", example="2001:db8:b1::1")


class LmaRevocation(Revocation):
    """Binding revocation at an LMA (RFC 5846)."""

    authorized: tuple[Authorized, ...] = setting(
        "Gateways that may end all of their bindings, as tables `[[lma.revocation.authorized]]`.", ()
    )


class MagRevocation(Revocation):
    """Binding revocation at a gateway (RFC 5846)."""

    identity: IdentifierField | None = setting(
        "By what it names itself to end all of its bindings; absent: it cannot.", None, example="mag1@example.net"
    )


class Notification(Section):
    """Update Notifications (RFC 7077)."""

    max_update_notification_retransmit_count: TimesField = _notification(
        "max_update_notification_retransmit_count", "MAX_UPDATE_NOTIFICATION_RETRANSMIT_COUNT, 0 to 5 in the RFC."
    )
    min_delay_between_update_notification_replay: DurationField = _notification(
        "min_delay_between_update_notification_replay", "MIN_DELAY_BETWEEN_UPDATE_NOTIFICATION_REPLAY."
    )


class Timers(Section):
    """Timers that the LMA sets for its gateways (RFC 8127), in whole seconds; none of them may be 0."""

    enable_lcmp_sub_opt_rereg_control: SwitchField = _timers(
        "enable_lcmp_sub_opt_rereg_control", "EnableLCMPSubOptReregControl: when and how they register again."
    )
    enable_lcmp_sub_opt_heartbeat_control: SwitchField = _timers(
        "enable_lcmp_sub_opt_heartbeat_control", "EnableLCMPSubOptHeartbeatControl: how they send heartbeats."
    )
    lcmp_reregistration_start_time: DurationField = _timers(
        "lcmp_reregistration_start_time", "So long before the end of the lifetime they register again. Multiple of 4 s."
    )
    lcmp_initial_retransmission_time: DurationField = _timers(
        "lcmp_initial_retransmission_time", "Before the first repetition of a registration."
    )
    lcmp_maximum_retransmission_time: DurationField = _timers(
        "lcmp_maximum_retransmission_time", "The longest between two repetitions."
    )
    lcmp_heartbeat_interval: DurationField = _timers("lcmp_heartbeat_interval", "Between two heartbeats.")
    lcmp_heartbeat_retransmission_delay: DurationField = _timers(
        "lcmp_heartbeat_retransmission_delay", "Before one that was not answered is repeated."
    )
    lcmp_heartbeat_max_retransmissions: TimesField = _timers(
        "lcmp_heartbeat_max_retransmissions", "How often it is repeated; then the LMA is unreachable."
    )


class Renumbering(Section):
    """Prefixes of nodes can be changed (RFC 8191)."""

    soft_time: DurationField = as_the_engine(
        RenumberingSettings, "soft_time", "In soft mode old prefixes are forwarded for so long; 0: not at all."
    )


class Redirect(Section):
    """Other LMAs are assigned to nodes (RFC 6463). Each has this one among its gateways, with `care_of` the others."""

    anchors: Annotated[tuple[AddressField, ...], Expected("a list of addresses", ["2001:db8:f::2"])] = setting(
        "The LMAs that may be assigned.", example=["2001:db8:f::2"]
    )
    serve: SwitchField = _redirect("serve", "Serve gateways that cannot be redirected; if not, they get status 130.")
    answer_within: DurationField = _redirect("answer_within", "An LMA that takes longer is avoided for a while.")
    avoided: DurationField = _redirect("avoided", "That while.")


class Network(Section):
    """An access network (RFC 6757)."""

    interface: TextField = setting("The interface that it is behind; absent: all that have no table of their own.", "")
    network: NameOfNetworkField = setting("Its name, such as an SSID; absent: it is not told.", "", example="campus")
    access_point: NameOfNetworkField = setting("The name of the access point.", "", example="hall-2")
    place: PlaceField = setting("Latitude and longitude, in degrees.", None)
    operator: EnterpriseField = setting("The operator's private enterprise number; 0: none.", 0, example=32473)
    realm: NameOfNetworkField = setting("The realm of an operator without one.", "", example="example.net")


class Networks(Section):
    """What the LMA keeps and returns of what gateways say of access networks (RFC 6757 6)."""

    enable_ani_sub_opt_network_identifier: SwitchField = _networks(
        "enable_ani_sub_opt_network_identifier", "EnableANISubOptNetworkIdentifier: the names."
    )
    enable_ani_sub_opt_geo_location: SwitchField = _networks(
        "enable_ani_sub_opt_geo_location", "EnableANISubOptGeoLocation: the place."
    )
    enable_ani_sub_opt_operator_identifier: SwitchField = _networks(
        "enable_ani_sub_opt_operator_identifier", "EnableANISubOptOperatorIdentifier: the operator."
    )


class QualityOfService(Section):
    """What is asked for (RFC 7222), in bits a second; 0: not."""

    dscp: DscpField = _quality("dscp", "Of the traffic that is meant.")
    downlink: RateField = _quality("downlink", "Most, towards the node.")
    uplink: RateField = _quality("uplink", "Most, from the node.")
    guaranteed_downlink: RateField = _quality("guaranteed_downlink", "Always, towards the node.")
    guaranteed_uplink: RateField = _quality("guaranteed_uplink", "Always, from the node.")
    priority: PriorityField = _quality("priority", "Of allocation and retention: 1 is highest.")


class QualityLimits(Section):
    """What the LMA agrees to (RFC 7222), in bits a second; 0: anything."""

    downlink: RateField = as_the_engine(QualitySettings, "downlink", "Most, towards a node.")
    uplink: RateField = as_the_engine(QualitySettings, "uplink", "Most, from a node.")


class Vendor(Section):
    """An option that a vendor defines (RFC 5094)."""

    vendor: EnterpriseField = setting("Private enterprise number.", example=32473)
    subtype: OctetField = setting("Which of the vendor's options.", 0, example=1)
    data: HexadecimalField = setting("What it says, in hexadecimal, 64 octets at most.", b"")


_SETTINGS: dict[type[Section], Callable[..., object]] = {
    Heartbeat: HeartbeatSettings,
    Timers: ControlSettings,
    Network: AccessNetwork,
    Networks: AccessNetworkSettings,
    QualityOfService: QualityRequest,
    QualityLimits: QualitySettings,
    Vendor: VendorOption,
    Redirect: RedirectSettings,
    Renumbering: RenumberingSettings,
    Notification: NotificationSettings,
    LmaRevocation: RevocationSettings,
    MagRevocation: RevocationSettings,
    Authorized: lambda identity, address: (identity, address),
}
"""What each table becomes."""


def settings(value: object) -> object:
    """What an engine is told in the place of a table, or of several; any other value is what it is.

    A key that is absent, and has no default in the file, has that of the engine.
    """
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(map(settings, value))
    if not isinstance(value, Section) or type(value) not in _SETTINGS:
        return value
    return _SETTINGS[type(value)](**{name: settings(one) for name, one in value if one is not None})
