"""All messages of a shard: written down as they are sent, in two numbers each, and summed up by numpy now and then.

A counter in Python costs as much as an entry in a list; so there are no counters, and everything that is counted
(messages and octets per place, per attachment, per purpose, and the hash of the event log) comes from the entries.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sojourn.wire.units import Instant

Numbers = NDArray[np.int64]

PURPOSE_BITS = 2
TURN_BITS = 32
PLACE_BITS = 13
MOST_PLACES = 1 << PLACE_BITS
LOST = 1 << PURPOSE_BITS + TURN_BITS + 2 * PLACE_BITS
"""In a code: the network lost the message."""
_CAUSE_BITS = PURPOSE_BITS + TURN_BITS
_PAGE = 1 << 16


class Purpose(IntEnum):
    """What a message is for: what the message was for that it answers."""

    HANDOVER = 0
    """Registration of an attachment, and what the other routers are told of it."""
    RETIREMENT = 1
    """One prefix, or the whole node, is let go of."""
    UPKEEP = 2
    """Refreshes, and the rest of what only time sets off."""
    SURVIVAL = 3
    """Asking whether neighbours are there, and what is said when one is not or is back (RFC 7333 REQ6f)."""


MESSAGE = 16
"""The kind of an event of the log: a message arrives; its purpose is added, and 8 if it is lost. Lower numbers are
`Happening`."""


class Ledger:
    """The messages between `places`; turn n is an attachment of the node ``node[n]``.

    What is counted by place and purpose is what was sent from `warm_up` on; by turn, all.
    """

    def __init__(self, places: int, node: Numbers, warm_up: Instant, *, counts_octets: bool) -> None:
        turns = len(node)
        self.times: list[Instant] = []
        """When each message arrives, or would."""
        self.codes: list[int] = []
        """`way`, and the cause."""
        self.sizes: list[int] = []
        """Octets of each, if these are counted."""
        self.messages = 0
        """All, from time 0 on."""
        self.lost = 0
        self.digest = 0
        self.sent = np.zeros(places, np.int64)
        """By place of the sender."""
        self.received = np.zeros(places, np.int64)
        self.octets = np.zeros(places, np.int64)
        """Sent or received."""
        self.by_purpose = np.zeros(len(Purpose), np.int64)
        self.octets_by_purpose = np.zeros(len(Purpose), np.int64)
        self.of_turn = np.zeros(turns, np.int64)
        """Messages for the handover of each turn."""
        self.octets_of_turn = np.zeros(turns, np.int64)
        self._node = node
        self._warm_up = warm_up
        self._counts_octets = counts_octets

    @staticmethod
    def way(source: int, destination: int) -> int:
        """The part of a code that says from where to where."""
        return (source << PLACE_BITS | destination) << _CAUSE_BITS

    def turn_page(self) -> None:
        """Sum up, if there is enough to make it worth while."""
        if len(self.times) >= _PAGE:
            self.close()

    def close(self) -> None:
        """Sum up what is written, and go on with an empty page."""
        time, code = np.array(self.times, np.int64), np.array(self.codes, np.int64)
        size = np.array(self.sizes, np.int64) if self._counts_octets else np.zeros(len(time), np.int64)
        for column in (self.times, self.codes, self.sizes):
            column.clear()
        real = time >= 0  # before that the engines found each other
        time, code, size = time[real], code[real], size[real]
        lost = code & LOST != 0
        place = code >> _CAUSE_BITS & (1 << 2 * PLACE_BITS) - 1
        turn = code >> PURPOSE_BITS & (1 << TURN_BITS) - 1
        purpose = code & (1 << PURPOSE_BITS) - 1
        self.messages += len(time)
        self.lost += int(np.count_nonzero(lost))
        self.digest += digest(MESSAGE + purpose + 8 * lost, time, self._node[turn], place)
        self._sum_by_turn(turn, purpose, size)
        self._sum_by_place(time, place, purpose, size, lost)

    def _sum_by_turn(self, turn: Numbers, purpose: Numbers, size: Numbers) -> None:
        handover = purpose == Purpose.HANDOVER
        self.of_turn += np.bincount(turn[handover], minlength=len(self.of_turn))
        if self._counts_octets:
            self.octets_of_turn += _summed(turn[handover], size[handover], len(self.of_turn))

    def _sum_by_place(
        self, time: Numbers, place: Numbers, purpose: Numbers, size: Numbers, lost: NDArray[np.bool_]
    ) -> None:
        counted = time >= self._warm_up
        source, destination, purpose = place[counted] >> PLACE_BITS, place[counted] & MOST_PLACES - 1, purpose[counted]
        size, arrived = size[counted], ~lost[counted]
        places = len(self.sent)
        self.sent += np.bincount(source, minlength=places)
        self.received += np.bincount(destination[arrived], minlength=places)
        self.by_purpose += np.bincount(purpose, minlength=len(Purpose))
        if self._counts_octets:
            self.octets += _summed(source, size, places) + _summed(destination[arrived], size[arrived], places)
            self.octets_by_purpose += _summed(purpose, size, len(Purpose))


def _summed(key: Numbers, size: Numbers, number: int) -> Numbers:
    return np.bincount(key, weights=size, minlength=number).astype(np.int64)


def digest(kind: NDArray[np.integer], time: Numbers, node: NDArray[np.integer], place: NDArray[np.integer]) -> int:
    """A number for a set of events, whatever their order: the sum of a hash of each, below 2**64."""
    words = time.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for number, column in enumerate((kind, node, place), 1):
        words ^= column.astype(np.uint64) + np.uint64(number << 58)
        words ^= words >> np.uint64(30)
        words *= np.uint64(0xBF58476D1CE4E5B9)
        words ^= words >> np.uint64(27)
        words *= np.uint64(0x94D049BB133111EB)
    return int(np.sum(words ^ (words >> np.uint64(31)), dtype=np.uint64))
