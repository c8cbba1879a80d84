"""Neighbour discovery that a host of Mobile IPv6 does beside its kernel: to ask, to tell, to look for routers.

Duplicate Address Detection for an address that the kernel is not to have yet (RFC 4862 5.4), probes of a router (RFC
4861 7.3), unasked advertisements (RFC 6275 11.5.5), solicitations of routers (RFC 4861 6.3.7). Frames go out through a
packet socket, from addresses that may not be settled; answers come to a raw socket, which has passed the kernel's tests
of the checksum.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from sojourn.core.events import AddressProbed, Event, RouterProbed
from sojourn.host.mobile_packets import HEADER
from sojourn.wire import DecodeError
from sojourn.wire.addresses import ALL_NODES, UNSPECIFIED, Address, LinkLayer, address
from sojourn.wire.icmpv6 import (
    ICMPV6,
    Icmpv6Message,
    NeighbourAdvertisement,
    NeighbourAdvertisementFlags,
    NeighbourSolicitation,
    RouterSolicitation,
    SourceLinkLayerAddress,
    TargetLinkLayerAddress,
    decode_icmpv6,
    encode_icmpv6,
    seal_icmpv6,
)

ALL_ROUTERS = address("ff02::2")
DAD_WAIT = 1.0
"""Seconds: RetransTimer, after the one question that DupAddrDetectTransmits asks for (RFC 4862 5.1)."""
PROBES, PROBE_WAIT = 3, 0.2
"""A router is asked so often, with this pause. RFC 4861 10 waits a second each time, which is meant for links whose
answers may take as long; who moves has no time, and a router that was found dead in error is found again.
"""
ANNOUNCEMENTS, ANNOUNCE_PAUSE = 2, 1.0
SOLICITATION_PAUSES = (0.5, 1.0, 4.0)
"""After the first one (RFC 4861 6.3.7 waits 4 s), until a router is heard."""
PROBING = 256
"""Questions open at a time."""
DRAIN = 64

_SOLICITATION, _ADVERTISEMENT = 135, 136
_HOP_LIMIT = 255
_IPV6 = struct.Struct("!IHBB16s16s")
_ETH_P_IPV6 = 0x86DD
_ICMP6_FILTER = 1
_IPV6_RECVPKTINFO, _IPV6_PKTINFO, _IPV6_RECVHOPLIMIT, _IPV6_HOPLIMIT = 49, 50, 51, 52
_CONTROL = socket.CMSG_SPACE(20) + socket.CMSG_SPACE(4)
_SIOCGIFHWADDR = 0x8927
_ETHERNET = 1


class Handle(Protocol):
    """What `Later` gives."""

    def cancel(self) -> None: ...


Later = Callable[[float, Callable[[], None]], Handle]
"""Call back after so many seconds (`loop.call_later`)."""


@dataclass(slots=True)
class _Question:
    sent: int = 1
    handle: Handle | None = None


@dataclass(slots=True)
class _Open:
    addresses: dict[tuple[str, Address], _Question] = field(default_factory=dict)
    routers: dict[tuple[str, Address], _Question] = field(default_factory=dict)
    links: dict[str, Handle] = field(default_factory=dict)
    """Where routers are being looked for."""


class Neighbours:
    """`tell` is told of answers, `link_local` says which link-local address an interface has. Raises OSError."""

    def __init__(
        self, tell: Callable[[Event], None], later: Later, link_local: Callable[[str], Address | None]
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._tell = tell
        self._later = later
        self._link_local = link_local
        self._open = _Open()
        with ExitStack() as opened:
            kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            self._out = opened.enter_context(socket.socket(socket.AF_PACKET, kind, 0))
            kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            self._in = opened.enter_context(socket.socket(socket.AF_INET6, kind, ICMPV6))
            for option in (_IPV6_RECVPKTINFO, _IPV6_RECVHOPLIMIT):
                self._in.setsockopt(socket.IPPROTO_IPV6, option, 1)
            words = [0xFFFFFFFF] * 8
            words[4] = 0xFFFFFFFF & ~(1 << _SOLICITATION % 32 | 1 << _ADVERTISEMENT % 32)
            self._in.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *words))
            self._opened = opened.pop_all()

    def fileno(self) -> int:
        """For `loop.add_reader`."""
        return self._in.fileno()

    def close(self) -> None:
        """No question is open any more."""
        for question in (*self._open.addresses.values(), *self._open.routers.values()):
            if question.handle is not None:
                question.handle.cancel()
        for handle in self._open.links.values():
            handle.cancel()
        self._open = _Open()
        self._opened.close()

    # --- questions ----------------------------------------------------------------------------------------------------

    def probe_address(self, interface: str, target: Address) -> None:
        """Whether somebody has it; answered by `AddressProbed` after a second at the latest. Raises OSError."""
        key = interface, target
        if key in self._open.addresses:
            return
        self._demand_room(self._open.addresses)
        self._join(interface, target, socket.IPV6_JOIN_GROUP)
        try:
            self._send(interface, NeighbourSolicitation(target), UNSPECIFIED, solicited_node(target))
        except OSError:
            self._join(interface, target, socket.IPV6_LEAVE_GROUP)
            raise
        question = self._open.addresses[key] = _Question()
        question.handle = self._later(DAD_WAIT, partial(self._answer_address, key, False))

    def probe_router(self, interface: str, router: Address) -> None:
        """Whether it is there; answered by `RouterProbed`. Raises OSError."""
        key = interface, router
        if key in self._open.routers:
            return
        self._demand_room(self._open.routers)
        self._ask_router(interface, router)
        question = self._open.routers[key] = _Question()
        question.handle = self._later(PROBE_WAIT, partial(self._router_silent, key))

    def announce(self, interface: str, target: Address, router: bool = False, proxied: bool = False) -> None:
        """Tell all nodes there that `target` is here (RFC 6275 11.5.5), and once more later; `proxied`: for somebody
        else, so that it comes from our own address (10.4.1). Raises OSError.
        """
        self._say(interface, target, router, proxied)
        for number in range(1, ANNOUNCEMENTS):
            self._later(number * ANNOUNCE_PAUSE, partial(self._say_again, interface, target, router, proxied))

    def solicit_routers(self, interface: str) -> None:
        """Ask for routers, again until one is heard (`router_heard`). Raises OSError."""
        self.router_heard(interface)
        self._ask_for_routers(interface)
        self._open.links[interface] = self._later(SOLICITATION_PAUSES[0], partial(self._solicit_again, interface, 0))

    def router_heard(self, interface: str) -> None:
        """Nobody needs to be asked there."""
        handle = self._open.links.pop(interface, None)
        if handle is not None:
            handle.cancel()

    # --- answers ------------------------------------------------------------------------------------------------------

    def receive(self) -> None:
        """What neighbours said; whoever waits for it is told."""
        for _ in range(DRAIN):
            try:
                octets, control, _, name = self._in.recvmsg(2048, _CONTROL)
            except BlockingIOError:
                return
            except OSError:
                self.counters["receive-errors"] += 1
                return
            index, hop_limit = 0, 0
            for level, kind, data in control:
                if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
                    index = struct.unpack_from("=i", data, 16)[0]
                elif level == socket.IPPROTO_IPV6 and kind == _IPV6_HOPLIMIT:
                    hop_limit = struct.unpack_from("=i", data)[0]
            if hop_limit == _HOP_LIMIT and (self._open.addresses or self._open.routers):
                source = socket.inet_pton(socket.AF_INET6, name[0].partition("%")[0])
                self._hear(octets, source, index)

    def _hear(self, octets: bytes, source: Address, index: int) -> None:
        try:
            message = decode_icmpv6(octets)
            interface = socket.if_indextoname(index)
        except (DecodeError, OSError):
            return
        match message:
            case NeighbourAdvertisement(target=target):
                if (interface, target) in self._open.addresses:
                    self._answer_address((interface, target), True)
                if (interface, target) in self._open.routers:
                    self._answer_router((interface, target), True)
            case NeighbourSolicitation(target=target) if source == UNSPECIFIED:
                if (interface, target) in self._open.addresses:  # another one tests the same address
                    self._answer_address((interface, target), True)
            case _:
                pass

    def _answer_address(self, key: tuple[str, Address], duplicate: bool) -> None:
        question = self._open.addresses.pop(key)
        if question.handle is not None:
            question.handle.cancel()
        self._join(*key, socket.IPV6_LEAVE_GROUP)
        self._tell(AddressProbed(*key, duplicate))

    def _answer_router(self, key: tuple[str, Address], reachable: bool) -> None:
        question = self._open.routers.pop(key)
        if question.handle is not None:
            question.handle.cancel()
        self._tell(RouterProbed(*key, reachable))

    def _router_silent(self, key: tuple[str, Address]) -> None:
        question = self._open.routers[key]
        if question.sent >= PROBES:
            self._answer_router(key, False)
            return
        question.sent += 1
        self._quietly(partial(self._ask_router, *key))
        question.handle = self._later(PROBE_WAIT, partial(self._router_silent, key))

    # --- frames -------------------------------------------------------------------------------------------------------

    def _ask_router(self, interface: str, router: Address) -> None:
        source = self._link_local(interface) or UNSPECIFIED
        link_layer = self._link_layer(interface)
        options = (SourceLinkLayerAddress(link_layer),) if link_layer and source != UNSPECIFIED else ()
        self._send(interface, NeighbourSolicitation(router, options), source, solicited_node(router))

    def _ask_for_routers(self, interface: str) -> None:
        source = self._link_local(interface) or UNSPECIFIED
        link_layer = self._link_layer(interface)
        options = (SourceLinkLayerAddress(link_layer),) if link_layer and source != UNSPECIFIED else ()
        self._send(interface, RouterSolicitation(options), source, ALL_ROUTERS)

    def _solicit_again(self, interface: str, number: int) -> None:
        self._open.links.pop(interface, None)
        self._quietly(partial(self._ask_for_routers, interface))
        if number + 1 < len(SOLICITATION_PAUSES):
            again = partial(self._solicit_again, interface, number + 1)
            self._open.links[interface] = self._later(SOLICITATION_PAUSES[number + 1], again)

    def _say(self, interface: str, target: Address, router: bool, proxied: bool) -> None:
        link_layer = self._link_layer(interface)
        options = (TargetLinkLayerAddress(link_layer),) if link_layer else ()
        flags = NeighbourAdvertisementFlags.OVERRIDE | (NeighbourAdvertisementFlags.ROUTER if router else 0)
        source = (self._link_local(interface) if proxied else None) or target
        self._send(interface, NeighbourAdvertisement(int(flags), target, options), source, ALL_NODES)

    def _say_again(self, interface: str, target: Address, router: bool, proxied: bool) -> None:
        self._quietly(partial(self._say, interface, target, router, proxied))

    def _quietly(self, act: Callable[[], None]) -> None:
        """A link that is gone meanwhile needs no answer."""
        try:
            act()
        except OSError:
            self.counters["send-errors"] += 1

    def _send(self, interface: str, message: Icmpv6Message, source: Address, destination: Address) -> None:
        payload = seal_icmpv6(encode_icmpv6(message), source, destination)
        packet = _IPV6.pack(6 << 28, len(payload), ICMPV6, _HOP_LIMIT, source, destination) + payload
        assert len(packet) > HEADER
        to = interface, _ETH_P_IPV6, 0, 0, b"\x33\x33" + destination[12:]
        self._out.sendto(packet, to)
        self.counters["sent"] += 1

    def _link_layer(self, interface: str) -> LinkLayer:
        """Empty for a link without one. Raises OSError."""
        found = fcntl.ioctl(self._out, _SIOCGIFHWADDR, struct.pack("16s24x", interface.encode()))
        return found[18:24] if struct.unpack_from("=H", found, 16)[0] == _ETHERNET else b""

    def _join(self, interface: str, target: Address, option: int) -> None:
        """The group that hears questions about `target` there; it does not matter whether somebody is in it already."""
        try:
            index = socket.if_nametoindex(interface)
            self._in.setsockopt(socket.IPPROTO_IPV6, option, solicited_node(target) + struct.pack("=i", index))
        except OSError as error:
            if option == socket.IPV6_JOIN_GROUP and error.errno != errno.EADDRINUSE:
                raise

    @staticmethod
    def _demand_room(questions: dict[tuple[str, Address], _Question]) -> None:
        if len(questions) >= PROBING:
            raise OSError(errno.EBUSY, f"{PROBING} questions are open")


def solicited_node(target: Address) -> Address:
    """The group of RFC 4291 2.7.1."""
    return b"\xff\x02" + bytes(9) + b"\x01\xff" + target[13:]
