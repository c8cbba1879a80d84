"""Routers that die and come back (``[failures]``), and what that does to sessions.

A router that dies loses all but its journal: engine, timers, what its kernel forwards. Nobody is told. What happens
then is what the engines do about it, which are those of the daemon, with liveness (`sojourn.engines.liveness`) and, if
the scenario says so, with a partner for each pool (`sojourn.engines.maar_stand_in`).

Whether packets reach a node is looked up in what its routers would have in their kernels (`MemoryDataplane`), every 10
ms around a death or a return and every 50 ms otherwise: from the router that the network leads the anchor's pool to,
through its tunnels, to the router where the node is, and back. The network itself turns at once, so what a routing
protocol takes comes on top. A node at a router that is dead stays there, and comes up again with it; real hosts would
look for another one.

A session is *hit* when it lives and its anchor dies (`elsewhere`: its node is at another router), or the router where
its node is (`here`), or when its node moves to a dead one (`here`, too). It is *lost* when it stands still for longer
than ``gives_up``, or until its end; *kept* otherwise, and then its *silence* is all the time for which it stood still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np

from sojourn.core.clock import Timers
from sojourn.core.effects import (
    Advertise,
    DeleteBinding,
    Effect,
    EnsureDelivery,
    EnsurePool,
    EnsureTunnel,
    EnsureUplink,
    ForwardingEffect,
    Report,
    StoreBinding,
)
from sojourn.core.events import Event, NodeSeen, Sighting
from sojourn.dataplane.memory import MemoryDataplane
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.sim.figures import OutageFigures
from sojourn.sim.ledger import PURPOSE_BITS, Purpose
from sojourn.sim.protocol import Failures
from sojourn.sim.roles import INTERFACE, READ, TIME, AnchorRouter, Hosted, Role, identifier, link_layer
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

if TYPE_CHECKING:
    from sojourn.sim.world import World

_FAST, _SLOW = 10 * MILLISECOND, 50 * MILLISECOND
_BUSY = 3 * SECOND
"""After a death or a return things change for so long."""
_SETTLED = 10 * SECOND
"""After a return, and the time for which nobody trusts it, nothing changes any more."""
_FORWARDING = frozenset(get_args(ForwardingEffect))
_ATTRIBUTED = frozenset({Advertise, EnsureUplink, EnsureTunnel, Report})
"""Effects that say when an attachment got something."""


class Outage(NamedTuple):
    """One router is away."""

    place: int
    begin: Instant
    end: Instant | None
    """None: it stays dead."""


def drawn(told: Failures, places: Iterable[int], begin: Instant, end: Instant, seed: int) -> list[Outage]:
    """The outages from `begin` until `end`, of routers at `places`: as written, or from the seed."""
    there = sorted(places)
    candidates = [place for place in told.routers if place in there] if told.routers else there
    deaths: list[tuple[Instant, int]] = []
    if told.every:
        random, at = Random(f"outages {seed}"), float(begin)
        while candidates and (at := at + random.expovariate(1.0) * told.every) < end:
            deaths.append((int(at), random.choice(candidates)))
    else:
        times, routers = told.at, told.routers
        most = max(len(times), len(routers))
        pairs = zip(times * (most // len(times)), routers * (most // len(routers)), strict=True)
        deaths = sorted((at, place) for at, place in pairs if place in there and at < end)
    found: list[Outage] = []
    back: dict[int, Instant | None] = {}
    for at, place in deaths:
        until = back.get(place, at)
        if until is not None and until <= at:  # else it is dead already
            back[place] = at + told.lasting if told.lasting else None
            found.append(Outage(place, at, back[place]))
    return found


class _Gone:
    """In place of the engine of a router that is dead."""

    def deadline(self) -> None:
        """Never."""


def _deaf(event: Event, now: Instant) -> tuple[Effect, ...]:
    return ()


class MortalRole(Role):
    """A role with a kernel and a journal, that can die."""

    def __init__(self, world: World, engine: Hosted, *rest: Any) -> None:
        super().__init__(world, engine, *rest)
        engine.stores = True
        self.plane = MemoryDataplane()
        self.taken = 0
        """Pools that were led here."""
        self._journal: dict[bytes, bytes] = {}

    def die(self) -> None:
        """Nobody is here any more."""
        self.plane = MemoryDataplane()
        self.engine, self._handle, self._timers = _Gone(), _deaf, Timers()  # type: ignore[assignment]

    def begin_anew(self, engine: Hosted, now: Instant) -> None:
        """Another life, with what the journal has."""
        engine.stores, engine.reports = True, READ
        self.engine, self._handle, self._timers = engine, engine.handle, engine.timers
        self._carry_out(engine.restore(sorted(self._journal.items()), now), now, TIME)

    def _carry_out(self, effects: Iterable[Effect], now: Instant, cause: int) -> None:
        effects = list(effects)
        for effect in effects:
            match effect:
                case StoreBinding(key, record):
                    self._journal[key] = record
                case DeleteBinding(key):
                    self._journal.pop(key, None)
                case _ if type(effect) in _FORWARDING:
                    self.taken += isinstance(effect, EnsurePool) and effect.pool not in self.plane.state.pools
                    self.plane.apply(effect)  # type: ignore[arg-type]
        if cause < 0 or cause & (1 << PURPOSE_BITS) - 1 == Purpose.SURVIVAL:  # then it is no attachment's
            effects = [effect for effect in effects if type(effect) not in _ATTRIBUTED]
        super()._carry_out(effects, now, cause)


class MortalRouter(AnchorRouter):
    """A MAAR that can die; `make` makes the engine of its next life."""

    role: MortalRole

    def __init__(self, world: World, make: Callable[[], MobilityAnchorAccessRouter], address: Address, place: int):
        super().__init__(world, make(), address, place, MortalRole)
        self.alive = True
        self._make = make
        self._owned: dict[int, Prefix] = {}
        """Prefixes of nodes by the memory of the life before."""
        self._missed: list[int] = []
        """Nodes whose prefix was to retire meanwhile."""

    def own(self, node: int) -> Prefix | None:
        """The prefix that this router gave to the node."""
        session: Any = self._sessions.get(identifier(node))
        return self._owned.get(node) if session is None else session.own

    def die(self, nodes: Iterable[int]) -> None:
        """Of `nodes` somebody wants to know the prefixes still."""
        self._owned = {node: own for node in nodes if (own := self.own(node)) is not None}
        self.alive = False
        self._sessions = {}
        self.role.die()

    def come_back(self, now: Instant, nodes: Iterable[int]) -> None:
        """Power is there again; `nodes` are at its link, and it sees them."""
        engine = self._make()
        self.alive, self._sessions = True, engine.sessions
        self.role.begin_anew(engine, now)
        for node in nodes:
            sighting = NodeSeen(INTERFACE, link_layer(node), Sighting.STATION)
            self.tell(now, sighting, self.world.turn_of(node) << PURPOSE_BITS)
        missed, self._missed = self._missed, []
        for node in missed:
            self.retire(now, node, TIME)

    def attach(self, now: Instant, node: int, turn: int) -> None:
        """See `AccessRouter.attach`."""
        super().attach(now, node, turn)
        if not self.alive and self.world.outages is not None:
            self.world.outages.strand(node, self.place, now)

    def retire(self, now: Instant, node: int, _: int) -> None:
        """See `AnchorRouter.retire`."""
        if self.alive:
            super().retire(now, node, _)
        else:
            self._missed.append(node)


class _Hit:
    """A session that may stand still."""

    __slots__ = ("anchor", "end", "here", "node", "prefix", "run", "silent", "since")

    def __init__(self, node: int, anchor: int, prefix: Prefix, since: Instant, end: Instant, here: bool) -> None:
        self.node, self.anchor, self.prefix = node, anchor, prefix
        self.since, self.end, self.here = since, end, here
        self.silent: Duration = 0
        """All together."""
        self.run: Duration = 0
        """Since it was last heard."""


class Outages:
    """What dies in a world, and what comes of it: `figures`."""

    def __init__(self, world: World, told: Failures, routers: dict[int, MortalRouter]) -> None:
        self.figures = OutageFigures()
        self._world, self._told, self._routers = world, told, routers
        self._by_address = {router.role.address: router for router in routers.values()}
        self._hits: dict[int, _Hit] = {}
        """By the number of the session."""
        self._busy: Instant = 0
        self._settled: Instant = 0
        self._looking = False
        self._looked: Instant = 0

    def plan(self, outages: Iterable[Outage]) -> None:
        """These will be."""
        for outage in outages:
            self._world.kernel.schedule(outage.begin, self._die, outage, TIME)

    def _die(self, now: Instant, outage: Outage, _: int) -> None:
        router = self._routers[outage.place]
        sessions = self._world.sessions
        alive = (sessions.begin <= now) & (sessions.end > now)
        there = [node for node in np.unique(sessions.node[alive]).tolist() if self._world.is_at(node, outage.place)]
        hit = alive & ((sessions.anchor == outage.place) | np.isin(sessions.node, there))
        self._watch(np.flatnonzero(hit).tolist(), outage.place, now)
        router.die(np.unique(sessions.node[sessions.anchor == outage.place]).tolist())
        self.figures.deaths += 1
        self._busy = max(self._busy, now + _BUSY)
        back = now if outage.end is None else outage.end
        self._settled = max(self._settled, back + self._told.hold + _SETTLED)
        if outage.end is not None:
            self._world.kernel.schedule(outage.end, self._come_back, outage.place, TIME)

    def _come_back(self, now: Instant, place: int, _: int) -> None:
        self._busy = max(self._busy, now + self._told.hold + _BUSY)
        self._routers[place].come_back(now, self._world.nodes_at(place))

    def strand(self, node: int, place: int, now: Instant) -> None:
        """It has come to a router that is dead."""
        sessions = self._world.sessions
        first, last = np.searchsorted(sessions.node, (node, node + 1))
        alive = (sessions.begin[first:last] <= now) & (sessions.end[first:last] > now)
        self._watch((first + np.flatnonzero(alive)).tolist(), place, now)

    def _watch(self, numbers: Iterable[int], dead: int, now: Instant) -> None:
        sessions = self._world.sessions
        for number in numbers:
            node, anchor = int(sessions.node[number]), int(sessions.anchor[number])
            place, prefix = self._world.place_of(node), self._routers[anchor].own(node)
            if number in self._hits:
                self._hits[number].here |= place == dead
            if number in self._hits or place is None or prefix is None:
                continue
            self._hits[number] = _Hit(node, anchor, prefix, now, int(sessions.end[number]), place == dead)
        if self._hits and not self._looking:
            self._looking, self._looked = True, now
            self._world.kernel.schedule(now + _FAST, self._look, None, TIME)

    def _look(self, now: Instant, _: None, __: int) -> None:
        step, self._looked = now - self._looked, now
        for number, hit in list(self._hits.items()):
            self._look_at(number, hit, now, step)
        self._looking = bool(self._hits)
        if self._looking:
            self._world.kernel.schedule(now + (_FAST if now < self._busy else _SLOW), self._look, None, TIME)

    def _look_at(self, number: int, hit: _Hit, now: Instant, step: Duration) -> None:
        if now >= hit.end:
            self._decide(number, kept=not hit.run)
        elif (place := self._world.place_of(hit.node)) is None:
            hit.run = 0  # out of the domain
        elif self._arrives(hit, place):
            hit.run = 0
            if now >= max(self._settled, hit.since + _SETTLED):
                self._decide(number, kept=True)
        else:
            hit.silent += step
            hit.run += step
            if hit.run > self._told.gives_up:
                self._decide(number, kept=False)

    def _decide(self, number: int, *, kept: bool) -> None:
        hit, figures = self._hits.pop(number), self.figures
        if hit.here:
            figures.here += 1
            figures.here_lost += not kept
            silence = figures.here_silence
        else:
            figures.elsewhere += 1
            figures.elsewhere_lost += not kept
            silence = figures.elsewhere_silence
        if kept:
            silence.add(np.array([hit.silent], np.int64))

    def finish(self) -> None:
        """The simulation ends."""
        for number, hit in list(self._hits.items()):
            self._decide(number, kept=not hit.run)
        self.figures.takeovers = sum(router.role.taken for router in self._routers.values())

    def _arrives(self, hit: _Hit, place: int) -> bool:
        """Whether packets for it come to `place`, where the node is, and its own have a way."""
        *_, last = (None, *self._passed(hit))
        if last is None or last.place != place:
            return False
        way = last.role.plane.way(hit.prefix)
        if not isinstance(way, EnsureDelivery) or way.link_layer != link_layer(hit.node):
            return False
        uplink = last.role.plane.state.uplinks.get(hit.prefix)
        return uplink is None or self._by_address[uplink].alive

    def _passed(self, hit: _Hit) -> Iterator[MortalRouter]:
        """Routers that a packet comes to, one after the other."""
        holders = (
            one
            for one in self._routers.values()
            if any(pool.contains(hit.prefix) for pool in one.role.plane.state.pools)
        )
        at: MortalRouter | None = next(holders, self._routers[hit.anchor])
        seen: set[int] = set()
        while at is not None and at.alive and at.place not in seen:
            seen.add(at.place)
            yield at
            plane = at.role.plane
            way = plane.way(hit.prefix)
            if way is None:
                way = next((plane.way(pool) for pool in plane.state.pools if pool.contains(hit.prefix)), None)
            at = self._by_address.get(way.remote) if isinstance(way, EnsureTunnel) else None
