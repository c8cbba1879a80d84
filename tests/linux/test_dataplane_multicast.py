"""Multicast through the kernel: one copy on the wire, nothing that nobody wants, and nothing left behind."""

from __future__ import annotations

import errno
import socket
import time

import pytest

from sojourn.core.effects import (
    EnsureDelivery,
    EnsureMembership,
    EnsureMulticastRoute,
    EnsurePrefix,
    EnsureUplink,
    ForgetMulticast,
    QueryListeners,
    WithdrawMembership,
    WithdrawMulticastRoute,
)
from sojourn.core.events import GroupsReported
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.dataplane.multicast import MulticastRouting
from sojourn.host.access import AccessLink
from sojourn.lab.kernel_state import KernelState
from sojourn.wire.addresses import address, prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support.access_router import events_until
from support.multicast_bed import HOSTS, POOL, SOURCES, MulticastBed, mroutes, until

pytestmark = pytest.mark.lab
BED = MulticastBed

G, H, SSM = address("ff0e::1234"), address("ff0e::5678"), address("ff3e::8000:1")
OWN, FOREIGN_PREFIX = POOL.subnet(1, 64), prefix("2001:db8:a200:1::/64")
FOREIGN, PEER = address("2001:db8:a200:1::5"), address("2001:db8:a2::1")
EVERYBODY = list(range(20))


def _pull(bed: MulticastBed, plane: LinuxDataplane, *interfaces: str) -> None:
    plane.apply(EnsureMulticastRoute(G, None, interfaces or ("acc0",)))
    plane.apply(EnsureMembership(G, True, ()))
    until("the core knows that we listen", lambda: bed.joined(G))


def test_two_listeners_of_one_router_get_one_copy_on_its_wire(bed: MulticastBed) -> None:
    plane = bed.plane()
    listeners = [bed.listen("a", G), bed.listen("b", G), bed.listen("c", G)]
    uplink, idle = bed.wire("ar1", "core0"), bed.wire("idle", "core0")
    bed.send(G)
    assert (uplink.passed(G), [listener.heard() for listener in listeners]) == (0, [[], [], []])
    _pull(bed, plane, "acc0", "acc1")
    bed.send(G)
    assert uplink.passed(G) == 20
    assert [listener.heard() for listener in listeners] == [EVERYBODY] * 3
    assert idle.passed(G) == 0


def test_a_link_without_listeners_gets_nothing_and_another_group_does_not_come(bed: MulticastBed) -> None:
    plane = bed.plane()
    _pull(bed, plane)
    access, other, uplink = bed.wire("ar1", "acc0"), bed.wire("ar1", "acc1"), bed.wire("ar1", "core0")
    bed.send(G)
    bed.send(H)
    assert (access.passed(G), other.passed(G), uplink.passed(H)) == (20, 0, 0)


def test_who_leaves_pulls_no_more(bed: MulticastBed) -> None:
    plane = bed.plane()
    listener = bed.listen("a", G)
    _pull(bed, plane)
    plane.apply(WithdrawMembership(G))
    plane.apply(WithdrawMulticastRoute(G, None))
    until("the core knows that we left", lambda: not bed.joined(G))
    uplink = bed.wire("ar1", "core0")
    bed.send(G)
    assert (uplink.passed(G), listener.heard()) == (0, [])
    plane.apply(WithdrawMembership(G))  # twice is harmless
    plane.apply(WithdrawMulticastRoute(G, None))


def test_of_a_source_specific_group_only_the_sources_that_were_asked_for(bed: MulticastBed) -> None:
    plane = bed.plane()
    listener = bed.listen("a", SSM, source=SOURCES[0])
    plane.apply(EnsureMulticastRoute(SSM, SOURCES[0], ("acc0",)))
    plane.apply(EnsureMembership(SSM, False, (SOURCES[0],)))
    until("the core knows that we listen", lambda: bed.joined(SSM))
    access, uplink = bed.wire("ar1", "acc0"), bed.wire("ar1", "core0")
    bed.send(SSM, source=SOURCES[0])
    bed.send(SSM, source=SOURCES[1])
    assert (access.passed(SSM), uplink.passed(SSM), listener.heard()) == (20, 20, EVERYBODY)
    plane.apply(EnsureMulticastRoute(SSM, SOURCES[1], ("acc0",)))
    plane.apply(EnsureMembership(SSM, False, tuple(SOURCES)))
    until("and to the other", lambda: "ff3e::8000:1 src 2001:db8:5::2 " in bed.run("core", "bridge -d mdb show"))
    bed.send(SSM, source=SOURCES[1])
    assert access.passed(SSM) == 20


def test_a_source_that_is_not_wanted_is_kept_out_and_let_in_again(bed: MulticastBed) -> None:
    plane = bed.plane()
    _pull(bed, plane)
    plane.apply(EnsureMulticastRoute(G, SOURCES[1], ()))
    plane.apply(EnsureMembership(G, True, (SOURCES[1],)))
    access = bed.wire("ar1", "acc0")
    bed.send(G, source=SOURCES[0])
    bed.send(G, source=SOURCES[1])
    assert access.passed(G) == 20
    plane.apply(EnsureMembership(G, True, ()))
    plane.apply(WithdrawMulticastRoute(G, SOURCES[1]))
    uplink = bed.wire("ar1", "core0")

    def all_arrive() -> bool:
        """The core's bridge drops a source for a tick after any report that removes its entry: that is not ours."""
        bed.send(G, source=SOURCES[1])
        came, passed_on = uplink.passed(G), access.passed(G)
        assert passed_on == came
        return came == 20

    until("the core lets all of it through", all_arrive)


def test_changing_where_a_group_goes_loses_no_packet(bed: MulticastBed) -> None:
    plane = bed.plane()
    listener = bed.listen("a", G)
    _pull(bed, plane)
    with bed.namespaces["source"].entered():
        source = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        source.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 8)
        source.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("core0"))
    for number in range(500):
        source.sendto(number.to_bytes(4, "big"), ("ff0e::1234", 5000))
        plane.apply(EnsureMulticastRoute(G, None, ("acc0", "acc1") if number % 2 else ("acc0",)))
    source.close()
    until("all have come", lambda: bed.joined(G))
    bed.send(H, 1)
    assert listener.heard() == list(range(500))


# --- what nodes send ----------------------------------------------------------------------------------------------


def _node_a(bed: MulticastBed, plane: LinuxDataplane) -> bytes:
    """Host a has a prefix of ar1, and addresses that are not its own."""
    own = OWN.address[:15] + b"\x05"
    plane.apply(EnsureDelivery(1, "acc0", HOSTS["a"]))
    plane.apply(EnsurePrefix(OWN, 1))
    plane.apply(EnsureUplink(OWN, None))
    for claimed in (own, FOREIGN):
        bed.run("a", f"ip address add {socket.inet_ntop(socket.AF_INET6, claimed)}/128 dev wlan0 nodad")
    return own


def test_what_a_node_sends_goes_upstream_and_to_the_other_link_and_not_back(bed: MulticastBed) -> None:
    """RFC 4605 4.2: from a downstream interface to the upstream one and to the others with listeners."""
    plane = bed.plane()
    own = _node_a(bed, plane)
    listener = bed.listen("c", G)
    _pull(bed, plane, "acc1")
    uplink, access = bed.wire("ar1", "core0"), bed.wire("b", "wlan0")
    bed.send(G, name="a", interface="wlan0", source=own)
    assert (uplink.passed(G), listener.heard(), access.passed(G)) == (20, EVERYBODY, 20)
    bed.send(H, name="a", interface="wlan0", source=own)
    assert uplink.passed(H) == 20  # also where nobody here listens


@pytest.mark.parametrize("claimed", ["foreign", "link-local"])
def test_a_source_address_that_is_not_of_this_router_sends_nothing(bed: MulticastBed, claimed: str) -> None:
    """Nor one of a prefix that another router anchors for the node: elsewhere its packets would seem to be strays."""
    plane = bed.plane(peers=(PEER,))
    _node_a(bed, plane)
    plane.apply(EnsurePrefix(FOREIGN_PREFIX, 1))
    plane.apply(EnsureUplink(FOREIGN_PREFIX, PEER))
    _pull(bed, plane, "acc1")
    uplink, other = bed.wire("ar1", "core0"), bed.wire("ar1", "acc1")
    source = FOREIGN if claimed == "foreign" else _link_local_of_a(bed)
    bed.send(G, name="a", interface="wlan0", source=source)
    assert (uplink.passed(G), other.passed(G)) == (0, 0)


def _link_local_of_a(bed: MulticastBed) -> bytes:
    line = bed.run("a", "ip -6 -br address show dev wlan0 scope link")
    return address(line.split()[2].partition("/")[0])


def test_what_comes_from_upstream_as_if_a_node_here_had_sent_it_goes_nowhere(bed: MulticastBed) -> None:
    plane = bed.plane()
    _pull(bed, plane)
    claimed = OWN.address[:15] + b"\x07"
    bed.run("source", f"ip address add {socket.inet_ntop(socket.AF_INET6, claimed)}/128 dev core0 nodad")
    uplink, access = bed.wire("ar1", "core0"), bed.wire("ar1", "acc0")
    bed.send(G, source=claimed)
    assert (uplink.passed(G), access.passed(G)) == (20, 0)


def test_without_a_packet_filter_nodes_listen_and_do_not_send(bed: MulticastBed) -> None:
    """The kernel hands a listener upstream what it sends there itself; nothing but the filter can stop that."""
    plane = bed.plane(counters=False)
    own = _node_a(bed, plane)
    listener = bed.listen("a", G)
    _pull(bed, plane, "acc0", "acc1")
    bed.send(G)
    assert listener.heard() == EVERYBODY
    uplink, other = bed.wire("ar1", "core0"), bed.wire("ar1", "acc1")
    bed.send(G, name="a", interface="wlan0", source=own)
    assert (uplink.passed(G), other.passed(G)) == (0, 0)


def test_neighbour_discovery_of_nodes_still_works(bed: MulticastBed) -> None:
    """Its groups have link scope: not judged by their source."""
    bed.plane()
    with bed.namespaces["a"].entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"who is there", ("fe80::200:5eff:fe00:5213", 9, 0, socket.if_nametoindex("wlan0")))
    known = "fe80::200:5eff:fe00:5213 lladdr 00:00:5e:00:52:13"
    until("the router is known", lambda: known in bed.run("a", "ip -6 neigh show dev wlan0"))


# --- life ---------------------------------------------------------------------------------------------------------


def test_an_orderly_stop_leaves_nothing_of_it(bed: MulticastBed) -> None:
    before = KernelState.of(bed.namespaces["ar1"])
    plane = bed.plane()
    _node_a(bed, plane)
    _pull(bed, plane)
    assert G.hex(":", 2) in mroutes(bed)
    bed.stop(plane)
    until("the core knows that we left", lambda: not bed.joined(G))
    assert G.hex(":", 2) not in mroutes(bed)
    left = {
        line
        for line in KernelState.of(bed.namespaces["ar1"]).lines - before.lines
        if not line.startswith(("neighbour", "station"))
    }
    assert not left


def test_a_crash_does_not_end_it_and_a_later_life_takes_it_up(bed: MulticastBed) -> None:
    """It hangs on sockets, which another process keeps: not a packet is lost, before, between and after."""
    plane = bed.plane()
    listener = bed.listen("a", G)
    _node_a(bed, plane)
    _pull(bed, plane)
    bed.crash(plane)
    bed.send(G)
    assert listener.heard() == EVERYBODY
    plane = bed.plane()
    again = [EnsureDelivery(1, "acc0", HOSTS["a"]), EnsurePrefix(OWN, 1), EnsureUplink(OWN, None)]
    for effect in again:
        plane.apply(effect)  # type: ignore[arg-type]
    assert plane.finish() == []
    bed.send(G)
    assert listener.heard() == EVERYBODY, "who listens had no time yet to say so again"
    _pull(bed, plane)
    plane.apply(ForgetMulticast())
    bed.send(G)
    assert listener.heard() == EVERYBODY
    assert bed.joined(G)
    assert plane.other_findings() == []


def test_what_nobody_asks_for_in_a_later_life_is_over_when_all_had_time_to(bed: MulticastBed) -> None:
    plane = bed.plane()
    _node_a(bed, plane)
    _pull(bed, plane)
    plane.apply(EnsureMulticastRoute(H, None, ("acc1",)))
    bed.crash(plane)
    plane = bed.plane()
    plane.finish()
    plane.apply(EnsureMulticastRoute(H, None, ("acc1",)))
    assert plane.other_findings() == [], "what may still be asked for is no fault"
    plane.apply(ForgetMulticast())
    until("the core knows that we left", lambda: not bed.joined(G))
    assert G.hex(":", 2) not in mroutes(bed)
    assert H.hex(":", 2) in mroutes(bed)


def test_a_second_crash_before_all_could_answer_loses_nothing(bed: MulticastBed) -> None:
    plane = bed.plane()
    listener = bed.listen("a", G)
    _node_a(bed, plane)
    _pull(bed, plane)
    for _ in range(2):
        bed.crash(plane)
        plane = bed.plane()
        plane.finish()
    bed.send(G)
    assert listener.heard() == EVERYBODY


def test_other_interfaces_begin_anew(bed: MulticastBed) -> None:
    """What an earlier life routed between them has other numbers."""
    plane = bed.plane()
    _node_a(bed, plane)
    _pull(bed, plane)
    bed.crash(plane)
    plane = bed.plane(access=("acc1", "acc0"))
    until("the core knows that we left", lambda: not bed.joined(G))
    listener = bed.listen("a", G)
    _pull(bed, plane)
    bed.send(G)
    assert listener.heard() == EVERYBODY


def test_entries_that_others_changed_are_found_and_put_right(bed: MulticastBed) -> None:
    plane = bed.plane()
    _node_a(bed, plane)
    _pull(bed, plane)
    assert plane._multicast is not None
    plane._multicast.withdraw_route(G, None)
    plane._multicast.ensure_route(H, None, ("acc1",))
    found = {(one.what, one.place, one.thing) for one in plane.other_findings()}
    assert found == {
        ("missing", "multicast", "multicast entry ff0e::1234"),
        ("left behind", "multicast", "multicast entry ff0e::5678"),
    }
    plane._multicast.ensure_route(G, None, ("acc1",))
    assert ("changed", "multicast entry ff0e::1234") in {(one.what, one.thing) for one in plane.other_findings()}
    with bed.namespaces["ar1"].entered():
        plane.restore_others({"multicast"})
        plane.reassert()
    assert plane.other_findings() == []


def test_what_a_later_life_finds_right_is_left_alone_and_without_multicast_removed(bed: MulticastBed) -> None:
    bed.crash(bed.plane())
    plane = bed.plane()
    assert plane.finish() == []
    bed.crash(plane)
    plane = bed.plane(upstream="")
    assert len([line for line in plane.finish() if line.startswith(("rule 11", "rule 12"))]) == 6
    assert "ff00::/8" not in bed.run("ar1", "ip -6 rule")
    with pytest.raises(OSError, match="no interface is named") as caught:
        plane.apply(EnsureMembership(G, True, ()))
    assert caught.value.errno == errno.EOPNOTSUPP


def test_another_multicast_router_in_the_namespace_is_told_in_a_sentence(bed: MulticastBed) -> None:
    with bed.namespaces["ar1"].entered():
        other = MulticastRouting("core0", ("acc0",))
        other.start()
    with pytest.raises(OSError, match=r"another program routes multicast here.*leave the table") as caught:
        bed.plane()
    assert caught.value.errno == errno.EADDRINUSE
    other.close()


def test_an_interface_upstream_that_is_not_there_is_told_in_a_sentence(bed: MulticastBed) -> None:
    with pytest.raises(OSError, match="no interface core7"):
        bed.plane(upstream="core7")


def test_an_interface_that_went_and_came_back_is_used_again(bed: MulticastBed) -> None:
    plane = bed.plane()
    _pull(bed, plane)
    bed.run("ar1", "ip link set port-a nomaster", "ip link set port-b nomaster", "ip link del acc0")
    bed.run("ar1", "ip link add acc0 index 990 type bridge forward_delay 0 mcast_snooping 0", "ip link set acc0 up")
    bed.run("ar1", "ip link set port-a master acc0", "ip link set port-b master acc0")
    with bed.namespaces["ar1"].entered():
        plane.reassert()
    listener = bed.listen("a", G)
    bed.send(G)
    assert listener.heard() == EVERYBODY


def test_an_interface_whose_name_another_one_has_now_is_used_in_its_place(bed: MulticastBed) -> None:
    plane = bed.plane()
    _pull(bed, plane)
    bed.run("ar1", "ip link set acc0 down", "ip link set acc0 name old", "ip link set old up")
    bed.run("ar1", "ip link add acc0 index 990 type bridge forward_delay 0 mcast_snooping 0", "ip link set acc0 up")
    bed.run("ar1", "ip link set port-a master acc0")
    plane.apply(EnsureMulticastRoute(G, None, ("acc0",)))
    listener, wire = bed.listen("a", G), bed.wire("b", "wlan0")
    bed.send(G)
    assert (listener.heard(), wire.passed(G)) == (EVERYBODY, 0)


def test_a_bridge_that_snoops_sends_to_the_ports_with_listeners_when_we_have_asked() -> None:
    bed = MulticastBed(snooping=True)
    try:
        plane = bed.plane()
        _pull(bed, plane)
        listener, other = bed.listen("a", G), bed.wire("b", "wlan0")
        bed.send(G)
        assert other.passed(G) == 20  # nobody asked yet, so the bridge treats it as a broadcast
        listener.heard()
        with bed.namespaces["ar1"].entered():
            access = AccessLink(["acc0"])
        access.apply(QueryListeners("acc0", None, None, 100 * MILLISECOND, 2, 125 * SECOND))
        events_until(access.ports["acc0"], lambda event: isinstance(event, GroupsReported))
        access.close()
        time.sleep(0.2)  # a bridge waits for as long as it allowed others to answer
        bed.send(G)
        assert (listener.heard(), other.passed(G)) == (EVERYBODY, 0)
    finally:
        bed.close()


def test_an_upstream_interface_that_is_another_one_now_is_joined_again(bed: MulticastBed) -> None:
    plane = bed.plane()
    _pull(bed, plane)
    listener = bed.listen("a", G)
    bed.run("ar1", "ip link del core0")
    until("the core forgot us", lambda: not bed.joined(G))
    bed._cable("core", "to-ar1", "ar1", "core0")
    bed.run("core", "ip link set to-ar1 master core", "bridge link set dev to-ar1 mcast_flood off")
    _pull(bed, plane)
    bed.send(G)
    assert listener.heard() == EVERYBODY


def test_as_many_groups_as_are_allowed_by_default_fit_into_the_kernel(bed: MulticastBed) -> None:
    """Also with the smallest net.core.optmem_max that kernels have had."""
    plane = bed.plane()
    groups = [address(f"ff0e::1:{number:x}") for number in range(1024)]
    for group in groups:
        plane.apply(EnsureMulticastRoute(group, None, ("acc0",)))
        plane.apply(EnsureMembership(group, True, ()))
    assert bed.run("ar1", "ip -6 maddress show dev core0").count("ff0e::1:") == 1024
    assert mroutes(bed).count("ff0e:0000:0000:0000:0000:0000:0001:") == 1024
    for group in groups:
        plane.apply(WithdrawMembership(group))
        plane.apply(WithdrawMulticastRoute(group, None))
    assert bed.run("ar1", "ip -6 maddress show dev core0").count("ff0e::1:") == 0
