"""A MAG that is told of a node before it comes asks the LMA for a transient binding (RFC 6058 4.5).

4.3.1: only when it knows that the node goes on at its previous gateway meanwhile; who knows (an access point, the
network) says so by the command ``make-before-break``. When the node then shows itself, or when the command
``activate`` says that it is ready, the LMA is told to switch the way to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sojourn.core.engine import Row
from sojourn.core.events import NodeSeen
from sojourn.engines.access_session import SERVED
from sojourn.engines.extension import MagExtension
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.way_settings import TransientBindingsOfMag
from sojourn.wire import BindingAcknowledgement, Handoff, MobilityOption
from sojourn.wire.addresses import LinkLayer, link_layer
from sojourn.wire.extensions.rfc6058 import TransientBinding
from sojourn.wire.units import SECOND, Instant

if TYPE_CHECKING:
    from sojourn.engines.mag_registration import MagRegistration

_KINDS = {"between-interfaces": Handoff.BETWEEN_INTERFACES, "between-gateways": Handoff.BETWEEN_GATEWAYS}
_KEPT = 10 * SECOND
"""A word about a handover is for an attachment that is about to come."""
_WORDS = 1024


class TransientBindingsAtMag(MagExtension):
    """RFC 6058 4.5."""

    name = "transient"
    verbs = frozenset({"make-before-break", "activate"})

    def __init__(self, role: MagRegistration, settings: TransientBindingsOfMag) -> None:
        super().__init__(role)
        self._settings = settings
        self._told: dict[LinkLayer, Instant] = {}
        """Who is about to come, and until when that holds, oldest first."""
        self._asking: set[bytes] = set()
        """Sessions whose first registration asks for a transient binding."""
        self._transient: dict[bytes, Instant] = {}
        """Sessions with one, and when it began."""

    def on_command(self, verb: str, arguments: dict[str, str]) -> bool:
        """``make-before-break`` with ``node``, a link-layer address, and ``kind``; ``activate`` with ``node``."""
        try:
            octets = link_layer(arguments["node"])
        except (KeyError, ValueError):
            return False
        if verb == "activate":
            session = next((one for one in self._sessions() if one.link_layer == octets), None)
            return session is not None and self._activate(session)
        kind = _KINDS.get(arguments.get("kind", "between-gateways"))
        if kind is None:
            return False
        self._told.pop(octets, None)
        self._told[octets] = self.now + _KEPT
        while len(self._told) > _WORDS:
            del self._told[next(iter(self._told))]
        self._role._expect(octets, kind)
        return True

    def _sessions(self) -> list[BindingUpdateListEntry]:
        return [self._role.sessions[node] for node in self._transient]

    def attaching(self, session: BindingUpdateListEntry) -> None:
        """Whether this attachment was told of."""
        self.removed(session)
        if self._told.pop(session.link_layer, -1) > self.now:
            self._asking.add(session.node)

    def options(self, session: BindingUpdateListEntry) -> tuple[MobilityOption, ...]:
        """4.5: "only one instance", in the first registration, never for "the MN's current registration"."""
        if session.node not in self._asking or session.confirmed or session.presence is not SERVED:
            return ()
        return (TransientBinding(True, self._settings.lifetime),)

    def accepted(self, session: BindingUpdateListEntry, answer: BindingAcknowledgement) -> None:
        """4.5: "it SHOULD link the information about the transient BCE ... with the MN's entry in the BUL"."""
        option = answer.first(TransientBinding)
        if session.node in self._asking and option is not None and option.late:
            self._transient[session.node] = self.now
            self.wake(option.lifetime, session.node)
        elif session.node in self._transient:
            self._forget(session)
        self._asking.discard(session.node)

    def seen(self, session: BindingUpdateListEntry, event: NodeSeen) -> None:
        """It has come: its link and its addresses work."""
        if self._transient.get(session.node, self.now) < self.now and session.presence is SERVED:
            self._activate(session)

    def _activate(self, session: BindingUpdateListEntry) -> bool:
        """4.3.1: "the nMAG sends a PBU message without the Transient Binding option"."""
        self._forget(session)
        self._report("transient-binding-active", node=session.node)
        self._role._register(session, Handoff.NOT_CHANGED)
        return True

    def _forget(self, session: BindingUpdateListEntry) -> None:
        if self._transient.pop(session.node, None) is not None:
            self.sleep(session.node)

    def on_timer(self, key: bytes) -> None:
        """4.5: at its end "the nMAG MUST delete all information associated with the transient BCE"."""
        self._transient.pop(key, None)

    def departed(self, session: BindingUpdateListEntry) -> None:
        """It did not stay."""
        self.removed(session)

    def removed(self, session: BindingUpdateListEntry) -> None:
        """Nothing is left of it."""
        self._asking.discard(session.node)
        self._forget(session)

    def row(self, session: BindingUpdateListEntry) -> Row:
        """Whether packets to it still take the previous gateway."""
        return {"transient": session.node in self._transient}
