"""What a handover cost, and what it may cost.

Three ideas:

* Loss is counted in sequence numbers of packets that were sent around the handover and never arrived. A
stretch of the
  same run without any handover, the control phase, is counted in the same way and its share is taken
  off, because a busy machine loses packets too.
* The bound is the formula of `shared/standards.md` 7.5, with the one-way delays of the topology: a = serving
  router to database, c = database to anchor, p = anchor to serving router. It supposes that nobody needs time
  to think.
* Hops are read from the hop limit of packets that arrived, not from the topology; the formula stands beside
  them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from sojourn.lab.traffic import Direction, FlowRecord
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

IN_FLIGHT = 100 * MILLISECOND
"""Packets sent so long before a handover may still be on the way when the host leaves."""
SETTLED = 1500 * MILLISECOND
"""Longest time after a handover in which lost packets are blamed on it."""

INITIAL_HOP_LIMIT = 64
"""What stock hosts send with."""


def crowding() -> float:
    """How many programs want to have a core of this machine at a time; 1 where nobody waits for one."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Distances(Protocol):
    """What this module asks of a topology."""

    def delay(self, source: str, destination: str) -> Duration:
        """One-way delay between two nodes."""
        ...

    def path(self, source: str, destination: str) -> list[str]:
        """The nodes a packet passes, both ends included."""
        ...


@dataclass(frozen=True, slots=True)
class Window:
    """The packets sent in ``start <= t < end``."""

    start: Instant
    end: Instant

    @property
    def length(self) -> Duration:
        """How long it is."""
        return max(0, self.end - self.start)


def handover_window(moved: Instant, ends: Instant) -> Window:
    """What is blamed on a handover at `moved`; `ends` is when the next one or the end of the flow comes."""
    return Window(moved - IN_FLIGHT, min(ends - IN_FLIGHT, moved + SETTLED))


@dataclass(frozen=True, slots=True)
class Loss:
    """Packets of one direction of one flow in a window."""

    sent: int
    lost: int

    @property
    def share(self) -> float:
        """Lost of sent."""
        return self.lost / self.sent if self.sent else 0.0

    def __add__(self, other: Loss) -> Loss:
        return Loss(self.sent + other.sent, self.lost + other.lost)

    def less(self, control: Loss) -> float:
        """Lost packets that a run without handover would not have lost."""
        return max(0.0, self.lost - control.share * self.sent)


def loss(direction: Direction, window: Window) -> Loss:
    """What of the packets sent in `window` never arrived."""
    sent = lost = 0
    for at, received in zip(direction.sent, direction.received, strict=True):
        if window.start <= at < window.end:
            sent += 1
            lost += not received
    return Loss(sent, lost)


def control_loss(direction: Direction, windows: Iterable[Window]) -> Loss:
    """The same over all stretches without a handover."""
    total = Loss(0, 0)
    for window in windows:
        total += loss(direction, window)
    return total


def longest_gap(direction: Direction, window: Window) -> Duration:
    """The longest time in `window` without an arrival. For people; never a verdict."""
    arrived = sorted(at for at in direction.received if window.start <= at < window.end)
    edges = [window.start, *arrived, window.end]
    return max(after - before for before, after in pairwise(edges))


def longest_silence(record: FlowRecord) -> Duration:
    """The longest time in the life of a flow in which nothing came for its user. For people; never a verdict."""
    start = record.connected or record.started
    if record.kind == "download":
        came = [at for at, _ in record.arrivals]
    else:
        came = [at for at in (record.down if record.kind == "stream" else record.up).received if at]
    end = max([record.ended, *came]) if record.ended else max(came, default=start)
    edges = [start, *sorted(at for at in came if at >= start), end]
    return max(after - before for before, after in pairwise(edges))


# --- bounds -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bound:
    """How long a handover takes at least, if nobody needs time to think (`shared/standards.md` 7.5)."""

    new_prefix: Duration
    """Until the new prefix is usable, as far as signalling goes."""
    old_prefix: Duration
    """Until packets to the old prefix arrive again."""


def bound(
    topology: Distances,
    mode: str,
    *,
    cmd: str,
    serving: str,
    anchor: str,
    previous: str,
    others: Iterable[str],
) -> Bound:
    """For a flow anchored at `anchor` of a host that came from `previous` to `serving`.

    `others` are all old anchors that the database tells, `anchor` among them. The new prefix is
    advertised without waiting for the database in every mode (`shared/design.md` 5, decision 5), so that
    its bound is 0. A host that returned to its anchor has its packets at once, and lost what was in the
    tunnel to `previous`.
    """
    if anchor == serving:
        return Bound(0, topology.delay(anchor, previous))
    p = topology.delay(anchor, serving)
    if mode == "direct":  # a router that served the node before asks the previous one first, which names the others
        return Bound(0, 2 * p + (0 if anchor == previous else 2 * topology.delay(serving, previous)))
    a = topology.delay(serving, cmd)
    c = topology.delay(cmd, anchor)
    direct = a + c + p
    if mode == "locator":
        return Bound(0, direct)
    if mode == "proxy":
        return Bound(0, max(2 * a, direct))
    slowest = max((topology.delay(cmd, other) for other in others), default=c)
    return Bound(0, max(2 * a + 2 * slowest, direct))


def expected_messages(mode: str, old_anchors: int, asked: int = 0, *, told_afterwards: bool = False) -> int:
    """Signalling messages of one handover with so many old anchors to tell (RFC 8885 3.2 to 3.4).

    In direct mode, at least so many neighbours are `asked`, and a CMD may be told afterwards.
    """
    if mode == "direct":
        return 2 * max(old_anchors, asked) + 2 * told_afterwards
    if old_anchors == 0:
        return 2
    return 1 + 3 * old_anchors if mode == "locator" else 2 + 2 * old_anchors


# --- hops -------------------------------------------------------------------------------------------


def stretch_formula(topology: Distances, *, server: str, anchor: str, serving: str) -> float:
    """(h_CP + h_PS) / h_CS of `shared/standards.md` 7.6, in links of the core."""
    direct = len(topology.path(server, serving)) - 1
    around = len(topology.path(server, anchor)) - 1 + len(topology.path(anchor, serving)) - 1
    return around / direct if direct else 1.0


def routers_passed(direction: Direction, window: Window) -> int | None:
    """Routers that the latest packet sent in `window` passed, as its hop limit says; None when none arrived.

    A tunnel counts as one: its inside has a hop limit of its own (`routers_through_tunnel`).
    """
    for at, received, hop_limit in zip(
        reversed(direction.sent), reversed(direction.received), reversed(direction.hop_limits), strict=True
    ):
        if window.start <= at < window.end and received and hop_limit:
            return INITIAL_HOP_LIMIT - hop_limit
    return None


# --- many handovers ---------------------------------------------------------------------------------


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` of all are not above; 0 of nothing."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    rank = max(1, -(-len(ordered) * share // 1))
    return ordered[min(len(ordered), int(rank)) - 1]


def milliseconds(duration: float) -> float:
    """For people."""
    return duration / MILLISECOND


def lost_time(packets: float, rate: float) -> float:
    """Lost packets as milliseconds of a flow of `rate` packets a second."""
    return 1000 * packets / rate if rate else 0.0


def delivered(record: FlowRecord, bucket: Duration) -> list[tuple[Instant, float]]:
    """Of a download: octets a second, per `bucket` of time, from its first octet to its last."""
    if not record.arrivals:
        return []
    start = record.first_sent
    octets = [0] * ((record.arrivals[-1][0] - start) // bucket + 1)
    before = 0
    for at, total in record.arrivals:
        octets[(at - start) // bucket] += total - before
        before = total
    return [(start + index * bucket, count * SECOND / bucket) for index, count in enumerate(octets)]
