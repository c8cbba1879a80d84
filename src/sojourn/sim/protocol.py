"""What is simulated: the protocol and its settings, as one value that every part of the simulator understands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sojourn.wire.units import HOUR, MILLISECOND, SECOND, Duration

Mode = Literal["proxy", "relay", "locator", "direct", "pmipv6", "mipv6", "none"]
"""RFC 8885 3.4, 3.2, 3.3; routers that tell each other, as each knows where a node comes from; RFC 5213 with one anchor
for all; RFC 6275 (hosts help themselves); and no mobility at all (sessions break at a move)."""

WireMode = Literal["off", "size", "full"]
"""Messages as objects; with their octets counted; really encoded and decoded. Equal in result."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Routers that die (`sojourn.sim.outages`): at `at`, or by chance."""

    routers: tuple[int, ...] = ()
    """Their places; empty: any."""
    at: tuple[Duration, ...] = ()
    """As many as routers, or one for all, or several for one."""
    every: Duration = 0
    """In place of `at`: mean time between two deaths."""
    lasting: Duration = 30 * SECOND
    """0: for ever."""
    partners: bool = False
    """Each pool has one: the router with the least delay."""
    interval: Duration = 250 * MILLISECOND
    misses: int = 3
    hold: Duration = 5 * SECOND
    gives_up: Duration = 60 * SECOND
    """A session that stands still for longer is lost."""


@dataclass(frozen=True, slots=True)
class ProtocolSettings:
    """Settings of the simulated domain."""

    mode: Mode = "proxy"
    database: int | None = None
    """The place of the central database (or anchor); None: `Topology.best_place`."""
    lifetime: Duration = 1 * HOUR
    """Lifetime of a registration."""
    idle_hold: Duration = 1 * SECOND
    """An old prefix retires when its last session has been over for this long."""
    processing: Duration = 0
    """Time that each engine takes for a message."""
    loss: float = 0.0
    """Share of messages that the network loses."""
    anchors: bool = True
    """With ``mipv6``: hosts keep an address of each access router as long as sessions use it (RFC 8818). If not, they
    have one home address, at the central anchor."""
    route_optimisation: bool = False
    """With ``mipv6``: correspondent nodes take the direct way (RFC 6275 5.2)."""
    wireless: Duration = 0
    """One-way delay of the access link, for what hosts say themselves (``mipv6``)."""
    tells_previous: bool = True
    """With ``direct``: the access link says which router a node comes from. If not, the
    nearest routers are asked (32 at the most)."""
    advertise_confirmed: bool = False
    """A new prefix is announced when the registration is confirmed, not at once."""
    failures: Failures | None = None
    """Only where routers are MAARs."""

    @property
    def has_one_anchor(self) -> bool:
        """Whether all prefixes are those of one place."""
        return self.mode == "pmipv6" or (self.mode == "mipv6" and not self.anchors)
