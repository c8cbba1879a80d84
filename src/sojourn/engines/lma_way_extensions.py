"""The extensions of an LMA that choose ways for packets: which of them are switched on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sojourn.engines.extension import LmaExtension
from sojourn.engines.lma_bulk import BulkRegistration
from sojourn.engines.lma_delegation import Delegation
from sojourn.engines.lma_flow_mobility import FlowMobility
from sojourn.engines.lma_ipv4 import LmaIpv4Transport
from sojourn.engines.lma_localized import LocalizedRouting
from sojourn.engines.lma_multipath import Multipath
from sojourn.engines.lma_transient import TransientBindings
from sojourn.engines.user_plane import LmaUserPlane

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration

_KINDS: dict[str, Callable[[LmaRegistration, Any], LmaExtension]] = {
    "ipv4_transport": LmaIpv4Transport,
    "user_plane": LmaUserPlane,
    "localized_routing": LocalizedRouting,
    "transient_bindings": TransientBindings,
    "delegation": Delegation,
    "bulk_registration": BulkRegistration,
    "flow_mobility": FlowMobility,
    "multipath": Multipath,
}
"""By the field of the configuration that switches each on, in the order in which they are asked."""


def lma_way_extensions(lma: LmaRegistration) -> list[LmaExtension]:
    """Those that the configuration asks for."""
    told = {name: getattr(lma.configuration, name) for name in _KINDS}
    return [_KINDS[name](lma, settings) for name, settings in told.items() if settings is not None]
