"""Two machines with one LMA's address, the way between them, and their store, in simulated time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

from sojourn.core.effects import Report, SendMessage
from sojourn.core.events import Commanded, MessageReceived
from sojourn.engines.anchor_pair import (
    AnchorPair,
    Claim,
    Forget,
    Lease,
    LeaseSeen,
    Look,
    PairEffect,
    Question,
    Renew,
    Retire,
    Serve,
)
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.stores.leased_memory import LeasedRecords
from sojourn.wire.addresses import address
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

FAST = LivenessSettings()
OWN = (address("2001:db8:f1::1"), address("2001:db8:f2::1"))
WAY = 2 * MILLISECOND
"""To the other one, and to the store."""
DETECTED = FAST.patience + 2 * FAST.interval
"""One that dies is replaced by then."""


class Machine:
    """One of both, with a process on it or without."""

    def __init__(self, pair: Pair, number: int) -> None:
        self.pair, self.number = pair, number
        self.engine: AnchorPair | None = None
        self.serving = 0
        """The epoch under which it is the LMA, as the daemon would have it; 0: it is not."""
        self.reports: list[str] = []
        self.frozen = False
        self.asked: Question | None = None
        self.armed: tuple[Instant, int] | None = None
        self._late: deque[Callable[[], None]] = deque()
        """What happened while it was frozen."""
        self.life = 0

    def start(self) -> None:
        self.life += 1
        self.asked, self.frozen = None, False
        partner = OWN[1 - self.number] if self.pair.paired else None
        self.engine = AnchorPair(OWN[self.number], partner, FAST, 1000 * self.life + self.number)
        self.do(self.engine.start(self.pair.now))

    def kill(self) -> None:
        self.engine, self.serving = None, 0

    def told(self, verb: str) -> None:
        """As by whoever stops the daemon, or puts another one in its place."""
        self.happens(lambda engine: engine.handle(Commanded(verb), self.pair.now), self.life)

    def happens(self, call: Callable[[AnchorPair], object], life: int) -> None:
        """In this life, now or when it is not frozen any more."""
        if self.engine is None or life != self.life:
            return
        if self.frozen:
            self._late.append(lambda: self.happens(call, life))
        else:
            self.do(call(self.engine))  # type: ignore[arg-type]

    def thaw(self) -> None:
        self.frozen = False
        late, self._late = self._late, deque()
        for call in late:
            call()

    def do(self, effects: list[PairEffect]) -> None:
        for effect in effects:
            match effect:
                case SendMessage():
                    self.pair.send(self.number, effect)
                case Report(name):
                    self.reports.append(name)
                case Look() | Claim() | Renew():
                    self.asked = effect
                    self.pair.ask(self, effect, self.life)
                case Forget():
                    self.asked = None
                case Serve(epoch):
                    self.serving = epoch
                case Retire():
                    self.serving = 0
        if self.engine is not None:
            self.pair.arm(self, self.engine.deadline(), self.life)


class Pair:
    """Both, the way between them, and the store."""

    def __init__(self, *, paired: bool = True, names: tuple[str, str] = ("one", "other")) -> None:
        self.now: Instant = 5 * SECOND
        self.paired = paired
        self.names = names
        """Each life is a holder of its own, and known by the name."""
        self.store = LeasedRecords(lambda: self.now)
        self.cut: set[tuple[int, int]] = set()
        """Ways that are dead: 0 and 1 are the machines, 2 is the store."""
        self._queue: list[tuple[Instant, int, Callable[[], None]]] = []
        self._count = 0
        self.machines = [Machine(self, 0), Machine(self, 1)]

    def at(self, when: Instant, call: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._queue, (when, self._count, call))

    def run(self, span: Duration, check: Callable[[], None] = lambda: None) -> list[int]:
        """Who is active then."""
        end = self.now + span
        while self._queue and self._queue[0][0] <= end:
            self.now, _, call = heappop(self._queue)
            call()
            check()
        self.now = end
        return self.active()

    def arm(self, machine: Machine, deadline: Instant | None, life: int) -> None:
        if deadline is None or machine.armed == (deadline, life):
            return
        machine.armed = due = (deadline, life)

        def fire() -> None:
            if machine.armed == due:
                machine.armed = None
                machine.happens(lambda engine: engine.expire(self.now), life)

        self.at(max(deadline, self.now), fire)

    def send(self, origin: int, effect: SendMessage) -> None:
        there = OWN.index(effect.destination)
        if (origin, there) not in self.cut:
            event = MessageReceived(effect.message, effect.source, effect.destination)
            machine = self.machines[there]
            life = machine.life
            self.at(self.now + WAY, lambda: machine.happens(lambda engine: engine.handle(event, self.now), life))

    def ask(self, machine: Machine, question: Question, life: int) -> None:
        """The store is asked until it answers, as the daemon does."""
        number = machine.number

        def try_it() -> None:
            if machine.engine is None or machine.life != life or machine.asked is not question:
                return
            if machine.frozen or {(number, 2), (2, number)} & self.cut:
                self.at(self.now + 100 * MILLISECOND, try_it)
                return
            name, store = self.names[number], self.store
            holder = f"{name} {number}{life}"
            match question:
                case Look():
                    row = store.look()
                case Claim(known, lasting):
                    row = store.claim(holder, known, lasting)
                case Renew(epoch, lasting):
                    row = store.renew(holder, epoch, lasting)
            mine = row is not None and row[0] == holder
            lease = None
            if row is not None:
                lease = Lease(row[0], row[1], mine, row[2], not mine and row[0].startswith(f"{name} "))
            machine.asked = None
            self.at(
                self.now + WAY,
                lambda: machine.happens(lambda engine: engine.handle(LeaseSeen(lease), self.now), life),
            )

        self.at(self.now + WAY, try_it)

    def active(self) -> list[int]:
        return [machine.number for machine in self.machines if machine.serving]


def begun(**settings: bool) -> Pair:
    """The first one is active, the second one stands by."""
    pair = Pair(**settings)
    pair.machines[0].start()
    pair.run(1 * SECOND)
    pair.machines[1].start()
    pair.run(3 * SECOND)
    assert pair.active() == [0]
    return pair
