"""Tables of the configuration file that switch on extensions of [lma] and [mag]: a role without one does not have it.

Keys and fields of the engines' settings have the same names; `settings` makes one of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from pydantic import Field, Strict

from sojourn.daemon.engine_keys import as_the_engine
from sojourn.engines.extension_settings import (
    ControlSettings,
    HeartbeatSettings,
    NotificationSettings,
    RevocationSettings,
)
from sojourn.files.fields import AddressField, DurationField, Expected, IdentifierField, SwitchField
from sojourn.files.sections import Section, setting

TimesField: TypeAlias = Annotated[int, Strict(), Field(ge=0, le=100), Expected("a whole number from 0 to 100", 3)]


def _heartbeat(name: str, about: str) -> Any:
    return as_the_engine(HeartbeatSettings, name, about)


def _revocation(name: str, about: str) -> Any:
    return as_the_engine(RevocationSettings, name, about)


def _notification(name: str, about: str) -> Any:
    return as_the_engine(NotificationSettings, name, about)


def _timers(name: str, about: str) -> Any:
    return as_the_engine(ControlSettings, name, about)


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


_SETTINGS: dict[type[Section], Callable[..., object]] = {
    Heartbeat: HeartbeatSettings,
    Timers: ControlSettings,
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
