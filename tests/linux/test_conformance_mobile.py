"""The rows of the conformance list about home agents, mobile nodes and correspondent nodes that the kernel or the data
plane decides: real packets between namespaces, one network for all. `tests/rfc/test_conformance_list.py` knows what
sojourn does not do.
"""

# ruff: noqa: N802  (the names bear the ids of the rows)

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from sojourn.core.effects import EnsurePrefix, EnsureUplink, WithdrawPrefix, WithdrawSlot, WithdrawUplink
from sojourn.core.events import MessageReceived
from sojourn.core.mobile_effects import (
    EnsureCareOfRoute,
    EnsureHomeBlock,
    EnsureProxyNeighbour,
    EnsureReverseTunnel,
    EnsureRouteOptimisation,
    WithdrawCareOfRoute,
    WithdrawProxyNeighbour,
    WithdrawRouteOptimisation,
)
from sojourn.dataplane import home_agent as home_agent_module
from sojourn.dataplane import tunnel_filter
from sojourn.dataplane.correspondent import CorrespondentDataplane
from sojourn.dataplane.home_agent import HomeAgentDataplane
from sojourn.dataplane.mobile_node import MobileNodeDataplane
from sojourn.host.mobile_packets import Packet, built
from sojourn.host.mobile_sockets import MobileSockets
from sojourn.host.signalling_filter import SignallingFilter
from sojourn.host.tunnel_errors import TunnelErrors
from sojourn.host.tunnel_watch import TunnelWatch
from sojourn.wire import BindingUpdate, CareOfTestInit, HomeTestInit, encode, seal
from sojourn.wire.addresses import Address, Prefix, address, text
from sojourn.wire.icmpv6 import seal_icmpv6
from sojourn.wire.units import SECOND
from support.dataplane_bed import arrives, captured, ipv6, udp_packet
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

pytestmark = [pytest.mark.lab, pytest.mark.nf_tables]

NOBODY = address("2001:db8:1::b7")
"""On the home link, and never bound."""
LINGERS = 0.4


class Parties(MobileBed):
    """The network with its three data planes; the node is bound at its first link."""

    def __init__(self) -> None:
        super().__init__()
        self.agent: HomeAgentDataplane = self.home_agent()
        self.node: MobileNodeDataplane = self.mobile_node(router=True)
        self.peer: CorrespondentDataplane = self.correspondent()
        self._quiet: list[SignallingFilter] = []
        for name in ("mn", "cn"):
            with self.namespaces[name].entered():
                self._quiet.append(SignallingFilter())
                self._quiet[-1].install()

    def close(self) -> None:
        for one in self._quiet:
            one.close()
        super().close()

    @contextmanager
    def direct(self) -> Iterator[None]:
        """Packets between the node and the correspondent go directly meanwhile."""
        self.peer.apply_mobile(EnsureCareOfRoute(HOME, CARE_OF))
        self.node.apply_mobile(EnsureRouteOptimisation(HOME, CORRESPONDENT, CARE_OF))
        try:
            yield
        finally:
            self.node.apply_mobile(WithdrawRouteOptimisation(HOME, CORRESPONDENT))
            self.peer.apply_mobile(WithdrawCareOfRoute(HOME))

    def errors(self, name: str, provoke: list[bytes]) -> list[bytes]:
        """ICMPv6 errors that come back to `name` when it sends these packets."""
        with self.raw(name, socket.IPPROTO_ICMPV6) as icmp, self.raw(name, socket.IPPROTO_RAW) as raw:
            for packet in provoke:
                raw.sendto(packet, (text(packet[24:40]), 0))
            return [one for one in captured(icmp) if one[0] < 128]


@pytest.fixture(scope="module")
def everybody() -> Iterator[Parties]:
    with pytest.MonkeyPatch.context() as patched:  # what is on its way is waited for a moment only
        patched.setattr(tunnel_filter, "LINGER", round(1000 * LINGERS))
        patched.setattr(home_agent_module, "_SECONDS", LINGERS)
        made = Parties()
        yield made
        made.close()


@pytest.fixture
def bed(everybody: Parties) -> Parties:
    everybody.default("mn", "wlan0")
    everybody.register(everybody.node, everybody.agent)
    return everybody


def message(sealed_for: tuple[Address, Address], what: object) -> bytes:
    return seal(encode(what), *sealed_for)  # type: ignore[arg-type]


# --- correspondent node ---------------------------------------------------------------------------------------------


def test_C038_a_mobility_header_with_a_home_address_is_heard_without_a_binding(bed: Parties) -> None:
    """And nobody is told that the option is unknown. ESP: see the exceptions."""
    with bed.namespaces["cn"].entered():
        sockets = MobileSockets((1,), is_ours=lambda own: own == CORRESPONDENT)
    update = BindingUpdate(7, 0x8000, 60 * SECOND)
    packet = Packet(STRANGER, CORRESPONDENT, 64, 135, message((HOME, CORRESPONDENT), update), HOME)
    try:
        assert bed.errors("stranger", [built(packet)]) == []
        (heard,) = sockets.events()
        assert isinstance(heard, MessageReceived)
        assert (heard.message, heard.home_address, heard.source) == (update, HOME, STRANGER)
    finally:
        sockets.close()


# --- home agent -----------------------------------------------------------------------------------------------------


def answers(bed: Parties, target: Address) -> list[bytes]:
    """Neighbour advertisements for `target` that its solicitation on the home link brings."""
    group = address("ff02::1:ff00:0")[:13] + target[13:]
    mac = bed.ends["home", "eth0"].link_layer
    with bed.raw("home", socket.IPPROTO_ICMPV6) as icmp:
        icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        icmp.settimeout(0.25)
        solicitation = bytes((135, 0, 0, 0, 0, 0, 0, 0)) + target + b"\x01\x01" + mac
        icmp.sendto(solicitation, (text(group), 0, 0, bed.ends["home", "eth0"].index))
        return [one for one in captured(icmp) if one[0] == 136 and one[8:24] == target]


def test_C061_neighbours_are_answered_for_bound_addresses_alone(bed: Parties) -> None:
    assert answers(bed, HOME) == []
    assert answers(bed, NOBODY) == []
    bed.agent.apply_mobile(EnsureProxyNeighbour("lan0", HOME))
    (answer,) = answers(bed, HOME)
    assert answer[26:32] == bed.ends["ha", "lan0"].link_layer  # the target's link-layer address is ours
    assert answers(bed, NOBODY) == []
    bed.agent.apply_mobile(WithdrawProxyNeighbour("lan0", HOME))
    assert answers(bed, HOME) == []


@pytest.mark.parametrize("sender", ["home", "cn"])
def test_C062_what_reaches_the_home_link_is_tunnelled_from_the_home_agent(bed: Parties, sender: str) -> None:
    bed.agent.apply_mobile(EnsureProxyNeighbour("lan0", HOME))
    own = NEIGHBOUR if sender == "home" else CORRESPONDENT
    try:
        with bed.udp(sender, own) as other, bed.udp("mn", HOME) as mn, bed.wire("net", "f1") as wire:
            assert arrives(other, mn, HOME, 3)
            (outer,) = [packet for packet in captured(wire) if packet[6] == 41]
    finally:
        bed.agent.apply_mobile(WithdrawProxyNeighbour("lan0", HOME))
    assert (outer[8:24], outer[24:40]) == (HOME_AGENT, CARE_OF)
    assert (outer[48:64], outer[64:80]) == (own, HOME)


def test_C064_errors_about_the_outer_packet_are_told_to_the_source_of_the_inner_one(bed: Parties) -> None:
    with bed.namespaces["ha"].entered():
        errors = TunnelErrors(bed.agent, lambda own: own == HOME_AGENT)
    link = bed.ends["net", "f1"].index
    heard: list[bytes] = []

    def refused(about: bytes, kind: int = 1, mtu: int = 0) -> None:
        """Somebody on the way reports it to the home agent."""
        report = seal_icmpv6(struct.pack("!BBHI", kind, 0, 0, mtu) + about, STRANGER, HOME_AGENT)
        raw.sendto(ipv6(STRANGER, HOME_AGENT, 58, report), (text(HOME_AGENT), 0))
        time.sleep(0.05)
        errors.receive()
        heard[:] = [one for one in captured(icmp) if one[0] < 128]

    with bed.udp("cn", CORRESPONDENT) as cn, bed.udp("mn", HOME) as mn, bed.raw("cn", socket.IPPROTO_ICMPV6) as icmp:
        cn.connect((text(HOME), mn.getsockname()[1]))
        cn.setsockopt(socket.IPPROTO_IPV6, 23, 2)  # IPV6_MTU_DISCOVER: never divide
        bed.netlink("net").set_link(link, mtu=1400)
        try:
            cn.send(bytes(1400))
            time.sleep(0.1)
            errors.receive()
            (told,) = [one for one in captured(icmp) if one[0] < 128]
            assert (told[0], struct.unpack_from("!I", told, 4)) == (2, (1360,))
            assert struct.unpack("=i", cn.getsockopt(socket.IPPROTO_IPV6, 24, 4))[0] == 1360  # IPV6_MTU
            with suppress(OSError):
                cn.send(b"")
            cn.send(bytes(1300))
            assert len(mn.recv(2000)) == 1300
        finally:
            bed.netlink("net").set_link(link, mtu=1500)
        inner = udp_packet(CORRESPONDENT, HOME, 9, bytes(1300))
        with bed.raw("stranger", socket.IPPROTO_RAW) as raw:
            for kind in (1, 3, 4):
                refused(ipv6(HOME_AGENT, CARE_OF, 41, inner)[:1000], kind)
                assert [one[:2] for one in heard] == [bytes((1, 3))]
                assert heard[0][8:48] == inner[:40]
            for about in (
                ipv6(HOME_AGENT, STRANGER, 41, inner),  # no tunnel of ours
                ipv6(HOME_AGENT, CARE_OF, 41, udp_packet(CORRESPONDENT, NOBODY, 9, b"")),
                ipv6(STRANGER, CARE_OF, 41, inner),
                ipv6(HOME_AGENT, CARE_OF, 41, ipv6(CORRESPONDENT, HOME, 58, bytes((1, 0)) + bytes(6))),
                ipv6(HOME_AGENT, CARE_OF, 41, inner[:30]),
                ipv6(HOME_AGENT, CARE_OF, 17, inner),
            ):
                refused(about)
                assert heard == []
            refused(ipv6(HOME_AGENT, CARE_OF, 41, inner), 2, 1400)  # it would fit
            assert heard == []
            refused(ipv6(HOME_AGENT, CARE_OF, 41, inner), 2, 68)
            assert struct.unpack_from("!I", heard[0], 4) == (1280,)
    errors.close()


def test_C065_after_a_new_registration_the_old_care_of_address_gets_and_sends_nothing(bed: Parties) -> None:
    """What is on its way from there is taken for some seconds more, by intention."""
    with bed.udp("cn", CORRESPONDENT, 0.3) as cn, bed.udp("mn", HOME) as mn, bed.wire("net", "f1") as old:
        bed.default("mn", "wlan1")
        bed.register(bed.node, bed.agent, CARE_OF_2)
        assert arrives(cn, mn, HOME)
        assert arrives(mn, cn, CORRESPONDENT)
        assert [packet for packet in captured(old) if packet[6] == 41] == []
        with bed.raw("stranger", socket.IPPROTO_RAW) as raw:  # whoever is now at the old address

            def taken() -> bool:
                inner = udp_packet(HOME, CORRESPONDENT, cn.getsockname()[1], b"late")
                raw.sendto(ipv6(CARE_OF, HOME_AGENT, 41, inner), (text(HOME_AGENT), 0))
                cn.settimeout(0.2)
                with suppress(TimeoutError):
                    return cn.recv(100) == b"late"
                return False

            deadline = time.monotonic() + LINGERS + 3
            while taken():
                assert time.monotonic() < deadline


# --- mobile node ----------------------------------------------------------------------------------------------------


def test_C041_a_wrong_type_2_routing_header_is_discarded_in_silence(bed: Parties) -> None:
    def routed(home: Address, left: int = 1, more: bytes = b"") -> bytes:
        inner = udp_packet(STRANGER, home, port, b"routed")
        header = bytes((17, 2 + len(more) // 8, 2, left, 0, 0, 0, 0)) + home + more
        return ipv6(STRANGER, CARE_OF, 43, header + inner[40:])

    with bed.udp("mn", HOME, 0.3) as mn, bed.udp("cn", CORRESPONDENT, 0.1) as cn:
        port = mn.getsockname()[1]
        wrong = [routed(HOME, left) for left in (0, 2, 255)]
        wrong += [routed(HOME, more=CORRESPONDENT), routed(HOME, 2, CORRESPONDENT)]
        wrong += [routed(one) for one in (NOBODY, CARE_OF, CARE_OF_2, CORRESPONDENT, address("ff02::1"), bytes(16))]
        assert bed.errors("stranger", wrong) == []
        for nobody in (mn, cn):
            with pytest.raises(TimeoutError):
                nobody.recv(100)
        assert bed.errors("stranger", [routed(HOME)]) == []
        assert mn.recv(100) == b"routed"


def test_C085_only_who_writes_to_a_home_address_through_the_tunnel_is_told(bed: Parties) -> None:
    """RFC 6275 11.7.2: nobody else is asked for the direct way; nor is who only pretends to be the home agent."""
    with bed.namespaces["mn"].entered():
        watch = TunnelWatch()
    watch.watch(HOME, HOME_AGENT)
    init = message((STRANGER, HOME), HomeTestInit(bytes(8)))
    care_of_init = message((STRANGER, HOME), CareOfTestInit(bytes(8)))
    others = [
        ipv6(STRANGER, HOME, 135, init),
        ipv6(STRANGER, HOME, 135, care_of_init),
        ipv6(STRANGER, HOME, 60, bytes((135, 2, 1, 2, 0, 0, 0xC9, 16)) + NOBODY + init),
        udp_packet(STRANGER, CARE_OF, 9, b"x"),
        udp_packet(STRANGER, BEHIND, 9, b"x"),
    ]

    def told() -> list[Address]:
        time.sleep(0.1)
        return [event.correspondent for event in watch.receive()]

    with bed.raw("stranger", socket.IPPROTO_RAW) as raw, bed.raw("ha", socket.IPPROTO_RAW) as agent:
        agent.bind((text(HOME_AGENT), 0))
        for inner in others:
            agent.sendto(ipv6(HOME_AGENT, CARE_OF, 41, inner), (text(CARE_OF), 0))
        assert told() == []
        raw.sendto(ipv6(STRANGER, CARE_OF, 41, udp_packet(CORRESPONDENT, HOME, 9, b"x")), (text(CARE_OF), 0))
        assert told() == []
        raw.sendto(udp_packet(STRANGER, HOME, 9, b"x"), (text(HOME), 0))  # by way of the home agent
        assert told() == [STRANGER]
    watch.close()


def test_C091_nothing_leaves_with_the_home_address_before_the_first_acknowledgement(bed: Parties) -> None:
    with bed.wire("net", "f1") as wire, bed.udp("cn", CORRESPONDENT) as cn:
        bed.node.apply_mobile(EnsureHomeBlock(HOME))
        where = (text(CORRESPONDENT), cn.getsockname()[1])
        with bed.udp("mn", HOME) as bound, bed.udp("mn") as free, bed.udp("behind", BEHIND) as behind:
            with suppress(OSError):
                bound.sendto(b"bound", where)
            with bed.namespaces["mn"].entered():
                tcp = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            with tcp:
                tcp.setblocking(False)
                tcp.bind((text(HOME), 0))
                with suppress(OSError):
                    tcp.connect(where)
                behind.sendto(b"behind", where)
                free.sendto(b"free", where)  # uses the care-of address meanwhile
                assert cn.recvfrom(100) == (b"free", (text(CARE_OF), free.getsockname()[1], 0, 0))
                bed.node.apply_mobile(EnsureReverseTunnel(HOME, CARE_OF, HOME_AGENT))
                bound.sendto(b"after", where)
                assert cn.recvfrom(100)[0] == b"after"
        seen = captured(wire)
    leaked = [one for one in seen if one[8:24] in (HOME, BEHIND) and one[24:40] == CORRESPONDENT]
    assert leaked == []


def test_C092_neighbour_discovery_and_mobility_headers_have_no_home_address_and_no_tunnel(bed: Parties) -> None:
    absent = address("2001:db8:f1::77")
    with bed.direct(), bed.wire("net", "f1") as wire, bed.raw("mn", socket.IPPROTO_RAW) as raw:
        with bed.udp("mn", CARE_OF) as mn:
            mn.sendto(b"x", (text(absent), 9))
        raw.bind((text(CARE_OF), 0))
        payload = message((CARE_OF, CORRESPONDENT), CareOfTestInit(bytes(8)))
        raw.sendto(ipv6(CARE_OF, CORRESPONDENT, 135, payload), (text(CORRESPONDENT), 0))
        packets = captured(wire)
    solicited = [one for one in packets if one[6] == 58 and one[40] == 135 and one[48:64] == absent]
    assert solicited
    assert {one[8:24] for one in solicited} <= {CARE_OF, *(one[8:24] for one in solicited if one[8] == 0xFE)}
    assert [one for one in packets if one[6] == 135 and one[8:24] == CARE_OF]
    assert [one for one in packets if one[6] in (41, 43, 60)] == []


# --- mobile router --------------------------------------------------------------------------------------------------


def test_C103_a_mobile_router_that_is_away_is_no_router_of_the_visited_link(bed: Parties) -> None:
    """Neither asked nor by itself. The link behind it is advertised by a program of its own (radvd)."""
    index = bed.ends["net", "f1"].index
    with bed.wire("net", "f1") as wire, bed.raw("net", socket.IPPROTO_ICMPV6) as icmp:
        icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        for _ in range(2):
            icmp.sendto(bytes((133, 0, 0, 0, 0, 0, 0, 0)), ("ff02::2", 0, 0, index))
            time.sleep(0.2)
        packets = captured(wire)
    assert [one for one in packets if one[6] == 58 and one[40] == 133]
    assert [one for one in packets if one[6] == 58 and one[40] == 134] == []


def test_C104_a_network_is_reached_without_tunnel_when_its_router_is_at_home(bed: Parties) -> None:
    """The home agent has a route to the network through the home address; the tunnel goes before it while there is
    one."""
    home, link = bed.namespaces["home"], bed.ends["ha", "lan0"].index
    bed.agent.apply(EnsurePrefix(NETWORK, 1))
    bed.node.apply(EnsureUplink(NETWORK, HOME_AGENT))
    bed.netlink("ha").add_route(NETWORK.address, NETWORK.length, HOME, link)
    with bed.udp("behind", BEHIND) as behind, bed.udp("cn", CORRESPONDENT) as cn, bed.wire("ha", "lan0") as lan:
        assert arrives(cn, behind, BEHIND)
        assert [one for one in captured(lan) if one[24:40] == BEHIND] == []
    bed.node.apply(WithdrawUplink(NETWORK))
    for effect in (WithdrawPrefix(NETWORK), WithdrawPrefix(Prefix(HOME, 128)), WithdrawSlot(1)):
        bed.agent.apply(effect)
    eth = bed.ends["home", "eth0"].index  # the router is there now
    bed.netlink("home").add_address(eth, HOME, 128)
    bed.netlink("home").add_address(1, BEHIND, 128)
    home.sysctl("net/ipv6/conf/all/forwarding", 1)
    bed.settle("home", HOME)
    with bed.udp("home", BEHIND) as behind, bed.udp("cn", CORRESPONDENT) as cn, bed.wire("ha", "core") as core:
        assert arrives(cn, behind, BEHIND, 3)
        assert arrives(behind, cn, CORRESPONDENT, 3)
        assert [one for one in captured(core) if one[6] == 41] == []
