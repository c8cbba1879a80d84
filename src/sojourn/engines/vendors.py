"""Options that vendors define (RFC 5094): MAGs carry those of the configuration, the LMA keeps those that it knows.

Of an unknown vendor the option is passed over, and the rest of the message counts (4).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from sojourn.engines.carried import Carried
from sojourn.engines.extension import MagExtension
from sojourn.engines.extension_settings import VendorOption
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire import MobilityOption, VendorSpecific

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration
    from sojourn.engines.mag_registration import MagRegistration

_MOST = 4
"""Options of one request that are kept."""


class LmaVendors(Carried[tuple[VendorSpecific, ...]]):
    """The LMA's part; what it knows it returns."""

    name: ClassVar[str] = "vendor_options"

    def __init__(self, lma: LmaRegistration, vendors: tuple[int, ...]) -> None:
        super().__init__(lma)
        self._vendors = frozenset(vendors)

    def _told_by(self, request: HomeRequest, entry: BindingCacheEntry) -> tuple[VendorSpecific, ...] | None:
        known = tuple(one for one in request.update.all(VendorSpecific) if one.vendor in self._vendors)
        return known[:_MOST] or None

    def answer(self, entry: BindingCacheEntry, request: HomeRequest) -> Iterable[MobilityOption]:
        """The known ones."""
        return self._told_by(request, entry) or ()

    def _words(self, value: tuple[VendorSpecific, ...]) -> str:
        return ", ".join(f"{option.vendor}/{option.subtype} {option.data.hex()}".rstrip() for option in value)


class MagVendors(MagExtension):
    """The MAG's part."""

    name: ClassVar[str] = "vendor_options"

    def __init__(self, mag: MagRegistration, told: tuple[VendorOption, ...]) -> None:
        super().__init__(mag)
        self._options = tuple(VendorSpecific(option.vendor, option.subtype, option.data) for option in told)

    def options(self, session: BindingUpdateListEntry) -> Iterable[MobilityOption]:
        """All of them."""
        return self._options
