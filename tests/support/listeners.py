"""An MLD proxy on a table: nodes say what they listen to, and what holds because of it is looked at."""

from __future__ import annotations

from dataclasses import replace

from sojourn.core.clock import Timers
from sojourn.core.effects import Effect, QueryListeners, Report
from sojourn.dataplane.memory import MemoryDataplane
from sojourn.engines.configuration import MulticastConfiguration
from sojourn.engines.multicast_proxy import Key, MulticastProxy
from sojourn.wire.addresses import Address, address
from sojourn.wire.listeners import MulticastAddressRecord, RecordType
from sojourn.wire.units import Duration, Instant

G, H = address("ff0e::1234"), address("ff0e::5678")
SSM = address("ff3e::8000:1")
S1, S2, S3 = (address(f"2001:db8:5::{number}") for number in (1, 2, 3))
NODES = {name: b"\x05" + bytes((2, 0, 0, 0, 0, number)) for number, name in enumerate("abcdefgh", 1)}
CONFIGURATION = MulticastConfiguration("core0", ("acc0", "acc1"))
LISTENING: Duration = 2 * CONFIGURATION.query_interval + CONFIGURATION.query_response_interval
"""The Multicast Address Listening Interval (RFC 3810 9.4)."""


def record(kind: RecordType, group: Address, *sources: Address) -> MulticastAddressRecord:
    return MulticastAddressRecord(kind, group, sources)


def is_in(group: Address, *sources: Address) -> MulticastAddressRecord:
    return record(RecordType.MODE_IS_INCLUDE, group, *sources)


def is_ex(group: Address, *sources: Address) -> MulticastAddressRecord:
    return record(RecordType.MODE_IS_EXCLUDE, group, *sources)


def to_in(group: Address, *sources: Address) -> MulticastAddressRecord:
    return record(RecordType.CHANGE_TO_INCLUDE_MODE, group, *sources)


def to_ex(group: Address, *sources: Address) -> MulticastAddressRecord:
    return record(RecordType.CHANGE_TO_EXCLUDE_MODE, group, *sources)


def allow(group: Address, *sources: Address) -> MulticastAddressRecord:
    return record(RecordType.ALLOW_NEW_SOURCES, group, *sources)


def block(group: Address, *sources: Address) -> MulticastAddressRecord:
    return record(RecordType.BLOCK_OLD_SOURCES, group, *sources)


class Table:
    """A `MulticastProxy` with timers and a data plane. Nodes are called a to h."""

    def __init__(self, **settings: object) -> None:
        self.now: Instant = 0
        self.plane = MemoryDataplane()
        self.effects: list[Effect] = []
        self.queries: list[tuple[Instant, QueryListeners]] = []
        self.reports: list[Report] = []
        self.timers: Timers[Key] = Timers()
        self.configuration = replace(CONFIGURATION, **settings)  # type: ignore[arg-type]
        self.proxy = MulticastProxy(self.configuration, self._do, self.timers.start, self.timers.stop)

    def _do(self, effect: Effect) -> None:
        self.effects.append(effect)
        if isinstance(effect, QueryListeners):
            self.queries.append((self.now, effect))
        elif isinstance(effect, Report):
            self.reports.append(effect)
        else:
            self.plane.apply(effect)  # type: ignore[arg-type]

    def attach(self, *names: str, interface: str = "acc0") -> None:
        for name in names:
            self.proxy.attached(NODES[name], interface, NODES[name][1:], self.now)

    def depart(self, name: str) -> None:
        self.proxy.departed(NODES[name], self.now)

    def say(self, name: str, *records: MulticastAddressRecord, interface: str = "acc0", old: bool = False) -> None:
        self.proxy.reported(NODES[name], interface, records, old, self.now)

    def run(self, duration: Duration) -> None:
        end = self.now + duration
        while (deadline := self.timers.deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            key = self.timers.pop_due(self.now)
            assert key is not None
            self.proxy.due(key, self.now)
        self.now = end

    # --- looking --------------------------------------------------------------------------------------------------

    @property
    def routes(self) -> dict[tuple[Address, Address | None], tuple[str, ...]]:
        return self.plane.state.multicast_routes

    @property
    def upstream(self) -> dict[Address, tuple[bool, frozenset[Address]]]:
        """What the network was asked for: whether all sources but, and which."""
        return {group: (joined.excluding, frozenset(joined.sources)) for group, joined in self._memberships}

    @property
    def _memberships(self):  # type: ignore[no-untyped-def]
        return self.plane.state.memberships.items()

    def goes_to(self, group: Address, source: Address) -> tuple[str, ...]:
        """Where a packet from upstream goes: as the kernel looks it up."""
        routes = self.routes
        return routes.get((group, source), routes.get((group, None), ()))

    def refused(self) -> list[str | int]:
        """Why something was refused."""
        return [report.detail["reason"] for report in self.reports if report.name == "group-refused"]
