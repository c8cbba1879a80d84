"""Whether routers that share state are there, within well under a second (RFC 8885 leaves it open; RFC 7333 REQ6e, 6f).

The messages are the Heartbeats of RFC 5847, whose own times (half a minute at least) are too long for a session:

* Whoever watches a neighbour sends it a *beat*, an unsolicited response (3.2), once in an interval, unless it sent it
  anything else meanwhile: neighbours that are busy with each other cost nothing. Nobody answers a beat.
* Whatever comes from a neighbour is a sign of life. Is there none for one and a half intervals, it is asked (a request,
  3.1), and asked again, twice as often as usual, until it answers, or `misses` intervals are over: then it is lost.
* A request among neighbours that send beats says "I do not hear you". Who gets nothing else, though it sends, knows
  that its own words are lost: a link that is dead in one direction is dead to both.
* Beats are a quarter of an interval apart from regular (jitter), differently for each pair, so that hundreds of
  neighbours do not speak at once; with more of them than `rate` allows, the interval is stretched. The other side
  takes that for silence, and asks, which costs more and is no mistake.
* Who is succeeded by another process says before how long it may be silent (Binding Refresh Advice, RFC 6275 6.2.4):
  forwarding goes on meanwhile, and nobody misses it. Who goes for good says so with an advice of zero: it is lost at
  once, and whatever it says counts for nothing until another life begins (Restart Counter).
* A machine that was late itself (a look at a neighbour comes long after it was due) may have heard nobody because it
  did not listen, and what was said meanwhile may wait in its sockets. The time in which it stood still is no silence,
  and nobody is lost within an interval after that. `misses` times in a row at most: else whoever can keep it busy could
  hide a death.
* A neighbour whose words come unevenly is busy, not dead: twice of what its gaps were longer than an interval, in the
  last quarter of a minute, is added to its time, up to `LivenessSettings.margin`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sojourn.core.effects import Effect, SendMessage
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.wire import BindingRefreshAdvice, Heartbeat, HeartbeatFlags, MobilityMessage, RestartCounter
from sojourn.wire.addresses import Address
from sojourn.wire.units import SECOND, Duration, Instant

_RESPONSE = int(HeartbeatFlags.RESPONSE)
_UNSOLICITED = int(HeartbeatFlags.UNSOLICITED | HeartbeatFlags.RESPONSE)
_COUNTERS = 1 << 32
_SLOW = 1 * SECOND
"""Between requests to a neighbour that is lost, at least."""
SUCCESSION = 20 * SECOND
"""The successor of a process is there by then."""
_EXCUSED = 60 * SECOND
"""No neighbour is excused for longer, whatever it says."""
RESTARTS_APART = 5 * SECOND
"""Between two restarts of one neighbour that anything is made of; what it says meanwhile counts then."""
_UNEVEN = 64
"""For so many intervals it is remembered that a neighbour was late."""


@dataclass(slots=True)
class Neighbour:
    """What is known of one."""

    heard: Instant
    """When it gave a sign of life; from the beginning, when it began to be watched."""
    beats_back: bool = True
    """Whether it watches us too. Who does not is asked at every beat."""
    due: Instant = 0
    """When the next look at it is meant to be."""
    said: Instant = -1
    """When anything was sent to it last."""
    sequence: int = 0
    beats: int = 0
    unheard: int = 0
    """Requests from it since it last said anything else."""
    spread: Duration = 0
    """By how much its gaps were longer than an interval, lately."""
    excuses: int = 0
    """How often it got more time because we had been late, since it was heard."""
    alive: bool = True
    since: Instant = 0
    """Since when that is so."""
    counter: int | None = None
    """Its restart counter, as it told last (3.2)."""
    restarted: Instant | None = None
    """When anything was made last of its having begun anew."""
    again: bool = False
    """It did so since."""
    left: int | None = None
    """The restart counter of the life that went for good."""


class Liveness:
    """The neighbours of one engine, which speaks from `source`.

    `do(effect)` asks for a transmission; `wake(address, instant)` asks for a call of `due(address)` then, `sleep` takes
    that back. `on_suspected`, `on_lost`, `on_back` and `on_restarted` are told of neighbours.
    """

    on_suspected: Callable[[Address], None]
    on_lost: Callable[[Address], None]
    on_back: Callable[[Address], None]
    on_restarted: Callable[[Address], None]

    def __init__(
        self,
        settings: LivenessSettings,
        source: Address,
        do: Callable[[Effect], None],
        wake: Callable[[Address, Instant], None],
        sleep: Callable[[Address], None],
    ) -> None:
        self.settings = settings
        self.neighbours: dict[Address, Neighbour] = {}
        self.counter = 0
        """The restart counter: when this life began, in seconds, so that it needs no store (3.2)."""
        self._stood: Instant | None = None
        """When we last found out that we had been late."""
        self._source = source
        self._do = do
        self._wake = wake
        self._sleep = sleep

    # --- whom ---------------------------------------------------------------------------------------------------------

    def watch(self, address: Address, now: Instant, *, beats_back: bool = True) -> None:
        """From now on; without any evidence it counts as there."""
        if address not in self.neighbours:
            self.neighbours[address] = each = Neighbour(now, beats_back, since=now)
            self._look_again(address, each, now, self._gap(address, each) // 2)

    def keep(self, addresses: Iterable[Address]) -> None:
        """Nobody but these."""
        for address in self.neighbours.keys() - set(addresses):
            del self.neighbours[address]
            self._sleep(address)

    def lost(self, address: Address) -> bool:
        """Whether it is watched, and not there."""
        each = self.neighbours.get(address)
        return each is not None and not each.alive

    def silent_for(self, address: Address, now: Instant) -> Duration | None:
        """How long it gave no sign of life; None for one that is not watched."""
        each = self.neighbours.get(address)
        return None if each is None else now - each.heard

    # --- time ---------------------------------------------------------------------------------------------------------

    def due(self, address: Address, now: Instant) -> None:
        """Time to say something to it, and to see whether it did."""
        each = self.neighbours.get(address)
        if each is None:
            return
        self._make_of_restart(address, each, now)
        interval = self.settings.interval
        late = now - each.due
        if 4 * late > interval:  # we may not have listened either
            self._stood = now
            each.heard = max(each.heard, min(each.heard + late, now))
            each.unheard = 0
        patience = self._patience(each)
        if each.alive and self._is_silent(each, patience, now):
            if self._may_be_our_fault(each, patience, now):
                each.excuses += 1
            else:
                self._lose(address, each, now)
        silence = now - each.heard
        if not each.alive or 2 * silence >= 3 * interval:
            if each.alive and silence < 3 * interval:
                self.on_suspected(address)
            self.ask(address, now)
        elif not each.beats_back:
            if 2 * silence >= interval:
                self.ask(address, now)
        elif each.said < 0 or 2 * (now - each.said) >= interval:
            self._say(address, _UNSOLICITED, 0, now)
        gap = self._gap(address, each)
        if not each.alive:
            gap = max(gap, _SLOW)
        elif silence > interval:
            gap = max(min(gap // 2, each.heard + patience - now), interval // 8)
        self._look_again(address, each, now, gap)

    def _patience(self, each: Neighbour) -> Duration:
        return self.settings.patience + min(2 * each.spread, self.settings.margin)

    def _is_silent(self, each: Neighbour, patience: Duration, now: Instant) -> bool:
        return now - each.heard >= patience or each.unheard > 2 * self.settings.misses

    def _may_be_our_fault(self, each: Neighbour, patience: Duration, now: Instant) -> bool:
        """We were late, a moment ago: what it said meanwhile is yet to be read. It has until an interval after that."""
        if self._stood is None or each.excuses >= self.settings.misses:
            return False
        until = self._stood + self.settings.interval
        if now >= until:
            return False
        each.heard = max(each.heard, until - patience)
        each.unheard = 0
        return True

    def _look_again(self, address: Address, each: Neighbour, now: Instant, gap: Duration) -> None:
        each.due = now + gap
        self._wake(address, each.due)

    def _gap(self, address: Address, each: Neighbour) -> Duration:
        """Three quarters of an interval to all of it, and more if we have too many neighbours."""
        each.beats += 1
        share = zlib.crc32(self._source + address + each.beats.to_bytes(8, "big")) % 1024
        gap = self.settings.interval * (3072 + share) // 4096
        return max(gap, len(self.neighbours) * SECOND // self.settings.rate)

    def _lose(self, address: Address, each: Neighbour, now: Instant) -> None:
        each.alive, each.since = False, now
        self.on_lost(address)

    # --- saying and hearing -------------------------------------------------------------------------------------------

    def ask(self, address: Address, now: Instant) -> None:
        """A request, to a neighbour or to anybody (3.1)."""
        each = self.neighbours.get(address)
        if each is not None:
            each.sequence = (each.sequence + 1) % _COUNTERS
        self._say(address, 0, 0 if each is None else each.sequence, now)

    def answer(self, address: Address, sequence: int, now: Instant) -> None:
        """To a request, whoever asks."""
        self._say(address, _RESPONSE, sequence, now)

    def _say(self, address: Address, flags: int, sequence: int, now: Instant) -> None:
        each = self.neighbours.get(address)
        if each is not None:
            each.said = now
        message = response(sequence, self.counter, flags) if flags else Heartbeat(0, sequence)
        self._do(SendMessage(message, self._source, address))

    def say_goodbye(self) -> None:
        """This process ends and another one takes over: nobody is to miss it in between."""
        for address in self.neighbours:
            self._advise(address, SUCCESSION)

    def go(self, address: Address) -> None:
        """We go for good, whatever else it hears of this life."""
        self._advise(address, 0)

    def begin_anew(self) -> None:
        """We do not go after all."""
        self.counter = (self.counter + 1) % _COUNTERS

    def _advise(self, address: Address, silence: Duration) -> None:
        counter, advice = RestartCounter(self.counter % _COUNTERS), BindingRefreshAdvice(silence)
        self._do(SendMessage(Heartbeat(_UNSOLICITED, 0, (counter, advice)), self._source, address))

    def sent(self, effects: Iterable[Effect], now: Instant) -> None:
        """These leave: to whom something is said, no beat need be said."""
        for effect in effects:
            if type(effect) is SendMessage:
                each = self.neighbours.get(effect.destination)
                if each is not None:
                    each.said = now

    def heard(self, address: Address, message: MobilityMessage, now: Instant) -> None:
        """`message` came from `address`, whatever it says."""
        each = self.neighbours.get(address)
        if each is None:
            return
        if each.left is not None and not self._has_begun_anew(each, message):
            return
        self._learn_gap(each, now)
        each.heard = now
        each.excuses = 0
        if type(message) is Heartbeat and (advice := self._advice(each, message)) is not None:
            each.heard = now + min(advice.interval, _EXCUSED)
            if not advice.interval:
                self._take_leave(address, each, message, now)
                return
        if type(message) is Heartbeat and not message.flags & _RESPONSE:
            each.unheard += 1
        else:
            each.unheard = 0
        if not each.alive and not each.unheard:
            each.alive, each.since = True, now
            self.on_back(address)
            self._look_again(address, each, now, 0)

    def _learn_gap(self, each: Neighbour, now: Instant) -> None:
        """Rises at once and falls slowly, whatever the number of words."""
        gap = min(now - each.heard, _UNEVEN * self.settings.interval)
        if gap > 0:
            faded = each.spread - each.spread * gap // (_UNEVEN * self.settings.interval)
            each.spread = max(faded, min(gap - self.settings.interval, self.settings.margin))

    def _advice(self, each: Neighbour, message: Heartbeat) -> BindingRefreshAdvice | None:
        """How long it is to be excused, if this is of the life that it tells of in its beats: not an old one's word."""
        option = message.first(RestartCounter)
        if option is None or each.counter not in (None, option.counter):
            return None
        return message.first(BindingRefreshAdvice)

    def _take_leave(self, address: Address, each: Neighbour, message: Heartbeat, now: Instant) -> None:
        option = message.first(RestartCounter)
        each.left = None if option is None else option.counter
        if each.left is not None and each.alive:
            self._lose(address, each, now)

    def _has_begun_anew(self, each: Neighbour, message: MobilityMessage) -> bool:
        option = message.first(RestartCounter) if type(message) is Heartbeat else None
        if option is None or option.counter == each.left:
            return False
        each.left = None
        return True

    def on_heartbeat(self, message: Heartbeat, source: Address, now: Instant) -> None:
        """Answer a request; learn from anything else whether it lost its sessions (3.2)."""
        if not message.flags & _RESPONSE:
            self.answer(source, message.sequence, now)
            return
        each, option = self.neighbours.get(source), message.first(RestartCounter)
        if each is None or option is None:
            return
        before, each.counter = each.counter, option.counter
        if before is not None and before != option.counter:
            each.spread = 0
            each.again = True
            self._make_of_restart(source, each, now)

    def _make_of_restart(self, address: Address, each: Neighbour, now: Instant) -> None:
        """Others tell it much then: no counter, forged or not, makes them do so again and again."""
        if each.again and (each.restarted is None or now - each.restarted >= RESTARTS_APART):
            each.restarted, each.again = now, False
            self.on_restarted(address)


def response(sequence: int, counter: int, flags: int = _RESPONSE) -> Heartbeat:
    """The answer to the request of that number, with the own restart counter (3.2)."""
    return Heartbeat(flags, sequence, (RestartCounter(counter % _COUNTERS),))
