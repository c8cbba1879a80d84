"""Octets written by hand from the figures of the RFCs, without a look at the encoder."""

from __future__ import annotations

import pytest

from sojourn import wire
from sojourn.wire.addresses import Prefix, address, prefix
from sojourn.wire.extensions.rfc7411 import MulticastMobility
from sojourn.wire.units import SECOND, wall_clock

PREFIX = prefix("2001:db8:a1:1::/64")
MAAR = address("2001:db8:a2::1")
LINK_LOCAL = address("fe80::200:5eff:fe00:5213")

OPTIONS = {
    "8885 4.3 Anchored Prefix": (
        wire.AnchoredPrefix.of(PREFIX),
        "41 12 00 40  20 01 0d b8 00 a1 00 01 00 00 00 00 00 00 00 00",
    ),
    "8885 4.4 Local Prefix": (
        wire.LocalPrefix.of(prefix("2001:db8:ff::/48")),
        "42 12 00 30  20 01 0d b8 00 ff 00 00 00 00 00 00 00 00 00 00",
    ),
    "8885 4.5 Previous MAAR": (
        wire.PreviousMaar.of(PREFIX, MAAR),
        "43 22 00 40  20 01 0d b8 00 a2 00 00 00 00 00 00 00 00 00 01"
        "             20 01 0d b8 00 a1 00 01 00 00 00 00 00 00 00 00",
    ),
    "8885 4.6 Serving MAAR": (
        wire.ServingMaar(MAAR),
        "44 10        20 01 0d b8 00 a2 00 00 00 00 00 00 00 00 00 01",
    ),
    "8885 4.7 DLIF Link-Local Address": (
        wire.DlifLinkLocalAddress(LINK_LOCAL),
        "45 10        fe 80 00 00 00 00 00 00 02 00 5e ff fe 00 52 13",
    ),
    "8885 4.8 DLIF Link-Layer Address": (
        wire.DlifLinkLayerAddress(bytes.fromhex("00005e005213")),
        "46 08 00 00  00 00 5e 00 52 13",
    ),
    "5213 8.3 Home Network Prefix": (
        wire.HomeNetworkPrefix.of(PREFIX),
        "16 12 00 40  20 01 0d b8 00 a1 00 01 00 00 00 00 00 00 00 00",
    ),
    "7864 4.1 L flag": (
        wire.HomeNetworkPrefix(0, bytes(16), off_link=True),
        "16 12 80 00  00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
    ),
    "5213 8.4 Handoff Indicator": (wire.HandoffIndicator(wire.Handoff.BETWEEN_GATEWAYS), "17 02 00 03"),
    "5213 8.5 Access Technology Type": (wire.AccessTechnologyType(wire.AccessTechnology.WIFI), "18 02 00 04"),
    "5213 8.6 Mobile Node Link-layer Identifier": (
        wire.MobileNodeLinkLayerIdentifier(bytes.fromhex("020000000001")),
        "19 08 00 00  02 00 00 00 00 01",
    ),
    "5213 8.7 Link-local Address": (
        wire.LinkLocalAddress(LINK_LOCAL),
        "1a 10        fe 80 00 00 00 00 00 00 02 00 5e ff fe 00 52 13",
    ),
    "5213 8.8 Timestamp": (wire.Timestamp(0x656E0A80_8000), "1b 08        00 00 65 6e 0a 80 80 00"),
    "4283 3 Mobile Node Identifier": (wire.MobileNodeIdentifier(1, b"a@b"), "08 04 01 61 40 62"),
    "5094 3 Vendor Specific": (wire.VendorSpecific(32473, 7, b"xy"), "13 07 00 00 7e d9 07 78 79"),
    "6275 6.2.4 Binding Refresh Advice": (wire.BindingRefreshAdvice(40 * SECOND), "02 02 00 0a"),
    "6275 6.2.5 Alternate Care-of Address": (
        wire.AlternateCareOfAddress(MAAR),
        "03 10        20 01 0d b8 00 a2 00 00 00 00 00 00 00 00 00 01",
    ),
    "5847 3.4 Restart Counter": (wire.RestartCounter(5), "1c 04 00 00 00 05"),
}


@pytest.mark.parametrize(("option", "figure"), OPTIONS.values(), ids=OPTIONS.keys())
def test_an_option_is_what_its_figure_says(option: wire.MobilityOption, figure: str) -> None:
    out = bytearray()
    option.put(out, False)
    assert out == bytes.fromhex(figure)
    message = bytes(12) + out
    assert type(option).get(message, 14, len(message), 0) == option


def test_proxy_binding_update_with_the_d_flag() -> None:
    figure = bytes.fromhex(
        "3b 05 05 00 00 00  12 34"  # payload proto, header len, type, reserved, checksum, sequence
        "82 10 00 4b"  # A, P and D; 75 units of 4 seconds
        "08 07 05 02 00 00 00 00 01"  # Mobile Node Identifier: EUI-48; ends at octet 21
        "01 05 00 00 00 00 00"  # PadN to 8n+4
        "16 12 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"  # Home Network Prefix ::/0
    )
    update = wire.BindingUpdate(
        0x1234,
        wire.BindingUpdateFlags.A | wire.BindingUpdateFlags.PROXY | wire.BindingUpdateFlags.DISTRIBUTED,
        300 * SECOND,
        (
            wire.MobileNodeIdentifier(wire.IdentifierType.EUI_48, bytes.fromhex("020000000001")),
            wire.HomeNetworkPrefix.of(Prefix(bytes(16), 0)),
        ),
    )
    assert wire.encode(update) == figure
    assert wire.decode(figure, strict=True) == update


def test_proxy_binding_acknowledgement_with_the_d_flag() -> None:
    figure = bytes.fromhex(
        "3b 03 06 00 00 00  9d 22"  # status 157; P and D
        "12 34 ff ff"  # sequence; lifetime
        "01 00"  # PadN to 8n+6
        "45 10 fe 80 00 00 00 00 00 00 02 00 5e ff fe 00 52 13"  # DLIF Link-Local Address
    )
    acknowledgement = wire.BindingAcknowledgement(
        wire.Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED,
        wire.BindingAcknowledgementFlags.PROXY | wire.BindingAcknowledgementFlags.DISTRIBUTED,
        0x1234,
        wire.LIFETIME_INFINITE,
        (wire.DlifLinkLocalAddress(LINK_LOCAL),),
    )
    assert wire.encode(acknowledgement) == figure
    assert wire.decode(figure, strict=True) == acknowledgement


MESSAGES = {
    "6275 6.1.2 Binding Refresh Request": (wire.BindingRefreshRequest(), "3b 00 00 00 00 00  00 00"),
    "6275 6.1.7 Binding Update": (
        wire.BindingUpdate(1, 0xC000, 8 * SECOND),
        "3b 01 05 00 00 00  00 01 c0 00 00 02  01 02 00 00",
    ),
    "6275 6.1.8 Binding Acknowledgement": (
        wire.BindingAcknowledgement(0, 0x80, 1, 8 * SECOND),
        "3b 01 06 00 00 00  00 80 00 01 00 02  01 02 00 00",
    ),
    "6275 6.1.9 Binding Error": (
        wire.BindingError(wire.BindingErrorStatus.UNKNOWN_MESSAGE_TYPE, MAAR),
        "3b 02 07 00 00 00  02 00  20 01 0d b8 00 a2 00 00 00 00 00 00 00 00 00 01",
    ),
    "5847 3.3 Heartbeat": (
        wire.Heartbeat(wire.HeartbeatFlags.RESPONSE, 9),
        "3b 01 0d 00 00 00  00 01 00 00 00 09  01 02 00 00",
    ),
    "5846 5.1 Binding Revocation Indication": (
        wire.BindingRevocationIndication(2, 7, wire.BindingRevocationFlags.PROXY),
        "3b 01 10 00 00 00  01 02 00 07 80 00  01 02 00 00",
    ),
    "5846 5.2 Binding Revocation Acknowledgement": (
        wire.BindingRevocationAcknowledgement(0, 7, wire.BindingRevocationFlags.PROXY),
        "3b 01 10 00 00 00  02 00 00 07 80 00  01 02 00 00",
    ),
}


@pytest.mark.parametrize(("message", "figure"), MESSAGES.values(), ids=MESSAGES.keys())
def test_a_message_is_what_its_figure_says(message: wire.MobilityMessage, figure: str) -> None:
    assert wire.encode(message) == bytes.fromhex(figure)
    assert wire.decode(bytes.fromhex(figure), strict=True) == message


def registration(*more: wire.MobilityOption) -> tuple[wire.MobilityOption, ...]:
    """The options of a registration as the sizes of standards.md 4.4 have it: an identifier of 18 octets."""
    return (
        wire.MobileNodeIdentifier(1, b"x" * 18),
        wire.HomeNetworkPrefix.of(PREFIX),
        wire.HandoffIndicator(1),
        wire.AccessTechnologyType(4),
        wire.Timestamp(1),
        *more,
    )


def previous(count: int, *, dlif: bool) -> tuple[wire.MobilityOption, ...]:
    """So many previous routers, each with what its access link showed if `dlif`."""
    shown = (wire.DlifLinkLocalAddress(LINK_LOCAL), wire.DlifLinkLayerAddress(bytes(6))) if dlif else ()
    return (wire.PreviousMaar.of(PREFIX, MAAR), *shown) * count


def test_sizes_of_registrations() -> None:
    """Octets with the IPv6 header, as computed in the project's notes on RFC 8885 4."""
    sizes = {
        "PBU": wire.BindingUpdate(1, 0x8210, SECOND, registration()),
        "PBA": wire.BindingAcknowledgement(0, 0x22, 1, SECOND, registration()),
        "PBU to the previous": wire.BindingUpdate(1, 0x8210, SECOND, registration(wire.ServingMaar(MAAR))),
    }
    assert {name: 40 + len(wire.encode(message)) for name, message in sizes.items()} == {
        "PBU": 120,
        "PBA": 120,
        "PBU to the previous": 136,
    }


@pytest.mark.parametrize(("count", "size", "with_dlif"), [(1, 152, 192), (2, 192, 264), (3, 232, 336), (5, 312, 480)])
def test_sizes_of_acknowledgements_with_previous_routers(count: int, size: int, with_dlif: int) -> None:
    for dlif, expected in ((False, size), (True, with_dlif)):
        options = registration(*previous(count, dlif=dlif))
        assert 40 + len(wire.encode(wire.BindingAcknowledgement(0, 0x22, 1, SECOND, options))) == expected


@pytest.mark.parametrize(
    ("lifetime", "units"),
    [
        (0, 0),
        (1, 1),
        (3 * SECOND, 1),
        (4 * SECOND, 1),
        (8 * SECOND - 1, 1),
        (8 * SECOND, 2),
        (wire.LIFETIME_INFINITE - 1, 0xFFFE),
        (wire.LIFETIME_INFINITE, 0xFFFF),
    ],
)
def test_a_lifetime_is_rounded_down_but_never_to_zero(lifetime: int, units: int) -> None:
    """Zero would de-register (RFC 6275 6.1.7); more than was asked for must not be granted (RFC 6275 10.3.1)."""
    octets = wire.encode(wire.BindingUpdate(1, 0, lifetime))
    assert int.from_bytes(octets[10:12], "big") == units
    message = wire.decode(octets)
    assert isinstance(message, wire.BindingUpdate)
    assert message.lifetime == units * 4 * SECOND


def test_the_prefix_of_an_option_has_no_host_bits() -> None:
    """RFC 5213 8.3 and RFC 8885 4.3: the bits beyond the length MUST be ignored; they are still kept for a copy."""
    option = wire.HomeNetworkPrefix(62, address("2001:db8:0:ffff:1:2:3:4"))
    assert option.prefix == prefix("2001:db8:0:fffc::/62")
    octets = wire.encode(wire.BindingUpdate(1, 0, 0, (option,)))
    assert wire.decode(octets).first(wire.HomeNetworkPrefix) == option


@pytest.mark.parametrize("cls", [wire.HomeNetworkPrefix, wire.AnchoredPrefix, wire.LocalPrefix])
def test_a_prefix_makes_its_option_and_comes_back(cls: type[wire.HomeNetworkPrefix]) -> None:
    assert cls.of(PREFIX).prefix == PREFIX
    assert wire.PreviousMaar.of(PREFIX, MAAR).prefix == PREFIX


def test_a_prefix_length_above_128_is_malformed() -> None:
    octets = bytes.fromhex("3b 03 05 00 00 00  00 01 00 00 00 00  16 12 00 81") + bytes(16)
    assert wire.decode(octets).options == (wire.UnknownOption(22, bytes((0, 129)) + bytes(16)),)
    with pytest.raises(wire.DecodeError, match=r"HomeNetworkPrefix \(RFC 5213 8\.3.*beyond its limit \(octet 12\)"):
        wire.decode(octets, strict=True)


def test_a_strict_error_names_class_section_and_octet() -> None:
    octets = bytes.fromhex("3b 01 05 00 00 00  00 01 00 00 00 00  17 01 00 00")
    expected = r"^HandoffIndicator \(RFC 5213 8\.4\): 1 octets where 2 are expected \(octet 12\)$"
    with pytest.raises(wire.DecodeError, match=expected) as caught:
        wire.decode(octets, strict=True)
    assert caught.value.position == 12
    assert wire.decode(octets).options == (wire.UnknownOption(23, b"\0"),)


def test_an_option_that_runs_past_the_end_is_kept_as_octets() -> None:
    octets = bytes.fromhex("3b 01 05 00 00 00  00 01 00 00 00 00  00 17 09 00")
    assert wire.decode(octets).options == (wire.Remainder(b"\x17\x09\x00"),)
    with pytest.raises(wire.DecodeError, match=r"option 23 does not end within its message \(octet 13\)"):
        wire.decode(octets, strict=True)


@pytest.mark.parametrize(
    ("octets", "position", "text"),
    [
        ("", 0, "at least 8"),
        ("3b 00 05 00 00 00 00", 0, "at least 8"),
        ("3b 01 05 00 00 00  00 00", 1, "16 are announced"),
        ("3b 00 05 00 00 00  00 00", 6, "BindingUpdate (RFC 6275 6.1.7, RFC 5213 8.1): 2 octets where at least 6"),
        ("06 00 00 00 00 00  00 00", 0, "payload protocol 6"),
    ],
)
def test_a_header_that_is_none_is_refused(octets: str, position: int, text: str) -> None:
    """RFC 6275 9.2: the Payload Proto and Header Len checks."""
    with pytest.raises(wire.DecodeError) as caught:
        wire.decode(bytes.fromhex(octets))
    assert text in str(caught.value)
    assert caught.value.position == position


def test_unknown_messages_and_options_are_kept() -> None:
    octets = bytes.fromhex("3b 01 63 07 12 34  00 01 02 03 04 05 06 07 08 09")
    message = wire.decode(octets, strict=True)
    assert message == wire.UnknownMessage(99, bytes(range(10)))
    assert message.options == ()
    assert wire.encode(message, like=octets) == octets
    octets = bytes.fromhex("3b 01 05 00 00 00  00 01 00 00 00 00  c8 02 01 02")
    assert wire.decode(octets, strict=True).options == (wire.UnknownOption(200, b"\1\2"),)


def test_rfc7411_options_count_words() -> None:
    """Length 1 is four octets beyond the first four (RFC 7411 5.3): what follows must not be misread."""
    octets = bytes.fromhex("3b 02 05 00 00 00  00 01 00 00 00 00  3c 01 02 00 16 12 00 40  17 02 00 01")
    message = wire.decode(octets, strict=True)
    assert message.options == (MulticastMobility(2, bytes.fromhex("16120040")), wire.HandoffIndicator(1))
    assert wire.encode(message) == octets


def test_octets_behind_the_header_are_ignored_and_copied() -> None:
    octets = bytes.fromhex("3b 00 00 00 00 00  00 00") + b"behind"
    message = wire.decode(octets)
    assert message == wire.BindingRefreshRequest()
    assert wire.encode(message, like=octets) == octets
    with pytest.raises(wire.DecodeError, match=r"14 octets where 8 are announced \(octet 8\)"):
        wire.decode(octets, strict=True)


def test_a_run_of_pad1_is_legal_and_kept() -> None:
    octets = bytes.fromhex("3b 01 05 00 00 00  00 01 00 00 00 00  00 00 00 00")
    assert wire.decode(octets, strict=True).options == ()
    kept = wire.decode(octets, strict=True, padding=True)
    assert kept.options == (wire.Pad1(),) * 4
    assert wire.encode(kept, like=octets) == octets


def test_the_order_of_options_is_kept_and_first_and_all_find_them() -> None:
    first, second = wire.AnchoredPrefix.of(PREFIX), wire.AnchoredPrefix.of(prefix("2001:db8:2::/64"))
    update = wire.BindingUpdate(1, 0, 0, (wire.LocalPrefix.of(PREFIX), first, wire.Timestamp(1), second))
    decoded = wire.decode(wire.encode(update))
    assert decoded.first(wire.AnchoredPrefix) == first
    assert decoded.all(wire.AnchoredPrefix) == (first, second)
    assert decoded.first(wire.ServingMaar) is None
    assert decoded.all(wire.ServingMaar) == ()


def test_timestamp_counts_from_1970() -> None:
    """48 bits of seconds, 16 of fraction (RFC 5213 8.8)."""
    assert wall_clock(0x656E0A80_8000) == 0x656E0A80 * SECOND + SECOND // 2


SOURCE, DESTINATION = address("2001:db8::1"), address("2001:db8::2")


def test_the_checksum_by_hand() -> None:
    """The sum of 16-bit words of the pseudo-header (RFC 8200 8.1) and the header, worked out on paper.

    2001+0db8+1 + 2001+0db8+2 = 5b75; length 8 and protocol 135 are 008f; header 3b00; together 9704; inverted 68fb.
    """
    octets = wire.encode(wire.BindingRefreshRequest())
    sealed = wire.seal(octets, SOURCE, DESTINATION)
    assert sealed[4:6].hex() == "68fb"
    assert wire.verify(sealed, SOURCE, DESTINATION)
    assert wire.seal(sealed, SOURCE, DESTINATION) == sealed
    assert not wire.verify(octets, SOURCE, DESTINATION)
    assert not wire.verify(sealed, SOURCE, SOURCE)


def test_every_single_bit_error_is_noticed() -> None:
    sealed = wire.seal(wire.encode(wire.BindingUpdate(7, 0x8210, SECOND, registration())), SOURCE, DESTINATION)
    for position in range(8 * len(sealed)):
        damaged = bytearray(sealed)
        damaged[position // 8] ^= 1 << position % 8
        assert not wire.verify(bytes(damaged), SOURCE, DESTINATION)
