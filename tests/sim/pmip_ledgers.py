"""Whether the tables of an LMA or a MAG agree with each other, with its kernel, its disk and its limits, at any moment.

As `sim.ledgers`, which has what all access routers share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sim.ledgers import access, forwarding, numbers, timers
from sim.world import Machine
from sojourn.core.effects import EnsureDelivery, EnsureHold, EnsureTunnel
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.engines.mag import MobileAccessGateway
from sojourn.engines.mag_session import BindingUpdateListEntry, Presence
from sojourn.wire.addresses import Address, Prefix

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
    if set(owners) != {prefix for pool in engine.prefixes._pools for prefix in pool._used}:
        yield f"{sorted(owners)} are used, and other prefixes are taken from the pools"
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
    for node in engine._pending:
        if ("assign", node) not in engine._timers:
            yield f"{node.hex()} waits without an end"
    if len(engine.heard) > machines:
        yield f"heard {len(engine.heard)}"
    yield from timers(engine, frozenset({"expiry", "repair"}), {entry.slot for entry in entries})
    yield from timers(engine, frozenset({"assign"}), engine._pending)


def kernel_of_lma(machine: Machine, engine: LocalMobilityAnchor) -> Iterator[str]:
    """The tunnel of a session leads to the MAG whose registration was accepted last; a node that left has no way."""
    state = machine.plane.state
    slots: dict[int, object] = {}
    prefixes: dict[Prefix, int] = {}
    counters: set[Prefix] = set()
    for entry in engine.cache:
        if not entry.waiting:
            slots[entry.slot] = EnsureTunnel(entry.slot, entry.gateway)
            prefixes.update(dict.fromkeys(entry.prefixes, entry.slot))
            counters.update(entry.prefixes)
            continue
        if entry.slot in state.slots:  # without a way to the prefixes it does not matter where it leads
            slots[entry.slot] = state.slots[entry.slot]
        counters.update(state.counters.intersection(entry.prefixes))
    yield from forwarding(state, slots, prefixes, {}, counters)


def disk_of_lma(machine: Machine, engine: LocalMobilityAnchor) -> Iterator[str]:
    """What an LMA would know after a restart is what it knows, but for what each refresh changes."""
    if machine.store.keys() != {entry.key for entry in engine.cache}:
        yield f"stores {len(machine.store)} sessions of {len(engine.cache)}"
        return
    for entry in engine.cache:
        stored = BindingCacheEntry.restored(entry.key, machine.store[entry.key], 0)
        for name in ("node", "gateway", "source", "prefixes", "link_layer", "technology", "link_local", "waiting"):
            if getattr(stored, name) != getattr(entry, name):
                yield f"{entry.node.hex()}: stored {name} {getattr(stored, name)} of {getattr(entry, name)}"


def mag(engine: MobileAccessGateway, machines: int) -> Iterator[str]:
    """The tables of a MAG in a domain of so many machines."""
    yield from access(engine, machines, _ENDS_IT)
    if len(engine._hints) > machines:
        yield f"{len(engine._hints)} hints"
    for session in engine.sessions.values():
        if session.presence is Presence.SERVED and session.confirmed and ("expiry", session.node) not in engine._timers:
            yield f"{session.node.hex()}: its binding never ends"


def kernel_of_mag(machine: Machine, engine: MobileAccessGateway) -> Iterator[str]:
    """What the kernel of a MAG forwards is what is in its Binding Update List."""
    state = machine.plane.state
    slots: dict[int, object] = {}
    prefixes: dict[Prefix, int] = {}
    uplinks: dict[Prefix, Address | None] = {}
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
        elif not fits:
            yield f"{session.node.hex()} {session.presence.value}: its slot leads to {way}"
        prefixes.update(dict.fromkeys(session.anchored, session.slot))
        uplinks.update(session.anchored)
    yield from forwarding(state, slots, prefixes, uplinks, set())
    if state.logical_interfaces != engine._logical_users.keys():
        yield f"identities {state.logical_interfaces} in the kernel, {set(engine._logical_users)} wanted"


def disk_of_mag(machine: Machine, engine: MobileAccessGateway) -> Iterator[str]:
    """What a MAG would know after a restart is what it knows, but for numbers that are made good then."""
    if machine.store.keys() != engine.sessions.keys():
        yield f"stores {len(machine.store)} sessions of {len(engine.sessions)}"
        return
    for key, session in engine.sessions.items():
        stored = BindingUpdateListEntry.restored(key, machine.store[key], 0)
        for name in ("slot", "interface", "presence", "anchored", "identity", "lma", "link_local"):
            if getattr(stored, name) != getattr(session, name):
                yield f"{key.hex()}: stored {name} {getattr(stored, name)} of {getattr(session, name)}"
