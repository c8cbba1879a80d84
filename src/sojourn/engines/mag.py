"""The Mobile Access Gateway of Proxy Mobile IPv6 (RFC 5213 section 6): first-hop router of nodes that know of nothing.

It detects nodes on its access links, registers them with their LMA, and shows each its home network wherever it is: the
home prefixes, one and the same router. What nodes send goes to the LMA in a tunnel, and what they get comes from there.

Nodes come and go in `access_presence` and `mag_access`; asking and understanding answers is in `gateway_registration`,
which a MAAR shares. DHCP is in `mag_dhcp` (RFC 5213 6.11, RFC 5844 3.4), fast handovers in `mag_handover` (RFC 5949).
Over IPv4 it speaks with its LMA in `mag_ipv4` (RFC 5844 4). Left out: IPsec (the operator's).
"""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.core.effects import DeleteBinding, Effect
from sojourn.core.engine import Row
from sojourn.core.events import (
    ClockStepped,
    Commanded,
    DhcpReceived,
    EffectFailed,
    Event,
    GroupsReported,
    HandoverExpected,
    LinkChanged,
    MessageReceived,
    NodeDetached,
    NodeSeen,
    PathProbed,
    QueueCounted,
)
from sojourn.core.sequence import following
from sojourn.engines.access_multicast import MulticastProcedures
from sojourn.engines.access_presence import identifier
from sojourn.engines.access_session import DEPARTED, NEVER, REFUSED, SERVED
from sojourn.engines.base import TimerName
from sojourn.engines.configuration import MagConfiguration
from sojourn.engines.extension import Extensions, apart, merged, unrecognized
from sojourn.engines.handover import HANDOVER_TIMERS
from sojourn.engines.mag_dhcp import MagDhcp
from sojourn.engines.mag_extensions import mag_extensions
from sojourn.engines.mag_handover import MagHandover
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.naming import identifier_type
from sojourn.wire import (
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    Handoff,
    MobilityMessage,
)
from sojourn.wire.addresses import Address, Prefix, link_layer, link_layer_text, text
from sojourn.wire.extensions.rfc5568 import HandoverAcknowledge, HandoverInitiate
from sojourn.wire.units import SECOND, Instant, WallClock

_SEQUENCE_LEAP = 1024
"""Refreshes are not stored; after a restart the sequence number leaps over those that may have been used."""
_HANDOFFS = {
    "new-interface": Handoff.NEW_INTERFACE,
    "between-interfaces": Handoff.BETWEEN_INTERFACES,
    "between-gateways": Handoff.BETWEEN_GATEWAYS,
}


class MobileAccessGateway(MagHandover, MagDhcp, MulticastProcedures[BindingUpdateListEntry]):
    """The engine of the role ``mag``."""

    def __init__(self, configuration: MagConfiguration, epoch: WallClock) -> None:
        super().__init__(configuration, epoch)
        self._open_dhcp()
        self._open_handovers(configuration.neighbours)
        self.extensions = Extensions(mag_extensions(self))

    # --- life -----------------------------------------------------------------------------------------------------

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> list[Effect]:
        """See `Engine.restore`. Every way is asserted, and every node asked whether it is still here."""
        self._now = now
        sessions, kept = apart(records)
        for node, record in sessions:
            try:
                session = BindingUpdateListEntry.restored(node, record, now)
            except ValueError:
                self._report("record-unreadable", node=node)
                continue
            if self._take_up(session):
                self._resume(session)
            else:
                self._report("record-refused", node=node)
                self._do(DeleteBinding(node))
        self._slots.restore(session.slot for session in self.sessions.values())
        self._begin_multicast()
        self.extensions.begin(kept, lost=len(self.sessions) < len(sessions))
        return self._flush()

    def _take_up(self, session: BindingUpdateListEntry) -> bool:
        """Whether a restored session fits what we are now; the configuration may have changed meanwhile."""
        profile = self._profile(session.link_layer)
        anchors = (profile.lma or self.configuration.lma, *self.configuration.redirect_anchors)
        same = session.lma in anchors and session.slot not in self._by_slot
        visiting = session.visitor is not None
        if not same or visiting == profile.service or session.presence is REFUSED:
            return False
        if visiting and (self.pool is None or not self.pool.claim(session.visitor or Prefix(b"", 0))):
            return False
        if not all(self._is_for_nodes(session, prefix) for prefix in session.anchored):
            return False
        self._enter(session)
        for prefix in session.anchored:
            self._foreign[prefix] = session.node
        return True

    def _resume(self, session: BindingUpdateListEntry) -> None:
        session.sequence = following(session.sequence, _SEQUENCE_LEAP)
        session.lifetime = session.lifetime or self.configuration.lifetime
        if session.link_local is not None:
            self._ensure_logical(session, session.lma, session.link_local)
        if session.home is not None:
            self._ensure_logical(session, session.home.router, session.home.router)
        self._reassert(session)
        if session.presence is DEPARTED:
            self._deregister(session)
            return
        session.confirmed = bool(session.anchored)
        self._timers.start(("expiry", session.node), session.expires)
        session.seen = NEVER  # it is asked whether it is still here
        self._after(len(self.sessions) * SECOND // 1000, "refresh", session.node)

    def _on_event(self, event: Event) -> None:
        match event:
            case MessageReceived(message, source, _):
                self._on_message(message, source if self.incoming is None else self.incoming(event))
            case NodeSeen():
                self._on_node_seen(event)
            case NodeDetached():
                self._on_node_detached(event)
            case LinkChanged(interface, up):
                self._on_link_changed(interface, up)
            case ClockStepped(epoch):
                self._epoch = epoch
                self._offset = 0
            case EffectFailed():
                self._on_effect_failed(event)
            case Commanded("handover", arguments):
                self._on_handover_command(arguments)
            case Commanded(verb, arguments):
                self._on_command(verb, arguments)
            case GroupsReported():
                self._on_groups_reported(event)
            case DhcpReceived():
                self._on_dhcp_received(event)
            case HandoverExpected() | QueueCounted() | PathProbed():
                self._on_handover_event(event)
            case _:
                pass  # nothing is counted here

    def _on_message(self, message: MobilityMessage, source: Address) -> None:
        match message:
            case BindingAcknowledgement():
                self._on_acknowledgement(message, source)
            case BindingRefreshRequest() if source in self._anchors:
                self._on_refresh_request()
            case HandoverInitiate() | HandoverAcknowledge():
                self._on_handover_message(message, source)
            case BindingError(status):
                self._report("binding-error-received", source=source, status=status)
                self.extensions.on_binding_error(message, source)
            case _ if not self.extensions.on_message(message, source):
                self._report("message-unexpected", source=source, type=type(message).__name__)
                answer = unrecognized(message, self.configuration.address, source)
                if answer is not None and source in self._anchors:
                    self._do(answer)

    def _on_timer(self, name: TimerName) -> None:
        kind, key = name
        if kind == "request":
            self._on_request_due(key)
            return
        if kind in HANDOVER_TIMERS:
            self._on_handover_timer(name)
            return
        if kind == "store" and not self.extensions.store_again(key):
            self._store_again(key)
            return
        if kind == "multicast":
            self._on_multicast_due(key)
            return
        if self.extensions.on_timer(kind, key):
            return
        session = self.sessions.get(key)
        if session is None:
            return
        match kind:
            case "refresh":
                self._on_refresh_due(session)
            case "probe":
                self._probe(session)
            case "dhcp":
                self._on_patience_over(session.node)
            case "advertise":
                if session.presence is SERVED:
                    self._advertise(session)
            case "hold":
                self._on_hold_over(session)
            case "expiry":
                self._on_expiry(session)
            case "gone":
                self._on_gone(session)
            case "retry":
                self._on_retry(session)
            case "repair":
                self._repair(session)

    def _on_link_changed(self, interface: str, up: bool) -> None:
        super()._on_link_changed(interface, up)
        if not up and interface in self.configuration.dedicated:
            for session in list(self.sessions.values()):
                if session.interface == interface and session.presence is SERVED:
                    self._detach(session)

    def _on_command(self, verb: str, arguments: dict[str, str]) -> None:
        """``refresh`` (all registrations, now, also of nodes that were refused), ``detach`` (a node), ``handoff``.

        The last one is for access points: what the next attachment of ``node`` will be, see `_HANDOFFS`.
        """
        if self.extensions.on_command(verb, arguments):
            return
        if verb == "refresh":
            for refused in [one for one in self.sessions.values() if one.presence is REFUSED]:
                self._on_retry(refused)
            self._on_refresh_request()
            return
        octets = _link_layer(arguments.get("node", ""))
        kind = _HANDOFFS.get(arguments.get("kind", ""))
        session = self.sessions.get(identifier(octets)) if octets else None
        if verb == "handoff" and octets and kind is not None:
            self._expect(octets, kind)
        elif verb == "detach" and session is not None and session.presence is SERVED:
            self._terminate(session)
        else:
            self._report("command-refused", verb=verb)

    # --- for people -----------------------------------------------------------------------------------------------

    def show(self, topic: str, now: Instant) -> list[Row]:
        """See `Engine.show`: ``sessions`` (one row a node), ``bindings`` (one row a prefix), ``peers``, ``groups``."""
        if topic == "sessions":
            return [self._session_row(session, now) for session in self.sessions.values()]
        if topic == "bindings":
            return [
                self._binding_row(session, prefix) for session in self.sessions.values() for prefix in _all(session)
            ]
        if topic == "handovers":
            return self._handover_rows()
        if topic == "peers":
            return [self._peer_row(anchor, now) for anchor in self._anchors]
        if topic == "groups" and self.listeners is not None:
            return self.listeners.rows(now)
        return []

    def _session_row(self, session: BindingUpdateListEntry, now: Instant) -> Row:
        return {
            "node": session.identity.hex(),
            "type": identifier_type(session.identity),
            "link_layer": link_layer_text(session.link_layer),
            "presence": session.presence.value,
            "interface": session.interface,
            "lma": "none" if session.visitor else text(session.lma),
            "confirmed": session.confirmed,
            "prefixes": [str(prefix) for prefix in _all(session)],
            "lifetime": max(session.expires - now, 0) // SECOND,
            **merged(extension.row(session) for extension in self.extensions),
        }

    def _binding_row(self, session: BindingUpdateListEntry, prefix: Prefix) -> Row:
        return {
            "prefix": str(prefix),
            "node": session.identity.hex(),
            "role": "visitor" if prefix == session.visitor else "home",
            "anchor": "here" if prefix == session.visitor else text(session.lma),
            "serving": "here",
        }

    def _peer_row(self, anchor: Address, now: Instant) -> Row:
        heard = self.heard.get(anchor)
        return {
            "name": text(anchor),
            "address": text(anchor),
            "role": "lma",
            "anchors": sum(list(session.anchored.values()).count(anchor) for session in self.sessions.values()),
            "heard": None if heard is None else (now - heard) // SECOND,
            **merged(extension.peer_row(anchor) for extension in self.extensions),
        }


def _all(session: BindingUpdateListEntry) -> tuple[Prefix, ...]:
    return (*session.anchored, *(() if session.visitor is None else (session.visitor,)))


def _link_layer(words: str) -> bytes:
    """The octets, or none."""
    try:
        octets = link_layer(words)
    except ValueError:
        return b""
    return octets if len(octets) == 6 else b""
