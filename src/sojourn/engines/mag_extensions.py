"""The extensions of a MAG: which of them are switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.engines.extension import MagExtension
from sojourn.engines.mag_delegation import DelegationAtMag
from sojourn.engines.mag_localized import LocalizedRoutingAtMag
from sojourn.engines.mag_transient import TransientBindingsAtMag

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration


def mag_extensions(mag: MagRegistration) -> list[MagExtension]:
    """Those that the configuration asks for, in the order in which they are asked."""
    settings = mag.configuration
    found: list[MagExtension] = []
    if settings.localized_routing is not None:
        found.append(LocalizedRoutingAtMag(mag, settings.localized_routing))
    if settings.transient_bindings is not None:
        found.append(TransientBindingsAtMag(mag, settings.transient_bindings))
    if settings.delegation is not None:
        found.append(DelegationAtMag(mag, settings.delegation))
    return found
