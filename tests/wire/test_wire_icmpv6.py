"""Neighbour and listener discovery: octets by hand from RFC 4861, RFC 4191, RFC 2710 and RFC 3810."""

from __future__ import annotations

from typing import Any

import pytest

from sojourn.wire import DecodeError, EncodeError, icmpv6
from sojourn.wire.addresses import address, prefix
from sojourn.wire.listeners import MulticastAddressRecord, RecordType, interval_code
from sojourn.wire.units import MILLISECOND, SECOND

LINK_LOCAL = address("fe80::200:5eff:fe00:5213")
ALL_NODES = address("ff02::1")
SOLICITED_NODE = address("ff02::1:ff00:5213")

FIGURES: dict[str, tuple[icmpv6.Icmpv6Message, str]] = {
    "4861 4.1 Router Solicitation": (
        icmpv6.RouterSolicitation((icmpv6.SourceLinkLayerAddress(bytes.fromhex("020000000001")),)),
        "85 00 0000 00000000  01 01 02 00 00 00 00 01",
    ),
    "4861 4.2 Router Advertisement": (
        icmpv6.RouterAdvertisement(
            64,
            icmpv6.RouterAdvertisementFlags.OTHER | icmpv6.RouterAdvertisementFlags.PREFERENCE_HIGH,
            1800 * SECOND,
            30000 * MILLISECOND,
            1000 * MILLISECOND,
            (
                icmpv6.Mtu(1460),
                icmpv6.PrefixInformation.of(
                    prefix("2001:db8:a1:1::/64"), icmpv6.PrefixInformationFlags.AUTONOMOUS, icmpv6.INFINITE, 0
                ),
                icmpv6.RouteInformation.of(prefix("2001:db8:ff::/48"), 600 * SECOND, preference=3),
            ),
        ),
        "86 00 0000 40 48 0708 00007530 000003e8"
        "05 01 0000 000005b4"
        "03 04 40 40 ffffffff 00000000 00000000 20010db8 00a10001 00000000 00000000"
        "18 02 30 18 00000258 20010db8 00ff0000",
    ),
    "4861 4.3 Neighbour Solicitation": (
        icmpv6.NeighbourSolicitation(LINK_LOCAL),
        "87 00 0000 00000000 fe800000 00000000 02005eff fe005213",
    ),
    "4861 4.4 Neighbour Advertisement": (
        icmpv6.NeighbourAdvertisement(
            icmpv6.NeighbourAdvertisementFlags.ROUTER | icmpv6.NeighbourAdvertisementFlags.OVERRIDE,
            LINK_LOCAL,
            (icmpv6.TargetLinkLayerAddress(bytes.fromhex("00005e005213")),),
        ),
        "88 00 0000 a0000000 fe800000 00000000 02005eff fe005213  02 01 00 00 5e 00 52 13",
    ),
    "2710 3 general query": (
        icmpv6.MulticastListenerQuery(1000 * MILLISECOND),
        "82 00 0000 03e8 0000 00000000 00000000 00000000 00000000",
    ),
    "3810 5.1 general query": (
        icmpv6.MulticastListenerQuery.general(1000 * MILLISECOND),
        "82 00 0000 03e8 0000 00000000 00000000 00000000 00000000 02 7d 0000",
    ),
    "2710 3 report": (
        icmpv6.MulticastListenerReport1(SOLICITED_NODE),
        "83 00 0000 0000 0000 ff020000 00000000 00000001 ff005213",
    ),
    "2710 3 done": (
        icmpv6.MulticastListenerDone(SOLICITED_NODE),
        "84 00 0000 0000 0000 ff020000 00000000 00000001 ff005213",
    ),
    "3810 5.2 report": (
        icmpv6.MulticastListenerReport2(
            2,
            bytes.fromhex("04 00 0000") + SOLICITED_NODE + bytes.fromhex("03 01 0001") + ALL_NODES + bytes(16 + 4),
        ),
        "8f 00 0000 0000 0002"
        "04 00 0000 ff020000 00000000 00000001 ff005213"
        "03 01 0001 ff020000 00000000 00000000 00000001  00000000 00000000 00000000 00000000  00000000",
    ),
}


@pytest.mark.parametrize(("message", "figure"), FIGURES.values(), ids=FIGURES.keys())
def test_a_message_is_what_its_figure_says(message: icmpv6.Icmpv6Message, figure: str) -> None:
    assert icmpv6.encode_icmpv6(message) == bytes.fromhex(figure)
    assert icmpv6.decode_icmpv6(bytes.fromhex(figure), strict=True) == message


def test_a_listener_report_of_either_version_names_its_groups() -> None:
    for name, groups in (("2710 3 report", (SOLICITED_NODE,)), ("3810 5.2 report", (SOLICITED_NODE, ALL_NODES))):
        report = icmpv6.decode_icmpv6(bytes.fromhex(FIGURES[name][1]))
        assert isinstance(report, icmpv6.MulticastListenerReport)
        assert report.groups == groups


def test_8_3_2_a_listener_of_version_1_says_what_a_record_of_version_2_would_say() -> None:
    """RFC 3810 8.3.2: a version 1 report is equivalent to IS_EX({}), a version 1 done to TO_IN({})."""
    report, done = icmpv6.MulticastListenerReport1(ALL_NODES), icmpv6.MulticastListenerDone(ALL_NODES)
    assert report.memberships == (MulticastAddressRecord(RecordType.MODE_IS_EXCLUDE, ALL_NODES),)
    assert done.memberships == (MulticastAddressRecord(RecordType.CHANGE_TO_INCLUDE_MODE, ALL_NODES),)


def test_5_2_records_travel_with_their_sources_and_without_auxiliary_data() -> None:
    records = (
        MulticastAddressRecord(RecordType.ALLOW_NEW_SOURCES, SOLICITED_NODE, (LINK_LOCAL, ALL_NODES)),
        MulticastAddressRecord(RecordType.MODE_IS_EXCLUDE, ALL_NODES),
    )
    report = icmpv6.MulticastListenerReport2.of(*records)
    assert icmpv6.decode_icmpv6(icmpv6.encode_icmpv6(report)) == report
    assert report.memberships == records
    auxiliary = bytes.fromhex("06 02 0001") + ALL_NODES + LINK_LOCAL + b"auxiliar" + report.records
    said = icmpv6.MulticastListenerReport2(3, auxiliary).memberships
    assert said == (MulticastAddressRecord(RecordType.BLOCK_OLD_SOURCES, ALL_NODES, (LINK_LOCAL,)), *records)


def test_5_2_a_record_whose_sources_are_cut_off_says_nothing() -> None:
    whole = MulticastAddressRecord(RecordType.MODE_IS_INCLUDE, ALL_NODES, (LINK_LOCAL,))
    octets = icmpv6.MulticastListenerReport2.of(whole, whole).records
    for size in range(len(octets)):
        said = icmpv6.MulticastListenerReport2(2, octets[:size]).memberships
        assert said == (whole,) * (size // 36)


@pytest.mark.parametrize(
    ("seconds", "code"), [(0, 0), (125, 125), (127, 127), (128, 0x80), (136, 0x81), (143, 0x81), (31744, 0xFF)]
)
def test_5_1_9_an_interval_of_128_seconds_and_more_is_a_floating_point_number(seconds: int, code: int) -> None:
    """RFC 3810 5.1.9: QQI = (mant | 0x10) << (exp + 3)."""
    assert interval_code(seconds * SECOND) == code
    if code & 0x80:
        assert (code & 0xF | 0x10) << ((code >> 4 & 7) + 3) <= seconds
    assert interval_code(10**6 * SECOND) == 0xFF


def test_5_1_8_a_robustness_that_does_not_fit_is_not_told() -> None:
    for robustness, told in ((2, 2), (7, 7), (8, 0)):
        query = icmpv6.MulticastListenerQuery.about(ALL_NODES, 1000 * MILLISECOND, robustness, 125 * SECOND)
        assert query.version2[0] == told
        assert query.group == ALL_NODES


@pytest.mark.parametrize(
    ("text", "size"), [("::/0", 8), ("2001:db8::/32", 16), ("2001:db8::/64", 16), ("2001:db8:0:1:2::/80", 24)]
)
def test_a_route_takes_as_many_octets_as_its_prefix_needs(text: str, size: int) -> None:
    """RFC 4191 2.3: the length is 1, 2 or 3, depending on the prefix length."""
    option = icmpv6.RouteInformation.of(prefix(text), 5 * SECOND)
    octets = icmpv6.encode_icmpv6(icmpv6.RouterSolicitation((option,)))
    assert len(octets) == 8 + size
    decoded = icmpv6.decode_icmpv6(octets).first(icmpv6.RouteInformation)
    assert decoded == option
    assert decoded.prefix == prefix(text)


def test_a_route_whose_prefix_is_cut_short_has_zeros_there() -> None:
    octets = bytes.fromhex("85 00 0000 00000000  18 01 80 00 00000005")
    option = icmpv6.decode_icmpv6(octets, strict=True).first(icmpv6.RouteInformation)
    assert option
    assert option.prefix == prefix("::/128")


def test_an_option_of_length_zero_spoils_the_message() -> None:
    """RFC 4861 4.6: nodes MUST silently discard a packet that contains an option with length zero."""
    octets = bytes.fromhex("85 00 0000 00000000  01 00 02 00 00 00 00 01")
    with pytest.raises(DecodeError, match=r"option 1 .* \(octet 8\)"):
        icmpv6.decode_icmpv6(octets)


def test_a_code_other_than_zero_is_refused() -> None:
    """RFC 4861 6.1.1, 6.1.2, 7.1.1, 7.1.2: ICMP Code is 0."""
    for number in (133, 134, 135, 136):
        octets = bytes((number, 1)) + bytes(22)
        with pytest.raises(DecodeError, match=r"code 1 \(octet 1\)"):
            icmpv6.decode_icmpv6(octets)


def test_unknown_options_and_messages_are_kept() -> None:
    octets = bytes.fromhex("85 00 0000 00000000  63 01 01 02 03 04 05 06")
    message = icmpv6.decode_icmpv6(octets, strict=True)
    assert message.options == (icmpv6.UnknownNdOption(99, bytes(range(1, 7))),)
    assert icmpv6.encode_icmpv6(message) == octets
    octets = bytes.fromhex("80 07 0000 01020304")
    echo = icmpv6.decode_icmpv6(octets, strict=True)
    assert echo == icmpv6.UnknownIcmpv6(128, 7, b"\1\2\3\4")
    assert icmpv6.encode_icmpv6(echo) == octets


def test_a_malformed_option_is_kept_as_octets_and_an_error_if_strict() -> None:
    octets = bytes.fromhex("85 00 0000 00000000  03 01 40 00 00000000")
    assert icmpv6.decode_icmpv6(octets).options == (icmpv6.UnknownNdOption(3, bytes.fromhex("40 00 00000000")),)
    with pytest.raises(DecodeError, match=r"PrefixInformation \(RFC 4861 4\.6\.2\): 6 octets where 30"):
        icmpv6.decode_icmpv6(octets, strict=True)


@pytest.mark.parametrize("option", [icmpv6.UnknownNdOption(99, bytes(7)), icmpv6.UnknownNdOption(256, bytes(6))])
def test_an_unknown_option_that_cannot_travel_is_refused(option: Any) -> None:
    with pytest.raises(EncodeError, match="UnknownNdOption: type"):
        icmpv6.encode_icmpv6(icmpv6.RouterSolicitation((option,)))


@pytest.mark.parametrize("size", [6, 7, 12, 13, 14, 20])
def test_a_link_layer_address_of_any_size_fills_its_option_with_zeros(size: int) -> None:
    octets = icmpv6.encode_icmpv6(icmpv6.RouterSolicitation((icmpv6.SourceLinkLayerAddress(b"x" * size),)))
    option = icmpv6.decode_icmpv6(octets, strict=True).first(icmpv6.SourceLinkLayerAddress)
    assert option
    assert option.link_layer == (b"x" * size).ljust(8 * -(-(2 + size) // 8) - 2, b"\0")


def test_the_checksum_of_an_odd_number_of_octets() -> None:
    """By hand: 2 x (fe80 + 0001) = 1fd02 -> fd03; + 5 + 3a = fd42; + 8000 + 7f00 = 1fc42 -> fc43; inverted 03bc."""
    node = address("fe80::1")
    octets = bytes.fromhex("80 00 0000 7f")
    sealed = icmpv6.seal_icmpv6(octets, node, node)
    assert sealed.hex() == "800003bc7f"
    assert icmpv6.verify_icmpv6(sealed, node, node)
    assert not icmpv6.verify_icmpv6(octets, node, node)
