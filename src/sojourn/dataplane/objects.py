"""What sojourn keeps in the kernel, as values: route, nexthop, rule, neighbour, address.

Each value makes its own request (`ensure`, `withdraw`) and is read back from a dump (`parse_...`) as an equal value, so
that what should hold and what holds compare with ``==``. All of them carry routing protocol 140: a dump finds ours and
nobody else's. `key` names what an `ensure` replaces.

Routes and addresses of IPv4 have prefixes and addresses that are mapped (`sojourn.wire.addresses`). Their nexthops are
the same objects as in IPv6: the kernel forwards both through a neighbour or a tunnel of IPv6 (RFC 8950 2, RFC 2473 3).
"""

from __future__ import annotations

import errno
import struct
from typing import NamedTuple, TypeAlias

from sojourn.dataplane.netlink import NLM_F_CREATE, NLM_F_EXCL, Message, attribute, attributes, u32
from sojourn.dataplane.object_parts import (
    AF_INET,
    AF_INET6,
    PROTOCOL,
    REPLACE_OR_CREATE,
    RTM_DELADDR,
    RTM_DELNEIGH,
    RTM_DELRULE,
    RTM_NEWADDR,
    RTM_NEWNEIGH,
    RTM_NEWRULE,
    Key,
    bare,
    family_of,
    number,
    whole,
)
from sojourn.dataplane.routes import Nexthop, Route
from sojourn.wire.addresses import UNSPECIFIED, Address, LinkLayer, Prefix, link_layer_text, text

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
            body += attribute(_FRA_DST, bare(self.destination))
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
        number(found.get(_FRA_PRIORITY)),
        number(found.get(_FRA_TABLE)) or body[4],
        found.get(_FRA_IIFNAME, b"").rstrip(b"\0").decode(),
        whole(found[_FRA_DST]) if _FRA_DST in found else None,
        found.get(_FRA_IP_PROTO, b"\0")[0],
        number(found.get(_FRA_FWMARK)),
        number(found.get(_FRA_FWMASK)) if _FRA_FWMARK in found else 0,
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
        family = family_of(self.address)
        length = self.length - 96 if family == AF_INET else self.length
        body = struct.pack("=BBBBI", family, length, 0, 0, self.device)
        body += attribute(_IFA_LOCAL, bare(self.address)) if family == AF_INET else b""
        return body + attribute(_IFA_ADDRESS, bare(self.address))

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
    address = whole(found.get(_IFA_ADDRESS, UNSPECIFIED))
    return InterfaceAddress(device, address, length if family == AF_INET6 else length + 96)


KernelObject: TypeAlias = Route | Nexthop | Neighbour | ProxyNeighbour | Rule | InterfaceAddress
