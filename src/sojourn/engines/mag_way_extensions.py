"""The extensions of a MAG that choose ways for packets: which of them are switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.engines.extension import MagExtension
from sojourn.engines.mag_bulk import BulkRegistrationAtMag
from sojourn.engines.mag_delegation import DelegationAtMag
from sojourn.engines.mag_flow_mobility import FlowMobilityAtMag
from sojourn.engines.mag_localized import LocalizedRoutingAtMag
from sojourn.engines.mag_multipath import MultipathAtMag
from sojourn.engines.mag_transient import TransientBindingsAtMag
from sojourn.engines.user_plane import MagUserPlane

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration


def mag_way_extensions(mag: MagRegistration) -> list[MagExtension]:
    """Those that the configuration asks for, in the order in which they are asked."""
    told = mag.configuration
    found: list[MagExtension] = []
    if told.user_plane is not None:
        found.append(MagUserPlane(mag, told.user_plane))
    if told.localized_routing is not None:
        found.append(LocalizedRoutingAtMag(mag, told.localized_routing))
    if told.transient_bindings is not None:
        found.append(TransientBindingsAtMag(mag, told.transient_bindings))
    if told.delegation is not None:
        found.append(DelegationAtMag(mag, told.delegation))
    if told.bulk_registration is not None:
        found.append(BulkRegistrationAtMag(mag, told.bulk_registration))
    if told.flow_mobility is not None:
        found.append(FlowMobilityAtMag(mag, told.flow_mobility))
    if told.multipath is not None:
        found.append(MultipathAtMag(mag, told.multipath))
    return found
