"""The cast of several CMDs on one store, which is slow, refuses, and loses answers (`stores.SharedStore`).

A store does not lose what it said it has: that is the business of its standby (`sojourn lab run cmd-cluster`). What it
can do to a CMD is to be late, to refuse for a while, and to carry something out and not say so: then the CMD asks
again, and finds its own version there (`PostgresStore`). The clocks of the CMDs agree, as the documents ask for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from sim.air import Air
from sim.clock import Clock
from sim.dmm import Dmm
from sim.dmm_truth import DmmTruth
from sim.domain import CmdEngine, DmmDomain, MaarEngine
from sim.paths import Paths
from sim.world import World
from sojourn.core.effects import DeleteBinding, StoreEffect
from sojourn.core.events import BindingChanged
from sojourn.engines.configuration import Mode
from sojourn.stores.shared_memory import SharedMemory, SharedMemoryView
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
        self.world, self.dice = world, dice
        self.slow = dice.choice((0, 5, 100)) * MILLISECOND
        self.loses = dice.choice((0, 4, 30))
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

    def _sweep(self, _: None) -> None:
        self.sweep(4 * SECOND)
        self.world.later(_SWEEP, self._sweep, None)


class _View(SharedMemoryView):
    shared: Unreliable

    def swap(self, effects: Sequence[StoreEffect], done: Callable[[Sequence[BindingChanged]], None]) -> None:
        """See `SharedStore.swap`."""
        if not self.shared.loses or self.shared.dice.randrange(self.shared.loses):
            super().swap(effects, done)
            return

        def late(refused: Sequence[BindingChanged]) -> None:
            self.shared.world.later(_ASKED_AGAIN, lambda _: self._later(lambda: self._tell(done, refused)), None)

        super().swap(effects, late)

    def _tell(self, done: Callable[[Sequence[BindingChanged]], None], refused: Sequence[BindingChanged]) -> None:
        if not self._closed:
            done(refused)

    def _one(self, effect: StoreEffect) -> BindingChanged | None:
        refused = super()._one(effect)
        if refused is None and isinstance(effect, DeleteBinding):
            self.shared.deleted.add(effect.key)
        return refused


class ClusterDomain(DmmDomain):
    """Its databases share an unreliable store."""

    dice: random.Random

    def _make_store(self) -> SharedMemory:
        return Unreliable(self.world, self.dice)


class Cluster(Dmm):
    """One domain with two or three CMDs; see `sim.cast.Cast`."""

    name = "cluster"

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

    def settings(self) -> str:
        """See `Cast`."""
        store = self.domain.store
        assert isinstance(store, Unreliable)
        lost = f"loses 1 of {store.loses}" if store.loses else "loses nothing"
        return f"{super().settings()}, {len(self.centres)} CMDs, store takes {store.slow // MILLISECOND} ms, {lost}"


class ClusterTruth(DmmTruth):
    """See `sim.cast.Truth`."""

    def __init__(self, domain: DmmDomain, air: Air, paths: Paths, *, claims: bool) -> None:
        super().__init__(domain, air, paths, claims=claims)
        self._latest: dict[bytes, int] = {}

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
