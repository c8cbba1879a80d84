"""How long one effect takes, from `apply` to the kernel's acknowledgement. Run it in the sandbox:

    python -m sojourn.lab.sandbox python bench/routes.py [COUNT]

Beside every effect the same is done with one hand-written request (the floor) and, for routes, with pyroute2. The goal
is a median under 100 us for a route effect. Everything happens in a namespace that ends with the program.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sojourn.core.effects import (
    EnsureCounter,
    EnsureDelivery,
    EnsureHold,
    EnsurePrefix,
    EnsureTunnel,
    EnsureUplink,
    ForwardingEffect,
    WithdrawCounter,
    WithdrawPrefix,
    WithdrawSlot,
    WithdrawUplink,
)
from sojourn.dataplane.encapsulation import SegmentTunnel
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.routes import Nexthop, Route
from sojourn.wire.addresses import ANY, Prefix, text
from support.dataplane_bed import AR2, POOLS, Bed

GOAL = 100.0


def measured(calls: Iterator[Callable[[], object]]) -> tuple[float, float]:
    """Median and 99th percentile in microseconds."""
    times = []
    for call in calls:
        start = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - start) / 1000)
    times.sort()
    return median(times), times[len(times) * 99 // 100]


def prefix(number: int) -> Prefix:
    return POOLS["ar1"].subnet(number + 1, 64)


def effects(bed: Bed, count: int) -> Iterator[tuple[str, list[ForwardingEffect]]]:
    """Every kind of effect, `count` times, in an order that makes sense."""
    mac = bed.mac("a", "ar1")
    slots = range(1, count + 1)
    yield "EnsureDelivery, new", [EnsureDelivery(slot, "acc0", mac) for slot in slots]
    yield "EnsurePrefix, new", [EnsurePrefix(prefix(slot), slot) for slot in slots]
    yield "EnsureUplink plain, new", [EnsureUplink(prefix(slot), None) for slot in slots]
    yield "EnsureCounter", [EnsureCounter(prefix(slot)) for slot in slots]
    yield "EnsureHold, replaces", [EnsureHold(slot) for slot in slots]
    yield "EnsureTunnel, releases", [EnsureTunnel(slot, AR2) for slot in slots]
    yield "EnsureDelivery, replaces", [EnsureDelivery(slot, "acc0", mac) for slot in slots]
    yield "EnsureTunnel, replaces", [EnsureTunnel(slot, AR2) for slot in slots]
    yield "EnsureUplink tunnel, new", [EnsureUplink(prefix(slot), AR2) for slot in slots]
    yield "EnsureUplink tunnel, again", [EnsureUplink(prefix(slot), AR2) for slot in slots]
    yield "EnsureUplink plain, replaces", [EnsureUplink(prefix(slot), None) for slot in slots]
    yield "WithdrawUplink", [WithdrawUplink(prefix(slot)) for slot in slots]
    yield "WithdrawCounter", [WithdrawCounter(prefix(slot)) for slot in slots]
    yield "WithdrawPrefix", [WithdrawPrefix(prefix(slot)) for slot in slots]
    yield "WithdrawSlot", [WithdrawSlot(slot) for slot in slots]


def floors(bed: Bed, plane: LinuxDataplane, count: int) -> Iterator[tuple[str, list[Callable[[], object]]]]:
    """The same requests with nothing around them."""
    with bed.namespaces["ar1"].entered():
        netlink = Netlink()
    near = plane._installation.near
    nexthop = Nexthop(7, near, tunnel=SegmentTunnel(AR2))
    netlink.request(nexthop.ensure())
    yield "bare request: nexthop, replace", [lambda: netlink.request(nexthop.ensure()) for _ in range(count)]
    routes = [Route(99, prefix(number), nexthop=7) for number in range(count)]
    yield "bare request: route to nexthop", [lambda route=route: netlink.request(route.ensure()) for route in routes]
    tunnels = [Route(98, ANY, prefix(number), device=near, tunnel=SegmentTunnel(AR2)) for number in range(count)]
    yield (
        "bare request: source route, tunnel",
        [lambda route=route: netlink.request(route.ensure()) for route in tunnels],
    )


def with_pyroute2(bed: Bed, plane: LinuxDataplane, count: int) -> Iterator[tuple[str, list[Callable[[], object]]]]:
    """Its encoder does not know encap.red and writes encap: the cost is the same, the route is not."""
    from pyroute2 import IPRoute

    near = plane._installation.near
    with bed.namespaces["ar1"].entered():
        ip = IPRoute()

    def add(number: int) -> object:
        wanted = {"type": "seg6", "mode": "encap", "segs": text(AR2)}
        return ip.route("replace", dst=str(prefix(number)), oif=near, table=97, encap=wanted)

    yield "pyroute2: route, tunnel", [lambda number=number: add(number) for number in range(count)]
    ip.close()


def main() -> int:
    """Prints the table; 1 when a route effect misses the goal."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    bed = Bed()
    late = False
    try:
        plane = bed.plane("ar1")
        plane.finish()
        print(f"{count} of each; microseconds from call to acknowledgement\n")
        print(f"{'':38}{'median':>9}{'p99':>9}")
        for name, wanted in effects(bed, count):
            middle, slow = measured(lambda effect=effect: plane.apply(effect) for effect in wanted)
            missed = middle >= GOAL and "Counter" not in name
            late |= missed
            print(f"{name:38}{middle:9.1f}{slow:9.1f}{'  over 100' if missed else ''}")
        print()
        for source in (floors, with_pyroute2):
            for name, calls in source(bed, plane, min(count, 500)):
                middle, slow = measured(iter(calls))
                print(f"{name:38}{middle:9.1f}{slow:9.1f}")
    finally:
        bed.close()
    return int(late)


if __name__ == "__main__":
    raise SystemExit(main())
