"""The cast of several CMDs on one store, which is slow, refuses, loses answers, and fails (`stores.SharedStore`).

A store does not lose what it said it has: that is what its standby is for. What it can do to a CMD is to be late, to
refuse for a while, and to carry something out and not say so: then the CMD asks again, and finds its own version there
(`PostgresStore`). A primary may die: of what it was asked and did not answer each part is kept, or is lost and asked
again, and until its standby is promoted nothing is answered; the store may be in two halves, which fail apart. Who had
a binding before may not be told that another one has it now. The network between the CMDs and their MAARs is cut into
two halves, each with a CMD that reaches the store. The clocks of the CMDs agree, as the documents ask for.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from sim.air import Air
from sim.clock import Clock
from sim.dmm import Dmm
from sim.dmm_truth import DmmTruth
from sim.domain import CmdEngine, DmmDomain, MaarEngine
from sim.paths import Paths
from sim.world import World
from sojourn.core.effects import DeleteBinding, StoreBinding, StoreEffect
from sojourn.core.events import BindingChanged
from sojourn.engines.configuration import Mode
from sojourn.engines.database_entry import BindingCacheEntry
from sojourn.engines.maar_direct import access_router
from sojourn.engines.maar_registration import REFUSING
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.stores.shared_memory import SharedMemory, SharedMemoryView, latest
from sojourn.wire import BindingAcknowledgement, BindingUpdate, MobileNodeIdentifier, Timestamp
from sojourn.wire.addresses import Prefix
from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant
from support import checkers

_SWEEP = 2 * SECOND
"""Between two looks for what is over, as `PostgresStore.watch` has them."""


_ASKED_AGAIN = 300 * MILLISECOND
"""When an answer is missed, and had."""


class _Disciplined(Clock):
    """Nobody sets it, and it does not drift."""

    def step(self, by: Duration) -> None:
        pass

    def run_at(self, rate: int, now: Instant) -> None:
        pass


class Unreliable(SharedMemory):
    """A store that takes up to `slow` for everything, and loses one answer in `loses`."""

    def __init__(self, world: World, dice: random.Random) -> None:
        super().__init__(lambda: world.now)
        self.deleted: set[bytes] = set()
        """Keys that were deleted since the last look."""
        self.best: dict[bytes, int] = {}
        """The latest attachment of each node that was ever durable, or its end, where a CMD wrote both at once."""
        self.world, self.dice = world, dice
        self.slow = dice.choice((0, 5, 100)) * MILLISECOND
        self.loses = dice.choice((0, 4, 30))
        self.deaf = 0
        """Of so many notifications one is lost; 0: none."""
        self.halves = 1
        self.dead: dict[int, Instant] = {}
        """Halves whose primary is dead, and when its standby is promoted."""
        world.later(_SWEEP, self._sweep, None)

    def view(self, later: Callable[[Callable[[], None]], None] | None = None) -> SharedMemoryView:
        """See `SharedMemory.view`."""
        assert later is not None
        at_store = later

        def much_later(call: Callable[[], None]) -> None:
            self.world.later(self.dice.randint(0, self.slow), lambda _: at_store(call), None)

        view = _View(self, much_later)
        self.views.append(view)
        return view

    def half(self, key: bytes) -> int:
        """Which half keeps it."""
        return zlib.crc32(key) % self.halves

    def alive(self, half: int) -> Instant:
        """When the half answers, if not now."""
        return max(self.dead.get(half, 0), self.world.now)

    def note(self, effects: Iterable[StoreEffect]) -> None:
        """All that became of what is durable now, also what was over before it was carried out."""
        for effect in effects:
            if isinstance(effect, DeleteBinding):
                self.deleted.add(effect.key)
            elif isinstance(effect, StoreBinding):
                stamp = BindingCacheEntry.restored(effect.key, effect.record, 0).timestamp
                self.best[effect.key] = max(stamp, self.best.get(effect.key, 0))

    def notify(self, key: bytes, by: SharedMemoryView) -> None:
        """See `SharedMemory.notify`."""
        if not self.deaf or self.dice.randrange(self.deaf):
            super().notify(key, by)

    def _sweep(self, _: None) -> None:
        if not any(self.alive(half) > self.world.now for half in range(self.halves)):
            self.sweep(4 * SECOND)
        self.world.later(_SWEEP, self._sweep, None)


class _View(SharedMemoryView):
    shared: Unreliable

    def swap(self, effects: Sequence[StoreEffect], done: Callable[[Sequence[BindingChanged]], None]) -> None:
        """See `SharedStore.swap`. Each half has its share, which is carried out as one."""
        shares: dict[int, list[StoreEffect]] = {}
        for effect in latest(effects):
            shares.setdefault(self.shared.half(effect.key), []).append(effect)
        waiting, refused = set(shares), []

        def answered(half: int, found: Sequence[BindingChanged]) -> None:
            waiting.discard(half)
            refused.extend(found)
            if not waiting:
                self._tell(done, refused)

        for half, share in shares.items():
            self._ask(half, share, effects, answered)

    def _ask(
        self,
        half: int,
        share: Sequence[StoreEffect],
        effects: Sequence[StoreEffect],
        answered: Callable[[int, Sequence[BindingChanged]], None],
    ) -> None:
        def at_primary() -> None:
            if self.shared.alive(half) > self.shared.world.now:  # lost, if it died meanwhile
                self._after(self.shared.alive(half), lambda: self._ask(half, share, effects, answered))
                return
            found = [changed for effect in share if (changed := self._one(effect)) is not None]
            done = {effect.key for effect in share} - {changed.key for changed in found}
            self.shared.note(effect for effect in effects if effect.key in done)
            lost = self.shared.loses and not self.shared.dice.randrange(self.shared.loses)
            if lost:
                self._after(self.shared.world.now + _ASKED_AGAIN, lambda: self._later(lambda: again(found)))
            else:
                self._later(lambda: say(found))

        def say(found: Sequence[BindingChanged]) -> None:
            """Kept, if it died meanwhile: that is found out when its standby is asked."""
            if self.shared.alive(half) > self.shared.world.now:
                self._after(self.shared.alive(half), lambda: self._later(lambda: again(found)))
            else:
                answered(half, found)

        def again(found: Sequence[BindingChanged]) -> None:
            """Each change is found there, or what somebody made of it meanwhile."""
            kept, refused = self.shared.kept, {changed.key for changed in found}
            others = [
                effect.key
                for effect in share
                if effect.key in refused
                or (kept[effect.key].version if effect.key in kept else 0) != self._seen.get(effect.key, 0)
            ]
            self._later(lambda: say([self._look(key) for key in others]))

        self._later(at_primary)

    def _after(self, when: Instant, call: Callable[[], None]) -> None:
        self.shared.world.later(when - self.shared.world.now, lambda _: call(), None)

    def find(self, mention: bytes, done: Callable[[Sequence[BindingChanged]], None]) -> None:
        """See `SharedStore.find`: both halves have to answer."""
        when = max(self.shared.alive(half) for half in range(self.shared.halves))
        self._after(when, lambda: self._later(lambda: super(_View, self).find(mention, done)))

    def _tell(self, done: Callable[[Sequence[BindingChanged]], None], refused: Sequence[BindingChanged]) -> None:
        if not self._closed:
            done(refused)


class ClusterDomain(DmmDomain):
    """Its databases share an unreliable store."""

    dice: random.Random

    def _make_store(self) -> SharedMemory:
        return Unreliable(self.world, self.dice)


class Cluster(Dmm):
    """One domain with two or three CMDs; see `sim.cast.Cast`."""

    name = "cluster"

    def __init__(
        self,
        seed: int,
        maar_engine: MaarEngine = access_router,
        cmd_engine: CmdEngine = CentralMobilityDatabase,
    ) -> None:
        super().__init__(seed, maar_engine, cmd_engine)
        dice = random.Random(f"cluster store {seed}")
        store = self.store
        store.halves = dice.choice((1, 2))
        store.deaf = dice.choice((0, 0, 1, 3))
        self.failures = ("primary",)
        self.besides = dice.choice(({}, {"fail": 1}, {"fail": 1, "cut": 2}))
        self._registering: set[tuple[str, bytes, int, int]] = set()
        """Who said that a node came to it, and when."""
        self.world.network.on_sent.append(self._on_sent)

    @property
    def store(self) -> Unreliable:
        """What the CMDs share."""
        store = self.domain.store
        assert isinstance(store, Unreliable)
        return store

    def _make_domain(
        self,
        mode: Mode,
        maars: int,
        cmd: dict[str, object],
        settings: dict[str, object],
        maar_engine: MaarEngine,
        cmd_engine: CmdEngine,
    ) -> DmmDomain:
        dice = random.Random(f"cluster {maars} {sorted(map(str, settings.items()))} {sorted(map(str, cmd.items()))}")
        kind = type("ClusterDomain", (ClusterDomain,), {"dice": dice})
        domain: DmmDomain = kind(mode, maars, cmd, settings, maar_engine, cmd_engine, cmds=dice.randint(2, 3))
        return domain

    def start(self) -> None:
        """See `Cast`."""
        for name in self.domain.databases:
            self.domain.members[name].clock = _Disciplined()
        super().start()

    def _make_truth(self, paths: Paths) -> ClusterTruth:
        return ClusterTruth(self.domain, self.air, paths, claims=not self.tight)

    def fail(self, what: str, luck: int, for_: Duration) -> None:
        """See `Cast`. A primary dies, and its standby is promoted after `for_`."""
        half = luck % self.store.halves
        self.store.dead[half] = max(self.store.alive(half), self.world.now + for_)

    def repair(self) -> None:
        """See `Cast`."""
        self.store.dead.clear()

    def _on_sent(self, sender: str, receiver: str, message: MobilityMessage) -> None:
        """What a CMD accepts is durable before anybody hears of it."""
        node, stamp = message.first(MobileNodeIdentifier), message.first(Timestamp)
        if node is None or stamp is None:
            return
        if isinstance(message, BindingUpdate) and message.lifetime and receiver in self.domain.databases:
            self._registering.add((sender, node.key(), stamp.ticks, message.sequence))
        if not isinstance(message, BindingAcknowledgement) or message.status >= REFUSING or not message.lifetime:
            return
        assert isinstance(self.truth, ClusterTruth)
        asked = (receiver, node.key(), stamp.ticks, message.sequence) in self._registering
        if sender in self.domain.databases and asked and stamp.ticks > self.store.best.get(node.key(), 0):
            self.truth.lost.append(f"{sender} told {receiver} of an attachment of {node.key().hex()} nobody stored")

    def settings(self) -> str:
        """See `Cast`."""
        store = self.store
        lost = f"loses 1 of {store.loses}" if store.loses else "loses nothing"
        news = f", 1 of {store.deaf} news lost" if store.deaf else ""
        fails = ", primaries die" if "fail" in self.besides else ""
        return (
            f"{super().settings()}, {len(self.centres)} CMDs, store in {store.halves} takes "
            f"{store.slow // MILLISECOND} ms, {lost}{news}{fails}"
        )


class ClusterTruth(DmmTruth):
    """See `sim.cast.Truth`."""

    def __init__(self, domain: DmmDomain, air: Air, paths: Paths, *, claims: bool) -> None:
        super().__init__(domain, air, paths, claims=claims)
        self._latest: dict[bytes, int] = {}
        self.lost: list[str] = []
        """What was accepted and is not durable."""

    def now(self, calm: bool) -> list[str]:
        """See `sim.cast.Truth`."""
        return self.lost[:3] or super().now(calm) or (list(self._twice_stored()) if calm else [])

    def _twice_stored(self) -> Iterator[str]:
        """No prefix is that of two nodes."""
        users: dict[Prefix, bytes] = {}
        for node, entry in checkers.entries(self._domain).items():
            for prefix, _ in entry.anchors:
                if prefix in users:
                    yield f"store: {prefix} is that of {users[prefix].hex()} and {node.hex()}"
                users[prefix] = node

    def _never_back(self) -> Iterator[str]:
        """The latest attachment wins: what is in the store is never replaced by an earlier one."""
        store = self._domain.store
        assert isinstance(store, Unreliable)
        for node in store.deleted:
            self._latest.pop(node, None)
        store.deleted.clear()
        latest = {node: entry.timestamp for node, entry in checkers.entries(self._domain).items()}
        for node, timestamp in latest.items():
            if timestamp < self._latest.get(node, 0):
                yield f"store: an earlier attachment of {node.hex()} replaced a later one"
        self._latest = latest

    def empty(self) -> list[str]:
        """See `sim.cast.Truth`."""
        kept = self._domain.store.kept
        return super().empty() + ([f"the store has {len(kept)} bindings"] if kept else [])
