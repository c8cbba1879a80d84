"""What must be true of a domain of RFC 5213 when it is quiet; each checker answers with the faults that it found."""

from __future__ import annotations

from sojourn.core.effects import EnsureDelivery, EnsureTunnel
from sojourn.engines.access_session import Presence
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.mag import MobileAccessGateway
from support.pmip import ProxyDomain


def faults(domain: ProxyDomain) -> list[str]:
    """All of them."""
    return [*_anchors(domain), *_gateways(domain), *_agreement(domain), *_bookkeeping(domain)]


def _anchors(domain: ProxyDomain) -> list[str]:
    """A prefix has one session, and packets to it go where that session is, or nowhere."""
    found = []
    for name in domain.lma_configurations:
        engine, plane = _lma(domain, name), domain.plane(name)
        expected = {each: entry for entry in engine.cache for each in entry.prefixes if not entry.waiting}
        if len(expected) != sum(len(entry.prefixes) for entry in engine.cache if not entry.waiting):
            found.append(f"{name}: a prefix has two sessions")
        for prefix, entry in expected.items():
            if plane.way(prefix) != EnsureTunnel(entry.slot, entry.gateway):
                found.append(f"{name}: {prefix} goes to {plane.way(prefix)}")
        for prefix in plane.state.prefixes.keys() - expected.keys():
            found.append(f"{name}: {prefix} is forwarded without a binding")
    return found


def _gateways(domain: ProxyDomain) -> list[str]:
    """What a MAG forwards is what is in its Binding Update List."""
    found = []
    for name in domain.mag_configurations:
        engine, plane = domain.mag(name), domain.plane(name)
        expected = {
            prefix: (session, anchor)
            for session in engine.sessions.values()
            for prefix, anchor in session.anchored.items()
        }
        for prefix, (session, anchor) in expected.items():
            if plane.way(prefix) != EnsureDelivery(session.slot, session.interface, session.link_layer):
                found.append(f"{name}: {prefix} is not delivered but {plane.way(prefix)}")
            if plane.state.uplinks.get(prefix) != anchor:
                found.append(f"{name}: packets from {prefix} go to {plane.state.uplinks.get(prefix)}")
        for prefix in plane.state.prefixes.keys() - expected.keys():
            found.append(f"{name}: {prefix} is forwarded without an entry")
    return found


def _agreement(domain: ProxyDomain) -> list[str]:
    """Each active session is at the MAG that the LMA believes, with the same prefixes, and is confirmed there."""
    found = []
    for name in domain.lma_configurations:
        for entry in _lma(domain, name).cache:
            if entry.waiting:
                continue
            place = domain.names[entry.source]
            sessions = [
                session
                for session in domain.mag(place).sessions.values()
                if session.identity == entry.node and set(session.anchored) == set(entry.prefixes)
            ]
            if len(sessions) != 1 or not sessions[0].confirmed:
                found.append(f"{name}: {entry.node.hex()} is not at {place}")
    for place in domain.mag_configurations:
        for session in domain.mag(place).sessions.values():
            if session.presence is Presence.SERVED and not session.confirmed:
                found.append(f"{place}: {session.node.hex()} is served without a binding")
    return found


def _bookkeeping(domain: ProxyDomain) -> list[str]:
    """Nobody waits for an answer, and what is stored is what is known."""
    found = []
    for name, member in domain.members.items():
        engine = member.engine
        if isinstance(engine, LocalMobilityAnchor):
            known = {entry.key for entry in engine.cache}
            slots = {entry.slot for entry in engine.cache if not entry.waiting} - member.plane.state.slots.keys()
            used = sum(len(entry.prefixes) for entry in engine.cache)
            if engine._pending or slots or sum(len(pool) for pool in engine.prefixes._all) != used:
                found.append(f"{name}: {len(engine._pending)} wait, {slots} without a way, {used} prefixes in use")
        else:
            assert isinstance(engine, MobileAccessGateway)
            known = set(engine.sessions)
            if len(engine._requests):
                found.append(f"{name}: {len(engine._requests)} requests without an answer")
        if {key for key in member.store if not key.startswith(b"extension/")} != known:
            found.append(f"{name}: stores {len(member.store)} of {len(known)}")
    return found


def _lma(domain: ProxyDomain, name: str) -> LocalMobilityAnchor:
    engine = domain.members[name].engine
    assert isinstance(engine, LocalMobilityAnchor)
    return engine
