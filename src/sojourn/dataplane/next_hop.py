"""Where the kernel would send a packet: the interface, and the router there."""

from __future__ import annotations

import struct
from typing import NamedTuple

from sojourn.dataplane.netlink import Netlink, attribute, attributes
from sojourn.dataplane.object_parts import RTM_GETROUTE
from sojourn.wire.addresses import Address

_AF_INET6 = 10
_ROUTE = struct.Struct("=BBBBBBBBI")
_RTA_DST, _RTA_SRC, _RTA_OIF, _RTA_GATEWAY = 1, 2, 4, 5


class NextHop(NamedTuple):
    """The interface, and the router there; None: the destination is a neighbour."""

    device: int
    gateway: Address | None


def next_hop(netlink: Netlink, destination: Address, source: Address | None = None) -> NextHop:
    """Of packets to `destination`, from `source`. Raises OSError where there is no way."""
    body = _ROUTE.pack(_AF_INET6, 128, 0 if source is None else 128, 0, 0, 0, 0, 0, 0)
    body += attribute(_RTA_DST, destination)
    if source is not None:
        body += attribute(_RTA_SRC, source)
    found = attributes(netlink.get(RTM_GETROUTE, body), _ROUTE.size)
    device = struct.unpack("=i", found[_RTA_OIF])[0] if _RTA_OIF in found else 0
    return NextHop(device, found.get(_RTA_GATEWAY))
