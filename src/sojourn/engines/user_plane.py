"""An LMA whose tunnels end at another address than the one it is registered with at (RFC 7389).

The LMA says where in its answers (LMA-UPA), and the MAG tunnels there, if it is configured to. What is registered, and
where, does not change (LMA-CPA). Left out: a user plane of IPv4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.core.engine import Row
from sojourn.engines.extension import LmaExtension, MagExtension
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_request import HomeRequest
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.way_settings import UserPlaneOfLma, UserPlaneOfMag
from sojourn.wire import BindingAcknowledgement, BindingUpdate, MobilityOption
from sojourn.wire.addresses import Address, text
from sojourn.wire.extensions.rfc7389 import LmaUserPlaneAddress

if TYPE_CHECKING:
    from sojourn.engines.lma_registration import LmaRegistration
    from sojourn.engines.mag_registration import MagRegistration


class LmaUserPlane(LmaExtension):
    """RFC 7389 4, 5."""

    name = "user-plane"

    def __init__(self, role: LmaRegistration, settings: UserPlaneOfLma) -> None:
        super().__init__(role)
        self._settings = settings
        self._told: set[int] = set()
        """Sessions whose gateway was told."""

    def registered(self, entry: BindingCacheEntry, request: HomeRequest) -> None:
        """ "If the option is not present in the PBU, the LMA SHALL disable this feature"."""
        if self._settings.domain_wide or LmaUserPlaneAddress in request.firsts:
            self._told.add(entry.slot)
        else:
            self._told.discard(entry.slot)

    def answer(self, entry: BindingCacheEntry, request: HomeRequest) -> tuple[MobilityOption, ...]:
        """ "MUST be set to the LMA's ... address carrying user-plane traffic"."""
        return (LmaUserPlaneAddress(self._settings.address),) if entry.slot in self._told else ()

    def removed(self, entry: BindingCacheEntry) -> None:
        """Nothing is left of the session."""
        self._told.discard(entry.slot)

    def row(self, entry: BindingCacheEntry) -> Row:
        """Where its gateway tunnels to."""
        own = self._role.configuration.address
        return {"user_plane": text(self._settings.address if entry.slot in self._told else own)}


class MagUserPlane(MagExtension):
    """RFC 7389 4, 5."""

    name = "user-plane"

    def __init__(self, role: MagRegistration, settings: UserPlaneOfMag) -> None:
        super().__init__(role)
        self._settings = settings
        self._ends: dict[bytes, Address] = {}
        """Where packets of a session are tunnelled to."""

    def options(self, session: BindingUpdateListEntry) -> tuple[MobilityOption, ...]:
        """Without support in the whole domain, the MAG "MUST indicate ... it supports this feature"."""
        return () if self._settings.domain_wide else (LmaUserPlaneAddress(),)

    def accepting(
        self, session: BindingUpdateListEntry, request: BindingUpdate, answer: BindingAcknowledgement
    ) -> None:
        """ "MUST be a valid address under the administrative control associated with the LMA": one of ours."""
        offered = [option.address for option in answer.all(LmaUserPlaneAddress)]
        known = [end for end in offered if end in self._settings.addresses]
        if offered and not known:
            self._report("user-plane-refused", lma=session.lma, address=offered[0].hex())
        before = self._ends.pop(session.node, None)
        if known:
            self._ends[session.node] = known[0]
        if before != self._ends.get(session.node) and session.anchored:
            self._role._reassert(session)

    def uplink(self, session: BindingUpdateListEntry) -> Address | None:
        """The user plane of its LMA."""
        return self._ends.get(session.node)

    def removed(self, session: BindingUpdateListEntry) -> None:
        """Nothing is left of the session."""
        self._ends.pop(session.node, None)

    def row(self, session: BindingUpdateListEntry) -> Row:
        """Where its packets are tunnelled to."""
        return {"user_plane": text(self._ends.get(session.node, session.lma))}
