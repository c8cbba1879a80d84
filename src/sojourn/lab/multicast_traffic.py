"""Numbered packets to a group: one source, any number of listeners, and copies counted on the wire.

Everything is judged by numbers, not by clocks: which came, how often, and on which wires how often.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable

from sojourn.lab.node import Node
from sojourn.wire.addresses import Address, text

PORT = 5052
HOPS = 16
_BUFFER = 1 << 22
"""As much as the kernel gives without privileges."""
_ETH_P_ALL = 3
_HEADERS = 48
"""Octets of IPv6 and UDP headers, before the number."""


class MulticastTraffic:
    """From `source` to `group`, `rate` packets a second, as long as the context lasts; counted where asked."""

    def __init__(self, source: Node, group: Address, rate: int) -> None:
        self.group = group
        self.sent = 0
        """Packets so far; the next one has this number."""
        self.heard: dict[str, Counter[int]] = {}
        """By listener: how often each number came."""
        self.passed: dict[str, Counter[int]] = {}
        """By wire, ``NODE:INTERFACE``."""
        self._interval = 1 / rate
        self._ears: dict[int, tuple[socket.socket, Counter[int], int]] = {}
        self._names: dict[str, socket.socket] = {}
        self._stop = threading.Event()
        interface = source.interface
        with source.namespace.entered():
            self._source = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            self._source.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(interface))
        self._source.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOPS)
        self._source.bind((source.address, 0))
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._hear)]

    def __enter__(self) -> MulticastTraffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """The source stops; what is on its way still arrives; then everybody leaves."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for opened in (self._source, *(ear for ear, _, _ in self._ears.values())):
            opened.close()

    def listen(self, host: Node) -> None:
        """A stock listener on the host."""
        with host.namespace.entered():
            index = socket.if_nametoindex(host.interface)
            ear = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        ear.bind((text(self.group), PORT, 0, index))
        ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, self.group + struct.pack("=I", index))
        self._add(ear, self.heard.setdefault(host.name, Counter()), 0)
        self._names[host.name] = ear

    def leave(self, host: Node) -> None:
        """The host does not listen any more."""
        ear = self._names.pop(host.name)
        del self._ears[ear.fileno()]
        ear.close()

    def watch(self, node: Node, interface: str) -> None:
        """Count the copies that pass an interface, in either direction."""
        with node.namespace.entered():
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            wire.bind((interface, _ETH_P_ALL))
        self._add(wire, self.passed.setdefault(f"{node.name}:{interface}", Counter()), _HEADERS)

    def _add(self, ear: socket.socket, counter: Counter[int], offset: int) -> None:
        self._ears = {**self._ears, ear.fileno(): (ear, counter, offset)}

    def _send(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._source.sendto(struct.pack("!I", self.sent) + bytes(60), (text(self.group), PORT))
            self.sent += 1
            due += self._interval
            time.sleep(max(0.0, due - time.monotonic()))

    def _hear(self) -> None:
        while True:
            ready, _, _ = select.select([*self._ears], [], [], 0.2)
            if not ready and self._stop.is_set():
                return
            for descriptor in ready:
                ear = self._ears.get(descriptor)
                if ear is not None:
                    self._drain(*ear)

    def _drain(self, ear: socket.socket, counter: Counter[int], offset: int) -> None:
        while True:
            try:
                octets = ear.recv(2048)
            except OSError:  # there is nothing, or it was closed meanwhile
                return
            if not offset or (octets[6] == socket.IPPROTO_UDP and octets[24:40] == self.group):
                counter[struct.unpack_from("!I", octets, offset)[0]] += 1


def missing(counter: Counter[int], numbers: Iterable[int]) -> list[int]:
    """Those of `numbers` that never came."""
    return [number for number in numbers if number not in counter]


def repeated(counter: Counter[int], numbers: Iterable[int]) -> list[int]:
    """Those of `numbers` that came more than once."""
    return [number for number in numbers if counter[number] > 1]
