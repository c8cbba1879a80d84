"""The ways that flows take (RFC 6089): for the n-th care-of address of every node a mark, a rule and a table.

    rule    `fwmark n lookup TABLE n`, before all other ways
    table   home agent: for each address and network of a node with such a flow, the tunnel to that care-of address
            mobile node: `default from HOME`, the tunnel from that care-of address
            correspondent node: the direct way to that care-of address

So there are eight rules at most, however many nodes there are. `flow_filter` sets the marks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sojourn.core.mobile_effects import Flow
from sojourn.dataplane import reconcile
from sojourn.dataplane.flow_filter import FlowFilter, MarkedFlow
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.objects import KernelObject, Rule
from sojourn.dataplane.routes import Route
from sojourn.dataplane.settings import LinuxSettings
from sojourn.wire.addresses import Address, Prefix

RouteTo = Callable[[int, Address, Prefix], Route]
"""The route in this table, through the tunnel to or from this care-of address, for a prefix of the node."""


@dataclass(slots=True)
class _Node:
    prefixes: tuple[Prefix, ...] = ()
    numbers: dict[Address, int] = field(default_factory=dict)
    """Of its care-of addresses that flows go to."""
    flows: tuple[Flow, ...] = ()
    routes: set[Route] = field(default_factory=set)


class FlowWays:
    """`ensure` and `withdraw` are those of the plane that this belongs to."""

    def __init__(
        self,
        settings: LinuxSettings,
        netlink: Netlink,
        flow_filter: FlowFilter,
        ensure: Callable[..., None],
        withdraw: Callable[..., None],
        ways: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self._settings = settings
        self._ways = settings.flow_ways if ways is None else ways
        """Marks and tables."""
        self._netlink = netlink
        self._filter = flow_filter
        self._ensure = ensure
        self._withdraw = withdraw
        self._nodes: dict[int, _Node] = {}
        self._left: set[Route] = set()
        """Of an earlier life."""

    # --- life -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """What is there of an earlier life goes on until `finish`."""
        self._nodes = {}
        self._filter.begin()
        self._left = set(self._found())

    def finish(self) -> list[str]:
        """What nobody asked for again is gone; answers with it, for the log."""
        kept = {route for node in self._nodes.values() for route in node.routes}
        left, self._left = self._left - kept, set()
        if left:
            self._withdraw(*left)
        self._filter.finish()
        return [str(route) for route in sorted(left, key=str)]

    def reassert(self) -> None:
        """Everything is put into the kernel again."""
        for node in self._nodes.values():
            if node.routes:
                self._ensure(*self._rules(node), *node.routes)

    def objects(self) -> Iterator[KernelObject]:
        """What should hold. May be called in another thread."""
        for node in list(self._nodes.values()):
            if node.routes:
                yield from self._rules(node)
                yield from node.routes

    def held(self, netlink: Netlink) -> Iterator[KernelObject]:
        """What of it the kernel holds; rules that no flow needs any more stay, and lead nowhere."""
        needed = set(self.objects())
        for _, table in self._ways:
            yield from reconcile.routes(netlink, table)
        yield from (rule for rule in reconcile.rules(netlink) if rule in needed)

    def owns(self, thing: KernelObject) -> bool:
        """Whether it is a rule or route of flows."""
        return isinstance(thing, Rule | Route) and thing.table in {table for _, table in self._ways}

    def remove(self) -> None:
        """Nothing of it is left."""
        self._filter.remove()
        ours = {table for _, table in self._ways}
        rules: list[KernelObject] = [rule for rule in reconcile.rules(self._netlink) if rule.table in ours]
        self._withdraw(*self._found(), *rules)
        self._nodes = {}

    def leave(self) -> None:
        """Let go; flows stay as they are."""
        self._filter.close()

    def _found(self) -> list[Route]:
        tables = [table for _, table in self._ways]
        found = [thing for table in tables for thing in reconcile.routes(self._netlink, table)]
        return [thing for thing in found if isinstance(thing, Route)]

    # --- flows ------------------------------------------------------------------------------------------------------

    def flows_of(self, owner: int) -> tuple[Flow, ...]:
        """What was asked for last."""
        node = self._nodes.get(owner)
        return () if node is None else node.flows

    def ways_of(self, owner: int) -> dict[Address, tuple[int, int]]:
        """Mark and table of each care-of address that flows go to."""
        node = self._nodes.get(owner)
        return {} if node is None else {care_of: self._ways[number] for care_of, number in node.numbers.items()}

    def put(self, owner: int, prefixes: Iterable[Prefix], flows: Sequence[Flow], to: RouteTo) -> None:
        """Tunnels first, then the marks that lead into them; and the other way round for what ends."""
        node = self._nodes.setdefault(owner, _Node())
        node.prefixes, node.flows = tuple(sorted(prefixes)), tuple(flows)
        wanted = dict.fromkeys(flow.care_of_address for flow in flows)
        numbers = {care_of: number for care_of, number in node.numbers.items() if care_of in wanted}
        free = [number for number in range(len(self._ways)) if number not in node.numbers.values()]
        for care_of in wanted:
            if care_of not in numbers:
                numbers[care_of] = free.pop(0) if free else 0
        node.numbers = numbers
        ways = self._ways
        routes = {
            to(ways[number][1], care_of, prefix) for care_of, number in numbers.items() for prefix in node.prefixes
        }
        before, node.routes = node.routes, routes
        if routes:
            self._ensure(*self._rules(node), *routes)
        marked = [MarkedFlow(flow.selector, ways[numbers[flow.care_of_address]][0]) for flow in flows]
        self._filter.put(owner, node.prefixes, marked)
        kept = {route.key for route in routes}
        ended = [route for route in before if route.key not in kept]
        if ended:
            self._withdraw(*ended)
        if not flows:
            del self._nodes[owner]

    def follow(self, owner: int, prefixes: Iterable[Prefix], to: RouteTo) -> None:
        """The node has these prefixes now."""
        node = self._nodes.get(owner)
        if node is not None and set(node.prefixes) != set(prefixes):
            self.put(owner, prefixes, node.flows, to)

    def _rules(self, node: _Node) -> list[Rule]:
        ways, mask = self._ways, self._settings.mark_mask
        used = sorted(set(node.numbers.values()))
        return [
            Rule(self._settings.priorities.flows, ways[number][1], mark=ways[number][0], mask=mask) for number in used
        ]
