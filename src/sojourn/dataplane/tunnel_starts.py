"""Where a mobile node's tunnels start and end, for each care-of address in use; with the kernel's SRv6 code, or ip6tnl.

`SegmentStarts`: a veth pair of our own has a copy of the address. The kernel makes the address of a tunnel's nominal
device the source of the outer header, and looks the real way up packet by packet. A tunnel moves to another care-of
address when its route is replaced by one through the other pair; no packet is lost in between. The pair that is left
serves the next move.

`HeaderStarts`: a route says both outer addresses to one ip6tnl device, and another one for each care-of address takes
packets out that a route of table `decapsulation` let pass (see `tunnels`).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Protocol

from sojourn.dataplane import links, objects
from sojourn.dataplane.encapsulation import HeaderTunnel, SegmentTunnel
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.object_parts import AF_INET6, RTM_GETADDR
from sojourn.dataplane.objects import InterfaceAddress, Rule
from sojourn.dataplane.routes import RTN_BLACKHOLE, RTN_THROW, Nexthop, Route
from sojourn.dataplane.settings import TRIAL, TUNNEL_OVERHEAD, LinuxSettings
from sojourn.dataplane.tunnels import AUTO, GATEWAY
from sojourn.wire.addresses import ANY, Address, Prefix, address

_MADE_BEFORE = 2
_NOBODY = address("100::1")
"""Of the discard prefix (RFC 6666)."""
_SEGMENT = 24
"""Octets that the kernel leaves for a header that it does not send with one segment."""


class TunnelStarts(Protocol):
    """One way to do it. Raises OSError."""

    name: str

    def prepare(self) -> None:
        """Everything stands that a move needs. Raises OSError where the kernel cannot do it."""
        ...

    def take_stock(self) -> None:
        """What an earlier life left is ours."""
        ...

    def addresses(self) -> list[InterfaceAddress]:
        """The copies of care-of addresses."""
        ...

    def objects(self) -> Iterator[Route | Rule]:
        """What stands as long as we run."""
        ...

    def into(self, route: Route, care_of: Address, remote: Address, used: AbstractSet[Address]) -> Route:
        """`route`, through the tunnel; addresses that are not `used` may lose what they have."""
        ...

    def out_of(self, care_of: Address, remote: Address, used: AbstractSet[Address]) -> Route:
        """What takes packets of the tunnel out."""
        ...

    def remove(self) -> None:
        """No device is left."""
        ...


class SegmentStarts:
    """Veth pairs by care-of address."""

    name = "seg6"

    def __init__(self, netlink: Netlink, settings: LinuxSettings) -> None:
        self._netlink = netlink
        self._settings = settings
        self._mtu = settings.tunnel_mtu + TUNNEL_OVERHEAD + _SEGMENT
        self._stems = tuple(f"{end}-c" for end in settings.loop)
        self._devices: dict[int, Address | None] = {}
        """Our near ends, each with the address that it has."""

    def take_stock(self) -> None:
        """Those of an earlier life are ours."""
        found = {link.index for link in links.links(self._netlink).values() if link.name.startswith(self._stems[0])}
        self._devices = dict.fromkeys(found)
        for body in self._netlink.dump(RTM_GETADDR, objects.addresses_request(AF_INET6)):
            placed = objects.parse_address(body)
            if placed is not None and placed.device in self._devices:
                self._devices[placed.device] = placed.address

    def prepare(self) -> None:
        """There are as many as a move needs, so that it takes one message to the kernel."""
        while len(self._devices) < _MADE_BEFORE:
            self._make()
        way = (next(iter(self._devices)), None, SegmentTunnel(_NOBODY))
        trial = Nexthop(self._settings.nexthops + TRIAL, *way)
        self._netlink.request(trial.ensure(), trial.withdraw())

    def objects(self) -> Iterator[Route | Rule]:
        yield from ()

    def into(self, route: Route, care_of: Address, remote: Address, used: AbstractSet[Address]) -> Route:
        return route._replace(device=self.at(care_of, used), tunnel=SegmentTunnel(remote))

    def out_of(self, care_of: Address, remote: Address, used: AbstractSet[Address]) -> Route:
        table, here = self._settings.tables.decapsulation, Prefix(care_of, 128)
        return Route(table, here, Prefix(remote, 128), device=self.at(care_of, used), decapsulate=True)

    def addresses(self) -> list[InterfaceAddress]:
        """What they have."""
        return [InterfaceAddress(device, own, 128) for device, own in self._devices.items() if own]

    def at(self, care_of: Address, used: AbstractSet[Address]) -> int:
        """The device that makes `care_of` the source; one whose address is not `used` may get this one."""
        for device, own in self._devices.items():
            if own == care_of:
                return device
        free = [device for device, own in self._devices.items() if own is None or own not in used]
        device = free[0] if free else self._make()
        before = self._devices.get(device)
        self._netlink.request(InterfaceAddress(device, care_of, 128, preferred=False).ensure())
        if before is not None:
            self._netlink.request(InterfaceAddress(device, before, 128).withdraw())
        self._devices[device] = care_of
        return device

    def _make(self) -> int:
        """Must run in the network namespace that is meant."""
        found = links.links(self._netlink)
        number = next(number for number in range(1, 1000) if f"{self._stems[0]}{number}" not in found)
        near, far = (f"{stem}{number}" for stem in self._stems)
        links.add_veth(self._netlink, near, far, self._mtu)
        found = links.links(self._netlink)
        links.write_setting(f"conf/{near}/use_oif_addrs_only", 1)
        for name in (near, far):
            links.raise_quiet(self._netlink, found[name].index, self._mtu)
        self._devices[found[near].index] = None
        return found[near].index

    def address_of(self, device: int) -> Address | None:
        """What it has; None when it is none of ours."""
        return self._devices.get(device)

    def is_ours(self, name: str) -> bool:
        """Whether an interface is one of them."""
        return name.startswith(self._stems)

    def remove(self) -> None:
        """None is left."""
        for link in links.links(self._netlink).values():
            if link.name.startswith(self._stems[0]):
                links.delete_link(self._netlink, link.index)
        self._devices.clear()


class HeaderStarts:
    """ip6tnl devices: one to send with, one for each care-of address."""

    name = "ip6tnl"

    def __init__(self, netlink: Netlink, settings: LinuxSettings) -> None:
        self._netlink = netlink
        self._settings = settings
        self._entry = 0
        self._stem = f"{settings.tunnels[1]}-c"
        self._exits: dict[str, Address | None] = {}

    def prepare(self) -> None:
        self._netlink.request(self._nothing_comes_in().ensure())  # before there is anything to come in
        name = self._settings.tunnels[0]
        found = links.links(self._netlink)
        if name not in found:
            try:
                links.add_tunnel_entry(self._netlink, name)
            except FileExistsError as error:
                raise OSError(error.errno, "another ip6tnl interface is in external mode; there can be one") from error
            found = links.links(self._netlink)
        self._entry = found[name].index
        links.raise_quiet(self._netlink, self._entry, self._settings.tunnel_mtu)

    def take_stock(self) -> None:
        found = links.links(self._netlink).values()
        self._exits = {link.name: link.tunnel_end for link in found if link.name.startswith(self._stem)}

    def addresses(self) -> list[InterfaceAddress]:
        return []

    def objects(self) -> Iterator[Route | Rule]:
        yield self._nothing_comes_in()
        yield Route(self._settings.tables.decapsulation, ANY, kind=RTN_BLACKHOLE)

    def into(self, route: Route, care_of: Address, remote: Address, used: AbstractSet[Address]) -> Route:
        return route._replace(device=self._entry, gateway=GATEWAY, tunnel=HeaderTunnel(remote, care_of))

    def out_of(self, care_of: Address, remote: Address, used: AbstractSet[Address]) -> Route:
        self._open(care_of, used)
        return Route(self._settings.tables.decapsulation, Prefix(care_of, 128), Prefix(remote, 128), RTN_THROW)

    def _open(self, care_of: Address, used: AbstractSet[Address]) -> None:
        """There is a device for what comes to `care_of`."""
        if care_of in self._exits.values():
            return
        free = [name for name, own in self._exits.items() if own is None or own not in used]
        name = free[0] if free else f"{self._stem}{len(self._exits) + 1}"
        links.add_tunnel_exit(self._netlink, name, care_of)
        links.raise_quiet(self._netlink, links.links(self._netlink)[name].index, self._settings.tunnel_mtu)
        self._exits[name] = care_of

    def _nothing_comes_in(self) -> Rule:
        return Rule(self._settings.priorities.inner_spoofing, 0, self._settings.tunnels[0])

    def remove(self) -> None:
        for link in links.links(self._netlink).values():
            if link.kind == "ip6tnl" and (link.name == self._settings.tunnels[0] or link.name in self._exits):
                links.delete_link(self._netlink, link.index)
        self._netlink.request(self._nothing_comes_in().withdraw())
        self._exits.clear()


def chosen(netlink: Netlink, settings: LinuxSettings) -> TunnelStarts:
    """What the settings ask for, or the first kind that this kernel has; it stands. Raises OSError without any."""
    refusals: list[str] = []
    kinds: tuple[type[SegmentStarts] | type[HeaderStarts], ...] = (SegmentStarts, HeaderStarts)
    for kind in kinds:
        if settings.backend not in (AUTO, kind.name):
            continue
        starts = kind(netlink, settings)
        starts.take_stock()
        try:
            starts.prepare()
            return starts
        except OSError as error:
            starts.remove()
            if error.errno == errno.EPERM:
                raise
            refusals.append(f"{kind.name}: {(error.strerror or str(error)).rstrip('.')}")
    raise OSError(errno.EOPNOTSUPP, f"this kernel has no tunnels ({'; '.join(refusals)})")
