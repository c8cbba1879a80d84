"""The air: where hosts are, and how they move."""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.wire.units import Instant


@dataclass(frozen=True, slots=True)
class RoamTimes:
    """When each step of a roam was done, in ns of CLOCK_MONOTONIC (``time.monotonic_ns``)."""

    host: str
    source: str | None
    """Access router that was left; None: the host was in no cell."""
    target: str | None
    """Access router that was joined; None: the host is in no cell now."""
    start: Instant
    disassociated: Instant
    """From here on no frame passes between host and old cell."""
    noticed: Instant | None
    """The old router's bridge was told; None without notice."""
    associated: Instant | None
    """From here on frames pass between host and new cell."""
    announced: Instant | None
    """The Layer 2 Update frame is in the new router's bridge: its attach event."""


class Air:
    """Moves hosts between the cells of access routers. Made by `Lab`."""

    def roam(
        self,
        host: str,
        router: str,
        *,
        outage: float = 0.0,
        notice: bool = True,
        carrier: bool = False,
        make_before_break: float = 0.0,
    ) -> RoamTimes:
        """`host` leaves its cell and joins that of `router`. Blocks for `outage` seconds (and `make_before_break`).

        `outage`: time between disassociation and association. `notice`: the old router sees the host leave (its FDB
        entry goes). `carrier`: the host's link goes down at disassociation and up at association.
        `make_before_break`: the new router hears of the host this many seconds before its frames move.
        Raises KeyError for unknown names.
        """
        raise NotImplementedError

    def detach(self, host: str, *, notice: bool = True, carrier: bool = False) -> RoamTimes:
        """`host` leaves its cell and joins none."""
        raise NotImplementedError

    def where(self, host: str) -> str | None:
        """The access router in whose cell `host` is."""
        raise NotImplementedError
