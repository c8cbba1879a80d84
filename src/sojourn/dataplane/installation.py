"""What stands in the kernel as long as the data plane runs, whoever the nodes are; and how it was before.

* A veth pair of our own, the *loop*. Its near end carries our tunnel address and is the nominal device of every
  tunnel: the kernel then takes that address as the outer source (RFC 6724 rule 5; ``ip sr tunsrc`` is refused in a
  user namespace), looks the real way up packet by packet, and an uplink that goes down takes no nexthop along. A
  nexthop on the loop whose neighbour is unknown makes packets wait; one whose neighbour is the far end leads packets
  round, where the MTU, the tunnel's, is checked.
* Rules and the entries of tables that do not depend on nodes.
* Each access interface shows the shared link-layer and link-local address (RFC 6543) and heeds no router.

What was there before is written on the loop's two ends (``ip link show`` calls it alias) before it is changed, so
that a later life can restore it. Starting is idempotent, from whatever state an earlier life left.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from sojourn.dataplane import links
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.objects import (
    RTN_BLACKHOLE,
    RTN_THROW,
    InterfaceAddress,
    KernelObject,
    Neighbour,
    Nexthop,
    Route,
    Rule,
)
from sojourn.dataplane.reconcile import rules
from sojourn.dataplane.settings import LinuxSettings
from sojourn.wire.addresses import ANY, Address, Prefix

_LOCAL_TABLE, _MAIN_TABLE = 255, 254
_PROTOCOL_KERNEL = 2
_IPV6_IN_IPV6 = 41
_ALIAS_OCTETS = 255
SLOTS = (1 << 24) - 1
"""Slots are below this; the number itself is the nexthop that leads round the loop."""


def station(slot: int) -> Address:
    """The link-local address that stands for a slot's node. It exists in our neighbour table only."""
    return b"\xfe\x80" + bytes(6) + b"\x50\x52\0\0" + slot.to_bytes(4, "big")


class Installation:
    """The static part. `prepare` first."""

    def __init__(self, netlink: Netlink, settings: LinuxSettings) -> None:
        self._netlink = netlink
        self._settings = settings
        self.near = 0
        """The end of the loop that packets are sent to."""
        self.far_link_layer = b""
        self.indices: dict[str, int] = {}
        """Interfaces by name, as of the last look."""
        self.bridges: set[str] = set()

    def index(self, name: str) -> int:
        """The interface `name`. Raises OSError ENODEV."""
        if name not in self.indices:
            self._look()
        if name not in self.indices:
            raise OSError(errno.ENODEV, f"no interface {name}")
        return self.indices[name]

    def _look(self) -> dict[str, links.Link]:
        found = links.links(self._netlink)
        self.indices = {name: link.index for name, link in found.items()}
        self.bridges = {name for name, link in found.items() if link.kind == "bridge"}
        return found

    def prepare(self) -> None:
        """The loop and the access interfaces are as they should be. Raises OSError when one does not exist."""
        settings = self._settings
        found = self._look()
        for name in settings.access:
            if name not in found:
                raise OSError(errno.ENODEV, f"no interface {name}")
        near, far = settings.loop
        if near not in found:
            links.add_veth(self._netlink, near, far, settings.tunnel_mtu)
            found = self._look()
        self.near = found[near].index
        self.far_link_layer = found[far].link_layer
        before = _Before.parse(found[near].alias + found[far].alias)
        if before.complete(found[name] for name in settings.access):
            self._remember(before, found[near].index, found[far].index)
        for name in (near, far):
            links.raise_quiet(self._netlink, found[name].index, settings.tunnel_mtu)
        # The source of every tunnelled packet is sought among this end's one address only, not among all there are.
        links.write_setting(f"conf/{near}/use_oif_addrs_only", 1)
        self._prepare_hold(near)
        links.write_setting("conf/all/forwarding", 1)
        for name in settings.access:
            links.write_setting(f"conf/{name}/accept_ra", 0)
            if settings.link_layer is not None and found[name].link_layer != settings.link_layer:
                links.set_link_layer(self._netlink, found[name].index, settings.link_layer)

    def _prepare_hold(self, near: str) -> None:
        """A neighbour that is looked for in vain is given up after `hold_seconds`, with all packets that wait."""
        links.write_setting(f"neigh/{near}/retrans_time_ms", 1000)
        links.write_setting(f"neigh/{near}/mcast_solicit", self._settings.hold_seconds)
        if self._settings.buffer:
            links.write_setting(f"neigh/{near}/unres_qlen_bytes", self._settings.hold_octets)

    def _remember(self, before: _Before, near: int, far: int) -> None:
        record = str(before)
        if len(record) > 2 * _ALIAS_OCTETS:
            raise OSError(errno.E2BIG, "more access interfaces than sojourn can restore; it can restore about 30")
        links.set_alias(self._netlink, near, record[:_ALIAS_OCTETS])
        links.set_alias(self._netlink, far, record[_ALIAS_OCTETS:])

    @property
    def round_trip(self) -> Neighbour:
        """The neighbour that leads round the loop."""
        return Neighbour(self.near, station(SLOTS), self.far_link_layer)

    def objects(self) -> Iterator[KernelObject]:
        """What stands in the kernel, in an order that loses no packet while it is put there."""
        settings, tables, priorities = self._settings, self._settings.tables, self._settings.priorities
        own = Prefix(settings.address, 128)
        yield InterfaceAddress(self.near, settings.address, 128)
        yield self.round_trip
        yield Nexthop(settings.nexthops + SLOTS, self.near, gateway=station(SLOTS))
        yield Route(tables.oversize, ANY, nexthop=settings.nexthops + SLOTS)
        # An encapsulated packet is looked up again, as if the outer header had come from the access interface.
        yield Route(tables.sources, ANY, own, RTN_THROW)
        yield Route(tables.sources, ANY, kind=RTN_BLACKHOLE)
        for peer in settings.peers:
            source = Prefix(peer, 128)
            yield Route(tables.decapsulation, own, source, device=self.near, decapsulate=True)
        if settings.link_local is not None:
            for name in settings.access:
                yield InterfaceAddress(self.index(name), settings.link_local)
        for name in settings.access:
            # A node must not pass for a peer: what it sends in a tunnel comes from its own prefix, or goes.
            yield Rule(priorities.inner_spoofing, tables.sources, name, ip_protocol=_IPV6_IN_IPV6)
            yield Rule(priorities.sources, tables.sources, name)
        for name in (*settings.access, settings.loop[1]):
            yield Rule(priorities.uplinks, tables.uplinks, name)
            if not settings.local_routing:
                yield Rule(priorities.uplinks_first, tables.uplinks, name)
                yield Rule(priorities.plain, _MAIN_TABLE, name)
        yield from self._drops()
        if settings.handovers:
            mark, mask = settings.forwarded_mark, settings.mark_mask
            yield Rule(priorities.forwarded, settings.forwarded_table, mark=mark, mask=mask)
        yield Rule(priorities.oversize, tables.oversize, mark=settings.mark, mask=settings.mark_mask)
        yield Rule(priorities.nodes, tables.nodes)
        if self._local_is_first_or_ours():
            yield Rule(priorities.local, _LOCAL_TABLE)
        yield Rule(
            priorities.decapsulation,
            tables.decapsulation,
            destination=settings.address,
            ip_protocol=_IPV6_IN_IPV6,
        )

    def _drops(self) -> Iterator[KernelObject]:
        """What nobody has a way for and must not go round in circles."""
        settings, tables, priorities = self._settings, self._settings.tables, self._settings.priorities
        if settings.drop_unassigned:
            for pool in settings.pools:
                yield Route(tables.nodes, pool, kind=RTN_BLACKHOLE)
        if settings.drop_strays:
            yield Route(tables.strays, ANY, kind=RTN_BLACKHOLE)
            if settings.handovers:  # what goes on to another router keeps its mark, and is looked up once more
                yield Route(tables.strays, ANY, Prefix(settings.address, 128), RTN_THROW)
            marks = (settings.stray_mark, *([settings.forwarded_mark] if settings.handovers else []))
            for mark in marks:
                yield Rule(priorities.strays, tables.strays, mark=mark, mask=settings.mark_mask)

    def _local_is_first_or_ours(self) -> bool:
        """Whether the rule for `local` has to move. Raises OSError where it stands in the way otherwise."""
        priorities = self._settings.priorities
        found = [rule for rule in rules(self._netlink) if rule.table == _LOCAL_TABLE]
        if any(0 < rule.priority <= priorities.decapsulation for rule in found):
            raise OSError(errno.EEXIST, f"the rule for table local must stand after {priorities.decapsulation}")
        return any(rule.priority in (0, priorities.local) for rule in found)

    def move_local(self) -> None:
        """The rule for `local` at 0 goes, now that ours stands: tunnelled packets to us are seen first."""
        for rule in rules(self._netlink):
            if rule.table == _LOCAL_TABLE and rule.priority == 0:
                self._netlink.request(rule.withdraw())

    def restore_local(self) -> None:
        """The rule for `local` is at 0 again, if it was we who moved it."""
        found = [rule for rule in rules(self._netlink) if rule.table == _LOCAL_TABLE]
        ours = Rule(self._settings.priorities.local, _LOCAL_TABLE)
        if ours in found and all(rule.priority != 0 for rule in found):
            self._netlink.request(Rule(0, _LOCAL_TABLE, protocol=_PROTOCOL_KERNEL).ensure())

    def restore(self) -> None:
        """Interfaces and settings are as they were, and the loop is gone."""
        found = self._look()
        near, far = self._settings.loop
        if near not in found:
            return
        before = _Before.parse(found[near].alias + found[far].alias)
        for link in found.values():
            if link.index in before.interfaces:
                link_layer, accept_ra = before.interfaces[link.index]
                links.write_setting(f"conf/{link.name}/accept_ra", accept_ra)
                if link_layer != link.link_layer:
                    links.set_link_layer(self._netlink, link.index, link_layer)
        links.delete_link(self._netlink, found[near].index)
        if before.forwarding is not None:
            links.write_setting("conf/all/forwarding", before.forwarding)


class _Before:
    """How things were, as one short line: ``sojourn 0 2:02005e000001:1``, forwarding, then interfaces."""

    def __init__(self) -> None:
        self.forwarding: str | None = None
        self.interfaces: dict[int, tuple[bytes, str]] = {}

    @classmethod
    def parse(cls, line: str) -> _Before:
        """What `str` wrote; damaged parts are passed over."""
        before = cls()
        words = line.split()
        if len(words) < 2 or words[0] != "sojourn":
            return before
        before.forwarding = words[1]
        for word in words[2:]:
            index, _, rest = word.partition(":")
            link_layer, _, accept_ra = rest.partition(":")
            if index.isdigit() and accept_ra.isdigit():
                before.interfaces[int(index)] = (bytes.fromhex(link_layer), accept_ra)
        return before

    def complete(self, access: Iterator[links.Link]) -> bool:
        """Add what is not known yet, as it is now; whether anything was added."""
        changed = self.forwarding is None
        if self.forwarding is None:
            self.forwarding = links.read_setting("conf/all/forwarding")
        for link in access:
            if link.index not in self.interfaces:
                accept_ra = links.read_setting(f"conf/{link.name}/accept_ra")
                self.interfaces[link.index] = (link.link_layer, accept_ra)
                changed = True
        return changed

    def __str__(self) -> str:
        words = ["sojourn", self.forwarding or "0"]
        words += [f"{index}:{mac.hex()}:{accept_ra}" for index, (mac, accept_ra) in self.interfaces.items()]
        return " ".join(words)
