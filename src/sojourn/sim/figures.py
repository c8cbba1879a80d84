"""What a simulation is worth in numbers: of a shard first, then of all shards together.

Everything is counted in whole numbers, so that the figures do not depend on how the nodes were cut into shards. Words
as in `standards.md` section 7: a *handover* is a move from one place to another (coming into the domain is none), an
*old prefix* is one whose anchor is not the place where the node is, a prefix *lives* while a session uses it. Nothing
is counted that begins before the warm-up is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct, field
from msgspec.structs import fields
from numpy.typing import NDArray

from sojourn.sim.distribution import Distribution
from sojourn.sim.itinerary import NOWHERE, Itinerary, Places, Sessions, Spells, cut
from sojourn.sim.ledger import Ledger, Numbers, digest
from sojourn.sim.seen import Seen
from sojourn.sim.topology import Topology
from sojourn.sim.workload import Stream
from sojourn.wire.units import MICROSECOND, MILLISECOND, Duration

Mask = NDArray[np.bool_]


def _fine() -> Distribution:
    return Distribution(True)


def _coarse() -> Distribution:
    return Distribution(False)


class OutageFigures(Struct):
    """What came of routers that died (`sojourn.sim.outages`)."""

    deaths: int = 0
    takeovers: int = 0
    """Pools that a partner took over."""
    elsewhere: int = 0
    """Sessions that were hit because their anchor died, while their node was elsewhere."""
    elsewhere_lost: int = 0
    elsewhere_silence: Distribution = field(default_factory=_coarse)
    """How long the others stood still, all together."""
    here: int = 0
    """Sessions that were hit because their node was at a dead router."""
    here_lost: int = 0
    here_silence: Distribution = field(default_factory=_coarse)

    def join(self, other: OutageFigures) -> None:
        """All of another shard."""
        for entry in fields(OutageFigures):
            ours, theirs = getattr(self, entry.name), getattr(other, entry.name)
            if isinstance(ours, Distribution):
                ours.join(theirs)
            else:
                setattr(self, entry.name, ours + theirs)


class Figures(Struct):
    """Sums and distributions. Times are nanoseconds, lists are by place."""

    nodes: int = 0
    records: int = 0
    """Of the stream."""
    messages: int = 0
    """All that were sent, the warm-up included."""
    lost: int = 0
    """Of these, by the network."""
    alarms: int = 0
    """Deadlines that the kernel kept for engines."""
    holds: int = 0
    """Old prefixes whose idle time ran out."""
    digest: int = 0
    """Sum of the hashes of all events, modulo 2**64."""
    handovers: int = 0
    arrivals: int = 0
    """Attachments of nodes that were nowhere before."""
    unregistered: int = 0
    """Handovers whose registration was not confirmed before the node moved on."""
    unrestored: int = 0
    """Living old prefixes that did not reach the node before it moved on."""
    new_prefix: Distribution = field(default_factory=_coarse)
    """From a handover to the announcement of a new prefix."""
    registration: Distribution = field(default_factory=_coarse)
    """To its confirmation at the serving router."""
    old_prefix: Distribution = field(default_factory=_coarse)
    """Until packets of a living old prefix reach the node again, for each such prefix."""
    contacted: Distribution = field(default_factory=_fine)
    """Previous routers that turned their tunnels, of each handover."""
    anchors_at_handover: Distribution = field(default_factory=_fine)
    """Old prefixes that live at a handover, that of the place just left included (n_HO)."""
    messages_per_handover: Distribution = field(default_factory=_fine)
    """Registration and what previous routers are told of it."""
    octets_per_handover: Distribution = field(default_factory=_coarse)
    attached: int = 0
    """Time that nodes spent at places, all together."""
    old_anchors: int = 0
    """The same times the number of living old prefixes."""
    sessions: int = 0
    homeless: int = 0
    """Sessions that could not begin, as their node was nowhere."""
    broken: int = 0
    """Sessions that a handover ended; only without mobility."""
    session_time: int = 0
    tunnelled_time: int = 0
    """Of it, away from the anchor."""
    direct: Distribution = field(default_factory=_coarse)
    """One-way delay from the correspondent by the shortest path: of each session its mean over time."""
    actual: Distribution = field(default_factory=_coarse)
    """The same by way of the anchor."""
    by_purpose: list[int] = field(default_factory=list)
    """Messages sent for handovers, retirements and upkeep."""
    octets_by_purpose: list[int] = field(default_factory=list)
    place_sent: list[int] = field(default_factory=list)
    place_received: list[int] = field(default_factory=list)
    place_octets: list[int] = field(default_factory=list)
    """Sent and received."""
    place_anchored: list[int] = field(default_factory=list)
    """Time of sessions whose anchor is here."""
    place_served: list[int] = field(default_factory=list)
    """Time of sessions whose node is here."""
    place_tunnelled: list[int] = field(default_factory=list)
    """Time of sessions whose anchor is here and whose node is elsewhere."""
    place_tunnels: list[int] = field(default_factory=list)
    """Time of living prefixes of this place whose node is elsewhere."""
    outages: OutageFigures = field(default_factory=OutageFigures)
    cpu: int = 0
    """Processor time that it took."""
    memory: int = 0
    """Most octets that the process held, ever."""

    def join(self, other: Figures) -> None:
        """All of another shard."""
        for name in _NAMES:
            ours, theirs = getattr(self, name), getattr(other, name)
            if isinstance(ours, Distribution | OutageFigures):
                ours.join(theirs)
            elif isinstance(ours, list):
                setattr(self, name, [a + b for a, b in zip(ours, theirs, strict=True)] if ours else list(theirs))
            elif name == "memory":
                self.memory = max(ours, theirs)
            elif name == "digest":
                self.digest = (ours + theirs) % 2**64
            else:
                setattr(self, name, ours + theirs)


_NAMES = tuple(entry.name for entry in fields(Figures))


class Rows(Struct):
    """One row for each handover, as columns. Times are nanoseconds; -1: it did not happen."""

    time: NDArray[np.int64]
    node: NDArray[np.uint32]
    left: NDArray[np.uint16]
    """Places."""
    place: NDArray[np.uint16]
    new_prefix: NDArray[np.int64]
    registration: NDArray[np.int64]
    old_prefix: NDArray[np.int64]
    """Of the old prefix that came last."""
    anchors: NDArray[np.uint8]
    """Old prefixes that live."""
    contacted: NDArray[np.uint8]
    messages: NDArray[np.uint16]
    octets: NDArray[np.uint32]

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """One after the other."""
        columns = [part.columns() for part in parts]
        return cls(**{name: np.concatenate([each[name] for each in columns]) for name in columns[0]})

    def columns(self) -> dict[str, Any]:
        """By name."""
        return {entry.name: getattr(self, entry.name) for entry in fields(type(self))}


class Reckoning:
    """Of some nodes, simulated together: fills `figures`."""

    def __init__(
        self,
        itinerary: Itinerary,
        topology: Topology,
        *,
        warm_up: Duration,
        end: Duration,
        mobility: bool = True,
        central: bool = False,
        direct: bool = False,
    ) -> None:
        """`central`: the anchor is no access router, also where it is at the place of one. `direct`: packets take the
        shortest path (RFC 6275); that the first ones after a move do not is left out.
        """
        self._direct = direct
        self._itinerary = itinerary
        self._topology = topology
        self._warm_up, self._end = warm_up, end
        self._mobility = mobility
        self._central = central
        visits = itinerary.visits
        self._counted: Mask = visits.begin >= warm_up
        self._handover: Mask = self._counted & (visits.came_from != NOWHERE)
        self._turns = np.flatnonzero(self._handover)
        self.figures = Figures()
        self._anchors = np.zeros(len(visits), np.int64)
        self._living: Numbers = np.zeros(0, np.int64)

    # --- what follows from the itinerary alone ----------------------------------------------------------------------

    def nodes(self, stream: Stream, nodes: int) -> None:
        """Who was simulated, and what was in the stream."""
        figures, visits = self.figures, self._itinerary.visits
        figures.nodes, figures.records = nodes, len(stream)
        figures.homeless = self._itinerary.homeless + stream.lost
        figures.digest = digest(stream.kind, stream.time, stream.node, stream.argument)
        figures.handovers = len(self._turns)
        figures.arrivals = int(np.count_nonzero(self._counted)) - len(self._turns)
        figures.attached = int((visits.end - np.maximum(visits.begin, self._warm_up)).clip(0).sum())

    def sessions(self) -> None:
        """What sessions get: where their packets go, and how far."""
        figures, visits, sessions = self.figures, self._itinerary.visits, self._itinerary.sessions
        figures.sessions = int(np.count_nonzero(sessions.begin >= self._warm_up))
        spells = cut(sessions, visits)
        if not self._mobility:
            spells = self._break(sessions, spells)
        anchor, serving = sessions.anchor[spells.of], visits.place[spells.visit]
        length = self._length(spells)
        away = ((anchor != serving) | self._central) & (not self._direct)
        figures.session_time, figures.tunnelled_time = int(length.sum()), int(length[away].sum())
        figures.place_anchored = self._by_place(anchor, length)
        figures.place_served = self._by_place(serving, length)
        figures.place_tunnelled = self._by_place(anchor[away], length[away])
        self._delays(sessions, spells, length, anchor, serving)

    def _break(self, sessions: Sessions, spells: Spells) -> Spells:
        """Without mobility a session ends with the visit during which it began."""
        visits, first = self._itinerary.visits, spells.visit == sessions.visit[spells.of]
        following = np.append(visits.came_from[1:] != NOWHERE, False)
        moved = following[sessions.visit] & (sessions.end > visits.end[sessions.visit])
        self.figures.broken = int(np.count_nonzero(moved & (visits.end[sessions.visit] >= self._warm_up)))
        return Spells(spells.of[first], spells.visit[first], spells.begin[first], spells.end[first])

    def _delays(self, sessions: Sessions, spells: Spells, length: Numbers, anchor: Places, serving: Places) -> None:
        """Weights are milliseconds and delays microseconds, so that their products can be added."""
        delay, peer = self._topology.delay // MICROSECOND, sessions.peer[spells.of]
        weight = length // MILLISECOND
        direct = delay[peer, serving]
        actual = np.where(anchor == serving, direct, delay[peer, anchor] + delay[anchor, serving])
        if self._direct:
            actual = direct
        whole = np.zeros(len(sessions), np.int64)
        np.add.at(whole, spells.of, weight)
        for distribution, value in ((self.figures.direct, direct), (self.figures.actual, actual)):
            sums = np.zeros(len(sessions), np.int64)
            np.add.at(sums, spells.of, weight * value)
            distribution.add(sums[whole > 0] * MICROSECOND // whole[whole > 0])

    def anchors(self) -> None:
        """Which old prefixes live, at handovers and over time."""
        if not self._mobility:
            self.figures.place_tunnels = [0] * len(self._topology.places)
            return
        figures, visits, live = self.figures, self._itinerary.visits, self._itinerary.live
        spells = cut(live, visits)
        old = (live.anchor[spells.of] != visits.place[spells.visit]) | self._central
        length = self._length(spells)
        figures.old_anchors = int(length[old].sum())
        figures.place_tunnels = self._by_place(live.anchor[spells.of][old], length[old])
        here = old & (spells.begin == visits.begin[spells.visit]) & (live.begin[spells.of] < spells.begin)
        turn, anchor = spells.visit[here], live.anchor[spells.of][here]
        self._anchors = np.bincount(turn, minlength=len(visits))
        self._living = self._key(turn, anchor)
        figures.anchors_at_handover.add(self._anchors[self._turns])

    def _key(self, turn: Numbers, place: NDArray[np.integer]) -> Numbers:
        return turn * len(self._topology.places) + place

    def _length(self, spells: Spells) -> Numbers:
        return (spells.end - np.maximum(spells.begin, self._warm_up)).clip(0)

    def _by_place(self, place: NDArray[np.integer], length: Numbers) -> list[int]:
        sums = np.zeros(len(self._topology.places), np.int64)
        np.add.at(sums, place, length)
        return [int(value) for value in sums]

    # --- what the engines did ---------------------------------------------------------------------------------------

    def engines(self, ledger: Ledger, seen: Seen) -> Rows:
        """Messages, and when what worked again; answers with a row for each handover."""
        figures, turns = self.figures, self._turns
        figures.messages, figures.lost = ledger.messages, ledger.lost
        figures.digest = (figures.digest + ledger.digest) % 2**64
        figures.by_purpose, figures.octets_by_purpose = ledger.by_purpose.tolist(), ledger.octets_by_purpose.tolist()
        figures.place_sent, figures.place_received = ledger.sent.tolist(), ledger.received.tolist()
        figures.place_octets = ledger.octets.tolist()
        figures.messages_per_handover.add(ledger.of_turn[turns])
        if ledger.octets.any():
            figures.octets_per_handover.add(ledger.octets_of_turn[turns])
        figures.contacted.add(np.asarray(seen.contacted, np.int64)[turns])
        new, registered = self._since(seen.advertised), self._since(seen.registered)
        figures.new_prefix.add(new[turns][new[turns] >= 0])
        figures.registration.add(registered[turns][registered[turns] >= 0])
        figures.unregistered = int(np.count_nonzero(registered[turns] < 0))
        restored = self._restored(seen)
        return self._rows(new, registered, restored, np.asarray(seen.contacted), ledger)

    def _since(self, instants: Any) -> Numbers:
        """Times from the beginning of each turn; -1 for what did not happen."""
        at = np.asarray(instants, np.int64)
        return np.where(at < 0, -1, at - self._itinerary.visits.begin)

    def _restored(self, seen: Seen) -> Numbers:
        """Of each turn the time of the last living old prefix; -1 when there is none."""
        begin = self._itinerary.visits.begin
        turn, anchor, at = np.asarray(seen.restored, np.int64).reshape(-1, 3).T
        known = np.isin(self._key(turn, anchor), self._living) & self._handover[turn]
        turn, took = turn[known], at[known] - begin[turn[known]]
        self.figures.old_prefix.add(took)
        self.figures.unrestored = int(self._anchors[self._turns].sum()) - len(took)
        last = np.full(len(begin), -1, np.int64)
        np.maximum.at(last, turn, took)
        return last

    def _rows(self, new: Numbers, registered: Numbers, restored: Numbers, contacted: Any, ledger: Ledger) -> Rows:
        visits, turns = self._itinerary.visits, self._turns
        return Rows(
            visits.begin[turns],
            visits.node[turns].astype(np.uint32),
            visits.came_from[turns].astype(np.uint16),
            visits.place[turns].astype(np.uint16),
            new[turns],
            registered[turns],
            restored[turns],
            self._anchors[turns].clip(0, 255).astype(np.uint8),
            contacted[turns].clip(0, 255).astype(np.uint8),
            ledger.of_turn[turns].clip(0, 65535).astype(np.uint16),
            ledger.octets_of_turn[turns].astype(np.uint32),
        )
