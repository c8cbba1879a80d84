"""The extensions of an LMA: which of them are switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.engines.controlled_timers import LmaControlledTimers
from sojourn.engines.extension import LmaExtension
from sojourn.engines.heartbeat import LmaHeartbeat
from sojourn.engines.lma_notification import LmaNotification
from sojourn.engines.lma_revocation import LmaRevocation
from sojourn.engines.lma_way_extensions import lma_way_extensions

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration


def lma_extensions(lma: LmaRegistration) -> list[LmaExtension]:
    """Those that the configuration asks for, in the order in which they are asked."""
    told = lma.configuration
    found: list[LmaExtension] = []
    if told.heartbeat is not None:
        found.append(LmaHeartbeat(lma, told.heartbeat))
    if told.revocation is not None:
        found.append(LmaRevocation(lma, told.revocation))
    if told.update_notification is not None:
        found.append(LmaNotification(lma, told.update_notification))
    if told.mag_timers is not None:
        found.append(LmaControlledTimers(lma, told.mag_timers))
    return [*found, *lma_way_extensions(lma)]
