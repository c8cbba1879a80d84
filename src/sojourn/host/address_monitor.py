"""The IPv6 addresses of this machine: which there are, and when one of a link comes, changes or goes.

One netlink socket hears of all of them; those of the links of a mobile node become events (`AddressChanged`). An
address is usable when its Duplicate Address Detection is over, or was never waited for: an optimistic one (RFC 4429)
serves as a care-of address from its first moment.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sojourn.core.events import AddressChanged
from sojourn.dataplane.netlink import NETLINK_ROUTE, Netlink, attributes, split
from sojourn.wire.addresses import Address
from sojourn.wire.units import SECOND, Duration

DRAIN = 64
ADDRESSES = 16_384
"""Known at a time."""
_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 20, 21, 22
_GROUP_IPV6_IFADDR = 9
_IFA_ADDRESS, _IFA_LOCAL, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 6, 8
_OPTIMISTIC, _FAILED, _DEPRECATED, _TENTATIVE = 0x04, 0x08, 0x20, 0x40
_MESSAGE = struct.Struct("=BBBBI")
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1
_DATAGRAM = 1 << 16
_BUFFER = 1 << 20
_ON_LINK = 64
"""The length of the prefix that an address without one (of DHCPv6) is taken for."""


@dataclass(slots=True)
class _Known:
    length: int
    flags: int
    preferred: Duration
    valid: Duration

    @property
    def usable(self) -> bool:
        waits = self.flags & _TENTATIVE and not self.flags & _OPTIMISTIC
        return not waits and not self.flags & _FAILED


class AddressMonitor:
    """Follows the addresses of `interfaces` and knows all others. Raises OSError when there is no netlink."""

    def __init__(self, interfaces: Iterable[str]) -> None:
        self.interfaces = frozenset(interfaces)
        self.counters: Counter[str] = Counter()
        self._known: dict[tuple[int, Address], _Known] = {}
        self._count: Counter[Address] = Counter()
        self._links: dict[Address, int] = {}
        """Addresses of `interfaces`, with the index of the interface."""
        self._names: dict[int, str] = {}
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, NETLINK_ROUTE)
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _GROUP_IPV6_IFADDR)
            self._ask = Netlink()
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """For `loop.add_reader`."""
        return self._socket.fileno()

    def close(self) -> None:
        """Let go of the sockets."""
        self._socket.close()
        self._ask.close()

    def refresh(self) -> None:
        """To be called when interfaces changed: indices may stand for others now."""
        self._names.clear()

    def is_ours(self, address: Address) -> bool:
        """Whether this machine has it, on whatever interface."""
        return address in self._count

    def interface_of(self, address: Address) -> int:
        """The index of the link that has it; 0: none of `interfaces`."""
        return self._links.get(address, 0)

    def link_local(self, interface: str) -> Address | None:
        """One that may be used there."""
        for (index, address), known in self._known.items():
            if address[0] == 0xFE and known.usable and self._name(index) == interface:
                return address
        return None

    def start(self) -> list[AddressChanged]:
        """What there is now."""
        return self._read()

    def again(self, interface: str) -> list[AddressChanged]:
        """The addresses of a link once more: the kernel keeps them when the carrier goes and comes."""
        return [
            self._event(index, address, known)
            for (index, address), known in self._known.items()
            if self._name(index) == interface
        ]

    def receive(self) -> list[AddressChanged]:
        """What happened since."""
        events: list[AddressChanged] = []
        for _ in range(DRAIN):
            try:
                octets = self._socket.recv(_DATAGRAM)
            except BlockingIOError:
                break
            except OSError as error:
                self.counters["overruns" if error.errno == errno.ENOBUFS else "receive-errors"] += 1
                if error.errno != errno.ENOBUFS:
                    break
                events += self._read()
                continue
            for kind, _flags, _sequence, payload in split(octets):
                if kind in (_RTM_NEWADDR, _RTM_DELADDR):
                    events += self._take(kind == _RTM_NEWADDR, payload)
        return events

    def _read(self) -> list[AddressChanged]:
        """All anew; also what is gone is told."""
        try:
            found = self._ask.dump(_RTM_GETADDR, _MESSAGE.pack(socket.AF_INET6, 0, 0, 0, 0))
        except OSError:
            self.counters["dump-errors"] += 1
            return []
        missing = dict(self._known)
        events: list[AddressChanged] = []
        for payload in found:
            events += self._take(True, payload)
            key = _key(payload)
            if key is not None:
                missing.pop(key, None)
        for key in missing:
            events += self._gone(*key)
        return events

    def _take(self, there: bool, payload: bytes) -> list[AddressChanged]:
        key = _key(payload)
        if key is None:
            return []
        if not there:
            return self._gone(*key)
        if key not in self._known:
            if len(self._known) >= ADDRESSES:
                self.counters["addresses-refused"] += 1
                return []
            self._count[key[1]] += 1
        self._known[key] = known = _known(payload)
        if self._name(key[0]) not in self.interfaces:
            return []
        self._links[key[1]] = key[0]
        return [self._event(*key, known)]

    def _gone(self, index: int, address: Address) -> list[AddressChanged]:
        known = self._known.pop((index, address), None)
        if known is None:
            return []
        self._count[address] -= 1
        if not self._count[address]:
            del self._count[address]
        followed = self._links.get(address) == index
        if not followed:
            return []
        del self._links[address]
        return [AddressChanged(self._name(index), address, known.length, False, 0, 0)]

    def _event(self, index: int, address: Address, known: _Known) -> AddressChanged:
        length = _ON_LINK if known.length == 128 else known.length
        return AddressChanged(self._name(index), address, length, known.usable, known.preferred, known.valid)

    def _name(self, index: int) -> str:
        name = self._names.get(index)
        if name is None:
            try:
                name = socket.if_indextoname(index)
            except OSError:
                return ""
            self._names[index] = name
        return name


def _key(payload: bytes) -> tuple[int, Address] | None:
    if len(payload) < _MESSAGE.size:
        return None
    family, _, _, _, index = _MESSAGE.unpack_from(payload)
    found = attributes(payload, _MESSAGE.size)
    address = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS) or b""
    return (index, address) if family == socket.AF_INET6 and len(address) == 16 else None


def _known(payload: bytes) -> _Known:
    _, length, flags, _, _ = _MESSAGE.unpack_from(payload)
    found = attributes(payload, _MESSAGE.size)
    wide = found.get(_IFA_FLAGS, b"")
    if len(wide) == 4:
        (flags,) = struct.unpack("=I", wide)
    lifetimes = found.get(_IFA_CACHEINFO, b"")
    preferred, valid = struct.unpack_from("=II", lifetimes) if len(lifetimes) >= 8 else (0xFFFFFFFF, 0xFFFFFFFF)
    return _Known(length, flags, 0 if flags & _DEPRECATED else preferred * SECOND, valid * SECOND)
