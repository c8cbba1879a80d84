"""What a link taught the kernel is forgotten when the link is gone: the same interface may be on another one now.

A kernel keeps the routes of Router Advertisements over a change of carrier, for as long as they were announced: it
would go on sending to a router that is elsewhere, and look on this link for hosts of the last one, the home agent among
them. Routes that people or other programs made stay.
"""

from __future__ import annotations

import socket
import struct

from sojourn.dataplane.netlink import Message, Netlink, attributes
from sojourn.wire.addresses import Address

_RTM_DELROUTE, _RTM_GETROUTE = 25, 26
_ROUTE = struct.Struct("=BBBBBBBBI")
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_CACHEINFO, _RTA_TABLE = 1, 4, 5, 12, 15
_BY_KERNEL, _BY_ADVERTISEMENT = 2, 9
_MAIN = 254
_GONE = (3, 2)
"""ESRCH, ENOENT."""


def forget(netlink: Netlink, index: int, router: Address | None = None) -> int:
    """Remove the routes of the interface that advertisements made, those to `router` and to prefixes on the link only
    if one is named; answers how many. Raises OSError.
    """
    request = _ROUTE.pack(socket.AF_INET6, 0, 0, 0, 0, 0, 0, 0, 0)
    doomed = [body for body in netlink.dump(_RTM_GETROUTE, request) if _of_link(body, index, router)]
    if doomed:
        netlink.request(*(Message(_RTM_DELROUTE, 0, body, _GONE) for body in doomed))
    return len(doomed)


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
