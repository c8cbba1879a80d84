"""Direct mode: the messages of a MAAR to others, and which of them wait for an answer (see `maar_direct`)."""

from __future__ import annotations

from sojourn.engines.maar_direct_told import ToldDirectly
from sojourn.engines.maar_session import AWAY, Session
from sojourn.engines.registration import LISTED_PREFIXES, PROXY_DMM
from sojourn.engines.retransmission import Key
from sojourn.wire import (
    BindingUpdate,
    Handoff,
    MobilityOption,
    PreviousMaar,
    ServingMaar,
    Timestamp,
)
from sojourn.wire.addresses import ANY, Address, Prefix


class AsksDirectly(ToldDirectly):
    """The MAAR as one that tells and asks."""

    # --- asking -------------------------------------------------------------------------------------------------------

    def _tell_peer(
        self, session: Session, maar: Address, handoff: Handoff = Handoff.UNKNOWN, *, bulk: bool = False
    ) -> None:
        if maar not in self._peers or maar == self.configuration.address:
            return
        told = self.direct.told.get(session.node)
        if told is not None:
            told.add(maar)
        update = self._statement(session, handoff)
        self._ask(("register", session.node, maar, None), update, bulk=bulk)

    def _statement(self, session: Session, handoff: Handoff) -> BindingUpdate:
        """The Proxy Binding Update that says "I serve this node", with all that it has."""
        listed = [PreviousMaar.of(*pair) for pair in list(session.anchored.items())[-LISTED_PREFIXES:]]
        # While it is away that is to be refused, and what it lists learnt.
        attached = max(session.attached - (session.presence is AWAY), 0)
        more: tuple[MobilityOption, ...] = (Timestamp(attached), ServingMaar(self.configuration.address), *listed)
        networks = self._anchored_here(session)
        options = self._options(session, session.node, networks, handoff, self._technology, *more)
        return BindingUpdate(self._next_sequence(session), PROXY_DMM, self.configuration.lifetime, options)

    def _tell_once(
        self, session: Session, maar: Address, handoff: Handoff = Handoff.UNKNOWN, *, bulk: bool = False
    ) -> None:
        told = self.direct.told.get(session.node)
        under_way = ("register", session.node, maar, None) in self.direct.requests.get(session.node, ())
        if not under_way and (told is None or maar not in told):
            self._tell_peer(session, maar, handoff, bulk=bulk)

    def _ask(self, key: Key, update: BindingUpdate, *, bulk: bool = False) -> None:
        self.direct.requests.setdefault(key[1], set()).add(key)
        self._requests.start(key, update, self._now, bulk=bulk)

    def _request(self, purpose: str, session: Session, update: BindingUpdate) -> None:
        self._ask((purpose, session.node, self._asked_about(session), None), update)

    def _ask_to_retire(self, session: Session, prefix: Prefix) -> None:
        """Whoever is at the other end of the prefix is told: its anchor, or who serves the node."""
        whom = session.anchored.get(prefix) or session.serving
        if whom is not None:
            self._say_over(session, prefix, whom)

    def _say_over(self, session: Session, prefix: Prefix, whom: Address) -> None:
        if not self._is_ending(session, prefix, whom):
            self._ask(("retire", session.node, whom, prefix), self._end_of(session, prefix))

    def _is_ending(self, session: Session, prefix: Prefix, anchor: Address) -> bool:
        return ("retire", session.node, anchor, prefix) in self.direct.requests.get(session.node, ())

    def _ask_after(self, session: Session, serving: Address) -> None:
        """RFC 8885 3.5, second solution: is the node still with `serving`?"""
        networks = self._anchored_here(session) or (ANY,)
        self._after(session.lifetime, "gone", session.node)
        self._ask(("deregister", session.node, serving, None), self._ending(session, Handoff.UNKNOWN, networks))

    def _unheard(self, session: Session) -> list[Address]:
        keys = self.direct.requests.get(session.node, ())
        return sorted(key[2] for key in keys if key[0] == "register" and key[2] in self._peers)

    def _withdraw(self, key: Key) -> None:
        """Nobody waits for an answer to this any more."""
        self._requests.cancel(key)
        self._closed(key)

    def _closed(self, key: Key) -> None:
        keys = self.direct.requests.get(key[1])
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self.direct.requests[key[1]]

    def _forget_requests(self, node: bytes) -> None:
        for key in list(self.direct.requests.get(node, ())):
            self._withdraw(key)

    def _cancel_retirement(self, session: Session) -> None:
        """The node is back, or nothing is left of it; in either case all that is asked about it is forgotten."""
