"""Signalling over real raw sockets, with the engines that the daemon runs. Run it in the sandbox:

    python -m sojourn.lab.sandbox python bench/signalling.py [NODES] [ATTACHMENTS]

1. What a CMD and an LMA answer. Each runs alone in a process on one processor; a second process plays four MAARs or
   MAGs on the other. Each store has its own run: NODES register (default 100,000), a fifth of them refreshes, another
   fifth hands over (which costs the CMD, in proxy mode, a notification and its answer besides). "a core-second" is
   answers by the processor time that the process used, in user space and kernel; the goal is 10,000 for
   registrations. Memory is what the process grew by, for each node; the goal is 2 KiB at 100,000. The LMA
   assigns each node a prefix, and its window for timestamps is an hour, as the messages are made beforehand; its data
   plane forwards nothing, as the CMD has none, and in the last run it is the kernel's, which has no goal.
2. From a sign of a host to a Router Advertisement whose prefix CMD or LMA have confirmed: router, CMD or LMA, and host
   are three processes, the data plane is the kernel's, no link has a delay. Every host is a new one. The goal is a
   median of 1.5 ms and no attachment without an answer. "at once" is the same with the prefix advertised before the
   CMD answers, which is the default of a MAAR (design.md 5 number 5); a MAG has no prefix before the answer.

Exit code 1 when a goal is missed.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sojourn.dataplane.linux import LinuxDataplane, LinuxSettings
from sojourn.dataplane.memory import MemoryDataplane
from sojourn.engines.configuration import (
    CmdConfiguration,
    Gateway,
    LmaConfiguration,
    Maar,
    MaarConfiguration,
    MagConfiguration,
)
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.mag import MobileAccessGateway
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.engines.registration import ACKNOWLEDGED_DMM, PROXY, PROXY_DMM
from sojourn.host import frames, garbage
from sojourn.host.loop import Host
from sojourn.lab.namespaces import NetworkNamespace, die_with_parent, setns
from sojourn.lab.rtnetlink import End, RouteNetlink
from sojourn.stores import MemoryStore, SqliteStore, Store
from sojourn.wire import (
    AccessTechnologyType,
    BindingAcknowledgement,
    BindingUpdate,
    HandoffIndicator,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    Timestamp,
    decode,
    encode,
)
from sojourn.wire.addresses import ANY, Prefix, address, eui64_link_local, prefix, text
from sojourn.wire.icmpv6 import RouterSolicitation, encode_icmpv6, seal_icmpv6
from sojourn.wire.units import SECOND, ticks
from support.access_router import AccessRouter, access_router

CMD = address("2001:db8:c::1")
MAARS = [address(f"2001:db8:a{number}::1") for number in (1, 2, 3, 4)]
POOLS = [prefix(f"2001:d{number}8::/32") for number in (1, 2, 3, 4)]
HOME = prefix("2001:db8:8000::/33")
"""Home network prefixes come from here."""
EUI_48 = 5
"""Mobile Node Identifier subtype (RFC 8371)."""
WINDOW = 128
"""Updates that wait for their answer at a time."""


Make: TypeAlias = Callable[[], Host | Awaitable[Host]]


# --- processes ------------------------------------------------------------------------------------------------------


@contextmanager
def process(
    namespace: NetworkNamespace, make: Make, processor: int | None = None, *, wait: bool = True
) -> Iterator[int]:
    """A process in `namespace` that runs what `make` makes, from when it is ready (without `wait`: from its beginning)
    until the end of the block."""
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            die_with_parent()
            setns(namespace.descriptor)
            if processor is not None:
                os.sched_setaffinity(0, {processor})
            asyncio.run(_serve(make, told))
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(told)
    if wait and os.read(ready, 1) != b"!":
        raise SystemExit("a process did not start")
    os.close(ready)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


async def _serve(make: Make, told: int) -> None:
    made = make()
    host = made if isinstance(made, Host) else await made
    host.start()
    stop = asyncio.Event()
    host.loop.add_signal_handler(signal.SIGTERM, stop.set)
    garbage.search_less()  # as the daemon does
    os.write(told, b"!")
    await stop.wait()
    if os.environ.get("SOJOURN_BENCH_COUNTERS"):
        print(host.counters(), file=sys.stderr)
    host.close(withdraw=True)


def processor_time(child: int) -> float:
    """Seconds that a process has used so far, in user space and kernel."""
    fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def servers_time() -> float:
    """Seconds of processor time of all PostgreSQL processes."""
    found = 0.0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "comm").read_text().strip() == "postgres":
                    found += processor_time(int(entry.name))
            except OSError:
                continue
    return found


def machine_time() -> float:
    """Seconds for which processors of this machine were not idle, all together."""
    user, nice, system, _, _, *others = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK")


def resident(child: int) -> int:
    """Octets of memory that a process occupies."""
    return int(Path(f"/proc/{child}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def make_cmd(store: Callable[[], Store]) -> Host:
    maars = tuple(Maar(maar, pool) for maar, pool in zip(MAARS, POOLS, strict=True))
    configuration = CmdConfiguration(CMD, maars, pace_rate=1_000_000, pace_burst=WINDOW)
    engine = CentralMobilityDatabase(configuration, time.time_ns() - time.monotonic_ns())
    return Host(engine, MemoryDataplane(), store(), address=CMD, peers=frozenset(MAARS), rate=None)


def make_lma(store: Callable[[], Store], kernel: bool = False) -> Host:
    gateways = tuple(Gateway(maar) for maar in MAARS)
    engine = LocalMobilityAnchor(
        LmaConfiguration(CMD, gateways, (HOME,), timestamp_validity_window=3600 * SECOND),
        time.time_ns() - time.monotonic_ns(),
    )
    settings = LinuxSettings(CMD, None, tuple(MAARS), (), buffer=False, other_pools=(HOME,), drop_unassigned=True)
    plane = LinuxDataplane(settings) if kernel else MemoryDataplane()
    return Host(engine, plane, store(), address=CMD, peers=frozenset(MAARS), rate=None)


# --- what they answer ---------------------------------------------------------------------------------------------


@dataclass
class Phase:
    """What one kind of update came to."""

    updates: int
    wall: float
    processor: float
    refused: int
    memory: int
    server: float
    """Seconds of processor time of PostgreSQL servers, ..."""
    gateways: float
    """... of those that ask, ..."""
    machine: float
    """... and of whatever ran."""

    def cores(self, *seconds: float) -> float:
        """The share of this machine."""
        return sum(seconds) / self.wall / (os.cpu_count() or 1)


def mac(number: int) -> bytes:
    return b"\x02\x00" + number.to_bytes(4, "big")


def update(number: int, wanted: Prefix, handoff: int, stamp: int, flags: int) -> bytes:
    """The Proxy Binding Update for a node, of the six options that RFC 5213 asks for."""
    options = (
        MobileNodeIdentifier(EUI_48, mac(number)),
        HomeNetworkPrefix.of(wanted),
        HandoffIndicator(handoff),
        AccessTechnologyType(4),
        MobileNodeLinkLayerIdentifier(mac(number)),
        Timestamp(stamp),
    )
    return encode(BindingUpdate(number & 0xFFFF, flags, 3000 * SECOND, options))


class Maars:
    """Four MAARs or MAGs that send and count; what a CMD asks of them they acknowledge."""

    def __init__(self, namespace: NetworkNamespace) -> None:
        self.sockets = []
        with namespace.entered():
            for maar in MAARS:
                raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 135)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
                raw.bind((text(maar), 0))
                raw.connect((text(CMD), 0))
                self.sockets.append(raw)
        self.answers = self.refused = 0
        self.heard: list[bytes] | None = None
        """Answers, where they are kept."""

    def run(self, messages: Sequence[tuple[int, bytes]]) -> None:
        """Send all of (MAAR, message), with at most `WINDOW` unanswered; back when all are answered."""
        self.answers = self.refused = 0
        sent = 0
        while self.answers < len(messages):
            while sent < len(messages) and sent - self.answers < WINDOW:
                maar, octets = messages[sent]
                self.sockets[maar].send(octets)
                sent += 1
            if not select.select(self.sockets, [], [], 5.0)[0]:
                raise SystemExit(f"{len(messages) - self.answers} updates were not answered")
            for raw in self.sockets:
                self._drain(raw)

    def _drain(self, raw: socket.socket) -> None:
        while True:
            try:
                octets = raw.recv(2048)
            except BlockingIOError:
                return
            if octets[2] == 6:
                self.answers += 1
                self.refused += octets[6] >= 128
                if self.heard is not None:
                    self.heard.append(octets)
            elif octets[2] == 5:
                request = decode(octets)
                assert isinstance(request, BindingUpdate)
                raw.send(
                    encode(
                        BindingAcknowledgement(0, ACKNOWLEDGED_DMM, request.sequence, request.lifetime, request.options)
                    )
                )

    def close(self) -> None:
        for raw in self.sockets:
            raw.close()


def measure(child: int, maars: Maars, messages: Sequence[tuple[int, bytes]]) -> Phase:
    def spent() -> tuple[float, ...]:
        return processor_time(child), servers_time(), time.process_time(), machine_time()

    memory, before, begin = resident(child), spent(), time.monotonic()
    maars.run(messages)
    wall = time.monotonic() - begin
    used, server, gateways, machine = (late - early for late, early in zip(spent(), before, strict=True))
    grown = resident(child) - memory
    return Phase(len(messages), wall, used, maars.refused, grown, server, gateways, machine)


def signalling(nodes: int, make: Callable[[], Host], distributed: bool) -> dict[str, Phase]:
    """All phases of one run; `distributed` with a CMD, else with an LMA."""
    namespace = NetworkNamespace("domain")
    netlink = RouteNetlink(namespace)
    for local in (CMD, *MAARS):
        netlink.add_address(1, local, 128)
    netlink.close()
    maars = Maars(namespace)
    os.sched_setaffinity(0, {1})
    with process(namespace, make, processor=0) as child:
        found = measure_cmd(child, maars, nodes) if distributed else measure_lma(child, maars, nodes)
    os.sched_setaffinity(0, {0, 1})
    maars.close()
    namespace.close()
    return found


def measure_cmd(child: int, maars: Maars, nodes: int) -> dict[str, Phase]:
    """Nodes come, are refreshed, and get another prefix elsewhere."""
    stamps = [ticks(time.time_ns()) + number // 1000 for number in range(nodes)]
    later, some = ticks(time.time_ns() + SECOND // 5), nodes // 5

    def one(number: int, maar: int, handoff: int, stamp: int) -> tuple[int, bytes]:
        return maar % 4, update(number, POOLS[maar % 4].subnet(number, 64), handoff, stamp, PROXY_DMM)

    phases = {
        "registration": [one(n, n, 4, stamps[n]) for n in range(nodes)],
        "refresh": [one(n, n, 5, stamps[n]) for n in range(some)],
        "handover": [one(n, n + 1, 4, later + n) for n in range(some)],
    }
    return {name: measure(child, maars, messages) for name, messages in phases.items()}


def measure_lma(child: int, maars: Maars, nodes: int) -> dict[str, Phase]:
    """Nodes come and are given a prefix, are refreshed with it, and turn up elsewhere, where nobody knows it."""
    some = nodes // 5

    def phase(count: int, make: Callable[[int], tuple[int, Prefix, int]]) -> Phase:
        now, asked = ticks(time.time_ns()), [(number, *make(number)) for number in range(count)]
        return measure(
            child, maars, [(maar % 4, update(n, home, handoff, now, PROXY)) for n, maar, home, handoff in asked]
        )

    maars.heard = []
    found = {"registration": phase(nodes, lambda number: (number, ANY, 4))}
    given = _given(maars.heard)
    maars.heard = None
    found["refresh"] = phase(some, lambda number: (number, given[mac(number)], 5))
    found["handover"] = phase(some, lambda number: (number + 1, ANY, 3))
    return found


def _given(answers: Sequence[bytes]) -> dict[bytes, Prefix]:
    """The prefix of each node."""
    given = {}
    for octets in answers:
        answer = decode(octets)
        assert isinstance(answer, BindingAcknowledgement)
        node, home = answer.first(MobileNodeIdentifier), answer.first(HomeNetworkPrefix)
        assert node is not None
        assert home is not None
        given[node.identifier] = home.prefix
    return given


def print_signalling(nodes: int) -> bool:
    print(f"One core, {nodes} nodes, {WINDOW} updates under way, real raw sockets, goal 10000 and 2048 octets")
    print(HEAD)
    good = True
    with tempfile.TemporaryDirectory() as directory:
        stores: dict[str, Callable[[], Store]] = {
            "memory": MemoryStore,
            "sqlite": lambda: SqliteStore(Path(directory, "cmd.sqlite")),
        }
        for store, make in stores.items():
            good &= print_run(("cmd", store, ""), nodes, lambda make=make: make_cmd(make))  # type: ignore[misc]
        stores["sqlite"] = lambda: SqliteStore(Path(directory, "lma.sqlite"))
        for store, make in stores.items():
            good &= print_run(("lma", store, "memory"), nodes, lambda make=make: make_lma(make))  # type: ignore[misc]
        print_run(("lma", "memory", "kernel"), min(nodes, 20_000), lambda: make_lma(MemoryStore, True))
    return good


HEAD = (
    f"{'role':<5}{'store':<8}{'plane':<9}{'update':<14}{'answered/s':>12}{'a core-second':>15}{'us CPU':>8}"
    f"{'refused':>9}{'octets/node':>13}"
)


def print_run(names: tuple[str, str, str], nodes: int, make: Callable[[], Host], *, servers: bool = False) -> bool:
    """The rows of one run, with columns for PostgreSQL `servers`; whether the goals are met."""
    good = True
    for name, phase in signalling(nodes, make, names[0] == "cmd").items():
        rate = phase.updates / phase.processor
        memory = f"{phase.memory / phase.updates:.0f}" if name == "registration" else ""
        print(
            f"{names[0]:<5}{names[1]:<8}{names[2]:<9}{name:<14}{phase.updates / phase.wall:>12.0f}{rate:>15.0f}"
            f"{1e6 / rate:>8.1f}{phase.refused:>9}{memory:>13}"
            + (
                f"{1e6 * phase.server / phase.updates:>11.1f}"
                f"{phase.cores(phase.processor, phase.server, phase.gateways):>7.0%}{phase.cores(phase.machine):>8.0%}"
                if servers
                else ""
            ),
            flush=True,
        )
        good &= phase.refused == 0
        if name == "registration":
            good &= rate >= 10_000 and phase.memory / phase.updates <= 2048
    return good


# --- from a sign of a host to its advertisement ---------------------------------------------------------------------


def make_maar(confirmed: bool) -> Host:
    configuration = MaarConfiguration(
        MAARS[0], POOLS[0], CMD, advertise_confirmed=confirmed, new_nodes_per_second=100_000, nodes=100_000
    )
    engine = MobilityAnchorAccessRouter(configuration, time.time_ns() - time.monotonic_ns())
    dataplane = LinuxDataplane(LinuxSettings(address=MAARS[0], pool=POOLS[0], peers=(), access=("acc0",)))
    return Host(engine, dataplane, MemoryStore(), address=MAARS[0], peers=frozenset({CMD}), access=("acc0",))


def make_mag() -> Host:
    configuration = MagConfiguration(MAARS[0], CMD, new_nodes_per_second=100_000, nodes=100_000)
    engine = MobileAccessGateway(configuration, time.time_ns() - time.monotonic_ns())
    settings = LinuxSettings(MAARS[0], None, (CMD,), ("acc0",), local_routing=False, drop_strays=True)
    return Host(
        engine, LinuxDataplane(settings), MemoryStore(), address=MAARS[0], peers=frozenset({CMD}), access=("acc0",)
    )


@dataclass(frozen=True)
class Pair:
    """Who answers to a host, and with whom it registers hosts."""

    role: str
    advertised: str
    router: Callable[[], Host]
    anchor: Callable[[], Host]


PAIRS = (
    Pair("maar", "confirmed", lambda: make_maar(True), lambda: make_cmd(MemoryStore)),
    Pair("maar", "at once", lambda: make_maar(False), lambda: make_cmd(MemoryStore)),
    Pair("mag", "confirmed", make_mag, lambda: make_lma(MemoryStore, True)),
)


def station_frame(sender: bytes) -> bytes:
    """802.2 XID: what an access point sends when a station has associated."""
    return b"\xff" * 6 + sender + b"\x00\x06" + bytes.fromhex("0001af810100")


def solicitation_frame(sender: bytes) -> bytes:
    source, everybody = eui64_link_local(sender), address("ff02::2")
    message = seal_icmpv6(encode_icmpv6(RouterSolicitation()), source, everybody)
    header = struct.pack("!IHBB", 6 << 28, len(message), 58, 255) + source + everybody
    return frames.ethernet(bytes.fromhex("333300000002"), sender, header + message)


SIGNS = {"station event": station_frame, "solicitation": solicitation_frame}


def attach(network: AccessRouter, first: int, count: int, sign: Callable[[bytes], bytes]) -> tuple[list[float], int]:
    """Milliseconds until each new host heard of its prefix, and how many did not within a second."""
    times: list[float] = []
    missing = 0
    with network.host.entered():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
    with raw:
        raw.bind(("eth0", 0x86DD))
        raw.settimeout(1.0)
        for number in range(first, first + count):
            sender = mac(number)
            begin = time.perf_counter_ns()
            raw.send(sign(sender))
            try:
                while not _advertises(raw.recv(2048), sender):
                    pass
            except TimeoutError:
                missing += 1
                continue
            times.append((time.perf_counter_ns() - begin) / 1e6)
            time.sleep(0.002)  # all is idle again
    return times, missing


def _advertises(frame: bytes, node: bytes) -> bool:
    """A Router Advertisement to `node` that has a Prefix Information option of eight words with a lifetime."""
    if frame[:6] != node or frame[54] != 134:
        return False
    offset = 70
    while offset + 2 <= len(frame):
        if frame[offset] == 3 and any(frame[offset + 8 : offset + 12]):
            return True
        offset += 8 * (frame[offset + 1] or 255)
    return False


@contextmanager
def attached_domain(pair: Pair) -> Iterator[AccessRouter]:
    """A CMD or LMA, a router with an access link, and an empty host."""
    with access_router() as network:
        cmd = NetworkNamespace("cmd")
        core, far = End(network.router, "core", 21, mac(1 << 30)), End(cmd, "core", 22, mac((1 << 30) + 1))
        network.netlink.add_veth(core, far, 1500)
        far_netlink = RouteNetlink(cmd)
        one, two = address("2001:db8:99::1"), address("2001:db8:99::2")
        for netlink, end, ours, here, peer, there in (
            (network.netlink, core, MAARS[0], one, CMD, two),
            (far_netlink, far, CMD, two, MAARS[0], one),
        ):
            netlink.set_link(end.index, up=True)
            netlink.add_address(end.index, ours, 128)
            netlink.add_address(end.index, here, 64)
            netlink.add_route(peer, 128, there, end.index)
        network.host.sysctl("net/ipv6/conf/eth0/disable_ipv6", 1)
        network.host_up()
        time.sleep(0.2)  # carrier
        with process(cmd, pair.anchor), process(network.router, pair.router):
            time.sleep(0.3)
            yield network
        far_netlink.close()
        cmd.close()


def print_attachments(count: int) -> bool:
    print(f"From a sign of a new host to its advertisement, {count} hosts each, goal: median 1.5 ms, none missing")
    titles = f"{'role':<6}{'advertised':<12}{'sign':<16}{'median ms':>10}"
    print(titles + f"{'p95 ms':>8}{'p99 ms':>8}{'longest':>9}{'missing':>9}")
    good = True
    for pair in PAIRS:
        with attached_domain(pair) as network:
            for turn, (name, sign) in enumerate(SIGNS.items()):
                attach(network, 1_000_000 * (turn + 1), 20, sign)  # warm
                times, missing = attach(network, 1_000_000 * (turn + 1) + 20, count, sign)
                times.sort()
                figures = [median(times), times[len(times) * 95 // 100], times[len(times) * 99 // 100], times[-1]]
                print(
                    f"{pair.role:<6}{pair.advertised:<12}{name:<16}{figures[0]:>10.2f}{figures[1]:>8.2f}"
                    f"{figures[2]:>8.2f}{figures[3]:>9.2f}{missing:>9}"
                )
                good &= missing == 0 and (pair.advertised != "confirmed" or figures[0] <= 1.5)
    return good


def main() -> int:
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    attachments = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    good = print_signalling(nodes)
    print()
    good &= print_attachments(attachments)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
