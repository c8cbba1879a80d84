"""What it costs to send IPv4 packets back to the anchors of their sources, by the number of nodes. In the sandbox:

    python -m sojourn.lab.sandbox python bench/ipv4_sources.py [PACKETS]

IPv4 routing knows no source prefixes. Beside what the data plane does (nf_tables marks by source, and there are a rule
and a table for each anchor) the same is done with a routing rule for each node; packets come from the node whose rule
stands last. Processor time per packet, of the sender and of all that the kernel does on its behalf, beside plain
forwarding in the same round; the median of several rounds. And the time of one update.
"""

from __future__ import annotations

import resource
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sojourn.core.effects import EnsureUplink
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.wire.addresses import Prefix, address, prefix, text, to_ipv4
from sojourn.wire.checksum import ones_complement_sum
from support.dataplane_bed import AR2, SHARED_LINK_LAYER, Bed

GOAL = 1.0
"""Microseconds that a packet may cost more with 10,000 nodes than with 10."""
ROUNDS = 7
POOL = prefix("10.0.0.0/15")
PLAIN, SERVER = address("10.0.0.2"), address("198.51.100.1")


def frame(bed: Bed, source: bytes) -> bytes:
    """A datagram of 64 octets from `source` to nobody in particular."""
    udp = struct.pack("!HHHH", 5000, 5000, 44, 0) + bytes(36)
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 64, 0, 0, 64, 17, 0, to_ipv4(source), to_ipv4(SERVER))
    header = header[:10] + ones_complement_sum(header).to_bytes(2, "big") + header[12:]
    return SHARED_LINK_LAYER + bed.mac("a", "ar1") + b"\x08\x00" + header + udp


def cost(sender: socket.socket, octets: bytes, packets: int) -> float:
    """Microseconds of processor time per packet."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(packets):
        sender.send(octets)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / packets * 1e6


def run(bed: Bed, *lines: str) -> None:
    """Commands of ip(8) in ar1."""
    with bed.namespaces["ar1"].entered():
        subprocess.run(["ip", "-4", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)


def more(bed: Bed, packets: int, source: bytes) -> float:
    """Microseconds that a packet of `source` costs more than a plain one."""
    with bed.namespaces["a"].entered():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sender.bind(("ar1", 0x0800))
    with sender:
        pairs = [
            (cost(sender, frame(bed, source), packets), cost(sender, frame(bed, PLAIN), packets)) for _ in range(ROUNDS)
        ]
    return median(one - plain for one, plain in pairs)


def with_marks(bed: Bed, plane: LinuxDataplane, count: int) -> tuple[bytes, float]:
    """`count` nodes of another anchor; one of them, and the time of one update in microseconds."""
    times = []
    for number in range(3, count + 3):
        start = time.process_time_ns()
        plane.apply(EnsureUplink(POOL.subnet(number, 128), AR2))
        times.append(time.process_time_ns() - start)
    return POOL.subnet(count + 2, 128).address, median(times[-100:]) / 1000


def with_rules(bed: Bed, count: int) -> tuple[bytes, float]:
    """A rule for each of `count` nodes, which may send as if they were anchored here."""
    sources = [POOL.subnet(1 << 16 | number, 128) for number in range(3, count + 3)]
    bed.planes[0].apply(EnsureUplink(sources[-1], None))
    run(bed, "route replace default encap seg6 mode encap.red segs " + text(AR2) + " dev sojourn0 table 7777")
    start = time.perf_counter_ns()
    run(bed, *(f"rule add pref 112 from {text(source.address)} lookup 7777" for source in sources))
    return sources[-1].address, (time.perf_counter_ns() - start) / count / 1000


def main() -> int:
    packets = int(sys.argv[1]) if len(sys.argv) > 1 else 3_000
    print(f"{'nodes':>6} {'marks, us/packet':>17} {'update, us':>11} {'rules, us/packet':>17} {'update, us':>11}")
    costs = {}
    for count in (10, 1_000, 10_000):
        bed = Bed()
        try:
            plane = bed.plane("ar1", ipv4=True, ipv4_pool=POOL)
            run(bed, "route add default via inet6 2001:db8:a1::ff dev core")
            plane.apply(EnsureUplink(Prefix(PLAIN, 128), None))
            source, update = with_marks(bed, plane, count)
            costs[count] = more(bed, packets, source)
            ruled, added = with_rules(bed, count)
            print(f"{count:>6} {costs[count]:>17.2f} {update:>11.0f} {more(bed, packets, ruled):>17.2f} {added:>11.0f}")
        finally:
            bed.close()
    reached = costs[10_000] - costs[10] < GOAL
    print(f"goal: 10,000 nodes cost a packet less than {GOAL:g} us more than 10: {'reached' if reached else 'missed'}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
