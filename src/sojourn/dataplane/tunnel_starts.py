"""Where a mobile node's tunnels start: for each care-of address in use a veth pair of our own that has a copy of it.

The kernel makes the address of a tunnel's nominal device the source of the outer header, and looks the real way up
packet by packet. A tunnel moves to another care-of address when its route is replaced by one through the other pair; no
packet is lost in between. The pair that is left serves the next move.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from sojourn.dataplane import links, objects
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.objects import InterfaceAddress
from sojourn.dataplane.settings import TUNNEL_OVERHEAD, LinuxSettings
from sojourn.wire.addresses import Address

_MADE_BEFORE = 2
_SEGMENT = 24
"""Octets that the kernel leaves for a header that it does not send with one segment."""


class TunnelStarts:
    """Devices by care-of address. Raises OSError."""

    def __init__(self, netlink: Netlink, settings: LinuxSettings) -> None:
        self._netlink = netlink
        self._mtu = settings.tunnel_mtu + TUNNEL_OVERHEAD + _SEGMENT
        self._stems = tuple(f"{end}-c" for end in settings.loop)
        self._devices: dict[int, Address | None] = {}
        """Our near ends, each with the address that it has."""

    def take_stock(self) -> None:
        """Those of an earlier life are ours."""
        found = {link.index for link in links.links(self._netlink).values() if link.name.startswith(self._stems[0])}
        self._devices = dict.fromkeys(found)
        for body in self._netlink.dump(objects.RTM_GETADDR, objects.addresses_request(objects.AF_INET6)):
            placed = objects.parse_address(body)
            if placed is not None and placed.device in self._devices:
                self._devices[placed.device] = placed.address

    def prepare(self) -> None:
        """There are as many as a move needs, so that it takes one message to the kernel."""
        while len(self._devices) < _MADE_BEFORE:
            self._make()

    def addresses(self) -> list[InterfaceAddress]:
        """What they have."""
        return [InterfaceAddress(device, address, 128) for device, address in self._devices.items() if address]

    def at(self, care_of: Address, used: AbstractSet[Address]) -> int:
        """The device that makes `care_of` the source; one whose address is not `used` may get this one."""
        for device, address in self._devices.items():
            if address == care_of:
                return device
        free = [device for device, address in self._devices.items() if address is None or address not in used]
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
