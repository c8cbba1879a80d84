"""A MAG that can be sent to another LMA when it registers a node (RFC 6463 5.2).

It says so in requests for new sessions. The RFC means those with Handoff Indicator 1; as a MAG rarely knows that much,
it is here every request to the LMA of the configuration that is not answered yet. A session that its assigned LMA let
expire begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from sojourn.engines.access_session import SERVED
from sojourn.engines.extension import MagExtension
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.wire import BindingAcknowledgement, BindingUpdate, Handoff, MobilityOption
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc6463 import Redirect, RedirectCapability

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration


class MagRedirect(MagExtension):
    """The MAG's part."""

    name: ClassVar[str] = "redirect"

    def __init__(self, mag: MagRegistration, anchors: tuple[Address, ...]) -> None:
        super().__init__(mag)
        self._able = frozenset(anchors)

    def _first_anchor(self, session: BindingUpdateListEntry) -> Address:
        """The LMA that the configuration has for this node."""
        return self._role._profile(session.link_layer).lma or self._role.configuration.lma

    def options(self, session: BindingUpdateListEntry) -> Iterable[MobilityOption]:
        """The Redirect-Capability option."""
        new = not session.confirmed and session.presence is SERVED and session.lma == self._first_anchor(session)
        return (RedirectCapability(),) if new else ()

    def acceptable(
        self, session: BindingUpdateListEntry, request: BindingUpdate, answer: BindingAcknowledgement
    ) -> bool:
        """A redirection to an LMA that we have no relation with is a mistake of the domain."""
        anchor = _redirected(request, answer)
        if anchor is None or anchor in self._able:
            return True
        self._report("redirect-refused", node=session.node, anchor=anchor if len(anchor) == 16 else anchor.hex())
        return False

    def accepting(
        self, session: BindingUpdateListEntry, request: BindingUpdate, answer: BindingAcknowledgement
    ) -> None:
        """5.2: "The MAG updates its BULE to contain the r2LMA address"; all packets of the node go there."""
        anchor = _redirected(request, answer)
        if anchor is not None:
            self._report("redirected", node=session.node, anchor=anchor)
            session.lma = anchor
            if session.anchored:  # a fast handover brought prefixes along, and they go to whom was asked
                session.anchored = dict.fromkeys(session.anchored, anchor)
                self._role._reassert(session)

    def expired(self, session: BindingUpdateListEntry) -> None:
        """The assigned LMA is gone: the one that assigned it knows better."""
        first = self._first_anchor(session)
        if session.lma == first:
            return
        self._role._requests.cancel(("register", session.node, session.lma, None))
        session.lma, session.wanted = first, ()
        self._role._register(session, Handoff.UNKNOWN)


def _redirected(request: BindingUpdate, answer: BindingAcknowledgement) -> Address | None:
    """The LMA to use instead; without our having asked for it, the option is ignored (5.2)."""
    option = answer.first(Redirect)
    return None if option is None or request.first(RedirectCapability) is None else option.address
