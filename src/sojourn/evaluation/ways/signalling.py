"""Messages and octets: of each move, per second in the domain, and at its busiest node.

Bindings are renewed at half of their lifetime in every way, as sojourn does. What the first attachments of nodes cost
is left out: it is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sojourn.evaluation.assumptions import Assumptions
from sojourn.evaluation.models import octets, signalling
from sojourn.evaluation.replay import Integers, Replay
from sojourn.evaluation.ways import Way
from sojourn.wire.units import SECOND

_CHECKED_AFTER = 3.0
"""Seconds after which a serving router in locator mode refreshes (`signalling.LOCATOR_CHECK`)."""


@dataclass(frozen=True, slots=True)
class Signalling:
    """Of one way."""

    drawn: float
    """Messages per handover as the RFC draws it, with old prefixes that vanish by themselves."""
    messages: float
    """Messages per handover as it runs, the end of old prefixes included: of sojourn's engines where there are some."""
    octets: float
    """Of these."""
    redirection: float
    """Octets of the handover alone: registration and what old anchors are told and answer."""
    per_second: float
    """Messages per second in the domain, refreshes included."""
    octets_per_second: float
    busiest: float
    """Messages per second that the busiest node sends and receives: anchor, database, reflector, or a router."""


@dataclass(slots=True)
class _Totals:
    """Of the window."""

    drawn: float
    messages: float
    octets: float
    elsewhere: float = 0.0
    """Of the messages: those that the busiest node neither sends nor receives."""
    refreshes: float = 0.0
    refresh_octets: float = 0.0
    later_octets: float = 0.0
    """Of the octets: those of the ends of old prefixes and of checks."""


@dataclass(frozen=True, slots=True, eq=False)
class _Counts:
    """What the totals are made of."""

    counted: Replay
    assumptions: Assumptions
    routers: int
    in_use: Integers
    """n of each handover."""
    held: Integers
    """k of each handover."""
    renewed: Integers
    """Halves of a lifetime in the stay after each handover."""
    renewals: float
    """In all stays."""

    @classmethod
    def of(cls, counted: Replay, routers: int, assumptions: Assumptions) -> _Counts:
        half = assumptions.settings.lifetime / SECOND / 2
        moves, stays = counted.handovers, counted.stays
        lasted = stays.end - np.maximum(stays.begin, counted.start)
        return cls(
            counted,
            assumptions,
            routers,
            moves.in_use.counts(len(moves)),
            moves.held.counts(len(moves)),
            (moves.stay // half).astype(np.int64),
            float((np.maximum(lasted, 0) // half).sum()),
        )

    def sum_of(self, size: Callable[[int], int], counts: Integers) -> float:
        """The sum of `size` over `counts`, which are small numbers."""
        found = np.bincount(counts)
        return float(sum(size(value) * number for value, number in enumerate(found.tolist()) if number))


def signalling_of(counted: Replay, routers: int, assumptions: Assumptions) -> dict[Way, Signalling]:
    """Of all ways, in a domain of `routers`."""
    counts, number = _Counts.of(counted, routers, assumptions), len(counted.handovers)
    return {way: _mean(totals(counts), number, counted.window) for way, totals in _TOTALS.items()}


def _mean(totals: _Totals, handovers: int, window: float) -> Signalling:
    messages = totals.messages + totals.refreshes
    return Signalling(
        drawn=float(totals.drawn / handovers),
        messages=float(totals.messages / handovers),
        octets=float(totals.octets / handovers),
        redirection=float((totals.octets - totals.later_octets) / handovers),
        per_second=float(messages / window),
        octets_per_second=float((totals.octets + totals.refresh_octets) / window),
        busiest=float((messages - totals.elsewhere) / window),
    )


def _central(counts: _Counts) -> _Totals:
    number, sizes = len(counts.in_use), counts.assumptions.sizes
    messages = signalling.CENTRAL * number
    return _Totals(
        messages, messages, sizes.central() * number,
        refreshes=2 * counts.renewals, refresh_octets=sizes.refreshing() * counts.renewals,
    )  # fmt: skip


def _relay_or_proxy(counts: _Counts) -> _Totals:
    sizes, retired = counts.assumptions.sizes, counts.counted.retired
    # Formulas that are linear hold for the mean: no need to apply them to each handover.
    drawn, run = (len(column) * signalling.relay_or_proxy(column.mean()) for column in (counts.in_use, counts.held))
    return _Totals(
        drawn,
        run + signalling.RETIREMENT * retired,
        counts.sum_of(sizes.relay_or_proxy, counts.held) + sizes.retiring() * retired,
        later_octets=sizes.retiring() * retired,
        refreshes=2 * counts.renewals,
        refresh_octets=sizes.refreshing() * counts.renewals,
    )


def _locator(counts: _Counts) -> _Totals:
    sizes, retired = counts.assumptions.sizes, counts.counted.retired
    checked = np.count_nonzero(counts.counted.handovers.stay > _CHECKED_AFTER)
    later = sizes.retiring() * retired + sizes.refreshing() * checked
    return _Totals(
        _answered(counts.in_use),
        _answered(counts.held) + signalling.RETIREMENT * retired + signalling.LOCATOR_CHECK * checked,
        counts.sum_of(sizes.locator, counts.held) + later,
        later_octets=float(later),
        elsewhere=float(counts.held.sum()),
        refreshes=2 * counts.renewals,
        refresh_octets=sizes.refreshing() * counts.renewals,
    )


def _answered(number: Integers) -> float:
    """Messages of all handovers in locator mode; the database answers those that have nobody else to do it."""
    asked = number[number > 0]
    return (
        len(asked) * signalling.locator(asked.mean()) + 2.0 * (len(number) - len(asked))
        if len(asked)
        else 2.0 * len(number)
    )


def _direct(counts: _Counts) -> _Totals:
    """An exchange for each old prefix, used or not, and one for each that retires; both between two routers."""
    moves, sizes, retired = counts.counted.handovers, counts.assumptions.sizes, counts.counted.retired
    told, again = float(counts.held.sum()), float((counts.renewed * counts.in_use).sum())
    messages = signalling.direct(told) + signalling.RETIREMENT_DIRECT * retired
    busy = np.bincount(moves.held.place, minlength=len(counts.counted.attached)).astype(float)
    busy += np.bincount(moves.target, counts.held, len(busy))
    if told:
        busy *= 1 + retired / told  # old prefixes end at the routers that told each other of them
    later = float(sizes.retiring_directly() * retired)
    return _Totals(
        signalling.direct(float(counts.in_use.sum())),
        messages,
        counts.sum_of(sizes.direct, counts.held) + later,
        later_octets=later,
        elsewhere=2 * again + messages - 2 * busy.max(),
        refreshes=2 * again,
        refresh_octets=sizes.direct(1) * again,
    )


def _host(counts: _Counts) -> _Totals:
    """Besides, an exchange when the last session of an old prefix is over, and one at a return to a prefix in use."""
    totals = _at_anchors(counts, octets.host_exchange())
    moves = counts.counted.handovers
    returned, retired = int(moves.returned.sum()), counts.counted.withdrawn
    busy = np.bincount(moves.in_use.place, minlength=len(counts.counted.attached)).astype(float)
    if busy.sum():
        busy *= 1 + retired / busy.sum()  # old prefixes end where they were in use
    busy += np.bincount(moves.target, moves.returned, len(busy))
    later = float(retired * octets.host_exchange())
    totals.messages += signalling.direct(returned) + signalling.direct(retired)
    totals.octets += later + returned * octets.host_return()
    totals.later_octets = later
    totals.elsewhere = totals.refreshes + totals.messages - 2 * busy.max()
    return totals


def _at_anchors(counts: _Counts, exchange: int) -> _Totals:
    """One exchange for each old prefix in use; it ends at its anchor."""
    moves = counts.counted.handovers
    number = counts.in_use.sum()
    busy = np.bincount(moves.in_use.place, minlength=len(counts.counted.attached)).astype(float)
    again = float((counts.renewed * counts.in_use).sum())
    messages = signalling.direct(number)
    return _Totals(
        messages, messages, exchange * number,
        elsewhere=2 * again + messages - 2 * busy.max(), refreshes=2 * again, refresh_octets=exchange * again,
    )  # fmt: skip


def _relocation(counts: _Counts) -> _Totals:
    moved, withdrawn = counts.in_use[counts.in_use > 0], counts.counted.withdrawn
    messages = float(counts.routers * (len(moved) + withdrawn))
    withdrawal = withdrawn * octets.route_withdrawal()
    size = counts.sum_of(octets.route_update, moved) + withdrawal
    return _Totals(messages, messages, counts.routers * size, later_octets=float(counts.routers * withdrawal))


_TOTALS: dict[Way, Callable[[_Counts], _Totals]] = {
    Way.CENTRAL: _central,
    Way.RELAY: _relay_or_proxy,
    Way.PROXY: _relay_or_proxy,
    Way.LOCATOR: _locator,
    Way.DIRECT: _direct,
    Way.RELOCATION: _relocation,
    Way.HOST: _host,
}
