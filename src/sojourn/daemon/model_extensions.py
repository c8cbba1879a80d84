"""Tables of the configuration file that switch on extensions of [lma] and [mag]: a role without one does not have it.

Keys and fields of the engines' settings have the same names; `settings` makes one of the other.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, TypeAlias

from pydantic import Field, Strict

from sojourn.daemon.engine_keys import as_the_engine
from sojourn.engines.extension_settings import HeartbeatSettings
from sojourn.files.fields import DurationField, Expected
from sojourn.files.sections import Section

TimesField: TypeAlias = Annotated[int, Strict(), Field(ge=0, le=100), Expected("a whole number from 0 to 100", 3)]


def _heartbeat(name: str, about: str) -> Any:
    return as_the_engine(HeartbeatSettings, name, about)


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


_SETTINGS: dict[type[Section], type] = {Heartbeat: HeartbeatSettings}
"""What each table becomes."""


def settings(value: object) -> object:
    """What an engine is told in the place of a table; any other value is what it is."""
    if not isinstance(value, Section) or type(value) not in _SETTINGS:
        return value
    kind = _SETTINGS[type(value)]
    return kind(**{field.name: settings(getattr(value, field.name)) for field in fields(kind)})
