"""``python -m sojourn.lab.relay``: delay, jitter, loss and rate for links where the kernel has no netem.

One process stands in the middle of all impaired links of a lab. For each direction it reads frames from one
interface (AF_PACKET with virtio headers, so that segmentation offload passes whole), keeps them in a queue
with the time at which they are due, and writes them to the other. A timerfd wakes it on time; epoll rounds to
milliseconds and would not do. Frames keep their order whatever the jitter. Links without impairment never
come here.

Standard input: one JSON object ``{"seed": 0, "links": [{"ends": ["a", "b"], "delay": ns, "jitter": ns,
"loss": share, "rate": bits a second or null}]}`` and a line feed. It answers ``ready`` when it forwards, and
ends when its standard input does, with one JSON line of counters.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import json
import os
import random
import select
import socket
import struct
import sys
import time
from collections import deque
from typing import Any

from sojourn.lab.promptness import make_prompt

_SOL_PACKET = 263
_PACKET_VNET_HDR, _PACKET_QDISC_BYPASS, _PACKET_IGNORE_OUTGOING = 15, 20, 23
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE = 33, 32
_ETH_P_ALL = 3
_FRAME = 66_000
"""Virtio header, Ethernet header and the longest IPv6 packet without jumbo option; larger buffers cost an
mmap each."""
_VIRTIO_HEADER = 10
_BUFFER = 8 << 20
_BATCH = 64
_QUEUE_LIMIT = 32 << 20
"""Octets waiting in one direction; more is dropped and counted, as by any router."""
_RATE_QUEUE = 50_000_000
"""How long (ns) a frame may wait for the rate alone."""
_TFD_TIMER_ABSTIME = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Timer:
    """A timerfd on CLOCK_MONOTONIC; becomes readable at the instant it is set to."""

    def __init__(self) -> None:
        self.descriptor: int = _libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._armed = 0

    def arm(self, instant: int) -> None:
        """Wake at `instant` (ns); 0: never."""
        if instant != self._armed:
            self._armed = instant
            value = struct.pack("=qqqq", 0, 0, *divmod(instant, 1_000_000_000))
            _libc.timerfd_settime(self.descriptor, _TFD_TIMER_ABSTIME, value, None)

    def rang(self) -> None:
        """It was seen; it is not readable until it is armed again."""
        self._armed = 0
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 8)


class Direction:
    """Frames from one interface to another."""

    def __init__(self, source: socket.socket, target: socket.socket, figures: dict[str, Any], dice: random.Random):
        self.source, self._target, self._dice = source, target, dice
        self._delay: int = figures["delay"]
        self._jitter: int = figures["jitter"]
        self._loss: float = figures["loss"]
        self._rate: int | None = figures["rate"]
        self._queue: deque[tuple[int, bytes]] = deque()
        self._waiting = 0
        self._last_due = 0
        self._line_free = 0
        self.passed = self.lost = self.dropped = 0

    def take(self) -> None:
        """Queue what has arrived."""
        receive = self.source.recv
        for _ in range(_BATCH):
            try:
                frame = receive(_FRAME)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.ENETDOWN, errno.ENXIO):
                    return
                raise
            self._enqueue(frame, time.monotonic_ns())

    def _enqueue(self, frame: bytes, now: int) -> None:
        if self._loss and self._dice.random() < self._loss:
            self.lost += 1
            return
        if self._waiting + len(frame) > _QUEUE_LIMIT:
            self.dropped += 1
            return
        if self._rate:
            start = max(now, self._line_free)
            if start - now > _RATE_QUEUE:
                self.dropped += 1
                return
            self._line_free = now = start + (len(frame) - _VIRTIO_HEADER) * 8_000_000_000 // self._rate
        due = now + self._delay
        if self._jitter:
            due += round(self._dice.uniform(-self._jitter, self._jitter))
            due = max(due, self._last_due)  # a line does not reorder
        self._last_due = due
        self._waiting += len(frame)
        self._queue.append((due, frame))

    def flush(self, now: int) -> int:
        """Send what is due; answers when the next frame will be (0: there is none)."""
        queue = self._queue
        while queue:
            due, frame = queue[0]
            if due > now:
                return due
            queue.popleft()
            self._waiting -= len(frame)
            try:
                self._target.send(frame)
                self.passed += 1
            except OSError:  # the far interface is down or full: on a wire the frame is gone
                self.dropped += 1
        return 0


def packet_socket(interface: str) -> socket.socket:
    """All frames that arrive on `interface`, with virtio headers; and a way to send such."""
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    link.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    link.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    link.setsockopt(_SOL_PACKET, _PACKET_QDISC_BYPASS, 1)
    for forced, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            link.setsockopt(socket.SOL_SOCKET, forced, _BUFFER)
        except PermissionError:
            link.setsockopt(socket.SOL_SOCKET, plain, _BUFFER)
    link.setblocking(False)
    link.bind((interface, _ETH_P_ALL))
    return link


def _directions(specification: dict[str, Any]) -> list[Direction]:
    dice = random.Random(specification["seed"])
    found = []
    for figures in specification["links"]:
        one, two = (packet_socket(name) for name in figures["ends"])
        found += [Direction(one, two, figures, dice), Direction(two, one, figures, dice)]
    return found


def run(directions: list[Direction]) -> None:
    """Forward until standard input ends."""
    timer, poll = Timer(), select.epoll()
    by_descriptor = {direction.source.fileno(): direction for direction in directions}
    for descriptor in (*by_descriptor, timer.descriptor, 0):
        poll.register(descriptor, select.EPOLLIN)
    waiting: dict[Direction, int] = {}
    """Directions with frames, and when the next of each is due: a lab of many links is mostly silent."""
    while True:
        for descriptor, _ in poll.poll():
            direction = by_descriptor.get(descriptor)
            if direction is not None:
                direction.take()
                waiting[direction] = 0
            elif descriptor == timer.descriptor:
                timer.rang()
            elif not os.read(0, 4096):
                return
        now = time.monotonic_ns()
        for direction in [direction for direction, due in waiting.items() if due <= now]:
            due = direction.flush(now)
            if due:
                waiting[direction] = due
            else:
                del waiting[direction]
        timer.arm(min(waiting.values(), default=0))


def main() -> int:
    """Exit status 0 when standard input ended."""
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 65536) or b"\n"
    specification = json.loads(line)
    directions = _directions(specification)
    make_prompt()
    gc.disable()  # nothing here makes cycles, and a collection would show as jitter
    print("ready", flush=True)
    run(directions)
    counters = []
    for figures, one, two in zip(specification["links"], directions[::2], directions[1::2], strict=True):
        counts = [{"passed": way.passed, "lost": way.lost, "dropped": way.dropped} for way in (one, two)]
        counters.append({"ends": figures["ends"], "directions": counts})
    print(json.dumps(counters), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
