"""What a router says to a host, and what of a host's frames counts as a sign of it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.core.effects import Advertise, AdvertisedPrefix, QueryListeners
from sojourn.core.events import Sighting
from sojourn.host import frames
from sojourn.wire.addresses import ALL_NODES, UNSPECIFIED, Address, address, link_layer, prefix
from sojourn.wire.icmpv6 import (
    Icmpv6Message,
    Mtu,
    MulticastListenerDone,
    MulticastListenerQuery,
    MulticastListenerReport1,
    NeighbourAdvertisement,
    NeighbourSolicitation,
    PrefixInformation,
    RouteInformation,
    RouterAdvertisement,
    RouterSolicitation,
    SourceLinkLayerAddress,
    decode_icmpv6,
    encode_icmpv6,
    seal_icmpv6,
    verify_icmpv6,
)
from sojourn.wire.listeners import MulticastAddressRecord, RecordType
from sojourn.wire.units import SECOND

NODE = link_layer("02:00:00:00:00:01")
ROUTER = link_layer("00:00:5e:00:52:13")
ROUTER_LL = address("fe80::200:5eff:fe00:5213")
NODE_LL = address("fe80::ff:fe00:1")
SOLICITED = address("ff02::1:ff00:1")
ALL_ROUTERS = address("ff02::2")
LISTENERS = address("ff02::16")
SLLA = SourceLinkLayerAddress(NODE)
REPORT = bytes.fromhex("8f00000000000001 04000000") + SOLICITED


def _packet(message: Icmpv6Message | bytes, source: Address, destination: Address, hop_limit: int = 255) -> bytes:
    octets = message if isinstance(message, bytes) else encode_icmpv6(message)
    payload = seal_icmpv6(octets, source, destination)
    header = struct.pack("!IHBB", 6 << 28, len(payload), 58, hop_limit)
    return header + source + destination + payload


def _report(source: Address, hop_limit: int = 1, message: bytes = REPORT, options: str = "050200000100") -> bytes:
    payload = bytes.fromhex("3a00" + options) + seal_icmpv6(message, source, LISTENERS)
    return struct.pack("!IHBB", 6 << 28, len(payload), 0, hop_limit) + source + LISTENERS + payload


def _frame(packet: bytes, sender: bytes = NODE) -> bytes:
    return frames.ethernet(ROUTER, sender, packet)


GOOD = {
    "RS": (_packet(RouterSolicitation((SLLA,)), NODE_LL, ALL_ROUTERS), Sighting.ROUTER_SOLICITATION, NODE_LL),
    "RS without address": (_packet(RouterSolicitation(), UNSPECIFIED, ALL_ROUTERS), Sighting.ROUTER_SOLICITATION, None),
    "NS": (_packet(NeighbourSolicitation(ROUTER_LL, (SLLA,)), NODE_LL, ROUTER_LL), Sighting.NEIGHBOUR, NODE_LL),
    "DAD": (_packet(NeighbourSolicitation(NODE_LL), UNSPECIFIED, SOLICITED), Sighting.NEIGHBOUR, None),
    "NA": (_packet(NeighbourAdvertisement(0x60, NODE_LL), NODE_LL, ROUTER_LL), Sighting.NEIGHBOUR, NODE_LL),
    "NA to all": (_packet(NeighbourAdvertisement(0x20, NODE_LL), NODE_LL, ALL_NODES), Sighting.NEIGHBOUR, NODE_LL),
    "MLD": (_report(NODE_LL), Sighting.MULTICAST_LISTENER, NODE_LL),
    "MLD without address": (_report(UNSPECIFIED), Sighting.MULTICAST_LISTENER, None),
}


@pytest.mark.parametrize("name", GOOD)
def test_signs_of_life(name: str) -> None:
    packet, sighting, source = GOOD[name]
    found = frames.sign(_frame(packet))
    assert found is not None
    assert found[:3] == (NODE, sighting, source)
    assert bool(found.records) == (name == "MLD")


BAD = {
    "RS through a router": _packet(RouterSolicitation(), NODE_LL, ALL_ROUTERS, hop_limit=64),
    "RS with SLLA from ::": _packet(RouterSolicitation((SLLA,)), UNSPECIFIED, ALL_ROUTERS),
    "NS through a router": _packet(NeighbourSolicitation(ROUTER_LL), NODE_LL, ROUTER_LL, hop_limit=254),
    "NS for a group": _packet(NeighbourSolicitation(ALL_NODES), NODE_LL, ROUTER_LL),
    "NS from :: with SLLA": _packet(NeighbourSolicitation(NODE_LL, (SLLA,)), UNSPECIFIED, SOLICITED),
    "NS from :: to a host": _packet(NeighbourSolicitation(NODE_LL), UNSPECIFIED, ROUTER_LL),
    "NA for a group": _packet(NeighbourAdvertisement(0x60, ALL_NODES), NODE_LL, ROUTER_LL),
    "solicited NA to a group": _packet(NeighbourAdvertisement(0x60, NODE_LL), NODE_LL, ALL_NODES),
    "NA through a router": _packet(NeighbourAdvertisement(0x60, NODE_LL), NODE_LL, ROUTER_LL, hop_limit=1),
    "RA": _packet(RouterAdvertisement(), NODE_LL, ALL_NODES),
    "RS of code 1": _packet(bytes((133, 1, 0, 0, 0, 0, 0, 0)), NODE_LL, ALL_ROUTERS),
    "RS that is too short": _packet(bytes((133, 0, 0, 0)), NODE_LL, ALL_ROUTERS),
    "RS with an option of length 0": _packet(bytes((133,)) + bytes(7) + b"\1\0" + NODE, NODE_LL, ALL_ROUTERS),
    "MLD through a router": _report(NODE_LL, hop_limit=2),
    "MLD from a global address": _report(address("2001:db8::1")),
    "from a group": _packet(RouterSolicitation(), ALL_NODES, ALL_ROUTERS),
    "wrong checksum": GOOD["RS"][0][:-1] + b"\xff",
    "cut short": GOOD["NS"][0][:-8],
    "UDP": GOOD["RS"][0][:6] + b"\x11" + GOOD["RS"][0][7:],
}


@pytest.mark.parametrize("name", BAD)
def test_what_the_rfcs_forbid_is_no_sign(name: str) -> None:
    assert frames.sign(_frame(BAD[name])) is None


def test_a_group_is_no_sender() -> None:
    assert frames.sign(_frame(GOOD["RS"][0], sender=b"\x33\x33\0\0\0\1")) is None


def test_what_follows_the_packet_in_the_frame_is_padding() -> None:
    assert frames.sign(_frame(GOOD["RS"][0]) + bytes(20)) is not None


@given(st.sampled_from(sorted(GOOD)), st.data())
def test_damaged_frames_raise_nothing(name: str, data: st.DataObject) -> None:
    frame = bytearray(_frame(GOOD[name][0]))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    frames.sign(bytes(frame[: data.draw(st.integers(0, len(frame)))]))


@given(st.binary(max_size=200))
def test_random_frames_raise_nothing(octets: bytes) -> None:
    frames.sign(octets)


def test_an_advertisement_says_all_that_was_asked_for() -> None:
    current, old = prefix("2001:db8:1::/64"), prefix("2001:db8:2::/64")
    effect = Advertise(
        "acc0",
        NODE,
        ROUTER_LL,
        ROUTER,
        lifetime=600 * SECOND,
        prefixes=(AdvertisedPrefix(current, 300 * SECOND, 600 * SECOND), AdvertisedPrefix(old, 0, 600 * SECOND)),
        routes=(prefix("2001:db8:9::/48"),),
        mtu=1460,
    )
    packet = frames.advertisement(effect)
    assert packet[6:8] == bytes((58, 255))
    assert (packet[8:24], packet[24:40]) == (ROUTER_LL, ALL_NODES)
    assert verify_icmpv6(packet[40:], ROUTER_LL, ALL_NODES)
    assert decode_icmpv6(packet[40:]) == RouterAdvertisement(
        lifetime=600 * SECOND,
        options=(
            SourceLinkLayerAddress(ROUTER),
            PrefixInformation.of(current, 0x40, 600 * SECOND, 300 * SECOND),
            PrefixInformation.of(old, 0x40, 600 * SECOND, 0),
            RouteInformation.of(prefix("2001:db8:9::/48"), 600 * SECOND),
            Mtu(1460),
        ),
    )


def test_no_default_router_and_no_mtu() -> None:
    effect = Advertise("acc0", NODE, ROUTER_LL, ROUTER, 0, ())
    message = decode_icmpv6(frames.advertisement(effect)[40:])
    assert message == RouterAdvertisement(lifetime=0, options=(SourceLinkLayerAddress(ROUTER),))


def test_a_lifetime_beyond_what_travels_is_the_longest_that_does() -> None:
    effect = Advertise("acc0", NODE, ROUTER_LL, ROUTER, 100_000 * SECOND, ())
    message = decode_icmpv6(frames.advertisement(effect)[40:])
    assert isinstance(message, RouterAdvertisement)
    assert message.lifetime == 65_535 * SECOND


def test_questions_to_a_node() -> None:
    packet = frames.solicitation(ROUTER_LL, ROUTER, NODE_LL)
    assert frames.sign(frames.ethernet(NODE, ROUTER, packet)) == frames.Sign(ROUTER, Sighting.NEIGHBOUR, ROUTER_LL)
    assert packet[24:40] == NODE_LL
    query = frames.sign_of_life_query(ROUTER_LL)
    assert query[6:8] == bytes((0, 1))
    assert query[40:48].hex() == "3a00050200000100"
    assert verify_icmpv6(query[48:], ROUTER_LL, ALL_NODES)


GROUP = address("ff0e::1234")


def test_a_report_of_either_version_is_what_a_router_may_believe() -> None:
    """RFC 3810 8.3.2: what version 1 says, in the words of version 2."""
    for message, said, old in (
        (REPORT, MulticastAddressRecord(RecordType.CHANGE_TO_EXCLUDE_MODE, SOLICITED), False),
        (MulticastListenerReport1(GROUP), MulticastAddressRecord(RecordType.MODE_IS_EXCLUDE, GROUP), True),
        (MulticastListenerDone(GROUP), MulticastAddressRecord(RecordType.CHANGE_TO_INCLUDE_MODE, GROUP), True),
    ):
        octets = message if isinstance(message, bytes) else encode_icmpv6(message)
        sign = frames.sign(_frame(_report(NODE_LL, message=octets)))
        assert sign == frames.Sign(NODE, Sighting.MULTICAST_LISTENER, NODE_LL, (said,), old)


@pytest.mark.parametrize("options", ["050200000100", "010005020000", "050200000000", "000502000000"])
def test_the_padding_of_a_report_may_stand_anywhere(options: str) -> None:
    sign = frames.sign(_frame(_report(NODE_LL, options=options)))
    assert sign is not None
    assert sign.records


@pytest.mark.parametrize("options", ["010400000000", "050200010100"])
def test_5_a_report_without_a_router_alert_is_a_sign_of_life_and_no_more(options: str) -> None:
    """RFC 3810 5: "an IPv6 Router Alert option in a Hop-by-Hop Options header"; value 0 is MLD (RFC 2711 2.1)."""
    sign = frames.sign(_frame(_report(NODE_LL, options=options)))
    assert sign == frames.Sign(NODE, Sighting.MULTICAST_LISTENER, NODE_LL)


def test_5_2_13_a_report_without_an_address_says_nothing_to_a_router() -> None:
    sign = frames.sign(_frame(_report(UNSPECIFIED)))
    assert sign is not None
    assert sign.records == ()


@pytest.mark.parametrize("group", [None, GROUP])
def test_5_1_15_a_query_about_a_group_goes_to_the_group(group: Address | None) -> None:
    effect = QueryListeners("acc0", None, group, SECOND, 3, 60 * SECOND)
    packet = frames.query(ROUTER_LL, effect)
    assert packet[6:8] == bytes((0, 1))
    assert packet[8:40] == ROUTER_LL + (group or ALL_NODES)
    assert verify_icmpv6(packet[48:], ROUTER_LL, group or ALL_NODES)
    asked = decode_icmpv6(packet[48:])
    assert asked == MulticastListenerQuery(SECOND, group=group or UNSPECIFIED, version2=bytes((3, 60, 0, 0)))
    assert frames.is_query(_frame(packet))
    assert frames.sign(_frame(packet)) is None
    assert frames.group_link_layer(GROUP) == link_layer("33:33:00:00:12:34")
