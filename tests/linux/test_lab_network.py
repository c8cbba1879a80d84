"""The lab's network with real packets: routes, delays that are really there, losses, roams, captures, and no daemon."""

from __future__ import annotations

import errno
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pcapng import FileScanner
from pcapng.blocks import EnhancedPacket, InterfaceDescription

from sojourn.lab.kernel_state import KernelState, host_addresses
from sojourn.lab.lab import Lab
from sojourn.lab.links import LinkMismatch, measure, netem_works
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.node import Node
from sojourn.lab.rtnetlink import End, RouteNetlink
from sojourn.lab.topology import parse
from sojourn.wire.units import MILLISECOND

pytestmark = pytest.mark.lab

_TOPOLOGY = """
name = "try"
mobility = false
[nodes]
core = "router"
ar1 = "access-router"
ar2 = "access-router"
server = "server"
other = "server"
mn = { kind = "host", at = "ar1" }
[links]
core.ar1 = "4ms"
core.ar2 = 0
core.server = "6ms"
core.other = { delay = "1ms", jitter = "500us", loss = "20%" }
"""
_PREFIX = socket.inet_pton(socket.AF_INET6, "2001:db8:a100:1::")
_HOST = "2001:db8:a100:1::99"
_NEWNEIGH, _DELNEIGH = 28, 29


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(parse(_TOPOLOGY), tmp_path_factory.mktemp("lab"), seed=5) as made:
        yield made


def udp(node: Node, address: str = "::") -> socket.socket:
    made = node.namespace.call(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    made.bind((address, 9))
    made.settimeout(2)
    return made


def test_packets_pass_end_to_end_and_take_as_long_as_the_links_say(lab: Lab) -> None:
    with udp(lab.nodes["server"]) as server, udp(lab.nodes["ar1"]) as router:
        trips = []
        for _ in range(5):
            start = time.monotonic_ns()
            router.sendto(b"there", (lab.nodes["server"].address, 9))
            _, back = server.recvfrom(100)
            server.sendto(b"back", back)
            router.recv(100)
            trips.append(time.monotonic_ns() - start)
        assert back[0] == lab.nodes["ar1"].address
    assert min(trips) >= 2 * lab.topology.delay("ar1", "server")


def test_every_impaired_link_was_measured_and_is_right(lab: Lab) -> None:
    found = {report.between: report for report in lab.links}
    assert set(found) == {("core", "ar1"), ("core", "server"), ("core", "other")}
    assert found["core", "ar1"].measured >= 4 * MILLISECOND
    assert found["core", "server"].measured >= 6 * MILLISECOND


def test_a_link_that_is_not_as_asked_stops_the_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[nodes]\na = "router"\nb = "router"\n[links]\na.b = "8ms"\n'
    monkeypatch.setattr("sojourn.lab.links._PATIENCE", 200 * MILLISECOND)
    monkeypatch.setattr("sojourn.lab.links.measure", lambda ends, delays: [3 * MILLISECOND for _ in ends])
    with pytest.raises(LinkMismatch, match=r"a - b: asked for 8 ms, measured 1\.50 ms"):
        Lab(parse(text), tmp_path).up()


def test_a_dead_relay_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[nodes]\na = "router"\nb = "router"\n[links]\na.b = "8ms"\n'
    monkeypatch.setattr("sojourn.lab.links._PATIENCE", 200 * MILLISECOND)
    with Lab(parse(text), tmp_path, emulation="relay") as made:
        assert made._emulation is not None
        assert made._network is not None
        process = made._emulation._process
        assert process is not None
        made.check()
        process.kill()
        process.wait()
        with pytest.raises(OSError, match="relay"):
            made.check()
        with pytest.raises(LinkMismatch, match="no answer"):
            made._emulation.verify(made._network)


def drained(receiver: socket.socket) -> list[int]:
    """The numbers that arrived up to now."""
    numbers = []
    try:
        while True:
            numbers.append(int.from_bytes(receiver.recv(100), "big"))
    except BlockingIOError:
        return numbers


def test_loss_is_of_the_share_asked_for(lab: Lab) -> None:
    count = 2000
    got: list[int] = []
    with udp(lab.nodes["core"]) as core, udp(lab.nodes["other"]) as other:
        other.setblocking(False)
        for number in range(count):
            core.sendto(number.to_bytes(2, "big"), (lab.nodes["other"].address, 9))
            if number % 10 == 9:  # no buffer on the way is what is tried here, also of a slow machine
                time.sleep(0.002)
                got += drained(other)
        time.sleep(0.1)
        got += drained(other)
    assert got == sorted(set(got))  # jitter does not reorder, nothing comes twice
    assert 0.72 * count < len(got) < 0.88 * count


def test_core_routers_reach_every_pool_and_nothing_else(lab: Lab) -> None:
    routes = [line for line in lab.state("core").lines if line.startswith("route type 1 protocol 4 ")]
    targets = {line.split(" to ")[1].split()[0] for line in routes}
    addresses = {f"{node.address}/128" for name, node in lab.nodes.items() if node.address and name != "core"}
    assert targets == addresses | {"2001:db8:a100::/48", "2001:db8:a200::/48"}
    with udp(lab.nodes["server"]) as server, pytest.raises(OSError, match="nreachable") as refused:
        server.sendto(b"?", ("2001:db8:ffff::1", 9))
    assert refused.value.errno == errno.ENETUNREACH


def _link_events(node: Node) -> socket.socket:
    events = node.namespace.call(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0))
    events.bind((0, 1 << 2))  # RTMGRP_NEIGH
    return events


def _station_events(events: socket.socket) -> list[int]:
    """Types of the bridge's messages about the host's MAC address, in order."""
    found = []
    time.sleep(0.05)
    try:
        while True:
            message = events.recv(8192)
            kind, family = struct.unpack_from("=H", message, 4)[0], message[16]
            if family == socket.AF_BRIDGE and b"\x02\0\0\0\0\x01" in message:
                found.append(kind)
    except BlockingIOError:
        return found


def test_a_roam_is_seen_by_both_routers_and_by_nobody_else(lab: Lab) -> None:
    lab.air.roam("mn", "ar1")
    with _link_events(lab.nodes["ar1"]) as old, _link_events(lab.nodes["ar2"]) as new:
        times = lab.air.roam("mn", "ar2")
        assert _station_events(old) == [_DELNEIGH]
        assert _station_events(new)[:1] == [_NEWNEIGH]
        assert lab.air.where("mn") == "ar2"
        assert (times.source, times.target) == ("ar1", "ar2")
        assert times.noticed is not None
        assert times.announced is not None
        assert times.start <= times.disassociated <= times.noticed <= times.announced
        silent = lab.air.roam("mn", "ar1", notice=False)
        assert silent.noticed is None
        assert _station_events(new) == []


def test_make_before_break_tells_the_new_router_first(lab: Lab) -> None:
    for name in ("ar2", "ar1"):  # ar2 saw it leave, so that its return will be an event
        lab.air.roam("mn", name)
    with _link_events(lab.nodes["ar2"]) as new:
        times = lab.air.roam("mn", "ar2", make_before_break=0.03)
        assert _station_events(new)[:1] == [_NEWNEIGH]
    assert times.announced is not None
    assert times.associated is not None
    assert times.associated - times.announced >= 30 * MILLISECOND


def test_a_roaming_host_keeps_talking(lab: Lab) -> None:
    """Without any daemon: both routers are told by hand where the host's prefix is."""
    host = lab.nodes["mn"]
    lab.air.roam("mn", "ar1")
    with_address(host)
    for name in ("ar1", "ar2"):
        give_gateway(lab.nodes[name])
    with udp(host, _HOST) as mobile, udp(lab.nodes["core"]) as core:
        for name in ("ar1", "ar2", "ar1"):
            times = lab.air.roam("mn", name, outage=0.02)
            assert times.associated is not None
            assert times.associated - times.disassociated >= 20 * MILLISECOND
            lead(lab, name)
            mobile.sendto(b"up", (lab.nodes["core"].address, 9))
            _, back = core.recvfrom(100)
            assert back[0] == _HOST
            core.sendto(b"down", back)
            assert mobile.recv(100) == b"down"


def with_address(host: Node) -> None:
    netlink = RouteNetlink(host.namespace)
    index = host.ends["wlan0"].index
    netlink.add_address(index, socket.inet_pton(socket.AF_INET6, _HOST), 128)
    netlink.add_neighbour(index, socket.inet_pton(socket.AF_INET6, "fe80::1"), b"\0\0\x5e\0\x52\x13")
    netlink.add_route(bytes(16), 0, socket.inet_pton(socket.AF_INET6, "fe80::1"), index)
    netlink.close()


def give_gateway(router: Node) -> None:
    """The router takes frames to the MAC address that all routers share, as the daemon would see to."""

    def inside() -> None:
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            request = struct.pack("16sH6s8x", b"acc0", 1, b"\0\0\x5e\0\x52\x13")
            fcntl.ioctl(control, 0x8924, request)  # SIOCSIFHWADDR

    router.namespace.call(inside)
    netlink = RouteNetlink(router.namespace)
    index = router.ends["acc0"].index
    netlink.add_neighbour(index, socket.inet_pton(socket.AF_INET6, "fe80::99"), b"\x02\0\0\0\0\x01")
    netlink.add_route(_PREFIX, 64, socket.inet_pton(socket.AF_INET6, "fe80::99"), index)
    netlink.close()


def lead(lab: Lab, name: str) -> None:
    """The core sends the host's prefix to the access router `name`."""
    core = lab.nodes["core"]
    gateway = next(
        line.split(" via ")[1].split()[0]
        for line in lab.state("core").lines
        if f" to {lab.nodes[name].address}/128 " in line and " protocol 4 " in line
    )
    netlink = RouteNetlink(core.namespace)
    netlink.add_route(_PREFIX, 64, socket.inet_pton(socket.AF_INET6, gateway), core.ends[f"to-{name}"].index)
    netlink.close()


def test_a_carrier_flap_is_a_real_one_and_a_detached_host_reaches_nobody(lab: Lab) -> None:
    host = lab.nodes["mn"]

    def becomes(wanted: str) -> bool:
        """The kernel's link watch tells a moment later."""
        deadline = time.monotonic() + 2
        while (found := host.namespace.call(lambda: _carrier("wlan0"))) != wanted and time.monotonic() < deadline:
            time.sleep(0.001)
        return found == wanted

    lab.air.roam("mn", "ar1")
    assert becomes("up")
    lab.air.detach("mn", carrier=True)
    assert becomes("down")
    assert lab.air.where("mn") is None
    lab.air.roam("mn", "ar2")
    assert becomes("up")
    assert lab.air.where("mn") == "ar2"


def _carrier(name: str) -> str:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = struct.unpack_from("=H", fcntl.ioctl(control, 0x8913, struct.pack("16s24x", name.encode())), 16)[0]
    return "up" if flags & 0x40 else "down"


def test_unknown_names_are_refused_and_nobody_moves(lab: Lab) -> None:
    lab.air.roam("mn", "ar1")
    for host, router in (("nobody", "ar1"), ("mn", "nowhere"), ("mn", "core")):
        with pytest.raises(KeyError):
            lab.air.roam(host, router)
    assert lab.air.where("mn") == "ar1"


def test_hosts_are_stock_and_routers_make_no_addresses(lab: Lab) -> None:
    def settings() -> list[str]:
        names = ("accept_ra", "accept_dad", "autoconf", "forwarding")
        return [Path(f"/proc/sys/net/ipv6/conf/wlan0/{name}").read_text().strip() for name in names]

    assert lab.nodes["mn"].namespace.call(settings) == ["1", "1", "1", "0"]
    assert {a.address for a in host_addresses(lab.nodes["ar1"].namespace)} == {lab.nodes["ar1"].address}


def test_kernel_state_shows_what_came_and_what_went() -> None:
    namespace = NetworkNamespace("state")
    netlink = RouteNetlink(namespace)
    try:
        before = KernelState.of(namespace)
        assert KernelState.of(namespace).difference(before) == []
        netlink.add_address(1, socket.inet_pton(socket.AF_INET6, "2001:db8::7"), 128)
        came = KernelState.of(namespace).difference(before)
        assert "+ address 2001:db8::7/128 dev lo" in came
        assert before.difference(KernelState.of(namespace)) == sorted(
            (line.replace("+", "-", 1) for line in came), key=lambda line: line[2:]
        )
    finally:
        netlink.close()
        namespace.close()


def test_netem_is_believed_only_when_it_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that takes the request and does nothing, as some sandboxes do, is found out."""
    monkeypatch.setattr("sojourn.lab.links._PATIENCE", 100 * MILLISECOND)
    monkeypatch.setattr("sojourn.lab.rtnetlink.RouteNetlink.add_netem", lambda *_: None)
    assert netem_works() is False


def test_a_rate_holds(tmp_path: Path) -> None:
    text = '[nodes]\na = "router"\nb = "router"\n[links]\na.b = { delay = "2ms", rate = "8mbit" }\n'
    with Lab(parse(text), tmp_path) as made, udp(made.nodes["a"]) as a, udp(made.nodes["b"]) as b:
        b.settimeout(0.5)
        start = end = time.monotonic_ns()
        for _ in range(150):
            a.sendto(bytes(952), (made.nodes["b"].address, 9))  # 1000 octets of IPv6: about 1 ms each
        arrived = 0
        try:
            while True:
                b.recv(2000)
                arrived, end = arrived + 1, time.monotonic_ns()
        except TimeoutError:
            pass
    assert arrived >= 30
    assert end - start >= (arrived - 6) * MILLISECOND  # a burst of five may go at once


@pytest.mark.filterwarnings("ignore:Field type should not be:DeprecationWarning")  # python-pcapng's own
def test_captures_name_their_points_and_carry_marks(tmp_path: Path) -> None:
    with Lab(parse(_TOPOLOGY), tmp_path, capture="signalling") as made:
        made.mark("mn roams to ar2")
        made.air.roam("mn", "ar2")
        time.sleep(0.1)
        with udp(made.nodes["ar2"]) as noise:  # no signalling: must not be captured
            noise.sendto(b"x", ("ff02::1", 9, 0, made.nodes["ar2"].ends["acc0"].index))
    with (tmp_path / "capture" / "ar2.pcapng").open("rb") as stream:
        blocks = list(FileScanner(stream))
    names = [block.options["if_name"] for block in blocks if isinstance(block, InterfaceDescription)]
    assert names == ["ar2:to-core", "ar2:acc0"]
    packets = [block for block in blocks if isinstance(block, EnhancedPacket)]
    assert any(packet.options.get("opt_comment") == "mn roams to ar2" for packet in packets)
    updates = [packet.packet_data for packet in packets if packet.packet_data[14:18] == b"\x00\x01\xaf\x81"]
    assert updates
    assert updates[0][:12] == b"\xff" * 6 + b"\x02\0\0\0\0\x01"
    assert not any(packet.packet_data[12:14] == b"\x86\xdd" and packet.packet_data[20] == 17 for packet in packets)


def test_going_up_and_down_leaves_no_socket_and_no_process(tmp_path: Path) -> None:
    import os

    before = set(os.listdir("/proc/self/fd"))
    made = Lab(parse(_TOPOLOGY), tmp_path)
    made.up()
    process = made.nodes["mn"].spawn(["/bin/sh", "-c", "sleep 1000"])
    made.down()
    made.down()
    assert process.poll() is not None
    assert set(os.listdir("/proc/self/fd")) == before


def test_measuring_gives_none_where_nobody_answers(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sojourn.lab.links._PATIENCE", 50 * MILLISECOND)
    cable = lab._network.cables[0]  # type: ignore[union-attr]
    wrong = type(cable.ends[1])(cable.ends[1].namespace, "x", 9, b"\x02\xff\xff\xff\xff\xff")
    assert measure([(cable.ends[0], wrong)], [0]) == [None]


def test_a_link_that_is_up_a_moment_later_is_measured_then() -> None:
    """Its way was not there yet, and that was an error."""
    here, there = NetworkNamespace("late-a"), NetworkNamespace("late-b")
    ends = End(here, "t0", 10, b"\x02\0\0\0\x01\0"), End(there, "t1", 11, b"\x02\0\0\0\x01\1")
    netlinks = RouteNetlink(here), RouteNetlink(there)
    try:
        for namespace in (here, there):
            namespace.sysctl("net/ipv6/conf/default/accept_dad", 0)
        netlinks[0].add_veth(*ends, 1500)

        def up() -> None:
            for netlink, end in zip(netlinks, ends, strict=True):
                netlink.set_link(end.index, up=True)

        later = threading.Timer(0.2, up)
        later.start()
        assert measure([ends], [0]) != [None]
        later.join()
    finally:
        for closing in (*netlinks, here, there):
            closing.close()
