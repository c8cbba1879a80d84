"""Scapy, which nobody here wrote, computes the same checksums and rebuilds our messages octet for octet."""

from __future__ import annotations

from random import Random

import pytest
from scapy.layers import inet6

from sojourn import wire
from sojourn.wire import icmpv6
from sojourn.wire.addresses import address
from support.capture import ipv6
from support.wire_messages import ICMPV6_MESSAGE_CLASSES, random_message, random_object

pytestmark = pytest.mark.interop

SOURCE, DESTINATION = address("2001:db8:1::1"), address("2001:db8:2::2")


def test_mobility_headers_are_rebuilt_with_the_same_checksum() -> None:
    rng = Random(6275)
    for _ in range(300):
        message = random_message(rng)
        octets = wire.encode(message)
        packet = inet6.IPv6(ipv6(wire.MOBILITY_HEADER, octets, SOURCE, DESTINATION))
        del packet.payload.cksum
        assert bytes(packet.payload) == wire.seal(octets, SOURCE, DESTINATION), message


def test_icmpv6_checksums_agree() -> None:
    rng = Random(4443)
    for _ in range(300):
        message = random_object(rng.choice(ICMPV6_MESSAGE_CLASSES), rng)
        octets = icmpv6.encode_icmpv6(message) + rng.randbytes(rng.randrange(2))
        expected = inet6.in6_chksum(icmpv6.ICMPV6, inet6.IPv6(ipv6(icmpv6.ICMPV6, octets, SOURCE, DESTINATION)), octets)
        assert icmpv6.seal_icmpv6(octets, SOURCE, DESTINATION)[2:4] == expected.to_bytes(2, "big")


def test_a_binding_update_by_scapy_is_understood() -> None:
    packet = inet6.IPv6(src="2001:db8:1::1", dst="2001:db8:2::2") / inet6.MIP6MH_BU(
        seq=77,
        flags="AHP",
        mhtime=15,
        options=[
            inet6.MIP6OptMNID(subtype=1, id=b"mn@example.com"),
            inet6.MIP6OptAltCoA(acoa="2001:db8:3::3"),
            inet6.MIP6OptUnknown(otype=68, odata=DESTINATION),
        ],
    )
    octets = bytes(packet)[40:]
    assert wire.verify(octets, SOURCE, DESTINATION)
    assert wire.decode(octets, strict=True) == wire.BindingUpdate(
        77,
        wire.BindingUpdateFlags.A | wire.BindingUpdateFlags.H | wire.BindingUpdateFlags.P,
        60_000_000_000,
        (
            wire.MobileNodeIdentifier(1, b"mn@example.com"),
            wire.AlternateCareOfAddress(address("2001:db8:3::3")),
            wire.ServingMaar(DESTINATION),
        ),
    )


def test_a_router_advertisement_by_scapy_is_understood() -> None:
    packet = (
        inet6.IPv6(src="fe80::1", dst="ff02::1")
        / inet6.ICMPv6ND_RA(chlim=64, O=1, routerlifetime=900)
        / inet6.ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:01")
        / inet6.ICMPv6NDOptPrefixInfo(
            prefixlen=64, L=0, A=1, validlifetime=60, preferredlifetime=0, prefix="2001:db8:1::"
        )
        / inet6.ICMPv6NDOptMTU(mtu=1420)
    )
    octets = bytes(packet)[40:]
    assert icmpv6.verify_icmpv6(octets, address("fe80::1"), address("ff02::1"))
    advertisement = icmpv6.decode_icmpv6(octets, strict=True)
    assert isinstance(advertisement, icmpv6.RouterAdvertisement)
    assert (
        advertisement.flags == icmpv6.RouterAdvertisementFlags.OTHER | icmpv6.RouterAdvertisementFlags.PREFERENCE_HIGH
    )
    assert (advertisement.hop_limit, advertisement.lifetime) == (64, 900_000_000_000)
    assert advertisement.options == (
        icmpv6.SourceLinkLayerAddress(bytes.fromhex("020000000001")),
        icmpv6.PrefixInformation(
            64, icmpv6.PrefixInformationFlags.AUTONOMOUS, 60_000_000_000, 0, address("2001:db8:1::")
        ),
        icmpv6.Mtu(1420),
    )
