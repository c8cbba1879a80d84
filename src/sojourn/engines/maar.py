"""The Mobility Anchor and Access Router (RFC 8885 section 3): first-hop router, gateway and anchor in one.

It anchors the prefixes that it gives out and serves the nodes on its access links; for each node it may be the one, the
other, or both. A node attaches: it gets a prefix of ours, and the prefixes that it brought from earlier MAARs keep
working through tunnels to these. It leaves: what we anchor follows it through a tunnel, until nothing is sent
to it any more.

The procedures are in modules of their own: `maar_access` (nodes come and go), `maar_registration` (we ask the CMD),
`maar_anchor` (the CMD tells us, prefixes retire), `maar_dhcp` (addresses for hosts that ask), `access_multicast` (what
nodes listen to), `maar_handover` (fast handovers), all on `maar_state`. Left out: direct signalling between MAARs about
anything but a fast handover.
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
    TrafficCounted,
)
from sojourn.core.sequence import following
from sojourn.engines.access_multicast import MulticastProcedures
from sojourn.engines.access_session import NEVER
from sojourn.engines.base import TimerName
from sojourn.engines.configuration import MaarConfiguration
from sojourn.engines.extension import unrecognized
from sojourn.engines.handover import HANDOVER_TIMERS
from sojourn.engines.maar_anchor import AnchorProcedures
from sojourn.engines.maar_dhcp import DhcpProcedures
from sojourn.engines.maar_drain import DrainProcedures
from sojourn.engines.maar_handover import MaarHandover
from sojourn.engines.maar_registration import FORGETFUL, RegistrationProcedures
from sojourn.engines.maar_session import AWAY, SERVED, Presence, Session
from sojourn.engines.maar_stand_in import STANDING
from sojourn.engines.maar_survival import SURVIVAL_TIMERS, SurvivalProcedures
from sojourn.wire import (
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    MobilityMessage,
)
from sojourn.wire.addresses import Address, Prefix, link_layer_text, text
from sojourn.wire.addresses import prefix as prefix_of
from sojourn.wire.extensions.rfc5568 import HandoverAcknowledge, HandoverInitiate
from sojourn.wire.units import SECOND, Instant, WallClock

_SEQUENCE_LEAP = 1024
"""Refreshes are not stored; after a restart the sequence number leaps over those that may have been used."""


class MobilityAnchorAccessRouter(
    SurvivalProcedures,
    DrainProcedures,
    MaarHandover,
    DhcpProcedures,
    RegistrationProcedures,
    AnchorProcedures,
    MulticastProcedures[Session],
):
    """The engine of the role ``maar``."""

    def __init__(self, configuration: MaarConfiguration, epoch: WallClock) -> None:
        super().__init__(configuration, epoch)
        self._open_dhcp()
        self._open_handovers(configuration.peers)
        self._open_survival()

    # --- life -----------------------------------------------------------------------------------------------------

    def restore(self, records: Iterable[tuple[bytes, bytes]], now: Instant) -> list[Effect]:
        """See `Engine.restore`. Every node that was served is registered again; every way is asserted."""
        self._now = self.memory.begun = now
        resumed, forgetful = 0, False
        held: list[Address] = []
        for node, record in records:
            if node == FORGETFUL:
                forgetful = True
                continue
            if node[:1] == STANDING:
                held.append(node[1:])
                continue
            try:
                session = Session.restored(node, record, now)
            except ValueError:
                self._report("record-unreadable", node=node)
                continue
            if not self._take_up(session):
                self._do(DeleteBinding(node))
                continue
            resumed += 1
            self._resume(session, resumed)
        self._slots.restore(session.slot for session in self.sessions.values())
        if forgetful or not self.sessions:  # the first life, or one without memory
            self._forget()
        self._begin_multicast()
        self._begin_survival(held)
        return self._flush()

    def _take_up(self, session: Session) -> bool:
        """Whether a restored session fits what we are now; the configuration may have changed meanwhile."""
        if session.own is not None and not self.pool.claim(session.own):
            self._report("record-refused", node=session.node, prefix=session.own)
            return False
        if session.slot in self._by_slot:
            session.slot = max(self._by_slot) + 1
        self._enter(session)
        self._give(session, session.own)
        for prefix in session.leased:
            if self._claim(prefix):
                self._anchored_for[prefix] = session.node
            else:
                session.leased = tuple([one for one in session.leased if one != prefix])
                self._report("record-refused", node=session.node, prefix=prefix)
        for prefix in list(session.anchored):
            if self._is_for_nodes(session, prefix):
                self._foreign[prefix] = session.node
            else:  # it was leased, and nobody leases any more
                del session.anchored[prefix]
                self._report("record-refused", node=session.node, prefix=prefix)
        return True

    def _resume(self, session: Session, order: int) -> None:
        """Go on where the earlier life ended, and ask the CMD, a little apart, what changed meanwhile."""
        session.sequence = following(session.sequence, _SEQUENCE_LEAP)
        session.lifetime = session.lifetime or self.configuration.lifetime
        self._reassert(session)
        soon = order * SECOND // 1000
        match session.presence:
            case Presence.SERVED:
                session.seen = NEVER if session.legacy else session.seen  # an LMA goes by who spoke last
                self._after(soon, "refresh", session.node)
                self._after(soon, "advertise", session.node)
            case Presence.DEPARTED:
                self._after(soon, "refresh", session.node)
                self._after(session.lifetime, "expiry", session.node)
            case Presence.AWAY:  # the CMD answers where it is, if it could not tell us before (RFC 8885 3.5)
                self._after(soon, "expiry", session.node)
                if session.anchored:
                    self._after(self.configuration.forward_grace, "grace", session.node)
                self._watch()
            case Presence.REFUSED:
                self._after(SECOND, "retry", session.node)

    def _on_event(self, event: Event) -> None:
        if type(event) is MessageReceived:
            self._on_message(event.message, event.source)
            return
        match event:
            case NodeSeen():
                self._on_node_seen(event)
            case Commanded("handover", arguments):
                self._on_handover_command(arguments)
            case Commanded():
                self._on_command(event)
            case HandoverExpected() | QueueCounted() | PathProbed():
                self._on_handover_event(event)
            case NodeDetached():
                self._on_node_detached(event)
            case DhcpReceived():
                self._on_dhcp_received(event)
            case TrafficCounted():
                self._on_traffic_counted(event)
            case LinkChanged(interface, up):
                self._on_link_changed(interface, up)
            case ClockStepped(epoch):
                self._epoch = epoch
                self._offset = 0
            case EffectFailed():
                self._on_effect_failed(event)
            case GroupsReported():
                self._on_groups_reported(event)

    def handle(self, event: Event, now: Instant) -> list[Effect]:
        """See `Engine.handle`."""
        return self._leaving(super().handle(event, now), now)

    def expire(self, now: Instant) -> list[Effect]:
        """See `Engine.expire`."""
        return self._leaving(super().expire(now), now)

    def _leaving(self, effects: list[Effect], now: Instant) -> list[Effect]:
        """What becomes of these before they leave."""
        if self.survival is not None:
            self.survival.liveness.sent(effects, now)
        if self.databases is None:
            return effects
        directed = self.databases.directed(effects, now)
        if self.databases.abandoned:  # who knew what we anchor: another one is asked
            self.memory.lost = False
            self._forget()
            directed += self.databases.directed(self._flush(), now)
        return directed

    def _on_message(self, message: MobilityMessage, source: Address) -> None:
        sender = source
        if self.databases is not None:
            source = self.databases.received(sender, self._now)
        if self.survival is not None and self._is_about_survival(message, source, sender):
            return
        if type(message) is BindingUpdate:
            self._on_update(message, source)
            return
        if type(message) is BindingAcknowledgement:
            self._on_acknowledgement(message, source)
            return
        match message:
            case BindingRefreshRequest() if source == self.configuration.cmd:
                self._on_refresh_message(message)
            case BindingRefreshRequest() if source in self._peers and self._is_question_of_peer(message, source):
                pass
            case HandoverInitiate() | HandoverAcknowledge():
                self._on_handover_message(message, source)
            case BindingError(status):
                self._report("binding-error-received", source=source, status=status)
            case _:
                self._report("message-unexpected", source=source, type=type(message).__name__)
                answer = unrecognized(message, self.configuration.address, source)
                if answer is not None and source == self.configuration.cmd:  # which may be an LMA with extensions
                    self._do(answer)

    def _is_question_of_peer(self, request: BindingRefreshRequest, source: Address) -> bool:
        """Whether other routers ask us what they forgot."""
        return False

    def _on_timer(self, name: TimerName) -> None:
        kind, key = name
        if kind == "request":
            self._on_request_due(key)
            return
        if kind == "poll":
            self._on_poll()
            return
        if kind == "memory":
            self._ask_for_memory()
            return
        if kind in HANDOVER_TIMERS:
            self._on_handover_timer(name)
            return
        if kind == "store":
            self._store_again(key)
            return
        if kind == "multicast":
            self._on_multicast_due(key)
            return
        if kind == "drain":
            self._hand_over()
            return
        if kind == "lease":
            self._on_lease_over(*key)
            return
        if kind in SURVIVAL_TIMERS:
            self._on_survival_timer(kind, key)
            return
        session = self.sessions.get(key)
        if session is None:
            return
        match kind:
            case "refresh":
                self._on_refresh_due(session)
            case "probe":
                self._probe(session)
            case "advertise":
                if session.presence is SERVED:
                    self._advertise(session)
            case "hold":
                self._on_hold_over(session)
            case "expiry":
                self._on_expiry(session)
            case "gone":
                self._on_gone(session)
            case "grace":
                self._on_grace_over(session)
            case "retry":
                self._on_retry(session)
            case "dhcp":
                self._on_patience_over(session.node)
            case "repair":
                self._repair(session)

    def _on_command(self, event: Commanded) -> None:
        """``retire`` (a prefix that we anchor for a node elsewhere), ``refresh`` (all registrations, now), and
        ``drain`` (`maar_drain`)."""
        if event.verb == "refresh":
            self._on_refresh_request()
            return
        if event.verb == "leave":
            if self.survival is not None:
                self.survival.liveness.say_goodbye()
            return
        if event.verb == "drain":
            self._on_drain_command(event.arguments)
            return
        session = self._named(event.arguments) if event.verb == "retire" else None
        if session is not None and session.own is not None and session.presence is AWAY:
            self._ask_to_retire(session, session.own)
        else:
            self._report("command-refused", verb=event.verb)

    def _named(self, arguments: dict[str, str]) -> Session | None:
        """The node that ``node`` names (its identifier in hexadecimal), or to which the ``prefix`` belongs."""
        try:
            if "node" in arguments:
                return self.sessions.get(bytes.fromhex(arguments["node"]))
            own = prefix_of(arguments.get("prefix", ""))
        except ValueError:
            return None
        session = self.sessions.get(self._anchored_for.get(own, b""))
        return session if session is not None and session.own == own else None  # not one that is leased

    # --- for people -----------------------------------------------------------------------------------------------

    def show(self, topic: str, now: Instant) -> list[Row]:
        """See `Engine.show`: ``sessions`` (one row a node), ``bindings`` (one row a prefix), ``peers``, ``groups``."""
        if topic == "sessions":
            return [self._session_row(session, now) for session in self.sessions.values()]
        if topic == "bindings":
            return [row for session in self.sessions.values() for row in self._binding_rows(session, now)]
        if topic == "handovers":
            return self._handover_rows()
        if topic == "peers":
            return self._database_rows(now) + [
                self._peer_row(peer.address, "maar", peer.name, now) for peer in self.configuration.peers
            ]
        if topic == "groups" and self.listeners is not None:
            return self.listeners.rows(now)
        return []

    def _session_row(self, session: Session, now: Instant) -> Row:
        return {
            "node": session.node.hex(),
            "link_layer": link_layer_text(session.link_layer),
            "presence": session.presence.value,
            "serving": self._name(session.serving) if session.serving else "here",
            "interface": session.interface,
            "confirmed": session.confirmed or session.presence is AWAY,
            "prefixes": [f"{prefix} {role}" for prefix, role, _ in self._prefixes(session)],
            "lifetime": max(session.expires - now, 0) // SECOND,
        }

    def _binding_rows(self, session: Session, now: Instant) -> list[Row]:
        return [
            {
                "prefix": str(prefix),
                "node": session.node.hex(),
                "role": role,
                "anchor": "here" if anchor is None else self._name(anchor),
                "serving": self._name(session.serving) if session.serving else "here",
                "idle": (now - session.active) // SECOND if session.presence is AWAY else None,
            }
            for prefix, role, anchor in self._prefixes(session)
        ]

    def _prefixes(self, session: Session) -> list[tuple[Prefix, str, Address | None]]:
        """Prefix, what it is to the node (``preferred``, ``deprecated``, ``anchored``), and who anchors it."""
        away = session.presence is AWAY
        rows: list[tuple[Prefix, str, Address | None]] = []
        if session.own is not None:
            rows.append((session.own, "anchored" if away else "preferred", None))
        rows += [(prefix, "anchored" if away else "leased", None) for prefix in session.leased]
        for prefix, anchor in session.anchored.items():
            deprecated = "deprecated" if self._is_autoconfigured(session, prefix) else "leased"
            role = "passed on" if away else "preferred" if session.legacy else deprecated
            rows.append((prefix, role, anchor))
        return rows

    def _database_rows(self, now: Instant) -> list[Row]:
        row = self._peer_row(self.configuration.cmd, "cmd", "", now)
        if self.databases is None:
            return [row]
        heard = self.databases.heard
        return [
            {
                **row,
                "name": text(address),
                "address": text(address),
                "heard": _seconds(heard.get(address), now),
                **self._survival_row(address),
            }
            for address in self.databases.addresses
        ]

    def _peer_row(self, address: Address, role: str, name: str, now: Instant) -> Row:
        anchored = sum(list(s.anchored.values()).count(address) for s in self.sessions.values())
        return {
            "name": name or text(address),
            "address": text(address),
            "role": role,
            "anchors": anchored,
            "serves": sum(1 for s in self.sessions.values() if s.serving == address),
            "heard": _seconds(self.heard.get(address), now),
            **self._survival_row(address),
        }

    def _name(self, address: Address) -> str:
        peer = self._peers.get(address)
        return peer.name if peer is not None and peer.name else text(address)


def _seconds(heard: Instant | None, now: Instant) -> int | None:
    return None if heard is None else (now - heard) // SECOND
