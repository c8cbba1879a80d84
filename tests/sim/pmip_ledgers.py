"""Whether the tables of an LMA or a MAG agree with each other, with its kernel, its disk and its limits, at any moment.

As `sim.ledgers`, which has what all access routers share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sized
from typing import Any, TypeVar

from sim.ledgers import access, forwarding, handover_queues, numbers, timers
from sim.world import Machine
from sojourn.core.effects import EnsureDelivery, EnsureHold, EnsurePaths, EnsureTunnel
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.lma_delegation import Delegation
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.lma_flow_mobility import FlowMobility
from sojourn.engines.lma_multipath import Multipath
from sojourn.engines.lma_renumbering import Former, LmaRenumbering
from sojourn.engines.lma_revocation import LmaRevocation
from sojourn.engines.lma_transient import State, TransientBindings
from sojourn.engines.mag import MobileAccessGateway
from sojourn.engines.mag_bulk import BulkRegistrationAtMag
from sojourn.engines.mag_delegation import DelegationAtMag
from sojourn.engines.mag_flow_mobility import FlowMobilityAtMag
from sojourn.engines.mag_session import BindingUpdateListEntry, Presence
from sojourn.wire.addresses import Address, Prefix

X = TypeVar("X")
_ENDS_IT = {
    Presence.SERVED: ("refresh", "probe"),
    Presence.DEPARTED: ("gone",),
    Presence.REFUSED: ("retry",),
}
"""See `sim.ledgers.access`."""


def lma(engine: LocalMobilityAnchor, machines: int) -> Iterator[str]:
    """The tables of an LMA in a domain of so many machines."""
    cache, configuration = engine.cache, engine.configuration
    entries = list(cache)
    if len(entries) > configuration.nodes:
        yield f"{len(entries)} sessions, {configuration.nodes} allowed"
    yield from numbers(engine._slots, [entry.slot for entry in entries])
    owners = {prefix: entry for entry in entries for prefix in entry.prefixes}
    if owners != cache._by_prefix or len(owners) != sum(len(entry.prefixes) for entry in entries):
        yield f"prefixes belong to {owners}, noted is {cache._by_prefix}"
    besides = set(offered(engine)) | {prefix for former in _former(engine) for prefix in former.prefixes}
    used = {prefix for pool in engine.prefixes._all for prefix in pool._used}
    if owners.keys() | besides != used or not besides.isdisjoint(owners):
        yield f"{sorted(owners)} and {sorted(besides)} are used, and {sorted(used)} are taken from the pools"
    if sum(map(len, cache._by_node.values())) != len(entries) or not all(cache._by_node.values()):
        yield f"{len(entries)} sessions, by node {cache._by_node}"
    serves = Counter(entry.source for entry in entries)
    if serves != +engine._serves or max(serves.values(), default=0) > configuration.nodes_per_gateway:
        yield f"MAGs serve {serves}, noted is {engine._serves}"
    for entry in entries:
        who = entry.node.hex()
        if len(cache.of(entry.node)) > configuration.sessions_per_node or entry not in cache.of(entry.node):
            yield f"{who}: {len(cache.of(entry.node))} sessions"
        if len(entry.prefixes) > configuration.prefixes_per_session or not entry.prefixes:
            yield f"{who}: {len(entry.prefixes)} prefixes"
        if entry.source not in engine._gateways:
            yield f"{who}: served by a stranger"
        if ("expiry", entry.slot) not in engine._timers:
            yield f"{who}: its binding never ends"
    asked = extension(engine, LmaRevocation)
    revoked = {entry.node for entry in entries if asked is not None and entry.slot in asked._under_way}
    for node in engine._pending:
        if ("assign", node) not in engine._timers and node not in revoked:
            yield f"{node.hex()} waits without an end"
    if len(engine.heard) > machines:
        yield f"heard {len(engine.heard)}"
    yield from tables(engine)
    yield from timers(engine, frozenset({"expiry", "repair"}), {entry.slot for entry in entries})
    yield from timers(engine, frozenset({"assign"}), engine._pending)


def kernel_of_lma(machine: Machine, engine: LocalMobilityAnchor) -> Iterator[str]:
    """The tunnel of a session leads to the MAG whose registration was accepted last; a node that left has no way."""
    state = machine.plane.state
    slots: dict[int, object] = {}
    prefixes: dict[Prefix, int] = {}
    counters: set[Prefix] = set()
    delegation = extension(engine, Delegation)
    for entry in engine.cache:
        if not entry.waiting:
            slots[entry.slot] = _way_of(engine, entry)
            delegated = () if delegation is None else delegation._held.get(entry.slot, ())
            prefixes.update(dict.fromkeys((*entry.prefixes, *delegated), entry.slot))
            counters.update(entry.home_prefixes)
            continue
        if entry.slot in state.slots:  # without a way to the prefixes it does not matter where it leads
            slots[entry.slot] = state.slots[entry.slot]
        counters.update(state.counters.intersection(entry.prefixes))
    _lead_elsewhere(engine, prefixes, counters)
    yield from forwarding(state, slots, prefixes, {}, counters)


def _way_of(engine: LocalMobilityAnchor, entry: BindingCacheEntry) -> EnsureTunnel | EnsurePaths:
    """To its MAG; in a transient binding to the former one; over all paths where there are several."""
    transient, multipath = extension(engine, TransientBindings), extension(engine, Multipath)
    previous = None if transient is None else transient._previous.get(entry.slot)
    if previous is not None and previous.state is not State.TRANSIENT_A:
        return EnsureTunnel(entry.slot, previous.gateway)
    paths = () if multipath is None else multipath.paths(entry)
    return EnsurePaths(entry.slot, paths) if len(paths) > 1 else EnsureTunnel(entry.slot, entry.gateway)


def _lead_elsewhere(engine: LocalMobilityAnchor, prefixes: dict[Prefix, int], counters: set[Prefix]) -> None:
    """What is moved to another link of its node; what is about to be that of a session, or was just now."""
    flows = extension(engine, FlowMobility)
    if flows is not None:
        prefixes.update(flows._moved)
    for prefix, slot in offered(engine).items():
        prefixes[prefix] = slot
        counters.add(prefix)
    renumbering = extension(engine, LmaRenumbering)
    for slot, former in () if renumbering is None else renumbering._former.items():
        entry = engine.cache.get(slot)
        if former.forwarded and entry is not None and not entry.waiting:
            prefixes.update(dict.fromkeys(former.prefixes, slot))
        if former.forwarded:
            counters.update(former.prefixes)


def offered(engine: LocalMobilityAnchor) -> dict[Prefix, int]:
    """Prefixes that MAGs were told of and did not agree to yet (RFC 8191)."""
    renumbering = extension(engine, LmaRenumbering)
    offers = {} if renumbering is None else renumbering._offers
    return {prefix: slot for slot, offer in offers.items() for prefix in offer.prefixes}


def _former(engine: LocalMobilityAnchor) -> list[Former]:
    renumbering = extension(engine, LmaRenumbering)
    return [] if renumbering is None else list(renumbering._former.values())


# --- extensions -----------------------------------------------------------------------------------------------------


def extension(engine: Any, kind: type[X]) -> X | None:
    """That one, if it is switched on."""
    return next((one for one in engine.extensions if isinstance(one, kind)), None) if engine.extensions else None


_SHARED = {"_role", "_report", "_do", "_address", "_kept"}
_MOST = 256
"""Entries of any table of an extension in so small a domain."""
_LASTING: dict[str, frozenset[str]] = {
    "heartbeat": frozenset({"_watched"}),
    "revocation": frozenset({"_unable", "_authorized", "_unauthorized"}),
    "notification": frozenset({"_unable", "_unasked", "_answers", "_by_reason"}),
    "redirect": frozenset({"_able", "_assigned", "_silent"}),
    "controlled-timers": frozenset({"_option"}),
    "quality": frozenset({"_requests"}),
    "access_network": frozenset({"_options", "_accepted"}),
    "vendor_options": frozenset({"_options", "_vendors"}),
    "transient": frozenset({"_told"}),
    "bulk": frozenset({"_latest"}),
    "localized": frozenset({"_of_node", "_pairs"}),
    "delegation": frozenset({"_pools", "_static", "_reserved", "_routers"}),
    "multipath": frozenset({"_others", "_down"}),
}
"""Tables of extensions about peers, nodes that are configured, or settings: not empty when nobody is here."""


def sizes(one: object) -> dict[str, int]:
    """How much is in each table of an extension."""
    return {name: len(value) for name, value in vars(one).items() if name not in _SHARED and isinstance(value, Sized)}


def tables(engine: Any) -> Iterator[str]:
    """What extensions remember is bounded."""
    for one in engine.extensions:
        for table, size in sizes(one).items():
            if size > _MOST:
                yield f"{one.name}: {size} in {table}"


def tables_left(engine: Any) -> Iterator[str]:
    """With nobody here, nothing about nodes is left in extensions."""
    for one in engine.extensions:
        lasting = _LASTING.get(one.name, frozenset())
        left = {table: vars(one)[table] for table, size in sizes(one).items() if size and table not in lasting}
        if left:
            yield f"{one.name} keeps {left}"


def disk_of_lma(machine: Machine, engine: LocalMobilityAnchor) -> Iterator[str]:
    """What an LMA would know after a restart is what it knows, but for what each refresh changes."""
    if sessions_on(machine) != {entry.key for entry in engine.cache}:
        yield f"stores {len(machine.store)} sessions of {len(engine.cache)}"
        return
    for entry in engine.cache:
        stored = BindingCacheEntry.restored(entry.key, machine.store[entry.key], 0)
        for name in ("node", "gateway", "source", "prefixes", "link_layer", "technology", "link_local", "waiting"):
            if getattr(stored, name) != getattr(entry, name):
                yield f"{entry.node.hex()}: stored {name} {getattr(stored, name)} of {getattr(entry, name)}"


def mag(engine: MobileAccessGateway, machines: int) -> Iterator[str]:
    """The tables of a MAG in a domain of so many machines."""
    yield from access(engine, machines, _ENDS_IT, _extended_together(engine))
    yield from tables(engine)
    if len(engine._hints) > machines:
        yield f"{len(engine._hints)} hints"
    for session in engine.sessions.values():
        if session.presence is Presence.SERVED and session.confirmed and ("expiry", session.node) not in engine._timers:
            yield f"{session.node.hex()}: its binding never ends"


def _extended_together(engine: MobileAccessGateway) -> set[bytes]:
    """Sessions that are extended with their group when that is due, or is being (RFC 6602)."""
    bulk, together = extension(engine, BulkRegistrationAtMag), set()
    for key, group in () if bulk is None else bulk._groups.items():
        asked = any(purpose == "bulk" and whom == key[0] for purpose, _, whom, _ in engine._requests._outstanding)
        if asked or (bulk is not None and (bulk.name, key) in engine._timers):
            together |= group.members
    return together


def kernel_of_mag(machine: Machine, engine: MobileAccessGateway) -> Iterator[str]:
    """What the kernel of a MAG forwards is what is in its Binding Update List."""
    state = machine.plane.state
    slots: dict[int, object] = {}
    prefixes: dict[Prefix, int] = {}
    uplinks: dict[Prefix, Address | None] = {}
    flows, delegation = extension(engine, FlowMobilityAtMag), extension(engine, DelegationAtMag)
    for session in engine.sessions.values():
        way = slots[session.slot] = state.slots.get(session.slot)
        match way:
            case EnsureDelivery(_, interface, link_layer):
                fits = (interface, link_layer) == (session.interface, session.link_layer)
            case EnsureHold():
                fits = session.presence is not Presence.SERVED
            case _:
                fits = False
        if way is None and session.presence is Presence.REFUSED:
            del slots[session.slot]  # the kernel refused before the LMA did: nothing is forwarded anyway
        elif not fits and session.node not in engine.handovers:
            yield f"{session.node.hex()} {session.presence.value}: its slot leads to {way}"
        retiring = [prefix for prefix in session.retiring if prefix not in engine._foreign]
        delegated = () if delegation is None else delegation._held.get(session.node, ())
        mine = [*session.anchored, *retiring, *delegated]
        prefixes.update(dict.fromkeys(mine, session.slot))
        uplinks.update(dict.fromkeys(mine, engine._tunnel_end(session)))
        if session.visitor is not None:
            prefixes[session.visitor], uplinks[session.visitor] = session.slot, None
    for key, moved in () if flows is None else flows._taken.items():
        prefixes.update(dict.fromkeys(moved, engine.sessions[key].slot))
        uplinks.update(dict.fromkeys(moved, engine._tunnel_end(engine.sessions[key])))
    yield from handover_queues(state, engine)
    yield from forwarding(state, slots, prefixes, uplinks, set())
    if state.logical_interfaces != engine._logical_users.keys():
        yield f"identities {state.logical_interfaces} in the kernel, {set(engine._logical_users)} wanted"


def disk_of_mag(machine: Machine, engine: MobileAccessGateway) -> Iterator[str]:
    """What a MAG would know after a restart is what it knows, but for numbers that are made good then."""
    stored, lasting = sessions_on(machine), {key for key in engine.sessions if not _is_handed_over(engine, key)}
    if not lasting <= stored <= engine.sessions.keys():
        yield f"stores {len(stored)} sessions of {len(engine.sessions)}"
        return
    for key in lasting:
        session = engine.sessions[key]
        kept = BindingUpdateListEntry.restored(key, machine.store[key], 0)
        for name in ("slot", "interface", "presence", "anchored", "identity", "lma", "link_local"):
            if getattr(kept, name) != getattr(session, name):
                yield f"{key.hex()}: stored {name} {getattr(kept, name)} of {getattr(session, name)}"


def _is_handed_over(engine: MobileAccessGateway, node: bytes) -> bool:
    """Whether a node is expected by fast handover, or was and is already elsewhere: nothing of that is kept."""
    handover = engine.handovers.get(node)
    return handover is not None and engine.sessions[node].presence is Presence.DEPARTED


def sessions_on(machine: Machine) -> set[bytes]:
    """What is stored, but for what extensions keep."""
    return {key for key in machine.store if not key.startswith(b"extension/")}
