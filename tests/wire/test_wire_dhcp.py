"""DHCP: octets by hand from the RFCs, any values come back, and hostile octets end in `DecodeError` only."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.wire import DecodeError, EncodeError
from sojourn.wire.addresses import address, prefix
from sojourn.wire.dhcpv4 import Code, DhcpType, Dhcpv4Message, decode_dhcpv4
from sojourn.wire.dhcpv6 import (
    ClientIdentifier,
    Dhcpv6Message,
    DnsServers,
    DomainSearch,
    ElapsedTime,
    IaAddress,
    IaNa,
    IaPd,
    IaPrefix,
    MessageType,
    OptionRequest,
    RapidCommit,
    ServerIdentifier,
    Status,
    StatusCode,
    decode_dhcpv6,
    domain_names,
    link_layer_duid,
)
from sojourn.wire.units import MILLISECOND, SECOND
from support.dhcp_messages import OPTION_CLASSES, random_dhcpv4, random_dhcpv6, random_option
from support.wire_messages import damage

randoms = st.randoms(use_true_random=False)
MAC = bytes.fromhex("020000000001")

SOLICIT = Dhcpv6Message(
    MessageType.SOLICIT,
    bytes.fromhex("0a0b0c"),
    (
        ClientIdentifier(link_layer_duid(MAC)),
        ElapsedTime(1500 * MILLISECOND),
        OptionRequest((23, 24)),
        RapidCommit(),
        IaNa(1, 0, 0, (IaAddress(address("2001:db8::5"), 300 * SECOND, 600 * SECOND, (Status(0, b"ok"),)),)),
    ),
)
SOLICIT_OCTETS = (
    "01 0a0b0c"
    "0001 000a 0003 0001 020000000001"
    "0008 0002 0096"
    "0006 0004 0017 0018"
    "000e 0000"
    "0003 0030 00000001 00000000 00000000"
    "  0005 0020 20010db8000000000000000000000005 0000012c 00000258 000d 0004 0000 6f6b"
)
REPLY = Dhcpv6Message(
    MessageType.REPLY,
    bytes.fromhex("0a0b0c"),
    (
        ServerIdentifier(link_layer_duid(MAC)),
        IaPd(9, 30 * SECOND, 48 * SECOND, (IaPrefix.of(prefix("2001:db8:a0::/60"), 60 * SECOND, 60 * SECOND),)),
        DnsServers((address("2001:db8::53"),)),
        DomainSearch(domain_names(("example.net",))),
        Status(StatusCode.NO_BINDING),
    ),
)
REPLY_OCTETS = (
    "07 0a0b0c"
    "0002 000a 0003 0001 020000000001"
    "0019 0029 00000009 0000001e 00000030"
    "  001a 0019 0000003c 0000003c 3c 20010db800a000000000000000000000"
    "0017 0010 20010db8000000000000000000000053"
    "0018 000d 07 6578616d706c65 03 6e6574 00"
    "000d 0002 0003"
)


@pytest.mark.parametrize(("message", "figure"), [(SOLICIT, SOLICIT_OCTETS), (REPLY, REPLY_OCTETS)])
def test_a_message_of_dhcpv6_is_what_its_figures_say(message: Dhcpv6Message, figure: str) -> None:
    octets = bytes.fromhex(figure)
    assert message.encode() == octets
    assert decode_dhcpv6(octets) == message


def test_a_message_of_dhcpv4_is_what_its_figure_says() -> None:
    message = Dhcpv4Message(1, 0x01020304, MAC, {53: b"\3", 50: bytes((10, 1, 0, 5))}, flags=0x8000, seconds=7)
    fixed = "01 01 06 00 01020304 0007 8000 00000000 00000000 00000000 00000000 020000000001" + "00" * 10
    octets = bytes.fromhex(fixed) + bytes(192) + bytes.fromhex("63825363 35 01 03 32 04 0a010005 ff")
    assert message.encode() == octets.ljust(300, b"\0")
    assert decode_dhcpv4(octets) == message


@pytest.mark.parametrize("cls", OPTION_CLASSES, ids=lambda cls: str(cls.__name__))
@given(rng=randoms)
@settings(max_examples=50, deadline=None)
def test_an_option_comes_back_with_any_field_values(cls: Any, rng: Any) -> None:
    message = Dhcpv6Message(1, b"abc", (random_option(cls, rng), RapidCommit()))
    assert decode_dhcpv6(message.encode()) == message


@given(rng=randoms)
@settings(max_examples=300, deadline=None)
def test_a_message_comes_back_with_any_values(rng: Any) -> None:
    first, second = random_dhcpv6(rng), random_dhcpv4(rng)
    assert decode_dhcpv6(first.encode()) == first
    assert decode_dhcpv4(second.encode()) == second


@given(rng=randoms)
@settings(max_examples=500, deadline=None)
def test_damaged_messages_end_in_nothing_but_a_decode_error(rng: Any) -> None:
    for message, decode in ((random_dhcpv6(rng), decode_dhcpv6), (random_dhcpv4(rng), decode_dhcpv4)):
        with suppress(DecodeError):
            decode(damage(message.encode(), rng)).encode()  # type: ignore[operator]


@given(octets=st.binary(max_size=600))
@settings(max_examples=300, deadline=None)
def test_any_octets_end_in_a_message_or_a_decode_error(octets: bytes) -> None:
    for decode in (decode_dhcpv6, decode_dhcpv4):
        with suppress(DecodeError):
            decode(octets).encode()  # type: ignore[operator]


def test_options_within_options_end_somewhere() -> None:
    octets = b""
    for _ in range(5_000):
        octets = struct.pack("!HHIII", 3, 12 + len(octets), 0, 0, 0) + octets if len(octets) < 65_000 else octets
    with pytest.raises(DecodeError, match="too deeply"):
        decode_dhcpv6(b"\1abc" + octets)


def test_an_option_that_occurs_again_is_one_long_option() -> None:
    """RFC 3396 7."""
    message = Dhcpv4Message(1, 1, MAC, {Code.DOMAIN_NAME: b"x" * 600})
    octets = message.encode()
    assert octets.count(bytes((Code.DOMAIN_NAME, 255))) == 2
    assert decode_dhcpv4(octets) == message


def test_options_overflow_into_the_fields_for_names() -> None:
    """RFC 2132 9.3."""
    octets = bytearray(Dhcpv4Message(1, 1, MAC, {Code.MESSAGE_TYPE: bytes((DhcpType.DISCOVER,)), 52: b"\3"}).encode())
    octets[108:112] = bytes((Code.REQUESTED_ADDRESS, 4, 10, 1))  # the file field holds the beginning,
    octets[112:115] = bytes((0, 5, 255))
    octets[44:47] = bytes((Code.CLIENT_IDENTIFIER, 1, 9))  # the one for the server's name another option
    octets[47] = 255
    found = decode_dhcpv4(bytes(octets)).options
    assert found == {
        Code.MESSAGE_TYPE: b"\1",
        Code.REQUESTED_ADDRESS: bytes((10, 1, 0, 5)),
        Code.CLIENT_IDENTIFIER: b"\x09",
    }


@pytest.mark.parametrize(
    "octets",
    [
        b"\1ab",
        b"\0abc",
        b"\x0cabc" + bytes(30),  # a relay's
        b"\1abc\0\1\0\0",  # an empty client identifier
        b"\1abc\0\3\0\4\0\0\0\1",  # half an association
        b"\1abc\0\x1a\0\x19" + bytes(8) + b"\x81" + bytes(16),  # a prefix of 129 bits
        b"\1abc\0\x06\0\3\0\1\0",
    ],
)
def test_what_cannot_be_dhcpv6_is_refused(octets: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_dhcpv6(octets)


@pytest.mark.parametrize("names", [("",), ("a..b",), ("x" * 64,)], ids=["empty", "empty label", "long label"])
def test_no_name_is_written_that_is_none(names: tuple[str, ...]) -> None:
    with pytest.raises(EncodeError):
        domain_names(names)
