"""Where packets go, and where they do not: every effect on a real kernel."""

from __future__ import annotations

import errno
import socket

import pytest

from sojourn.core.effects import (
    EnsureDelivery,
    EnsureHold,
    EnsurePrefix,
    EnsureTunnel,
    EnsureUplink,
    WithdrawPrefix,
    WithdrawSlot,
    WithdrawUplink,
)
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.wire import BindingRefreshRequest, encode, seal
from sojourn.wire.addresses import text
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
    SERVER,
    STRANGER,
    Bed,
    arrives,
    captured,
    ipv6,
    udp_packet,
)

pytestmark = pytest.mark.lab
BED = Bed


@pytest.fixture
def anchor(bed: Bed) -> LinuxDataplane:
    return bed.plane("ar1")


@pytest.fixture
def serving(bed: Bed) -> LinuxDataplane:
    return bed.plane("ar2")


def both_ways(bed: Bed) -> bool:
    """Whether host a's old address and the server reach each other."""
    with bed.udp("a", HOST, 7) as host, bed.udp("server", SERVER, 7) as server:
        return arrives(host, server, SERVER) and arrives(server, host, HOST)


def test_plain_delivery_at_the_anchor(bed: Bed, anchor: LinuxDataplane) -> None:
    assert not both_ways(bed)
    bed.serve_home(anchor)
    assert both_ways(bed)


def test_anchored_traffic_goes_through_the_tunnel_both_ways(
    bed: Bed, anchor: LinuxDataplane, serving: LinuxDataplane
) -> None:
    bed.serve_away(anchor, serving)
    with bed.wire("core", "ar2") as wire:
        assert both_ways(bed)
        packets = [packet for packet in captured(wire) if packet[6] in (17, 41)]
    tunnels = {(packet[8:24], packet[24:40]) for packet in packets}
    assert tunnels == {(AR2, AR1), (AR1, AR2)}  # RFC 2473: from entry point to exit point
    assert {packet[46] for packet in packets} == {17}  # the inner packet at once, no routing header


def test_a_new_prefix_takes_the_short_way_beside_the_old_one(
    bed: Bed, anchor: LinuxDataplane, serving: LinuxDataplane
) -> None:
    bed.serve_away(anchor, serving)
    serving.apply(EnsurePrefix(NEW, 1))
    serving.apply(EnsureUplink(NEW, None))
    assert both_ways(bed)
    with (
        bed.udp("a", HOST_NEW, 9) as host,
        bed.udp("server", SERVER, 9) as server,
        bed.wire("core", "ar1") as around,
    ):
        assert arrives(host, server, SERVER)
        assert arrives(server, host, HOST_NEW)
        assert all(packet[6] != 41 for packet in captured(around))


def test_two_hosts_on_one_router_reach_each_other_and_are_not_redirected(bed: Bed, anchor: LinuxDataplane) -> None:
    bed.serve_home(anchor)
    anchor.apply(EnsureDelivery(2, "acc0", bed.mac("b", "ar1")))
    anchor.apply(EnsurePrefix(OTHER, 2))
    anchor.apply(EnsureUplink(OTHER, None))
    with bed.udp("a", HOST, 7) as a, bed.udp("b", HOST_B, 7) as b, bed.raw("a", ICMPV6) as errors:
        assert arrives(a, b, HOST_B)
        assert arrives(b, a, HOST)
        errors.settimeout(0.2)
        assert all(message[0] != 137 for message in captured(errors))


def test_a_foreign_host_and_a_local_host_meet_without_a_detour(
    bed: Bed, anchor: LinuxDataplane, serving: LinuxDataplane
) -> None:
    bed.serve_away(anchor, serving)
    serving.apply(EnsureDelivery(2, "acc0", bed.mac("b", "ar2")))
    serving.apply(EnsurePrefix(OTHER, 2))
    serving.apply(EnsureUplink(OTHER, None))
    bed.leave_through("b", "ar2")
    with bed.udp("a", HOST, 7) as a, bed.udp("b", HOST_B, 7) as b, bed.wire("ar2", "core") as core:
        assert arrives(a, b, HOST_B)
        assert all(packet[6] != 41 for packet in captured(core))


def test_what_is_withdrawn_does_not_hold_any_more(bed: Bed, anchor: LinuxDataplane) -> None:
    bed.serve_home(anchor)
    anchor.apply(WithdrawUplink(HOME))
    with bed.udp("a", HOST, 7) as host, bed.udp("server", SERVER, 7) as server:
        assert not arrives(host, server, SERVER, 0.2)
        assert arrives(server, host, HOST)
        anchor.apply(WithdrawPrefix(HOME))
        assert not arrives(server, host, HOST, 0.2)
    for effect in (WithdrawPrefix(HOME), WithdrawUplink(HOME), WithdrawSlot(1), WithdrawSlot(1)):
        anchor.apply(effect)
    assert anchor.show() == []


def test_withdrawing_the_slot_takes_its_prefixes_along(bed: Bed, anchor: LinuxDataplane) -> None:
    bed.serve_home(anchor)
    anchor.apply(WithdrawSlot(1))
    with bed.udp("a", HOST, 7) as host, bed.udp("server", SERVER, 7) as server:
        assert not arrives(server, host, HOST, 0.2)


# --- who may send ---------------------------------------------------------------------------------------------------


def test_other_sources_on_the_access_link_are_dropped(bed: Bed, anchor: LinuxDataplane) -> None:
    bed.serve_home(anchor)
    with bed.udp("a", HOST_NEW, 7) as host, bed.udp("server", SERVER, 7) as server:
        assert not arrives(host, server, SERVER, 0.3)


def test_a_spoofed_source_does_not_reach_a_neighbour_either(bed: Bed, anchor: LinuxDataplane) -> None:
    bed.serve_home(anchor)
    anchor.apply(EnsureDelivery(2, "acc0", bed.mac("b", "ar1")))
    anchor.apply(EnsurePrefix(OTHER, 2))
    with bed.udp("a", HOST_NEW) as host, bed.udp("b", HOST_B, 7) as b:
        assert not arrives(host, b, HOST_B, 0.3)


def sends(bed: Bed, name: str, packet: bytes, target: socket.socket) -> bool:
    """Whether the datagram ``x`` inside a hand-made packet comes out of `target`."""
    target.settimeout(0.3)
    with bed.raw(name, socket.IPPROTO_RAW) as raw:
        raw.sendto(packet, (text(packet[24:40]), 0))
    try:
        return target.recv(100) == b"x"
    except TimeoutError:
        return False


@pytest.mark.parametrize(("entry", "welcome"), [(AR2, True), (STRANGER, False), (SERVER, False)])
def test_only_peers_get_packets_out_of_a_tunnel(bed: Bed, anchor: LinuxDataplane, entry: bytes, welcome: bool) -> None:
    bed.serve_home(anchor)
    inner = udp_packet(SERVER, HOST, 7, b"x")
    with bed.udp("a", HOST, 7) as host:
        assert sends(bed, "core", ipv6(entry, AR1, 41, inner), host) is welcome


@pytest.mark.parametrize("entry", [AR2, STRANGER])
def test_nothing_is_taken_out_of_a_tunnel_to_another_address_of_the_router(
    bed: Bed, anchor: LinuxDataplane, entry: bytes
) -> None:
    """Whoever sends it: what the kernel is told of tunnels holds for one address."""
    other = AR1[:15] + b"\x77"
    bed.netlink("ar1").add_address(bed.ends["ar1", "core"].index, other, 64)
    bed.wait_for("ar1", {other})
    bed.serve_home(anchor)
    inner = udp_packet(SERVER, HOST, 7, b"x")
    with bed.udp("a", HOST, 7) as host:
        assert sends(bed, "core", ipv6(AR2, AR1, 41, inner), host)
        assert not sends(bed, "core", ipv6(entry, other, 41, inner), host)


@pytest.mark.parametrize("entry", [AR1, AR2])
def test_a_host_cannot_pass_for_the_end_of_a_tunnel(
    bed: Bed, anchor: LinuxDataplane, serving: LinuxDataplane, entry: bytes
) -> None:
    """It claims to be a peer of this router, or this router towards a peer."""
    bed.serve_home(anchor)
    exit_point = AR2 if entry == AR1 else AR1
    inner = udp_packet(STRANGER, SERVER, 7, b"x")
    with bed.udp("server", SERVER, 7) as server:
        assert not sends(bed, "a", ipv6(entry, exit_point, 41, inner), server)


def test_tunnels_lead_to_peers_only(anchor: LinuxDataplane) -> None:
    for effect in (EnsureUplink(HOME, STRANGER), EnsureTunnel(1, STRANGER)):
        with pytest.raises(PermissionError, match="not a configured peer"):
            anchor.apply(effect)
    assert anchor.show() == []


# --- what the kernel refuses or forgets ----------------------------------------------------------------------------


def test_refusals_are_os_errors_with_words(bed: Bed, anchor: LinuxDataplane) -> None:
    mac = bed.mac("a", "ar1")
    with pytest.raises(OSError, match="no interface acc9") as caught:
        anchor.apply(EnsureDelivery(1, "acc9", mac))
    assert caught.value.errno == errno.ENODEV
    with pytest.raises(OSError, match="exthop") as caught:
        anchor.apply(EnsurePrefix(HOME, 77))
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError, match="out of range"):
        anchor.apply(EnsureHold(1 << 24))


def test_an_access_interface_that_is_not_there_is_named(bed: Bed) -> None:
    with pytest.raises(OSError, match="no interface acc7"):
        bed.plane("ar1", access=("acc0", "acc7"))


def reached_soon(bed: Bed) -> bool:
    """A link that comes up again takes the kernel a moment: its carrier, its own routes, its neighbours."""
    with bed.udp("a", HOST, 7) as host, bed.udp("server", SERVER, 7) as server:
        return any(arrives(server, host, HOST, 0.2) for _ in range(25))


def test_the_next_effect_mends_what_the_kernel_forgot(bed: Bed, anchor: LinuxDataplane) -> None:
    """Nexthops go with their interface, and their routes with them."""
    bed.serve_home(anchor)
    access = bed.ends["ar1", "acc0"].index
    bed.netlink("ar1").set_link(access, up=False)
    bed.netlink("ar1").set_link(access, up=True)
    anchor.apply(EnsureDelivery(1, "acc0", bed.mac("a", "ar1")))
    assert reached_soon(bed)


def test_a_prefix_finds_its_slot_again(bed: Bed, anchor: LinuxDataplane) -> None:
    bed.serve_home(anchor)
    access = bed.ends["ar1", "acc0"].index
    bed.netlink("ar1").set_link(access, up=False)
    bed.netlink("ar1").set_link(access, up=True)
    anchor.apply(EnsurePrefix(HOME, 1))
    assert reached_soon(bed)


def test_everything_is_reasserted_after_a_flap(bed: Bed, anchor: LinuxDataplane, serving: LinuxDataplane) -> None:
    bed.serve_away(anchor, serving)
    access = bed.ends["ar2", "acc0"].index
    bed.netlink("ar2").set_link(access, up=False)
    bed.netlink("ar2").set_link(access, up=True)
    with bed.namespaces["ar2"].entered():
        serving.reassert()
    assert reached_soon(bed)


def test_tunnels_outlive_an_uplink_that_flaps(bed: Bed, anchor: LinuxDataplane, serving: LinuxDataplane) -> None:
    bed.serve_away(anchor, serving)
    uplink = bed.ends["ar1", "core"].index
    bed.netlink("ar1").set_link(uplink, up=False)
    bed.netlink("ar1").set_link(uplink, up=True)
    bed.netlink("ar1").add_address(uplink, AR1, 64)  # as the operator's own configuration would
    bed.netlink("ar1").add_route(bytes(16), 0, AR1[:15] + b"\xff", uplink)
    assert reached_soon(bed)


@pytest.mark.nf_tables
@pytest.mark.parametrize(("source", "header"), [(AR2, b""), (SERVER, b""), (AR2, bytes((135, 0, 1, 4, 0, 0, 0, 0)))])
def test_signalling_to_this_router_does_not_come_from_an_access_link(
    bed: Bed, anchor: LinuxDataplane, source: bytes, header: bytes
) -> None:
    """Nor behind an extension header. The same from the core arrives."""
    bed.serve_home(anchor)
    message = header + seal(encode(BindingRefreshRequest()), source, AR1)
    packet = ipv6(source, AR1, 60 if header else 135, message)

    def arrived(name: str) -> bool:
        with bed.raw("ar1", 135) as signalling, bed.raw(name, socket.IPPROTO_RAW) as raw:
            signalling.bind((text(AR1), 0))
            signalling.settimeout(0.3)
            raw.sendto(packet, (text(AR1), 0))
            try:
                return bool(signalling.recv(100))
            except TimeoutError:
                return False

    assert not arrived("a")
    assert arrived("core")


def test_a_node_may_signal_to_a_home_agent_of_its_own(bed: Bed, anchor: LinuxDataplane) -> None:
    """Mobile IPv6 from its own address to somewhere else is traffic as any other (RFC 6275)."""
    bed.serve_home(anchor)
    with bed.raw("server", 135) as agent, bed.raw("a", socket.IPPROTO_RAW) as raw:
        raw.sendto(ipv6(HOST, SERVER, 135, seal(encode(BindingRefreshRequest()), HOST, SERVER)), (text(SERVER), 0))
        assert agent.recv(100)
