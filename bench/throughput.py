"""TCP through anchor and tunnel beside plain forwarding over the same routers, in one run. Run it in the sandbox:

    python -m sojourn.lab.sandbox python bench/throughput.py [ROUNDS] [SECONDS] [proxy|mobile]

    anchored   server - core - ar1 - core - ar2 - host, in a tunnel from ar1 to ar2, acknowledgements likewise
    plain      the same way and back without a tunnel
    short      server - core - ar2 - host: what a new flow has

and with Mobile IPv6 (RFC 6275), where the receiver is the end of the tunnel itself:

    home agent correspondent - net - home agent - net - mobile node, in a tunnel between the latter two
    plain      the same way and back without a tunnel
    direct     correspondent - net - mobile node, with Home Address options and type 2 routing headers
    short      the same way, to the care-of address

The variants take turns, in many short rounds, as the machine's speed changes all the time; what counts is the median of
each round's ratio to `plain` (goal for `anchored` and `home agent`: at least 0.9), or to `short` (goal for `direct`:
at least 0.85).
Once with a core of 1540 octets, where all carry segments of the same size, and once with 1500, where those of the
anchored flow are smaller. The receiver is a process of its own. No Python touches a packet on its way.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sojourn.core.effects import EnsureCounter, EnsurePrefix, EnsureUplink
from sojourn.core.mobile_effects import (
    EnsureCareOfRoute,
    EnsureHomeAddress,
    EnsureReverseTunnel,
    EnsureRouteOptimisation,
)
from sojourn.dataplane.netlink import Netlink, attribute
from sojourn.dataplane.objects import Rule
from sojourn.dataplane.routes import Nexthop, Route
from sojourn.lab.namespaces import setns
from sojourn.wire.addresses import ANY, Address, Prefix, address, text
from support import mobile_bed as mobile
from support.dataplane_bed import AR1, AR2, HOME, HOST, HOST_NEW, NEW, POOLS, SERVER, Bed

GOAL, DIRECT_GOAL = 0.9, 0.85
AROUND = POOLS["ar1"].subnet(9, 64)
HOST_AROUND = AROUND.address[:15] + b"\x05"
VARIANTS = {"plain": HOST_AROUND, "anchored": HOST, "short": HOST_NEW}
MOBILE_AROUND, MOBILE_DIRECT = address("2001:db8:aa::5"), address("2001:db8:1::b1")
MOBILE_VARIANTS = {"plain": MOBILE_AROUND, "home agent": mobile.HOME, "short": mobile.CARE_OF, "direct": MOBILE_DIRECT}
PORT = 5001


def prepare(mtu: int) -> Bed:
    """The host is at ar2 with an address of ar2 and two of ar1: one through a tunnel, one by plain routes."""
    bed = Bed(mtu)
    anchor, serving = bed.plane("ar1", mtu=mtu), bed.plane("ar2", mtu=mtu)
    bed.serve_away(anchor, serving)
    anchor.apply(EnsureCounter(HOME))
    for prefix in (NEW, AROUND):
        serving.apply(EnsurePrefix(prefix, 1))
        serving.apply(EnsureUplink(prefix, None))
    bed.netlink("a").add_address(1, HOST_AROUND, 128)
    _go_around(bed)
    return bed


def _go_around(bed: Bed) -> None:
    """The routers send it back by their default routes; the core, seeing where it comes from, on to the other one."""
    with bed.namespaces["core"].entered():
        netlink = Netlink()
    ends = bed.ends
    for table, came_from, leads_to, gateway in ((77, "ar1", "ar2", AR2), (78, "ar2", "ar1", AR1)):
        nexthop = Nexthop(table, ends["core", leads_to].index, gateway)
        netlink.request(nexthop.ensure(), Route(table, ANY, nexthop=table).ensure())
        rule = Rule(table, table, came_from).ensure()
        body = bytearray(rule.body)
        body[1 if came_from == "ar1" else 2] = AROUND.length  # struct fib_rule_hdr: destination, source
        body += attribute(1 if came_from == "ar1" else 2, AROUND.address)
        netlink.request(rule._replace(body=bytes(body)))
    netlink.close()


def prepare_mobile(mtu: int) -> mobile.MobileBed:
    """The mobile node is on a foreign link with two home addresses: one whose correspondent knows where it is."""
    bed = mobile.MobileBed(mtu)
    agent, node, correspondent = bed.home_agent(), bed.mobile_node(), bed.correspondent()
    bed.register(node, agent)
    agent.apply(EnsurePrefix(Prefix(MOBILE_DIRECT, 128), 1))
    node.apply_mobile(EnsureHomeAddress(MOBILE_DIRECT, "", False))
    node.apply_mobile(EnsureReverseTunnel(MOBILE_DIRECT, mobile.CARE_OF, mobile.HOME_AGENT))
    correspondent.apply_mobile(EnsureCareOfRoute(MOBILE_DIRECT, mobile.CARE_OF))
    node.apply_mobile(EnsureRouteOptimisation(MOBILE_DIRECT, mobile.CORRESPONDENT, mobile.CARE_OF))
    bed.netlink("mn").add_address(1, MOBILE_AROUND, 128)
    with bed.namespaces["net"].entered():
        netlink = Netlink()
    ways = ((77, "ha", "f1", mobile.CARE_OF, True), (78, "cn", "ha", address("2001:db8:a::1"), True))
    back = ((79, "f1", "ha", address("2001:db8:a::1"), False), (80, "ha", "cn", mobile.CORRESPONDENT, False))
    for table, came_from, leads_to, gateway, towards in (*ways, *back):
        nexthop = Nexthop(table, bed.ends["net", leads_to].index, gateway)
        netlink.request(nexthop.ensure(), Route(table, ANY, nexthop=table).ensure())
        if towards:
            rule = Rule(table, table, came_from, MOBILE_AROUND)
        else:
            rule = Rule(table, table, came_from, source=Prefix(MOBILE_AROUND, 128))
        netlink.request(rule.ensure())
    netlink.close()
    return bed


def start_receiver(bed: Bed | mobile.MobileBed, name: str) -> int:
    """A process in the host that takes connections and throws away what comes; its number, once it listens."""
    ready, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        os.read(ready, 1)
        os.close(ready)
        return child
    try:
        setns(bed.namespaces[name].descriptor)
        listener = socket.create_server(("::", PORT), family=socket.AF_INET6)
        os.write(tell, b".")
        buffer = bytearray(1 << 20)
        while True:
            connection, _ = listener.accept()
            with connection:
                while connection.recv_into(buffer):
                    pass
                connection.sendall(b".")
    finally:
        os._exit(1)


def rate(bed: Bed | mobile.MobileBed, sender: str, own: Address, to: Address, seconds: float) -> float:
    """Gigabits a second that arrive."""
    with bed.namespaces[sender].entered():
        connection = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    data = memoryview(bytes(1 << 20))
    with connection:
        connection.bind((text(own), 0))
        connection.connect((text(to), PORT))
        start = time.perf_counter()
        octets = 0
        while time.perf_counter() - start < seconds:
            octets += connection.send(data)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)  # everything was read
        return octets * 8 / (time.perf_counter() - start) / 1e9


def compare(mtu: int, rounds: int, seconds: float) -> bool:
    """Print one table; whether `anchored` reaches the goal."""
    bed = prepare(mtu)
    ratios, _ = measure(bed, ("server", SERVER), "a", VARIANTS, rounds, seconds, f"core MTU {mtu}")
    return ratios["anchored"] >= GOAL


def compare_mobile(mtu: int, rounds: int, seconds: float) -> bool:
    """The same for Mobile IPv6."""
    bed, sender = prepare_mobile(mtu), ("cn", mobile.CORRESPONDENT)
    title = f"Mobile IPv6, core MTU {mtu}"
    ratios, speeds = measure(bed, sender, "mn", MOBILE_VARIANTS, rounds, seconds, title)
    direct = median(one / short for one, short in zip(speeds["direct"], speeds["short"], strict=True))
    print(f"direct to short {direct:.2f}")
    return ratios["home agent"] >= GOAL and direct >= DIRECT_GOAL


def measure(
    bed: Bed | mobile.MobileBed,
    sender: tuple[str, Address],
    host: str,
    variants: dict[str, Address],
    rounds: int,
    seconds: float,
    title: str,
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Print one table; the median ratios to `plain`, and all speeds."""
    receiver = start_receiver(bed, host)
    try:
        found: dict[str, list[float]] = {name: [] for name in variants}
        for number in range(-1, rounds):
            for name, to in variants.items():
                speed = rate(bed, *sender, to, seconds)
                if number >= 0:  # the first round fills caches
                    found[name].append(speed)
    finally:
        os.kill(receiver, signal.SIGKILL)
        os.waitpid(receiver, 0)
        bed.close()
    print(f"{title}, {rounds} rounds of {seconds:g} s\n{'':12}{'Gbit/s':>8}{'to plain':>10}{'range':>14}")
    ratios = {}
    for name, speeds in found.items():
        each = sorted(speed / plain for speed, plain in zip(speeds, found["plain"], strict=True))
        ratios[name] = median(each)
        print(f"{name:12}{median(speeds):8.2f}{ratios[name]:10.2f}{each[0]:8.2f}-{each[-1]:.2f}")
    return ratios, found


def main() -> int:
    """1 when a goal is missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 0.2
    kinds = {"proxy": compare, "mobile": compare_mobile}
    wanted = sys.argv[3:] or list(kinds)
    reached = [kinds[kind](mtu, rounds, seconds) for kind in wanted for mtu in (1540, 1500)]
    return int(not all(reached))


if __name__ == "__main__":
    raise SystemExit(main())
