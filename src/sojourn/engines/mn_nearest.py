"""Which anchor a mobile node begins new sessions with (RFC 8818 3): the nearest, as far as it can be measured.

The anchor of the link is the nearest there is. Where the link has none, those that the configuration lists, or DNS, are
asked for an echo from the care-of address, with the home agents: the round trip is the distance. One that is full says
so when it is asked for a binding, and the next one is taken. The node makes a home address of the anchor's prefix, and
keeps it as it keeps those of links that it left (`mn_anchors`).

Left out: distances that differ from one correspondent node to another.
"""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.core.effects import ProbePath
from sojourn.core.mobile_effects import ResolveName
from sojourn.engines.mip6_configuration import Home
from sojourn.engines.mip6_request import routable
from sojourn.engines.mn_anchors import MnAnchors
from sojourn.engines.mn_state import HomeEntry, Place
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.units import MILLISECOND, MINUTE, Duration, Instant

CANDIDATES_MAX = 16
_LENGTH = 64
"""Of the prefix that an anchor's address is in."""
_WAIT: Duration = 500 * MILLISECOND
"""Whoever is farther away than this is not asked for a home address."""
_REFUSED: Duration = 10 * MINUTE
"""One that refused is not asked again for so long."""
_GAIN = 4, 5
"""Another one is taken when it is nearer than this part of the way to the one in use..."""
_GAIN_MIN: Duration = 2 * MILLISECOND
"""...and by more than this: distances change a little all the time, addresses should not."""


@dataclass(slots=True)
class Candidate:
    """An anchor that may be nearest."""

    asked: Instant = -1
    """When it was asked last; -1: the answer is there."""
    distance: Duration | None = None
    """The round trip to it; None: it did not answer."""
    refused_until: Instant = 0


class MnNearest(MnAnchors):
    """The mobile node as the one that chooses."""

    candidates: dict[Address, Candidate]

    # --- who there is -----------------------------------------------------------------------------------------------

    def _on_place_known(self, interface: str, care_of: Address | None) -> None:
        """At another place, distances are others."""
        super()._on_place_known(interface, care_of)
        if care_of is not None and care_of != self.measured_from and self._chooses():
            self.measured_from = care_of
            self._measure()

    def _chooses(self) -> bool:
        settings = self.configuration
        return settings.anchors is not None and bool(settings.anchor_addresses or settings.anchor_names)

    def _measure(self) -> None:
        """Ask all of them; what they answer counts when the time is over."""
        if not self.candidates:
            self.candidates = {address: Candidate() for address in self.configuration.anchor_addresses[:CANDIDATES_MAX]}
        for name in self.configuration.anchor_names:
            self._do(ResolveName(name))
        for remote in dict.fromkeys((*self.candidates, *self._home_agents())):
            self._ask(remote)
        self._after(_WAIT, "nearest", None)

    def _home_agents(self) -> list[Address]:
        return [entry.agent for entry in self.homes.values() if not entry.local and entry.agent is not None]

    def _ask(self, remote: Address) -> None:
        care_of = self.current[1]
        known = self.candidates.setdefault(remote, Candidate(refused_until=1 << 62))  # a home agent: to compare with
        known.distance = None
        if care_of is not None:
            known.asked = self._now
            self._do(ProbePath(remote, care_of))

    def _on_anchors_resolved(self, name: str, addresses: tuple[Address, ...]) -> None:
        """Names may have other addresses now; who is in use stays known."""
        if name not in self.configuration.anchor_names:
            return
        for remote in filter(routable, addresses):
            if remote not in self.candidates and len(self.candidates) < CANDIDATES_MAX:
                self.candidates[remote] = Candidate()
                self._ask(remote)
                self._after(_WAIT, "nearest", None)

    def _on_path_probed(self, remote: Address) -> None:
        known = self.candidates.get(remote)
        if known is not None and known.asked >= 0:
            known.distance, known.asked = self._now - known.asked, -1

    # --- which it is ------------------------------------------------------------------------------------------------

    def _on_distances_known(self) -> None:
        """And again after a while."""
        self._after(self.configuration.anchor_check, "measure", None)
        best = self._best()
        if best is None or self.anchored:
            self._begin_with(None)  # the link has an anchor, or the home agents are as near
        elif (entry := self._local_at(best)) is not None:
            self._begin_with(entry.address)
        else:
            prefix = Prefix.of(best, _LENGTH)
            home = Home(prefix.address[:8] + self._entropy.take(8), prefix, best, self.configuration.anchors)
            self._adopt(home)
            self._begin_with(home.address if home.address in self.homes else None)
            self._reconsider()

    def _best(self) -> Address | None:
        """The nearest anchor, if it is nearer than a home agent, and enough nearer than the one in use."""
        known = [
            (one.distance, remote)
            for remote, one in self.candidates.items()
            if one.distance is not None and one.refused_until <= self._now
        ]
        if not known:
            return None
        distance, best = min(known)
        used = self.homes[self.nearest].agent if self.nearest in self.homes else None
        others = self._home_agents() if used is None else [*self._home_agents(), used]
        for other in others:
            reference = self.candidates.get(other, Candidate()).distance
            if reference is not None and other != best and not _nearer(distance, reference):
                return used if other == used else None
        return best

    def _local_at(self, agent: Address) -> HomeEntry | None:
        """What this node has there already, not on the link itself."""
        entries = (entry for entry in self.homes.values() if entry.local and entry.agent == agent)
        return next((entry for entry in entries if entry.place is not Place.HOME), None)

    def _begin_with(self, address: Address | None) -> None:
        """New sessions use it, or, when it is None, what they would use without."""
        if address == self.nearest:
            return
        self.nearest = address
        self._report("nearest-anchor", home=address, agent=None if address is None else self.homes[address].agent)
        for entry in self.homes.values():
            self._show_again(entry)

    def _is_unwanted(self, entry: HomeEntry) -> bool:
        return super()._is_unwanted(entry) and entry.address != self.nearest

    def _drop_local(self, entry: HomeEntry) -> None:
        """Who refused, or revoked, is not asked again soon."""
        if entry.address == self.nearest:
            known = self.candidates.get(entry.agent or b"")
            if known is not None:
                known.refused_until = max(known.refused_until, self._now + _REFUSED)
            self.nearest = None
            self._after(_WAIT, "nearest", None)
        super()._drop_local(entry)


def _nearer(distance: Duration, reference: Duration) -> bool:
    return distance * _GAIN[1] < reference * _GAIN[0] and reference - distance > _GAIN_MIN
