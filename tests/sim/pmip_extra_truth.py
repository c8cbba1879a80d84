"""What the extras of an episode promise when it is quiet (see `sim.pmip_extras`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import pairwise

from sim.air import Air, Node
from sim.domain import node
from sim.pmip_domain import PmipDomain
from sim.pmip_extras import visitors
from sim.pmip_leases import LeasingAir
from sim.pmip_ledgers import extension
from sojourn.core.effects import EnsurePaths
from sojourn.engines.lma_delegation import Delegation
from sojourn.engines.lma_localized import LocalizedRouting
from sojourn.engines.mag_delegation import DelegationAtMag
from sojourn.wire.addresses import Address, Prefix


def guest(domain: PmipDomain, each: Node) -> Iterator[str]:
    """RFC 5213 6.14: a node without mobility service has a prefix of the router where it is, and no binding."""
    pool = visitors(int(str(each.place)[3:]))
    if len(each.usable) != 1 or not all(map(pool.contains, each.usable)):
        yield f"{each.name}, a guest of {each.place}, is promised {sorted(each.usable)}"
    if domain.entries(each.name):
        yield f"{each.name} has no mobility service, and a binding"


def more_of(domain: PmipDomain, air: Air, each: Node, extras: Collection[str]) -> list[Prefix]:
    """What a node has besides the prefixes of its binding, and has to be reached at: delegated networks, a lease."""
    found: list[Prefix] = []
    if "delegation" in extras:
        for machine in domain.anchors:
            held = extension(domain.lma(machine), Delegation)
            entries = [one for one in domain.lma(machine).cache.of(domain.identity(each.name)) if not one.waiting]
            found += [prefix for one in entries if held is not None for prefix in held._held.get(one.slot, ())]
    if isinstance(air, LeasingAir) and (lease := air.fresh(each)) is not None:
        found.append(lease)
    return found


def quiet(domain: PmipDomain, extras: Collection[str]) -> Iterator[str]:
    """All of them."""
    if "delegation" in extras:
        yield from _networks(domain)
    if "localized" in extras:
        yield from _shortcuts(domain)
    if "multipath" in extras:
        yield from _spreads(domain)


def _networks(domain: PmipDomain) -> Iterator[str]:
    """RFC 7148: a router has one network, which its LMA and its MAG agree about, and nobody else has."""
    at_lma = {
        (entry.link_layer, domain.world.network.names[entry.gateway]): prefixes
        for machine in domain.anchors
        for entry in domain.lma(machine).cache
        if (prefixes := _delegation(domain, machine)._held.get(entry.slot, ())) and not entry.waiting
    }
    at_mag = {
        (engine.sessions[key].link_layer, machine.name): prefixes
        for machine in domain.gateways
        for engine in (domain.mag(machine),)
        if (held := extension(engine, DelegationAtMag)) is not None
        for key, prefixes in held._held.items()
        if prefixes
    }
    if at_lma != at_mag:
        yield f"networks are delegated to {at_lma} by LMAs, to {at_mag} by MAGs"
    given = [prefix for prefixes in at_lma.values() for prefix in prefixes]
    for one, other in pairwise(sorted(given)):
        if one.contains(other):
            yield f"{other} is delegated twice"


def _delegation(domain: PmipDomain, machine: object) -> Delegation:
    found = extension(domain.lma(machine), Delegation)  # type: ignore[arg-type]
    assert found is not None
    return found


def _shortcuts(domain: PmipDomain) -> Iterator[str]:
    """RFC 6705: mn1 and mn2 meet, if one LMA has both; every shortcut leads to where its node is."""
    for machine in domain.anchors:
        engine = domain.lma(machine)
        routing = extension(engine, LocalizedRouting)
        if routing is None or (node("mn1"), node("mn2")) not in routing._pairs:
            continue  # an operator does not want it any more
        sessions = {entry.node: entry for entry in engine.cache if not entry.waiting}
        one, other = sessions.get(node("mn1")), sessions.get(node("mn2"))
        if one is None or other is None:
            continue
        for start, end in ((one, other), (other, one)):
            place = domain.members[domain.world.network.names[start.source]]
            remote = None if start.source == end.source else end.gateway
            wanted = {(a, b): remote for a in start.home_prefixes for b in end.home_prefixes}
            missing = wanted.items() - place.plane.state.shortcuts.items()
            if missing:
                yield f"{place.name}: no shortcuts {missing}, but {place.plane.state.shortcuts}"
    owners = {
        prefix: entry
        for machine in domain.anchors
        for entry in domain.lma(machine).cache
        if not entry.waiting
        for prefix in entry.home_prefixes
    }
    for place in domain.gateways:
        for (source, destination), remote in place.plane.state.shortcuts.items():
            start, end = owners.get(source), owners.get(destination)
            here = start is not None and start.source == place.address
            leads: Address | None = None if end is not None and end.source == place.address else remote
            if not here or end is None or (leads is not None and leads != end.gateway):
                yield f"{place.name}: a shortcut from {source} to {destination} by {remote} is wrong"


def _spreads(domain: PmipDomain) -> Iterator[str]:
    """RFC 8278: both ends know the same paths."""
    for machine in domain.anchors:
        for entry in domain.lma(machine).cache:
            if entry.waiting:
                continue
            place = domain.members[domain.world.network.names[entry.source]]
            way = machine.plane.state.slots.get(entry.slot)
            paths = set(way.remotes) if isinstance(way, EnsurePaths) else {entry.gateway}
            for prefix in entry.home_prefixes:
                spread = place.plane.state.spreads.get(prefix)
                if (set(spread) if spread else {place.address}) != paths:
                    yield f"{prefix}: {machine.name} knows the paths {paths}, {place.name} {spread}"
