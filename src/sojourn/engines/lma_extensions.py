"""The extensions of an LMA: which of them are switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.engines.extension import LmaExtension
from sojourn.engines.lma_delegation import Delegation
from sojourn.engines.lma_localized import LocalizedRouting
from sojourn.engines.lma_transient import TransientBindings

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration


def lma_extensions(lma: LmaRegistration) -> list[LmaExtension]:
    """Those that the configuration asks for, in the order in which they are asked."""
    settings = lma.configuration
    found: list[LmaExtension] = []
    if settings.localized_routing is not None:
        found.append(LocalizedRouting(lma, settings.localized_routing))
    if settings.transient_bindings is not None:
        found.append(TransientBindings(lma, settings.transient_bindings))
    if settings.delegation is not None:
        found.append(Delegation(lma, settings.delegation))
    return found
