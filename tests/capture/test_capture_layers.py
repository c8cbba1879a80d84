"""From frames to Mobility Headers: link types, extension headers, fragments, tunnels, and what is not looked into."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest

from sojourn import wire
from sojourn.capture.files import Packet
from sojourn.capture.fragments import MOST
from sojourn.capture.layers import Malformed, Payload, Peeler, UnknownLink
from support.capture import ipv6
from support.exchanges import answer, update
from support.frames import (
    A1,
    A2,
    CMD,
    HOME,
    MOBILITY,
    START,
    V4_A,
    V4_B,
    ethernet,
    extension,
    fragments,
    home_address_option,
    ipv4,
    mobility,
    packet,
    type_2_routing,
    udp,
)

UPDATE = update(7, 1)
WHOLE = packet(UPDATE)
HEADER = WHOLE[40:]
RAW, ETHERNET = 101, 1


def peel(
    octets: bytes, link: int = RAW, peeler: Peeler | None = None, *, length: int = 0, time: int = START
) -> list[Payload]:
    """The payloads in a packet."""
    return list((peeler or Peeler()).peel(Packet(1, time, link, octets, length or len(octets))))


def only(octets: bytes, link: int = RAW) -> Payload:
    """The one payload in a packet."""
    (payload,) = peel(octets, link)
    return payload


LINKS: list[tuple[str, int, bytes]] = [
    ("Ethernet", 1, ethernet(WHOLE)),
    ("one VLAN tag", 1, ethernet(WHOLE, tags=[0x8100])),
    ("two VLAN tags", 1, ethernet(WHOLE, tags=[0x88A8, 0x8100])),
    ("Linux cooked", 113, struct.pack("!HHH8sH", 0, 1, 6, bytes(8), 0x86DD) + WHOLE),
    ("Linux cooked, VLAN", 113, struct.pack("!HHH8sHHH", 0, 1, 6, bytes(8), 0x8100, 7, 0x86DD) + WHOLE),
    ("Linux cooked 2", 276, struct.pack("!HHIHBB8s", 0x86DD, 0, 3, 1, 0, 6, bytes(8)) + WHOLE),
    ("raw IP", 101, WHOLE),
    ("raw IP of BSD", 12, WHOLE),
    ("raw IP of OpenBSD", 14, WHOLE),
    ("raw IPv6", 229, WHOLE),
    ("loopback of Linux", 0, struct.pack("<I", 10) + WHOLE),
    ("loopback of macOS", 0, struct.pack("<I", 30) + WHOLE),
    ("loopback of FreeBSD, other byte order", 0, struct.pack(">I", 28) + WHOLE),
    ("loopback of OpenBSD", 108, struct.pack(">I", 24) + WHOLE),
    ("PPP", 9, b"\xff\x03\x00\x57" + WHOLE),
]


@pytest.mark.parametrize(("link", "octets"), [entry[1:] for entry in LINKS], ids=[entry[0] for entry in LINKS])
def test_every_link_type(link: int, octets: bytes) -> None:
    payload = only(octets, link)
    assert payload.octets == HEADER
    assert (payload.source, payload.destination, payload.hop_limit) == (A1, CMD, 64)
    assert payload.path == ()


def test_raw_ipv4_and_ethernet_padding() -> None:
    assert only(ipv4(41, WHOLE), 228).octets == HEADER
    assert only(ethernet(WHOLE) + bytes(9), ETHERNET).octets == HEADER


def test_a_link_type_that_cannot_be_read() -> None:
    with pytest.raises(UnknownLink, match="link type 127"):
        peel(WHOLE, 127)


def test_other_traffic_is_passed_over() -> None:
    assert peel(ethernet(bytes(60), 0x0806), ETHERNET) == []
    assert peel(ethernet(bytes(60), 0x0027), ETHERNET) == []
    assert peel(ipv6(6, bytes(40), A1, CMD)) == []
    assert peel(ipv4(17, udp(53, WHOLE)), RAW) == []
    assert peel(struct.pack("<I", 99) + WHOLE, 0) == []


# --- extension headers --------------------------------------------------------------------------------------------


def test_the_chain_of_extension_headers_is_walked() -> None:
    chain = extension(b"\x05\x02\0\0", 51)  # hop-by-hop, router alert
    chain += bytes((60, 4)) + bytes(22)  # authentication header of 24 octets
    chain += extension(b"\x01\x04", MOBILITY) + HEADER
    assert only(ipv6(0, chain, A1, CMD)).octets == HEADER


def test_home_address_option_and_type_2_routing_header() -> None:
    payload = only(ipv6(60, home_address_option(MOBILITY) + HEADER, A1, CMD))
    assert (payload.home_source, payload.home_destination, payload.findings) == (HOME, None, ())
    payload = only(ipv6(43, type_2_routing(MOBILITY) + HEADER, CMD, A1))
    assert (payload.home_source, payload.home_destination, payload.findings) == (None, HOME, ())


@pytest.mark.parametrize(
    ("chain", "said"),
    [
        (extension(b"\xc9\x10" + HOME, MOBILITY), "begins at 8n+2, not 8n+6"),
        (extension(b"\xc9\x04" + HOME[:4], MOBILITY), "Home Address option of 4 octets"),
        (extension(b"\x01\x02\0\0\xc9\x40", MOBILITY), "destination option 201 beyond its header"),
        (extension((b"\x01\x02\0\0\xc9\x10" + HOME + b"\x01\0") * 2, MOBILITY), "second Home Address option"),
    ],
)
def test_a_home_address_option_that_is_not_as_it_should_be(chain: bytes, said: str) -> None:
    payload = only(ipv6(60, chain + HEADER, A1, CMD))
    assert said in payload.findings[0].text
    assert payload.findings[0].rfc


def test_a_type_2_routing_header_that_is_not_as_it_should_be() -> None:
    odd = bytes((MOBILITY, 2, 2, 3, 0, 0, 0, 0)) + HOME
    assert "3 segments left" in only(ipv6(43, odd + HEADER, A1, CMD)).findings[0].text


def test_a_segment_routing_header_says_where_the_checksum_is_verified() -> None:
    """RFC 8200 8.1: the destination of the pseudo-header is the final one. Segments stand in reverse (RFC 8754 2)."""
    header = bytes((MOBILITY, 4, 4, 1, 1, 0, 0, 0)) + CMD + A2
    payload = only(ipv6(43, header + mobility(UPDATE, A1, CMD), A1, A2))
    assert payload.final == CMD
    arrived = bytes((MOBILITY, 4, 4, 0, 1, 0, 0, 0)) + CMD + A2
    assert only(ipv6(43, arrived + HEADER, A1, CMD)).final is None


@pytest.mark.parametrize(
    "octets",
    [
        WHOLE[:30],
        ipv6(60, bytes((MOBILITY, 9)) + bytes(20), A1, CMD),
        ipv6(0, b"\0\0\0\0\0\0\0\0" * 40, A1, CMD),
        ipv6(44, bytes(7), A1, CMD),
        ipv4(17, udp(4191, struct.pack("!BBH", 0, 41, 40) + WHOLE)),
        b"\x41" + bytes(30),
        b"\x45" + bytes(8),
    ],
)
def test_headers_that_cannot_be(octets: bytes) -> None:
    with pytest.raises(Malformed, match=r"RFC \d+"):
        peel(octets)


# --- fragments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 16, 24, 48])
@pytest.mark.parametrize("order", [list, reversed, lambda pieces: random.Random(3).sample(list(pieces), len(pieces))])
def test_fragments_are_put_together_in_any_order(size: int, order: Callable[[list[bytes]], list[bytes]]) -> None:
    peeler = Peeler()
    found = [payload for piece in order(fragments(WHOLE, size)) for payload in peel(piece, peeler=peeler)]
    (payload,) = found
    assert payload.octets == HEADER
    assert payload.fragments


def test_fragments_of_two_datagrams_may_alternate() -> None:
    peeler, other = Peeler(), packet(update(9, 4))
    pieces = zip(fragments(WHOLE, 48, 1), fragments(other, 48, 2), strict=True)
    found = [payload for pair in pieces for piece in pair for payload in peel(piece, peeler=peeler)]
    assert [payload.octets for payload in found] == [HEADER, other[40:]]


def test_a_repeated_fragment_does_no_harm_and_an_overlapping_one_spoils_the_datagram() -> None:
    first, second = fragments(WHOLE, 48)
    peeler = Peeler()
    assert [len(peel(piece, peeler=peeler)) for piece in (first, first, second)] == [0, 0, 1]
    overlapping = fragments(WHOLE, 40)[1]
    peeler = Peeler()
    assert [peel(piece, peeler=peeler) for piece in (first, overlapping, second)] == [[], [], []]
    peeler.fragments.end()
    assert [waiting.spoilt for waiting in peeler.fragments.given_up] == [True]


def test_fragments_wait_neither_for_ever_nor_in_any_number() -> None:
    first, second = fragments(WHOLE, 48)
    peeler = Peeler()
    assert peel(first, peeler=peeler) == []
    assert peel(second, peeler=peeler, time=START + 61 * 10**9) == []
    assert len(peeler.fragments.given_up) == 1
    peeler = Peeler()
    for number in range(3 * MOST):
        assert peel(fragments(WHOLE, 48, number)[0], peeler=peeler) == []
    assert len(peeler.fragments.given_up) == 2 * MOST


def test_an_atomic_fragment_is_whole() -> None:
    atomic = ipv6(44, struct.pack("!BBHI", MOBILITY, 0, 0, 5) + HEADER, A1, CMD)
    assert only(atomic).octets == HEADER


def test_ipv4_fragments() -> None:
    inner = udp(5436, HEADER)
    peeler = Peeler()
    pieces = [ipv4(17, inner[:48], fragment=0x2000), ipv4(17, inner[48:], fragment=6)]
    assert [len(peel(piece, peeler=peeler)) for piece in pieces] == [0, 1]


def test_fragments_that_the_capture_cut_are_not_mixed_up() -> None:
    first, second = fragments(WHOLE, 48)
    peeler = Peeler()
    assert peel(first[:70], peeler=peeler, length=len(first)) == []
    assert peel(second, peeler=peeler) == []
    assert peeler.passed["fragments cut off by the capture"] == 1


# --- tunnels ------------------------------------------------------------------------------------------------------

TUNNELS: list[tuple[tuple[str, ...], bytes]] = [
    (("IPv6",), ipv6(41, WHOLE, A2, CMD)),
    (("IPv4",), ipv4(41, WHOLE)),
    (("IPv6", "IPv4"), ipv6(4, ipv4(41, WHOLE), A2, CMD)),
    (("IPv6", "IPv6"), ipv6(41, ipv6(41, WHOLE, A2, CMD), A2, CMD)),
    (("GRE",), ipv6(47, b"\0\0\x86\xdd" + WHOLE, A2, CMD)),
    (("GRE",), ipv4(47, b"\x30\0\x86\xdd" + bytes(8) + WHOLE)),
    (("UDP 4191",), ipv4(17, udp(4191, WHOLE))),
    (("UDP 5437",), ipv4(17, udp(5437, WHOLE))),
    (("UDP 4191",), ipv4(17, udp(4191, struct.pack("!BBH", 0, 41, 4 + len(WHOLE)) + WHOLE))),
    (("UDP 4191", "GRE"), ipv4(17, udp(4191, struct.pack("!BBH", 0, 47, 8 + len(WHOLE)) + b"\0\0\x86\xdd" + WHOLE))),
]


@pytest.mark.parametrize(("path", "octets"), TUNNELS, ids=[" ".join(path) for path, _ in TUNNELS])
def test_tunnels_are_peeled(path: tuple[str, ...], octets: bytes) -> None:
    payload = only(octets)
    assert payload.octets == HEADER
    assert payload.path == path
    assert (payload.source, payload.destination) == (A1, CMD)
    assert payload.checksum


def test_proxy_signalling_over_ipv4_has_no_checksum_that_counts() -> None:
    """RFC 5844 4.1.3.1: the Checksum field MUST be ignored."""
    payload = only(ipv4(17, udp(5436, wire.encode(UPDATE))))
    assert (payload.source, payload.destination, payload.path) == (V4_A, V4_B, ("UDP 5436",))
    assert not payload.checksum


def test_keep_alives_and_unknown_headers_in_tunnels_are_nothing() -> None:
    assert peel(ipv4(17, udp(4191, b""))) == []
    assert peel(ipv4(17, udp(4191, b"\xff"))) == []
    assert peel(ipv6(47, b"\x40\0\x86\xdd" + WHOLE, A2, CMD)) == []
    assert peel(ipv6(47, b"\0\0\x08\x06" + WHOLE, A2, CMD)) == []


def test_encrypted_packets_are_counted() -> None:
    peeler = Peeler()
    assert peel(ipv6(50, bytes(60), A1, CMD), peeler=peeler) == []
    assert peeler.passed["encrypted (ESP)"] == 1


def test_tunnels_in_tunnels_without_end() -> None:
    octets = WHOLE
    for _ in range(40):
        octets = ipv6(41, octets, A2, CMD)
    with pytest.raises(Malformed, match="tunnels"):
        peel(octets)


# --- ICMPv6 -------------------------------------------------------------------------------------------------------


def test_a_message_that_came_back_in_an_icmpv6_error() -> None:
    quoted = struct.pack("!BBHI", 4, 1, 0, 6) + WHOLE[:100]
    (payload,) = peel(ipv6(58, quoted, CMD, A1))
    assert payload.quoted == "Parameter Problem, code 1"
    assert payload.reporter == CMD
    assert (payload.source, payload.destination) == (A1, CMD)
    assert payload.octets == WHOLE[40:100]


def test_icmpv6_errors_about_other_things_are_nothing() -> None:
    assert peel(ipv6(58, struct.pack("!BBHI", 1, 0, 0, 0) + ipv6(6, bytes(40), A1, CMD), CMD, A1)) == []
    assert peel(ipv6(58, struct.pack("!BBHI", 1, 0, 0, 0) + bytes(60), CMD, A1)) == []


# --- hostile octets -----------------------------------------------------------------------------------------------


def test_mutated_packets_are_malformed_or_read() -> None:
    rng = random.Random(6275)
    originals = [octets for *_, octets in LINKS] + [octets for _, octets in TUNNELS] + fragments(WHOLE, 48)
    originals += [ipv6(60, home_address_option(MOBILITY) + HEADER, A1, CMD), packet(answer(1, 1), CMD, A1)]
    peeler, outcomes = Peeler(), {"read": 0, "malformed": 0}
    for _ in range(6000):
        octets = bytearray(rng.choice(originals))
        for _ in range(rng.randrange(1, 5)):
            octets[rng.randrange(min(len(octets), 100))] = rng.randrange(256)
        cut = bytes(octets[: rng.randrange(len(octets))]) if rng.random() < 0.3 else bytes(octets)
        try:
            peel(cut, rng.choice([0, 1, 9, 101, 108, 113, 276]), peeler)
            outcomes["read"] += 1
        except Malformed:
            outcomes["malformed"] += 1
    assert min(outcomes.values()) > 100
