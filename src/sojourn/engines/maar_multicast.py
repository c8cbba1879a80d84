"""Multicast at a MAAR: the nodes that it serves are its listeners, and it is one listener of the network around it.

Every MAAR takes multicast from its own upstream interface, never through a tunnel from an anchor: a node's groups come
the short way wherever it is, and once however many of a MAAR's nodes listen (RFC 7333 REQ8, PS8). The procedure itself
is `multicast_proxy`.
"""

from __future__ import annotations

from sojourn.core.effects import EnsureMembership, EnsureMulticastRoute
from sojourn.core.events import GroupsReported
from sojourn.engines.maar_access import identifier
from sojourn.engines.maar_session import SERVED, Session
from sojourn.engines.maar_state import MaarState
from sojourn.engines.multicast_proxy import Key


class MulticastProcedures(MaarState):
    """The MAAR as an MLD proxy; all of it nothing where multicast is not configured."""

    def _begin_multicast(self) -> None:
        """The queries of the beginning, and one for each node that is here already."""
        if self.listeners is None:
            return
        self.listeners.started(self._now)
        for session in self.sessions.values():
            if session.presence is SERVED:
                self._ask_listener(session)

    def _ask_listener(self, session: Session) -> None:
        if self.listeners is not None:
            self.listeners.attached(session.node, session.interface, session.link_layer, self._now)

    def _remind_listener(self, session: Session) -> None:
        if self.listeners is not None:
            self.listeners.seen(session.node, self._now)

    def _forget_listener(self, session: Session) -> None:
        if self.listeners is not None:
            self.listeners.departed(session.node, self._now)

    def _on_groups_reported(self, event: GroupsReported) -> None:
        """Of nodes that are served only: the procedure knows no others."""
        if self.listeners is not None:
            node = identifier(event.link_layer)
            self.listeners.reported(node, event.interface, event.records, event.old, self._now)

    def _on_multicast_link_up(self, interface: str) -> None:
        if self.listeners is not None:
            self.listeners.link_up(interface, self._now)

    def _on_multicast_due(self, key: Key) -> None:
        if self.listeners is not None:
            self.listeners.due(key, self._now)

    def _on_multicast_failed(self, effect: EnsureMulticastRoute | EnsureMembership) -> None:
        if self.listeners is not None:
            self.listeners.failed(effect, self._now)
