"""What a link taught the kernel is forgotten when the link is gone: the same interface may be on another one now.

A kernel keeps routes and addresses of Router Advertisements over a change of carrier, for as long as they were
announced: it would go on sending to a router that is elsewhere, look on this link for hosts of the last one, the home
agent among them, and begin connections from an address that leads there. So the routes go, and the addresses become
deprecated: what uses them may go on, nothing new does, and the next advertisement of their prefix makes them preferred
again. What people or other programs made stays as it is.
"""

from __future__ import annotations

import socket
import struct

from sojourn.dataplane.netlink import NLM_F_REPLACE, Message, Netlink, attribute, attributes
from sojourn.wire.addresses import Address

_RTM_NEWADDR, _RTM_GETADDR, _RTM_DELROUTE, _RTM_GETROUTE = 20, 22, 25, 26
_ROUTE = struct.Struct("=BBBBBBBBI")
_ADDRESS = struct.Struct("=BBBBI")
_LIFETIMES = struct.Struct("=IIII")
_RTA_OIF, _RTA_GATEWAY, _RTA_CACHEINFO, _RTA_TABLE = 4, 5, 12, 15
_IFA_ADDRESS, _IFA_CACHEINFO, _IFA_FLAGS = 1, 6, 8
_MANAGES_TEMPORARY, _NO_PREFIX_ROUTE = 0x100, 0x200
_KEPT_FLAGS = _MANAGES_TEMPORARY | _NO_PREFIX_ROUTE
_FOREVER = 0xFFFFFFFF
_BY_KERNEL, _BY_ADVERTISEMENT = 2, 9
_MAIN = 254
_GONE = (3, 2, 99)
"""ESRCH, ENOENT, EADDRNOTAVAIL."""


def routers(netlink: Netlink, index: int) -> set[Address]:
    """Routers that advertised themselves on the interface, as its kernel knows them. Raises OSError."""
    found = set()
    for body in netlink.dump(_RTM_GETROUTE, _ROUTE.pack(socket.AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0)):
        gateway = attributes(body, _ROUTE.size).get(_RTA_GATEWAY)
        if gateway is not None and _of_link(body, index, None):
            found.add(gateway)
    return found


def forget(netlink: Netlink, index: int, router: Address | None = None) -> int:
    """Deprecate the interface's addresses and remove its routes that advertisements made; of default routes that to
    `router` alone, if one is named. Answers how many routes. Raises OSError.
    """
    addresses = netlink.dump(_RTM_GETADDR, _ADDRESS.pack(socket.AF_INET6, 0, 0, 0, 0))
    old = [message for body in addresses if (message := _deprecating(body, index)) is not None]
    if old:  # first, as a changed address gets its prefix route again
        netlink.request(*old)
    routes = netlink.dump(_RTM_GETROUTE, _ROUTE.pack(socket.AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0))
    doomed = [body for body in routes if _of_link(body, index, router)]
    if doomed:
        netlink.request(*(Message(_RTM_DELROUTE, 0, body, _GONE) for body in doomed))
    return len(doomed)


def _deprecating(body: bytes, index: int) -> Message | None:
    """For an address that an advertisement made and that is preferred."""
    family, length, flags, scope, where = _ADDRESS.unpack_from(body)
    found = attributes(body, _ADDRESS.size)
    lifetimes, address = found.get(_IFA_CACHEINFO, b""), found.get(_IFA_ADDRESS, b"")
    if family != socket.AF_INET6 or where != index or scope != 0 or len(lifetimes) < _LIFETIMES.size:
        return None
    preferred, valid, *_ = _LIFETIMES.unpack_from(lifetimes)
    if valid == _FOREVER or not preferred:
        return None
    kept = _number(found.get(_IFA_FLAGS), flags) & _KEPT_FLAGS
    request = _ADDRESS.pack(family, length, 0, scope, index) + attribute(_IFA_ADDRESS, address)
    request += attribute(_IFA_FLAGS, struct.pack("=I", kept))
    request += attribute(_IFA_CACHEINFO, _LIFETIMES.pack(0, valid, 0, 0))
    return Message(_RTM_NEWADDR, NLM_F_REPLACE, request, _GONE)


def _of_link(body: bytes, index: int, router: Address | None) -> bool:
    family, length, _, _, table, protocol, _, _, _ = _ROUTE.unpack_from(body)
    found = attributes(body, _ROUTE.size)
    if family != socket.AF_INET6 or found.get(_RTA_OIF) != struct.pack("=i", index):
        return False
    if _number(found.get(_RTA_TABLE), table) != _MAIN:
        return False
    gateway = found.get(_RTA_GATEWAY)
    if gateway is not None and router is not None and gateway != router:
        return False
    if protocol == _BY_ADVERTISEMENT:
        return True
    on_link = protocol == _BY_KERNEL and gateway is None and length > 0
    return on_link and _expires(found.get(_RTA_CACHEINFO, b""))


def _expires(cache: bytes) -> bool:
    return len(cache) >= 12 and struct.unpack_from("=IIi", cache)[2] != 0


def _number(octets: bytes | None, otherwise: int) -> int:
    return struct.unpack("=I", octets)[0] if octets is not None and len(octets) == 4 else otherwise
