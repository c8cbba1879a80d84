"""What addresses a stock host has, as its own kernel announces them (rtnetlink(7)).

Read only: a host of the lab is never told anything that a router would not tell it.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from sojourn.wire.addresses import Address
from sojourn.wire.units import Instant

_NEW_ADDRESS, _DELETE_ADDRESS, _GET_ADDRESS = 20, 21, 22
_GROUP_IPV6_ADDRESSES = 0x100
_REQUEST_DUMP = 0x1 | 0x300
_IFA_ADDRESS, _IFA_CACHEINFO, _IFA_FLAGS = 1, 6, 8
_SCOPE_GLOBAL = 0

DEPRECATED = 0x20
TENTATIVE = 0x40
OPTIMISTIC = 0x04


@dataclass(frozen=True, slots=True)
class HostAddress:
    """A global address of a host, at an instant."""

    address: Address
    length: int
    present: bool
    """False: it was just removed."""
    usable: bool
    """A socket may be bound to it: duplicate address detection passed, or is optimistic (RFC 4429)."""
    preferred: bool
    """New connections should use it (RFC 4862 5.5.4)."""
    seen: Instant


class AddressWatch:
    """A socket that becomes readable when an address changes; make it inside the namespace."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        self._socket.bind((0, _GROUP_IPV6_ADDRESSES))
        self._dump()

    def fileno(self) -> int:
        """For a selector."""
        return self._socket.fileno()

    def close(self) -> None:
        """Watch no longer."""
        self._socket.close()

    def read(self) -> Iterator[HostAddress]:
        """All changes that wait; first of all the addresses that were there at the start."""
        while True:
            try:
                octets = self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS: changes were lost, so look again
                self._dump()
                continue
            yield from _parse(octets, time.monotonic_ns())

    def _dump(self) -> None:
        body = struct.pack("=BBBBI", socket.AF_INET6, 0, 0, 0, 0)
        self._socket.send(struct.pack("=IHHII", 16 + len(body), _GET_ADDRESS, _REQUEST_DUMP, 0, 0) + body)


def _parse(octets: bytes, now: Instant) -> Iterator[HostAddress]:
    offset = 0
    while offset + 16 <= len(octets):
        length, kind = struct.unpack_from("=IH", octets, offset)
        if kind in (_NEW_ADDRESS, _DELETE_ADDRESS):
            found = _address(octets[offset + 16 : offset + length], kind == _NEW_ADDRESS, now)
            if found:
                yield found
        offset += max(16, (length + 3) & ~3)


def _address(body: bytes, present: bool, now: Instant) -> HostAddress | None:
    family, prefix_length, flags, scope, _ = struct.unpack_from("=BBBBI", body)
    if family != socket.AF_INET6 or scope != _SCOPE_GLOBAL:
        return None
    attributes = dict(_attributes(body[8:]))
    flags = struct.unpack("=I", attributes[_IFA_FLAGS])[0] if _IFA_FLAGS in attributes else flags
    # A lifetime of zero is announced before the kernel marks the address as deprecated.
    lifetime = struct.unpack_from("=I", attributes[_IFA_CACHEINFO])[0] if _IFA_CACHEINFO in attributes else 1
    return HostAddress(
        attributes[_IFA_ADDRESS],
        prefix_length,
        present,
        usable=present and (not flags & TENTATIVE or bool(flags & OPTIMISTIC)),
        preferred=present and lifetime > 0 and not flags & DEPRECATED,
        seen=now,
    )


def _attributes(octets: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + 4 <= len(octets):
        length, kind = struct.unpack_from("=HH", octets, offset)
        yield kind & 0x3FFF, octets[offset + 4 : offset + length]
        offset += max(4, (length + 3) & ~3)
