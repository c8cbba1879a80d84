"""A MAG with several uplinks registers each of its care-of addresses, and spreads flows over them (RFC 8278).

The first registration of a node finds out whether the LMA knows of paths (4.4); if its answer says so, the other paths
follow, each with an Alternate Care-of Address. Refreshes of the first path are for all of them (flag B). Which uplinks
work, the command ``path`` says, for whoever watches them. All signalling is from the first address.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sojourn.core.effects import EnsureSpread, WithdrawSpread
from sojourn.core.engine import Row
from sojourn.core.sequence import newer
from sojourn.engines.access_session import SERVED
from sojourn.engines.extension import MagExtension
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.registration import REFUSING
from sojourn.engines.retransmission import Key
from sojourn.engines.way_settings import MultipathOfMag
from sojourn.wire import (
    AlternateCareOfAddress,
    BindingAcknowledgement,
    BindingUpdate,
    Handoff,
    MobileNodeIdentifier,
    MobilityOption,
    Status,
)
from sojourn.wire.addresses import Address, Prefix, address, text
from sojourn.wire.extensions.rfc8278 import MagIdentifier, MagMultipathBinding
from sojourn.wire.units import Duration

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration

_ROUNDS = 3
"""Refreshes for all paths (flag B), before each is registered by itself again."""
_FIRST = 1
"""BID of the path of the first address."""


class MultipathAtMag(MagExtension):
    """RFC 8278 at the MAG."""

    name = "multipath"
    verbs = frozenset({"path"})

    def __init__(self, role: MagRegistration, settings: MultipathOfMag) -> None:
        super().__init__(role)
        self._settings = settings
        self._others = dict(enumerate(settings.care_of, _FIRST + 1))
        """Care-of addresses besides the first, by BID."""
        self._down: set[int] = set()
        self._active: dict[bytes, set[int]] = {}
        """Sessions with multipath support, and the BIDs of their other paths."""
        self._unsure: dict[bytes, set[int]] = {}
        """Paths that are registered again, as an LMA that restarted may have lost them."""
        self._rounds: dict[bytes, int] = {}
        """Refreshes of each session since that was done last."""
        self._denied: set[bytes] = set()
        """Sessions whose LMA will have none of it."""

    def refresh_requested(self) -> None:
        """The LMA may know of no path."""
        self._unsure = {node: set(active) for node, active in self._active.items()}

    def on_command(self, verb: str, arguments: dict[str, str]) -> bool:
        """``path`` with ``address``, a care-of address that is not the first, and ``state``, ``up`` or ``down``."""
        try:
            named = address(arguments["address"])
        except (KeyError, ValueError):
            return False
        identifier = next((one for one, care_of in self._others.items() if care_of == named), 0)
        state = arguments.get("state")
        if not identifier or state not in ("up", "down"):
            return False
        (self._down.add if state == "down" else self._down.discard)(identifier)
        for node in list(self._active):
            self._set(self._role.sessions[node], identifier, up=state == "up")
        return True

    def _set(self, session: BindingUpdateListEntry, identifier: int, *, up: bool) -> None:
        active = self._active[session.node]
        if up:
            self._go_on(session)
        else:
            self._role._requests.cancel(self._request(session, identifier))
            if identifier in active:
                active.discard(identifier)
                self._spread(session)
                self._register(session, identifier, 0)

    # --- asking (4.4) -------------------------------------------------------------------------------------------------

    def options(self, session: BindingUpdateListEntry) -> Iterable[MobilityOption]:
        """ "MUST include the MAG Multipath Binding option ... the MAG Identifier option MUST also be present".

        A farewell is about the whole session, so it names no path.
        """
        if session.node in self._denied or session.presence is not SERVED:
            return ()
        return self._binding(_FIRST, bulk=session.confirmed and bool(self._active.get(session.node)))

    def _binding(self, identifier: int, *, bulk: bool = False) -> tuple[MobilityOption, ...]:
        label = self._settings.labels[identifier - 1] if identifier <= len(self._settings.labels) else 0
        technology = self._role.configuration.access_technology
        identity = self._settings.identifier
        return (
            MagMultipathBinding(technology, label, identifier, bulk, False),
            MagIdentifier(identity[0], identity[1:]),
        )

    def _register(self, session: BindingUpdateListEntry, identifier: int, lifetime: Duration) -> None:
        """The same registration, by another path."""
        update = self._role._home_update(session, Handoff.NOT_CHANGED, lifetime)
        kept = (one for one in update.options if not isinstance(one, MagMultipathBinding | MagIdentifier))
        options = (*kept, AlternateCareOfAddress(self._others[identifier]), *self._binding(identifier))
        again = BindingUpdate(update.sequence, update.flags, lifetime, options)
        self._role._requests.start(self._request(session, identifier), again, self.now)

    def _request(self, session: BindingUpdateListEntry, identifier: int) -> Key:
        return f"path-{identifier}", session.node, session.lma, None

    # --- answers ------------------------------------------------------------------------------------------------------

    def accepted(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> None:
        """Without the option in the answer "the MAG ... SHOULD disable multipath support for the mobile node"."""
        if answer.first(MagMultipathBinding) is None:
            self._forget(session)
            return
        active = self._active.setdefault(session.node, set())
        self._rounds[session.node] = self._rounds.get(session.node, 0) + 1
        if self._rounds[session.node] > _ROUNDS:
            self._rounds[session.node], self._unsure[session.node] = 0, set(active)
        self._go_on(session)

    def _go_on(self, session: BindingUpdateListEntry) -> None:
        """The next path; one after the other, as an LMA takes no two updates of one moment (RFC 5213 5.5)."""
        requests = self._role._requests
        if any(requests.get(self._request(session, identifier)) for identifier in self._others):
            return
        sure = self._active[session.node] - self._unsure.get(session.node, set())
        missing = self._others.keys() - sure - self._down
        if missing:
            self._register(session, min(missing), self._role.configuration.lifetime)

    def refused(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> bool:
        """ "upon receiving this message, SHOULD disable multipath support for the mobile node"."""
        if answer.status != Status.CANNOT_SUPPORT_MULTIPATH_BINDING or session.node in self._denied:
            return False
        self._forget(session)
        self._denied.add(session.node)
        self._report("multipath-refused", node=session.node)
        self._role._register(session, Handoff.NOT_CHANGED)
        return True

    def on_acknowledgement(self, answer: BindingAcknowledgement, source: Address) -> bool:
        """An answer about another path than the first."""
        option, node = answer.first(MagMultipathBinding), answer.first(MobileNodeIdentifier)
        if answer.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW and node is not None:
            return self._on_out_of_window(answer, node.key(), source)
        if option is None or node is None or option.identifier not in self._others:
            return False
        for session in [self._role.sessions[one] for one in self._active]:
            key = self._request(session, option.identifier)
            if session.lma != source or session.identity != node.key():
                continue
            update = self._role._requests.answered(key, answer.sequence, self.now)
            if update is not None:
                self._on_answer(session, option.identifier, update, answer)
                return True
        return False

    def _on_out_of_window(self, answer: BindingAcknowledgement, node: bytes, source: Address) -> bool:
        """A registration by another path was faster: once more, with the next number. The refusal names no path."""
        requests = self._role._requests
        for session in [self._role.sessions[one] for one in self._active]:
            about = session.lma == source and session.identity == node
            if not about or requests.get(("register", session.node, source, None)) is not None:
                continue
            for identifier in self._others:
                outstanding = requests.get(self._request(session, identifier))
                if outstanding is not None and newer(answer.sequence, outstanding.update.sequence):
                    self._register(session, identifier, outstanding.update.lifetime)
                    return True
        return False

    def _on_answer(
        self, session: BindingUpdateListEntry, identifier: int, update: BindingUpdate, answer: BindingAcknowledgement
    ) -> None:
        if answer.status >= REFUSING:
            self._report("path-refused", node=session.node, status=answer.status, address=self._others[identifier])
            self._unsure.get(session.node, set()).discard(identifier)
            self._active[session.node].discard(identifier)
            self._spread(session)
        elif update.lifetime and answer.lifetime and session.presence is SERVED:
            self._active[session.node].add(identifier)
            self._unsure.get(session.node, set()).discard(identifier)
            self._spread(session)
            self._report("path", node=session.node, address=self._others[identifier])
            self._go_on(session)

    # --- forwarding (3.2) ---------------------------------------------------------------------------------------------

    def _spread(self, session: BindingUpdateListEntry) -> None:
        """Flows from the node, over all paths; over one there is nothing to spread."""
        active = sorted(self._active.get(session.node, ()))
        sources = (self._role.configuration.address, *(self._others[identifier] for identifier in active))
        for prefix in self._networks(session):
            self._do(EnsureSpread(prefix, sources) if active else WithdrawSpread(prefix))

    def served(self, session: BindingUpdateListEntry) -> None:
        """The kernel may have forgotten."""
        if self._active.get(session.node):
            self._spread(session)

    def lost(self, session: BindingUpdateListEntry, prefix: Prefix) -> None:
        """Nothing is spread that is not there."""
        if self._active.get(session.node) and not prefix.is_ipv4:
            self._do(WithdrawSpread(prefix))

    def _forget(self, session: BindingUpdateListEntry) -> None:
        for identifier in self._others if session.node in self._active else ():
            self._role._requests.cancel(self._request(session, identifier))
        self._unsure.pop(session.node, None)
        self._rounds.pop(session.node, None)
        if self._active.pop(session.node, None):
            for prefix in self._networks(session):
                self._do(WithdrawSpread(prefix))

    def _networks(self, session: BindingUpdateListEntry) -> list[Prefix]:
        """Its home network prefixes, and those that it had before a renumbering."""
        retiring = [prefix for prefix in session.retiring if prefix not in self._role._foreign]
        return [*self._role._prefixes_of(session), *retiring]

    def attaching(self, session: BindingUpdateListEntry) -> None:
        """A new attachment begins with one path."""
        self._forget(session)
        self._denied.discard(session.node)

    def departed(self, session: BindingUpdateListEntry) -> None:
        """Its paths end with it."""
        self._forget(session)

    def removed(self, session: BindingUpdateListEntry) -> None:
        """The same."""
        self._forget(session)
        self._denied.discard(session.node)

    def row(self, session: BindingUpdateListEntry) -> Row:
        """Care-of addresses that its flows take."""
        others = [text(self._others[identifier]) for identifier in sorted(self._active.get(session.node, ()))]
        return {"paths": [text(self._role.configuration.address), *others]}
