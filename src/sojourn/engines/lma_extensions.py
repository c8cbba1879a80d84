"""The extensions of an LMA: which of them are switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.engines.access_network import LmaAccessNetwork
from sojourn.engines.controlled_timers import LmaControlledTimers
from sojourn.engines.extension import LmaExtension
from sojourn.engines.heartbeat import LmaHeartbeat
from sojourn.engines.lma_notification import LmaNotification
from sojourn.engines.lma_redirect import LmaRedirect
from sojourn.engines.lma_renumbering import LmaRenumbering
from sojourn.engines.lma_revocation import LmaRevocation
from sojourn.engines.lma_way_extensions import lma_way_extensions
from sojourn.engines.quality import LmaQuality
from sojourn.engines.vendors import LmaVendors

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration


def lma_extensions(lma: LmaRegistration) -> list[LmaExtension]:
    """Those that the configuration asks for, in the order in which they are asked."""
    told = lma.configuration
    found: list[LmaExtension] = []
    if told.redirect is not None:
        found.append(LmaRedirect(lma, told.redirect))
    if told.heartbeat is not None:
        found.append(LmaHeartbeat(lma, told.heartbeat))
    if told.revocation is not None:
        found.append(LmaRevocation(lma, told.revocation))
    if told.update_notification is not None:
        found.append(LmaNotification(lma, told.update_notification))
    if told.mag_timers is not None:
        found.append(LmaControlledTimers(lma, told.mag_timers))
    if told.renumbering is not None:
        found.append(LmaRenumbering(lma, told.renumbering))
    if told.access_network is not None:
        found.append(LmaAccessNetwork(lma, told.access_network))
    if told.quality is not None:
        found.append(LmaQuality(lma, told.quality))
    if told.vendors:
        found.append(LmaVendors(lma, told.vendors))
    return [*lma_way_extensions(lma), *found]
