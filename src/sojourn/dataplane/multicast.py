"""Multicast in the kernel: one interface upstream, listeners on the others, and we as one listener upstream.

The kernel's multicast routing (CONFIG_IPV6_MROUTE) was made ready for proxies: an entry for (*, G) needs no word from
us when a new source sends, and one for (*, *) says which way is up. With it, packets that nobody listens to are dropped
at once, and what a node sends to a group goes upstream and to the other links (RFC 4605 4.2). Without the (*, *) entry
the kernel would queue such packets and ask.

Joining upstream is left to the kernel's own listener: sockets of ours join, and it reports, answers queries of either
version and repeats what may have got lost. Only its first report comes two or three ticks late (12 ms at 250 Hz), while
a node that roams hears nothing; so the same is said at once, and its report is the repetition.

All of this hangs on sockets, and would end with the process. So another process has them open too
(`multicast_keeper`): a later life takes the one of multicast routing from it, with all entries, joins by sockets of its
own, and closes the old ones when whoever listens had time to say so.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from sojourn.core.effects import EnsureMembership, EnsureMulticastRoute, WithdrawMembership, WithdrawMulticastRoute
from sojourn.dataplane import multicast_keeper, outliving
from sojourn.dataplane.netlink import Netlink, attributes
from sojourn.dataplane.object_parts import RTM_GETROUTE
from sojourn.dataplane.routes import paths
from sojourn.wire.addresses import UNSPECIFIED, Address
from sojourn.wire.icmpv6 import MulticastListenerReport2, encode_icmpv6
from sojourn.wire.listeners import MulticastAddressRecord, RecordType

MulticastEffect: TypeAlias = EnsureMulticastRoute | WithdrawMulticastRoute | EnsureMembership | WithdrawMembership

INTERFACES = 32
"""So many interfaces take part at most (MAXMIFS), upstream included."""
LISTENERS = 16
"""Sockets that join: how much one may join depends on net.core.optmem_max, 365 groups at the least."""

_MRT6_INIT, _MRT6_ADD_MIF, _MRT6_DEL_MIF, _MRT6_ADD_MFC, _MRT6_DEL_MFC = 200, 202, 203, 204, 205
_MCAST_JOIN_GROUP, _MCAST_LEAVE_GROUP, _MCAST_JOIN_SOURCE_GROUP, _MCAST_MSFILTER = 42, 45, 46, 48
_FILTER_EXCLUDE, _FILTER_INCLUDE = 0, 1
_ICMP6_FILTER = 1
_IPV6_HOPOPTS = 54
_ROUTER_ALERT = bytes((0, 0, 5, 2, 0, 0, 1, 0))
_ALL_ROUTERS = "ff02::16"
"""Of MLDv2 (RFC 3810 5.2.14)."""
_SIOCGIFINDEX = 0x8933
_THRESHOLD = 1
"""Hop limits above this are forwarded."""
_FULL = (errno.ENOMEM, errno.ENOBUFS)
_FAMILY_OF_ENTRIES = 129
"""RTNL_FAMILY_IP6MR."""
_RTA_DST, _RTA_SRC, _RTA_MULTIPATH = 1, 2, 9

_Sources: TypeAlias = tuple[Address, ...]
Entry: TypeAlias = tuple[Address, Address | None]
"""Group and source; None: every source."""


@dataclass(slots=True)
class _Joined:
    """A group that was joined, and by which socket."""

    listener: socket.socket
    index: int
    """Of the interface."""


class MulticastRouting:
    """Multicast of this namespace, between `upstream` and the links `access`.

    Opened in the namespace that is meant; used from anywhere. What `survives` this process is started there too. All
    methods raise OSError when the kernel refuses.
    """

    def __init__(self, upstream: str, access: Sequence[str], *, survives: bool = False) -> None:
        self._survives = survives
        self._upstream = upstream
        self._numbers = {name: number for number, name in enumerate((upstream, *access))}
        """Of the interfaces, in multicast routing."""
        self._indices: dict[str, int] = {}
        self._joined: dict[Address, _Joined] = {}
        self._old: list[socket.socket] = []
        """With which an earlier life listens."""
        self._left: set[Entry] = set()
        """What an earlier life forwards and nobody has asked for since."""
        self._line: socket.socket | None = None
        """To the process that keeps our sockets."""
        self._kept = False
        self._router = _router()
        self._listeners: list[socket.socket] = []
        try:
            for _ in range(LISTENERS):
                self._listeners.append(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))
        except OSError:
            self.close()
            raise

    def start(self) -> None:
        """This namespace routes multicast; nothing is forwarded down yet, but what an earlier life forwards. Twice is
        harmless."""
        if not self._indices and not (self._survives and self._take_over()):
            self._become_router()
        if self._survives and self._line is None:
            with suppress(OSError):  # without one all goes on, but does not survive us
                outliving.start(multicast_keeper.__file__, quiet=True)
            self._line = multicast_keeper.call()
        for name in self._numbers:
            self._look_at(name)
        self._set_entry(UNSPECIFIED, UNSPECIFIED, (*self._numbers,))
        self._keep()

    def _take_over(self) -> bool:
        """What an earlier life had between the same interfaces is ours. Anything else of one ends."""
        self._line = multicast_keeper.call()
        if self._line is None:
            return False
        answer, descriptors = multicast_keeper.ask(self._line, {"take": True})
        told, received = (answer or {}).get("memo"), [socket.socket(fileno=one) for one in descriptors]
        if not isinstance(told, dict) or told.get("interfaces") != [*self._numbers] or not received:
            for one in received:
                one.close()
            self._hang_up()
            end_multicast()
            return False
        self._router.close()
        self._router, *self._old = received
        self._indices = {str(name): int(index) for name, index in told["indices"].items()}
        return True

    def begin(self, netlink: Netlink) -> None:
        """From now on it is known what an earlier life forwards."""
        self._left = set(self.held(netlink)) - {(UNSPECIFIED, None)} if self._old else set()

    def forget_left(self) -> None:
        """What an earlier life forwarded or joined, and this one did not, is over."""
        left, self._left = self._left, set()
        for group, source in left:
            self.withdraw_route(group, source)
        for one in self._old:
            one.close()
        self._old = []
        self._keep()

    def _keep(self) -> None:
        """Another process, if there is one, has our sockets too."""
        self._kept = True
        sockets = [one.fileno() for one in (self._router, *self._listeners, *self._old)]
        memo = {"interfaces": [*self._numbers], "indices": self._indices}
        try:
            if self._line is not None:
                multicast_keeper.ask(self._line, {"keep": memo}, sockets)
        except OSError:
            self._hang_up()  # the next start begins another one

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _become_router(self) -> None:
        if len(self._numbers) > INTERFACES:
            raise OSError(errno.E2BIG, f"the kernel routes multicast between {INTERFACES} interfaces at most")
        try:
            self._router.setsockopt(socket.IPPROTO_IPV6, _MRT6_INIT, 1)
        except OSError as error:
            hint = {
                errno.EADDRINUSE: "another program routes multicast here, as pim6d or smcroute do; stop one of the two",
                errno.ENOPROTOOPT: "this kernel has no CONFIG_IPV6_MROUTE",
            }.get(error.errno or 0, os.strerror(error.errno or 0))
            raise OSError(error.errno, f"multicast: {hint}, or leave the table [maar.multicast] out") from None

    def close(self) -> None:
        """Let go of the sockets. Forwarding goes on, for a later life; `end_multicast` ends it."""
        self._hang_up()
        for one in (self._router, *self._listeners, *self._old):
            one.close()

    def apply(self, effect: MulticastEffect) -> None:
        """Make `effect` hold. Raises OSError when the kernel refuses."""
        match effect:
            case EnsureMulticastRoute(group, source, interfaces):
                self.ensure_route(group, source, interfaces)
            case WithdrawMulticastRoute(group, source):
                self.withdraw_route(group, source)
            case EnsureMembership(group, excluding, sources):
                self.ensure_membership(group, excluding, sources)
            case WithdrawMembership(group):
                self.withdraw_membership(group)
            case _:
                assert_never(effect)

    # --- down -----------------------------------------------------------------------------------------------------

    def ensure_route(self, group: Address, source: Address | None, interfaces: Sequence[str]) -> None:
        """Packets to `group` go to `interfaces`; those that nodes send also upstream, unless `source` is named."""
        for name in interfaces:
            self._look_at(name)
        self._left.discard((group, source))
        self._set_entry(group, source or UNSPECIFIED, self._ways(source, interfaces))

    def _ways(self, source: Address | None, interfaces: Sequence[str]) -> Sequence[str]:
        return (*interfaces, self._upstream) if source is None else interfaces

    def withdraw_route(self, group: Address, source: Address | None) -> None:
        """No such entry; none there is fine."""
        self._left.discard((group, source))
        entry = self._entry(group, source or UNSPECIFIED, ())
        try:
            self._router.setsockopt(socket.IPPROTO_IPV6, _MRT6_DEL_MFC, entry)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise

    def _set_entry(self, group: Address, source: Address, interfaces: Sequence[str]) -> None:
        self._look_at(self._upstream)
        entry = self._entry(group, source, interfaces)
        self._router.setsockopt(socket.IPPROTO_IPV6, _MRT6_ADD_MFC, entry)

    def _entry(self, group: Address, source: Address, interfaces: Sequence[str]) -> bytes:
        """struct mf6cctl: origin, group, parent (0 is upstream), and a bit for each way out."""
        ways = sum(1 << self._numbers[name] for name in interfaces)
        return _socket_address(source) + _socket_address(group) + struct.pack("=HxxI28x", 0, ways)

    def _look_at(self, name: str) -> None:
        """The interface of that name takes part, also when it is another one than before."""
        index = self._index(name)
        if self._indices.get(name) == index:
            return
        number = self._numbers[name]
        if name in self._indices:
            with suppress(OSError):  # gone with its interface, unless that was only renamed
                self._router.setsockopt(socket.IPPROTO_IPV6, _MRT6_DEL_MIF, struct.pack("=H", number))
        request = struct.pack("=HBBHxxI", number, 0, _THRESHOLD, index, 0)
        self._router.setsockopt(socket.IPPROTO_IPV6, _MRT6_ADD_MIF, request)
        self._indices[name] = index
        if self._kept:
            self._keep()

    def _index(self, name: str) -> int:
        try:
            found = fcntl.ioctl(self._router, _SIOCGIFINDEX, struct.pack("=16s24x", name.encode()))
        except OSError as error:
            raise OSError(error.errno, f"no interface {name}") from None
        return int(struct.unpack_from("=i", found, 16)[0])

    # --- what should hold, and what holds -------------------------------------------------------------------------

    def wanted(self, routes: Mapping[Entry, tuple[str, ...]]) -> dict[Entry, frozenset[int]]:
        """The entries that the kernel should have for these routes, each with the interfaces that it leads to."""
        ways = {(group, source): self._ways(source, names) for (group, source), names in routes.items()}
        ways[UNSPECIFIED, None] = (*self._numbers,)
        return {entry: frozenset(self._indices.get(name, 0) for name in names) for entry, names in ways.items()}

    def held(self, netlink: Netlink) -> dict[Entry, frozenset[int]]:
        """Those that it has, but for what an earlier life left and may still be asked for. Raises OSError."""
        found: dict[Entry, frozenset[int]] = {}
        for body in netlink.dump(RTM_GETROUTE, struct.pack("=B11x", _FAMILY_OF_ENTRIES)):
            if body[0] != _FAMILY_OF_ENTRIES:
                continue
            has = attributes(body, 12)
            source = has.get(_RTA_SRC, UNSPECIFIED)
            entry = has.get(_RTA_DST, UNSPECIFIED), None if source == UNSPECIFIED else source
            if entry not in self._left:
                found[entry] = frozenset(device for device, _ in paths(has.get(_RTA_MULTIPATH, b"")))
        return found

    # --- up -------------------------------------------------------------------------------------------------------

    def ensure_membership(self, group: Address, excluding: bool, sources: _Sources) -> None:
        """We listen to `group` upstream: to all but `sources`, or to them alone."""
        index = self._index(self._upstream)
        joined = self._joined.get(group)
        if joined is not None and joined.index != index:  # the interface that we joined on is gone
            self.withdraw_membership(group)
            joined = None
        whole = False
        if joined is None:
            joined = self._join(group, index, None if excluding else sources[0])
            whole = len(sources) == (0 if excluding else 1)
        if not whole:
            self._set_filter(group, joined, excluding, sources)
        self._say(group, index, excluding, sources)

    def _set_filter(self, group: Address, joined: _Joined, excluding: bool, sources: _Sources) -> None:
        mode = _FILTER_EXCLUDE if excluding else _FILTER_INCLUDE
        request = _group_request(joined.index, group) + struct.pack("=II", mode, len(sources))
        request += b"".join(map(_storage, sources))
        joined.listener.setsockopt(socket.IPPROTO_IPV6, _MCAST_MSFILTER, request)

    def _say(self, group: Address, index: int, excluding: bool, sources: _Sources) -> None:
        """Report the membership at once; who misses it hears the kernel say it again."""
        kind = RecordType.CHANGE_TO_EXCLUDE_MODE if excluding else RecordType.ALLOW_NEW_SOURCES
        report = MulticastListenerReport2.of(MulticastAddressRecord(kind, group, sources))
        control = [(socket.IPPROTO_IPV6, _IPV6_HOPOPTS, _ROUTER_ALERT)]
        with suppress(OSError):
            self._router.sendmsg([encode_icmpv6(report)], control, 0, (_ALL_ROUTERS, 0, 0, index))

    def _join(self, group: Address, index: int, source: Address | None) -> _Joined:
        """With the first socket that has room for one more."""
        request = _group_request(index, group)
        option = _MCAST_JOIN_GROUP
        if source is not None:
            request, option = request + _storage(source), _MCAST_JOIN_SOURCE_GROUP
        for listener in self._listeners:
            try:
                listener.setsockopt(socket.IPPROTO_IPV6, option, request)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._listeners = [*self._listeners[1:], self._listeners[0]]
                continue
            joined = self._joined[group] = _Joined(listener, index)
            return joined
        raise OSError(errno.ENOBUFS, "no room for one more group; raise net.core.optmem_max")

    def withdraw_membership(self, group: Address) -> None:
        """We do not listen to `group` upstream; not having listened is fine."""
        joined = self._joined.pop(group, None)
        if joined is None:
            return
        request = _group_request(joined.index, group)
        try:
            joined.listener.setsockopt(socket.IPPROTO_IPV6, _MCAST_LEAVE_GROUP, request)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV):
                raise


def end_multicast() -> None:
    """No process keeps multicast forwarding of an earlier life in this namespace. Raises OSError."""
    line = multicast_keeper.call()
    if line is not None:
        with line:
            multicast_keeper.ask(line, {"end": True})


def is_kept() -> bool:
    """Whether one does. Raises OSError."""
    line = multicast_keeper.call()
    if line is not None:
        line.close()
    return line is not None


def _router() -> socket.socket:
    """Nothing is read from it: neither ICMPv6 nor what the kernel would tell a routing daemon."""
    router = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMPV6)
    router.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, b"\xff" * 32)
    return router


def _socket_address(address: Address) -> bytes:
    """struct sockaddr_in6."""
    return struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, address, 0)


def _storage(address: Address) -> bytes:
    """struct sockaddr_storage."""
    return _socket_address(address).ljust(128, b"\0")


def _group_request(index: int, group: Address) -> bytes:
    """struct group_req, with which the others begin."""
    return struct.pack("=I4x", index) + _storage(group)
