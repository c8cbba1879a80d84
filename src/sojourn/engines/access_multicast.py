"""Multicast at an access router: the nodes that it serves are its listeners, and it is one listener of the network
around it.

Every MAAR, and every MAG (RFC 6224), takes multicast from its own upstream interface, never through a tunnel from an
anchor: a node's groups come the short way wherever it is, and once however many of a router's nodes listen (RFC 7333
REQ8, PS8). The procedure itself is `multicast_proxy`.
"""

from __future__ import annotations

from sojourn.core.effects import EnsureMembership, EnsureMulticastRoute
from sojourn.core.events import EffectFailed, GroupsReported
from sojourn.engines.access_presence import identifier
from sojourn.engines.access_session import SERVED
from sojourn.engines.access_state import AccessState, S
from sojourn.engines.configuration import AccessConfiguration, RetransmissionConstants
from sojourn.engines.multicast_proxy import Key, MulticastProxy
from sojourn.wire.units import WallClock


class MulticastProcedures(AccessState[S]):
    """The router as an MLD proxy; all of it nothing where multicast is not configured."""

    def __init__(
        self, configuration: AccessConfiguration, epoch: WallClock, constants: RetransmissionConstants
    ) -> None:
        super().__init__(configuration, epoch, constants)
        self.listeners: MulticastProxy | None = None
        """None where multicast is not configured."""
        if configuration.multicast is not None:
            self.listeners = MulticastProxy(
                configuration.multicast,
                do=self._do,
                wake=lambda key, instant: self._timers.start(("multicast", key), instant),
                sleep=lambda key: self._timers.stop(("multicast", key)),
            )

    def _begin_multicast(self) -> None:
        """The queries of the beginning, and one for each node that is here already."""
        if self.listeners is None:
            return
        self.listeners.started(self._now)
        for session in self.sessions.values():
            if session.presence is SERVED:
                self._ask_listener(session)

    def _ask_listener(self, session: S) -> None:
        if self.listeners is not None:
            self.listeners.attached(session.node, session.interface, session.link_layer, self._now)

    def _remind_listener(self, session: S) -> None:
        if self.listeners is not None:
            self.listeners.seen(session.node, self._now)

    def _forget_listener(self, session: S) -> None:
        if self.listeners is not None:
            self.listeners.departed(session.node, self._now)

    def _on_groups_reported(self, event: GroupsReported) -> None:
        """Of nodes that are served only: the procedure knows no others."""
        if self.listeners is not None:
            node = identifier(event.link_layer)
            self.listeners.reported(node, event.interface, event.records, event.old, self._now)

    def _on_link_changed(self, interface: str, up: bool) -> None:
        super()._on_link_changed(interface, up)
        if up and self.listeners is not None:
            self.listeners.link_up(interface, self._now)

    def _on_effect_failed(self, event: EffectFailed) -> None:
        super()._on_effect_failed(event)
        if self.listeners is not None and isinstance(event.effect, EnsureMulticastRoute | EnsureMembership):
            self.listeners.failed(event.effect, self._now)

    def _on_multicast_due(self, key: Key) -> None:
        if self.listeners is not None:
            self.listeners.due(key, self._now)
