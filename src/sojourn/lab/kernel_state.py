"""What a node's kernel holds, as sorted lines of text: to compare before and after, and to show to people.

Counters, timers and caches are left out, so that two states are equal exactly when the configuration is.
Attributes that this module does not know by name appear with their number, so that nothing hides.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TypeAlias

from sojourn.dataplane.netlink import attribute, attributes
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.rtnetlink import (
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_MASTER,
    IFLA_MTU,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNEIGH,
    RTM_GETNEXTHOP,
    RTM_GETROUTE,
    RTM_GETRULE,
    RouteNetlink,
)

Attributes: TypeAlias = dict[int, bytes]

_NETLINK_NETFILTER = 12
_SEG6_LOCAL_COUNTERS = struct.pack("=H", 10)
_RTM_F_CLONED = 0x200
_NUD_NOARP, _NUD_PERMANENT, _NUD_FAILED, _NUD_INCOMPLETE = 0x40, 0x80, 0x20, 0x01
_IFA_FLAGS, _IFA_CACHEINFO = 8, 6
_IFA_F_DEPRECATED, _IFA_F_TENTATIVE = 0x20, 0x40
_FOREVER = 0xFFFFFFFF

_ROUTE_NAMES = {1: "to", 2: "from", 5: "via", 6: "metric", 15: "table", 21: "encap-type", 22: "encap", 30: "nhid"}
_ROUTE_VOLATILE = {4, 12, 20}  # the interface is shown by name; cache information; preference
_RULE_NAMES = {1: "to", 2: "from", 3: "iif", 6: "priority", 15: "table", 17: "oif", 21: "protocol", 22: "ipproto"}
_RULE_VOLATILE = {13, 14}  # suppressors that are off
_NHA_OIF = 5
_NEXTHOP_NAMES = {1: "id", 6: "via", 7: "encap-type", 8: "encap"}

_TABLES = (("table", 1), ("chain", 4), ("set", 10), ("object", 19), ("flowtable", 23))
_NFT_GETRULE, _NFT_GETSETELEM = 7, 13
_RTM_GETQDISC, _RTM_GETTFILTER = 38, 46


@dataclass(frozen=True)
class HostAddress:
    """An IPv6 address of a node as its kernel sees it now."""

    interface: str
    address: str
    length: int
    deprecated: bool
    tentative: bool
    preferred: int | None
    """Seconds; None: forever."""
    valid: int | None


@dataclass(frozen=True)
class KernelState:
    """Links, addresses, routes, rules, nexthops, neighbours, stations and nft objects of a namespace."""

    lines: frozenset[str]

    @classmethod
    def of(cls, namespace: NetworkNamespace) -> KernelState:
        """The state of `namespace` now. Raises OSError."""
        netlink = RouteNetlink(namespace)
        try:
            names = _link_names(netlink)
            lines = [
                *_links(netlink, names),
                *_addresses(netlink, names),
                *_routes(netlink, names),
                *_rules(netlink),
                *_nexthops(netlink, names),
                *_neighbours(netlink, names),
                *_classifiers(netlink, names),
            ]
        finally:
            netlink.close()
        return cls(frozenset([*lines, *_netfilter(namespace)]))

    def difference(self, earlier: KernelState) -> list[str]:
        """What came (``+ ...``) and went (``- ...``) since `earlier`, sorted; empty when nothing did."""
        came = [f"+ {line}" for line in self.lines - earlier.lines]
        went = [f"- {line}" for line in earlier.lines - self.lines]
        return sorted(came + went, key=lambda line: line[2:])


def configured(difference: list[str]) -> list[str]:
    """Without what the kernel's own neighbour cache learned from packets; it forgets that by itself."""
    return [line for line in difference if not line.startswith("+ neighbour") or line.endswith(" permanent")]


def host_addresses(namespace: NetworkNamespace) -> list[HostAddress]:
    """The global addresses in `namespace`, in the kernel's order."""
    netlink = RouteNetlink(namespace)
    try:
        names = _link_names(netlink)
        found = []
        for payload in netlink.dump(RTM_GETADDR, struct.pack("=BBBBI", socket.AF_INET6, 0, 0, 0, 0)):
            _, length, _, scope, index = struct.unpack_from("=BBBBI", payload)
            if scope != 0:
                continue
            values = attributes(payload[8:])
            flags = _number(values.get(_IFA_FLAGS, b""))
            preferred, valid = struct.unpack_from("=II", values[_IFA_CACHEINFO])
            found.append(
                HostAddress(
                    names.get(index, str(index)),
                    str(IPv6Address(values[1])),
                    length,
                    bool(flags & _IFA_F_DEPRECATED),
                    bool(flags & _IFA_F_TENTATIVE),
                    None if preferred == _FOREVER else preferred,
                    None if valid == _FOREVER else valid,
                )
            )
        return found
    finally:
        netlink.close()


def _number(value: bytes) -> int:
    return int.from_bytes(value, "little")


def _link_names(netlink: RouteNetlink) -> dict[int, str]:
    names = {}
    for payload in netlink.dump(RTM_GETLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0)):
        index = struct.unpack_from("=BxHi", payload)[2]
        names[index] = attributes(payload[16:])[IFLA_IFNAME].rstrip(b"\0").decode()
    return names


def _links(netlink: RouteNetlink, names: dict[int, str]) -> Iterable[str]:
    for payload in netlink.dump(RTM_GETLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0)):
        _, _, index, flags, _ = struct.unpack_from("=BxHiII", payload)
        values = attributes(payload[16:])
        master = values.get(IFLA_MASTER)
        yield (
            f"link {names[index]} {'up' if flags & 1 else 'down'} mtu {_number(values[IFLA_MTU])}"
            f" {values.get(IFLA_ADDRESS, b'').hex(':')}"
            + (f" master {names.get(_number(master), '?')}" if master else "")
        )


def _addresses(netlink: RouteNetlink, names: dict[int, str]) -> Iterable[str]:
    for payload in netlink.dump(RTM_GETADDR, struct.pack("=BBBBI", socket.AF_INET6, 0, 0, 0, 0)):
        _, length, _, _, index = struct.unpack_from("=BBBBI", payload)
        yield f"address {IPv6Address(attributes(payload[8:])[1])}/{length} dev {names.get(index, index)}"


def _routes(netlink: RouteNetlink, names: dict[int, str]) -> Iterable[str]:
    for payload in netlink.dump(RTM_GETROUTE, struct.pack("=BBBBBBBBI", socket.AF_INET6, *[0] * 8)):
        _, to, source, _, table, protocol, _, kind, flags = struct.unpack_from("=BBBBBBBBI", payload)
        if flags & _RTM_F_CLONED:
            continue
        values = attributes(payload[12:])
        device = values.get(4)
        lengths = {1: to, 2: source}
        yield (
            f"route type {kind} protocol {protocol} table {_number(values.get(15, bytes((table,))))}"
            + (f" dev {names.get(_number(device), _number(device))}" if device else "")
            + _rest(values, _ROUTE_NAMES, _ROUTE_VOLATILE | {15}, lengths)
        )


def _rules(netlink: RouteNetlink) -> Iterable[str]:
    for payload in netlink.dump(RTM_GETRULE, struct.pack("=BBBBBBBBI", socket.AF_INET6, *[0] * 8)):
        _, to, source, _, _, _, _, action, flags = struct.unpack_from("=BBBBBBBBI", payload)
        values = attributes(payload[12:])
        yield f"rule action {action} flags {flags}" + _rest(values, _RULE_NAMES, _RULE_VOLATILE, {1: to, 2: source})


def _nexthops(netlink: RouteNetlink, names: dict[int, str]) -> Iterable[str]:
    try:
        answers = netlink.dump(RTM_GETNEXTHOP, struct.pack("=BBBBI", 0, 0, 0, 0, 0))
    except OSError:  # a kernel without nexthop objects has none
        return
    for payload in answers:
        values = attributes(payload[8:])
        device = values.get(_NHA_OIF)
        yield (
            f"nexthop protocol {payload[2]}"
            + (f" dev {names.get(_number(device), _number(device))}" if device else "")
            + _rest(values, _NEXTHOP_NAMES, {_NHA_OIF}, {})
        )


def _classifiers(netlink: RouteNetlink, names: dict[int, str]) -> Iterable[str]:
    """Filters of eBPF, and the qdiscs that they need."""
    for body in netlink.dump(_RTM_GETQDISC, bytes(20)):
        device, _, parent = struct.unpack_from("=iII", body, 4)
        if attributes(body[20:]).get(1) == b"clsact\0":
            yield f"clsact dev {names.get(device, device)} parent {parent:x}"
    for device, name in names.items():
        for parent, direction in ((0xFFFFFFF2, "ingress"), (0xFFFFFFF3, "egress")):
            try:
                found = netlink.dump(_RTM_GETTFILTER, struct.pack("=BxxxiIII", 0, device, 0, parent, 0))
            except OSError:  # no such qdisc there
                continue
            for body in found:
                options = attributes(attributes(body[20:]).get(2, b""))
                if 7 in options:  # TCA_BPF_NAME
                    yield f"filter {options[7].decode()} {direction} dev {name}"


def _neighbours(netlink: RouteNetlink, names: dict[int, str]) -> Iterable[str]:
    for family, label in ((socket.AF_INET6, "neighbour"), (socket.AF_BRIDGE, "station")):
        for payload in netlink.dump(RTM_GETNEIGH, struct.pack("=BxxxiHBB", family, 0, 0, 0, 0)):
            index, state = struct.unpack_from("=BxxxiH", payload)[1:]
            if state & (_NUD_NOARP | _NUD_FAILED | _NUD_INCOMPLETE):
                continue
            if family == socket.AF_BRIDGE and state & _NUD_PERMANENT:  # the bridge's own
                continue
            values = attributes(payload[12:])
            address = f" {IPv6Address(values[1])}" if len(values.get(1, b"")) == 16 else ""
            permanent = " permanent" if state & _NUD_PERMANENT else ""
            yield f"{label}{address} {values.get(2, b'').hex(':')} dev {names.get(index, index)}{permanent}"


def _rest(values: Attributes, known: dict[int, str], hidden: set[int], lengths: dict[int, int]) -> str:
    words = []
    for kind in sorted(values):
        if kind in hidden:
            continue
        value = values[kind]
        name = known.get(kind, f"attribute-{kind}")
        if name == "encap":
            value = _without_counters(value)
        if len(value) == 16:
            text = str(IPv6Address(value)) + (f"/{lengths[kind]}" if kind in lengths else "")
        elif len(value) in (1, 2, 4):
            text = str(_number(value)) if name not in ("iif", "oif") else value.rstrip(b"\0").decode()
        else:
            text = value.rstrip(b"\0").decode() if name in ("iif", "oif") else value.hex()
        words.append(f" {name} {text}")
    return "".join(words)


def _without_counters(encapsulation: bytes) -> bytes:
    """What a route's encapsulation is, without the packets that it counted (seg6local)."""
    kept = (attribute(kind, value) for kind, value in sorted(attributes(encapsulation).items()))
    return b"".join(one for one in kept if one[2:4] != _SEG6_LOCAL_COUNTERS)


# --- netfilter
# ----------------------------------------------------------------------------------------------------


def _netfilter(namespace: NetworkNamespace) -> Iterable[str]:
    try:
        netlink = RouteNetlink(namespace, _NETLINK_NETFILTER)
    except OSError:  # a kernel without netfilter holds nothing of it
        return
    try:
        for label, kind in _TABLES:
            for family, values in _nft_dump(netlink, kind):
                names = " ".join(values[key].rstrip(b"\0").decode() for key in ((1,) if kind == 1 else (1, 2)))
                if label == "chain":  # 1 is the table, 2 a handle, 3 the name
                    names = " ".join(values[key].rstrip(b"\0").decode() for key in (1, 3) if key in values)
                yield f"nft {label} {family} {names}"
                if label == "set":
                    yield from _elements(netlink, family, values, names)
        for family, values in _nft_dump(netlink, _NFT_GETRULE):
            table, chain = (values[key].rstrip(b"\0").decode() for key in (1, 2))
            yield f"nft rule {family} {table} {chain} {int.from_bytes(values.get(3, b''), 'big')}"
    finally:
        netlink.close()


def _nft_dump(netlink: RouteNetlink, kind: int, body: bytes = b"", family: int = 0) -> list[tuple[int, Attributes]]:
    try:
        answers = netlink.dump(10 << 8 | kind, struct.pack("=BBH", family, 0, 0) + body)
    except OSError:  # no nf_tables, or not this kind of object
        return []
    return [(payload[0], attributes(payload[4:])) for payload in answers]


def _elements(netlink: RouteNetlink, family: int, values: Attributes, names: str) -> Iterable[str]:
    body = attribute(1, values[1]) + attribute(2, values[2])
    for _, listed in _nft_dump(netlink, _NFT_GETSETELEM, body, family):
        octets = listed.get(3, b"")
        offset = 0
        while offset + 4 <= len(octets):
            length = struct.unpack_from("=H", octets, offset)[0]
            key = attributes(octets[offset + 4 : offset + length]).get(1, b"")
            yield f"nft element {names} {key[4:].hex()}"
            offset += max((length + 3) & ~3, 4)
