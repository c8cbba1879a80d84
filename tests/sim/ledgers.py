"""Whether the tables of one engine agree with each other, with its kernel and with its limits, at any moment.

Each table is compared with what the sessions (MAAR) or entries (CMD) say it must be, so that whatever a peer, a node or
an accident adds and nobody takes away is found at once, and not when it fills the memory. Each function answers with
faults as sentences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sim.world import Machine
from sojourn.core.clock import Timers
from sojourn.core.effects import EnsureDelivery, EnsureHold, EnsureTunnel
from sojourn.engines.database_entry import BindingCacheEntry
from sojourn.engines.handover import Phase
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.maar_registration import FORGETFUL
from sojourn.engines.maar_session import Presence, Session
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.engines.retransmission import Retransmission
from sojourn.wire.addresses import Prefix, text

_SESSION_TIMERS = frozenset({"refresh", "probe", "expiry", "advertise", "hold", "grace", "retry", "repair"})
_ENDS_IT = {
    Presence.SERVED: ("refresh", "probe"),
    Presence.DEPARTED: ("expiry",),
    Presence.AWAY: ("expiry",),
    Presence.REFUSED: ("retry",),
}
"""Timers of which one runs while a session is in that state, unless a request is on its way: nobody is forgotten."""


def maar(engine: MobilityAnchorAccessRouter, machines: int) -> Iterator[str]:
    """The tables of a MAAR in a domain of so many machines."""
    sessions, configuration = engine.sessions, engine.configuration
    if len(sessions) > configuration.nodes:
        yield f"{len(sessions)} sessions, {configuration.nodes} allowed"
    slots = {session.slot: key for key, session in sessions.items()}
    if slots != engine._by_slot or len(slots) != len(sessions):
        yield f"slots {engine._by_slot} of sessions that have {slots}"
    free, following = engine._slots._free, engine._slots._next
    if sorted([*slots, *free]) != list(range(1, following)):
        yield f"slots {sorted(slots)} used and {sorted(free)} free do not make {following - 1}"
    own = {session.own: key for key, session in sessions.items() if session.own is not None}
    if own != engine._anchored_for or own.keys() != engine.pool._used:
        yield f"anchors {own}, notes {engine._anchored_for}, takes {engine.pool._used} from the pool"
    if len(engine.pool._used) + len(engine.pool._resting) > engine.pool._size:
        yield "more prefixes rest and are used than the pool has"
    foreign = {prefix: key for key, session in sessions.items() for prefix in session.anchored}
    if foreign != engine._foreign or len(foreign) != sum(len(session.anchored) for session in sessions.values()):
        yield f"serves {foreign} for others and notes {engine._foreign}"
    users: dict[tuple[str, bytes], set[bytes]] = {}
    for key, session in sessions.items():
        for identity in session.logical.values():
            users.setdefault((session.interface, identity), set()).add(key)
        yield from _session(engine, session)
    if users != engine._logical_users:
        yield f"identities {engine._logical_users}, users {users}"
    if len(engine.heard) > machines or len(engine._newcomers) > 2 or not engine._unproved.keys() <= sessions.keys():
        yield f"heard {len(engine.heard)}, newcomers {len(engine._newcomers)}, unproved {len(engine._unproved)}"
    yield from _timers(engine, _SESSION_TIMERS, sessions)
    yield from _requests(engine._requests, machines)
    for purpose, node, destination, _ in engine._requests._outstanding:
        if node not in sessions or destination != configuration.cmd:
            yield f"asks {text(destination)} to {purpose} {node.hex()}, whom it does not know"


def _session(engine: MobilityAnchorAccessRouter, session: Session) -> Iterator[str]:
    who = f"{session.node.hex()} {session.presence.value}"
    if len(session.anchored) > engine.configuration.prefixes_per_node:
        yield f"{who}: {len(session.anchored)} prefixes"
    if not session.routes.keys() <= session.logical.keys() or len(session.logical) > len(session.anchored):
        yield f"{who}: identities {session.logical} with routes {session.routes} for {session.anchored}"
    if (session.presence is Presence.AWAY) != (session.serving is not None):
        yield f"{who}: serving {session.serving}"
    timers, asked = engine._timers, engine._requests._outstanding
    if session.node in engine.handovers and ("handover", session.node) in timers:
        return
    if not any((kind, session.node) in timers for kind in _ENDS_IT[session.presence]):
        cmd = engine.configuration.cmd
        if not any((purpose, session.node, cmd, None) in asked for purpose in ("register", "deregister")):
            yield f"{who}: nothing will ever happen to it"


def kernel(machine: Machine, engine: MobilityAnchorAccessRouter) -> Iterator[str]:
    """What the kernel of a MAAR forwards is what its sessions say, if it did not refuse anything lately."""
    slots: dict[int, object] = {}
    prefixes: dict[Prefix, int] = {}
    uplinks: dict[Prefix, bytes | None] = {}
    counters: set[Prefix] = set()
    state = machine.plane.state
    for session in engine.sessions.values():
        way = state.slots.get(session.slot)
        slots[session.slot] = way
        if session.node not in engine.handovers and not _fits(way, session):
            yield f"{session.node.hex()} {session.presence.value}: its slot leads to {way}"
        if session.presence is Presence.REFUSED:
            continue
        prefixes.update(dict.fromkeys(session.anchored, session.slot))
        if session.own is not None:
            prefixes[session.own] = session.slot
        if session.presence is Presence.AWAY:
            counters.update({session.own} - {None})  # type: ignore[arg-type]
        else:
            uplinks.update(session.anchored)
            if session.own is not None:
                uplinks[session.own] = None
    for name, should, does in (
        ("slots", slots, state.slots),
        ("ways to", prefixes, state.prefixes),
        ("ways from", uplinks, state.uplinks),
        ("counters of", counters, state.counters),
    ):
        if should != does:
            missing, surplus = set(should) - set(does), set(does) - set(should)
            yield f"{name}: missing {_list(missing)}, too many {_list(surplus)}" + (
                "" if missing or surplus else ", and others differ"
            )
    if state.logical_interfaces != engine._logical_users.keys():
        yield f"identities {state.logical_interfaces} in the kernel, {set(engine._logical_users)} wanted"


def _on_its_way(engine: MobilityAnchorAccessRouter, node: bytes) -> bool:
    """Whether a node is expected by fast handover: nothing of that is kept."""
    handover = engine.handovers.get(node)
    return handover is not None and handover.phase in (Phase.EXPECTING, Phase.RETURNING)


def disk_of_maar(machine: Machine, engine: MobilityAnchorAccessRouter) -> Iterator[str]:
    """What a MAAR would know after a restart is what it knows, but for numbers that are made good then."""
    kept = {key: record for key, record in machine.store.items() if key != FORGETFUL}
    lasting = [node for node in engine.sessions if not _on_its_way(engine, node)]
    if not set(lasting) <= kept.keys() <= engine.sessions.keys():
        yield f"stores {len(kept)} sessions of {len(engine.sessions)}"
        return
    for key in lasting:
        session, record = engine.sessions[key], kept[key]
        if record != session.record() and _lasting(Session.restored(key, record, 0)) != _lasting(session):
            yield f"{key.hex()}: stored is {Session.restored(key, record, 0)} of {session}"


def disk_of_database(machine: Machine, engine: CentralMobilityDatabase) -> Iterator[str]:
    """The same of a CMD."""
    if machine.store.keys() != engine.entries.keys():
        yield f"stores {len(machine.store)} entries of {len(engine.entries)}"
        return
    for key, entry in engine.entries.items():
        stored = BindingCacheEntry.restored(key, machine.store[key], 0)
        for name in ("serving", "timestamp", "anchors"):
            if getattr(stored, name) != getattr(entry, name):
                yield f"{key.hex()}: stored {name} {getattr(stored, name)} of {getattr(entry, name)}"
        if not entry.unconfirmed() <= set(stored.untold):
            yield f"{key.hex()}: stored as untold {stored.untold} of {entry.unconfirmed()}"


def _lasting(session: Session) -> tuple[object, ...]:
    return (
        session.slot,
        session.interface,
        session.link_layer,
        session.attached,
        session.presence,
        session.own,
        session.anchored,
        session.serving,
        session.legacy,
    )


def _fits(way: object, session: Session) -> bool:
    match way:
        case EnsureTunnel(_, remote):
            return session.presence is Presence.AWAY and remote == session.serving
        case EnsureDelivery(_, interface, link_layer):
            here = (interface, link_layer) == (session.interface, session.link_layer)
            return session.presence is not Presence.AWAY and here
        case EnsureHold():
            return session.presence in (Presence.DEPARTED, Presence.REFUSED)
        case _:
            return False


def database(engine: CentralMobilityDatabase, machines: int) -> Iterator[str]:
    """The tables of a CMD."""
    entries, configuration = engine.entries, engine.configuration
    if len(entries) > configuration.nodes:
        yield f"{len(entries)} entries, {configuration.nodes} allowed"
    owners = {prefix: key for key, entry in entries.items() for prefix, _ in entry.anchors}
    if owners != engine._owners or len(owners) != sum(len(entry.anchors) for entry in entries.values()):
        yield f"prefixes belong to {owners}, noted is {engine._owners}"
    serves = Counter(entry.serving for entry in entries.values())
    if serves != +engine._serves:
        yield f"serving {serves}, noted is {engine._serves}"
    for key, entry in entries.items():
        if len(entry.anchors) > configuration.prefixes_per_node:
            yield f"{key.hex()}: {len(entry.anchors)} prefixes"
        if ("expiry", key) not in engine._timers:
            yield f"{key.hex()}: its binding never ends"
        maars = {entry.serving, *entry.unconfirmed(), *(maar for _, maar in entry.anchors)}
        if not maars <= engine._maars.keys():
            yield f"{key.hex()}: strangers among {maars}"
        waiting = entry.handover.waiting if entry.handover is not None else set()
        for silent in waiting:
            if ("notify", key, silent, None) not in engine._requests._outstanding:
                yield f"{key.hex()}: waits for {text(silent)}, which is not asked"
    if max(len(engine.heard), len(engine._identities), len(engine._forgetful)) > machines:
        yield f"heard {len(engine.heard)}, identities {len(engine._identities)}"
    yield from _timers(engine, frozenset({"flush", "expiry"}), entries)
    yield from _requests(engine._requests, machines)


def _timers(engine, per_node: frozenset[str], nodes: dict[bytes, object]) -> Iterator[str]:  # type: ignore[no-untyped-def]
    timers: Timers[tuple[str, object]] = engine._timers
    if len(timers._heap) > max(64, 2 * len(timers)) + 1:
        yield f"{len(timers._heap)} entries in the heap of {len(timers)} timers"
    running = set()
    for kind, key in timers._live:
        if kind == "request":
            running.add(key)
        elif kind in per_node and key not in nodes:
            yield f"timer {kind} runs for {key!r}, whom nobody knows"
    if running != engine._requests._outstanding.keys():
        yield f"requests {set(engine._requests._outstanding)} with timers {running}"


def _requests(requests: Retransmission, machines: int) -> Iterator[str]:
    if len(requests._round_trips) > 3 * machines:
        yield f"{len(requests._round_trips)} round trips known"
    for key, recent in requests._recent.items():
        if len(recent) > requests._constants.max_update_rate:
            yield f"{len(recent)} transmissions remembered for {key}"


def _list(prefixes: set[object]) -> str:
    return "[" + ", ".join(sorted(map(str, prefixes))) + "]"
