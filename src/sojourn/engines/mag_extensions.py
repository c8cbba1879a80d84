"""The extensions of a MAG: which of them are switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.engines.access_network import MagAccessNetwork
from sojourn.engines.controlled_timers import MagControlledTimers
from sojourn.engines.extension import MagExtension
from sojourn.engines.heartbeat import MagHeartbeat
from sojourn.engines.mag_notification import MagNotification
from sojourn.engines.mag_redirect import MagRedirect
from sojourn.engines.mag_renumbering import MagRenumbering
from sojourn.engines.mag_revocation import MagRevocation
from sojourn.engines.mag_way_extensions import mag_way_extensions
from sojourn.engines.quality import MagQuality
from sojourn.engines.vendors import MagVendors

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration


def mag_extensions(mag: MagRegistration) -> list[MagExtension]:
    """Those that the configuration asks for, in the order in which they are asked."""
    told = mag.configuration
    found: list[MagExtension] = []
    if told.heartbeat is not None:
        found.append(MagHeartbeat(mag, told.heartbeat))
    if told.revocation is not None:
        found.append(MagRevocation(mag, told.revocation))
    if told.update_notification:
        found.append(MagNotification(mag))
    if told.lma_timers:
        found.append(MagControlledTimers(mag))
    if told.renumbering:
        found.append(MagRenumbering(mag, told.prefix_retirement))
    if told.redirect_anchors:
        found.append(MagRedirect(mag, told.redirect_anchors))
    if told.access_networks:
        found.append(MagAccessNetwork(mag, told.access_networks))
    asked = {one.link_layer: one.quality for one in (told.everybody, *told.profiles) if one.quality is not None}
    if asked:
        found.append(MagQuality(mag, asked))
    if told.vendor_options:
        found.append(MagVendors(mag, told.vendor_options))
    return [*mag_way_extensions(mag), *found]
