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

import contextlib
import errno
from collections.abc import Iterator

from sojourn.dataplane import links, local_rule
from sojourn.dataplane.links import IPV4
from sojourn.dataplane.local_rule import LOCAL_TABLE, MAIN_TABLE
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.object_parts import AF_INET, AF_INET6
from sojourn.dataplane.objects import InterfaceAddress, KernelObject, Neighbour, Rule
from sojourn.dataplane.routes import RTN_BLACKHOLE, RTN_THROW, Nexthop, Route
from sojourn.dataplane.settings import SLOTS, LinuxSettings
from sojourn.dataplane.transport import Ipv4Transport, end_transport
from sojourn.dataplane.tunnels import Tunnels, Way, leftovers, prepared
from sojourn.wire.addresses import ANY, ANY_IPV4, Address, Prefix, prefix

_IPV4_IN_IPV6, _IPV6_IN_IPV6 = 4, 41
_ALIAS_OCTETS = 255
GROUPS = prefix("ff00::/8")
_ON_LINK = prefix("ff02::/16")
"""Groups that no router forwards: neighbour discovery and listener reports among them."""
_ANSWER_FOR_OTHERS = ("proxy_arp", "proxy_arp_pvlan")
"""Settings with which the kernel answers ARP for nodes of the same subnet: none of them is on the link of another."""


def _to_groups(priority: int, table: int, interface: str, groups: Prefix, source: Prefix | None = None) -> Rule:
    return Rule(priority, table, interface, groups.address, destination_length=groups.length, source=source)


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
        self.tunnels: Tunnels
        """Chosen by `prepare`."""
        self.transport: Ipv4Transport | None = None
        """Where some peers are reached over IPv4."""
        if settings.transport is not None:
            self.transport = Ipv4Transport(netlink, settings)
        self.sources: dict[Address, int] = {}
        """The interface that makes each address of ours the source of a tunnel."""

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

    def prepare(self, *, tunnels: bool = True) -> None:
        """The loop and the access interfaces are as they should be. Raises OSError when one does not exist.

        Without `tunnels` these are somebody else's business.
        """
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
        self.sources[settings.address] = self.near
        for address, pair in zip(settings.path_addresses, self._path_pairs(), strict=True):
            self.sources[address] = self._prepare_path(pair)
        found = self._look()
        before = _Before.parse(found[near].alias + found[far].alias)
        if before.complete([found[name] for name in settings.access], settings.ipv4):
            self._remember(before, found[near].index, found[far].index)
        for name in (near, far):
            links.raise_quiet(self._netlink, found[name].index, settings.tunnel_mtu)
        # The source of every tunnelled packet is sought among this end's one address only, not among all there are.
        links.write_setting(f"conf/{near}/use_oif_addrs_only", 1)
        self._prepare_hold(near)
        if tunnels:
            self.tunnels = prepared(self._netlink, settings, self.near)
        if self.transport is not None:
            self.transport.prepare()
        links.write_setting("conf/all/forwarding", 1)
        if settings.ipv4:
            links.write_setting("ip_forward", 1, IPV4)
        for name in settings.access:
            links.write_setting(f"conf/{name}/accept_ra", 0)
            if settings.ipv4:
                for setting in _ANSWER_FOR_OTHERS:
                    links.write_setting(f"conf/{name}/{setting}", 1, IPV4)
            if settings.link_layer is not None and found[name].link_layer != settings.link_layer:
                links.set_link_layer(self._netlink, found[name].index, settings.link_layer)

    def _path_pairs(self) -> list[tuple[str, str]]:
        """A veth pair for each address that some tunnels begin at, named after the loop."""
        near, far = self._settings.loop
        return [(f"{near}-{number}", f"{far}-{number}") for number in range(1, len(self._settings.path_addresses) + 1)]

    def _prepare_path(self, pair: tuple[str, str]) -> int:
        """The near end: the source of a tunnel is the address of its nominal device."""
        found = self._look()
        if pair[0] not in found:
            links.add_veth(self._netlink, *pair, self._settings.tunnel_mtu)
            found = self._look()
        for name in pair:
            links.raise_quiet(self._netlink, found[name].index, self._settings.tunnel_mtu)
        links.write_setting(f"conf/{pair[0]}/use_oif_addrs_only", 1)
        return found[pair[0]].index

    def _prepare_hold(self, near: str) -> None:
        """A neighbour that is looked for in vain is given up after `hold_seconds`, with all packets that wait."""
        links.write_setting(f"neigh/{near}/retrans_time_ms", 1000)
        links.write_setting(f"neigh/{near}/mcast_solicit", self._settings.hold_seconds)
        if self._settings.buffer:
            links.write_setting(f"neigh/{near}/unres_qlen_bytes", self._settings.hold_octets)

    def change(self, settings: dict[str, str]) -> None:
        """Settings of the kernel (``net/ipv6/...``) have these values; `restore` puts back what they were."""
        found = self._look()
        near, far = (found[name] for name in self._settings.loop)
        before = _Before.parse(near.alias + far.alias)
        new = {name: links.read_setting(name) for name in settings if name not in before.settings}
        if new:
            before.settings |= new
            self._remember(before, near.index, far.index)
        for name, value in settings.items():
            links.write_setting(name, value)

    def _remember(self, before: _Before, near: int, far: int) -> None:
        record = str(before)
        if len(record) > 2 * _ALIAS_OCTETS:
            raise OSError(errno.E2BIG, "more access interfaces than sojourn can restore; it can restore about 30")
        links.set_alias(self._netlink, near, record[:_ALIAS_OCTETS])
        links.set_alias(self._netlink, far, record[_ALIAS_OCTETS:])

    def way_to(self, remote: Address) -> Way:
        """Into the tunnel to a peer, over IPv6 or IPv4."""
        if self.transport is not None and self.transport.leads_to(remote):
            return self.transport.to(remote)
        return self.tunnels.to(remote)

    @property
    def round_trip(self) -> Neighbour:
        """The neighbour that leads round the loop."""
        return Neighbour(self.near, station(SLOTS), self.far_link_layer)

    def objects(self) -> Iterator[KernelObject]:
        """What stands in the kernel, in an order that loses no packet while it is put there."""
        settings, tables, priorities = self._settings, self._settings.tables, self._settings.priorities
        for address in (settings.address, *settings.path_addresses):
            yield InterfaceAddress(self.sources[address], address, 128)
        yield self.round_trip
        yield Nexthop(settings.nexthops + SLOTS, self.near, gateway=station(SLOTS))
        yield Route(tables.oversize, ANY, nexthop=settings.nexthops + SLOTS)
        yield Route(tables.sources, ANY, kind=RTN_BLACKHOLE)
        yield from self.tunnels.objects()
        if self.transport is not None:
            yield from self.transport.objects()
        if settings.ipv4:
            yield from self._ipv4_objects()
        if settings.link_local is not None:
            for name in settings.access:
                yield InterfaceAddress(self.index(name), settings.link_local)
        for name in settings.access:
            # A node must not pass for a peer: what it sends in a tunnel comes from its own prefix, or goes.
            yield Rule(priorities.inner_spoofing, tables.sources, name, ip_protocol=_IPV6_IN_IPV6)
            if settings.ipv4:
                yield Rule(priorities.inner_spoofing, tables.sources, name, ip_protocol=_IPV4_IN_IPV6)
            yield Rule(priorities.sources, tables.sources, name)
        if settings.upstream:
            yield from self._multicast_objects()
        for name in (*settings.access, settings.loop[1]):
            yield Rule(priorities.uplinks, tables.uplinks, name)
            if not settings.local_routing:
                yield Rule(priorities.uplinks_first, tables.uplinks, name)
                yield Rule(priorities.plain, MAIN_TABLE, name)
        yield from self._drops()
        if settings.handovers:
            mark, mask = settings.forwarded_mark, settings.mark_mask
            for family in (AF_INET6, AF_INET) if settings.ipv4 else (AF_INET6,):
                yield Rule(priorities.forwarded, settings.forwarded_table, mark=mark, mask=mask, family=family)
        yield Rule(priorities.oversize, tables.oversize, mark=settings.mark, mask=settings.mark_mask)
        yield Rule(priorities.nodes, tables.nodes)
        if local_rule.is_first_or_ours(self._netlink, priorities):
            yield Rule(priorities.local, LOCAL_TABLE)
        for own in settings.addresses:
            yield Rule(priorities.decapsulation, tables.decapsulation, destination=own, ip_protocol=_IPV6_IN_IPV6)

    def announcements(self) -> Iterator[Route]:
        """What a routing daemon is to tell the network, when what is behind it stands."""
        table, metric = self._settings.tables.pools, self._settings.announced_metric
        return (Route(table, own, kind=RTN_BLACKHOLE, metric=metric) for own in self._settings.announced)

    def _multicast_objects(self) -> Iterator[KernelObject]:
        """Who may send to groups: nodes, with an address of our pool; at a MAG nobody. No route can say so, as the
        kernel passes over routes that drop when it looks for a group.

        A packet that goes upstream is heard by this router too, where it is a listener, and would come down once
        more. The packet filter drops that copy; without one, nodes may not send to groups.
        """
        settings, priorities = self._settings, self._settings.priorities
        for name in settings.access:
            yield _to_groups(priorities.multicast, LOCAL_TABLE, name, _ON_LINK)
            if settings.counters and settings.pool is not None:
                yield _to_groups(priorities.multicast, LOCAL_TABLE, name, GROUPS, settings.pool)
            yield _to_groups(priorities.stray_groups, 0, name, GROUPS)

    def _ipv4_objects(self) -> Iterator[KernelObject]:
        """The same for packets of IPv4, whose tunnels are of IPv6. Sources are the filter's business."""
        settings, tables, priorities = self._settings, self._settings.tables, self._settings.priorities
        yield Route(tables.oversize, ANY_IPV4, nexthop=settings.nexthops + SLOTS)
        for peer, (mark, table) in settings.ipv4_ways.items():
            way = self.way_to(peer)
            yield Route(table, ANY_IPV4, device=way.device, gateway=way.gateway, tunnel=way.tunnel)
            yield Rule(priorities.uplinks, table, mark=mark, mask=settings.mark_mask, family=AF_INET)
        yield Rule(priorities.oversize, tables.oversize, mark=settings.mark, mask=settings.mark_mask, family=AF_INET)
        yield Rule(priorities.nodes, tables.nodes, family=AF_INET)
        to_us, inner = settings.address, _IPV4_IN_IPV6
        yield Rule(priorities.decapsulation, tables.decapsulation_ipv4, destination=to_us, ip_protocol=inner)

    def _drops(self) -> Iterator[KernelObject]:
        """What nobody has a way for and must not go round in circles."""
        settings, tables, priorities = self._settings, self._settings.tables, self._settings.priorities
        if settings.drop_unassigned:
            for pool in settings.pools:
                yield Route(tables.nodes, pool, kind=RTN_BLACKHOLE)
            if settings.ipv4_pool is not None:
                yield Route(tables.nodes, settings.ipv4_pool, kind=RTN_BLACKHOLE)
        if settings.drop_strays:
            if not settings.handovers:
                yield Rule(priorities.strays, 0, mark=settings.stray_mark, mask=settings.mark_mask)
                return
            yield Route(settings.strays_table, ANY, kind=RTN_BLACKHOLE)
            # What goes on to another router keeps its mark, and is looked up once more.
            yield Route(settings.strays_table, ANY, Prefix(settings.address, 128), RTN_THROW)
            for mark in (settings.stray_mark, settings.forwarded_mark):
                yield Rule(priorities.strays, settings.strays_table, mark=mark, mask=settings.mark_mask)

    def move_local(self) -> None:
        """The rule for `local` at 0 goes, now that ours stands: tunnelled packets to us are seen first."""
        local_rule.move(self._netlink)

    def remove_leftovers(self) -> None:
        """Devices for tunnels that an earlier life used, and this one does not, are gone."""
        self._remove(leftovers(self._netlink, self._settings, self.tunnels))
        self._remove_paths()
        if self.transport is not None:
            self.transport.finish()
        else:
            end_transport(self._settings)

    def _remove_paths(self) -> None:
        """Pairs for addresses that tunnels began at in an earlier life are gone."""
        stem, known = f"{self._settings.loop[0]}-", {near for near, _ in self._path_pairs()}
        found = self._look()
        for name in found:
            if name.startswith(stem) and name.removeprefix(stem).isdigit() and name not in known:
                links.delete_link(self._netlink, found[name].index)

    def remove_tunnels(self) -> None:
        """No device for tunnels is left."""
        self._remove(leftovers(self._netlink, self._settings, None))
        end_transport(self._settings)

    def _remove(self, devices: Iterator[int]) -> None:
        for index in devices:
            links.delete_link(self._netlink, index)

    def restore_local(self) -> None:
        """The rule for `local` is at 0 again, if it was we who moved it."""
        local_rule.restore(self._netlink, self._settings.priorities)

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
            for setting, value in zip(_ANSWER_FOR_OTHERS, before.answering.get(link.index, ""), strict=False):
                links.write_setting(f"conf/{link.name}/{setting}", value, IPV4)
        for setting, value in before.settings.items():
            with contextlib.suppress(FileNotFoundError):  # the interface is gone
                links.write_setting(setting, value)
        for name in (near, *(pair[0] for pair in self._path_pairs() if pair[0] in found)):
            links.delete_link(self._netlink, found[name].index)
        if before.forwarding is not None:
            links.write_setting("conf/all/forwarding", before.forwarding)
        if before.forwarding_ipv4 is not None:
            links.write_setting("ip_forward", before.forwarding_ipv4, IPV4)


class _Before:
    """How things were, as one short line: ``sojourn 0 2:02005e000001:1``, forwarding, then interfaces.

    Where IPv4 is spoken: ``ipv4:0 ipv4.2:00`` too, forwarding, and for whom interfaces answered ARP. Other settings as
    ``/conf/lan0/proxy_ndp=0``.
    """

    def __init__(self) -> None:
        self.forwarding: str | None = None
        self.interfaces: dict[int, tuple[bytes, str]] = {}
        self.forwarding_ipv4: str | None = None
        self.answering: dict[int, str] = {}
        self.settings: dict[str, str] = {}

    @classmethod
    def parse(cls, line: str) -> _Before:
        """What `str` wrote; damaged parts are passed over."""
        before = cls()
        words = line.split()
        if len(words) < 2 or words[0] != "sojourn":
            return before
        before.forwarding = words[1]
        for word in words[2:]:
            if word.startswith("/"):
                name, _, value = word[1:].rpartition("=")
                before.settings[name] = value
                continue
            index, _, rest = word.partition(":")
            link_layer, _, accept_ra = rest.partition(":")
            if index.isdigit() and accept_ra.isdigit():
                before.interfaces[int(index)] = (bytes.fromhex(link_layer), accept_ra)
            elif index == IPV4 and rest.isdigit():
                before.forwarding_ipv4 = rest
            elif index.startswith(f"{IPV4}.") and index[5:].isdigit() and rest.isdigit():
                before.answering[int(index[5:])] = rest
        return before

    def complete(self, access: list[links.Link], ipv4: bool) -> bool:
        """Add what is not known yet, as it is now; whether anything was added."""
        changed = self.forwarding is None
        if self.forwarding is None:
            self.forwarding = links.read_setting("conf/all/forwarding")
        if ipv4 and self.forwarding_ipv4 is None:
            self.forwarding_ipv4 = links.read_setting("ip_forward", IPV4)
            changed = True
        for link in access if ipv4 else ():
            if link.index not in self.answering:
                settings = [links.read_setting(f"conf/{link.name}/{name}", IPV4) for name in _ANSWER_FOR_OTHERS]
                self.answering[link.index] = "".join(settings)
                changed = True
        for link in access:
            if link.index not in self.interfaces:
                accept_ra = links.read_setting(f"conf/{link.name}/accept_ra")
                self.interfaces[link.index] = (link.link_layer, accept_ra)
                changed = True
        return changed

    def __str__(self) -> str:
        words = ["sojourn", self.forwarding or "0"]
        words += [f"{index}:{mac.hex()}:{accept_ra}" for index, (mac, accept_ra) in self.interfaces.items()]
        if self.forwarding_ipv4 is not None:
            words.append(f"{IPV4}:{self.forwarding_ipv4}")
        words += [f"{IPV4}.{index}:{values}" for index, values in self.answering.items()]
        words += [f"/{name}={value}" for name, value in self.settings.items()]
        return " ".join(words)
