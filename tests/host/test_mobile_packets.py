"""Packets with home addresses in their headers: put together, taken apart, and whatever else arrives."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.host.mobile_packets import HOME_ADDRESS, HOME_ADDRESS_AT, ROUTING_TYPE_AT, Packet, built, parsed, quoted
from sojourn.host.tunnel_watch import instructions
from sojourn.wire import BindingUpdate, encode, seal, verify
from sojourn.wire.addresses import address

HOME, CARE_OF, OTHER, AGENT = (address(f"2001:db8::{number}") for number in (1, 2, 4, 8))
UPDATE = encode(BindingUpdate(7, 0x8000, 0))


def packet(home: bytes | None = None, routed: bytes | None = None, payload: bytes = UPDATE) -> Packet:
    return Packet(CARE_OF, OTHER, 64, 135, payload, home, routed)


@pytest.mark.parametrize("home", [None, HOME])
@pytest.mark.parametrize("routed", [None, AGENT])
def test_what_was_put_together_is_taken_apart(home: bytes | None, routed: bytes | None) -> None:
    made = packet(home, routed)
    assert parsed(built(made)) == made


def test_the_option_and_the_type_are_where_the_filters_of_the_kernel_look() -> None:
    assert built(packet(home=HOME))[HOME_ADDRESS_AT] == HOME_ADDRESS
    assert built(packet(routed=HOME))[ROUTING_TYPE_AT] == 2


def test_rfc6275_6_1_1_the_checksum_is_computed_with_home_addresses() -> None:
    made = packet(HOME, AGENT)
    assert made.checksum_addresses == (HOME, AGENT)
    sealed = seal(UPDATE, *made.checksum_addresses)
    assert verify(sealed, HOME, AGENT)
    assert not verify(sealed, CARE_OF, OTHER)


def test_b_the_checksum_is_that_of_protocol_135() -> None:
    """RFC 6275 Appendix B, issue 5: not 2, in the pseudo-header."""
    sealed = seal(UPDATE, HOME, AGENT)

    def total(protocol: int) -> int:
        octets = HOME + AGENT + struct.pack("!II", len(sealed), protocol) + sealed
        found = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
        return (found & 0xFFFF) + (found >> 16)

    assert total(135) == 0xFFFF
    assert total(2) != 0xFFFF


def test_rfc6275_6_4_1_a_routing_header_that_has_no_stop_left_is_not_ours() -> None:
    octets = bytearray(built(packet(routed=AGENT)))
    octets[43] = 0
    assert parsed(bytes(octets)) is None
    octets[43] = 2
    assert parsed(bytes(octets)) is None


def test_rfc6275_6_3_two_home_addresses_are_none() -> None:
    inner = built(packet(home=HOME))
    twice = bytearray(inner[:40] + inner[40:64] + inner[40:])
    twice[40] = 60
    twice[4:6] = (len(twice) - 40).to_bytes(2, "big")
    assert parsed(bytes(twice)) is None


@given(st.binary(max_size=120))
def test_whatever_arrives_nothing_is_raised(octets: bytes) -> None:
    for head in (b"", b"\x60\0\0\0\0\x48\x3c\x40", b"\x60\0\0\0\0\x48\x2b\x40"):
        parsed(head + octets)
        quoted(head + octets)


def test_bits_that_flip_on_the_way_raise_nothing() -> None:
    source = random.Random(7)
    for _ in range(2000):
        octets = bytearray(built(packet(HOME, AGENT)))
        for _ in range(source.randrange(1, 6)):
            octets[source.randrange(len(octets))] ^= 1 << source.randrange(8)
        parsed(bytes(octets[: source.randrange(len(octets) + 1)]))


def test_an_error_quotes_who_was_written_to_and_what_with() -> None:
    whole = built(packet(HOME, AGENT))
    found = quoted(whole[:100])
    assert found is not None
    assert (found.source, found.destination, found.protocol) == (CARE_OF, OTHER, 135)
    assert quoted(whole[:39]) is None


class Machine:
    """Enough of classic BPF for the filter of tunnelled packets."""

    def __init__(self, program: bytes) -> None:
        self.steps = [
            (
                int.from_bytes(program[at : at + 2], "little"),
                program[at + 2],
                program[at + 3],
                int.from_bytes(program[at + 4 : at + 8], "little"),
            )
            for at in range(0, len(program), 8)
        ]

    def run(self, octets: bytes, kind: int = 0) -> int:
        at, value = 0, 0
        while True:
            code, yes, no, operand = self.steps[at]
            at += 1
            match code:
                case 0x30 if operand == 0xFFFFF004:
                    value = kind
                case 0x30:
                    value = octets[operand]
                case 0x20:
                    value = int.from_bytes(octets[operand : operand + 4], "big")
                case 0x15:
                    at += yes if value == operand else no
                case 0x05:
                    at += operand
                case 0x06:
                    return operand


def tunnelled(source: bytes, destination: bytes, protocol: int = 41, carried: int = 17) -> bytes:
    inner = built(Packet(source, destination, 64, carried, bytes(8)))
    return built(Packet(AGENT, CARE_OF, 64, protocol, inner))


@pytest.mark.parametrize("homes", [[HOME], [CARE_OF, HOME], [HOME, CARE_OF, AGENT]])
def test_the_filter_of_tunnelled_packets_knows_homes_and_who_was_told_of(homes: list[bytes]) -> None:
    told = [address(f"2001:db8:9::{number}") for number in range(5)]
    machine = Machine(instructions([(home, AGENT) for home in homes], told))
    assert machine.run(tunnelled(OTHER, HOME)) > 0
    assert machine.run(tunnelled(told[0], HOME)) == 0
    assert machine.run(tunnelled(told[4], HOME)) == 0
    assert machine.run(tunnelled(OTHER, OTHER)) == 0
    other_tunnel = built(Packet(OTHER, CARE_OF, 64, 41, built(Packet(OTHER, HOME, 64, 17, bytes(8)))))
    assert machine.run(other_tunnel) == 0  # not from the home agent
    assert machine.run(tunnelled(OTHER, HOME, protocol=4)) == 0
    assert machine.run(tunnelled(OTHER, HOME), kind=4) == 0
    assert [machine.run(tunnelled(OTHER, HOME, carried=header)) for header in (135, 60, 43)] == [0, 0, 0]


def test_the_filter_fits_into_the_kernel_at_its_largest() -> None:
    addresses = [index.to_bytes(16, "big") for index in range(256)]
    assert len(instructions([(home, AGENT) for home in addresses[:64]], addresses)) // 8 <= 4096
