"""Start, crash, restart, orderly stop: what was there before is there afterwards, and forwarding goes on meanwhile."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from itertools import product

import pytest

from sojourn.core.effects import (
    EnsureCounter,
    EnsureDelivery,
    EnsureHold,
    EnsureLogicalInterface,
    EnsurePool,
    EnsurePrefix,
    EnsureTunnel,
    EnsureUplink,
    ForgetStation,
    WithdrawCounter,
    WithdrawLogicalInterface,
    WithdrawPool,
)
from sojourn.dataplane import audit, nftables
from sojourn.dataplane.audit import ANCHOR, LEFT, MISSING
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.dataplane.local_rule import LOCAL_TABLE
from sojourn.dataplane.netlink import Netlink
from sojourn.dataplane.objects import InterfaceAddress, Neighbour, Rule
from sojourn.dataplane.routes import Route
from sojourn.dataplane.tunnels import BACKENDS
from sojourn.lab.kernel_state import KernelState
from sojourn.lab.rtnetlink import RTM_GETNEIGH
from sojourn.wire.addresses import address, prefix, text
from support.dataplane_bed import (
    AR1,
    AR2,
    COUNTERS,
    HOME,
    HOST,
    NEW,
    OTHER,
    SERVER,
    STRANGER,
    Bed,
    Stream,
    arrives,
    ipv6,
    udp_packet,
)

pytestmark = pytest.mark.lab
BED = Bed

IDENTITY = address("fe80::a2")


def state(bed: Bed, router: str = "ar1") -> KernelState:
    """Everything but what the kernel learns by itself from passing traffic."""
    lines = [_without_counters(line) for line in KernelState.of(bed.namespaces[router]).lines]
    learned = ("station ", "neighbour ")
    return KernelState(frozenset(line for line in lines if not line.startswith(learned) or "fe80::5052" in line))


def _without_counters(line: str) -> str:
    """The route that takes packets out of a tunnel counts them in its encapsulation."""
    return line.partition(" encap-type")[0] if "table 50" in line else line


def everything(bed: Bed, plane: LinuxDataplane) -> None:
    bed.serve_home(plane)
    plane.apply(EnsureTunnel(2, AR2))
    plane.apply(EnsurePrefix(OTHER, 2))
    plane.apply(EnsureCounter(OTHER))
    plane.apply(EnsurePrefix(NEW, 1))
    plane.apply(EnsureUplink(NEW, AR2))
    plane.apply(EnsureHold(3))
    plane.apply(EnsureLogicalInterface("acc0", IDENTITY))


def test_an_orderly_stop_leaves_the_kernel_as_it_was(bed: Bed) -> None:
    before = state(bed)
    plane = bed.plane("ar1")
    everything(bed, plane)
    plane.finish()
    assert state(bed).difference(before) != []
    bed.stop("ar1", plane)
    assert state(bed).difference(before) == []


def differences(bed: Bed, plane: LinuxDataplane, router: str = "ar1") -> set[tuple[str, str]]:
    """What an audit finds, and where."""
    with bed.namespaces[router].entered():
        netlink = Netlink()
    try:
        held = plane.held(netlink)
    finally:
        netlink.close()
    return {(one.what, one.place) for one in audit.differences(plane, held)}


def test_an_audit_finds_what_the_kernel_lost_and_what_nobody_asked_for(bed: Bed) -> None:
    """With whatever tunnels this kernel has: an audit knows every object, and each that is missing."""
    plane = bed.plane("ar1")
    everything(bed, plane)
    plane.apply(EnsurePool(prefix("2001:db8:a900::/48")))
    plane.finish()
    assert differences(bed, plane) == set()
    with bed.namespaces["ar1"].entered():
        netlink = Netlink()
    for thing in plane.held(netlink):
        if isinstance(thing, Neighbour | InterfaceAddress) or (isinstance(thing, Rule) and thing.table == LOCAL_TABLE):
            continue  # the kernel takes routes and nexthops along with these
        netlink.request(thing.withdraw())
        found = differences(bed, plane)
        assert (MISSING, plane.place_of(thing)[0]) in found, thing
        assert {what for what, _ in found} == {MISSING}, thing
        with bed.namespaces["ar1"].entered():
            plane.reassert()
        assert differences(bed, plane) == set(), thing
    left = Route(54, prefix("2001:db8:a177::/64"), device=1)
    netlink.request(left.ensure())
    assert differences(bed, plane) == {(LEFT, ANCHOR)}
    plane.remove([left])
    assert differences(bed, plane) == set()
    netlink.close()


def test_settings_of_the_system_are_restored(bed: Bed) -> None:
    router = bed.namespaces["ar1"]

    def settings() -> list[str]:
        from pathlib import Path

        names = ("conf/all/forwarding", "conf/acc0/accept_ra", "conf/acc0/forwarding")
        return [Path("/proc/sys/net/ipv6", name).read_text().strip() for name in names]

    router.sysctl("net/ipv6/conf/all/forwarding", 0)
    router.sysctl("net/ipv6/conf/acc0/accept_ra", 2)
    before = router.call(settings)
    plane = bed.plane("ar1")
    assert router.call(settings) == ["1", "0", "1"]
    bed.crash(plane)
    bed.stop("ar1", bed.plane("ar1"))  # a later life knows what the first one found
    assert router.call(settings) == before


def test_a_later_life_restores_what_the_first_one_found(bed: Bed) -> None:
    before = state(bed)
    plane = bed.plane("ar1")
    everything(bed, plane)
    bed.crash(plane)
    bed.stop("ar1", bed.plane("ar1"))
    assert state(bed).difference(before) == []


def test_what_the_operator_set_on_the_access_link_stays(bed: Bed) -> None:
    """The shared address was there already: it is not ours to remove."""
    shared = address("fe80::200:5eff:fe00:5213")
    bed.netlink("ar1").add_address(bed.ends["ar1", "acc0"].index, shared, 64)
    bed.settle("ar1")
    before = state(bed)
    bed.stop("ar1", bed.plane("ar1"))
    assert state(bed).difference(before) == []


def test_starting_twice_changes_nothing(bed: Bed) -> None:
    plane = bed.plane("ar1")
    once = state(bed)
    with bed.namespaces["ar1"].entered():
        plane.start()
    assert state(bed).difference(once) == []


@pytest.mark.parametrize("both", [True, False], ids=["both rules stand", "only ours stands"])
def test_a_start_that_was_cut_short_is_completed(bed: Bed, both: bool) -> None:
    """The moment between adding our rule for `local` and removing the kernel's."""
    before = state(bed)
    plane = bed.plane("ar1")
    whole = state(bed)
    if both:
        plane._netlink.request(Rule(0, 255, protocol=2).ensure())
    plane._netlink.request(Rule(10, 50, destination=AR1, ip_protocol=41).withdraw())
    bed.crash(plane)
    plane = bed.plane("ar1")
    assert state(bed).difference(whole) == []
    bed.stop("ar1", plane)
    assert state(bed).difference(before) == []


def test_a_killed_daemon_is_succeeded_without_a_lost_packet(bed: Bed) -> None:
    anchor, serving = bed.plane("ar1"), bed.plane("ar2")
    bed.serve_away(anchor, serving)
    anchor.apply(EnsureCounter(HOME))
    everything_before = state(bed)
    down = Stream(bed.udp("server", SERVER), bed.udp("a", HOST, 7), HOST)
    up = Stream(bed.udp("a", HOST), bed.udp("server", SERVER, 7), SERVER)
    with down.running(), up.running():
        bed.crash(anchor)
        bed.crash(serving)
        anchor, serving = bed.plane("ar1"), bed.plane("ar2")
        bed.serve_away(anchor, serving)
        anchor.apply(EnsureCounter(HOME))
        removed = anchor.finish() + serving.finish()
    assert removed == []
    assert state(bed).difference(everything_before) == []
    assert (down.lost, down.repeated, up.lost, up.repeated) == (0, 0, 0, 0)
    assert down.sent > 50


@pytest.mark.nf_tables
def test_counts_survive_a_restart(bed: Bed) -> None:
    plane = bed.plane("ar1")
    bed.serve_home(plane)
    plane.apply(EnsureCounter(HOME))
    with bed.udp("server", SERVER, 7) as server, bed.udp("a", HOST, 7) as host:
        assert arrives(host, server, SERVER)
    assert plane.count() == {HOME: 1}
    bed.crash(plane)
    plane = bed.plane("ar1")
    plane.apply(EnsureCounter(HOME))
    plane.finish()
    assert plane.count() == {HOME: 1}


def test_what_was_not_asked_for_again_is_removed_and_named(bed: Bed) -> None:
    fresh = bed.plane("ar1")
    fresh.finish()
    empty = state(bed)
    everything(bed, fresh)
    bed.crash(fresh)
    plane = bed.plane("ar1")
    removed = plane.finish()
    assert state(bed).difference(empty) == []
    assert f"route {OTHER} table 54" in removed
    assert (f"counter {OTHER}" in removed) is COUNTERS
    assert plane.finish() == []


def test_a_peer_that_is_no_longer_configured_loses_its_way_in(bed: Bed) -> None:
    bed.crash(bed.plane("ar1", peers=(AR2, STRANGER)))
    plane = bed.plane("ar1")
    removed = plane.finish()
    assert len(removed) == 1
    assert "2001:db8:a3::1" in removed[0]


def backends(bed: Bed) -> list[str]:
    """What this kernel can tunnel with. Those of the test run have one each; UML=... make test-kernels takes others."""
    found = []
    for name in BACKENDS:
        with suppress(OSError):
            bed.plane("ar2", backend=name)
            found.append(name)
        bed.stop("ar2", bed.planes[0])
    return found


def test_a_later_life_may_tunnel_in_another_way(bed: Bed) -> None:
    before = state(bed, "ar2")
    here = backends(bed)
    assert here
    anchor = bed.plane("ar1")
    for first, second in product(here, here):
        serving = bed.plane("ar2", backend=first)
        bed.serve_away(anchor, serving)
        bed.crash(serving)
        serving = bed.plane("ar2", backend=second)
        bed.serve_away(anchor, serving)
        serving.finish()
        with bed.udp("server", SERVER, 7) as server, bed.udp("a", HOST, 7) as host:
            assert arrives(host, server, SERVER), (first, second)
            assert arrives(server, host, HOST), (first, second)
        bed.stop("ar2", serving)
        assert state(bed, "ar2").difference(before) == []


def test_a_hold_of_an_earlier_life_is_released(bed: Bed) -> None:
    plane = bed.plane("ar1")
    bed.serve_home(plane)
    stream = Stream(bed.udp("server", SERVER), bed.udp("a", HOST, 7), HOST)
    with stream.running():
        plane.apply(EnsureHold(1))
        bed.crash(plane)
        plane = bed.plane("ar1")
        bed.serve_home(plane)
        plane.finish()
    assert (stream.lost, stream.repeated) == (0, 0)


# --- counters, identities, stations ---------------------------------------------------------------------------------


@pytest.mark.nf_tables
def test_packets_from_a_prefix_are_counted_once_at_each_router(bed: Bed) -> None:
    anchor, serving = bed.plane("ar1"), bed.plane("ar2")
    bed.serve_away(anchor, serving)
    anchor.apply(EnsureCounter(HOME))
    serving.apply(EnsureCounter(HOME))
    with bed.udp("server", SERVER, 7) as server, bed.udp("a", HOST, 7) as host:
        for _ in range(3):
            assert arrives(server, host, HOST)
        anchor.apply(EnsureCounter(HOME))  # again: it goes on counting
        for _ in range(4):
            assert arrives(host, server, SERVER)
    assert anchor.count() == {HOME: 4}
    assert serving.count() == {HOME: 4}
    anchor.apply(WithdrawCounter(HOME))
    anchor.apply(WithdrawCounter(HOME))
    assert anchor.count() == {}
    anchor.apply(EnsureCounter(HOME))
    assert anchor.count() == {HOME: 0}


@pytest.mark.nf_tables
def test_nobody_else_can_make_a_prefix_look_used(bed: Bed) -> None:
    """Not by sending to it from anywhere, nor by its source address from the core, from an access link, or in a tunnel
    that is none."""
    anchor, serving = bed.plane("ar1"), bed.plane("ar2")
    bed.serve_away(anchor, serving)
    anchor.apply(EnsureCounter(HOME))
    serving.apply(EnsureCounter(HOME))
    forged = udp_packet(HOST, SERVER, 7, b"x")
    with bed.udp("server", SERVER, 7) as server, bed.udp("a", HOST, 7) as host:
        assert arrives(server, host, HOST)
        for name, packet in (
            ("core", forged),
            ("b", forged),  # b is a neighbour at ar1
            ("core", ipv6(STRANGER, AR1, 41, forged)),
            ("b", ipv6(AR2, AR1, 41, forged)),
        ):
            with bed.raw(name, socket.IPPROTO_RAW) as raw:
                raw.sendto(packet, (text(packet[24:40]), 0))
        server.settimeout(1)
        assert server.recv(10) == b"x", "the core lets any source pass, to itself"
        assert anchor.count() == serving.count() == {HOME: 0}
        assert arrives(host, server, SERVER)
        assert anchor.count() == serving.count() == {HOME: 1}


@pytest.mark.nf_tables
def test_a_flushed_ruleset_is_written_again(bed: Bed) -> None:
    """A reload of the operator's own rules takes our table along."""
    plane = bed.plane("ar1")
    plane.apply(EnsureCounter(HOME))
    whole = state(bed)
    for mend in (plane.count, lambda: plane.apply(EnsureCounter(HOME))):
        assert plane._filter is not None
        plane._filter.remove()
        mend()
        assert state(bed).difference(whole) == []
    assert plane.count() == {HOME: 0}


@pytest.mark.nf_tables
def test_a_prefix_of_another_length_cannot_be_counted(bed: Bed) -> None:
    with pytest.raises(OSError, match="only /64"):
        bed.plane("ar1").apply(EnsureCounter(prefix("2001:db8:a100::/56")))


def test_without_counters_nothing_is_filtered_and_nothing_counted(bed: Bed) -> None:
    plane = bed.plane("ar1", counters=False)
    bed.serve_home(plane)
    plane.apply(EnsureCounter(HOME))
    assert plane.count() == {}
    assert not [line for line in state(bed).lines if line.startswith("nft")]
    with bed.udp("server", SERVER, 7) as server, bed.udp("a", HOST, 7) as host:
        assert arrives(server, host, HOST)


@pytest.mark.nf_tables
def test_a_kernel_without_nf_tables_is_named(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(table: nftables.Nftables) -> bytes | None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(nftables.Nftables, "fingerprint", refuse)
    with bed.namespaces["ar1"].entered():
        plane = LinuxDataplane(bed.settings("ar1"))
        bed.planes.append(plane)
        with pytest.raises(OSError, match="counters = false"):
            plane.start()


def test_identities_of_other_anchors_come_and_go(bed: Bed) -> None:
    plane = bed.plane("ar1")
    without = state(bed)
    for _ in range(2):
        plane.apply(EnsureLogicalInterface("acc0", IDENTITY))
    assert any("fe80::a2" in line for line in state(bed).difference(without))
    for _ in range(2):
        plane.apply(WithdrawLogicalInterface("acc0", IDENTITY))
    assert state(bed).difference(without) == []


def test_a_forgotten_station_is_learned_again_as_a_new_one(bed: Bed) -> None:
    plane = bed.plane("ar1")
    bed.serve_home(plane)
    mac = bed.mac("a", "ar1")
    with bed.udp("a", HOST, 7) as host, bed.udp("server", SERVER, 7) as server:
        assert arrives(host, server, SERVER)
        assert knows_station(bed, mac)
        plane.apply(ForgetStation("acc0", mac))
        assert not knows_station(bed, mac)
        plane.apply(ForgetStation("acc0", mac))  # nothing to forget
        assert arrives(host, server, SERVER)
        assert knows_station(bed, mac)


def test_an_interface_without_stations_forgets_none(bed: Bed) -> None:
    bed.plane("ar1").apply(ForgetStation("core", bed.mac("a", "ar1")))


def knows_station(bed: Bed, mac: bytes) -> bool:
    import struct

    request = struct.pack("=BxxxiHBB", 7, 0, 0, 0, 0)
    return any(mac in body for body in bed.netlink("ar1").dump(RTM_GETNEIGH, request))


def test_show_tells_where_everything_goes(bed: Bed) -> None:
    plane = bed.plane("ar1")
    everything(bed, plane)
    rows = {row["prefix"]: row for row in plane.show()}
    assert rows[str(HOME)]["downlink"] == f"acc0 {bed.mac('a', 'ar1').hex(':')}"
    assert rows[str(HOME)]["uplink"] == "plain"
    assert rows[str(OTHER)]["downlink"] == "tunnel 2001:db8:a2::1"
    assert rows[str(OTHER)]["packets"] == (0 if COUNTERS else None)
    assert rows[str(NEW)]["uplink"] == "tunnel 2001:db8:a2::1"


def test_delivery_replaces_an_older_link_layer_address(bed: Bed) -> None:
    plane = bed.plane("ar1")
    bed.serve_home(plane)
    plane.apply(EnsureDelivery(1, "acc0", b"\x02\0\0\0\xff\xff"))
    with bed.udp("server", SERVER, 7) as server, bed.udp("a", HOST, 7) as host:
        assert not arrives(server, host, HOST, 0.2)
        plane.apply(EnsureDelivery(1, "acc0", bed.mac("a", "ar1")))
        assert arrives(server, host, HOST)


def test_a_pool_of_another_router_is_announced_in_halves_and_outlives_a_crash(bed: Bed) -> None:
    """A routing daemon reads the table; no packet is looked up in it."""
    taken = prefix("2001:db8:ab00::/48")
    halves = ["2001:db8:ab00:8000::/49", "2001:db8:ab00::/49"]
    plane = bed.plane("ar1")
    before = state(bed)
    plane.apply(EnsurePool(taken))
    announced = [line for line in state(bed).difference(before) if "table 56" in line]
    assert [any(half in line and "type 6" in line for line in announced) for half in halves] == [True, True]
    assert len(announced) == len(state(bed).difference(before)) == 2
    held = state(bed)
    bed.crash(plane)
    plane = bed.plane("ar1")
    plane.apply(EnsurePool(taken))
    assert plane.finish() == []
    assert state(bed).difference(held) == []
    plane.apply(WithdrawPool(taken))
    assert state(bed).difference(before) == []


def test_what_is_announced_follows_what_is_behind_it_and_a_later_holder_has_a_lower_metric(bed: Bed) -> None:
    """The address of an LMA and its pools: a restart does not take them back, however short."""
    ours = (prefix("2001:db8:ff::1/128"), prefix("2001:db8:ff00::/48"))

    def announced() -> list[str]:
        return sorted(line for line in state(bed).lines if "table 56" in line)

    plane = bed.plane("ar1", announced=ours, announced_metric=900)
    assert announced() == [], "what is behind it is not there yet"
    assert plane.finish() == []
    assert [line.count("metric 900") for line in announced()] == [1, 1]
    assert differences(bed, plane) == set()
    held = state(bed)
    bed.crash(plane)
    plane = bed.plane("ar1", announced=ours, announced_metric=900)
    assert plane.finish() == []
    assert state(bed).difference(held) == []
    bed.crash(plane)
    plane = bed.plane("ar1", announced=ours, announced_metric=899)
    assert len(plane.finish()) == 2
    assert [line.count("metric 899") for line in announced()] == [1, 1]
    bed.stop("ar1", plane)
    assert announced() == []
