"""Messages that an extension repeats until they are answered, known by their sequence number alone (RFC 5846 6.3,
RFC 7077 5.2): no two of them have the same at a time, and a repetition keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sojourn.core.sequence import following
from sojourn.engines.extension import Extension
from sojourn.wire.addresses import Address
from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import MICROSECOND, Duration

M = TypeVar("M", bound=MobilityMessage)
T = TypeVar("T")

_MOST = 4096
"""Questions outstanding at a time."""


@dataclass(slots=True)
class Question(Generic[M, T]):
    """One that is not answered yet."""

    sequence: int
    message: M
    peer: Address
    subject: T
    """What it is about, for whoever asked."""
    timeout: Duration
    retries: int
    """How often it may be sent again."""


class Questions(Generic[M, T]):
    """Those of one extension; their timers have the sequence number for a key.

    `repeated` makes of a message what goes out in its place when it is sent again.
    """

    def __init__(
        self,
        extension: Extension[Any],
        retries: int,
        first: Duration,
        longest: Duration,
        repeated: Callable[[M], M] = lambda message: message,
    ) -> None:
        self._extension = extension
        self._retries = retries
        self._first = first
        self._longest = longest
        self._repeated = repeated
        self._outstanding: dict[int, Question[M, T]] = {}
        self._sequence = extension.time // MICROSECOND & 0xFFFF  # as good as a random number (RFC 7077 5.1)

    def __len__(self) -> int:
        return len(self._outstanding)

    def __iter__(self) -> Iterator[Question[M, T]]:
        return iter(list(self._outstanding.values()))

    def ask(self, make: Callable[[int], M], peer: Address, subject: T, repeat: bool = True) -> bool:
        """Send what `make` makes of a sequence number; False when too many are outstanding already.

        Without `repeat` nobody waits for an answer.
        """
        if len(self._outstanding) >= _MOST:
            return False
        self._sequence = following(self._sequence)
        while self._sequence in self._outstanding:
            self._sequence = following(self._sequence)
        message = make(self._sequence)
        if repeat:
            question = Question(self._sequence, message, peer, subject, self._first, self._retries)
            self._outstanding[self._sequence] = question
            self._extension.wake(self._first, self._sequence)
        self._extension.send(message, peer)
        return True

    def answered(self, sequence: int, peer: Address) -> Question[M, T] | None:
        """The question that an answer from `peer` belongs to, which is done with."""
        question = self._outstanding.get(sequence)
        if question is None or question.peer != peer:
            return None
        self.forget(question)
        return question

    def forget(self, question: Question[M, T]) -> None:
        """Nobody waits for an answer any more."""
        self._outstanding.pop(question.sequence, None)
        self._extension.sleep(question.sequence)

    def due(self, sequence: int) -> Question[M, T] | None:
        """Its time has come: sent again, with twice the timeout. One that was sent often enough is returned."""
        question = self._outstanding.get(sequence)
        if question is None:
            return None
        if question.retries == 0:
            self.forget(question)
            return question
        question.retries -= 1
        question.timeout = min(2 * question.timeout, self._longest)
        self._extension.wake(question.timeout, sequence)
        self._extension.send(self._repeated(question.message), question.peer)
        return None
