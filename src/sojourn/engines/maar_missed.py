"""A MAAR whose nodes have prefixes of anchors that are gone, with nobody in their place (RFC 7333 REQ6f).

The nodes are told at once: lifetimes of zero. The ways stay for `hold`, so that no packet is lost of an anchor that was
only slow. After that nothing leads there any more, until it is there again. How it is found out is in `liveness`, what
else may come of it in `maar_survival`.
"""

from __future__ import annotations

from sojourn.core.effects import AdvertisedPrefix, EnsureUplink
from sojourn.engines.maar_session import DEPARTED, SERVED, Session
from sojourn.engines.maar_stand_in import StandInProcedures
from sojourn.engines.stand_in import Survival
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import MICROSECOND, MILLISECOND, Duration

APART = 200 * MICROSECOND
"""Between two registrations with a partner: five thousand a second."""
SLOWLY = 1 * MILLISECOND
"""With a router that began anew: a thousand a second, as nobody is sure that it did."""


class MissedProcedures(StandInProcedures):
    """What becomes of the prefixes of an anchor that is missed."""

    def _at(self, anchor: Address) -> list[Session]:
        """Those with prefixes of this anchor that are here."""
        return [
            session
            for session in self.sessions.values()
            if session.presence in (SERVED, DEPARTED) and anchor in session.anchored.values()
        ]

    def _say_no_more(self, session: Session, *anchors: Address) -> None:
        """Neither these nor their partners are told any more what they anchor for this node."""
        partners = {} if self.survival is None else self.survival.partners
        for anchor in anchors:
            self._requests.cancel(("hold", session.node, anchor, anchor))
            if anchor in partners:
                self._requests.cancel(("hold", session.node, partners[anchor], anchor))
                self._requests.cancel(("release", session.node, partners[anchor], anchor))

    def _withdraw_anchor(self, anchor: Address, survival: Survival) -> None:
        """Its prefixes are over: the nodes are told. It may have been slow only, so the ways stay for a while."""
        held = survival.holders.pop(anchor, None)
        if anchor in survival.missed and held is None:
            return
        sessions = self._at(anchor)
        self._report("anchor-gone", anchor=anchor, nodes=len(sessions))
        if not sessions:
            return
        survival.missed.add(anchor)
        self._after(survival.liveness.settings.hold, "forget", anchor)
        for session in sessions:
            self._say_no_more(session, anchor)
            if held is not None:
                for prefix, at in session.anchored.items():
                    if at == anchor:
                        self._do(EnsureUplink(prefix, anchor))
            if session.presence is SERVED:
                self._advertise(session)

    def _forget_anchor(self, anchor: Address, survival: Survival) -> None:
        """Nothing leads to an anchor any more that is gone for good."""
        survival.missed.discard(anchor)
        lost = survival.gone.setdefault(anchor, {})
        for session in self._at(anchor):
            for prefix in [prefix for prefix, at in session.anchored.items() if at == anchor]:
                lost[prefix] = session.node
                self._remove_foreign(session, prefix)
            self._keep(session)
        if not lost:
            del survival.gone[anchor]

    def _restore_anchor(self, anchor: Address, survival: Survival) -> None:
        """It, or somebody in its place, is there again: so are its prefixes, and the CMD says if they are not."""
        survival.missed.discard(anchor)
        self._timers.stop(("forget", anchor))
        sessions = {session.node: session for session in self._at(anchor) if session.presence is SERVED}
        for prefix, node in survival.gone.pop(anchor, {}).items():
            session = self.sessions.get(node)
            if session is None or session.presence not in (SERVED, DEPARTED):
                continue
            if self._add_foreign(session, prefix, anchor):
                if session.presence is SERVED:
                    sessions[node] = session
                else:  # it may come back, and what the anchor sends here does not go back to it
                    self._keep(session)
        for index, session in enumerate(sessions.values()):
            self._advertise(session)
            self._keep(session)
            self._after(index * APART, "refresh", session.node)
            self._after(index * APART, "holder", (session.node, anchor))
        self._report("anchor-back", anchor=anchor, nodes=len(sessions))

    def _advertised(self, session: Session) -> tuple[Address, Duration, list[AdvertisedPrefix]]:
        router, lifetime, prefixes = super()._advertised(session)
        return router, lifetime, self._but_missed(session, prefixes)

    def _advertised_logical(self, session: Session, anchor: Address) -> list[AdvertisedPrefix]:
        return self._but_missed(session, super()._advertised_logical(session, anchor))

    def _but_missed(self, session: Session, prefixes: list[AdvertisedPrefix]) -> list[AdvertisedPrefix]:
        """Those of anchors that are missed are over."""
        survival = self.survival
        if survival is None or not survival.missed:
            return prefixes
        return [
            AdvertisedPrefix(one.prefix, 0, 0) if session.anchored.get(one.prefix) in survival.missed else one
            for one in prefixes
        ]

    def _trouble_with(self, session: Session, prefix: Prefix, anchor: Address) -> str:
        if self.survival is not None and anchor in self.survival.gone:
            return "its anchor is gone"
        return super()._trouble_with(session, prefix, anchor)
