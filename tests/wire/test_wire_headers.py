"""Home Address option, type 2 routing header and UDP encapsulation: octets by hand, and what is refused."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest

from sojourn import wire
from sojourn.wire import ipv6, udp
from sojourn.wire.addresses import address
from sojourn.wire.extensions.rfc6618 import TlsPacket
from sojourn.wire.extensions.rfc8371 import identifier_text, imsi

HOME, CARE_OF, AGENT = address("2001:db8:f::1"), address("2001:db8:a::1"), address("2001:db8:b::1")
HOME_HEX = "20010db8 000f0000 00000000 00000001"


def test_home_address_option() -> None:
    """RFC 6275 6.3: aligned at 8n+6, so that PadN comes first."""
    header = ipv6.DestinationOptions(135, (ipv6.HomeAddress(HOME),))
    octets = bytes.fromhex(f"87 02 01 02 0000 c9 10 {HOME_HEX}")
    assert header.encode() == octets
    assert ipv6.DestinationOptions.decode(octets, strict=True) == header
    assert header.home_address == HOME
    kept = ipv6.DestinationOptions.decode(octets, padding=True).options
    assert kept == (ipv6.DestinationPadN(b"\0\0"), ipv6.HomeAddress(HOME))


def test_type_2_routing_header() -> None:
    header = ipv6.RoutingHeader2(135, HOME)
    octets = bytes.fromhex(f"87 02 02 01 00000000 {HOME_HEX}")
    assert header.encode() == octets
    assert ipv6.RoutingHeader2.decode(octets) == header
    for wrong in (octets[:23], b"\x87\2\0" + octets[3:], b"\x87\4" + octets[2:]):
        with pytest.raises(wire.DecodeError):
            ipv6.RoutingHeader2.decode(wrong)


def test_the_checksum_covers_home_addresses() -> None:
    """RFC 6275 6.1.1: the Home Address as source, the address in the routing header as destination."""
    options, routing = ipv6.DestinationOptions(135, (ipv6.HomeAddress(HOME),)), ipv6.RoutingHeader2(135, HOME)
    assert ipv6.checksum_addresses(CARE_OF, AGENT) == (CARE_OF, AGENT)
    assert ipv6.checksum_addresses(CARE_OF, AGENT, options) == (HOME, AGENT)
    assert ipv6.checksum_addresses(AGENT, CARE_OF, None, routing) == (AGENT, HOME)


def test_damaged_destination_options_decode_or_are_refused() -> None:
    rng = Random(60)
    octets = ipv6.DestinationOptions(135, (ipv6.HomeAddress(HOME),)).encode()
    for _ in range(2000):
        damaged = bytearray(octets)
        for _ in range(rng.choice((1, 2, 5))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with suppress(wire.DecodeError):
            ipv6.DestinationOptions.decode(bytes(damaged[: rng.randrange(len(damaged) + 1)]))


def test_payloads_of_udp_are_told_apart() -> None:
    assert udp.read(udp.PMIPV6_CONTROL, b";\0") == (udp.Payload.MOBILITY_HEADER, b";\0")
    assert udp.read(udp.DSMIPV6, b"\x60abc") == (udp.Payload.IPV6, b"\x60abc")
    assert udp.read(udp.DSMIPV6, b"\x45abc") == (udp.Payload.IPV4, b"\x45abc")
    assert udp.read(udp.DSMIPV6, b"\xff") == (udp.Payload.KEEPALIVE, b"\xff")
    assert udp.read(udp.DSMIPV6, b"") == (udp.Payload.UNKNOWN, b"")
    assert udp.read(udp.DSMIPV6, b"\x90") == (udp.Payload.UNKNOWN, b"\x90")


def test_tlv_header_before_gre() -> None:
    """RFC 5845 7.2: type and reserved nibble, next header, length of all."""
    octets = udp.tlv(b"gre!", udp.GRE)
    assert octets == bytes.fromhex("00 2f 0008") + b"gre!"
    assert udp.read(udp.PMIPV6_DATA, octets) == (udp.Payload.GRE, b"gre!")
    assert udp.read(udp.DSMIPV6, udp.tlv(b"x", 99)) == (udp.Payload.UNKNOWN, b"x")
    with pytest.raises(wire.DecodeError, match="9 octets where 8 are announced"):
        udp.read(udp.DSMIPV6, octets + b"x")
    with pytest.raises(wire.EncodeError):
        udp.tlv(bytes(70000), udp.GRE)


def test_signalling_over_udp_has_no_checksum() -> None:
    sealed = wire.seal(wire.encode(wire.BindingUpdate(1, 0x8200, 0)), HOME, AGENT)
    assert udp.signalling(sealed) == wire.encode(wire.BindingUpdate(1, 0x8200, 0))


def test_packets_of_the_tls_based_protection() -> None:
    octets = bytes.fromhex("80000007 00000009") + b"mh"
    packet = TlsPacket(8, 7, 9, b"mh")
    assert TlsPacket.decode(octets) == packet
    assert packet.encode() == octets
    with pytest.raises(wire.DecodeError):
        TlsPacket.decode(octets[:7])
    with pytest.raises(wire.EncodeError):
        TlsPacket(16, 0, 0, b"").encode()


def test_identifiers_in_words() -> None:
    """RFC 8371 4.2 has the example of an IMSI."""
    assert imsi("123456123456789") == bytes.fromhex("123456123456789f")
    assert identifier_text(3, imsi("123456123456789")) == "123456123456789"
    assert identifier_text(1, b"mn@example.com") == "mn@example.com"
    assert identifier_text(1, b"\x1b[2J") == "1b5b324a"
    assert identifier_text(2, HOME) == "2001:db8:f::1"
    assert identifier_text(5, bytes(6)) == "00:00:00:00:00:00"
    with pytest.raises(ValueError, match="IMSI"):
        imsi("12x")
