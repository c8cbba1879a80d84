"""One engine, one world.

The driver is the only caller of an engine. It hands over what happened, in batches; what the engine asks for
is carried out in order, with two exceptions that the order permits: what is stored is committed once for the
batch, after the forwarding of this machine was changed and before anything that comes later in the batch is sent
to other machines; and counters of packets are looked after last. What could not be done goes back to the
engine as `EffectFailed`, after the batch.

The driver knows no socket and no event loop. It runs as it is in the daemon, in a simulator and in a test;
what differs is what it is given.

A store that several engines share (`SharedStore`) may say that somebody else changed what an answer of the engine
was made of. Such an answer is thrown away, nobody heard of it; the engine is told what is true, and what happened
is handled again. As that takes a while, a few batches are on their way at a time (`swaps`); what comes after these
waits, and is one batch then. Time passes for the engine only when nothing is on its way: what it asks for by itself
is made of what is true.

A store elsewhere that is ours alone (`LeasedStore`) is like a disk, but for that it takes longer: whatever other
machines notice waits for it (`commits`), and nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import get_args

from sojourn.core.effects import (
    AccessEffect,
    Advertise,
    CountTraffic,
    Effect,
    EnsureCounter,
    ProbeNode,
    QueryListeners,
    Report,
    SendDhcp,
    SendMessage,
    StoreEffect,
    WithdrawCounter,
)
from sojourn.core.engine import Engine
from sojourn.core.events import (
    BindingChanged,
    BindingsFound,
    ClockStepped,
    Event,
)
from sojourn.core.mobile_effects import MobileEffect
from sojourn.dataplane.base import Dataplane
from sojourn.host import garbage
from sojourn.host.commits import Commits
from sojourn.host.notes import Metering, Notes, Record
from sojourn.host.outlets import Outlets, Send
from sojourn.host.swaps import Answer, Swaps, mentioned
from sojourn.host.withheld import Withheld
from sojourn.stores.base import LeasedStore, SharedStore, Store
from sojourn.wire.addresses import Address
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant, WallClock

FOLLOW_UPS = 8
"""Rounds of failures and answers that may follow from one batch; what fails again after that is dropped,
counted.
"""
CLOCK_TOLERANCE = 10 * MILLISECOND
"""The wall clock may drift from the monotonic one by this much before the engine is told."""
TRIES = 8
"""How often an event is handled again because another process was faster; its sender repeats it anyhow."""
MOST_WAITING = 20_000
"""Events that wait for a shared store; of more, the oldest are dropped, counted."""
CLOCK_INTERVAL = 1 * SECOND
"""The clocks are compared at most this often."""
_HEARD_ELSEWHERE = frozenset({SendMessage, Advertise, ProbeNode, QueryListeners, SendDhcp})
"""Effects that other machines notice: what a batch stores must be safe before."""
_COUNTING = frozenset({EnsureCounter, WithdrawCounter, CountTraffic})
"""What no packet and no peer waits for: carried out, in this order, when the messages of a batch are on their way."""
_STORED = frozenset(get_args(StoreEffect))
"""Kinds as sets: a million effects an hour are told apart by their class at once, not by a row of questions."""


class Driver:
    """Runs `engine` against a data plane, a store, a network and a clock.

    `access` carries out the effects of the access link (`AccessLink.apply`), `wake_at` arms one timer that
    calls `wake` (None: disarm), `wall` reads the wall clock; without it the engine is never told that the
    clock was set. `probe` asks another router for an echo (`ProbePath`); without it, the answer is there at once.
    `send_udp` sends what travels over UDP and IPv4 (RFC 5844 4); without it, that is lost.
    `mobile` carries out what Mobile IPv6 needs of a host, messages with home addresses of its own
    among it; without it, that is refused. `told` hears of every report of an answer that was not thrown away, `meter`
    of everything. With `store_required` what a store of our own refused is not acknowledged before it took it
    (`withheld`).
    """

    def __init__(
        self,
        engine: Engine,
        dataplane: Dataplane,
        *,
        send: Send,
        access: Callable[[AccessEffect], None],
        store: Store | SharedStore | LeasedStore,
        clock: Callable[[], Instant],
        wake_at: Callable[[Instant | None], None],
        record: Record | None = None,
        wall: Callable[[], WallClock] | None = None,
        probe: Callable[[Address, Address | None], None] | None = None,
        send_udp: Callable[[SendMessage], None] | None = None,
        mobile: Callable[[MobileEffect | SendMessage], None] | None = None,
        told: Callable[[Report], None] | None = None,
        meter: Metering | None = None,
        store_required: bool = False,
    ) -> None:
        self.engine = engine
        self.dataplane = dataplane
        self.notes = Notes(record, told, meter)
        self.counters = self.notes.counters
        self.recent = self.notes.recent
        self._store = store
        self._clock = clock
        self._wake_at = wake_at
        self._wall = wall
        self._epoch = wall() - clock() if wall else 0
        self._clock_checked = clock()
        self._inbox: list[Event] = []
        self._armed: Instant | None = None
        self._busy = False
        self._shared: SharedStore | None = None
        self._own: Store | None = None
        self._commits: Commits | None = None
        if isinstance(store, SharedStore):
            self._shared = store
        elif not isinstance(store, LeasedStore):
            self._own = store
        self._outlets = Outlets(
            dataplane,
            send=send,
            access=access,
            probe=probe,
            send_udp=send_udp,
            mobile=mobile,
            find=None if self._shared is None else self._find,
            counters=self.counters,
        )
        if isinstance(store, LeasedStore):
            self._commits = Commits(store, self._outlets.carry_out, self.counters)
        self._swaps = None if self._shared is None else Swaps(self._shared, self._on_settled)
        self._again: list[tuple[Event, int]] = []
        """Events to be handled before all others, and how often they were."""
        self._withheld = Withheld(self.counters) if store_required and self._own is not None else None
        self._early: dict[bytes, BindingChanged] = {}
        """What the store told unasked of keys that are on their way to it: whether it is news is known afterwards."""
        self._unfinished = False
        """The engine did not take up all bindings yet."""
        self._late = False
        """The timer fired, and the engine does not know it yet."""
        if self._shared is not None:
            self._shared.watch(self.dispatch)

    def start(self) -> list[str]:
        """Take up what an earlier life left: its bindings from the store, its forwarding from the kernel.

        Answers with what was removed from the kernel because it should no longer hold; if the engine goes on taking up
        bindings, that is only done when it has all of them. Call it once, first.
        Raises StoreError and OSError: a role that cannot know its bindings must not begin.
        """
        self._busy = True
        try:
            self.dataplane.begin()
            with garbage.not_searched():
                now = self._clock()
                effects = self.engine.restore(self._store.load(), now)
                self._answer(effects, now)
                self._handle_all()
            self._unfinished = self.engine.restoring
            removed = [] if self._unfinished else self.dataplane.finish()
        finally:
            self._busy = False
        self._arm()
        return removed

    def _finish(self) -> None:
        """The engine has taken up all that an earlier life left."""
        self._unfinished = False
        now = self._clock()
        try:
            removed = self.dataplane.finish()
        except OSError as error:
            removed = []
            self.notes.tell([Report("removal-failed", {"reason": str(error)})], now)
        self.notes.tell([Report("removed", {"what": thing}) for thing in removed], now)

    def dispatch(self, events: Sequence[Event]) -> None:
        """Let the engine handle a batch, then carry out what it asks for.

        Called from within itself, as a simulated network may, it leaves the events for the running call.
        """
        self._inbox.extend(events)
        if self._swaps and len(self._inbox) > MOST_WAITING:
            self.counters["events-dropped"] += len(self._inbox) - MOST_WAITING
            del self._inbox[:-MOST_WAITING]
        if self._busy:
            return
        self._busy = True
        try:
            self._compare_clocks()
            self._handle_all()
        finally:
            self._busy = False
        self._arm()

    def wake(self) -> None:
        """Time passed. To be called when the timer fires; calling early is harmless."""
        self._armed = None
        if self._busy:
            return  # the running call arms the timer again
        self._busy = True
        try:
            self._compare_clocks()
            self._late = True
            self._handle_all()
        finally:
            self._busy = False
        self._arm()

    def late(self) -> Duration:
        """For how long the engine waits to be told that a time has come; nobody counts while the store is awaited."""
        if self._armed is None or self._swaps:
            return 0
        return max(self._clock() - self._armed, 0)

    @property
    def awaits_store(self) -> bool:
        """Whether a store elsewhere has not answered yet, so that answers wait."""
        return bool(self._swaps or self._commits)

    def close(self, withdraw: bool) -> None:
        """Stop. With `withdraw` nothing of ours stays in the kernel; without, forwarding goes on for a
        successor.
        """
        self._busy = True  # whatever still arrives is left alone
        self._wake_at(None)
        now = self._clock()
        self.notes.tell_repeats(now, at_last=True)
        try:
            if withdraw:
                self.dataplane.close()
            else:
                self.dataplane.leave()
        finally:
            self._store.close()

    # --- events ---------------------------------------------------------------------------------------------

    def _handle_all(self) -> None:
        depth = 0
        while True:
            if self._swaps:
                self._release(self._swaps)
            if self._again:
                tried, self._again = self._again, []
                self._handle(tried)
                continue
            if self._late and not self._swaps:
                self._late = False
                self._expire()
                if self._unfinished:
                    garbage.settled()  # bindings of an earlier life
                continue
            if self._swaps and (self._late or not self._swaps.room(len(self._inbox))):
                break
            batch: Sequence[Event]
            if self._outlets.answers:
                batch, self._outlets.answers = self._outlets.answers, []
                depth += 1
                if depth > FOLLOW_UPS:
                    self.counters["follow-ups-dropped"] += len(batch)
                    continue
            elif self._inbox:
                batch, self._inbox = self._inbox, []
                depth = 0
            else:
                break
            if self._swaps is None:
                self._handle_alone(batch)
            else:
                self._handle([(event, 0) for event in batch])
        if self._unfinished and not self.engine.restoring:
            self._finish()

    def _expire(self) -> None:
        now = self._clock()
        effects = self.engine.expire(now)
        if effects:
            self.notes.passed(now)
            self._answer(effects, now)

    def _handle(self, batch: Sequence[tuple[Event, int]]) -> None:
        assert self._swaps is not None
        now = self._clock()
        answers: list[Answer] = []
        for event, tried in batch:
            if type(event) is BindingChanged and event.seen >= 0 and not self._is_news(event, answers):
                continue
            if not tried:
                self.notes.happened(event, now)
            answers.append((event, tried, self.engine.handle(event, now)))
        if answers:
            self._swaps.add(answers)

    def _is_news(self, changed: BindingChanged, answers: Sequence[Answer]) -> bool:
        """Whether the engine is to hear of what the store told unasked; perhaps later."""
        assert self._shared is not None
        assert self._swaps is not None
        if mentioned(changed.key, answers) or self._swaps.mentions(changed.key):
            self._early[changed.key] = changed
            return False
        return self._shared.take(changed)

    def _handle_alone(self, batch: Sequence[Event]) -> None:
        """The same where nobody shares the store: what the engine answers is right."""
        now = self._clock()
        answers: list[Sequence[Effect]] = []
        for event in batch:
            self.notes.happened(event, now)
            answer = self.engine.handle(event, now)
            self.notes.asked(answer, now)
            answers.append(answer)
        self._carry_out(answers)

    def _answer(self, effects: Sequence[Effect], now: Instant) -> None:
        """What the engine asks for because time passed, or at its start."""
        if self._swaps is None:
            self.notes.asked(effects, now)
            self._carry_out([effects])
        else:
            self._swaps.add([(None, 0, effects)])

    def _release(self, swaps: Swaps) -> None:
        """What the shared store carried out is heard of; what it refused, somebody else had changed before."""
        news: list[BindingChanged] = []
        for answers, overtaken, void in swaps.released():
            if self._early:
                self._inbox[:0] = self._early.values()
                self._early.clear()
            news += overtaken
            for event, tried, _ in void:
                self.counters["overtaken"] += 1
                if type(event) is BindingChanged:
                    continue  # the engine has it; told again, it would take the place of what is known since
                if event is not None and tried < TRIES:
                    self._again.append((event, tried + 1))
            now = self._clock()
            for _, _, effects in answers:
                self.notes.asked(effects, now)
                for effect in effects:
                    self._outlets.carry_out(effect)
            self.notes.settled(self._clock)
        # All of the news first: to the store it counts as seen, so that what is made without it would replace it. Of
        # several, all are forgotten before the first is told, or something would be made of what the next ones replace.
        forgotten = [(BindingChanged(changed.key, b"", 0), 0) for changed in news[1:]]
        self._again[:0] = [*forgotten, *((changed, 0) for changed in news)]

    def _find(self, about: bytes) -> None:
        """`FindBindings`, of the shared store, which answers when it has looked."""
        assert self._shared is not None
        self._shared.find(about, lambda found: self.dispatch([*found, BindingsFound(about)]))

    def _on_settled(self) -> None:
        """The shared store answered."""
        if self._busy:
            return  # within our own call
        self._busy = True
        try:
            self._handle_all()
        finally:
            self._busy = False
        self._arm()

    def _compare_clocks(self) -> None:
        """Whoever set the wall clock did not tell us; both clocks together do."""
        if self._wall is None:
            return
        now = self._clock()
        if now - self._clock_checked < CLOCK_INTERVAL:
            return
        self._clock_checked = now
        self.notes.tell_repeats(now)
        epoch = self._wall() - now
        if abs(epoch - self._epoch) > CLOCK_TOLERANCE:
            self._epoch = epoch
            self._inbox.insert(0, ClockStepped(epoch))

    def _arm(self) -> None:
        if self._late:
            return  # as soon as nothing is on its way
        deadline = self.engine.deadline()
        if deadline != self._armed:
            self._armed = deadline
            self._wake_at(deadline)

    # --- effects --------------------------------------------------------------------------------------------

    def _carry_out(self, answers: Sequence[Sequence[Effect]]) -> None:
        changes: list[StoreEffect] = []
        heard_later: list[Effect] = []
        counting: list[Effect] = []
        waits = self._commits is not None or self._withheld is not None
        for effect in chain.from_iterable(answers):
            kind = type(effect)
            if kind in _STORED:
                changes.append(effect)  # type: ignore[arg-type]
            elif kind in _COUNTING:
                counting.append(effect)
            elif (changes or waits) and kind in _HEARD_ELSEWHERE:
                # A disk takes milliseconds, in which packets of a node that moves would be lost: what changes only
                # this machine is not kept waiting for it.
                heard_later.append(effect)
            else:
                self._outlets.carry_out(effect)
        self.notes.settled(self._clock)
        if self._commits is not None:
            self._commits.add(changes, heard_later)
        else:
            stored = self._commit(changes) if changes else True
            messages: Sequence[Effect] = heard_later
            if self._withheld is not None:
                messages = self._withheld.sift(changes if stored else (), answers, heard_later)
            for effect in messages:
                self._outlets.carry_out(effect)
        for effect in counting:
            self._outlets.carry_out(effect)

    def _commit(self, changes: Sequence[StoreEffect]) -> bool:
        """One transaction for the whole batch; whether it was carried out.

        A disk that refuses does not stop the domain: the engine is told, and the messages go out all the
        same, as what was not stored comes back from the other routers after a restart (design decision,
        section 5 number 8), unless they are to wait (`store_required`).
        """
        assert self._own is not None
        try:
            self._own.apply(changes)
        except OSError as error:
            if self._withheld is not None:
                self._withheld.refused(changes)
            for change in changes:
                self._outlets.failed(change, error)
            return False
        return True
