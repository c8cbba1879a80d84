"""RFC 6275 10.4, 11.3 and RFC 3963 on a real kernel: the tunnel between a mobile node and its home agent."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress

import pytest

from sojourn.core.effects import EnsurePrefix, EnsureTunnel, EnsureUplink, WithdrawPrefix, WithdrawSlot, WithdrawUplink
from sojourn.core.mobile_effects import (
    EnsureCareOfPeers,
    EnsureHomeAddress,
    EnsureHomeBlock,
    EnsureProxyNeighbour,
    EnsureReverseTunnel,
    EnsureTunnelEnd,
    WithdrawHomeAddress,
    WithdrawProxyNeighbour,
    WithdrawReverseTunnel,
    WithdrawTunnelEnd,
)
from sojourn.dataplane import home_agent as home_agent_module
from sojourn.dataplane.home_agent import HomeAgentDataplane
from sojourn.dataplane.mobile_node import MobileNodeDataplane
from sojourn.wire.addresses import Prefix, address, text
from support.dataplane_bed import Stream, arrives, captured, ipv6, udp_packet
from support.mobile_bed import (
    BEHIND,
    CARE_OF,
    CARE_OF_2,
    CORRESPONDENT,
    HOME,
    HOME_AGENT,
    NEIGHBOUR,
    NETWORK,
    STRANGER,
    MobileBed,
)

pytestmark = pytest.mark.lab
BED = MobileBed

BACKEND = "ip6tnl" if os.environ.get("SOJOURN_KERNEL") == "stock" else "seg6"
"""ip6tnl does not count by peer."""


@pytest.fixture
def node(bed: MobileBed) -> MobileNodeDataplane:
    return bed.mobile_node()


@pytest.fixture
def agent(bed: MobileBed) -> HomeAgentDataplane:
    return bed.home_agent()


def test_11_3_1_everything_goes_through_the_tunnel_both_ways(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    bed.register(node, agent)
    with bed.udp("mn", HOME) as mn, bed.udp("cn", CORRESPONDENT) as cn, bed.wire("net", "f1") as wire:
        assert arrives(mn, cn, CORRESPONDENT)
        assert arrives(cn, mn, HOME)
        packets = [packet for packet in captured(wire) if packet[6] in (17, 41)]
    assert {(packet[6], packet[8:24], packet[24:40]) for packet in packets} == {
        (41, CARE_OF, HOME_AGENT),
        (41, HOME_AGENT, CARE_OF),
    }
    assert {(packet[48:64], packet[64:80]) for packet in packets} == {(HOME, CORRESPONDENT), (CORRESPONDENT, HOME)}
    counted = None if BACKEND == "ip6tnl" else 1
    assert [(row["prefix"], row["care_of"], row["packets"]) for row in node.show()] == [
        (str(Prefix(HOME, 128)), text(CARE_OF), counted)
    ]
    ends = [(row["uplink"], row["packets"]) for row in agent.show() if row["prefix"] is None]
    assert ends == [(f"tunnel {text(CARE_OF)}", counted)]


def test_new_connections_have_the_home_address_and_only_who_asks_for_it_the_care_of_address(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    bed.register(node, agent)
    with bed.udp("cn", CORRESPONDENT) as cn, bed.udp("mn") as mn, bed.udp("mn", CARE_OF) as here:
        for udp, source in ((mn, HOME), (here, CARE_OF)):
            udp.sendto(b"x", (text(CORRESPONDENT), cn.getsockname()[1]))
            assert cn.recvfrom(10)[1][0] == text(source)


def test_new_connections_to_some_have_the_care_of_address_and_no_tunnel(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    bed.register(node, agent)
    for peers, source in (((Prefix.of(CORRESPONDENT, 64),), CARE_OF), ((Prefix.of(STRANGER, 64),), HOME), ((), HOME)):
        node.apply_mobile(EnsureCareOfPeers(peers))
        with bed.udp("cn", CORRESPONDENT) as cn, bed.udp("mn") as mn, bed.udp("mn", HOME) as home:
            mn.sendto(b"x", (text(CORRESPONDENT), cn.getsockname()[1]))
            assert cn.recvfrom(10)[1][0] == text(source)
            assert arrives(home, cn, CORRESPONDENT)  # what has a source keeps it


@pytest.mark.parametrize("how", ["not preferred", "blocked"])
def test_new_connections_have_the_care_of_address_where_home_is_not_to_be_used(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane, how: str
) -> None:
    """No home agent: plain Internet access, nothing broken."""
    bed.register(node, agent)
    if how == "blocked":
        node.apply_mobile(EnsureHomeBlock(HOME))
    else:
        node.apply_mobile(EnsureHomeAddress(HOME, "", False))
    with bed.udp("cn", CORRESPONDENT) as cn, bed.udp("mn") as mn:
        mn.sendto(b"x", (text(CORRESPONDENT), cn.getsockname()[1]))
        assert cn.recvfrom(10)[1][0] == text(CARE_OF)


def test_what_is_blocked_never_shows_itself_on_the_visited_link(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    bed.register(node, agent)
    with bed.udp("mn", HOME) as mn, bed.udp("cn", CORRESPONDENT) as cn, bed.wire("net", "f1") as wire:
        node.apply_mobile(EnsureHomeBlock(HOME))
        with pytest.raises(OSError, match="No route to host"):
            mn.sendto(b"x", (text(CORRESPONDENT), cn.getsockname()[1]))
        assert not [packet for packet in captured(wire) if packet[8:24] == HOME]
        node.apply_mobile(EnsureReverseTunnel(HOME, CARE_OF, HOME_AGENT))
        assert arrives(mn, cn, CORRESPONDENT)


@pytest.mark.nf_tables
def test_10_4_5_nobody_else_sends_out_of_the_tunnel(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    """Text: "MUST verify that the Source Address in the tunnel IP header is the mobile node's primary care-of address";
    and a node has no more than its own home address (the stranger is bound as well)."""
    bed.register(node, agent)
    agent.apply(EnsureTunnel(2, STRANGER))
    agent.apply(EnsurePrefix(Prefix(address("2001:db8:1::b1"), 128), 2))
    with bed.udp("cn", CORRESPONDENT, 0.3) as cn, bed.raw("stranger", socket.IPPROTO_RAW) as raw:
        port = cn.getsockname()[1]

        def sent(outer: bytes, inner: bytes) -> bool:
            packet = ipv6(outer, HOME_AGENT, 41, udp_packet(inner, CORRESPONDENT, port, b"forged"))
            raw.sendto(packet, (text(HOME_AGENT), 0))
            try:
                return cn.recv(100) == b"forged"
            except TimeoutError:
                return False

        assert sent(STRANGER, address("2001:db8:1::b1"))
        assert not sent(STRANGER, HOME)
        assert not sent(address("2001:db8:66::2"), HOME)
        assert not sent(STRANGER, address("2001:db8:66::9"))


def test_11_3_1_what_does_not_come_from_the_home_agent_is_not_taken_out(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    bed.register(node, agent)
    with bed.udp("mn", HOME, 0.3) as mn, bed.raw("stranger", socket.IPPROTO_RAW) as raw:
        inner = udp_packet(CORRESPONDENT, HOME, mn.getsockname()[1], b"forged")
        raw.sendto(ipv6(STRANGER, CARE_OF, 41, inner), (text(CARE_OF), 0))
        with pytest.raises(TimeoutError):
            mn.recv(100)


def test_a_move_with_two_links_loses_nothing(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    """Make before break, 1,000 packets a second each way: packets are taken from either, then both ends move."""
    bed.register(node, agent)
    bed.default("mn", "wlan1")
    for care_of in (CARE_OF_2, CARE_OF):
        down = Stream(bed.udp("cn", CORRESPONDENT), bed.udp("mn", HOME), HOME)
        up = Stream(bed.udp("mn", HOME), bed.udp("cn", CORRESPONDENT), CORRESPONDENT)
        with down.running(), up.running():
            agent.apply_mobile(EnsureTunnelEnd(1, care_of))
            node.apply_mobile(EnsureReverseTunnel(HOME, care_of, HOME_AGENT))
            agent.apply(EnsureTunnel(1, care_of))
            agent.apply_mobile(WithdrawTunnelEnd(1, care_of))
        assert (down.lost, up.lost) == (0, 0)


@pytest.mark.nf_tables
def test_5648_packets_are_taken_from_every_care_of_address(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    bed.register(node, agent)
    with bed.udp("cn", CORRESPONDENT, 0.3) as cn, bed.raw("mn", socket.IPPROTO_RAW) as raw:
        raw.bind((text(CARE_OF_2), 0))
        inner = udp_packet(HOME, CORRESPONDENT, cn.getsockname()[1], b"second")
        packet = ipv6(CARE_OF_2, HOME_AGENT, 41, inner)

        def taken() -> bool:
            raw.sendto(packet, (text(HOME_AGENT), 0))
            try:
                return cn.recv(100) == b"second"
            except TimeoutError:
                return False

        assert not taken()
        agent.apply_mobile(EnsureTunnelEnd(1, CARE_OF_2))
        assert taken()
        agent.apply_mobile(WithdrawTunnelEnd(1, CARE_OF_2))
        agent.apply(WithdrawPrefix(Prefix(HOME, 128)))
        assert not taken()


def test_10_4_1_the_home_agent_answers_on_the_home_link_for_a_node_that_is_away(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    bed.register(node, agent)
    with bed.udp("home", NEIGHBOUR, 0.5) as neighbour, bed.udp("mn", HOME, 0.5) as mn:
        assert not arrives(neighbour, mn, HOME, 0.3)
        agent.apply_mobile(EnsureProxyNeighbour("lan0", HOME))
        assert arrives(neighbour, mn, HOME, 3)
        assert arrives(mn, neighbour, NEIGHBOUR)
        link = bed.ends["ha", "lan0"].index
        for up in (False, True):
            bed.netlink("ha").set_link(link, up=up)
        bed.netlink("ha").add_address(link, HOME_AGENT, 64)  # the kernel forgets it, with all neighbours
        bed.namespaces["ha"].call(agent.reassert)
        assert arrives(neighbour, mn, HOME, 3)
        agent.apply_mobile(WithdrawProxyNeighbour("lan0", HOME))
    assert not [line for line in bed.state("ha") if "2001:db8:1::b0" in line and line.startswith("neighbour")]


@pytest.mark.nf_tables
@pytest.mark.parametrize("towards", ["home", "correspondent"])
def test_packets_too_big_for_the_tunnel_are_answered(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane, towards: str
) -> None:
    """1460 octets fit; the sender learns it from a Packet Too Big, or, on the node itself, at once."""
    bed.register(node, agent)
    source, target, to = ("cn", "mn", HOME) if towards == "home" else ("mn", "cn", CORRESPONDENT)
    own = CORRESPONDENT if towards == "home" else HOME
    with bed.udp(source, own) as sender, bed.udp(target, to) as receiver:
        sender.connect((text(to), receiver.getsockname()[1]))
        sender.setsockopt(socket.IPPROTO_IPV6, 23, 2)  # IPV6_MTU_DISCOVER: never divide
        for _ in range(3):
            with suppress(OSError):
                sender.send(bytes(1452))
            receiver.settimeout(0.1)
            with pytest.raises(TimeoutError):
                receiver.recv(2000)
        assert struct.unpack("=i", sender.getsockopt(socket.IPPROTO_IPV6, 24, 4))[0] == 1460  # IPV6_MTU
        with suppress(OSError):  # what the last answer left
            sender.send(bytes(1))
        receiver.settimeout(0.2)
        with suppress(TimeoutError):
            receiver.recv(2000)
        sender.send(bytes(1412))
        receiver.settimeout(1)
        assert len(receiver.recv(2000)) == 1412


def test_3963_5_5_a_network_behind_the_node_moves_with_it(bed: MobileBed, agent: HomeAgentDataplane) -> None:
    router = bed.mobile_node(router=True)
    bed.register(router, agent)
    agent.apply(EnsurePrefix(NETWORK, 1))
    router.apply(EnsureUplink(NETWORK, HOME_AGENT))
    with bed.udp("behind", BEHIND) as behind, bed.udp("cn", CORRESPONDENT) as cn, bed.wire("net", "f1") as wire:
        assert arrives(behind, cn, CORRESPONDENT)
        assert arrives(cn, behind, BEHIND)
        outer = {packet[6] for packet in captured(wire) if packet[6] in (17, 41)}
        assert outer == {41}
        bed.default("mn", "wlan1")
        router.apply_mobile(EnsureReverseTunnel(HOME, CARE_OF_2, HOME_AGENT))
        agent.apply(EnsureTunnel(1, CARE_OF_2))
        assert arrives(behind, cn, CORRESPONDENT)
        assert arrives(cn, behind, BEHIND)
        router.apply_mobile(EnsureHomeBlock(HOME))
        assert not arrives(behind, cn, CORRESPONDENT, 0.3)
        assert not [packet for packet in captured(wire) if packet[8:24] == BEHIND]


@pytest.mark.nf_tables
def test_3963_too_big_from_a_network_behind_the_node_is_answered(bed: MobileBed, agent: HomeAgentDataplane) -> None:
    router = bed.mobile_node(router=True)
    bed.register(router, agent)
    agent.apply(EnsurePrefix(NETWORK, 1))
    router.apply(EnsureUplink(NETWORK, HOME_AGENT))
    for source, own, target, to in (("behind", BEHIND, "cn", CORRESPONDENT), ("cn", CORRESPONDENT, "behind", BEHIND)):
        with bed.udp(source, own) as sender, bed.udp(target, to) as receiver:
            sender.connect((text(to), receiver.getsockname()[1]))
            sender.setsockopt(socket.IPPROTO_IPV6, 23, 2)
            receiver.settimeout(0.2)
            sender.send(bytes(1452))
            with pytest.raises(TimeoutError):
                receiver.recv(2000)
            assert struct.unpack("=i", sender.getsockopt(socket.IPPROTO_IPV6, 24, 4))[0] == 1460


def test_a_restart_of_both_ends_loses_nothing(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    bed.register(node, agent)
    agent.apply_mobile(EnsureProxyNeighbour("lan0", HOME))
    before = bed.state("mn"), bed.state("ha")
    down = Stream(bed.udp("cn", CORRESPONDENT), bed.udp("mn", HOME), HOME)
    up = Stream(bed.udp("mn", HOME), bed.udp("cn", CORRESPONDENT), CORRESPONDENT)
    with down.running(), up.running():
        bed.crash(node)
        bed.crash(agent)
        node, agent = bed.mobile_node(begin=False), bed.home_agent(begin=False)
        for name, plane in (("mn", node), ("ha", agent)):
            with bed.namespaces[name].entered():
                plane.begin()
        bed.register(node, agent)
        agent.apply_mobile(EnsureProxyNeighbour("lan0", HOME))
        removed = [*node.finish(), *agent.finish()]
        assert [line for line in removed if not line.startswith("filter")] == []  # there are new ones in front
    assert (down.lost, up.lost) == (0, 0)
    for name, state in zip(("mn", "ha"), before, strict=True):
        assert sorted(bed.state(name) ^ state) == []


def test_a_restart_forgets_what_is_not_asked_for(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    empty = bed.state("ha")
    bed.register(node, agent)
    agent.apply_mobile(EnsureProxyNeighbour("lan0", HOME))
    bed.crash(node)
    bed.crash(agent)
    node, agent = bed.mobile_node(), bed.home_agent()
    assert bed.state("ha") == empty
    assert "2001:db8:1::b0" not in "\n".join(bed.state("mn"))


def test_a_restart_at_home_leaves_the_address_there_until_the_node_is_elsewhere(
    bed: MobileBed, node: MobileNodeDataplane
) -> None:
    """The next life does not know where it is before a router was heard; without the address every packet would be lost
    until then."""
    node.apply_mobile(EnsureHomeAddress(HOME, "wlan0", True))
    before = bed.state("mn")
    bed.crash(node)
    node = bed.mobile_node(begin=False)
    with bed.namespaces["mn"].entered():
        node.begin()
    node.apply_mobile(EnsureHomeBlock(HOME))
    assert [line for line in node.finish() if "address" in line] == []
    assert bed.state("mn") == before
    node.apply_mobile(EnsureHomeBlock(HOME))  # abroad, after all
    node.apply_mobile(EnsureHomeAddress(HOME, "", False))
    lines = [line for line in bed.state("mn") if "2001:db8:1::b0" in line]
    assert not any("wlan0" in line for line in lines)
    assert any(line.startswith("route type 7") for line in lines)  # unreachable


def test_the_end_of_a_tunnel_that_was_left_goes_though_nothing_else_happens(
    bed: MobileBed, agent: HomeAgentDataplane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the last node was there until another one did something."""
    before = bed.state("ha")
    monkeypatch.setattr(home_agent_module, "_SECONDS", 0.0)
    agent.apply(EnsureTunnel(1, CARE_OF))
    agent.apply(EnsurePrefix(Prefix(HOME, 128), 1))
    agent.apply(WithdrawSlot(1))
    agent.tick()
    left = [line for line in bed.state("ha") - before if not line.startswith("nft element")]  # the kernel forgets these
    assert left == []


def test_nothing_is_left_after_an_orderly_stop(bed: MobileBed) -> None:
    before = bed.state("mn"), bed.state("ha")
    node, agent = bed.mobile_node(router=True), bed.home_agent()
    bed.register(node, agent)
    agent.apply(EnsurePrefix(NETWORK, 1))
    agent.apply_mobile(EnsureProxyNeighbour("lan0", HOME))
    node.apply(EnsureUplink(NETWORK, HOME_AGENT))
    node.apply_mobile(EnsureReverseTunnel(HOME, CARE_OF_2, HOME_AGENT))
    bed.stop("mn", node)
    bed.stop("ha", agent)
    for name, state in zip(("mn", "ha"), before, strict=True):
        assert sorted(bed.state(name) ^ state) == []


def test_at_home_the_address_is_on_the_link_and_nothing_is_tunnelled(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    """As the engine asks for it when the node comes home, and when the address is given up."""
    before = bed.state("mn")
    bed.register(node, agent)
    node.apply_mobile(WithdrawReverseTunnel(HOME))
    node.apply_mobile(EnsureHomeAddress(HOME, "wlan0", True))
    agent.apply(WithdrawPrefix(Prefix(HOME, 128)))
    agent.apply(WithdrawSlot(1))
    lines = [line for line in bed.state("mn") if "2001:db8:1::b0" in line and line.startswith("address")]
    assert len(lines) == 1
    assert "wlan0" in lines[0]
    assert "encap" not in "\n".join(line for line in bed.state("mn") - before if line.startswith("route"))
    node.apply_mobile(WithdrawHomeAddress(HOME))
    assert "2001:db8:1::b0" not in "\n".join(bed.state("mn"))


def test_networks_go_plainly_once_the_node_is_at_home(bed: MobileBed, agent: HomeAgentDataplane) -> None:
    router = bed.mobile_node(router=True)
    clean = bed.state("mn")
    bed.register(router, agent)
    router.apply(EnsureUplink(NETWORK, HOME_AGENT))
    router.apply_mobile(WithdrawReverseTunnel(HOME))
    router.apply(WithdrawUplink(NETWORK))
    router.apply_mobile(WithdrawHomeAddress(HOME))
    new = "\n".join(line for line in bed.state("mn") - clean if line.startswith(("route", "rule")))
    assert "b05" not in new
    assert "encap" not in new


@pytest.mark.nf_tables
def test_a_packet_in_four_tunnels_is_not_put_into_a_fifth(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane
) -> None:
    """Home agents whose nodes are said to be behind each other would send it round and round (RFC 2473 4.1.3, 6.6)."""
    bed.register(node, agent)
    with bed.raw("cn", socket.IPPROTO_RAW) as raw, bed.wire("net", "f1") as wire:
        for depth in (3, 4):
            packet = udp_packet(STRANGER, HOME, 9, b"round")
            for _ in range(depth - 1):
                packet = ipv6(STRANGER, HOME, 41, packet)
            raw.sendto(ipv6(CORRESPONDENT, HOME, 41, packet), (text(HOME), 0))
            tunnelled = [one for one in captured(wire) if one[24:40] == CARE_OF and one.endswith(b"round")]
            assert len(tunnelled) == (depth < 4)
