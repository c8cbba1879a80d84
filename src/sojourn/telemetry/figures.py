"""What is measured, as plain values: taken in the event loop, which is quick, and read by another thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sojourn.dataplane.tunnel_traffic import Traffic
from sojourn.host.signalling import Flow
from sojourn.telemetry.meter import Histogram
from sojourn.wire.addresses import Address


@dataclass(frozen=True)
class RoleFigures:
    """One role of the daemon at one moment."""

    role: str
    counters: Mapping[str, int] = field(default_factory=dict)
    """As ``sojourn show counters`` tells them."""
    signalling: Mapping[Flow, tuple[int, int]] = field(default_factory=dict)
    """Messages and octets."""
    reactivity: Mapping[str, Histogram] = field(default_factory=dict)
    """By kind (`sojourn.telemetry.meter`)."""
    delays: Mapping[str, Histogram] = field(default_factory=dict)
    durations: Histogram | None = None
    """Of sessions that are over."""
    sessions: int = 0
    session_seconds: float = 0.0
    """That the sessions that there are have lasted, all together."""
    users: Mapping[int, int] = field(default_factory=dict)
    """How many have so many sessions."""
    nodes: int = 0
    """Entries of the role's own table: nodes that it knows."""
    icmpv6: Mapping[tuple[bool, int], int] = field(default_factory=dict)
    tunnels: int = 0
    """Far ends that packets are sent to now."""
    encapsulation: str = ""
    traffic: Mapping[Address | None, Traffic] | None = None
    """By far end; None: the kernel does not count."""
    awaits_store: bool = False
    """A store that several share has not answered yet."""
    pools_held: Mapping[Address, bool] = field(default_factory=dict)
    """Of a MAAR: anchors that it is partner of, and whether it holds their pools."""


@dataclass(frozen=True)
class SeatFigures:
    """Of one of several machines that may be the LMA at one address."""

    anchor: Address
    active: bool
    """It is this one, and answers."""
    epoch: int
    """How often the lease changed hands, as it was seen last; 0: it was not seen yet."""
    taken: int
    """How often this daemon became the anchor."""
    retired: int
    """How often it gave that up without being told to stop."""
    partner_alive: bool | None = None
    """Whether the other machine would take over; None: there is no ``[lma.pair]``."""


@dataclass(frozen=True)
class Figures:
    """The whole daemon."""

    version: str
    started: float
    """Wall-clock time, in seconds."""
    roles: tuple[RoleFigures, ...] = ()
    lateness: float = 0.0
    """How late the event loop was at worst since the last look, in seconds."""
    problems: tuple[str, ...] = ()
    """Why the daemon is not healthy; empty: it is."""
    names: Mapping[Address, str] = field(default_factory=dict)
    """Routers by the names that the configuration gives them."""
    seat: SeatFigures | None = None
    """None: no other machine can be the LMA here."""
