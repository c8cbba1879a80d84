"""Routes and nexthop objects of the kernel, as values (see `objects`)."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from typing import NamedTuple

from sojourn.dataplane import encapsulation
from sojourn.dataplane.encapsulation import Tunnel
from sojourn.dataplane.netlink import Message, attribute, attributes, nested, u32
from sojourn.dataplane.object_parts import (
    AF_INET,
    AF_INET6,
    PROTOCOL,
    REPLACE_OR_CREATE,
    RTM_DELNEXTHOP,
    RTM_DELROUTE,
    RTM_NEWNEXTHOP,
    RTM_NEWROUTE,
    Key,
    bare,
    family_of,
    number,
    whole,
)
from sojourn.wire.addresses import ANY, UNSPECIFIED, Address, Prefix, text

RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_THROW = 1, 6, 7, 9
_KINDS = {RTN_UNICAST: "", RTN_BLACKHOLE: "blackhole ", RTN_UNREACHABLE: "unreachable ", RTN_THROW: "throw "}
_RTA_DST, _RTA_SRC, _RTA_OIF, _RTA_GATEWAY, _RTA_MULTIPATH, _RTA_TABLE = 1, 2, 4, 5, 9, 15
_RTA_PRIORITY, _RTA_PREFERRED_SOURCE, _RTA_METRICS, _RTAX_MTU = 6, 7, 8, 2
_USUAL_METRIC = 1024
"""What the kernel gives a route of IPv6 that names none."""
_RTA_VIA, _RTA_ENCAP_TYPE, _RTA_ENCAP, _RTA_NH_ID = 18, 21, 22, 30
_PATH = struct.Struct("=HBBi")
"""struct rtnexthop: its length, flags, weight - 1, interface."""
_ROUTE = struct.Struct("=BBBBBBBBI")
_RT_SCOPE_NOWHERE = 255
_END_DX4, _END_DT6 = 6, 7
_COUNTERS_KIND, _COUNTED_PACKETS = 10, 2
_COUNTERS = nested(_COUNTERS_KIND, b"".join(attribute(counter, bytes(8)) for counter in (2, 3, 4)))
_ACTION = 1
_DECAPSULATE = u32(_ACTION, _END_DT6) + u32(3, 0) + _COUNTERS
"""SEG6_LOCAL_TABLE 0: the whole policy lookup, local delivery included."""
_DECAPSULATE_IPV4 = u32(_ACTION, _END_DX4) + attribute(4, bytes(4)) + _COUNTERS
"""SEG6_LOCAL_NH4 0.0.0.0: likewise."""
_LOCAL_SEGMENT = struct.pack("=HHHxx", 6, _RTA_ENCAP_TYPE, encapsulation.SEGMENTS_LOCAL)
_NHA_GROUP = 2
_MEMBER = struct.Struct("=IBBH")
"""struct nexthop_grp: the nexthop, its weight - 1."""
_NHA_ID, _NHA_BLACKHOLE, _NHA_OIF, _NHA_GATEWAY, _NHA_ENCAP_TYPE, _NHA_ENCAP = 1, 4, 5, 6, 7, 8


class Route(NamedTuple):
    """A route in one of our tables. `source` makes it hold for packets from there only."""

    table: int
    destination: Prefix
    source: Prefix = ANY
    kind: int = RTN_UNICAST
    nexthop: int = 0
    """The number of a nexthop object; the kernel refuses one together with `source`."""
    device: int = 0
    gateway: Address | None = None
    tunnel: Tunnel | None = None
    decapsulate: bool = False
    """Take the outer header off and look the inner packet up in all tables (RFC 8986 End.DT6)."""
    decapsulate_ipv4: bool = False
    """The same for an inner packet of IPv4 (End.DX4)."""
    devices: tuple[int, ...] = ()
    """More than one: flows are spread over them, all of them with this `tunnel`, by a `gateway` that is not asked."""
    preferred_source: Address | None = None
    """Of packets of this machine that have no source address yet."""
    mtu: int = 0
    """Of packets of this machine that take this way; 0: that of the device."""
    metric: int = 0
    """Routes that differ in this stand beside each other, the lowest is taken; 0: the kernel's usual one."""

    @property
    def key(self) -> Key:
        return ("route", self.table, self.destination, self.source, self.metric)

    def _identity(self, scope: int = 0) -> bytes:
        destination, source = self.destination, self.source
        family = family_of(destination.address) if destination.length >= 96 else AF_INET6
        length = destination.length - 96 if family == AF_INET else destination.length
        body = _ROUTE.pack(family, length, source.length, 0, 0, PROTOCOL, scope, self.kind, 0)
        body += u32(_RTA_TABLE, self.table)
        if length:
            body += attribute(_RTA_DST, bare(destination.address) if family == AF_INET else destination.address)
        if source.length:
            body += attribute(_RTA_SRC, source.address)
        if self.metric:
            body += u32(_RTA_PRIORITY, self.metric)
        return body

    def ensure(self) -> Message:
        """Replace or create: no packet is lost in between."""
        body = self._identity()
        if self.preferred_source is not None:
            body += attribute(_RTA_PREFERRED_SOURCE, self.preferred_source)
        if self.mtu:
            body += nested(_RTA_METRICS, u32(_RTAX_MTU, self.mtu))
        if self.nexthop:
            body += u32(_RTA_NH_ID, self.nexthop)
        elif self.device:
            body += u32(_RTA_OIF, self.device)
        if self.devices:
            body += attribute(_RTA_MULTIPATH, b"".join(map(self._path, self.devices)))
        else:
            body += self._way()
        return Message(RTM_NEWROUTE, REPLACE_OR_CREATE, body)

    def _way(self) -> bytes:
        """Through which neighbour, into which tunnel or out of it."""
        body = b"" if self.gateway is None else attribute(_RTA_GATEWAY, self.gateway)
        if self.gateway is not None and self.destination.is_ipv4:
            body = attribute(_RTA_VIA, struct.pack("=H", AF_INET6) + self.gateway)
        if self.tunnel is not None:
            body += encapsulation.encode(self.tunnel, _RTA_ENCAP_TYPE, _RTA_ENCAP)
        if self.decapsulate:
            body += _LOCAL_SEGMENT + nested(_RTA_ENCAP, _DECAPSULATE)
        elif self.decapsulate_ipv4:
            body += _LOCAL_SEGMENT + nested(_RTA_ENCAP, _DECAPSULATE_IPV4)
        return body

    def _path(self, device: int) -> bytes:
        way = self._way()
        return _PATH.pack(_PATH.size + len(way), 0, 0, device) + way

    def withdraw(self) -> Message:
        """Whatever its scope is, which somebody else may have given it."""
        return Message(RTM_DELROUTE, 0, self._identity(_RT_SCOPE_NOWHERE), (errno.ESRCH,))

    def __str__(self) -> str:
        source = f" from {self.source}" if self.source.length else ""
        inner = " decapsulate" if self.decapsulate else " decapsulate IPv4" if self.decapsulate_ipv4 else ""
        tunnel = f" tunnel {text(self.tunnel.remote)}" if self.tunnel else inner
        way = f" via {text(self.gateway)}" if self.gateway else ""
        return f"route {_KINDS.get(self.kind, '')}{self.destination}{source}{way}{tunnel} table {self.table}"


def routes_request(table: int) -> bytes:
    """The dump request for our IPv6 routes in `table` (the kernel filters)."""
    return _ROUTE.pack(AF_INET6, 0, 0, 0, 0, PROTOCOL, 0, 0, 0) + u32(_RTA_TABLE, table)


IPV4_ROUTES_REQUEST = _ROUTE.pack(AF_INET, 0, 0, 0, 0, PROTOCOL, 0, 0, 0)
"""The dump request for our IPv4 routes in all tables."""


def parse_route(body: bytes) -> Route | None:
    """The route in a dump answer; None when it is not ours."""
    family, length, source_length, _, table, protocol, _, kind, _ = _ROUTE.unpack_from(body)
    if family not in (AF_INET, AF_INET6) or protocol != PROTOCOL:
        return None
    found = attributes(body, _ROUTE.size)
    nexthop = number(found.get(_RTA_NH_ID))
    own = kind == RTN_UNICAST and not nexthop
    several = list(paths(found.get(_RTA_MULTIPATH, b"")))
    if several:  # all of them have the same way
        found |= attributes(several[0][1])
    kind_of_tunnel = found.get(_RTA_ENCAP_TYPE) if own else None
    local = number(kind_of_tunnel) == encapsulation.SEGMENTS_LOCAL
    action = number(attributes(found.get(_RTA_ENCAP, b"")).get(_ACTION)) if local else 0
    destination = found.get(_RTA_DST, UNSPECIFIED if family == AF_INET6 else bytes(4))
    return Route(
        number(found.get(_RTA_TABLE)) or table,
        Prefix(whole(destination), length if family == AF_INET6 else length + 96),
        Prefix(found.get(_RTA_SRC, UNSPECIFIED), source_length),
        kind,
        nexthop,
        number(found.get(_RTA_OIF)) if own else 0,
        (found.get(_RTA_GATEWAY) or found.get(_RTA_VIA, b"")[2:] or None) if own else None,
        encapsulation.decode(kind_of_tunnel, found.get(_RTA_ENCAP)),
        action == _END_DT6,
        action == _END_DX4,
        tuple(device for device, _ in several),
        found.get(_RTA_PREFERRED_SOURCE),
        number(attributes(found.get(_RTA_METRICS, b"")).get(_RTAX_MTU)),
        0 if (metric := number(found.get(_RTA_PRIORITY))) == _USUAL_METRIC else metric,
    )


def packets_out(body: bytes) -> int | None:
    """Packets that the route in a dump answer took out of a tunnel; None when it does not count."""
    found = attributes(attributes(body, _ROUTE.size).get(_RTA_ENCAP, b""))
    counters = attributes(found.get(_COUNTERS_KIND, b""))
    return number(counters[_COUNTED_PACKETS]) if _COUNTED_PACKETS in counters else None


def paths(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """The interfaces of a multipath route, each with its attributes."""
    while len(octets) >= _PATH.size:
        length, _, _, device = _PATH.unpack_from(octets)
        yield device, octets[_PATH.size : length]
        octets = octets[(length + 3) & ~3 :]


class Nexthop(NamedTuple):
    """A nexthop object: where everything that refers to its number goes."""

    id: int
    device: int
    gateway: Address | None = None
    tunnel: Tunnel | None = None
    members: tuple[int, ...] = ()
    """It is a group of these: every flow takes one of them."""

    @property
    def key(self) -> Key:
        return ("nexthop", self.id)

    def ensure(self, flags: int = REPLACE_OR_CREATE) -> Message:
        """Replace or create; with `flags` NLM_F_REPLACE alone it is ENOENT when there is none to replace."""
        if self.members:
            members = b"".join(_MEMBER.pack(member, 0, 0, 0) for member in self.members)
            body = struct.pack("=BBBBI", 0, 0, PROTOCOL, 0, 0) + u32(_NHA_ID, self.id)
            return Message(RTM_NEWNEXTHOP, flags, body + attribute(_NHA_GROUP, members))
        body = struct.pack("=BBBBIHHIHHI", AF_INET6, 0, PROTOCOL, 0, 0, 8, _NHA_ID, self.id, 8, _NHA_OIF, self.device)
        if self.gateway is not None:
            body += attribute(_NHA_GATEWAY, self.gateway)
        if self.tunnel is not None:
            body += encapsulation.encode(self.tunnel, _NHA_ENCAP_TYPE, _NHA_ENCAP)
        return Message(RTM_NEWNEXTHOP, flags, body)

    def withdraw(self) -> Message:
        """The kernel removes the routes that refer to it as well."""
        body = struct.pack("=BBBBI", 0, 0, 0, 0, 0) + u32(_NHA_ID, self.id)
        return Message(RTM_DELNEXTHOP, 0, body, (errno.ENOENT,))

    def __str__(self) -> str:
        way = f"tunnel {text(self.tunnel.remote)}" if self.tunnel else f"via {text(self.gateway or UNSPECIFIED)}"
        return f"nexthop {self.id} {way} interface {self.device}"


NEXTHOPS_REQUEST = bytes(8)


def parse_nexthop(body: bytes) -> Nexthop | None:
    if body[2] != PROTOCOL:
        return None
    found = attributes(body, 8)
    return Nexthop(
        number(found.get(_NHA_ID)),
        number(found.get(_NHA_OIF)),
        found.get(_NHA_GATEWAY),
        encapsulation.decode(found.get(_NHA_ENCAP_TYPE), found.get(_NHA_ENCAP)),
        tuple(member for member, *_ in _MEMBER.iter_unpack(found.get(_NHA_GROUP, b""))),
    )
