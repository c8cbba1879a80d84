"""Octets by hand: one figure for each format of the extensions, with the section whose figure it is.

No tool decodes most of these (decode-coverage.csv), so the octets were written field by field from the RFCs' figures
and not with the encoder. Options are given without padding before them.
"""

from __future__ import annotations

from typing import Any

import pytest

from sojourn import wire
from sojourn.wire import icmpv6
from sojourn.wire.addresses import address, prefix
from sojourn.wire.extensions import (
    rfc3963,
    rfc4068,
    rfc4285,
    rfc4866,
    rfc5026,
    rfc5096,
    rfc5142,
    rfc5149,
    rfc5175,
    rfc5380,
    rfc5555,
    rfc5568,
    rfc5568_discovery,
    rfc5648,
    rfc5844,
    rfc5845,
    rfc5949,
    rfc6058,
    rfc6088,
    rfc6089,
    rfc6275_discovery,
    rfc6463,
    rfc6602,
    rfc6705,
    rfc6757,
    rfc6909,
    rfc7028,
    rfc7077,
    rfc7109,
    rfc7148,
    rfc7161,
    rfc7222,
    rfc7389,
    rfc7411,
    rfc7563,
    rfc8127,
    rfc8278,
)
from sojourn.wire.units import MILLISECOND, SECOND

HERE = address("2001:db8:a2::1")
HERE_HEX = "20010db8 00a20000 00000000 00000001"
PREFIX = prefix("2001:db8:1::/48")
PREFIX_HEX = "20010db8 00010000 00000000 00000000"
IPV4 = bytes((192, 0, 2, 1))
IPV4_HEX = "c0 00 02 01"
HALF = bytes.fromhex("0011223344556677")
HALF_HEX = "0011 2233 4455 6677"

OPTIONS: dict[str, tuple[Any, str]] = {
    "3963 4.3": (rfc3963.MobileNetworkPrefix.of(PREFIX), f"06 12 00 30 {PREFIX_HEX}"),
    "6275 6.2.6": (wire.NonceIndices(0x0102, 0x0304), "04 04 0102 0304"),
    "6275 6.2.7": (wire.BindingAuthorizationData(bytes(range(12))), "05 0c 000102030405060708090a0b"),
    "5568 6.4.4": (rfc5568.MobilityHeaderLinkLayerAddress(2, bytes(6)), "07 07 02 000000000000"),
    "4285 5": (rfc4285.MobilityMessageAuthentication(1, 3, bytes(12)), "09 11 01 00000003 " + "00" * 12),
    "4285 6": (rfc4285.MobilityMessageReplayProtection(0xE8000000_80000000), "0a 08 e8000000 80000000"),
    "4866 5.6": (rfc4866.CgaParametersRequest(), "0b 00"),
    "4866 5.1": (rfc4866.CgaParameters(b"xyz"), "0c 03 78797a"),
    "4866 5.2": (rfc4866.Signature(b"s"), "0d 01 73"),
    "4866 5.3": (rfc4866.PermanentHomeKeygenToken(HALF), f"0e 08 {HALF_HEX}"),
    "4866 5.4": (rfc4866.CareOfTestInitOption(), "0f 00"),
    "4866 5.5": (rfc4866.CareOfTestOption(HALF), f"10 08 {HALF_HEX}"),
    "5026 8.1": (rfc5026.DnsUpdate(0, True, b"\2mn\0"), "11 06 00 80 02 6d6e 00"),
    "5096 4": (rfc5096.ExperimentalMobilityOption(b"\1\2"), "12 02 01 02"),
    "5149 3": (rfc5149.ServiceSelection(b"ims"), "14 03 696d73"),
    "5568 6.4.5": (rfc5568.BindingAuthorizationDataForFmipv6(7, b"1234"), "15 08 00000007 31323334"),
    "5555 3.1.1": (rfc5555.Ipv4HomeAddress(24, True, IPV4), f"1d 06 62 00 {IPV4_HEX}"),
    "5555 3.2.1": (rfc5555.Ipv4AddressAcknowledgement(128, 32, IPV4), f"1e 06 80 80 {IPV4_HEX}"),
    "5555 3.2.2": (rfc5555.NatDetection(True, 110), "1f 06 80 00 0000006e"),
    "5555 3.1.2": (rfc5555.Ipv4CareOfAddress(IPV4), f"20 06 0000 {IPV4_HEX}"),
    "5845 6.1": (rfc5845.GreKey.of(0x01020304), "21 06 0000 01020304"),
    "5845 6.1 without a key": (rfc5845.GreKey.of(None), "21 02 0000"),
    "5568 6.4.2": (rfc5568.MobilityHeaderIpv6AddressPrefix(2, 128, HERE), f"22 12 02 80 {HERE_HEX}"),
    "5648 4.3, 6089 4.1": (rfc5648.BindingIdentifier(300, 0, True, 9), "23 04 012c 00 89"),
    "5648 4.3 with a care-of address": (rfc5648.BindingIdentifier(1, care_of=HERE), f"23 14 0001 00 00 {HERE_HEX}"),
    "5844 3.3.1": (rfc5844.Ipv4HomeAddressRequest(32, bytes(4)), "24 06 80 00 00000000"),
    "5844 3.3.2": (rfc5844.Ipv4HomeAddressReply(0, 24, IPV4), f"25 06 00 60 {IPV4_HEX}"),
    "5844 3.3.3": (rfc5844.Ipv4DefaultRouterAddress(IPV4), f"26 06 0000 {IPV4_HEX}"),
    "5844 3.3.4": (rfc5844.Ipv4DhcpSupportMode(True), "27 02 0001"),
    "5949 6.2.1": (
        rfc5949.ContextRequest(
            (rfc5949.RequestedContext(22), rfc5949.RequestedContext(19, bytes.fromhex("0000000703")))
        ),
        "28 0b 0000 16 00 13 05 0000000703",
    ),
    "5949 6.2.2": (rfc5949.LocalMobilityAnchorAddress(2, IPV4), f"29 06 02 00 {IPV4_HEX}"),
    "5949 6.2.3": (rfc5949.MobileNodeLinkLocalAddressInterfaceIdentifier(HALF), f"2a 0a 0000 {HALF_HEX}"),
    "6058 5.1": (rfc6058.TransientBinding(True, 3000 * MILLISECOND), "2b 02 01 1e"),
    "6089 4.2.2": (rfc6089.FlowSummary((1, 258)), "2c 04 0001 0102"),
    "6089 4.2": (
        rfc6089.FlowIdentification(
            5,
            10,
            sub_options=(
                rfc6089.BidReference((1, 2)),
                rfc7109.FlowBindingAction(11),
                rfc7109.TargetCareOfAddress(IPV4),
            ),
        ),
        f"2d 18 0005 000a 00 00  02 04 0001 0002  04 02 00 0b  05 06 0000 {IPV4_HEX}",
    ),
    "6089 4.2.1.4, 6088 3.1": (
        rfc6089.FlowIdentification(
            5,
            10,
            sub_options=(
                rfc6089.TrafficSelector.of(
                    rfc6088.Ipv4TrafficSelector(source=(IPV4, None), destination_port=(5000, 5004), protocol=(17, None))
                ),
            ),
        ),
        # A, I, J and M of 14 flags
        f"2d 17 0005 000a 00 00  03 0f 01 00  80c80000 {IPV4_HEX} 1388 138c 11",
    ),
    "6463 4.1": (rfc6463.RedirectCapability(), "2e 02 0000"),
    "6463 4.2": (rfc6463.Redirect.of(HERE), f"2f 12 8000 {HERE_HEX}"),
    "6463 4.2 IPv4": (rfc6463.Redirect.of(IPV4), f"2f 06 4000 {IPV4_HEX}"),
    "6463 4.3": (rfc6463.LoadInformation(1, 2, 3, 4, 5), "30 12 0001 00000002 00000003 00000004 00000005"),
    "6463 4.4": (rfc6463.AlternateIpv4CareOfAddress(IPV4), f"31 04 {IPV4_HEX}"),
    "6602 4.3": (rfc6602.MobileNodeGroupIdentifier(1, 7), "32 06 01 00 00000007"),
    "6705 11.1": (rfc6705.MagIpv6Address(HERE), f"33 12 00 80 {HERE_HEX}"),
    "6757 3": (
        rfc6757.AccessNetworkIdentifier(
            (
                rfc6757.NetworkIdentifier(True, b"home", b"ap1"),
                rfc6757.GeoLocation.of(-1.5, 10.25),
                rfc6757.OperatorIdentifier(1, b"\x7e\xd9"),
                rfc7563.CivicLocation(0, b"x"),
                rfc7563.MagGroupIdentifier(258),
                rfc7563.AniUpdateTimer(40 * SECOND),
            )
        ),
        "34 26  01 0a 80 04 686f6d65 03 617031  02 06 ff4000 052000  03 03 01 7ed9  04 03 00 00 78"
        " 05 02 0102  06 02 000a",
    ),
    "6909 3.1": (
        rfc6909.Ipv4TrafficOffloadSelector(
            True, (rfc6089.TrafficSelector.of(rfc6088.Ipv4TrafficSelector(protocol=(6, None))),)
        ),
        # M of 14 flags is the thirteenth
        "35 0d 80000000  03 07 01 00 00080000 06",
    ),
    "7028 5.1.2": (rfc7028.DynamicIpMulticastSelector(143, True, 0), "36 04 8f 80 0000"),
    "7148 4.1": (rfc7148.DelegatedMobileNetworkPrefix.of(PREFIX), f"37 12 00 30 {PREFIX_HEX}"),
    "7148 4.1 IPv4": (rfc7148.DelegatedMobileNetworkPrefix(True, 24, IPV4), f"37 06 80 18 {IPV4_HEX}"),
    "7161 6.1": (rfc7161.ActiveMulticastSubscriptionIpv4(0x22, b"1234"), "38 05 22 31323334"),
    "7161 4.1.2": (rfc7161.ActiveMulticastSubscriptionIpv6(143, bytes(20)), "39 15 8f " + "00" * 20),
    "7222 4.1": (
        rfc7222.QualityOfService(
            7,
            46,
            1,
            (
                rfc7222.PerMnAggMaxDlBitRate(1000),
                rfc7222.PerMnAggMaxUlBitRate(1001),
                rfc7222.PerSessionAggMaxDlBitRate(True, False, 1002),
                rfc7222.PerSessionAggMaxUlBitRate(False, True, 1003),
                rfc7222.AllocationRetentionPriority(15, 1, 2),
                rfc7222.AggregateMaxDlBitRate(1004),
                rfc7222.AggregateMaxUlBitRate(1005),
                rfc7222.GuaranteedDlBitRate(1006),
                rfc7222.GuaranteedUlBitRate(1007),
                rfc7222.QosVendorSpecificAttribute(8, 9, b"z"),
            ),
        ),
        "3a 54 07 b8 01 000000"
        "01 06 0000 000003e8  02 06 0000 000003e9  03 06 8000 000003ea  04 06 4000 000003eb  05 02 00 f6"
        "06 06 0000 000003ec  07 06 0000 000003ed  08 06 0000 000003ee  09 06 0000 000003ef"
        "0b 08 0000 00000008 09 7a",
    ),
    "7222 4.2.10, 6088 3.2": (
        rfc7222.QualityOfService(
            7,
            0,
            4,
            (
                rfc7222.QosTrafficSelector.of(
                    rfc6088.Ipv6TrafficSelector(flow_label=(0xABCDE, None), next_header=(6, 17))
                ),
            ),
        ),
        # reserved comes before the format here; G, O and P of 16 flags
        "3a 14 07 00 04 000000  0a 0c 00 02  02030000 000abcde 06 11",
    ),
    "7389 4": (rfc7389.LmaUserPlaneAddress(HERE), f"3b 12 0000 {HERE_HEX}"),
    "7389 4 asked for": (rfc7389.LmaUserPlaneAddress(), "3b 02 0000"),
    "7411 5.3": (rfc7411.MulticastMobility(2, bytes(8)), "3c 02 02 00 " + "00" * 8),
    "7411 5.4": (rfc7411.MulticastAcknowledgement(1, bytes(4)), "3d 01 00 01 00000000"),
    "8127 3": (
        rfc8127.LmaControlledMagParameters(
            (
                rfc8127.BindingReregistrationControl(40 * SECOND, 1 * SECOND, 32 * SECOND),
                rfc8127.HeartbeatControl(60 * SECOND, 5 * SECOND, 3),
            )
        ),
        "3e 10  01 06 000a 0001 0020  02 06 003c 0005 0003",
    ),
    "8278 4.1": (rfc8278.MagMultipathBinding(8, 11, 3, False, True), "3f 06 08 0b 03 40 0000"),
    "8278 4.2": (rfc8278.MagIdentifier(1, b"mag"), "40 05 01 00 6d6167"),
}


@pytest.mark.parametrize(("option", "figure"), OPTIONS.values(), ids=OPTIONS.keys())
def test_an_option_is_what_its_figure_says(option: Any, figure: str) -> None:
    octets = bytes.fromhex(figure)
    out = bytearray()
    option.put(out, False)
    assert out == octets
    assert wire.MOBILITY_OPTIONS.walk(octets, 0, len(octets), 1) == (option,)


def test_every_option_of_the_extensions_has_a_figure() -> None:
    shown = {option.number for option, _ in OPTIONS.values()}
    assert shown >= {number for number, cls in wire.MOBILITY_OPTIONS.classes.items() if "extensions" in cls.__module__}


TOKEN = bytes.fromhex("a0a1a2a3a4a5a6a7")
TOKEN_HEX = "a0a1a2a3 a4a5a6a7"
MESSAGES: dict[str, tuple[Any, str]] = {
    "6275 6.1.3": (wire.HomeTestInit(HALF), f"3b 01 01 00 0000  0000 {HALF_HEX}"),
    "6275 6.1.4": (wire.CareOfTestInit(HALF), f"3b 01 02 00 0000  0000 {HALF_HEX}"),
    "6275 6.1.5": (wire.HomeTest(5, HALF, TOKEN), f"3b 02 03 00 0000  0005 {HALF_HEX} {TOKEN_HEX}"),
    "6275 6.1.6": (wire.CareOfTest(6, HALF, TOKEN), f"3b 02 04 00 0000  0006 {HALF_HEX} {TOKEN_HEX}"),
    "5568 6.2.2": (rfc5568.FastBindingUpdate(1, 0xC000, 40 * SECOND), "3b 01 08 00 0000  0001 c000 000a  01 02 0000"),
    "5568 6.2.3": (
        rfc5568.FastBindingAcknowledgment(1, 0x80, 2, 40 * SECOND),
        "3b 01 09 00 0000  01 80 0002 000a  01 02 0000",
    ),
    "4068 6.3.3": (rfc4068.FastNeighborAdvertisement(), "3b 00 0a 00 0000  0000"),
    "5096 3": (rfc5096.ExperimentalMobilityHeader(), "3b 00 0b 00 0000  0000"),
    "5142 4": (
        rfc5142.HomeAgentSwitch((HERE,), (wire.BindingRefreshAdvice(8 * SECOND),)),
        f"3b 03 0c 00 0000  01 00 {HERE_HEX}  02 02 0002  01 02 0000",
    ),
    "5568 6.2.1.1": (
        rfc5568.HandoverInitiate(7, rfc5568.HandoverInitiateFlags.U, 1),
        "3b 01 0e 00 0000  0007 40 01  01 04 00000000",
    ),
    "5568 6.2.1.2, 5949 6.1.2": (
        rfc5568.HandoverAcknowledge(7, rfc5568.HandoverAcknowledgeFlags.U, 128),
        "3b 01 0f 00 0000  0007 80 80  01 04 00000000",
    ),
    "6705 10.1": (
        rfc6705.LocalizedRoutingInitiation(3, 60 * SECOND),
        "3b 01 11 00 0000  0003 0000 003c  01 02 0000",
    ),
    "6705 10.2": (
        rfc6705.LocalizedRoutingAcknowledgment(3, 0x80, 129, 60 * SECOND),
        "3b 01 12 00 0000  0003 80 81 003c  01 02 0000",
    ),
    "7077 4.1": (rfc7077.UpdateNotification(9, 1, 0x8000), "3b 01 13 00 0000  0009 0001 8000  01 02 0000"),
    "7077 4.2": (rfc7077.UpdateNotificationAcknowledgement(9, 128), "3b 01 14 00 0000  0009 80 000000  01 02 0000"),
    "7109 6.1.1": (rfc7109.FlowBindingIndication(4, 2, 0x80), "3b 01 15 00 0000  0001 0004 02 80  01 02 0000"),
    "7109 6.1.2": (rfc7109.FlowBindingAcknowledgement(4, 129), "3b 01 15 00 0000  0002 0004 81 00  01 02 0000"),
    "7161 4.3.1.2": (rfc7161.SubscriptionQuery(200), "3b 00 16 00 0000  c8 00"),
    "7161 4.3.2.2": (rfc7161.SubscriptionResponse(200, 0x80), "3b 00 17 00 0000  c8 80"),
}


@pytest.mark.parametrize(("message", "figure"), MESSAGES.values(), ids=MESSAGES.keys())
def test_a_message_is_what_its_figure_says(message: Any, figure: str) -> None:
    assert wire.encode(message) == bytes.fromhex(figure)
    assert wire.decode(bytes.fromhex(figure), strict=True) == message


def test_every_message_of_the_extensions_has_a_figure() -> None:
    shown = {type(message) for message, _ in MESSAGES.values()}
    known = [*wire.MESSAGES.values(), *(cls for table in wire.SUBTYPED_MESSAGES.values() for cls in table.values())]
    assert shown >= {cls for cls in known if "extensions" in cls.__module__}


DISCOVERY: dict[str, tuple[Any, str]] = {
    "6275 6.5": (
        rfc6275_discovery.HomeAgentAddressDiscoveryRequest(5, 0x8000),
        "90 00 0000 0005 8000",
    ),
    "6275 6.6": (
        rfc6275_discovery.HomeAgentAddressDiscoveryReply(5, 0, (HERE, HERE)),
        f"91 00 0000 0005 0000 {HERE_HEX} {HERE_HEX}",
    ),
    "6275 6.7": (rfc6275_discovery.MobilePrefixSolicitation(6), "92 00 0000 0006 0000"),
    "6275 6.8, 7.3, 7.4": (
        rfc6275_discovery.MobilePrefixAdvertisement(
            6,
            0xC000,
            (
                rfc6275_discovery.AdvertisementInterval(1500 * MILLISECOND),
                rfc6275_discovery.HomeAgentInformation(10, 1800 * SECOND, flags=0x8000),
            ),
        ),
        "93 00 0000 0006 c000  07 01 0000 000005dc  08 01 8000 000a 0708",
    ),
    "5568 6.1.1, 6.4.3": (
        rfc5568_discovery.RouterSolicitationForProxyAdvertisement(
            7, (rfc5568_discovery.LinkLayerAddress(1, bytes.fromhex("0200000000010000000000000a")),)
        ),
        "9a 00 0000 02 00 0007  13 02 01 0200000000010000000000000a",
    ),
    "5568 6.1.2, 6.4.1, 6.4.6, 5380 5, 5175 4": (
        rfc5568_discovery.ProxyRouterAdvertisement(
            7,
            (
                rfc5568_discovery.IpAddressPrefix(3, 128, HERE),
                rfc5568_discovery.NeighborAdvertisementAcknowledgment(2, HERE),
                rfc5568_discovery.NeighborAdvertisementAcknowledgment(1),
                rfc5380.MobilityAnchorPoint(1, 15, True, 600 * SECOND, HERE),
                rfc5175.RaFlagsExtension(1),
            ),
            code=5,
        ),
        f"9a 05 0000 03 00 0007  11 03 03 80 00000000 {HERE_HEX}  14 03 00 02 00000000 {HERE_HEX}"
        f" 14 01 00 01 00000000  17 03 1f 80 00000258 {HERE_HEX}  1a 01 000000000001",
    ),
}


@pytest.mark.parametrize(("message", "figure"), DISCOVERY.values(), ids=DISCOVERY.keys())
def test_a_discovery_message_is_what_its_figure_says(message: Any, figure: str) -> None:
    assert icmpv6.encode_icmpv6(message) == bytes.fromhex(figure)
    assert icmpv6.decode_icmpv6(bytes.fromhex(figure), strict=True) == message
