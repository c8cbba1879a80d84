"""What sojourn keeps in the kernel, as values: route, nexthop, rule, neighbour, address.

Each value makes its own request (`ensure`, `withdraw`) and is read back from a dump (`parse_...`) as an equal value, so
that what should hold and what holds compare with ``==``. All of them carry routing protocol 140: a dump finds ours and
nobody else's. `key` names what an `ensure` replaces.

Routes and addresses of IPv4 have prefixes and addresses that are mapped (`sojourn.wire.addresses`). Their nexthops are
the same objects as in IPv6: the kernel forwards both through a neighbour or a tunnel of IPv6 (RFC 8950 2, RFC 2473 3).
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from sojourn.dataplane import encapsulation
from sojourn.dataplane.encapsulation import Tunnel
from sojourn.dataplane.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    attribute,
    attributes,
    nested,
    u32,
)
from sojourn.wire.addresses import (
    ANY,
    UNSPECIFIED,
    Address,
    LinkLayer,
    Prefix,
    from_ipv4,
    is_ipv4,
    link_layer_text,
    text,
    to_ipv4,
)

PROTOCOL = 140
"""The routing protocol number of everything that is ours."""

AF_INET, AF_INET6 = socket.AF_INET.value, socket.AF_INET6.value
AF_BRIDGE = 7
FAMILIES = (AF_INET6, AF_INET)

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
RTM_NEWNEXTHOP, RTM_DELNEXTHOP, RTM_GETNEXTHOP = 104, 105, 106

REPLACE_OR_CREATE = NLM_F_REPLACE | NLM_F_CREATE

# routes
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
# nexthops
_NHA_GROUP = 2
_MEMBER = struct.Struct("=IBBH")
"""struct nexthop_grp: the nexthop, its weight - 1."""
_NHA_ID, _NHA_BLACKHOLE, _NHA_OIF, _NHA_GATEWAY, _NHA_ENCAP_TYPE, _NHA_ENCAP = 1, 4, 5, 6, 7, 8
# neighbours
_NDA_DST, _NDA_LLADDR, _NDA_PROTOCOL = 1, 2, 12
_NUD_PERMANENT = 0x80
_NTF_PROXY = 0x08
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
# rules
_FRA_DST, _FRA_SRC, _FRA_IIFNAME, _FRA_PRIORITY, _FRA_FWMARK, _FRA_TABLE, _FRA_FWMASK = 1, 2, 3, 6, 10, 15, 16
_FRA_SUPPRESS_PREFIXLEN, _FRA_PROTOCOL, _FRA_IP_PROTO = 14, 21, 22
_LOOK_UP, _BLACKHOLE = 1, 6
# addresses
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO, _IFA_FLAGS, _IFA_PROTO = 1, 2, 6, 8, 11
_FOREVER = 0xFFFFFFFF
_IFA_F_NODAD, _IFA_F_HOMEADDRESS = 0x02, 0x10
_IFA_F_NOPREFIXROUTE = 0x200

Key: TypeAlias = tuple[object, ...]


def _family(octets: Address) -> int:
    return AF_INET if is_ipv4(octets) else AF_INET6


def _bare(octets: Address) -> bytes:
    """An address as its own family writes it."""
    return to_ipv4(octets) if is_ipv4(octets) else octets


def _whole(octets: bytes) -> Address:
    return from_ipv4(octets) if len(octets) == 4 else octets


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
        family = _family(destination.address) if destination.length >= 96 else AF_INET6
        length = destination.length - 96 if family == AF_INET else destination.length
        body = _ROUTE.pack(family, length, source.length, 0, 0, PROTOCOL, scope, self.kind, 0)
        body += u32(_RTA_TABLE, self.table)
        if length:
            body += attribute(_RTA_DST, _bare(destination.address) if family == AF_INET else destination.address)
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
    nexthop = _number(found.get(_RTA_NH_ID))
    own = kind == RTN_UNICAST and not nexthop
    several = list(paths(found.get(_RTA_MULTIPATH, b"")))
    if several:  # all of them have the same way
        found |= attributes(several[0][1])
    kind_of_tunnel = found.get(_RTA_ENCAP_TYPE) if own else None
    local = _number(kind_of_tunnel) == encapsulation.SEGMENTS_LOCAL
    action = _number(attributes(found.get(_RTA_ENCAP, b"")).get(_ACTION)) if local else 0
    destination = found.get(_RTA_DST, UNSPECIFIED if family == AF_INET6 else bytes(4))
    return Route(
        _number(found.get(_RTA_TABLE)) or table,
        Prefix(_whole(destination), length if family == AF_INET6 else length + 96),
        Prefix(found.get(_RTA_SRC, UNSPECIFIED), source_length),
        kind,
        nexthop,
        _number(found.get(_RTA_OIF)) if own else 0,
        (found.get(_RTA_GATEWAY) or found.get(_RTA_VIA, b"")[2:] or None) if own else None,
        encapsulation.decode(kind_of_tunnel, found.get(_RTA_ENCAP)),
        action == _END_DT6,
        action == _END_DX4,
        tuple(device for device, _ in several),
        found.get(_RTA_PREFERRED_SOURCE),
        _number(attributes(found.get(_RTA_METRICS, b"")).get(_RTAX_MTU)),
        0 if (metric := _number(found.get(_RTA_PRIORITY))) == _USUAL_METRIC else metric,
    )


def taken_out(body: bytes) -> int | None:
    """Packets that the route in a dump answer took out of a tunnel; None when it does not count."""
    found = attributes(attributes(body, _ROUTE.size).get(_RTA_ENCAP, b""))
    counters = attributes(found.get(_COUNTERS_KIND, b""))
    return _number(counters[_COUNTED_PACKETS]) if _COUNTED_PACKETS in counters else None


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
        _number(found.get(_NHA_ID)),
        _number(found.get(_NHA_OIF)),
        found.get(_NHA_GATEWAY),
        encapsulation.decode(found.get(_NHA_ENCAP_TYPE), found.get(_NHA_ENCAP)),
        tuple(member for member, *_ in _MEMBER.iter_unpack(found.get(_NHA_GROUP, b""))),
    )


class Neighbour(NamedTuple):
    """A permanent neighbour: no neighbour discovery takes place for it."""

    device: int
    address: Address
    link_layer: LinkLayer

    @property
    def key(self) -> Key:
        return ("neighbour", self.device, self.address)

    def ensure(self) -> Message:
        body = _NEIGHBOUR.pack(AF_INET6, self.device, _NUD_PERMANENT, 0, 0) + attribute(_NDA_DST, self.address)
        body += attribute(_NDA_LLADDR, self.link_layer) + attribute(_NDA_PROTOCOL, bytes((PROTOCOL,)))
        return Message(RTM_NEWNEIGH, REPLACE_OR_CREATE, body)

    def withdraw(self) -> Message:
        body = _NEIGHBOUR.pack(AF_INET6, self.device, 0, 0, 0) + attribute(_NDA_DST, self.address)
        return Message(RTM_DELNEIGH, 0, body, (errno.ENOENT, errno.ENODEV, errno.ENXIO))

    def __str__(self) -> str:
        return f"neighbour {text(self.address)} {link_layer_text(self.link_layer)} interface {self.device}"


NEIGHBOURS_REQUEST = _NEIGHBOUR.pack(AF_INET6, 0, 0, 0, 0)


def parse_neighbour(body: bytes) -> Neighbour | None:
    _, device, _, _, _ = _NEIGHBOUR.unpack_from(body)
    found = attributes(body, _NEIGHBOUR.size)
    if found.get(_NDA_PROTOCOL, b"\0")[0] != PROTOCOL:
        return None
    return Neighbour(device, found.get(_NDA_DST, UNSPECIFIED), found.get(_NDA_LLADDR, b""))


class ProxyNeighbour(NamedTuple):
    """This router answers for an address on a link (proxy neighbour discovery)."""

    device: int
    address: Address

    @property
    def key(self) -> Key:
        return ("proxy", self.device, self.address)

    def ensure(self) -> Message:
        body = _NEIGHBOUR.pack(AF_INET6, self.device, _NUD_PERMANENT, _NTF_PROXY, 0) + attribute(_NDA_DST, self.address)
        return Message(RTM_NEWNEIGH, REPLACE_OR_CREATE, body + attribute(_NDA_PROTOCOL, bytes((PROTOCOL,))))

    def withdraw(self) -> Message:
        body = _NEIGHBOUR.pack(AF_INET6, self.device, 0, _NTF_PROXY, 0) + attribute(_NDA_DST, self.address)
        return Message(RTM_DELNEIGH, 0, body, (errno.ENOENT, errno.ENODEV, errno.ENXIO))

    def __str__(self) -> str:
        return f"proxy neighbour {text(self.address)} interface {self.device}"


def proxies_request() -> bytes:
    """The dump request for all of them."""
    return _NEIGHBOUR.pack(AF_INET6, 0, 0, _NTF_PROXY, 0)


def parse_proxy_neighbour(body: bytes) -> ProxyNeighbour | None:
    """None when it is not ours."""
    _, device, _, _, _ = _NEIGHBOUR.unpack_from(body)
    found = attributes(body, _NEIGHBOUR.size)
    ours = found.get(_NDA_PROTOCOL, b"\0")[0] == PROTOCOL
    return ProxyNeighbour(device, found.get(_NDA_DST, UNSPECIFIED)) if ours else None


class Rule(NamedTuple):
    """A routing policy rule that leads to a table, or, without one, drops what it is for."""

    priority: int
    table: int
    interface: str = ""
    """Packets that arrived here."""
    destination: Address | None = None
    ip_protocol: int = 0
    mark: int = 0
    mask: int = 0
    protocol: int = PROTOCOL
    destination_length: int = 128
    source: Prefix | None = None
    family: int = AF_INET6
    specific: bool = False
    """A default route in the table does not count."""

    @property
    def key(self) -> Key:
        return ("rule", self)

    def _body(self) -> bytes:
        length = self.destination_length if self.destination is not None else 0
        if self.family == AF_INET and length:
            length -= 96
        source_length = self.source.length if self.source is not None else 0
        action = _LOOK_UP if self.table else _BLACKHOLE
        # struct fib_rule_hdr: family, lengths, tos, table (the attribute counts), action
        body = struct.pack("=BBBBBBBBI", self.family, length, source_length, 0, 0, 0, 0, action, 0)
        body += u32(_FRA_PRIORITY, self.priority)
        if self.table:
            body += u32(_FRA_TABLE, self.table)
        body += attribute(_FRA_PROTOCOL, bytes((self.protocol,)))
        if self.specific:
            body += u32(_FRA_SUPPRESS_PREFIXLEN, 0)
        if self.destination is not None:
            body += attribute(_FRA_DST, _bare(self.destination))
        if self.source is not None:
            body += attribute(_FRA_SRC, self.source.address)
        if self.interface:
            body += attribute(_FRA_IIFNAME, self.interface.encode() + b"\0")
        if self.ip_protocol:
            body += attribute(_FRA_IP_PROTO, bytes((self.ip_protocol,)))
        if self.mask:
            body += u32(_FRA_FWMARK, self.mark) + u32(_FRA_FWMASK, self.mask)
        return body

    def ensure(self) -> Message:
        """Create; one that is there already is as good."""
        return Message(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, self._body(), (errno.EEXIST,))

    def withdraw(self) -> Message:
        return Message(RTM_DELRULE, 0, self._body(), (errno.ENOENT,))

    def __str__(self) -> str:
        interface = f" iif {self.interface}" if self.interface else ""
        family = " IPv4" if self.family == AF_INET else ""
        source = f" from {self.source}" if self.source is not None else ""
        way = f"table {self.table}" if self.table else "blackhole"
        return f"rule {self.priority}{family}{interface}{source} {way}"


def rules_request(family: int) -> bytes:
    """The dump request for all rules of a family."""
    return struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, 0, 0)


def parse_rule(body: bytes) -> Rule:
    """Any rule, ours or not; selectors that ours do not use are not shown."""
    found = attributes(body, 12)
    return Rule(
        _number(found.get(_FRA_PRIORITY)),
        _number(found.get(_FRA_TABLE)) or body[4],
        found.get(_FRA_IIFNAME, b"").rstrip(b"\0").decode(),
        _whole(found[_FRA_DST]) if _FRA_DST in found else None,
        found.get(_FRA_IP_PROTO, b"\0")[0],
        _number(found.get(_FRA_FWMARK)),
        _number(found.get(_FRA_FWMASK)) if _FRA_FWMARK in found else 0,
        found.get(_FRA_PROTOCOL, b"\0")[0],
        body[1] + (96 if body[0] == AF_INET else 0)
        if _FRA_DST in found
        else Rule._field_defaults["destination_length"],
        Prefix(found[_FRA_SRC], body[2]) if _FRA_SRC in found else None,
        body[0],
        found.get(_FRA_SUPPRESS_PREFIXLEN) == bytes(4),
    )


class InterfaceAddress(NamedTuple):
    """An address of this router, without duplicate address detection."""

    device: int
    address: Address
    length: int = 64
    preferred: bool | None = None
    """Whether new connections may use it (False: RFC 4862 calls it deprecated); None: whatever it is now."""
    home: bool = False
    """It is a home address, for a kernel that knows of Mobile IPv6."""

    @property
    def key(self) -> Key:
        return ("address", self.device, self.address)

    def ensure(self) -> Message:
        """Create; one that is there already, ours or not, is as good."""
        flags = _IFA_F_NODAD | _IFA_F_NOPREFIXROUTE if self.length == 128 else _IFA_F_NODAD
        flags |= _IFA_F_HOMEADDRESS if self.home else 0
        body = self._identity() + u32(_IFA_FLAGS, flags) + attribute(_IFA_PROTO, bytes((PROTOCOL,)))
        if self.preferred is not None:
            lifetimes = struct.pack("=4I", _FOREVER if self.preferred else 0, _FOREVER, 0, 0)
            return Message(RTM_NEWADDR, REPLACE_OR_CREATE, body + attribute(_IFA_CACHEINFO, lifetimes))
        return Message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, (errno.EEXIST,))

    def _identity(self) -> bytes:
        family = _family(self.address)
        length = self.length - 96 if family == AF_INET else self.length
        body = struct.pack("=BBBBI", family, length, 0, 0, self.device)
        body += attribute(_IFA_LOCAL, _bare(self.address)) if family == AF_INET else b""
        return body + attribute(_IFA_ADDRESS, _bare(self.address))

    def withdraw(self) -> Message:
        return Message(RTM_DELADDR, 0, self._identity(), (errno.EADDRNOTAVAIL, errno.ENODEV))

    def __str__(self) -> str:
        return f"address {text(self.address)}/{self.length} interface {self.device}"


def addresses_request(family: int) -> bytes:
    """The dump request for all addresses of a family."""
    return struct.pack("=BBBBI", family, 0, 0, 0, 0)


def parse_address(body: bytes) -> InterfaceAddress | None:
    family, length, _, _, device = struct.unpack_from("=BBBBI", body)
    found = attributes(body, 8)
    if found.get(_IFA_PROTO, b"\0")[0] != PROTOCOL:
        return None
    address = _whole(found.get(_IFA_ADDRESS, UNSPECIFIED))
    return InterfaceAddress(device, address, length if family == AF_INET6 else length + 96)


KernelObject: TypeAlias = Route | Nexthop | Neighbour | ProxyNeighbour | Rule | InterfaceAddress


def _number(value: bytes | None) -> int:
    return int.from_bytes(value, sys.byteorder) if value else 0
