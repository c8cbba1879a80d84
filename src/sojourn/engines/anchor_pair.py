"""Two LMAs for one address, of which one is active and the other stands by (RFC 5213 leaves this to implementations).

An LMA's address is the end of all tunnels of its gateways and where they register, so at one time it is at one machine.
Which one, a *lease* in the store of bindings says: who holds it, and how often it changed hands (its epoch). Whatever
the active LMA stores, the store takes only under its epoch, and nobody is answered before. So one that lost the lease
and does not know it (it was stopped, or cut off) cannot do anything that counts.

* The two watch each other (`liveness`: beats of RFC 5847, at their own addresses). The one that stands by asks for the
  lease when it heard the other one and does not any more, when nobody holds it, or when its time is over. The store
  gives it to one of them: a lease that changed hands meanwhile is refused.
* The active one renews the lease in every interval. It gives up when the store says that another has it, when the other
  one says so (a Binding Refresh Request with the epoch as Restart Counter, its own way of saying "I am the anchor"), or
  when neither store nor partner answers: then that one probably has it. A store that is silent alone changes nothing.
* Who was taken over does not take back: it stands by. Who goes says so (`stop`), and the other one asks at once; who is
  succeeded by another process says that too (`leave`), and nobody asks.

Without a partner there is the lease alone: another machine gets it when its time is over.

Each life of a process is another holder. What an earlier life of ours had is ours; it is known by the name, and by
being there when we begin. A lease that is taken later by somebody of our name is another one's, or two that were given
one name by mistake would take it from each other for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from sojourn.core.clock import Timers
from sojourn.core.detail import Detail, Value
from sojourn.core.effects import Effect, Report, SendMessage
from sojourn.core.events import Commanded, MessageReceived
from sojourn.engines.liveness import SUCCESSION, Liveness
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.wire import BindingRefreshRequest, Heartbeat, RestartCounter
from sojourn.wire.addresses import Address
from sojourn.wire.units import SECOND, Duration, Instant

LOOK = 1 * SECOND
"""The one that stands by looks so often at who holds the lease; the active one says so often that it does."""
_SHORTEST_LEASE = 3 * SECOND
_OVER = 3
"""A lease whose time is over is free when it is seen so often: a store that was away lets its holder renew it first."""


_SURE = 5
"""Somebody of our name is seen so often to hold the lease: longer than what an earlier life asked for last can last."""


class Standing(Enum):
    """What we are at the shared address."""

    STANDBY = "standby"
    CLAIMING = "claiming"
    """The store is asked for the lease."""
    ACTIVE = "active"
    ENDED = "ended"


STANDBY, CLAIMING, ACTIVE, ENDED = Standing


@dataclass(frozen=True, slots=True)
class Lease:
    """What the store says of the address."""

    holder: str
    """Empty: who had it gave it back."""
    epoch: int
    mine: bool
    valid: bool
    """Its time is not over, by the clock of the store."""
    namesake: bool = False
    """Its holder has our name and is not this process: an earlier life of ours, or somebody who was given that name."""


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """The answer of the store to the latest question; None: nobody ever held it."""

    lease: Lease | None


@dataclass(frozen=True, slots=True)
class Look:
    """Ask the store who holds the lease."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Ask for the lease, if its epoch is still the one that we know (0: nobody ever held it)."""

    known: int
    lasting: Duration


@dataclass(frozen=True, slots=True)
class Renew:
    """Hold the lease of that epoch for longer."""

    epoch: int
    lasting: Duration


@dataclass(frozen=True, slots=True)
class Forget:
    """Nobody waits for the answer to the latest question any more."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Be the LMA, under that epoch."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Retire:
    """Be it no longer, at once; `reason` for people."""

    reason: str


PairEvent: TypeAlias = MessageReceived | LeaseSeen | Commanded
PairEffect: TypeAlias = Effect | Look | Claim | Renew | Forget | Serve | Retire
Question: TypeAlias = Look | Claim | Renew


class AnchorPair:
    """The engine at the `own` address, beside that of the LMA, which it has started and stopped (`Serve`, `Retire`).

    `partner` is the own address of the other one, None: there is none. One question to the store is under way at a
    time; its answer is a `LeaseSeen`, however long that takes. `counter` tells this life from earlier ones.
    """

    def __init__(self, own: Address, partner: Address | None, settings: LivenessSettings, counter: int) -> None:
        self.standing = STANDBY
        self.epoch = 0
        """Under which we are active."""
        self.lease: Lease | None = None
        """As it was seen last."""
        self._own, self._partner, self._settings = own, partner, settings
        self.lasting = max(4 * settings.patience, _SHORTEST_LEASE)
        """A lease is claimed and renewed for so long."""
        self._outbox: list[PairEffect] = []
        self._timers: Timers[str] = Timers()
        self._now: Instant = 0
        self._asked: Question | None = None
        self._asked_at: Instant = 0
        """When that was asked; later if we were late ourselves."""
        self._heard = False
        """The other one gave a sign of life since we stand by, or since we are active."""
        self._missed = False
        """And is gone since."""
        self._over = 0
        """How often the time of the other one's lease was seen to be over."""
        self._inherited: int | None = None
        """The epoch under which an earlier life of ours held the lease when we began; -1: none did."""
        self._namesakes = 0
        """How often the lease was seen to be held by somebody else of our name."""
        self.liveness = Liveness(
            settings,
            own,
            self._outbox.append,
            lambda _, instant: self._timers.start("alive", instant),
            lambda _: self._timers.stop("alive"),
        )
        self.liveness.counter = counter
        self.liveness.on_suspected = lambda _: None
        self.liveness.on_lost = lambda _: self._on_lost()
        self.liveness.on_back = lambda _: self._on_back()
        self.liveness.on_restarted = lambda _: None

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self, now: Instant) -> Sequence[PairEffect]:
        """Once, first."""
        self._now = now
        if self._partner is not None:
            self.liveness.watch(self._partner, now)
        self._look()
        return self._flush()

    def handle(self, event: PairEvent, now: Instant) -> Sequence[PairEffect]:
        """As `Engine.handle`."""
        self._now = now
        if self.standing is ENDED:
            return ()
        match event:
            case MessageReceived(message, source) if source == self._partner:
                self._heard = True
                self.liveness.heard(source, message, now)
                match message:
                    case Heartbeat():
                        self.liveness.on_heartbeat(message, source, now)
                    case BindingRefreshRequest():
                        self._on_claimed(message)
                    case _:
                        self._report("message-unexpected", source=source, type=type(message).__name__)
            case LeaseSeen(lease):
                self._on_lease(lease)
            case Commanded("leave"):
                self._end(leaving=True)
            case Commanded("stop"):
                self._end(leaving=False)
            case _:
                pass  # of strangers
        return self._flush()

    def expire(self, now: Instant) -> Sequence[PairEffect]:
        """As `Engine.expire`."""
        self._now = now
        due = self._timers.deadline()
        if due is not None and now - due > self._settings.interval // 2:
            self._asked_at += now - due  # an answer may be here that nobody has read yet
        while (name := self._timers.pop_due(now)) is not None:
            match name:
                case "alive" if self._partner is not None:
                    self.liveness.due(self._partner, now)
                    self._see_whether_cut_off()
                case "look" if self.standing is STANDBY:
                    self._look()
                case "renew" if self.standing is ACTIVE:
                    self._renew()
                case "tell" if self.standing is ACTIVE:
                    self._tell()
        return self._flush()

    def deadline(self) -> Instant | None:
        """As `Engine.deadline`."""
        return self._timers.deadline()

    def _flush(self) -> Sequence[PairEffect]:
        effects = self._outbox.copy()
        self._outbox.clear()
        if self._partner is not None:
            self.liveness.sent([effect for effect in effects if isinstance(effect, SendMessage)], self._now)
        return effects

    @property
    def accompanied(self) -> bool:
        """Whether the other one is there, and would take over."""
        return self._partner is not None and self._heard and not self.liveness.lost(self._partner)

    # --- standing by --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._timers.start("look", self._now + LOOK)
        self._ask(Look())

    def _on_lost(self) -> None:
        self._report("partner-lost", partner=self._partner)
        assert self._partner is not None
        silence = self.liveness.silent_for(self._partner, self._now) or 0
        gone = self.liveness.neighbours[self._partner].left is not None or silence >= self._settings.patience
        if self.standing is STANDBY and self._heard and gone:  # and not one that does not hear us
            self._missed = True
            self._consider()

    def _on_back(self) -> None:
        self._report("partner-back", partner=self._partner)
        self._missed = False
        if self.standing is CLAIMING and self.lease is not None and self.lease.holder and not self.is_ours(self.lease):
            # The store has not answered yet, and the other one is there after all.
            self._do(Forget())
            self._asked = None
            self.standing = STANDBY
            self._look()

    def _consider(self) -> None:
        """Whether to be the LMA, by what the store said last."""
        lease = self.lease
        if self.standing is not STANDBY or self._asked is not None:
            return
        if lease is None or self.is_ours(lease) or not lease.holder or self._over >= _OVER or self._missed:
            self.standing = CLAIMING
            self._ask(Claim(0 if lease is None else lease.epoch, self.lasting))

    def is_ours(self, lease: Lease) -> bool:
        """This process holds it, or an earlier life of it did."""
        return lease.mine or (lease.namesake and lease.epoch == self._inherited)

    def _on_lease(self, lease: Lease | None) -> None:
        asked, self._asked = self._asked, None
        self.lease = lease
        if self._inherited is None:
            self._inherited = lease.epoch if lease is not None and lease.namesake else -1
        if lease is not None and lease.namesake and lease.valid and not self.is_ours(lease):
            self._namesakes += 1
            if self._namesakes == _SURE:
                self._report("name-taken", holder=lease.holder)
        match asked:
            case Look():
                self._over = 0 if lease is None or lease.valid else self._over + 1
                self._consider()
            case Claim() if lease is not None and lease.mine:
                self._begin(lease)
            case Claim():
                self._stand_by()
            case Renew(epoch) if self.standing is ACTIVE:
                if lease is None or not lease.mine or lease.epoch != epoch:
                    self._retire("another machine holds the lease" if lease else "the lease is not in the store")
            case _:
                pass

    # --- being it -----------------------------------------------------------------------------------------------------

    def _begin(self, lease: Lease) -> None:
        self.standing, self.epoch = ACTIVE, lease.epoch
        self._heard = False
        self._timers.stop("look")
        self._timers.start("renew", self._now + self._settings.interval)
        self._report("anchor-active", epoch=lease.epoch)
        self._do(Serve(lease.epoch))
        self._tell()

    def _tell(self) -> None:
        """The other one is told who is the anchor: its way to the store may be longer than that to us.

        One that we do not hear may hear us, and is not to miss us: beats are too seldom then.
        """
        if self._partner is not None:
            beaten = not self.liveness.lost(self._partner)
            self._timers.start("tell", self._now + (LOOK if beaten else self._settings.interval))
            word = BindingRefreshRequest(options=(RestartCounter(self.epoch),))
            self._do(SendMessage(word, self._own, self._partner))

    def _on_claimed(self, message: BindingRefreshRequest) -> None:
        word = message.first(RestartCounter)
        if word is not None and self.standing is ACTIVE and word.counter > self.epoch:
            self._retire("the partner holds the lease")

    def _renew(self) -> None:
        self._timers.start("renew", self._now + self._settings.interval)
        self._ask(Renew(self.epoch, self.lasting))

    def _see_whether_cut_off(self) -> None:
        """Neither store nor partner: that one is likely to have taken over what we cannot hold.

        One that we did not hear since we are active did not hear us stop: it has no reason to.
        """
        if self.standing is not ACTIVE or self._partner is None or not self._heard:
            return
        known = self.liveness.neighbours[self._partner]
        silent = self._asked is not None and self._now - self._asked_at >= self._settings.patience
        if silent and not known.alive and known.left is None:
            self._retire("neither store nor partner answers")

    def lost(self, now: Instant) -> Sequence[PairEffect]:
        """The store refused what was to be stored under our epoch."""
        self._now = now
        if self.standing is ACTIVE:
            self._retire("the store refuses what is written under this lease")
        return self._flush()

    def _retire(self, reason: str) -> None:
        self._report("anchor-retired", reason=reason, epoch=self.epoch)
        self._do(Retire(reason))
        if self._asked is not None:
            self._do(Forget())
            self._asked = None
        self._stand_by()

    def _stand_by(self) -> None:
        self.standing = STANDBY
        self._heard = self._missed = False
        self._over = 0
        self._timers.stop("renew")
        self._timers.stop("tell")
        self._timers.start("look", self._now + LOOK)

    def _end(self, *, leaving: bool) -> None:
        """This process ends. What is said last is a renewal: for the time of a succession, or for none."""
        if self._asked is not None:
            self._do(Forget())
        if self.standing is ACTIVE:
            self._do(Renew(self.epoch, max(SUCCESSION, self.lasting) if leaving else 0))
        if leaving:
            self.liveness.say_goodbye()
        elif self._partner is not None:
            self.liveness.go(self._partner)
        self.standing = ENDED
        for name in ("alive", "look", "renew", "tell"):
            self._timers.stop(name)

    # --- effects ------------------------------------------------------------------------------------------------------

    def _ask(self, question: Question) -> None:
        if self._asked is None:
            self._asked, self._asked_at = question, self._now
            self._do(question)

    def _do(self, effect: PairEffect) -> None:
        self._outbox.append(effect)

    def _report(self, name: str, **detail: Value) -> None:
        self._do(Report(name, Detail(detail)))
