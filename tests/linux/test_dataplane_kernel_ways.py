"""RFC 6275 6.3, 6.4 by the kernel's own Mobile IPv6 (XFRM), on the kernel of ``make test-kernels``: real packets."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from sojourn.core.effects import EnsureCounter
from sojourn.core.mobile_effects import (
    EnsureCareOfRoute,
    EnsureHomeAddress,
    EnsureRouteOptimisation,
    WithdrawCareOfRoute,
    WithdrawRouteOptimisation,
)
from sojourn.dataplane.correspondent import CorrespondentDataplane
from sojourn.dataplane.kernel_ways import KernelWays
from sojourn.dataplane.mobile_node import MobileNodeDataplane
from sojourn.wire.addresses import Address, Prefix, address, text
from support.dataplane_bed import Stream, arrives, captured, ipv6, udp_packet
from support.mobile_bed import CARE_OF, CARE_OF_2, CORRESPONDENT, HOME, STRANGER, MobileBed
from support.mobile_kernel import mobile_ipv6

pytestmark = [pytest.mark.lab, pytest.mark.mip6]
BED = MobileBed


@pytest.fixture(autouse=True, scope="module")
def _mobile_ipv6() -> Iterator[None]:
    with mobile_ipv6():
        yield


@pytest.fixture
def node(bed: MobileBed) -> MobileNodeDataplane:
    return bed.mobile_node()


@pytest.fixture
def correspondent(bed: MobileBed) -> CorrespondentDataplane:
    return bed.correspondent()


def _optimise(node: MobileNodeDataplane, correspondent: CorrespondentDataplane, care_of: Address = CARE_OF) -> None:
    node.apply_mobile(EnsureHomeAddress(HOME, "", True))
    correspondent.apply_mobile(EnsureCareOfRoute(HOME, care_of))
    node.apply_mobile(EnsureRouteOptimisation(HOME, CORRESPONDENT, care_of))


def _in_use(bed: MobileBed, name: str) -> list[str]:
    def look() -> list[str]:
        ways = KernelWays()
        try:
            return [str(thing) for thing in ways.found()]
        finally:
            ways.leave()

    return bed.namespaces[name].call(look)


def test_the_kernel_does_it(node: MobileNodeDataplane, correspondent: CorrespondentDataplane) -> None:
    assert (node.optimised, correspondent.optimised) == ("xfrm", "xfrm")


def test_packets_take_the_direct_way_both_ways(
    bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane
) -> None:
    correspondent.apply(EnsureCounter(Prefix(HOME, 128)))
    _optimise(node, correspondent)
    with bed.udp("mn", HOME) as mn, bed.udp("cn", CORRESPONDENT) as cn, bed.wire("net", "f1") as wire:
        assert arrives(mn, cn, CORRESPONDENT)
        assert arrives(cn, mn, HOME)
        out, back = (packet for packet in captured(wire) if packet[6] in (17, 41, 43, 60))
    assert (out[6], out[8:24], out[24:40]) == (60, CARE_OF, CORRESPONDENT)
    assert out[48:64] == HOME
    assert (back[6], back[8:24], back[24:40]) == (43, CORRESPONDENT, CARE_OF)
    assert back[48:64] == HOME
    assert correspondent.count() == {Prefix(HOME, 128): 1}


def test_tcp_takes_it(bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane) -> None:
    _optimise(node, correspondent)
    data = os.urandom(1 << 20)
    found = bytearray()
    with bed.namespaces["cn"].entered():
        listener = socket.create_server((text(CORRESPONDENT), 0), family=socket.AF_INET6)

    def receive() -> None:
        connection, _ = listener.accept()
        with connection:
            while chunk := connection.recv(1 << 18):
                found.extend(chunk)
            connection.sendall(b"all")

    taker = threading.Thread(target=receive)
    taker.start()
    with bed.namespaces["mn"].entered():
        connection = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    with listener, connection:
        connection.bind((text(HOME), 0))
        connection.settimeout(20)
        connection.connect((text(CORRESPONDENT), listener.getsockname()[1]))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(10) == b"all"
        taker.join(20)
    assert bytes(found) == data


def test_15_nobody_uses_a_home_address_without_its_binding(
    bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane
) -> None:
    _optimise(node, correspondent)
    with bed.udp("cn", CORRESPONDENT, 0.5) as cn, bed.raw("stranger", socket.IPPROTO_RAW) as raw:
        for home in (HOME, address("2001:db8:66::7")):
            inner = udp_packet(home, CORRESPONDENT, cn.getsockname()[1], b"claimed")
            option = bytes((17, 2, 1, 2, 0, 0, 0xC9, 16)) + home
            raw.sendto(ipv6(STRANGER, CORRESPONDENT, 60, option + inner[40:]), (text(CORRESPONDENT), 0))
            with pytest.raises(TimeoutError):
                cn.recv(100)


def test_a_home_test_init_has_no_home_address_option(
    bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane
) -> None:
    _optimise(node, correspondent)
    header = bytes((59, 1, 1, 0, 0, 0, 0, 0)) + bytes(8)
    with bed.raw("mn", socket.IPPROTO_RAW) as raw, bed.wire("net", "f1") as wire:
        raw.bind((text(HOME), 0))
        raw.sendto(ipv6(HOME, CORRESPONDENT, 135, header), (text(CORRESPONDENT), 0))
        seen = [packet[6] for packet in captured(wire) if packet[8:24] in (HOME, CARE_OF)]
        assert [number for number in seen if number != 58] == [135]


def test_another_care_of_address_takes_the_place_of_the_one_before(
    bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane
) -> None:
    _optimise(node, correspondent)
    bed.default("mn", "wlan1")
    _optimise(node, correspondent, CARE_OF_2)
    with bed.udp("mn", HOME) as mn, bed.udp("cn", CORRESPONDENT) as cn, bed.wire("net", "f2") as wire:
        assert arrives(mn, cn, CORRESPONDENT)
        assert arrives(cn, mn, HOME)
        assert [packet[6] for packet in captured(wire) if packet[6] in (17, 43, 60)] == [60, 43]


def test_a_restart_loses_nothing_and_keeps_what_is_asked_for_alone(
    bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane
) -> None:
    _optimise(node, correspondent)
    before = sorted(_in_use(bed, "mn")), sorted(_in_use(bed, "cn"))
    up = Stream(bed.udp("mn", HOME), bed.udp("cn", CORRESPONDENT), CORRESPONDENT, rate=100)
    with up.running():
        bed.crash(node)
        bed.crash(correspondent)
        node, correspondent = bed.mobile_node(begin=False), bed.correspondent(begin=False)
        for name, plane in (("mn", node), ("cn", correspondent)):
            with bed.namespaces[name].entered():
                plane.begin()
        _optimise(node, correspondent)
        assert node.finish() + correspondent.finish() == []
    assert up.lost == 0
    assert (sorted(_in_use(bed, "mn")), sorted(_in_use(bed, "cn"))) == before
    bed.crash(node)
    bed.mobile_node()
    assert _in_use(bed, "mn") == []


def test_nothing_is_left(bed: MobileBed, node: MobileNodeDataplane, correspondent: CorrespondentDataplane) -> None:
    _optimise(node, correspondent)
    node.apply_mobile(WithdrawRouteOptimisation(HOME, CORRESPONDENT))
    correspondent.apply_mobile(WithdrawCareOfRoute(HOME))
    assert _in_use(bed, "cn") == []
    _optimise(node, correspondent)
    bed.stop("mn", node)
    bed.stop("cn", correspondent)
    assert _in_use(bed, "mn") + _in_use(bed, "cn") == []
