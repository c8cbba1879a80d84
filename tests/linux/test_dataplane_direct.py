"""RFC 6275 6.3, 6.4, 9.3 and 11.3 on a real kernel: route optimisation by eBPF between two hosts, real packets."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import threading

import pytest

from sojourn.core.effects import EnsureCounter, WithdrawCounter
from sojourn.core.mobile_effects import (
    EnsureCareOfRoute,
    EnsureHomeAddress,
    EnsureReverseTunnel,
    EnsureRouteOptimisation,
    WithdrawCareOfRoute,
    WithdrawRouteOptimisation,
)
from sojourn.dataplane import classifier, links, reconcile
from sojourn.dataplane.classifier import EGRESS, INGRESS
from sojourn.dataplane.correspondent import CorrespondentDataplane
from sojourn.dataplane.header_programs import HOME_ADDRESS, TYPE_2, arriving, leaving
from sojourn.dataplane.home_agent import HomeAgentDataplane
from sojourn.dataplane.mobile_node import MobileNodeDataplane
from sojourn.dataplane.netlink import Netlink
from sojourn.wire.addresses import Address, Prefix, address, text
from support.dataplane_bed import Stream, arrives, captured, ipv6, udp_packet
from support.mobile_bed import CARE_OF, CARE_OF_2, CORRESPONDENT, HOME, HOME_AGENT, STRANGER, MobileBed

pytestmark = pytest.mark.lab
BED = MobileBed


@pytest.fixture
def agent(bed: MobileBed) -> HomeAgentDataplane:
    return bed.home_agent()


@pytest.fixture
def node(bed: MobileBed, agent: HomeAgentDataplane) -> MobileNodeDataplane:
    node = bed.mobile_node()
    bed.register(node, agent)
    return node


@pytest.fixture
def correspondent(bed: MobileBed) -> CorrespondentDataplane:
    return bed.correspondent()


def _optimise(node: MobileNodeDataplane, correspondent: CorrespondentDataplane, care_of: Address = CARE_OF) -> None:
    """As the engines do it: the correspondent node first, then, with its answer, the mobile node."""
    correspondent.apply_mobile(EnsureCareOfRoute(HOME, care_of))
    node.apply_mobile(EnsureRouteOptimisation(HOME, CORRESPONDENT, care_of))


def _home_address_option(inner: bytes, source: Address, home: Address) -> bytes:
    """The packet `inner`, as a mobile node at `source` sends it (RFC 6275 6.3)."""
    option = bytes((inner[6], 2, 1, 2, 0, 0, 0xC9, 16)) + home
    return ipv6(source, inner[24:40], 60, option + inner[40:])


def _routing_header(inner: bytes, care_of: Address, home: Address, segments_left: int = 1) -> bytes:
    header = bytes((inner[6], 2, 2, segments_left, 0, 0, 0, 0)) + home
    return ipv6(inner[8:24], care_of, 43, header + inner[40:])


def test_packets_take_the_direct_way_both_ways(
    bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane
) -> None:
    _optimise(node, correspondent)
    with bed.udp("mn", HOME) as mn, bed.udp("cn", CORRESPONDENT) as cn, bed.wire("net", "f1") as wire:
        assert arrives(mn, cn, CORRESPONDENT)
        assert arrives(cn, mn, HOME)
        port, other = mn.getsockname()[1], cn.getsockname()[1]
        packets = [packet for packet in captured(wire) if packet[6] in (17, 41, 43, 60)]
    out, back = packets
    assert (out[6], out[8:24], out[24:40]) == (60, CARE_OF, CORRESPONDENT)
    assert out[40:64] == bytes((17, 2, 1, 2, 0, 0, 0xC9, 16)) + HOME
    assert struct.unpack("!HH", out[64:68]) == (port, other)
    assert struct.unpack("!H", out[4:6])[0] == len(out) - 40
    assert (back[6], back[8:24], back[24:40]) == (43, CORRESPONDENT, CARE_OF)
    assert back[40:64] == bytes((17, 2, 2, 1, 0, 0, 0, 0)) + HOME
    assert struct.unpack("!H", back[4:6])[0] == len(back) - 40


@pytest.mark.parametrize("direction", ["up", "down"])
def test_tcp_takes_it_with_segments_that_fit(
    bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane, direction: str
) -> None:
    _optimise(node, correspondent)
    sender, receiver, to, own = (
        ("mn", "cn", CORRESPONDENT, HOME) if direction == "up" else ("cn", "mn", HOME, CORRESPONDENT)
    )
    data = os.urandom(4 << 20)
    found: list[bytes] = []
    with bed.namespaces[receiver].entered():
        listener = socket.create_server((text(to), 0), family=socket.AF_INET6)

    def receive() -> None:
        connection, _ = listener.accept()
        with connection:
            digest = hashlib.sha256()
            while chunk := connection.recv(1 << 18):
                digest.update(chunk)
            found.append(digest.digest())

    taker = threading.Thread(target=receive)
    taker.start()
    with bed.namespaces[sender].entered():
        connection = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    with listener, connection, bed.wire("net", "ha") as tunnel:
        connection.bind((text(own), 0))
        connection.settimeout(10)
        connection.connect((text(to), listener.getsockname()[1]))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        taker.join(20)
        assert not [packet for packet in captured(tunnel) if packet[6] == 41]
    assert found == [hashlib.sha256(data).digest()]


def test_datagrams_that_travel_as_one_keep_their_size(
    bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane
) -> None:
    """UDP_SEGMENT, as QUIC sends."""
    _optimise(node, correspondent)
    with bed.udp("mn", HOME) as mn, bed.udp("cn", CORRESPONDENT) as cn:
        mn.setsockopt(17, 103, 1200)
        mn.sendto(bytes(3600), (text(CORRESPONDENT), cn.getsockname()[1]))
        assert [len(cn.recv(4000)) for _ in range(3)] == [1200] * 3


def test_15_nobody_uses_a_home_address_without_its_binding(
    bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane
) -> None:
    """RFC 6275 9.3.1: the Home Address option is taken from the care-of address of its binding alone."""
    _optimise(node, correspondent)
    with (
        bed.udp("cn", CORRESPONDENT, 0.3) as cn,
        bed.raw("stranger", socket.IPPROTO_RAW) as raw,
        bed.raw("mn", socket.IPPROTO_RAW) as own,
    ):
        own.bind((text(CARE_OF), 0))

        def taken(sender: socket.socket, source: Address, home: Address) -> bool:
            inner = udp_packet(home, CORRESPONDENT, cn.getsockname()[1], b"claimed")
            sender.sendto(_home_address_option(inner, source, home), (text(CORRESPONDENT), 0))
            try:
                return cn.recv(100) == b"claimed"
            except TimeoutError:
                return False

        assert taken(own, CARE_OF, HOME)
        assert not taken(raw, STRANGER, HOME)
        assert not taken(raw, STRANGER, address("2001:db8:66::7"))
        assert not taken(own, CARE_OF, address("2001:db8:1::b1"))
        correspondent.apply_mobile(WithdrawCareOfRoute(HOME))
        assert not taken(own, CARE_OF, HOME)


def test_15_a_type_2_routing_header_leads_to_the_own_home_address_alone(
    bed: MobileBed, node: MobileNodeDataplane
) -> None:
    """RFC 6275 6.4: to no third party, and to nobody twice. It is taken before the own answer is there."""
    with (
        bed.udp("mn", HOME, 0.3) as mn,
        bed.udp("cn", CORRESPONDENT, 0.3) as cn,
        bed.raw("stranger", socket.IPPROTO_RAW) as raw,
    ):

        def sent(target: socket.socket, home: Address, segments_left: int = 1, to: Address = CARE_OF) -> bool:
            inner = udp_packet(STRANGER, home, target.getsockname()[1], b"routed")
            raw.sendto(_routing_header(inner, to, home, segments_left), (text(to), 0))
            try:
                return target.recv(100) == b"routed"
            except TimeoutError:
                return False

        assert sent(mn, HOME)
        assert not sent(mn, HOME, 2)
        assert not sent(cn, CORRESPONDENT)
        assert not sent(mn, HOME, to=CARE_OF_2)


def test_mobility_headers_are_left_to_the_daemon(
    bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane
) -> None:
    """A Home Test Init goes through the tunnel, whatever is optimised; nothing takes a binding's headers off others."""
    _optimise(node, correspondent)
    header = bytes((59, 1, 1, 0, 0, 0, 0, 0)) + bytes(8)
    with bed.raw("mn", socket.IPPROTO_RAW) as raw, bed.wire("net", "f1") as wire:
        raw.bind((text(HOME), 0))
        raw.sendto(ipv6(HOME, CORRESPONDENT, 135, header), (text(CORRESPONDENT), 0))
        outer = [packet for packet in captured(wire) if packet[8:24] in (CARE_OF, HOME) and packet[6] != 58]
        assert [(packet[6], packet[46]) for packet in outer] == [(41, 135)]
    with bed.raw("mn", socket.IPPROTO_RAW) as raw, bed.wire("cn", "eth0") as wire:
        raw.bind((text(CARE_OF), 0))
        update = _home_address_option(ipv6(HOME, CORRESPONDENT, 135, header), CARE_OF, HOME)
        raw.sendto(update, (text(CORRESPONDENT), 0))
        seen = [packet for packet in captured(wire) if packet[6] == 60]
    assert seen[0][8:] == update[8:]


def test_both_move_and_the_old_care_of_address_is_worth_nothing(
    bed: MobileBed, node: MobileNodeDataplane, agent: HomeAgentDataplane, correspondent: CorrespondentDataplane
) -> None:
    _optimise(node, correspondent)
    bed.default("mn", "wlan1")
    node.apply_mobile(WithdrawRouteOptimisation(HOME, CORRESPONDENT))
    bed.register(node, agent, CARE_OF_2)
    _optimise(node, correspondent, CARE_OF_2)
    with bed.udp("mn", HOME) as mn, bed.udp("cn", CORRESPONDENT, 0.3) as cn, bed.wire("net", "f2") as wire:
        assert arrives(mn, cn, CORRESPONDENT)
        assert arrives(cn, mn, HOME)
        assert [packet[6] for packet in captured(wire) if packet[6] in (17, 41, 43, 60)] == [60, 43]
        with bed.raw("mn", socket.IPPROTO_RAW) as raw:
            raw.bind((text(CARE_OF), 0))
            inner = udp_packet(HOME, CORRESPONDENT, cn.getsockname()[1], b"late")
            raw.sendto(_home_address_option(inner, CARE_OF, HOME), (text(CORRESPONDENT), 0))
            cn.settimeout(0.3)
            with pytest.raises(TimeoutError):
                cn.recv(100)


def test_without_a_binding_packets_go_by_way_of_the_home_agent(
    bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane
) -> None:
    _optimise(node, correspondent)
    node.apply_mobile(WithdrawRouteOptimisation(HOME, CORRESPONDENT))
    correspondent.apply_mobile(WithdrawCareOfRoute(HOME))
    with bed.udp("mn", HOME) as mn, bed.udp("cn", CORRESPONDENT) as cn, bed.wire("net", "f1") as wire:
        assert arrives(mn, cn, CORRESPONDENT)
        assert arrives(cn, mn, HOME)
        assert {packet[6] for packet in captured(wire) if packet[6] in (17, 41, 43, 60)} == {41}


def test_9_5_5_packets_of_a_home_address_are_counted(
    bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane
) -> None:
    counted = Prefix(HOME, 128)
    correspondent.apply(EnsureCounter(counted))
    _optimise(node, correspondent)
    with bed.udp("mn", HOME) as mn, bed.udp("cn", CORRESPONDENT) as cn:
        for _ in range(3):
            assert arrives(mn, cn, CORRESPONDENT)
    assert correspondent.count() == {counted: 3}
    correspondent.apply_mobile(WithdrawCareOfRoute(HOME))
    assert correspondent.count() == {counted: 3}
    correspondent.apply(WithdrawCounter(counted))
    assert correspondent.count() == {}


def test_a_restart_of_both_loses_nothing(
    bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane
) -> None:
    _optimise(node, correspondent)
    down = Stream(bed.udp("cn", CORRESPONDENT), bed.udp("mn", HOME), HOME)
    up = Stream(bed.udp("mn", HOME), bed.udp("cn", CORRESPONDENT), CORRESPONDENT)
    with down.running(), up.running(), bed.wire("net", "ha") as tunnel:
        bed.crash(node)
        bed.crash(correspondent)
        node, correspondent = bed.mobile_node(begin=False), bed.correspondent(begin=False)
        for name, plane in (("mn", node), ("cn", correspondent)):
            with bed.namespaces[name].entered():
                plane.begin()
        node.apply_mobile(EnsureHomeAddress(HOME, "", True))
        node.apply_mobile(EnsureReverseTunnel(HOME, CARE_OF, HOME_AGENT))
        _optimise(node, correspondent)
        removed = [line for plane in (node, correspondent) for line in plane.finish() if line.startswith("filter")]
        assert len(removed) == 6  # ingress and egress, at two links of one and at one of the other
        seen = captured(tunnel)
    assert (down.lost, up.lost) == (0, 0)
    assert not [packet for packet in seen if packet[6] == 41]


def test_what_the_kernel_lost_is_there_again(
    bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane
) -> None:
    """Filters went with their qdisc, and routes because somebody flushed tables."""
    _optimise(node, correspondent)
    before = bed.state("mn"), bed.state("cn")

    def lose() -> None:
        netlink = Netlink()
        for name, link in links.links(netlink).items():
            if name in ("wlan0", "eth0"):
                for parent in (INGRESS, EGRESS):
                    for one in classifier.filters(netlink, link.index, parent):
                        classifier.detach(netlink, one)
                classifier.tidy(netlink, link.index)
        for table in (50, 51, 52, 53, 54):
            netlink.request(*(route.withdraw() for route in reconcile.routes(netlink, table)))
        netlink.close()

    for name, plane, lost in (("mn", node, before[0]), ("cn", correspondent, before[1])):
        bed.namespaces[name].call(lose)
        assert len(lost - bed.state(name)) >= 4
        bed.namespaces[name].call(plane.reassert)
        assert sorted(bed.state(name) ^ lost) == []
    with bed.udp("mn", HOME) as mn, bed.udp("cn", CORRESPONDENT) as cn, bed.wire("net", "f1") as wire:
        assert arrives(mn, cn, CORRESPONDENT)
        assert arrives(cn, mn, HOME)
        assert [packet[6] for packet in captured(wire) if packet[6] in (17, 41, 43, 60)] == [60, 43]


def test_nothing_is_left_after_an_orderly_stop(bed: MobileBed, agent: HomeAgentDataplane) -> None:
    before = bed.state("mn"), bed.state("cn")
    node, correspondent = bed.mobile_node(), bed.correspondent()
    bed.register(node, agent)
    _optimise(node, correspondent)
    assert any("filter" in line for line in bed.state("cn"))
    bed.stop("mn", node)
    bed.stop("cn", correspondent)
    assert (bed.state("mn"), bed.state("cn")) == before


def test_nothing_is_left_of_a_life_that_was_killed_by_one_that_has_no_direct_way(bed: MobileBed) -> None:
    """Neither its filters nor the qdisc that they were in."""
    before = bed.state("mn"), bed.state("cn")
    node, correspondent = bed.mobile_node(), bed.correspondent()
    _optimise(node, correspondent)
    bed.crash(node)
    bed.crash(correspondent)
    bed.stop("mn", bed.mobile_node())
    bed.stop("cn", bed.correspondent())
    assert (bed.state("mn"), bed.state("cn")) == before


@pytest.mark.parametrize("link_header", [0, 14])
def test_the_verifier_takes_all_programs(link_header: int) -> None:
    from sojourn.dataplane.bpf import HASH, Map, Program, Token

    token = Token()
    for kind, key in ((HOME_ADDRESS, 36), (TYPE_2, 20)):
        ways, pairs = Map("ways", HASH, key, 16, 1, token), Map("pairs", HASH, 32, 8, 1, token)
        for code in (
            leaving(kind, ways.descriptor, link_header, 0xFF0000),
            arriving(kind, pairs.descriptor, link_header),
        ):
            Program("test", code, token).close()
        ways.close()
        pairs.close()
    token.close()
