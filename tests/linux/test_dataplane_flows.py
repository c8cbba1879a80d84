"""RFC 6089 on a real kernel: flows take their links, at home agent and mobile node, and change over at once."""

from __future__ import annotations

import socket

import pytest

from sojourn.core.effects import EnsurePrefix, EnsureTunnel, EnsureUplink
from sojourn.core.mobile_effects import (
    CareOfWay,
    EnsureCareOfRoute,
    EnsureFlows,
    EnsureReverseFlows,
    EnsureReverseTunnel,
    EnsureRouteOptimisation,
    EnsureTunnelEnd,
    Flow,
    WithdrawCareOfRoute,
)
from sojourn.dataplane.home_agent import HomeAgentDataplane
from sojourn.dataplane.mobile_node import MobileNodeDataplane
from sojourn.wire.addresses import Address, Prefix, address, text
from sojourn.wire.extensions.rfc6088 import Ipv6TrafficSelector
from support.dataplane_bed import Stream, arrives, captured, ipv6, udp_packet
from support.mobile_bed import (
    BEHIND,
    CARE_OF,
    CARE_OF_2,
    CORRESPONDENT,
    COUNTERS,
    HOME,
    HOME_AGENT,
    NETWORK,
    STRANGER,
    MobileBed,
)

pytestmark = pytest.mark.lab
BED = MobileBed
WAYS = (
    CareOfWay(CARE_OF, "wlan0", CARE_OF[:15] + b"\xff"),
    CareOfWay(CARE_OF_2, "wlan1", CARE_OF_2[:15] + b"\xff"),
)
PORT = 5004
MEDIA = Ipv6TrafficSelector(source_port=(PORT, None))
"""From the correspondent node's port."""
TRAFFIC_CLASS = 67  # IPV6_TCLASS


@pytest.fixture
def node(bed: MobileBed) -> MobileNodeDataplane:
    return bed.mobile_node()


@pytest.fixture
def agent(bed: MobileBed, node: MobileNodeDataplane) -> HomeAgentDataplane:
    agent = bed.home_agent()
    bed.register(node, agent)
    agent.apply_mobile(EnsureTunnelEnd(1, CARE_OF))
    agent.apply_mobile(EnsureTunnelEnd(1, CARE_OF_2))
    return agent


def steer(node: MobileNodeDataplane, agent: HomeAgentDataplane, *flows: Flow) -> None:
    node.apply_mobile(EnsureReverseFlows(HOME, HOME_AGENT, WAYS, flows))
    agent.apply_mobile(EnsureFlows(1, flows))


def on(selector: Ipv6TrafficSelector, care_of: Address = CARE_OF_2) -> Flow:
    return Flow(selector, care_of)


def server(bed: MobileBed, port: int = PORT, name: str = "cn", own: Address = CORRESPONDENT) -> socket.socket:
    with bed.namespaces[name].entered():
        udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.bind((text(own), port))
    udp.settimeout(1)
    return udp


def links(bed: MobileBed, one: socket.socket, two: socket.socket, to: Address) -> set[str]:
    """The links that a packet from one to two takes."""
    with bed.wire("net", "f1") as f1, bed.wire("net", "f2") as f2:
        assert arrives(one, two, to)
        return {
            name for name, wire in (("wlan0", f1), ("wlan1", f2)) if any(packet[6] == 41 for packet in captured(wire))
        }


def both_ways(bed: MobileBed, mn: socket.socket, cn: socket.socket) -> tuple[set[str], set[str]]:
    return links(bed, cn, mn, HOME), links(bed, mn, cn, CORRESPONDENT)


def test_a_flow_takes_its_link_both_ways_and_everything_else_the_other(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    steer(node, agent, on(MEDIA))
    with bed.udp("mn", HOME) as mn, server(bed) as media, server(bed, PORT + 1) as web:
        assert both_ways(bed, mn, media) == ({"wlan1"}, {"wlan1"})
        assert both_ways(bed, mn, web) == ({"wlan0"}, {"wlan0"})


FITTING = (
    (Ipv6TrafficSelector(next_header=(17, None)), Ipv6TrafficSelector(next_header=(6, None))),
    (Ipv6TrafficSelector(next_header=(16, 18)), Ipv6TrafficSelector(next_header=(18, 20))),
    (Ipv6TrafficSelector(source=(CORRESPONDENT, None)), Ipv6TrafficSelector(source=(STRANGER, None))),
    (
        Ipv6TrafficSelector(source=(address("2001:db8:5::"), address("2001:db8:5::ffff"))),
        Ipv6TrafficSelector(source=(address("2001:db8:5::2"), address("2001:db8:5::ffff"))),
    ),
    (Ipv6TrafficSelector(source_port=(5000, 5004)), Ipv6TrafficSelector(source_port=(5005, 6000))),
    (Ipv6TrafficSelector(destination_port=(1024, None)), Ipv6TrafficSelector(destination_port=(1025, 65535))),
    (Ipv6TrafficSelector(traffic_class=(0xB8, 0xBB)), Ipv6TrafficSelector(traffic_class=(0, 0x20))),
    (Ipv6TrafficSelector(), Ipv6TrafficSelector(flow_label=(7, None))),
    (
        Ipv6TrafficSelector(next_header=(0, 255), destination=(HOME, None), source_port=(PORT, None)),
        Ipv6TrafficSelector(spi=(0, 0xFFFFFFFF)),
    ),
)
"""A selector that has the packets of the test, and one that has not."""


def test_every_part_of_a_selector(bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane) -> None:
    with server(bed, 1024, "mn", HOME) as mn, server(bed) as cn:
        for one in (mn, cn):
            one.setsockopt(socket.IPPROTO_IPV6, TRAFFIC_CLASS, 0xB8)
        for fits, passes_by in FITTING:
            steer(node, agent, on(passes_by), on(fits))
            assert both_ways(bed, mn, cn) == ({"wlan1"}, {"wlan1"}), fits
            steer(node, agent, on(passes_by))
            assert both_ways(bed, mn, cn) == ({"wlan0"}, {"wlan0"}), passes_by


def test_the_first_flow_that_has_a_packet_decides(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    everything = Ipv6TrafficSelector()
    with bed.udp("mn", HOME) as mn, server(bed) as cn:
        steer(node, agent, on(MEDIA, CARE_OF), on(everything, CARE_OF_2))
        assert both_ways(bed, mn, cn) == ({"wlan0"}, {"wlan0"})
        steer(node, agent, on(everything, CARE_OF_2), on(MEDIA, CARE_OF))
        assert both_ways(bed, mn, cn) == ({"wlan1"}, {"wlan1"})


def test_flows_of_a_socket_that_is_connected_move_with_the_next_packet(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    with bed.udp("mn", HOME) as mn, server(bed) as cn:
        mn.connect((text(CORRESPONDENT), PORT))
        for care_of, link in ((CARE_OF_2, "wlan1"), (CARE_OF, "wlan0"), (CARE_OF_2, "wlan1")):
            steer(node, agent, on(MEDIA, care_of))
            with bed.wire("net", "f1") as f1, bed.wire("net", "f2") as f2:
                mn.send(b"x")
                cn.recv(10)
                seen = [bool([one for one in captured(wire) if one[6] == 41]) for wire in (f1, f2)]
            assert seen == [link == "wlan0", link == "wlan1"]


def test_a_flow_that_changes_its_link_loses_nothing(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    """1,000 packets a second each way, make before break."""
    steer(node, agent, on(MEDIA, CARE_OF))
    down = Stream(server(bed), bed.udp("mn", HOME), HOME)
    up = Stream(bed.udp("mn", HOME), server(bed, PORT, "stranger", STRANGER), STRANGER)
    with down.running(), up.running():
        for care_of in (CARE_OF_2, CARE_OF, CARE_OF_2):
            steer(node, agent, on(MEDIA, care_of))
        agent.apply(EnsureTunnel(1, CARE_OF_2))
        node.apply_mobile(EnsureReverseTunnel(HOME, CARE_OF_2, HOME_AGENT))
        steer(node, agent)
    assert (down.lost, up.lost) == (0, 0)


def test_what_is_sent_from_a_care_of_address_leaves_on_its_link(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    steer(node, agent)
    with bed.udp("mn", CARE_OF_2) as mn, server(bed) as cn, bed.wire("net", "f2") as f2:
        assert arrives(mn, cn, CORRESPONDENT)
        assert [packet for packet in captured(f2) if packet[6] == 17]


def test_what_comes_to_any_care_of_address_is_taken_and_no_longer_when_that_is_none(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    with bed.udp("mn", HOME, 0.3) as mn, bed.raw("ha", socket.IPPROTO_RAW) as raw:
        inner = udp_packet(CORRESPONDENT, HOME, mn.getsockname()[1], b"second")

        def taken() -> bool:
            raw.sendto(ipv6(HOME_AGENT, CARE_OF_2, 41, inner), (text(CARE_OF_2), 0))
            try:
                return mn.recv(100) == b"second"
            except TimeoutError:
                return False

        assert not taken()
        steer(node, agent)
        assert taken()
        node.apply_mobile(EnsureReverseFlows(HOME, HOME_AGENT, WAYS[:1], ()))
        assert not taken()


def test_flows_are_of_one_node_alone(bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane) -> None:
    other = address("2001:db8:1::b1")
    agent.apply(EnsureTunnel(2, STRANGER))
    agent.apply(EnsurePrefix(Prefix(other, 128), 2))
    agent.apply_mobile(EnsureFlows(2, (on(Ipv6TrafficSelector(), CARE_OF_2),)))
    with bed.udp("mn", HOME) as mn, server(bed) as cn:
        assert links(bed, cn, mn, HOME) == {"wlan0"}


def test_networks_behind_the_node_follow_its_flows(bed: MobileBed) -> None:
    node, agent = bed.mobile_node(router=True), bed.home_agent()
    bed.register(node, agent)
    for care_of in (CARE_OF, CARE_OF_2):
        agent.apply_mobile(EnsureTunnelEnd(1, care_of))
    steer(node, agent, on(MEDIA))
    agent.apply(EnsurePrefix(NETWORK, 1))
    node.apply(EnsureUplink(NETWORK, HOME_AGENT))
    with bed.udp("behind", BEHIND) as behind, server(bed) as cn:
        assert links(bed, cn, behind, BEHIND) == {"wlan1"}
        assert links(bed, behind, cn, CORRESPONDENT) == {"wlan1"}


def test_a_restart_keeps_flows_and_an_end_leaves_nothing(bed: MobileBed) -> None:
    before = {name: bed.state(name) for name in ("mn", "ha")}
    node, agent = bed.mobile_node(), bed.home_agent()
    bed.register(node, agent)
    agent.apply_mobile(EnsureTunnelEnd(1, CARE_OF_2))
    steer(node, agent, on(MEDIA))
    bed.crash(node)
    bed.crash(agent)
    with bed.udp("mn", HOME) as mn, server(bed) as cn:
        assert both_ways(bed, mn, cn) == ({"wlan1"}, {"wlan1"})
        node, agent = bed.mobile_node(begin=False), bed.home_agent(begin=False)
        for name, plane in (("mn", node), ("ha", agent)):
            with bed.namespaces[name].entered():
                plane.begin()
        assert both_ways(bed, mn, cn) == ({"wlan1"}, {"wlan1"})
        bed.register(node, agent)
        agent.apply_mobile(EnsureTunnelEnd(1, CARE_OF_2))
        steer(node, agent, on(MEDIA))
        for name, plane in (("mn", node), ("ha", agent)):
            with bed.namespaces[name].entered():
                plane.finish()
        assert both_ways(bed, mn, cn) == ({"wlan1"}, {"wlan1"})
    bed.stop("mn", node)
    bed.stop("ha", agent)
    assert {name: sorted(bed.state(name) ^ before[name]) for name in before} == {"mn": [], "ha": []}


# --- several care-of addresses at a correspondent node (RFC 5648 6.5, RFC 6089) ---------------------------------------


def directly(bed: MobileBed, one: socket.socket, two: socket.socket, to: Address) -> set[str]:
    """The links that a packet takes which has a Home Address option or a type 2 routing header."""
    with bed.wire("net", "f1") as f1, bed.wire("net", "f2") as f2:
        assert arrives(one, two, to)
        return {
            name
            for name, wire in (("wlan0", f1), ("wlan1", f2))
            if any(packet[6] in (43, 60) for packet in captured(wire))
        }


def test_a_correspondent_node_takes_packets_from_all_and_sends_to_the_best_until_it_goes(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    steer(node, agent)
    correspondent = bed.correspondent()
    correspondent.apply_mobile(EnsureCareOfRoute(HOME, CARE_OF, (CARE_OF_2,)))
    node.apply_mobile(EnsureRouteOptimisation(HOME, CORRESPONDENT, CARE_OF))
    with bed.udp("mn", HOME) as mn, server(bed) as cn:
        assert directly(bed, cn, mn, HOME) == directly(bed, mn, cn, CORRESPONDENT) == {"wlan0"}
        node.apply_mobile(EnsureRouteOptimisation(HOME, CORRESPONDENT, CARE_OF_2))  # it has told nobody yet
        assert (directly(bed, cn, mn, HOME), directly(bed, mn, cn, CORRESPONDENT)) == ({"wlan0"}, {"wlan1"})
        correspondent.apply_mobile(EnsureCareOfRoute(HOME, CARE_OF_2))
        assert directly(bed, cn, mn, HOME) == {"wlan1"}
        node.apply_mobile(EnsureRouteOptimisation(HOME, CORRESPONDENT, CARE_OF))
        assert not arrives(mn, cn, CORRESPONDENT)  # that care-of address is bound no longer
    assert [row["packets"] for row in correspondent.show()] == [1]


@pytest.mark.skipif(not COUNTERS, reason="needs nf_tables")
def test_a_flow_takes_its_link_on_the_direct_way_too(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    steer(node, agent, on(MEDIA))
    before = bed.state("cn")
    correspondent = bed.correspondent()
    correspondent.apply_mobile(EnsureCareOfRoute(HOME, CARE_OF, (CARE_OF_2,), (on(MEDIA),)))
    node.apply_mobile(EnsureRouteOptimisation(HOME, CORRESPONDENT, CARE_OF, (CARE_OF_2,)))
    with bed.udp("mn", HOME) as mn, server(bed) as media, server(bed, PORT + 1) as web:
        assert directly(bed, media, mn, HOME) == directly(bed, mn, media, CORRESPONDENT) == {"wlan1"}
        assert directly(bed, web, mn, HOME) == directly(bed, mn, web, CORRESPONDENT) == {"wlan0"}
        # The correspondent node does not have that care-of address any more: through the tunnel, as the flow says.
        node.apply_mobile(EnsureRouteOptimisation(HOME, CORRESPONDENT, CARE_OF))
        assert links(bed, mn, media, CORRESPONDENT) == {"wlan1"}
        steer(node, agent)
        assert directly(bed, mn, media, CORRESPONDENT) == {"wlan0"}
    correspondent.apply_mobile(WithdrawCareOfRoute(HOME))
    bed.stop("cn", correspondent)
    assert bed.state("cn") == before
