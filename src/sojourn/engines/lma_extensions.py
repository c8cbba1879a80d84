"""The extensions of an LMA: which of them are switched on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sojourn.engines.access_network import LmaAccessNetwork
from sojourn.engines.controlled_timers import LmaControlledTimers
from sojourn.engines.extension import LmaExtension
from sojourn.engines.heartbeat import LmaHeartbeat
from sojourn.engines.lma_notification import LmaNotification
from sojourn.engines.lma_quality import LmaQuality
from sojourn.engines.lma_redirect import LmaRedirect
from sojourn.engines.lma_renumbering import LmaRenumbering
from sojourn.engines.lma_revocation import LmaRevocation
from sojourn.engines.lma_way_extensions import lma_way_extensions
from sojourn.engines.vendors import LmaVendors

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration

_KINDS: dict[str, Callable[[LmaRegistration, Any], LmaExtension]] = {
    "redirect": LmaRedirect,
    "heartbeat": LmaHeartbeat,
    "revocation": LmaRevocation,
    "update_notification": LmaNotification,
    "mag_timers": LmaControlledTimers,
    "renumbering": LmaRenumbering,
    "access_network": LmaAccessNetwork,
    "quality": LmaQuality,
    "vendors": LmaVendors,
}
"""By the field of the configuration that switches each on, in the order in which they are asked."""


def lma_extensions(lma: LmaRegistration) -> list[LmaExtension]:
    """Those that the configuration asks for."""
    told = {name: getattr(lma.configuration, name) for name in _KINDS}
    asked = [_KINDS[name](lma, settings) for name, settings in told.items() if settings not in (None, ())]
    return [*lma_way_extensions(lma), *asked]
