"""What must be true of a domain: at any moment, when it is quiet, and when all nodes are gone.

Each checker answers with the faults that it found, as sentences; none is good news.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from sojourn.core.effects import EnsureDelivery, EnsureHold, EnsureTunnel
from sojourn.engines.database_entry import BindingCacheEntry
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.maar_registration import FORGETFUL
from sojourn.engines.maar_session import Presence
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.engines.retransmission import Key
from sojourn.wire.addresses import Address, Prefix, text
from support.domain import Domain, Member, node, router


def loops(domain: Domain) -> list[str]:
    """A packet to any prefix enters at the MAAR that anchors it, and is delivered or dropped after a few tunnels."""
    faults = []
    planes = {member.engine.configuration.address: member.plane for member in _maars(domain)}
    for member in _maars(domain):
        for prefix in member.plane.state.prefixes:
            if not member.engine.pool.owns(prefix):
                continue
            at = member.engine.configuration.address
            visited = [at]
            while isinstance(way := planes[at].way(prefix), EnsureTunnel):
                at = way.remote
                if at in visited:
                    faults.append(f"{prefix} loops: {' '.join(text(hop) for hop in [*visited, at])}")
                    break
                visited.append(at)
    return faults


def owners(domain: Domain) -> list[str]:
    """No prefix is anchored for two nodes, nor at two MAARs."""
    faults = []
    known: dict[Prefix, str] = {}
    for member in _maars(domain):
        for session in member.engine.sessions.values():
            for prefix in member.engine._anchored_here(session):
                if prefix in known:
                    faults.append(f"{prefix} is anchored twice: {known[prefix]} and {member.name}")
                known[prefix] = member.name
    return faults


def entries(domain: Domain) -> dict[bytes, BindingCacheEntry]:
    """What the CMD knows, or, if there are several, what is in their store."""
    if len(domain.databases) < 2:
        return domain.cmd.entries
    kept = domain.store.kept.items()
    return {key: BindingCacheEntry.restored(key, one.record, domain.now) for key, one in kept}


def latest_wins(domain: Domain, places: dict[str, str | None]) -> list[str]:
    """The CMD knows every node where it really is."""
    faults = []
    known_to_cmd = entries(domain)
    for host, place in places.items():
        entry = known_to_cmd.get(node(host))
        if place is not None and (entry is None or domain.names[entry.serving] != place):
            known = "nowhere" if entry is None else domain.names[entry.serving]
            faults.append(f"{host} is at {place}, and to the CMD {known}")
    return faults


Binding: TypeAlias = tuple[bytes, Prefix, Address, Address]
"""A node, a prefix of it, who anchors that, and who serves the node."""


def routes_equal_bindings(domain: Domain) -> list[str]:
    """What every MAAR forwards is exactly what the bindings of the CMD say, and nobody waits for an answer."""
    known = [
        (entry.node, prefix, anchor, entry.serving)
        for entry in entries(domain).values()
        for prefix, anchor in entry.anchors
    ]
    return routes_equal(domain, known)


def bindings(domain: Domain) -> list[Binding]:
    """What the MAARs that serve nodes, or served them last, know of them."""
    return [
        (session.node, prefix, anchor, member.address)
        for member in _maars(domain)
        for session in member.engine.sessions.values()
        if session.presence is not Presence.AWAY
        for prefix, anchor in [
            *((own, member.address) for own in member.engine._anchored_here(session)),
            *session.anchored.items(),
        ]
    ]


def routes_equal(domain: Domain, known: Iterable[Binding]) -> list[str]:
    """What every MAAR forwards is exactly what these bindings say, and nobody waits for an answer."""
    faults = []
    expected = {member.name: _Expected() for member in _maars(domain)}
    for _, prefix, anchor, serving_address in known:
        serving, home = domain.names[serving_address], domain.names[anchor]
        expected[serving].delivered[prefix] = None if home == serving else anchor
        if home != serving:
            expected[home].tunnelled[prefix] = serving_address
    for member in _maars(domain):
        faults += [f"{member.name}: {fault}" for fault in expected[member.name].compare(member)]
    for member in domain.members.values():
        if waiting(member):
            faults.append(f"{member.name} waits for {waiting(member)}")
    return faults


def nothing_left(domain: Domain) -> list[str]:
    """No node is known, nothing is forwarded, stored, anchored or asked for any more."""
    faults = []
    for name in domain.databases:
        engine = domain.members[name].engine
        if engine.entries or engine._owners:
            faults.append(f"{name} knows {len(engine.entries)} nodes and {len(engine._owners)} owners")
    for name, member in domain.members.items():
        if set(member.store) - {FORGETFUL}:
            faults.append(f"{name} stores {len(member.store)} records")
        if waiting(member):
            faults.append(f"{name} waits for {waiting(member)}")
    for member in _maars(domain):
        state, engine = member.plane.state, member.engine
        left = [state.slots, state.prefixes, state.uplinks, state.counters, state.logical_interfaces]
        left += [engine.sessions, engine._foreign, engine._logical_users]
        pools = [engine.pool]
        if engine.leases is not None:
            left += [engine.leases.shown, engine.leases.offers, engine.dhcp.questions]
            pools += [pool for pool in (engine.leases.ipv4_pool, engine.leases.delegated_pool) if pool is not None]
        if any(left) or any(map(len, pools)):
            faults.append(f"{member.name}: {left}, {[len(pool) for pool in pools]} prefixes in use")
        names = {kind for kind, _ in engine._timers._live if kind not in ("alive", "sharing")}
        if names:
            faults.append(f"{member.name}: timers {names}")
    return faults


def waiting(member: Member) -> list[Key]:
    """What this engine waits for an answer to."""
    engine = member.engine
    assert isinstance(engine, MobilityAnchorAccessRouter | CentralMobilityDatabase)
    return list(engine._requests._outstanding)


class _Expected:
    """What a MAAR should forward."""

    def __init__(self) -> None:
        self.delivered: dict[Prefix, Address | None] = {}
        """Prefixes to the access link, with the anchor for packets from them."""
        self.tunnelled: dict[Prefix, Address] = {}
        """Prefixes through a tunnel to the serving MAAR."""

    def compare(self, member) -> list[str]:  # type: ignore[no-untyped-def]
        faults = []
        state, engine = member.plane.state, member.engine
        absent = [session for session in engine.sessions.values() if not session.interface]
        unseen = {prefix for each in absent for prefix in (*engine._anchored_here(each), *each.anchored)}
        for prefix, anchor in self.delivered.items():
            waits = isinstance(member.plane.way(prefix), EnsureHold) and prefix in unseen  # nobody knows on which link
            if not waits and not isinstance(member.plane.way(prefix), EnsureDelivery):
                faults.append(f"{prefix} is not delivered but {member.plane.way(prefix)}")
            if state.uplinks.get(prefix, "dropped") != anchor:
                faults.append(f"packets from {prefix} go to {state.uplinks.get(prefix, 'nowhere')}")
        for prefix, serving in self.tunnelled.items():
            way = member.plane.way(prefix)
            if not isinstance(way, EnsureTunnel) or way.remote != serving:
                faults.append(f"{prefix} does not go to {text(serving)} but {way}")
            if prefix not in state.counters:
                faults.append(f"{prefix} is not counted")
        for prefix in state.prefixes.keys() - self.delivered.keys() - self.tunnelled.keys():
            faults.append(f"{prefix} is forwarded without a binding: {member.plane.way(prefix)}")
        for prefix in state.uplinks.keys() - self.delivered.keys():
            faults.append(f"packets from {prefix} are accepted without a binding")
        for prefix in state.counters - self.tunnelled.keys():
            faults.append(f"{prefix} is counted without need")
        slots = {session.slot for session in member.engine.sessions.values()}
        for slot in state.slots.keys() - slots:
            faults.append(f"slot {slot} belongs to nobody")
        for session in member.engine.sessions.values():
            if session.presence is Presence.SERVED and not session.confirmed:
                faults.append(f"{session.node.hex()} is served without a binding")
        return faults


def _maars(domain: Domain):  # type: ignore[no-untyped-def]
    return [domain.members[domain.names[router(number)]] for number in domain.numbers]
