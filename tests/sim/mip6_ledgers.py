"""Whether the tables of home agents, mobile nodes and correspondent nodes agree with each other, with kernel and disk.

As `sim.ledgers`: a table that is compared cannot grow in secret.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.ledgers import forwarding, numbers, timers
from sim.mip6_host import HostMachine
from sojourn.core.effects import EnsureDelivery, EnsureTunnel
from sojourn.engines.care_of_ways import WAYS_MAX, best
from sojourn.engines.cn import CorrespondentNode
from sojourn.engines.ha import HomeAgent
from sojourn.engines.ha_entry import BindingCacheEntry, BindingState
from sojourn.engines.home_agents import AGENTS_MAX
from sojourn.engines.mn import MobileNode
from sojourn.engines.mn_state import DIRECT, Place
from sojourn.wire.addresses import Prefix, text

_OF_BINDINGS = frozenset({"expiry", "probe", "refresh", "prefixes", "switch", "repair", "store"})
_OF_HOMES = frozenset({"again", "refresh", "expiry", "dhaad", "solicit", "solicit-later", "repair", "changeover"})
_OF_PAIRS = frozenset({"test", "test-later", "direct-refresh", "direct-expiry", "direct-retry"})


def ha(engine: HomeAgent) -> Iterator[str]:
    """The tables of a home agent."""
    cache, configuration = engine.cache, engine.configuration
    if len(cache) > configuration.bindings:
        yield f"{len(cache)} bindings, {configuration.bindings} allowed"
    yield from numbers(engine._slots, [entry.slot for entry in cache.values()])
    active = {home for home, entry in cache.items() if entry.state is BindingState.ACTIVE}
    tested = {address: home for home, entry in cache.items() for address in entry.unprobed}
    if tested != engine._probing:
        yield f"tests {engine._probing}, waits for {tested}"
    for home, entry in cache.items():
        needed = "probe" if entry.unprobed else "expiry"
        if (needed, home) not in engine._timers:
            yield f"{text(home)} {entry.state.value}: its binding never ends"
    if len(engine._accepted) > len(configuration.nodes):
        yield f"{len(engine._accepted)} timestamps of {len(configuration.nodes)} nodes"
    if not engine._delivered.keys() | engine._switching.keys() <= active:
        yield f"tells {set(engine._delivered)} and {set(engine._switching)}, has {active}"
    if len(engine.agents) > AGENTS_MAX:
        yield f"{len(engine.agents)} home agents"
    yield from timers(engine, _OF_BINDINGS, cache)
    owners: dict[Prefix, bytes] = {}
    for home in active:
        for network in cache[home].networks:
            if network in owners:
                yield f"{network} belongs to two nodes"
            owners[network] = home


def kernel_of_ha(machine: HostMachine, engine: HomeAgent) -> Iterator[str]:
    """Packets of a binding go to its care-of address, are taken from it, and are intercepted; nothing else is."""
    state = machine.plane.state
    slots: dict[int, object] = {}
    prefixes: dict[Prefix, int] = {}
    proxies, ends = set(), set()
    flows: dict[object, object] = {}
    for entry in engine.cache.values():
        if entry.state is BindingState.ACTIVE:
            slots[entry.slot] = EnsureTunnel(entry.slot, entry.care_of)
            if entry.at_home_first:
                slots[entry.slot] = EnsureDelivery(entry.slot, engine.configuration.interface, entry.link_layer)
            prefixes.update(dict.fromkeys(entry.networks, entry.slot))
            if not entry.yielded:
                proxies.update((address,) for address in entry.defended if address not in entry.unprobed)
            ends.update((entry.slot, end) for end in entry.tunnel_ends)
            if entry.steered:
                flows[entry.slot,] = entry.steered
        elif entry.slot in state.slots:  # nothing leads to it
            slots[entry.slot] = state.slots[entry.slot]
    yield from forwarding(state, slots, prefixes, {}, set())
    for kind, wanted in (("proxy", proxies), ("end", ends)):
        found = machine.host.of(kind).keys()
        if found != wanted:
            yield f"{kind}: {sorted(found - wanted)} too many, {sorted(wanted - found)} missing"
    if machine.host.of("flows") != flows:
        yield f"flows {machine.host.of('flows')}, bound {flows}"


def disk_of_ha(machine: HostMachine, engine: HomeAgent) -> Iterator[str]:
    """What a home agent would know after a restart is what it knows."""
    active = {home: entry for home, entry in engine.cache.items() if entry.state is BindingState.ACTIVE}
    if not engine.configuration.stores:
        active = {}
    if machine.store.keys() != active.keys():
        yield f"stores {len(machine.store)} bindings of {len(active)}"
        return
    for home, entry in active.items():
        stored = BindingCacheEntry.restored(home, machine.store[home], entry.node, 0)
        for name in ("slot", "care_of", "sequence", "flags", "prefixes", "ways", "link_layer", "flows"):
            if getattr(stored, name) != getattr(entry, name):
                yield f"{text(home)}: stored {name} {getattr(stored, name)} of {getattr(entry, name)}"


def mn(engine: MobileNode, machines: int) -> Iterator[str]:
    """The tables of a mobile node."""
    homes, pairs, configuration = engine.homes, engine.correspondents, engine.configuration
    if len(pairs) > configuration.correspondents:
        yield f"{len(pairs)} correspondents"
    if not engine._tests_sent.keys() <= {correspondent for _, correspondent in pairs}:
        yield f"remembers tests of {len(engine._tests_sent)} correspondents, has {len(pairs)}"
    if sum(entry.local for entry in homes.values()) > configuration.anchors_max:
        yield "too many local home addresses"
    if len(engine.abandoned) > configuration.anchors_max or engine.abandoned.keys() & homes.keys():
        yield f"gave up {len(engine.abandoned)} local home addresses"
    ways = {way.name for peer in pairs.values() for way in peer.ways.values()}
    for purpose, home, correspondent, number in engine._requests._outstanding:
        known = (home, correspondent, number) in ways if purpose == DIRECT else home in homes
        if not known:
            yield f"asks for {text(home)}, which it does not have"
    if len(engine._requests._round_trips) > 4 * machines:
        yield f"{len(engine._requests._round_trips)} round trips known"
    for pair in pairs:
        if pair[0] not in homes:
            yield f"a correspondent of {text(pair[0])}, which it does not have"
    yield from timers(engine, _OF_HOMES, homes)
    for pair, peer in pairs.items():
        if not peer.ways or len(peer.ways) > len(engine.links) + 1:
            yield f"{len(peer.ways)} care-of addresses at a correspondent of {text(pair[0])}"
    yield from timers(engine, _OF_PAIRS, ways)
    yield from timers(engine, frozenset({"direct-repair"}), pairs)
    routers = {(interface, router) for interface, link in engine.links.items() for router in link.routers}
    yield from timers(engine, frozenset({"router", "router-end"}), routers)


def kernel_of_mn(machine: HostMachine, engine: MobileNode) -> Iterator[str]:
    """Nothing leaves with a home address but through the tunnel or at home; the direct way is what was agreed."""
    out = machine.host.of("out")
    for home, entry in engine.homes.items():
        way = out.get((home,), "open")
        match entry.place:
            case Place.AWAY:
                tunnel = entry.care_of, entry.agent
                fits = way == tunnel if entry.registered == entry.care_of is not None else way in (None, tunnel)
                if entry.beside and way == "open":  # by the home link, which it is on as well
                    _, ways, _ = machine.host.held.get(("ways", home), (b"", (), ()))
                    fits = home in [known.care_of_address for known in ways]
            case Place.NOWHERE:
                resumed = isinstance(way, tuple) and entry.bound(engine._now)  # as an earlier life left it
                fits = way is None or resumed or (entry.local and way == "open")
            case Place.RETURNING:
                fits = way == "open"
            case _:
                fits = way == "open" or not entry.arrived
        if not fits:
            yield f"{text(home)} {entry.place.value}: its packets go {way}"
    if not {home for (home,) in out} <= engine.homes.keys():
        yield f"ways from {len(out)} home addresses, has {len(engine.homes)}"
    direct = {pair: known.using for pair, known in engine.correspondents.items() if known.using is not None}
    if machine.host.of("direct") != direct:
        yield f"direct ways {machine.host.of('direct')}, agreed {direct}"


def cn(engine: CorrespondentNode) -> Iterator[str]:
    """The tables of a correspondent node."""
    if len(engine.cache) > engine.configuration.bindings:
        yield f"{len(engine.cache)} bindings"
    for home in engine.cache:
        if ("expiry", home) not in engine._timers:
            yield f"{text(home)}: its binding never ends"
    for home, entry in engine.cache.items():
        if entry.ways.keys() != entry.ends.keys() or not entry.ways.keys() <= entry.sequences.keys():
            yield f"{text(home)}: care-of addresses {set(entry.ways)}, ends {entry.ends}, numbers {entry.sequences}"
        if len(entry.sequences) > WAYS_MAX:
            yield f"{text(home)}: {len(entry.sequences)} identifiers"
        if not entry.ended and entry.ways and entry.care_of != best(entry.ways):
            yield f"{text(home)}: packets do not go to the best"
    if not engine._asking <= engine.cache.keys():
        yield "counts packets of nobody"
    yield from timers(engine, frozenset({"expiry", "refresh"}), engine.cache)


def kernel_of_cn(machine: HostMachine, engine: CorrespondentNode) -> Iterator[str]:
    """Packets go directly where a binding says so, and nowhere else."""
    active = {home: entry for home, entry in engine.cache.items() if not entry.ended}
    routes = {(home,): entry.care_of for home, entry in active.items()}
    also = {(home,): entry.route.also for home, entry in active.items() if entry.route.also}
    if (machine.host.of("route"), machine.host.of("also")) != (routes, also):
        yield f"routes {machine.host.of('route')} {machine.host.of('also')}, bindings {routes} {also}"
    counters = {entry.counted for entry in active.values()} if engine.configuration.refresh else set()
    counters &= machine.plane.state.counters  # one that the kernel refused is missed by nobody
    yield from forwarding(machine.plane.state, {}, {}, {}, counters)
