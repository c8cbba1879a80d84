"""What should hold, as the sum of the effects so far.

The memory backend is this and nothing else. The Linux backend keeps one to install everything again after the kernel
forgot it (an interface that went down takes its nexthops along) and to know the way of a slot before it is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from sojourn.core.effects import (
    EnsureCounter,
    EnsureDelivery,
    EnsureFlowToNode,
    EnsureFlowToRouter,
    EnsureHold,
    EnsureLogicalInterface,
    EnsureMembership,
    EnsureMulticastRoute,
    EnsurePaths,
    EnsurePool,
    EnsurePrefix,
    EnsureQueue,
    EnsureRate,
    EnsureShortcut,
    EnsureSpread,
    EnsureTransport,
    EnsureTunnel,
    EnsureUplink,
    ForgetMulticast,
    ForgetStation,
    ForwardingEffect,
    WithdrawCounter,
    WithdrawLogicalInterface,
    WithdrawMembership,
    WithdrawMulticastRoute,
    WithdrawPool,
    WithdrawPrefix,
    WithdrawQueue,
    WithdrawRate,
    WithdrawShortcut,
    WithdrawSlot,
    WithdrawSpread,
    WithdrawTransport,
    WithdrawUplink,
)
from sojourn.core.engine import Row
from sojourn.wire.addresses import Address, Prefix, link_layer_text, text

Queued: TypeAlias = EnsureQueue | EnsureFlowToNode | EnsureFlowToRouter
"""A queue of a slot, and where it leads."""
OneWay: TypeAlias = EnsureDelivery | EnsureTunnel | EnsureHold | Queued
Way: TypeAlias = OneWay | EnsurePaths
"""Where a slot points."""


@dataclass(slots=True)
class ForwardingState:
    """What should hold. Insertion order is kept, so that installing it again follows the order of the effects."""

    transports: dict[Address, EnsureTransport] = field(default_factory=dict)
    """Routers that are reached over IPv4."""
    slots: dict[int, Way] = field(default_factory=dict)
    forwarded: dict[int, Queued] = field(default_factory=dict)
    """Where what other routers forward to a slot goes, if not where everything goes."""
    prefixes: dict[Prefix, int] = field(default_factory=dict)
    pools: set[Prefix] = field(default_factory=set)
    """Of other anchors, which the network leads here."""
    uplinks: dict[Prefix, Address | None] = field(default_factory=dict)
    spreads: dict[Prefix, tuple[Address, ...]] = field(default_factory=dict)
    shortcuts: dict[tuple[Prefix, Prefix], Address | None] = field(default_factory=dict)
    rates: dict[Prefix, tuple[int, int]] = field(default_factory=dict)
    """Bits a second to each prefix, and from it."""
    counters: set[Prefix] = field(default_factory=set)
    logical_interfaces: set[tuple[str, Address]] = field(default_factory=set)
    multicast_routes: dict[tuple[Address, Address | None], tuple[str, ...]] = field(default_factory=dict)
    """By group and source."""
    memberships: dict[Address, EnsureMembership] = field(default_factory=dict)

    def record(self, effect: ForwardingEffect) -> None:
        """`effect` should hold from now on."""
        match effect:  # what every node has comes first, as each case before it takes time
            case EnsurePrefix():
                self.prefixes[effect.prefix] = effect.slot
            case EnsureCounter():
                self.counters.add(effect.prefix)
            case EnsureTunnel() | EnsureDelivery() | EnsurePaths() | EnsureHold():
                self.slots[effect.slot] = effect
            case EnsureTransport(remote):
                self.transports[remote] = effect
            case WithdrawTransport(remote):
                self.transports.pop(remote, None)
            case EnsureQueue(slot, forwarded) | EnsureFlowToNode(slot, forwarded) | EnsureFlowToRouter(slot, forwarded):
                if forwarded:
                    self.forwarded[slot] = effect
                else:
                    self.slots[slot] = effect
            case WithdrawQueue(slot):
                self.forwarded.pop(slot, None)
            case WithdrawSlot(slot):
                self.slots.pop(slot, None)
                self.forwarded.pop(slot, None)
                for prefix in [prefix for prefix, used in self.prefixes.items() if used == slot]:
                    del self.prefixes[prefix]  # as in the kernel: routes go with their nexthop
            case WithdrawPrefix(prefix):
                self.prefixes.pop(prefix, None)
            case EnsurePool(pool):
                self.pools.add(pool)
            case WithdrawPool(pool):
                self.pools.discard(pool)
            case EnsureUplink(prefix, anchor):
                self.uplinks[prefix] = anchor
            case WithdrawUplink(prefix):
                self.uplinks.pop(prefix, None)
            case EnsureSpread(prefix, sources):
                self.spreads[prefix] = sources
            case WithdrawSpread(prefix):
                self.spreads.pop(prefix, None)
            case EnsureShortcut(source, destination, remote):
                self.shortcuts[source, destination] = remote
            case WithdrawShortcut(source, destination):
                self.shortcuts.pop((source, destination), None)
            case EnsureRate(prefix, downlink, uplink):
                self.rates[prefix] = downlink, uplink
            case WithdrawRate(prefix):
                self.rates.pop(prefix, None)
            case WithdrawCounter(prefix):
                self.counters.discard(prefix)
            case EnsureLogicalInterface(interface, link_local):
                self.logical_interfaces.add((interface, link_local))
            case WithdrawLogicalInterface(interface, link_local):
                self.logical_interfaces.discard((interface, link_local))
            case EnsureMulticastRoute(group, source, interfaces):
                self.multicast_routes[group, source] = interfaces
            case WithdrawMulticastRoute(group, source):
                self.multicast_routes.pop((group, source), None)
            case EnsureMembership():
                self.memberships[effect.group] = effect
            case WithdrawMembership(group):
                self.memberships.pop(group, None)
            case ForgetStation() | ForgetMulticast():
                pass  # an order, not a state
            case _:
                assert_never(effect)

    def effects(self) -> Iterator[ForwardingEffect]:
        """Effects that make all of this hold, in an order that the kernel accepts."""
        for interface, link_local in sorted(self.logical_interfaces):
            yield EnsureLogicalInterface(interface, link_local)
        yield from self.transports.values()
        yield from self.slots.values()
        yield from self.forwarded.values()
        for prefix, slot in self.prefixes.items():
            yield EnsurePrefix(prefix, slot)
        for pool in sorted(self.pools):
            yield EnsurePool(pool)
        for prefix, anchor in self.uplinks.items():
            yield EnsureUplink(prefix, anchor)
        for prefix, sources in self.spreads.items():
            yield EnsureSpread(prefix, sources)
        for pair, remote in self.shortcuts.items():
            yield EnsureShortcut(*pair, remote)
        for prefix, rates in self.rates.items():
            yield EnsureRate(prefix, *rates)
        for prefix in sorted(self.counters):
            yield EnsureCounter(prefix)
        for (group, source), interfaces in self.multicast_routes.items():
            yield EnsureMulticastRoute(group, source, interfaces)
        yield from self.memberships.values()

    def surplus(self, asked: ForwardingState) -> list[ForwardingEffect]:
        """Effects that withdraw what is here and not in `asked`."""
        withdrawals: list[ForwardingEffect] = [WithdrawPool(pool) for pool in sorted(self.pools - asked.pools)]
        withdrawals += [WithdrawCounter(prefix) for prefix in sorted(self.counters - asked.counters)]
        withdrawals += [WithdrawRate(prefix) for prefix in self.rates if prefix not in asked.rates]
        withdrawals += [WithdrawSpread(prefix) for prefix in self.spreads if prefix not in asked.spreads]
        withdrawals += [WithdrawShortcut(*pair) for pair in self.shortcuts if pair not in asked.shortcuts]
        withdrawals += [WithdrawUplink(prefix) for prefix in self.uplinks if prefix not in asked.uplinks]
        withdrawals += [WithdrawPrefix(prefix) for prefix in self.prefixes if prefix not in asked.prefixes]
        withdrawals += [WithdrawQueue(slot) for slot in self.forwarded if slot not in asked.forwarded]
        withdrawals += [WithdrawSlot(slot) for slot in self.slots if slot not in asked.slots]
        withdrawals += [WithdrawTransport(remote) for remote in self.transports if remote not in asked.transports]
        identities = sorted(self.logical_interfaces - asked.logical_interfaces)
        withdrawals += [WithdrawLogicalInterface(*identity) for identity in identities]
        withdrawals += [WithdrawMembership(group) for group in self.memberships if group not in asked.memberships]
        routes = [route for route in self.multicast_routes if route not in asked.multicast_routes]
        withdrawals += [WithdrawMulticastRoute(*route) for route in routes]
        return withdrawals

    def rows(self, counts: dict[Prefix, int]) -> list[Row]:
        """For people: every prefix with its two ways and its counter."""
        rows: list[Row] = []
        for prefix in sorted(self.prefixes.keys() | self.uplinks.keys() | self.counters):
            slot = self.prefixes.get(prefix)
            rows.append(
                {
                    "prefix": str(prefix),
                    "slot": slot,
                    "downlink": _way_text(self.slots.get(slot)) if slot is not None else None,
                    "uplink": self._uplink_text(prefix),
                    "packets": counts.get(prefix),
                }
            )
        return rows

    def _uplink_text(self, prefix: Prefix) -> str | None:
        if prefix not in self.uplinks:
            return None
        anchor = self.uplinks[prefix]
        return "plain" if anchor is None else f"tunnel {text(anchor)}"


def _way_text(way: Way | None) -> str:
    match way:
        case None:
            return "nothing"
        case EnsureDelivery(_, interface, link_layer):
            return f"{interface} {link_layer_text(link_layer)}"
        case EnsureTunnel(_, remote):
            return f"tunnel {text(remote)}"
        case EnsurePaths(_, remotes):
            return "tunnels " + ", ".join(map(text, remotes))
        case EnsureHold():
            return "hold"
        case EnsureQueue():
            return "queue"
        case EnsureFlowToNode(_, _, interface, link_layer):
            return f"queue, then {interface} {link_layer_text(link_layer)}"
        case EnsureFlowToRouter(_, _, remote):
            return f"queue, then tunnel {text(remote)}"
        case _:
            assert_never(way)
