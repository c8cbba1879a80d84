"""Queues that keep the order: what waits leaves first, and what comes meanwhile stands behind it.

The kernel's queue for an unresolved neighbour (`EnsureHold`) does not: while it is emptied, a new packet overtakes. A
handover that must not reorder has a queue of another kind: a veth pair of our own with a token bucket (``tbf``) and a
bounded FIFO on its near end. The slot's nexthop leads into the near end; what comes out of the far end is routed on by
a table of that queue's own, to the node or through a tunnel.

* To hold, the bucket gets one octet a second, and its first filling is used up by a frame of our own, as long as the
  longest packet. To let go, it gets some 20,000 packets a second, and a second frame of ours sets it going: the kernel
  itself empties the FIFO, with whatever comes at its end.
* The far end takes packets by polling (NAPI), of which there is one for all processors; otherwise each would have a
  backlog of its own, and one that is behind would be overtaken.
* When nothing waits, the bucket is opened wide; and when then a frame of ours that goes in comes out at once, the slot
  may point straight to where the queue leads: no packet is in the pair for longer than some microseconds. The pair is
  taken apart a moment later, for those that another processor still holds.
* The FIFO is bounded in packets (each at most as long as the MTU says); what finds no room is dropped and counted.

No packet passes through this process. If it dies, what waits is lost when a later life takes over and removes the
pair, or when the queue is full.
"""

from __future__ import annotations

import array
import errno
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fcntl import ioctl
from typing import NamedTuple

from sojourn.dataplane import links
from sojourn.dataplane.installation import station
from sojourn.dataplane.netlink import NLM_F_CREATE, NLM_F_REPLACE, Message, Netlink, attribute, attributes, nested
from sojourn.dataplane.object_parts import AF_INET, AF_INET6
from sojourn.dataplane.objects import KernelObject, Neighbour, Rule
from sojourn.dataplane.routes import RTN_THROW, Nexthop, Route
from sojourn.dataplane.settings import SLOTS, LinuxSettings
from sojourn.wire.addresses import ANY, ANY_IPV4, Address, LinkLayer, Prefix

_RTM_NEWQDISC, _RTM_DELQDISC, _RTM_GETQDISC = 36, 37, 38
_TC = struct.Struct("=BxxxiIII")
_ROOT, _HANDLE, _CHILD, _CHILD_HANDLE = 0xFFFFFFFF, 0x10000, 0x10001, 0x20000
_TCA_KIND, _TCA_OPTIONS, _TCA_STATS2, _TCA_STATS_QUEUE = 1, 2, 7, 3
_TBF_PARMS, _TBF_BURST = 1, 6
_ETHERNET = 14
_ETHERTYPE = 0x88B5
"""For local experiments (IEEE 802): nobody listens."""
_SHORTEST = 60
_SIOCETHTOOL, _SEGMENTATION, _POLLING = 0x8946, 0x1F, 0x2C
"""ETHTOOL_STSO, and ETHTOOL_SGRO, with which a veth has NAPI. It polls only what no segmentation is needed for."""
_OPEN_RATE, _OPEN_OVERHEAD = 1_200_000_000, 60_000
"""Octets a second, with so many more counted for each packet: a packet every 50 us, one by one (RFC 5568 5.4).

In a burst they would pile up before the next veth or network card, where every processor has a queue of its own.
"""
_WIDE_RATE = 0xFFFFFFFF
_LINGER = 0.2
"""Seconds."""
Counts = tuple[int, int]
"""Packets that wait, and packets that found no room."""


class Lane(NamedTuple):
    """One of the two queues of a slot."""

    slot: int
    forwarded: bool


@dataclass(slots=True)
class Queue:
    """A veth pair and its numbers."""

    number: int
    near: int
    near_name: str
    far_name: str
    far_link_layer: LinkLayer
    ear: socket.socket
    """Hears our own frames where they come out."""
    held: bool = False
    wide: bool = False
    """Nothing is paced any more."""
    frames: int = 0
    """Of ours that went in."""

    def came_out(self) -> bool:
        """Whether our latest frame did."""
        try:
            while True:
                if int.from_bytes(self.ear.recv(_SHORTEST)[_ETHERNET : _ETHERNET + 4], "big") == self.frames:
                    return True
        except BlockingIOError:
            return False


class Queues:
    """The queues of one data plane, made when they are needed and kept for the next handover."""

    def __init__(self, netlink: Netlink, settings: LinuxSettings) -> None:
        self._netlink = netlink
        self._settings = settings
        self._free: list[Queue] = []
        self._made = 0
        self.used: dict[Lane, Queue] = {}
        self._closing: list[tuple[float, Lane, Queue]] = []
        self._left: list[str] = []

    # --- life -------------------------------------------------------------------------------------------------------

    def take_stock(self) -> None:
        """Pairs of an earlier life go at `forget_left`, when nothing leads into them any more."""
        self._left = [name for name in links.links(self._netlink) if name.startswith(self._prefix("q"))]

    def prepare(self) -> None:
        """The first handover finds its two queues made."""
        while self._made < min(2, 2 * self._settings.handovers):
            self._free.append(self._make())

    def forget_left(self) -> None:
        """See `take_stock`; what waited in them is lost."""
        found = links.links(self._netlink)
        for name in self._left:
            if name in found and name not in [queue.near_name for queue in self.every()]:
                links.delete_link(self._netlink, found[name].index)
        self._left = []

    def close(self) -> None:
        """No pair is left."""
        for queue in self.every():
            links.delete_link(self._netlink, queue.near)
        self.leave()

    def leave(self) -> None:
        """Let go of the sockets; the pairs stay."""
        for queue in self.every():
            queue.ear.close()

    def every(self) -> list[Queue]:
        """All that were made."""
        return [*self.used.values(), *self.idle()]

    def idle(self) -> list[Queue]:
        """Those that no slot uses now."""
        return [*self._free, *(queue for _, _, queue in self._closing)]

    # --- queues -----------------------------------------------------------------------------------------------------

    def take(self, lane: Lane) -> Queue:
        """The queue of `lane`; a new one holds. Raises OSError: ENOBUFS when there are as many as are allowed."""
        queue = self.used.get(lane)
        if queue is None:
            if not self._free and self._made >= 2 * self._settings.handovers:
                self.close_old(everything=True)
            queue = self._free.pop() if self._free else self._make()
            self._hold(queue)
            self.used[lane] = queue
        elif not queue.held:
            self._hold(queue)
        return queue

    def lead(self, lane: Lane, nexthop: Nexthop, neighbour: Neighbour | None) -> None:
        """What comes out of its queue takes the way of `nexthop`."""
        queue = self.used.get(lane) or self.take(lane)
        leaving = nexthop._replace(id=self.exit_number(queue))
        things: list[KernelObject] = [] if neighbour is None else [neighbour]
        self._netlink.request(*(thing.ensure() for thing in (*things, leaving, *self.exit(queue))))

    def divert(self, slot: int, prefixes: Iterable[Prefix]) -> None:
        """What neighbours forward to the slot's prefixes goes into its own queue."""
        queue = self.used[Lane(slot, True)]
        nexthop, neighbour = self.entry(queue, station(slot), self.entry_number(queue))
        things: list[KernelObject] = [neighbour, nexthop]
        things += [Route(self._settings.forwarded_table, prefix, nexthop=nexthop.id) for prefix in prefixes]
        self._netlink.request(*(thing.ensure() for thing in things))

    def end(self, lane: Lane) -> None:
        """Nothing leads into it from now on: what is forwarded has no nexthop of its own, nor routes."""
        queue = self.used.get(lane)
        if queue is not None and lane.forwarded:
            self._netlink.request(Nexthop(self.entry_number(queue), 0).withdraw())
        self.give_back(lane)

    def open(self, lane: Lane) -> None:
        """Let go what waits there, and what will come."""
        queue = self.used[lane]
        if queue.held:
            self._netlink.request(self._bucket(queue, _OPEN_RATE, self._longest + _OPEN_OVERHEAD, _OPEN_OVERHEAD))
            queue.held = queue.wide = False
            self._push(queue, _SHORTEST)

    def give_back(self, lane: Lane) -> None:
        """Nothing leads into its queue any more. What is held in it is lost, what is on its way out is not."""
        queue = self.used.pop(lane, None)
        if queue is None:
            return
        if queue.held:
            self._dismantle(lane, queue)
        else:
            self._closing.append((time.monotonic(), lane, queue))

    def close_old(self, everything: bool = False) -> None:
        """Those that were given back a moment ago are taken apart."""
        limit = time.monotonic() - _LINGER
        while self._closing and (everything or self._closing[0][0] <= limit):
            _, lane, queue = self._closing.pop(0)
            self._dismantle(lane, queue)

    def _dismantle(self, lane: Lane, queue: Queue) -> None:
        """The nexthop out of it goes, and with it the route that refers to it."""
        entrance = Neighbour(queue.near, station(lane.slot), queue.far_link_layer)
        root = _TC.pack(0, queue.near, 0, _ROOT, 0)
        self._netlink.request(
            Nexthop(self.exit_number(queue), 0).withdraw(),
            entrance.withdraw(),
            Message(_RTM_DELQDISC, 0, root, (errno.ENOENT, errno.EINVAL, errno.ENODEV)),
        )
        self._free.append(queue)

    def waiting(self, slot: int) -> tuple[int, int, int]:
        """See `Dataplane.waiting`."""
        waiting, dropped = self.count(Lane(slot, False))
        forwarded, more = self.count(Lane(slot, True))
        return waiting, forwarded, dropped + more

    def count(self, lane: Lane) -> Counts:
        """How many packets wait and how many found no room. None waits if a frame that goes in comes out at once."""
        queue = self.used.get(lane)
        if queue is None:
            return 0, 0
        for body in self._netlink.dump(_RTM_GETQDISC, _TC.pack(0, queue.near, 0, 0, 0)):
            _, device, handle, _, _ = _TC.unpack_from(body)
            if (device, handle) == (queue.near, _HANDLE):  # the kernel shows those of all interfaces
                figures = attributes(attributes(body, _TC.size).get(_TCA_STATS2, b"")).get(_TCA_STATS_QUEUE, b"")
                waiting, _, dropped = struct.unpack_from("=III", figures)
                return waiting or self._passing(queue), dropped
        return 0, 0

    def _passing(self, queue: Queue) -> int:
        """1 when something may still be on its way through the pair."""
        if queue.held:
            return 0
        self._push(queue, _SHORTEST)
        if not queue.came_out():
            return 1
        if queue.wide:
            return 0
        self._netlink.request(self._bucket(queue, _WIDE_RATE, 64 * self._longest, 0))
        queue.wide = True
        return 1

    # --- numbers ----------------------------------------------------------------------------------------------------

    def entry(self, queue: Queue, station: Address, number: int) -> tuple[Nexthop, Neighbour]:
        """The nexthop `number` leads into the queue."""
        return Nexthop(number, queue.near, station), Neighbour(queue.near, station, queue.far_link_layer)

    def entry_number(self, queue: Queue) -> int:
        """Of the nexthop for what is forwarded."""
        return self._settings.nexthops + SLOTS - 1 - queue.number

    def exit_number(self, queue: Queue) -> int:
        """Of the nexthop that what comes out of the queue takes."""
        return self._settings.nexthops + SLOTS - 1 - 2 * self._settings.handovers - queue.number

    def exit(self, queue: Queue) -> Iterator[Route | Rule]:
        """What leads out of its far end to the nexthop `exit_number`.

        What was encapsulated there is looked up again as if it had come out anew: it goes on to the other tables.
        """
        table = self._settings.queue_tables[queue.number]
        yield Route(table, ANY, Prefix(self._settings.address, 128), RTN_THROW)
        families = ((AF_INET6, ANY), (AF_INET, ANY_IPV4)) if self._settings.ipv4 else ((AF_INET6, ANY),)
        for family, anywhere in families:
            yield Route(table, anywhere, nexthop=self.exit_number(queue))
            yield Rule(self._settings.priorities.queues, table, queue.far_name, family=family)

    # --- kernel -----------------------------------------------------------------------------------------------------

    @property
    def _longest(self) -> int:
        return self._settings.mtu + _ETHERNET

    def _prefix(self, letter: str) -> str:
        return self._settings.loop[0][:10] + letter

    def _make(self) -> Queue:
        if self._made >= 2 * self._settings.handovers:
            raise OSError(errno.ENOBUFS, "as many handovers are under way as are allowed")
        number = self._made
        near, far = f"{self._prefix('q')}{number}", f"{self._prefix('r')}{number}"
        found = links.links(self._netlink)
        if near in found:
            links.delete_link(self._netlink, found[near].index)
        links.add_veth(self._netlink, near, far, self._settings.mtu)
        found = links.links(self._netlink)
        for name in (near, far):
            links.raise_quiet(self._netlink, found[name].index, self._settings.mtu)
        self._made += 1
        return Queue(number, found[near].index, near, far, found[far].link_layer, _ear(near, far))

    def _hold(self, queue: Queue) -> None:
        limit = struct.pack("=I", self._settings.handover_packets)
        fifo = _TC.pack(0, queue.near, _CHILD_HANDLE, _CHILD, 0) + attribute(_TCA_KIND, b"pfifo\0")
        fifo += attribute(_TCA_OPTIONS, limit)
        queue.wide = False
        self._netlink.request(self._bucket(queue, 1, self._longest, 0), Message(_RTM_NEWQDISC, NLM_F_CREATE, fifo))
        queue.held = True
        self._push(queue, self._longest)

    def _bucket(self, queue: Queue, rate: int, burst: int, overhead: int) -> Message:
        specification = struct.pack("=BBHhHI", 0, 1, overhead, 0, 0, rate)
        parameters = specification + bytes(12) + struct.pack("=III", self._settings.handover_packets, 0, 0)
        options = attribute(_TBF_PARMS, parameters) + attribute(_TBF_BURST, struct.pack("=I", burst))
        body = _TC.pack(0, queue.near, _HANDLE, _ROOT, 0) + attribute(_TCA_KIND, b"tbf\0")
        return Message(_RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, body + nested(_TCA_OPTIONS, options))

    def _push(self, queue: Queue, octets: int) -> None:
        """A frame of ours into the queue."""
        queue.frames += 1
        frame = queue.far_link_layer + bytes(6) + _ETHERTYPE.to_bytes(2, "big") + queue.frames.to_bytes(4, "big")
        try:
            queue.ear.sendto(frame.ljust(octets, b"\0"), (queue.near_name, 0))
        except OSError as error:
            if error.errno not in (
                errno.ENOBUFS,
                errno.EAGAIN,
            ):  # the queue is full: then something waits, which does as well
                raise


def _ear(near: str, far: str) -> socket.socket:
    """A socket for our own frames; the far end polls from now on."""
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    try:
        for name, command, value in ((near, _SEGMENTATION, 0), (far, _POLLING, 1)):
            wanted = array.array("I", [command, value])
            ioctl(ear, _SIOCETHTOOL, struct.pack("16sP8x", name.encode(), wanted.buffer_info()[0]))
        ear.bind((far, _ETHERTYPE))
    except OSError:
        ear.close()
        raise
    return ear
