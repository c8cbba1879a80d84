"""What the forwarding of a mobile node and of a correspondent node have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from sojourn.dataplane import links, reconcile
from sojourn.dataplane.audit import ADDRESS, DIRECT, RULES, TUNNEL, Finding
from sojourn.dataplane.direct_ways import HEADER, DirectWays
from sojourn.dataplane.kernel_ways import KernelWays
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.next_hop import NextHop
from sojourn.dataplane.object_parts import PROTOCOL, Key
from sojourn.dataplane.objects import InterfaceAddress, KernelObject
from sojourn.dataplane.routes import Route
from sojourn.dataplane.settings import LinuxSettings
from sojourn.wire.addresses import Address, Prefix

LOOPBACK = 1
"""The number of the loopback interface."""


class HostPlane:
    """What both roles have: their objects in the kernel, compared with what an earlier life left."""

    def __init__(self, settings: LinuxSettings, netlink: Netlink | None) -> None:
        self._settings = settings
        self._netlink = netlink or Netlink()
        self._snapshot: reconcile.Snapshot | None = None
        self._started = False
        self._direct_routes: dict[Key, Route] = {}
        """Past the tunnel."""

    def untouched(self) -> bool:
        """Whether no earlier life left anything in the kernel. Raises OSError."""
        return not any(True for _ in self._held()) and not any(part.found() for part in self._optimisers())

    def _optimisers(self) -> list[KernelWays | DirectWays]:
        """How route optimisation is done, if it is."""
        raise NotImplementedError

    def waiting(self, slot: int) -> tuple[int, int, int]:
        """Nothing waits."""
        return 0, 0, 0

    def _held(self, netlink: Netlink | None = None) -> Iterator[KernelObject]:
        """Everything in the kernel that is ours."""
        raise NotImplementedError

    def _static(self) -> Iterator[KernelObject]:
        """What stands as long as we run."""
        raise NotImplementedError

    def place_of(self, thing: KernelObject) -> tuple[str, tuple[Prefix, ...]]:
        """See `Audited.place_of`."""
        match thing:
            case Route() if thing.key in self._direct_routes or thing.mtu:
                return DIRECT, (thing.source if thing.source.length else thing.destination,)
            case Route(source=source) if source.length:
                return TUNNEL, (source,)
            case Route(tunnel=tunnel) if tunnel is not None:
                return TUNNEL, ()
            case InterfaceAddress(address=address):
                return ADDRESS, (Prefix(address, 128),)
            case _:
                return RULES, ()

    def other_findings(self) -> list[Finding]:
        """See `Audited.other_findings`."""
        return [finding for part in self._optimisers() for finding in part.findings()]

    def restore_others(self, places: Collection[str]) -> None:
        """See `Audited.restore_others`."""
        if DIRECT in places:
            for part in self._optimisers():
                part.restore()

    def remove(self, things: Iterable[KernelObject]) -> None:
        """See `Audited.remove`."""
        self._netlink.request(*(thing.withdraw() for thing in things))

    def _routes(self, *tables: int, netlink: Netlink | None = None) -> Iterator[KernelObject]:
        for table in tables:
            yield from reconcile.routes(netlink or self._netlink, table)

    def _rules(self, *tables: int, netlink: Netlink | None = None) -> Iterator[KernelObject]:
        for rule in reconcile.rules(netlink or self._netlink):
            if rule.protocol == PROTOCOL and rule.table in tables:
                yield rule

    def _ensure(self, *things: KernelObject) -> None:
        snapshot = self._snapshot
        self._netlink.request(*(thing.ensure() for thing in things if snapshot is None or not snapshot.claim(thing)))

    def _withdraw(self, *things: KernelObject) -> None:
        if self._snapshot is not None:
            for thing in things:
                self._snapshot.forget(thing)
        self._netlink.request(*(thing.withdraw() for thing in things))

    def tick(self) -> None:
        """Nothing here is for a while only."""

    def _begin(self) -> None:
        self._snapshot = reconcile.Snapshot(self._held(), set())

    def _finish(self) -> list[str]:
        if self._snapshot is None:
            return []
        left, self._snapshot = self._snapshot.left(), None
        self._netlink.request(*(thing.withdraw() for thing in left))
        return [str(thing) for thing in left]

    def _withdraw_all(self) -> None:
        left = reconcile.Snapshot(self._held(), set()).left()
        self._netlink.request(*(thing.withdraw() for thing in left))

    def _lead_directly(self, route: Route) -> None:
        self._ensure(route)
        self._direct_routes[route.key] = route

    def _lead_directly_no_more(self, route: Route) -> None:
        self._direct_routes.pop(route.key, None)
        self._withdraw(route)

    def _direct_route(self, table: int, destination: Address, source: Prefix, hop: NextHop) -> Route:
        mtu = self._settings.mtu - HEADER
        return Route(table, Prefix(destination, 128), source, device=hop.device, gateway=hop.gateway, mtu=mtu)

    def _links(self) -> dict[int, links.Link]:
        return {link.index: link for link in links.links(self._netlink).values()}


def in_turn(*steps: Callable[[], None]) -> None:
    """All of them, whatever the others do; the first refusal is raised at the end."""
    refusals = []
    for step in steps:
        try:
            step()
        except OSError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


def link_name(found: dict[int, links.Link], device: int) -> str:
    """Empty when there is none."""
    link = found.get(device)
    return "" if link is None else link.name
