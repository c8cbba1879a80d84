"""Route optimisation by eBPF: maps and filters of a mobile node, or of a correspondent node (see `header_programs`).

The filters stay when we go, with the maps that they use. A new life makes maps of its own, and attaches filters in
front of those that it finds: what it does not know is still done as before, until `finish` takes the old ones away.
"""

from __future__ import annotations

import struct

from sojourn.dataplane import classifier, links
from sojourn.dataplane.audit import DIRECT, LEFT, MISSING, Finding
from sojourn.dataplane.bpf import HASH, Map, Program, Token
from sojourn.dataplane.classifier import EGRESS, INGRESS, PREFERENCE, Filter
from sojourn.dataplane.header_programs import HEADER, HOME_ADDRESS, TYPE_2, arriving, leaving
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.settings import LinuxSettings
from sojourn.wire.addresses import Address

__all__ = ["HEADER", "DirectWays"]

NAMES = ("sojourn-mn", "sojourn-cn")
"""Of the filters of a mobile node, and of a correspondent node."""
_ETHERNET, _ETHERNET_HEADER = 1, 14


class DirectWays:
    """Maps and filters. `correspondent`: those of such a node. Opening raises OSError where eBPF is refused."""

    def __init__(
        self, netlink: Netlink, correspondent: bool, entries: int, mask: int = LinuxSettings.mark_mask
    ) -> None:
        self._netlink = netlink
        self._mask = mask
        self._out, self._in = (TYPE_2, HOME_ADDRESS) if correspondent else (HOME_ADDRESS, TYPE_2)
        self._name = NAMES[correspondent]
        # Both roles on one machine: the Home Address option goes in first, then the routing header in front of it.
        self._preference = PREFERENCE + correspondent
        self._token = Token()
        self._programs: dict[tuple[int, int], Program] = {}
        self._old: list[Filter] = []
        self._devices: set[int] = set()
        self._opened: list[Map | Token] = [self._token]
        try:
            self._ways = Map("sojourn-ways", HASH, 20 if correspondent else 36, 16, entries, self._token)
            self._opened.append(self._ways)
            self._pairs = Map("sojourn-pairs", HASH, 32, 8, entries, self._token)
            self._opened.append(self._pairs)
            self._program(INGRESS, _ETHERNET_HEADER)
        except OSError:
            self.leave()
            raise

    def begin(self) -> None:
        """Filters of an earlier life stay until `finish`."""
        self._old = self.found()

    def finish(self) -> list[str]:
        """They are gone; answers with their names."""
        old, self._old = self._old, []
        for one in old:
            classifier.detach(self._netlink, one)
        for device in {one.device for one in old}:
            classifier.tidy(self._netlink, device)  # this life may need none there, and would not know of it
        return [str(one) for one in old]

    def attach(self, device: links.Link) -> None:
        """Packets through this interface go through the programs; twice is harmless."""
        if device.index in self._devices:
            return
        link_header = _ETHERNET_HEADER if device.hardware == _ETHERNET else 0
        for parent in (INGRESS, EGRESS):
            descriptor = self._program(parent, link_header).descriptor
            classifier.attach(self._netlink, device.index, parent, self._name, descriptor, self._preference)
        self._devices.add(device.index)

    def reassert(self) -> None:
        """Interfaces may have come back without their filters."""
        there = {one.device for one in self.found() if one not in self._old}
        self._devices &= there

    def send(self, addresses: bytes, care_of: Address, mark: int = 0) -> None:
        """Packets with these addresses (source and destination; of a correspondent node the destination) have a header
        and go from, or to, `care_of`: those with this mark, or all for which no other is said."""
        self._ways[addresses + struct.pack("=I", mark)] = care_of

    def send_plainly(self, addresses: bytes, mark: int = 0) -> None:
        """They do not."""
        self._ways.discard(addresses + struct.pack("=I", mark))

    def take(self, care_of: Address, home: Address) -> None:
        """Packets with a header that says `home`, and `care_of` in front, are taken for those of the home address."""
        key = care_of + home
        try:
            self._pairs[key]
        except KeyError:
            self._pairs[key] = bytes(8)

    def take_no_more(self, care_of: Address, home: Address) -> int:
        """They are not; answers with how many there were."""
        taken = self.taken(care_of, home)
        self._pairs.discard(care_of + home)
        return taken

    def taken(self, care_of: Address, home: Address) -> int:
        """How many there were so far."""
        try:
            return int(struct.unpack("=Q", self._pairs[care_of + home])[0])
        except KeyError:
            return 0

    def findings(self) -> list[Finding]:
        """Interfaces that lack a filter, or have one that nobody asked for. Raises OSError."""
        names = {link.index: link.name for link in links.links(self._netlink).values()}
        there = {(one.device, one.parent) for one in self.found()}
        should = {(device, parent) for device in self._devices & names.keys() for parent in (INGRESS, EGRESS)}
        found = []
        for word, places in ((MISSING, should - there), (LEFT, there - should)):
            for device, parent in sorted(places):
                side = "in" if parent == INGRESS else "out"
                found.append(Finding(word, DIRECT, f"filter {self._name} on the way {side} at {names[device]}"))
        return found

    def restore(self) -> None:
        """Interfaces that lack one have none, until what follows `reassert` attaches both; nor have others any."""
        found = self.found()
        there = {(one.device, one.parent) for one in found}
        self._devices = {one for one in self._devices if {(one, INGRESS), (one, EGRESS)} <= there}
        for one in found:
            if one.device not in self._devices:
                classifier.detach(self._netlink, one)

    def remove(self) -> None:
        """No filter of ours is left, and no qdisc that stands empty."""
        for one in self.found():
            classifier.detach(self._netlink, one)
            classifier.tidy(self._netlink, one.device)

    def leave(self) -> None:
        """Let go; filters stay."""
        for one in (*self._programs.values(), *self._opened):
            one.close()

    def found(self) -> list[Filter]:
        """Filters of ours that the kernel has. Raises OSError."""
        return [one for one in filters_left(self._netlink) if one.name == self._name]

    def _program(self, parent: int, link_header: int) -> Program:
        key = (parent, link_header)
        if key not in self._programs:
            if parent == EGRESS:
                code = leaving(self._out, self._ways.descriptor, link_header, self._mask)
            else:
                code = arriving(self._in, self._pairs.descriptor, link_header)
            self._programs[key] = Program(self._name, code, self._token)
        return self._programs[key]


def filters_left(netlink: Netlink) -> list[Filter]:
    """All filters with our names in this namespace. Raises OSError."""
    devices = [link.index for link in links.links(netlink).values()]
    sides = [(device, parent) for device in devices for parent in (INGRESS, EGRESS)]
    return [one for side in sides for one in classifier.filters(netlink, *side) if one.name in NAMES]
