"""The extensions of an LMA: which of them are switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.engines.extension import LmaExtension
from sojourn.engines.heartbeat import LmaHeartbeat

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration


def lma_extensions(lma: LmaRegistration) -> list[LmaExtension]:
    """Those that the configuration asks for, in the order in which they are asked."""
    configuration = lma.configuration
    found: list[LmaExtension] = []
    if configuration.heartbeat is not None:
        found.append(LmaHeartbeat(lma, configuration.heartbeat))
    return found
