"""The data plane with ip6tnl devices, on the kernel of ``make test-kernels``: what is particular to them.

All that holds for every data plane is tested there by the same tests as elsewhere (tests/kernels/targets.txt).
"""

from __future__ import annotations

import struct

import pytest

from sojourn.core.effects import EnsurePaths, EnsurePrefix, EnsureShortcut
from sojourn.dataplane import links
from sojourn.dataplane.netlink import Netlink
from sojourn.lab.kernel_state import KernelState
from sojourn.lab.rtnetlink import RTM_GETNEIGH
from sojourn.wire.addresses import text
from support.dataplane_bed import (
    AR1,
    AR2,
    HOME,
    HOST,
    HOST_B,
    OTHER,
    SERVER,
    STRANGER,
    Bed,
    captured,
    ipv6,
    udp_packet,
)

pytestmark = [pytest.mark.lab, pytest.mark.ip6tnl]
BED = Bed

ENTRY, EXIT = "sojourn2", "sojourn3"


def devices(bed: Bed, router: str = "ar1") -> dict[str, links.Link]:
    def look() -> dict[str, links.Link]:
        netlink = Netlink()
        try:
            return links.links(netlink)
        finally:
            netlink.close()

    return bed.namespaces[router].call(look)


def test_the_kernel_is_asked_what_it_has(bed: Bed) -> None:
    assert bed.plane("ar1").backend == "ip6tnl"


def test_a_backend_that_is_not_there_is_refused_and_nothing_is_left(bed: Bed) -> None:
    before = KernelState.of(bed.namespaces["ar1"])
    with pytest.raises(OSError, match=r"no tunnels.*seg6"):
        bed.plane("ar1", backend="seg6")
    bed.stop("ar1", bed.planes[0])
    assert KernelState.of(bed.namespaces["ar1"]).difference(before) == []


def test_fast_handovers_are_refused_with_the_remedy(bed: Bed) -> None:
    with pytest.raises(OSError, match="no fast handovers with these; set handovers = 0"):
        bed.plane("ar1", handovers=1)


@pytest.mark.parametrize("ends", ["other_addresses", "path_addresses"])
def test_more_ends_of_tunnels_are_refused_and_nothing_is_left(bed: Bed, ends: str) -> None:
    before = KernelState.of(bed.namespaces["ar1"])
    with pytest.raises(OSError, match="end at one address"):
        bed.plane("ar1", **{ends: (STRANGER,)})
    bed.stop("ar1", bed.planes[0])
    assert KernelState.of(bed.namespaces["ar1"]).difference(before) == []


def test_flows_to_a_node_are_spread_over_several_tunnels(bed: Bed) -> None:
    anchor = bed.plane("ar1", peers=(AR2, STRANGER))
    anchor.apply(EnsurePaths(1, (AR2, STRANGER)))
    anchor.apply(EnsurePrefix(HOME, 1))
    with bed.wire("core", "ar1") as wire:
        for _ in range(24):
            with bed.udp("server", SERVER) as server:
                server.sendto(b"x", (text(HOST), 9))
        ends = {seen[24:40] for seen in captured(wire) if seen[6] == 41 and seen[8:24] == AR1}
    assert ends == {AR2, STRANGER}


def test_a_shortcut_passes_the_anchor_by(bed: Bed) -> None:
    anchor, serving = bed.plane("ar1"), bed.plane("ar2", pool=None, local_routing=False, peers=(AR1, STRANGER))
    bed.serve_away(anchor, serving)
    serving.apply(EnsureShortcut(HOME, OTHER, STRANGER))
    with bed.udp("a", HOST) as host, bed.wire("core", "ar2") as wire:
        for destination in (HOST_B, SERVER):
            host.sendto(b"x", (text(destination), 9))
        ways = {seen[64:80]: seen[24:40] for seen in captured(wire) if seen[6] == 41 and seen[8:24] == AR2}
    assert ways == {HOST_B: STRANGER, SERVER: AR1}


def test_a_tunnel_device_of_somebody_else_is_named(bed: Bed) -> None:
    """A namespace has room for one device in collect-metadata mode."""

    def occupy() -> None:
        netlink = Netlink()
        links.add_tunnel_entry(netlink, "theirs")
        netlink.close()

    bed.namespaces["ar1"].call(occupy)
    with pytest.raises(OSError, match="another ip6tnl interface"):
        bed.plane("ar1")
    bed.stop("ar1", bed.planes[0])
    assert "theirs" in devices(bed)


def test_tunnels_are_quiet_devices_of_the_tunnels_mtu(bed: Bed) -> None:
    bed.plane("ar1")
    found = devices(bed)
    assert found[EXIT].tunnel_end == AR1
    assert found[ENTRY].tunnel_end == bytes(16)
    addressed = [line for line in KernelState.of(bed.namespaces["ar1"]).lines if line.startswith("address")]
    assert not [line for line in addressed if ENTRY in line or EXIT in line]


def test_another_address_of_the_router_in_the_next_life(bed: Bed) -> None:
    other = AR1[:15] + b"\x77"
    bed.netlink("ar1").add_address(bed.ends["ar1", "core"].index, other, 64)
    bed.wait_for("ar1", {other})
    bed.crash(bed.plane("ar1"))
    plane = bed.plane("ar1", address=other)
    plane.finish()
    assert devices(bed)[EXIT].tunnel_end == other
    bed.serve_home(plane)
    with bed.udp("a", HOST, 7) as host, bed.raw("core", 255) as raw:
        for end, comes in ((AR1, False), (other, True)):
            raw.sendto(ipv6(AR2, end, 41, udp_packet(SERVER, HOST, 7, text(end).encode())), (text(end), 0))
            host.settimeout(0.3)
            if comes:
                assert host.recv(100) == text(other).encode()
            else:
                with pytest.raises(TimeoutError):
                    host.recv(100)


def test_many_destinations_are_one_neighbour(bed: Bed) -> None:
    """The kernel makes a neighbour entry for whatever a packet is handed to; its table is small."""
    anchor, serving = bed.plane("ar1"), bed.plane("ar2")
    bed.serve_away(anchor, serving)
    with bed.udp("a", HOST) as host:
        for number in range(100):
            host.sendto(b"x", (f"2001:db8:5e:{number:x}::1", 9))
    request = struct.pack("=BxxxiHBB", 10, 0, 0, 0, 0)
    entry = devices(bed, "ar2")[ENTRY].index
    answers = bed.netlink("ar2").dump(RTM_GETNEIGH, request)
    assert len([body for body in answers if struct.unpack_from("=BxxxiHBB", body)[1] == entry]) <= 1


def test_the_outer_header_is_as_srv6_code_writes_it(bed: Bed) -> None:
    """No extension header (RFC 2473 4.1.1 is left out); hop limit and congestion marks are those of the inner one."""
    anchor, serving = bed.plane("ar1"), bed.plane("ar2")
    bed.serve_away(anchor, serving)
    packet = bytearray(udp_packet(SERVER, HOST, 7, b"x"))
    packet[1], packet[7] = 0x20, 33  # ECT(0), hop limit
    with bed.wire("core", "ar1") as wire, bed.raw("server", 255) as raw:
        raw.sendto(bytes(packet), (text(HOST), 0))
        [outer] = [seen for seen in captured(wire) if seen[6] == 41 and seen[8:24] == AR1]
    inner = outer[40:]
    assert (outer[8:24], outer[24:40]) == (AR1, AR2)
    assert outer[0] >> 4 == inner[0] >> 4 == 6
    assert outer[1] & 0x30 == 0x20
    assert outer[7] == inner[7] == 33 - 2  # the core and the anchor, which SRv6 code would not count
    assert inner[8:24] == SERVER


def test_congestion_in_the_core_reaches_the_host(bed: Bed) -> None:
    """RFC 6040 4.2, which the SRv6 code does not do."""
    anchor = bed.plane("ar1")
    bed.serve_home(anchor)
    inner = bytearray(udp_packet(SERVER, HOST, 7, b"x"))
    inner[1] = 0x20  # ECT(0)
    outer = bytearray(ipv6(AR2, AR1, 41, bytes(inner)))
    outer[1] = 0x30  # congestion experienced
    with bed.wire("a", "ar1") as wire, bed.raw("core", 255) as raw:
        raw.sendto(bytes(outer), (text(AR1), 0))
        [seen] = [packet for packet in captured(wire) if packet[24:40] == HOST]
    assert seen[1] & 0x30 == 0x30


def test_a_tunnelled_packet_with_an_encapsulation_limit_is_taken_out(bed: Bed) -> None:
    """As other implementations send it (RFC 2473 4.1.1)."""
    bed.serve_home(bed.plane("ar1"))
    option = bytes((41, 0, 4, 1, 4, 1, 0, 0))
    inner = udp_packet(SERVER, HOST, 7, b"x")
    with bed.udp("a", HOST, 7) as host, bed.raw("core", 255) as raw:
        raw.sendto(ipv6(AR2, AR1, 60, option + inner), (text(AR1), 0))
        assert host.recv(100) == b"x"
