"""What a tunnelled packet costs the relay of tunnels over IPv4 (RFC 5844 4): CPU time, and how many are lost.

    python -m sojourn.lab.sandbox python bench/ipv4_transport.py [packets]

Datagrams of 64 octets from a server to a host, through the relays of an anchor and of a gateway, in UDP.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "linux"))

import test_dataplane_ipv4 as place

from sojourn.wire.addresses import text
from support.dataplane_bed import HOST, SERVER

TICK = os.sysconf("SC_CLK_TCK")


def spent() -> dict[str, float]:
    """Seconds of CPU of each relay so far, by its address."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        words = (process / "cmdline").read_bytes().split(b"\0")
        if any(word.endswith(b"ipv4_relay.py") for word in words):
            numbers = (process / "stat").read_text().rpartition(")")[2].split()
            found[words[5].decode()] = (int(numbers[11]) + int(numbers[12])) / TICK
    return found


def main() -> None:
    """Send, and say what it took."""
    packets = int(sys.argv[1]) if len(sys.argv) > 1 else 30_000
    received = 0
    with place.network() as bed:
        place.pair(bed, 5437)
        with bed.udp("server", SERVER) as server, bed.udp("a", HOST, 7000) as host:

            def receive() -> None:
                nonlocal received
                try:
                    while host.recv(2000):
                        received += 1
                except TimeoutError:
                    pass

            receiver = threading.Thread(target=receive)
            receiver.start()
            before, began = spent(), time.monotonic()
            for number in range(packets):
                server.sendto(bytes(64), (text(HOST), 7000))
                if number % 20 == 0:
                    time.sleep(0.002)
            rate = packets / (time.monotonic() - began)
            receiver.join()
            after = spent()
    costs = ", ".join(f"{name} {(after[name] - before[name]) / packets * 1e6:.1f} us" for name in after)
    print(f"{packets} packets, {rate:.0f} a second, {packets - received} lost; CPU for each: {costs}")


if __name__ == "__main__":
    main()
