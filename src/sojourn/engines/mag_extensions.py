"""The extensions of a MAG: which of them are switched on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sojourn.engines.access_network import MagAccessNetwork
from sojourn.engines.controlled_timers import MagControlledTimers
from sojourn.engines.extension import MagExtension
from sojourn.engines.heartbeat import MagHeartbeat
from sojourn.engines.mag_notification import MagNotification
from sojourn.engines.mag_quality import MagQuality
from sojourn.engines.mag_redirect import MagRedirect
from sojourn.engines.mag_renumbering import MagRenumbering
from sojourn.engines.mag_revocation import MagRevocation
from sojourn.engines.mag_way_extensions import mag_way_extensions
from sojourn.engines.vendors import MagVendors

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration

_KINDS: dict[str, Callable[[MagRegistration, Any], MagExtension]] = {
    "heartbeat": MagHeartbeat,
    "revocation": MagRevocation,
    "update_notification": MagNotification,
    "lma_timers": MagControlledTimers,
    "renumbering": MagRenumbering,
    "redirect_anchors": MagRedirect,
    "access_networks": MagAccessNetwork,
    "vendor_options": MagVendors,
}
"""By the field of the configuration that switches each on, in the order in which they are asked."""


def mag_extensions(mag: MagRegistration) -> list[MagExtension]:
    """Those that the configuration asks for; quality of service, if a profile does."""
    configuration = mag.configuration
    told = {name: getattr(configuration, name) for name in _KINDS}
    switched_on = [_KINDS[name](mag, settings) for name, settings in told.items() if settings not in (None, False, ())]
    found = [*mag_way_extensions(mag), *switched_on]
    profiles = (configuration.everybody, *configuration.profiles)
    asked = {one.link_layer: one.quality for one in profiles if one.quality is not None}
    return [*found, MagQuality(mag, asked)] if asked else found
