"""An LMA sets the timers of its MAGs (RFC 8127): when they register again, how they repeat, how they send heartbeats.

The LMA says so in every answer. A MAG keeps what it was told for each LMA, and goes back to its own values when an
answer has the option no more. Without heartbeats of its own (`heartbeat`) it has none to change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from sojourn.core.engine import Row
from sojourn.engines.extension import LmaExtension, MagExtension
from sojourn.engines.extension_settings import ControlSettings, HeartbeatSettings
from sojourn.engines.heartbeat import MagHeartbeat
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.registration import Refused
from sojourn.wire import BindingAcknowledgement, BindingUpdate, MobilityOption, Status
from sojourn.wire.extensions.rfc8127 import (
    BindingReregistrationControl,
    HeartbeatControl,
    LcmpSubOption,
    LmaControlledMagParameters,
)
from sojourn.wire.units import SECOND, Duration

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration
    from sojourn.engines.mag_registration import MagRegistration

_UNIT = 4 * SECOND
"""Of the Re-registration-Start-Time (3.1.1)."""


class LmaControlledTimers(LmaExtension):
    """The LMA's part (5.1)."""

    name: ClassVar[str] = "controlled-timers"

    def __init__(self, lma: LmaRegistration, settings: ControlSettings) -> None:
        super().__init__(lma)
        controls = _controls(settings)
        self._configured = not any(map(_zero, controls))
        """If not, nobody is registered: "MUST report a configuration error and reject"."""
        self._option = (LmaControlledMagParameters(controls),) if controls else ()

    def takes_over(self, request: HomeRequest, entry: BindingCacheEntry | None) -> bool:
        """Raises `Refused`."""
        if not self._configured and request.lifetime:
            self._report("configuration-error", reason="a timer for gateways is 0 (RFC 8127 5.1)")
            raise Refused(Status.REASON_UNSPECIFIED, "a timer for gateways is 0")
        return False

    def answer(self, entry: BindingCacheEntry, request: HomeRequest) -> Iterable[MobilityOption]:
        """The option, in every answer."""
        return self._option


def _controls(settings: ControlSettings) -> tuple[LcmpSubOption, ...]:
    found: list[LcmpSubOption] = []
    if settings.enable_lcmp_sub_opt_rereg_control:
        found.append(
            BindingReregistrationControl(
                _whole(settings.lcmp_reregistration_start_time, _UNIT),
                _whole(settings.lcmp_initial_retransmission_time, SECOND),
                _whole(settings.lcmp_maximum_retransmission_time, SECOND),
            )
        )
    if settings.enable_lcmp_sub_opt_heartbeat_control:
        found.append(
            HeartbeatControl(
                _whole(settings.lcmp_heartbeat_interval, SECOND),
                _whole(settings.lcmp_heartbeat_retransmission_delay, SECOND),
                settings.lcmp_heartbeat_max_retransmissions,
            )
        )
    return tuple(found)


def _whole(duration: Duration, unit: Duration) -> Duration:
    return min(-(-duration // unit), 0xFFFF) * unit


def _zero(control: LcmpSubOption) -> bool:
    """An LMA may not be configured so (5.1)."""
    if isinstance(control, HeartbeatControl):
        return not (control.interval and control.retransmission_delay and control.maximum_retransmissions)
    assert isinstance(control, BindingReregistrationControl)
    return not (control.start and control.initial_retransmission and control.maximum_retransmission)


class MagControlledTimers(MagExtension):
    """The MAG's part (5.2)."""

    name: ClassVar[str] = "controlled-timers"

    def __init__(self, mag: MagRegistration, switched_on: bool = True) -> None:
        super().__init__(mag)
        self._told: dict[bytes, LmaControlledMagParameters] = {}
        """Of each session."""

    def acceptable(
        self, session: BindingUpdateListEntry, request: BindingUpdate, answer: BindingAcknowledgement
    ) -> bool:
        """ "If any of the parameters ... are ZERO, then the PBA message MUST be ignored", but for one of them."""
        option = answer.first(LmaControlledMagParameters)
        for control in () if option is None else option.sub_options:
            match control:
                case BindingReregistrationControl(start, initial, maximum) if not (start and initial and maximum):
                    self._report("parameters-refused", node=session.node, reason="a timer of registrations is 0")
                    return False
                case HeartbeatControl(interval, _, maximum) if not (interval and maximum):
                    self._report("parameters-refused", node=session.node, reason="a timer of heartbeats is 0")
                    return False
        return True

    def accepted(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> None:
        """ "MUST overwrite the timer parameters"."""
        option = answer.first(LmaControlledMagParameters)
        if option is None:
            self._told.pop(session.node, None)
            self._role._requests.limits.pop(session.lma, None)
            self._beat(session, None)
            return
        self._told[session.node] = option
        for control in option.sub_options:
            if isinstance(control, BindingReregistrationControl):
                limits = (control.initial_retransmission, control.maximum_retransmission)
                self._role._requests.limits[session.lma] = limits
                if control.start < session.lifetime:
                    self._role._after(session.lifetime - control.start, "refresh", session.node)
            elif isinstance(control, HeartbeatControl):
                self._beat(session, control)

    def _beat(self, session: BindingUpdateListEntry, control: HeartbeatControl | None) -> None:
        for extension in self._role.extensions:
            if isinstance(extension, MagHeartbeat):
                told = extension.settings
                if control is not None:
                    told = HeartbeatSettings(
                        control.interval, control.maximum_retransmissions, control.retransmission_delay
                    )
                extension.control(session.lma, told)

    def removed(self, session: BindingUpdateListEntry) -> None:
        """Nothing of it is kept."""
        self._told.pop(session.node, None)

    def row(self, session: BindingUpdateListEntry) -> Row:
        """When it is registered again, and how often that is repeated, in seconds."""
        option = self._told.get(session.node)
        controls = () if option is None else option.sub_options
        found = next((one for one in controls if isinstance(one, BindingReregistrationControl)), None)
        if found is None:
            return {}
        times = (found.start, found.initial_retransmission, found.maximum_retransmission)
        return {"timers": [time // SECOND for time in times]}
