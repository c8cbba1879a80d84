"""The extensions of a MAG that choose ways for packets: which of them are switched on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sojourn.engines.extension import MagExtension
from sojourn.engines.mag_bulk import BulkRegistrationAtMag
from sojourn.engines.mag_delegation import DelegationAtMag
from sojourn.engines.mag_flow_mobility import FlowMobilityAtMag
from sojourn.engines.mag_ipv4 import MagIpv4Transport
from sojourn.engines.mag_localized import LocalizedRoutingAtMag
from sojourn.engines.mag_multipath import MultipathAtMag
from sojourn.engines.mag_transient import TransientBindingsAtMag
from sojourn.engines.user_plane import MagUserPlane

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration

_KINDS: dict[str, Callable[[MagRegistration, Any], MagExtension]] = {
    "ipv4_transport": MagIpv4Transport,
    "user_plane": MagUserPlane,
    "localized_routing": LocalizedRoutingAtMag,
    "transient_bindings": TransientBindingsAtMag,
    "delegation": DelegationAtMag,
    "bulk_registration": BulkRegistrationAtMag,
    "flow_mobility": FlowMobilityAtMag,
    "multipath": MultipathAtMag,
}
"""By the field of the configuration that switches each on, in the order in which they are asked."""


def mag_way_extensions(mag: MagRegistration) -> list[MagExtension]:
    """Those that the configuration asks for."""
    told = {name: getattr(mag.configuration, name) for name in _KINDS}
    return [_KINDS[name](mag, settings) for name, settings in told.items() if settings is not None]
