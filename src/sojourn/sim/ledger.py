"""All messages of a shard: written down as they are sent, in two numbers each, and summed up by numpy now and then.

A counter in Python costs as much as an entry in an array; so there are no counters, and everything that is counted
(messages and octets per place, per attachment, per purpose, and the hash of the event log) comes from the entries.
"""

from __future__ import annotations

from array import array
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sojourn.wire.units import Duration, Instant

PURPOSE_BITS = 2
TURN_BITS = 32
PLACE_BITS = 13
MOST_PLACES = 1 << PLACE_BITS
_PAGE = 1 << 16


class Purpose(IntEnum):
    """What a message is for: what the message was for that it answers."""

    HANDOVER = 0
    """Registration of an attachment, and what the other routers are told of it."""
    RETIREMENT = 1
    """One prefix, or the whole node, is let go of."""
    UPKEEP = 2
    """Refreshes and other things that only time sets off."""


def cause(turn: int, purpose: int) -> int:
    """Attachment and purpose in one number, as it travels with everything that they set off."""
    return turn << PURPOSE_BITS | purpose


class Ledger:
    """The messages of `turns` attachments between `places`; `node` says whose attachment a turn is."""

    def __init__(self, places: int, node: NDArray[np.int64], warm_up: Instant, end: Instant, counts_octets: bool) -> None:
        turns = len(node)
        self.times = array("q")
        """When each message arrives."""
        self.codes = array("q")
        """`way`, and the cause."""
        self.sizes = array("q")
        """Octets of each, if these are counted."""
        self.messages = 0
        """Sent from time 0 on."""
        self.digest = 0
        self.sent = np.zeros(places, np.int64)
        """Messages by place of the sender, between warm-up and end; the same for what follows."""
        self.received = np.zeros(places, np.int64)
        self.octets = np.zeros(places, np.int64)
        """Sent and received."""
        self.by_purpose = np.zeros(len(Purpose), np.int64)
        self.octets_by_purpose = np.zeros(len(Purpose), np.int64)
        self.of_turn = np.zeros(turns, np.int64)
        """Messages for the handover of each turn, whenever they were sent."""
        self.octets_of_turn = np.zeros(turns, np.int64)
        self.retirements_of_turn = np.zeros(turns, np.int64)
        self._node = node
        self._warm_up, self._end = warm_up, end
        self._counts_octets = counts_octets

    @staticmethod
    def way(source: int, destination: int) -> int:
        """The part of a code that says from where to where."""
        return (source << PLACE_BITS | destination) << TURN_BITS + PURPOSE_BITS

    def turn_page(self) -> None:
        """Sum up, if there is enough to make it worth while."""
        if len(self.times) >= _PAGE:
            self.close()

    def close(self) -> None:
        """Sum up what is written, and go on with an empty page."""
        time, code = np.array(self.times, np.int64), np.array(self.codes, np.int64)
        size = np.array(self.sizes, np.int64) if self._counts_octets else np.zeros(len(time), np.int64)
        for column in (self.times, self.codes, self.sizes):
            del column[:]
        real = time >= 0  # before that the engines found each other
        time, code, size = time[real], code[real], size[real]
        self.messages += len(time)
        place = code >> TURN_BITS + PURPOSE_BITS
        purpose = code & (1 << PURPOSE_BITS) - 1
        turn = code >> PURPOSE_BITS & (1 << TURN_BITS) - 1
        self.digest += digest(purpose + 16, time, self._node[turn], place)
        handover, retirement = purpose == Purpose.HANDOVER, purpose == Purpose.RETIREMENT
        turns = len(self.of_turn)
        self.of_turn += np.bincount(turn[handover], minlength=turns)
        self.retirements_of_turn += np.bincount(turn[retirement], minlength=turns)
        counted = (time >= self._warm_up) & (time < self._end)
        place, purpose = place[counted], purpose[counted]
        source, destination = place >> PLACE_BITS, place & MOST_PLACES - 1
        self.sent += np.bincount(source, minlength=len(self.sent))
        self.received += np.bincount(destination, minlength=len(self.sent))
        self.by_purpose += np.bincount(purpose, minlength=len(Purpose))
        if self._counts_octets:
            self.octets_of_turn += _summed(turn[handover], size[handover], turns)
            size = size[counted]
            self.octets += _summed(source, size, len(self.sent)) + _summed(destination, size, len(self.sent))
            self.octets_by_purpose += _summed(purpose, size, len(Purpose))


def _summed(key: NDArray[np.int64], size: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    return np.bincount(key, weights=size, minlength=number).astype(np.int64)


def digest(
    kind: NDArray[np.integer], time: NDArray[np.int64], node: NDArray[np.integer], place: NDArray[np.integer]
) -> int:
    """A number for a set of events, whatever their order: the sum of a hash of each, modulo 2**64."""
    words = time.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for number, column in enumerate((kind, node, place), 1):
        words ^= column.astype(np.uint64) + np.uint64(number << 58)
        words ^= words >> np.uint64(30)
        words *= np.uint64(0xBF58476D1CE4E5B9)
        words ^= words >> np.uint64(27)
        words *= np.uint64(0x94D049BB133111EB)
    return int(np.sum(words ^ (words >> np.uint64(31)), dtype=np.uint64))


