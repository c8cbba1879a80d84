"""The extensions of an LMA that choose ways for packets: which of them are switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.engines.extension import LmaExtension
from sojourn.engines.lma_bulk import BulkRegistration
from sojourn.engines.lma_delegation import Delegation
from sojourn.engines.lma_flow_mobility import FlowMobility
from sojourn.engines.lma_localized import LocalizedRouting
from sojourn.engines.lma_multipath import Multipath
from sojourn.engines.lma_transient import TransientBindings
from sojourn.engines.user_plane import LmaUserPlane

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration


def lma_way_extensions(lma: LmaRegistration) -> list[LmaExtension]:
    """Those that the configuration asks for, in the order in which they are asked."""
    told = lma.configuration
    found: list[LmaExtension] = []
    if told.user_plane is not None:
        found.append(LmaUserPlane(lma, told.user_plane))
    if told.localized_routing is not None:
        found.append(LocalizedRouting(lma, told.localized_routing))
    if told.transient_bindings is not None:
        found.append(TransientBindings(lma, told.transient_bindings))
    if told.delegation is not None:
        found.append(Delegation(lma, told.delegation))
    if told.bulk_registration is not None:
        found.append(BulkRegistration(lma, told.bulk_registration))
    if told.flow_mobility is not None:
        found.append(FlowMobility(lma, told.flow_mobility))
    if told.multipath is not None:
        found.append(Multipath(lma, told.multipath))
    return found
