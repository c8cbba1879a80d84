"""Whether the tables of one engine agree with each other, with its kernel and with its limits, at any moment.

Each table is compared with what the sessions (MAAR) or entries (CMD) say it must be, so that whatever a peer, a node or
an accident adds and nobody takes away is found at once, and not when it fills the memory. Each function answers with
faults as sentences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from sim.world import Machine
from sojourn.core.clock import Timers
from sojourn.core.effects import EnsureDelivery, EnsureHold, EnsureTunnel
from sojourn.dataplane.state import ForwardingState, Queued
from sojourn.engines.access_state import AccessState
from sojourn.engines.database_entry import BindingCacheEntry
from sojourn.engines.handover import Phase
from sojourn.engines.leases import router_of
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.maar_direct import DirectAccessRouter
from sojourn.engines.maar_registration import FORGETFUL
from sojourn.engines.maar_session import Presence, Session
from sojourn.engines.maar_stand_in import STANDING
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.engines.registration import LISTED_PREFIXES
from sojourn.engines.retransmission import Key, Retransmission
from sojourn.engines.slots import Slots
from sojourn.engines.stand_in import READY, RETURNING, StandIn
from sojourn.wire.addresses import Prefix, text

_SESSION_TIMERS = frozenset(
    {"refresh", "probe", "expiry", "advertise", "hold", "grace", "retry", "repair", "gone", "dhcp", "seek", "settle"}
    | {"recall"}
)
_ENDS_IT = {
    Presence.SERVED: ("refresh", "probe"),
    Presence.DEPARTED: ("expiry",),
    Presence.AWAY: ("expiry",),
    Presence.REFUSED: ("retry",),
}
"""See `access`: nobody is forgotten."""
_ENDS_IT_DIRECTLY = _ENDS_IT | {Presence.DEPARTED: ("expiry", "gone"), Presence.AWAY: ("expiry", "gone")}
"""The same in direct mode."""


def access(
    engine: AccessState[Any],
    machines: int,
    ends_it: Mapping[Presence, tuple[str, ...]],
    with_others: Container[bytes] = (),
) -> Iterator[str]:
    """The tables that every router with access links has, in a domain of so many machines.

    `ends_it`: of these timers one runs while a session is in that state, unless a request is on its way, or it is to be
    registered `with_others`.
    """
    sessions, configuration = engine.sessions, engine.configuration
    if len(sessions) > configuration.nodes:
        yield f"{len(sessions)} sessions, {configuration.nodes} allowed"
    slots = {session.slot: key for key, session in sessions.items()}
    if slots != engine._by_slot or len(slots) != len(sessions):
        yield f"slots {engine._by_slot} of sessions that have {slots}"
    yield from numbers(engine._slots, [*slots, *_of_stand_ins(engine)])
    foreign = {prefix: key for key, session in sessions.items() for prefix in session.anchored}
    if foreign != engine._foreign or len(foreign) != sum(len(session.anchored) for session in sessions.values()):
        yield f"serves {foreign} for others and notes {engine._foreign}"
    users: dict[tuple[str, bytes], set[bytes]] = {}
    for key, session in sessions.items():
        for identity in session.logical.values():
            users.setdefault((session.interface, identity), set()).add(key)
        if len(session.anchored) > engine._most_prefixes(session):
            yield f"{key.hex()}: {len(session.anchored)} prefixes"
        waits = key in engine.handovers or key in with_others
        if not waits and not any((kind, key) in engine._timers for kind in ends_it[session.presence]):
            asked = engine._requests._outstanding
            whom = engine._asked_about(session)
            if not any((purpose, key, whom, None) in asked for purpose in ("register", "deregister")):
                yield f"{key.hex()} {session.presence.value}: nothing will ever happen to it"
    if users != engine._logical_users:
        yield f"identities {engine._logical_users}, users {users}"
    if len(engine.heard) > machines or len(engine._newcomers) > 2 or not engine._unproved.keys() <= sessions.keys():
        yield f"heard {len(engine.heard)}, newcomers {len(engine._newcomers)}, unproved {len(engine._unproved)}"
    yield from handovers(engine)
    yield from timers(engine, _SESSION_TIMERS, sessions)
    yield from requests(engine._requests, machines)
    direct = isinstance(engine, DirectAccessRouter)
    survival = getattr(engine, "survival", None)  # a MAG has no partner
    held = {
        (entry.node, entry.serving, prefix)
        for stand in (() if survival is None else survival.standing.values())
        for prefix, entry in stand.entries.items()
    }
    for purpose, node, destination, about in engine._requests._outstanding:
        if purpose == "bulk" or (direct and node in sessions):
            continue
        if purpose == "idle" and (node, destination, about) in held:
            continue  # nobody uses what we hold for its anchor
        if purpose in ("hold", "release") and node in sessions:
            continue  # see `survival`
        if node not in sessions and purpose == "retire" and (engine.leases, engine.survival) != (None, None):
            continue  # what it gave back before it left, or a partner of an anchor found idle
        if node not in sessions or destination != engine._asked_about(sessions[node]):
            yield f"asks {text(destination)} to {purpose} {node.hex()}, whom it does not know"


def handovers(engine: Any) -> Iterator[str]:
    """Fast handovers are few, of nodes that are known, and each of them ends."""
    known, running = engine.handovers, engine._timers
    if not known.neighbours:
        return
    if len(known) > engine.configuration.handovers or not known.keys() <= engine.sessions.keys():
        yield f"handovers of {[key.hex() for key in known]}"
    for key, handover in known.items():
        if ("handover", key) not in running:
            yield f"{key.hex()}: its handover never ends, {handover.phase.value}"
    asked = known.initiations._outstanding.keys()
    for kind, key in running._live:
        if (kind in ("handover", "handover-look") and key not in known) or (kind == "initiation" and key not in asked):
            yield f"timer {kind} runs for {key!r}, whom nobody hands over"
    if sum(kind == "initiation" for kind, _ in running._live) != len(asked):
        yield f"initiations {asked} without timers"


def handover_queues(state: ForwardingState, engine: Any) -> Iterator[str]:
    """What other routers forward waits apart only at the new router of a handover."""
    if not state.forwarded:
        return
    new = {engine.sessions[key].slot for key, handover in engine.handovers.items() if not handover.previous}
    if not state.forwarded.keys() <= new:
        yield f"queues of slots {set(state.forwarded)} for what is forwarded, handovers of {new}"


def handed_over(machine: Machine) -> Iterator[str]:
    """After some quiet no handover is under way, and no packet waits anywhere."""
    engine, plane = machine.engine, machine.plane
    under_way = [handover.phase.value for handover in engine.handovers.values()]
    queues = [way for way in plane.state.slots.values() if isinstance(way, Queued)]
    if under_way or queues or plane.state.forwarded or plane.held:
        yield f"{machine.name} hands over {under_way}, queues {queues}, {plane.state.forwarded}, waiting {plane.held}"


def numbers(slots: Slots, used: Iterable[int]) -> Iterator[str]:
    """Every number is used or free."""
    used = sorted(used)
    if sorted([*used, *slots._free]) != list(range(1, slots._next)):
        yield f"slots {used} used and {sorted(slots._free)} free do not make {slots._next - 1}"


def maar(engine: MobilityAnchorAccessRouter, machines: int) -> Iterator[str]:
    """The tables of a MAAR in a domain of so many machines."""
    sessions = engine.sessions
    own = {session.own: key for key, session in sessions.items() if session.own is not None}
    leased = {prefix: key for key, session in sessions.items() for prefix in session.leased}
    if own | leased != engine._anchored_for or own.keys() != engine.pool._used:
        yield f"anchors {own | leased}, notes {engine._anchored_for}, takes {engine.pool._used} from the pool"
    if leased or engine.leases is not None:
        yield from _leases(engine, leased)
    if len(engine.pool._used) + len(engine.pool._resting) > engine.pool._size:
        yield "more prefixes rest and are used than the pool has"
    if len(engine._over) > 2 * engine._over_kept + 64:
        yield f"remembers the end of {len(engine._over)} prefixes"
    for session in sessions.values():
        yield from _session(session)
    yield from survival(engine, machines)
    if isinstance(engine, DirectAccessRouter):
        yield from _direct(engine, machines)
    yield from access(engine, machines, _ENDS_IT_DIRECTLY if isinstance(engine, DirectAccessRouter) else _ENDS_IT)


def _direct(engine: DirectAccessRouter, machines: int) -> Iterator[str]:
    """What direct mode notes is about nodes that are known, or about peers."""
    direct = engine.direct
    asked: dict[bytes, set[Key]] = {}
    for key in engine._requests._outstanding:
        if key[0] not in ("hold", "release", "idle"):  # see `survival`
            asked.setdefault(key[1], set()).add(key)
    if asked != direct.requests:
        yield f"asks {asked}, notes {direct.requests}"
    about = (direct.told, direct.came_from, direct.ranks, direct.follows, direct.handed, direct.announced)
    survived = (direct.named, direct.returning)
    for table in (*about, *survived, dict.fromkeys(direct.unsettled)):
        if not table.keys() <= engine.sessions.keys():
            yield f"notes {table} of {list(engine.sessions)}"
    if any(not named or len(named) > LISTED_PREFIXES for named in direct.named.values()):
        yield f"of nodes others name {direct.named}"
    if any(not anchors or len(anchors) > machines for anchors in direct.returning.values()):
        yield f"returns to {direct.returning}"
    if max(len(direct.reminding), len(direct.reminded)) > machines:
        yield f"reminds {direct.reminded}, is reminded by {direct.reminding}"


def _leases(engine: MobilityAnchorAccessRouter, leased: dict[Prefix, bytes]) -> Iterator[str]:
    """What nodes have by DHCP besides: in the pools, on the links, with a timer each where a node is served."""
    leases = engine.leases
    assert leases is not None
    assert engine.dhcp is not None
    pools = [pool for pool in (leases.ipv4_pool, leases.delegated_pool) if pool is not None]
    used = {prefix for pool in pools for prefix in pool._used}
    if used != leased.keys() or not leases.offers.keys() <= leased.keys():
        yield f"leased {leased}, takes {used} from the pools, offers {leases.offers}"
    if not engine.dhcp.questions.keys() <= engine.sessions.keys():
        yield f"questions of {set(engine.dhcp.questions)}, whom nobody knows"
    held, shown = set(), {}
    for key, session in engine.sessions.items():
        if session.presence in (Presence.SERVED, Presence.DEPARTED) and not on_its_way(engine, key):
            held.update((key, prefix) for prefix in engine._leased(session))
            for prefix in engine._leased(session):
                if session.interface and prefix.is_ipv4 and (subnet := leases.subnet(prefix)) is not None:
                    shown.setdefault((session.interface, router_of(subnet)), set()).add(prefix)
    timers = {key for kind, key in engine._timers._live if kind == "lease"}
    if timers != held:
        yield f"leases {held}, timers of {timers}"
    if shown != leases.shown:
        yield f"default routers {shown} of IPv4, noted is {leases.shown}"


def _session(session: Session) -> Iterator[str]:
    who = f"{session.node.hex()} {session.presence.value}"
    if not session.routes.keys() <= session.logical.keys() or len(session.logical) > len(session.anchored):
        yield f"{who}: identities {session.logical} with routes {session.routes} for {session.anchored}"
    if (session.presence is Presence.AWAY) != (session.serving is not None):
        yield f"{who}: serving {session.serving}"


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
        handover = engine.handovers.get(session.node)  # what the next router itself anchors is not sent on to it
        kept = handover.peer if handover is not None and handover.sends_on else b""
        prefixes.update({prefix: session.slot for prefix, anchor in session.anchored.items() if anchor != kept})
        if session.own is not None:
            prefixes[session.own] = session.slot
        prefixes.update(dict.fromkeys(session.leased, session.slot))
        if session.presence is Presence.AWAY:
            counters.update({session.own, *session.leased} - {None})  # type: ignore[arg-type]
            if on_its_way(engine, session.node):
                anchored = session.anchored.items()  # those it had before have their way when it comes
                uplinks.update({prefix: anchor for prefix, anchor in anchored if prefix in state.uplinks})
        else:
            uplinks.update({prefix: _way_out(engine, anchor) for prefix, anchor in session.anchored.items()})
            uplinks.update(dict.fromkeys(session.leased))
            if session.own is not None:
                uplinks[session.own] = None
    pools: set[Prefix] = set()
    for stand in _stand_ins(engine):
        if stand.phase is not READY:
            pools.update(stand.pools)
        counters.update(stand.used)
        if stand.slots:
            slots.update({slot: state.slots.get(slot) for slot in stand.slots.values()})
            prefixes.update(dict.fromkeys(stand.pools, stand.slots[stand.anchor]))
            for prefix, held in stand.entries.items():
                if not engine._serves_here(prefix):
                    prefixes[prefix] = stand.slots[held.serving]
                    counters.add(prefix)
    if pools != state.pools:
        yield f"pools {state.pools} are led here, {pools} wanted"
    yield from handover_queues(state, engine)
    yield from forwarding(state, slots, prefixes, uplinks, counters)
    wanted = {*engine._logical_users, *(() if engine.leases is None else engine.leases.shown)}
    if state.logical_interfaces != wanted:
        yield f"identities {state.logical_interfaces} in the kernel, {wanted} wanted"


def forwarding(
    state: ForwardingState,
    slots: Mapping[int, object],
    prefixes: Mapping[Prefix, int],
    uplinks: Mapping[Prefix, bytes | None],
    counters: set[Prefix],
) -> Iterator[str]:
    """A kernel holds this and nothing else."""
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


def on_its_way(engine: Any, node: bytes) -> bool:
    """Whether a node is expected by fast handover: nothing of that is kept."""
    handover = engine.handovers.get(node)
    return handover is not None and handover.phase in (Phase.EXPECTING, Phase.RETURNING)


def _passed_on(machine: Machine, node: bytes) -> bool:
    """Whether a node that perhaps was expected here is already elsewhere, and handed over to there."""
    engine = machine.engine
    handover = engine.handovers.get(node)
    return handover is not None and handover.previous and engine.sessions[node].presence is Presence.DEPARTED


def _stand_ins(engine: Any) -> list[StandIn]:
    survival = getattr(engine, "survival", None)
    return [] if survival is None else list(survival.standing.values())


def _of_stand_ins(engine: Any) -> list[int]:
    return [slot for stand in _stand_ins(engine) for slot in stand.slots.values()]


def _way_out(engine: MobilityAnchorAccessRouter, anchor: bytes) -> bytes | None:
    return anchor if engine.survival is None else engine.survival.way_out(anchor)


def survival(engine: MobilityAnchorAccessRouter, machines: int) -> Iterator[str]:
    """What is noted of neighbours, anchors and partners is about peers, and has its timers."""
    known = engine.survival
    if known is None:
        return
    neighbours = known.liveness.neighbours
    if len(neighbours) > machines or len(known.words) > machines:
        yield f"watches {len(neighbours)}, heard words about {len(known.words)}"
    watched = {key for kind, key in engine._timers._live if kind == "alive"}
    if watched != neighbours.keys():
        yield f"watches {set(neighbours)} with timers {watched}"
    held = {(anchor, prefix) for anchor, stand in known.standing.items() for prefix in stand.entries}
    if {key for kind, key in engine._timers._live if kind == "stood"} != held:
        yield f"holds {held} with other timers"
    if known.missed != {key for kind, key in engine._timers._live if kind == "forget"}:
        yield f"misses {known.missed} with other timers"
    for anchor, stand in known.standing.items():
        nodes = {(prefix, entry.node) for prefix, entry in stand.entries.items()}
        if nodes != {(prefix, node) for node, prefixes in stand.nodes.items() for prefix in prefixes}:
            yield f"holds {stand.entries}, by node {stand.nodes}"
        given = {(prefix, node) for prefix, (node, _) in stand.given.prefixes.items()}
        if given != {(prefix, node) for node, prefixes in stand.given.nodes.items() for prefix in prefixes}:
            yield f"{text(anchor)} gave {stand.given.prefixes}, by node {stand.given.nodes}"
        if bool(given) != (("given", anchor) in engine._timers):
            yield f"never forgets what {text(anchor)} gave" if given else "forgets what nobody gave"
        if stand.phase is not READY and stand.slots.get(anchor) is None:
            yield f"holds the pool of {text(anchor)} without a way to it"
        if stand.phase is READY and known.liveness.lost(anchor) and ("takeover", anchor) not in engine._timers:
            yield f"misses {text(anchor)}, and does not step in"
        if stand.phase is RETURNING and ("return", anchor) not in engine._timers:
            yield f"gives the pool of {text(anchor)} back for ever"
    for session in engine.sessions.values():
        for anchor in session.anchored.values() if session.presence is Presence.SERVED else ():
            partner = known.partners.get(anchor)
            alone = partner is None or (partner != engine.configuration.address and known.liveness.lost(partner))
            if alone and known.liveness.lost(anchor) and anchor not in known.missed:
                yield f"{session.node.hex()} has a prefix of {text(anchor)}, which is gone"
    for purpose, node, destination, about in engine._requests._outstanding:
        if purpose == "hold" and node in engine.sessions:
            anchors = set(engine._anchored_by(engine.sessions[node]))
            if about not in anchors or destination != known.holder(about):
                yield f"tells {text(destination)} that {node.hex()} is here, which holds nothing of it"


def disk_of_maar(machine: Machine, engine: MobilityAnchorAccessRouter) -> Iterator[str]:
    """What a MAAR would know after a restart is what it knows, but for numbers that are made good then."""
    kept = {key: record for key, record in machine.store.items() if key[:1] != FORGETFUL}
    held = {key[1:] for key in machine.store if key[:1] == STANDING and key != FORGETFUL}
    if held != {stand.anchor for stand in _stand_ins(engine) if stand.phase is not READY}:
        yield f"stored is that it holds the pools of {[text(anchor) for anchor in held]}"
    lasting = [node for node in engine.sessions if not on_its_way(engine, node) and not _passed_on(machine, node)]
    if not set(lasting) <= kept.keys() <= engine.sessions.keys():
        yield f"stores {len(kept)} sessions of {len(engine.sessions)}"
        return
    offers = {} if engine.leases is None else engine.leases.offers
    for key in lasting:
        session, record = engine.sessions[key], kept[key]
        if record != session.record() and _lasting(Session.restored(key, record, 0), offers) != _lasting(
            session, offers
        ):
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


def _lasting(session: Session, offers: Container[Prefix]) -> tuple[object, ...]:
    """What is offered need not be known after a restart."""
    return (
        session.slot,
        session.interface,
        session.link_layer,
        session.attached,
        session.presence,
        session.own,
        [prefix for prefix in session.leased if prefix not in offers],
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
    if len(entries) > configuration.nodes and not configuration.shared:  # to others it may have been a newcomer
        yield f"{len(entries)} entries, {configuration.nodes} allowed"
    owners: dict[Prefix, list[bytes]] = {}
    for key, entry in entries.items():
        for prefix, _ in entry.anchors:
            owners.setdefault(prefix, []).append(key)
    noted = {prefix: sorted([key, *engine._twice.get(prefix, [])]) for prefix, key in engine._owners.items()}
    if {prefix: sorted(keys) for prefix, keys in owners.items()} != noted or not engine._twice.keys() <= owners.keys():
        yield f"prefixes belong to {owners}, noted is {noted}"
    if engine._twice and not configuration.shared:
        yield f"{engine._twice} belong to two nodes"
    if not engine._reserved.keys() | engine._asking.keys() <= engine._maars.keys():
        yield "reserves prefixes of strangers"
    serves = Counter(entry.serving for entry in entries.values())
    if serves != +engine._serves:
        yield f"serving {serves}, noted is {engine._serves}"
    for key, entry in entries.items():
        if not engine._follows and any(engine._surplus(prefix for prefix, _ in entry.anchors)):
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
    yield from timers(engine, frozenset({"flush", "expiry", "remind"}), entries)
    yield from requests(engine._requests, machines)


def timers(engine, per_node: frozenset[str], nodes: Container[object]) -> Iterator[str]:  # type: ignore[no-untyped-def]
    """What runs is for somebody who is known, or for a request that waits."""
    clock: Timers[tuple[str, object]] = engine._timers
    entries = len(clock._heap) + sum(map(len, clock._later.values()))
    if clock.queued != entries or entries > clock._most:
        yield f"{entries} entries, {clock.queued} counted, for {len(clock)} timers"
    running = set()
    for kind, key in clock._live:
        if kind == "request":
            running.add(key)
        elif kind in per_node and key not in nodes:
            yield f"timer {kind} runs for {key!r}, whom nobody knows"
    waiting = engine._requests._outstanding if hasattr(engine, "_requests") else {}
    if running != waiting.keys():
        yield f"requests {set(waiting)} with timers {running}"


def requests(requests: Retransmission, machines: int) -> Iterator[str]:
    """What is remembered of exchanges is bounded."""
    if len(requests._round_trips) > 5 * machines:
        yield f"{len(requests._round_trips)} round trips known"
    for key, recent in requests._recent.items():
        if len(recent) > requests._constants.max_update_rate:
            yield f"{len(recent)} transmissions remembered for {key}"


def _list(prefixes: set[object]) -> str:
    return "[" + ", ".join(sorted(map(str, prefixes))) + "]"
