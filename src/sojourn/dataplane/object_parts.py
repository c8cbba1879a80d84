"""What requests for all kernel objects share: numbers of rtnetlink, families, addresses as each family writes them."""

from __future__ import annotations

import socket
import sys
from typing import TypeAlias

from sojourn.dataplane.netlink import NLM_F_CREATE, NLM_F_REPLACE
from sojourn.wire.addresses import Address, from_ipv4, is_ipv4, to_ipv4

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

Key: TypeAlias = tuple[object, ...]


def family_of(octets: Address) -> int:
    """Of an address or of a prefix's first one."""
    return AF_INET if is_ipv4(octets) else AF_INET6


def bare(octets: Address) -> bytes:
    """An address as its own family writes it."""
    return to_ipv4(octets) if is_ipv4(octets) else octets


def whole(octets: bytes) -> Address:
    """An address as everything here has it."""
    return from_ipv4(octets) if len(octets) == 4 else octets


def number(value: bytes | None) -> int:
    """Of an attribute; 0 without one."""
    return int.from_bytes(value, sys.byteorder) if value else 0
