"""Queues of a handover: packets wait, leave in the order in which they came, and none is lost at the switch to the
straight way. Judged by sequence numbers, at 2,000 packets a second."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from contextlib import suppress

import pytest

from sojourn.core.effects import (
    EnsureDelivery,
    EnsureFlowToNode,
    EnsureFlowToRouter,
    EnsurePrefix,
    EnsureQueue,
    EnsureShortcut,
    EnsureTunnel,
    EnsureUplink,
    ForwardingEffect,
    WithdrawQueue,
    WithdrawSlot,
)
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.lab.kernel_state import KernelState
from sojourn.wire.addresses import prefix, text
from support.dataplane_bed import AR1, AR2, HOME, HOST, HOST_B, OTHER, SERVER, Bed, Stream, arrives, captured

pytestmark = [pytest.mark.lab, pytest.mark.nf_tables]
BED = Bed

RATE = 2000
FAST = {"handovers": 4, "handover_packets": 10_000}
"""Room for five seconds: this process may be as late as that."""


class Plane(LinuxDataplane):
    """One that acts in its own namespace, as the one of a daemon does."""

    bed: Bed
    router: str

    def apply(self, effect: ForwardingEffect) -> None:
        with self.bed.namespaces[self.router].entered():
            super().apply(effect)

    def finish(self) -> list[str]:
        with self.bed.namespaces[self.router].entered():
            return super().finish()


def fast(bed: Bed, router: str, **more: int) -> Plane:
    with bed.namespaces[router].entered():
        neighbour = AR2 if router == "ar1" else AR1
        plane = Plane(bed.settings(router, neighbours=(neighbour,), **{**FAST, **more}))
        plane.bed, plane.router = bed, router
        bed.planes.append(plane)
        plane.begin()
    bed.settle(router)
    return plane


def stream_to_host(bed: Bed) -> Stream:
    return Stream(bed.udp("server", SERVER), bed.udp("a", HOST, 7), HOST, RATE)


def drained(plane: Plane, forwarded: bool = False) -> None:
    """Wait until nothing waits."""
    deadline = time.monotonic() + 5
    while plane.waiting(1)[int(forwarded)]:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_what_waited_comes_first_and_nothing_is_overtaken_at_the_switch(bed: Bed) -> None:
    """Forty times: 20 ms of waiting, then the straight way again."""
    plane = fast(bed, "ar1")
    bed.serve_home(plane)
    mac = bed.mac("a", "ar1")
    stream = stream_to_host(bed)
    with stream.running():
        for _ in range(40):
            plane.apply(EnsureQueue(1, False))
            time.sleep(0.02)
            plane.apply(EnsureFlowToNode(1, False, "acc0", mac))
            drained(plane)
            plane.apply(EnsureDelivery(1, "acc0", mac))
            time.sleep(0.005)
    assert stream.sent > 1000
    assert (stream.lost, stream.repeated, stream.overtaken) == (0, 0, 0)


def test_without_the_queue_that_keeps_the_order_packets_are_lost_in_a_gap(bed: Bed) -> None:
    """The control: the same host, its link down for 60 ms, nobody keeps anything."""
    plane = fast(bed, "ar1")
    bed.serve_home(plane)
    stream = stream_to_host(bed)
    with stream.running():
        bed.netlink("ar1").set_link(bed.ends["ar1", "pa"].index, up=False)
        time.sleep(0.06)
        bed.netlink("ar1").set_link(bed.ends["ar1", "pa"].index, up=True)
    assert stream.lost > 20


def test_what_waits_at_the_old_router_goes_through_the_tunnel_in_order(bed: Bed) -> None:
    """What the previous router kept during the gap, and the switch to the tunnel itself."""
    anchor, serving = fast(bed, "ar1"), fast(bed, "ar2")
    bed.serve_home(anchor)
    serving.apply(EnsureDelivery(1, "acc0", bed.mac("a", "ar2")))
    serving.apply(EnsurePrefix(HOME, 1))
    stream = stream_to_host(bed)
    with stream.running():
        for _ in range(20):
            anchor.apply(EnsureQueue(1, False))
            time.sleep(0.02)
            anchor.apply(EnsureFlowToRouter(1, False, AR2))
            drained(anchor)
            anchor.apply(EnsureTunnel(1, AR2))
            time.sleep(0.005)
    assert (stream.lost, stream.repeated, stream.overtaken) == (0, 0, 0)


def test_forwarded_packets_and_others_wait_apart(bed: Bed) -> None:
    """What came out of the neighbour's tunnel is let go; what came another way waits on, and then follows."""
    anchor, serving = fast(bed, "ar1"), fast(bed, "ar2")
    anchor.apply(EnsureTunnel(1, AR2))
    anchor.apply(EnsurePrefix(HOME, 1))
    serving.apply(EnsureQueue(1, False))
    serving.apply(EnsurePrefix(HOME, 1))
    serving.apply(EnsureQueue(1, True))
    mac = bed.mac("a", "ar2")
    bed.leave_through("a", "ar2")
    with bed.udp("server", SERVER) as server, bed.udp("a", HOST, 7) as host:
        server.sendto(b"forwarded", (text(HOST), 7))
        time.sleep(0.05)
        bed.netlink("core").add_route(HOME.address, 64, AR2, bed.ends["core", "ar2"].index)
        server.sendto(b"direct", (text(HOST), 7))
        assert came(host) == []
        serving.apply(EnsureFlowToNode(1, True, "acc0", mac))
        assert came(host) == [b"forwarded"]
        serving.apply(EnsureFlowToNode(1, False, "acc0", mac))
        assert came(host) == [b"direct"]
        serving.apply(EnsureDelivery(1, "acc0", mac))
        serving.apply(WithdrawQueue(1))
        assert arrives(server, host, HOST)


def came(host: socket.socket) -> list[bytes]:
    """What the host got, until it is quiet."""
    host.settimeout(0.2)
    found = []
    with suppress(TimeoutError):
        while True:
            found.append(host.recv(100))
    return found


def test_nft_can_read_the_packet_filter(bed: Bed) -> None:
    """As of a gateway, which marks strays as well."""
    fast(bed, "ar1", drop_strays=True)
    listing = bed.namespaces["ar1"].call(
        lambda: subprocess.run(("nft", "list", "ruleset"), capture_output=True, text=True, check=True)
    )
    marking = f"ip6 daddr {text(AR1)} ip6 saddr @neighbours meta mark set"
    assert [line for line in listing.stdout.splitlines() if marking in line], listing.stdout
    assert f"elements = {{ {text(AR2)} }}" in listing.stdout


HOME_IPV4 = prefix("10.1.0.9/32")


def ipv4_packet(words: bytes) -> bytes:
    """To the host's IPv4 home address."""
    addresses = b"\xc0\0\2\1", b"\x0a\1\0\x09"
    packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(words), 0, 0, 64, 253, 0, *addresses)
    total = sum(struct.unpack("!10H", packet))
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return packet[:10] + checksum.to_bytes(2, "big") + packet[12:] + words


def test_packets_of_ipv4_wait_too(bed: Bed) -> None:
    """And go to the node, or through the tunnel, when they are let go: they are routed once more behind the queue."""
    plane = fast(bed, "ar1", ipv4=True)
    mac, packet = bed.mac("a", "ar1"), ipv4_packet(b"wait")
    plane.apply(EnsureDelivery(1, "acc0", mac))
    plane.apply(EnsurePrefix(HOME_IPV4, 1))
    with bed.wire("core", "ar1") as core, bed.wire("a", "ar1") as host:
        to_router = ("ar1", 0x0800, 0, 0, bed.ends["ar1", "core"].link_layer)
        plane.apply(EnsureQueue(1, False))
        core.sendto(packet, to_router)
        assert not [one for one in captured(host) if one.endswith(b"wait")]
        plane.apply(EnsureFlowToNode(1, False, "acc0", mac))
        assert len([one for one in captured(host) if one.endswith(b"wait")]) == 1
        plane.apply(EnsureQueue(1, False))
        core.sendto(packet, to_router)
        plane.apply(EnsureFlowToRouter(1, False, AR2))
        tunnelled = [one for one in captured(core) if one[:1] == b"\x60" and one[6:7] == b"\4"]
        assert [(one[24:40], one[-4:]) for one in tunnelled] == [(AR2, b"wait")]


def test_forwarded_packets_of_ipv4_wait_apart_from_others(bed: Bed) -> None:
    """What the neighbour forwards goes to the node before what came straight, though that waited longer."""
    plane = fast(bed, "ar2", ipv4=True)
    mac = bed.mac("a", "ar2")
    plane.apply(EnsureQueue(1, False))
    plane.apply(EnsureQueue(1, True))
    plane.apply(EnsurePrefix(HOME_IPV4, 1))
    forwarded = ipv4_packet(b"forwarded")
    outer = struct.pack("!IHBB16s16s", 0x60000000, len(forwarded), 4, 64, AR1, AR2)
    with bed.wire("core", "ar2") as core, bed.wire("a", "ar2") as host:
        link_layer = bed.ends["ar2", "core"].link_layer

        def heard() -> list[bytes]:
            return [one[20:] for one in captured(host) if one[:1] == b"\x45"]

        core.sendto(ipv4_packet(b"straight"), ("ar2", 0x0800, 0, 0, link_layer))
        core.sendto(outer + forwarded, ("ar2", 0x86DD, 0, 0, link_layer))
        assert heard() == []
        plane.apply(EnsureFlowToNode(1, True, "acc0", mac))
        assert heard() == [b"forwarded"]
        plane.apply(EnsureFlowToNode(1, False, "acc0", mac))
        assert heard() == [b"straight"]


def test_a_shortcut_to_a_node_in_a_handover_leads_into_its_queue_and_out_again(bed: Bed) -> None:
    """RFC 6705 beside RFC 5949: two nodes of one router, and one of them has only just come."""
    plane = fast(bed, "ar1")
    macs = {name: bed.mac(name, "ar1") for name in ("a", "b")}
    bed.serve_home(plane)
    plane.apply(EnsureDelivery(2, "acc0", macs["b"]))
    plane.apply(EnsurePrefix(OTHER, 2))
    plane.apply(EnsureUplink(OTHER, AR2))
    bed.leave_through("b", "ar1")
    plane.apply(EnsureQueue(1, False))
    plane.apply(EnsureShortcut(OTHER, HOME, None))
    with bed.udp("b", HOST_B) as other, bed.udp("a", HOST, 7) as host:
        other.sendto(b"waits", (text(HOST), 7))
        assert came(host) == []
        plane.apply(EnsureFlowToNode(1, False, "acc0", macs["a"]))
        assert came(host) == [b"waits"]
        plane.apply(EnsureDelivery(1, "acc0", macs["a"]))
        other.sendto(b"straight", (text(HOST), 7))
        assert came(host) == [b"straight"]


def test_a_queue_has_an_end(bed: Bed) -> None:
    """Ten packets find room, the rest is dropped and counted: the kernel's memory is not at a stranger's disposal."""
    plane = fast(bed, "ar1", handover_packets=10)
    bed.serve_home(plane)
    plane.apply(EnsureQueue(1, False))
    with bed.udp("server", SERVER) as server, bed.udp("a", HOST, 7) as host:
        for _ in range(50):
            server.sendto(b"x", (text(HOST), 7))  # the kernel may have said something of its own before
        time.sleep(0.1)
        assert plane.waiting(1)[0] == 10
        assert plane.waiting(1)[2] >= 40
        plane.apply(EnsureFlowToNode(1, False, "acc0", bed.mac("a", "ar1")))
        assert 8 <= len(came(host)) <= 10


def test_there_are_only_so_many_queues(bed: Bed) -> None:
    plane = fast(bed, "ar1", handovers=1)
    plane.apply(EnsureQueue(1, False))
    plane.apply(EnsureQueue(2, False))
    with pytest.raises(OSError, match="as many handovers"):
        plane.apply(EnsureQueue(3, False))
    plane.apply(WithdrawSlot(1))
    plane.apply(EnsureQueue(3, False))


def test_a_daemon_that_died_while_packets_waited_leaves_nothing_that_waits_on(bed: Bed) -> None:
    """What waited is lost, what comes then arrives."""
    plane = fast(bed, "ar1")
    bed.serve_home(plane)
    with bed.udp("server", SERVER) as server, bed.udp("a", HOST, 7) as host:
        plane.apply(EnsureQueue(1, False))
        assert not arrives(server, host, HOST, 0.05)
        bed.crash(plane)
        assert not arrives(server, host, HOST, 0.05)
        successor = fast(bed, "ar1")
        bed.serve_home(successor)
        successor.finish()
        assert arrives(server, host, HOST)
        lines = [line for line in KernelState.of(bed.namespaces["ar1"]).lines if "sojourn0q" in line]
        left = [line for line in lines if line.startswith(("route", "nexthop", "neighbour"))]
        assert [line for line in left if "to ff00::/8" not in line] == []  # which the kernel has for every interface


def test_an_orderly_stop_leaves_nothing_of_a_handover(bed: Bed) -> None:
    before = standing(bed)
    plane = fast(bed, "ar1")
    bed.serve_home(plane)
    plane.apply(EnsureQueue(1, True))
    plane.apply(EnsureQueue(1, False))
    plane.apply(EnsureFlowToNode(1, True, "acc0", bed.mac("a", "ar1")))
    plane.apply(EnsureUplink(HOME, None))
    bed.stop("ar1", plane)
    assert standing(bed) == before


def standing(bed: Bed) -> set[str]:
    """What there is, without the hosts that the kernel happens to have met."""
    met = ("neighbour fe80::ff:", "station ")
    return {line for line in KernelState.of(bed.namespaces["ar1"]).lines if not line.startswith(met)}
