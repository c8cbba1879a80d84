"""Echo requests all along: a context in a test, and the program that it runs in a host's namespace."""

from __future__ import annotations

import selectors
import socket
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from domain_of_daemons import Domain


class ping_all_along:  # noqa: N801 - used like a function
    """Echo requests from the host's address `source` every 2 ms while the body runs; the number lost afterwards."""

    def __init__(self, world: Domain, source: str) -> None:
        self._world = world
        self._command = [sys.executable, __file__, source]

    def __enter__(self) -> ping_all_along:
        with self._world.host.namespace.entered():
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "answered\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._output, _ = self._process.communicate("stop\n")

    def __call__(self) -> int:
        sent, answered = map(int, self._output.split())
        assert sent > 5
        return sent - answered


def _pinger(source: str) -> None:
    """What `ping_all_along` runs in the host's namespace."""
    raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    raw.bind((source, 0))
    raw.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(raw, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    sent, answered, ends, due = 0, set[int](), 0.0, 0.0
    while not ends or (time.monotonic() < ends and len(answered) < sent):
        if not ends and time.monotonic() >= due:
            due = time.monotonic() + 0.002
            raw.sendto(struct.pack("!BBHHH", 128, 0, 0, 0x5053, sent & 0xFFFF), ("2001:db8:5e::1", 0))
            sent += 1
        for key, _ in selector.select(0.002):
            if key.fileobj is sys.stdin:
                selector.unregister(sys.stdin)
                ends = time.monotonic() + 2
                continue
            octets = raw.recv(2048)
            if octets[0] == 129 and octets[4:6] == b"\x50\x53":
                if not answered:
                    print("answered", flush=True)
                answered.add(int.from_bytes(octets[6:8], "big"))
    print(sent, len(answered))


if __name__ == "__main__":
    _pinger(sys.argv[1])
