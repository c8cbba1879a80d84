"""RFC 5213 5.6 and 6.10 on a real kernel: ar1 is the LMA of both hosts, ar2 is their MAG."""

from __future__ import annotations

import socket
import struct

import pytest

from sojourn.core.effects import (
    EnsureCounter,
    EnsureDelivery,
    EnsurePrefix,
    EnsureTunnel,
    EnsureUplink,
    WithdrawPrefix,
    WithdrawSlot,
    WithdrawUplink,
)
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.lab.kernel_state import KernelState
from sojourn.wire.addresses import address, text
from support.dataplane_bed import (
    AR1,
    AR2,
    HOME,
    HOST,
    HOST_B,
    HOST_NEW,
    ICMPV6,
    NEW,
    OTHER,
    POOLS,
    SERVER,
    Bed,
    arrives,
    captured,
    ipv6,
    udp_packet,
)

pytestmark = pytest.mark.lab
BED = Bed

_SECOND_POOL = address("2001:db8:a1ff::")


@pytest.fixture
def anchor(bed: Bed) -> LinuxDataplane:
    """The LMA: no access links, and what it owns goes nowhere else."""
    return _anchor(bed)


def _anchor(bed: Bed, **changes: object) -> LinuxDataplane:
    settings = {"access": (), "drop_unassigned": True, "link_layer": None, "link_local": None, **changes}
    with bed.namespaces["ar1"].entered():
        plane = LinuxDataplane(bed.settings("ar1", **settings))
        bed.planes.append(plane)
        plane.begin()
    return plane


def _gateway(bed: Bed, *, local_routing: bool = False, pool: object = None, **changes: object) -> LinuxDataplane:
    return bed.plane("ar2", pool=pool, local_routing=local_routing, drop_strays=True, **changes)


def _register(bed: Bed, anchor: LinuxDataplane, gateway: LinuxDataplane, host: str = "a") -> None:
    """`host` is at the MAG, and its home prefix at the LMA."""
    slot, home = (1, HOME) if host == "a" else (2, OTHER)
    anchor.apply(EnsureTunnel(slot, AR2))
    anchor.apply(EnsurePrefix(home, slot))
    anchor.apply(EnsureCounter(home))
    gateway.apply(EnsureDelivery(slot, "acc0", bed.mac(host, "ar2")))
    gateway.apply(EnsurePrefix(home, slot))
    gateway.apply(EnsureUplink(home, AR1))
    bed.leave_through(host, "ar2")


def _errors(raw: socket.socket) -> list[bytes]:
    """ICMPv6 error messages that arrived."""
    raw.settimeout(0.3)
    return [message for message in captured(raw) if message[0] < 128]


def _state(bed: Bed, router: str) -> set[str]:
    """Everything but what the kernel learns by itself from passing traffic."""
    lines = KernelState.of(bed.namespaces[router]).lines
    return {line for line in lines if not line.startswith(("station ", "neighbour "))}


def test_6_10_5_everything_goes_through_the_tunnel_both_ways(bed: Bed, anchor: LinuxDataplane) -> None:
    """RFC 5213 5.6.2, 6.10.2, 6.10.5: "IPv6 header (src= Proxy-CoA, dst= LMAA / Tunnel Header /)", and back."""
    _register(bed, anchor, _gateway(bed))
    with bed.udp("a", HOST, 7) as host, bed.udp("server", SERVER, 7) as server, bed.wire("core", "ar2") as wire:
        assert arrives(host, server, SERVER)
        assert arrives(server, host, HOST)
        packets = [packet for packet in captured(wire) if packet[6] in (17, 41)]
    assert {(packet[6], packet[8:24], packet[24:40]) for packet in packets} == {(41, AR2, AR1), (41, AR1, AR2)}
    assert {(packet[48:64], packet[64:80]) for packet in packets} == {(HOST, SERVER), (SERVER, HOST)}


def test_5_6_2_packets_out_of_a_tunnel_to_another_node_go_into_its_tunnel(bed: Bed, anchor: LinuxDataplane) -> None:
    """Text: "MUST be routed to the destination specified in the inner packet header" - here another mobile node."""
    gateway = _gateway(bed)
    _register(bed, anchor, gateway, "a")
    _register(bed, anchor, gateway, "b")
    with bed.udp("a", HOST, 7) as a, bed.udp("b", HOST_B, 7) as b, bed.wire("core", "ar1") as wire:
        assert arrives(a, b, HOST_B)
        assert arrives(b, a, HOST)
        assert len([packet for packet in captured(wire) if packet[6] == 41]) >= 4


@pytest.mark.parametrize("allowed", [True, False])
def test_6_10_5_local_routing_only_where_it_is_allowed(bed: Bed, anchor: LinuxDataplane, allowed: bool) -> None:
    """Text: "MUST check the flag EnableMAGLocalRouting"; not allowed, "it MUST route the packet through the bi-
    directional tunnel"; "Otherwise, it MUST route the packet directly to the destination"."""
    gateway = _gateway(bed, local_routing=allowed)
    _register(bed, anchor, gateway, "a")
    _register(bed, anchor, gateway, "b")
    with bed.udp("a", HOST, 7) as a, bed.udp("b", HOST_B, 7) as b, bed.wire("core", "ar2") as wire:
        assert arrives(a, b, HOST_B)
        assert bool([packet for packet in captured(wire) if packet[6] == 41]) is not allowed


@pytest.mark.parametrize("allowed", [True, False])
def test_6_10_5_a_visitor_reaches_a_mobile_node_by_way_of_its_lma(
    bed: Bed, anchor: LinuxDataplane, allowed: bool
) -> None:
    """Text: "from a correspondent node that is connected to the mobile access gateway as a regular IPv6 host ... If the
    mobile access gateway is not allowed to route the packet directly, it MUST route the packet towards the local
    mobility anchor where the destination address is topologically anchored"."""
    gateway = _gateway(bed, local_routing=allowed, pool=POOLS["ar2"])
    _register(bed, anchor, gateway, "b")
    gateway.apply(EnsureDelivery(1, "acc0", bed.mac("a", "ar2")))
    gateway.apply(EnsurePrefix(NEW, 1))
    gateway.apply(EnsureUplink(NEW, None))
    bed.leave_through("a", "ar2")
    with bed.udp("a", HOST_NEW, 7) as a, bed.udp("b", HOST_B, 7) as b, bed.wire("core", "ar1") as wire:
        assert arrives(a, b, HOST_B)
        passed = [packet for packet in captured(wire) if packet[6] in (17, 41)]
        assert bool(passed) is not allowed
        assert arrives(b, a, HOST_NEW)


def test_6_10_5_a_node_without_a_binding_sends_nothing(bed: Bed, anchor: LinuxDataplane) -> None:
    """Text: "MUST ensure that there is an established binding for that mobile node ... before forwarding"."""
    gateway = _gateway(bed)
    _register(bed, anchor, gateway)
    gateway.apply(WithdrawUplink(HOME))
    with bed.udp("a", HOST, 7) as host, bed.udp("server", SERVER, 7) as server:
        assert not arrives(host, server, SERVER, 0.3)


def test_6_10_5_packets_with_a_link_local_source_are_not_forwarded(bed: Bed, anchor: LinuxDataplane) -> None:
    """Text: "the packets that are sent with the link-local source address MUST NOT be forwarded"."""
    _register(bed, anchor, _gateway(bed))
    source = address("fe80::5")
    with bed.raw("a", socket.IPPROTO_RAW) as raw, bed.udp("server", SERVER, 7, 0.3) as server:
        raw.sendto(udp_packet(source, SERVER, 7, b"never"), (text(SERVER), 0))
        with pytest.raises(TimeoutError):
            server.recv(100)
        raw.sendto(udp_packet(HOST, SERVER, 7, b"but this"), (text(SERVER), 0))
        assert server.recv(100) == b"but this"


def test_6_10_5_what_is_for_nobody_here_is_dropped_in_silence(bed: Bed, anchor: LinuxDataplane) -> None:
    """Text: "If the mobile access gateway cannot find the connected interface for that destination address, it MUST
    silently drop the packet": it would go round between MAG and LMA, and an error would end connections of a node that
    just moved."""
    gateway = _gateway(bed)
    _register(bed, anchor, gateway)
    for effect in (WithdrawUplink(HOME), WithdrawPrefix(HOME), WithdrawSlot(1)):
        gateway.apply(effect)
    with (
        bed.udp("server", SERVER, 7) as server,
        bed.raw("server", ICMPV6) as errors,
        bed.wire("core", "ar2") as wire,
    ):
        for _ in range(5):
            server.sendto(b"hello", (text(HOST), 7))
        packets = [packet for packet in captured(wire) if packet[6] == 41]
        assert _errors(errors) == []
    assert len(packets) == 5
    assert {packet[24:40] for packet in packets} == {AR2}


def test_5_3_5_while_a_binding_waits_its_traffic_is_dropped_in_silence(bed: Bed) -> None:
    """Text: "the local mobility anchor SHOULD drop the mobile node's data traffic": of all its pools. C112."""
    bed.netlink("core").add_route(_SECOND_POOL, 48, AR1, bed.ends["core", "ar1"].index)
    second = bed.settings("ar1").pool
    assert second is not None
    anchor = _anchor(bed, other_pools=(type(second)(_SECOND_POOL, 48),))
    gateway = _gateway(bed)
    _register(bed, anchor, gateway)
    anchor.apply(WithdrawPrefix(HOME))
    with (
        bed.udp("server", SERVER, 7) as server,
        bed.raw("server", ICMPV6) as errors,
        bed.wire("core", "ar1") as wire,
    ):
        for target in (HOST, _SECOND_POOL[:15] + b"\x01"):
            server.sendto(b"hello", (text(target), 7))
        packets = [packet for packet in captured(wire) if packet[6] in (17, 41)]
        assert _errors(errors) == []
    assert len(packets) == 2  # on their way there, and not again
    anchor.apply(EnsurePrefix(HOME, 1))
    with bed.udp("a", HOST, 7) as host, bed.udp("server", SERVER, 7) as server:
        assert arrives(server, host, HOST)


def test_6_9_5_too_big_for_the_tunnel_is_answered_at_both_ends(bed: Bed, anchor: LinuxDataplane) -> None:
    """RFC 2473 7.1: Packet Too Big with the tunnel's MTU, to whoever sent it."""
    _register(bed, anchor, _gateway(bed))
    for sender, source, target in (("server", SERVER, HOST), ("a", HOST, SERVER)):
        with bed.raw(sender, socket.IPPROTO_RAW) as raw, bed.raw(sender, ICMPV6) as errors:
            raw.sendto(udp_packet(source, target, 9, bytes(1500 - 48)), (text(target), 0))
            told = [message for message in captured(errors) if message[0] == 2]
            assert [struct.unpack_from("!I", message, 4)[0] for message in told] == [1460]


def test_5_6_3_congestion_bits_are_copied_into_the_tunnel(bed: Bed, anchor: LinuxDataplane) -> None:
    """Text: "the ECN field from the inner header MUST be copied to the outer header"; and out of it the inner field
    "MUST NOT be modified"."""
    _register(bed, anchor, _gateway(bed))
    with bed.raw("a", socket.IPPROTO_RAW) as raw, bed.wire("core", "ar2") as wire, bed.wire("server", "core") as end:
        for bits in (0, 1, 2, 3):
            packet = bytearray(udp_packet(HOST, SERVER, 9, b"ecn"))
            packet[0:2] = struct.pack("!H", 6 << 12 | bits << 4)
            raw.sendto(bytes(packet), (text(SERVER), 0))
        outer = [packet[1] >> 4 & 3 for packet in captured(wire) if packet[6] == 41 and packet[24:40] == AR1]
        inner = [packet[1] >> 4 & 3 for packet in captured(end) if packet[6] == 17 and packet[8:24] == HOST]
    assert outer == [0, 1, 2, 3]
    assert inner == [0, 1, 2, 3]


def test_the_lma_takes_nothing_out_of_tunnels_of_others(bed: Bed, anchor: LinuxDataplane) -> None:
    _register(bed, anchor, _gateway(bed))
    inner = udp_packet(HOST, SERVER, 7, b"forged")
    stranger = address("2001:db8:5::1")
    with bed.udp("server", SERVER, 7, 0.3) as server, bed.raw("server", socket.IPPROTO_RAW) as raw:
        raw.sendto(ipv6(stranger, AR1, 41, inner), (text(AR1), 0))
        with pytest.raises(TimeoutError):
            server.recv(100)


def test_nothing_is_left_of_either_role(bed: Bed) -> None:
    before = {name: _state(bed, name) for name in ("ar1", "ar2")}
    anchor, gateway = _anchor(bed), _gateway(bed)
    _register(bed, anchor, gateway)
    bed.stop("ar1", anchor)
    bed.stop("ar2", gateway)
    assert {name: _state(bed, name) for name in before} == before


def test_a_later_life_takes_over_what_an_earlier_one_left(bed: Bed) -> None:
    anchor, gateway = _anchor(bed), _gateway(bed)
    _register(bed, anchor, gateway)
    bed.crash(anchor)
    bed.crash(gateway)
    anchor, gateway = _anchor(bed), _gateway(bed)
    _register(bed, anchor, gateway)
    assert anchor.finish() == []
    assert gateway.finish() == []
    with bed.udp("a", HOST, 7) as host, bed.udp("server", SERVER, 7) as server:
        assert arrives(host, server, SERVER)
