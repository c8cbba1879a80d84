"""What lenient decoding overlooks is counted; what is overlooked of one peer only, by its profile.

The octets are made after the description of what these implementations send (87 octets where 80 are announced, missing
P, seconds and microseconds, numbers of drafts); none of them is a recording.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from sojourn import wire
from sojourn.wire import Tolerance
from sojourn.wire.addresses import address, prefix
from sojourn.wire.extensions import rfc5555
from sojourn.wire.tolerance import ALWAYS, PROFILES, decode_from
from support.wire_messages import damage, random_message

MAAR = address("2001:db8:a2::1")


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        ("3b 01 05 00 0000  0001 8200 0005  17 01 00 00", Tolerance.MALFORMED_OPTION),
        ("3b 02 05 00 0000  0001 8200 0005  34 04 02 02 0000  01 04 00000000", Tolerance.MALFORMED_SUB_OPTION),
        ("3b 01 05 00 0000  0001 8200 0005  34 02 02 09", Tolerance.MALFORMED_SUB_OPTION),
        ("3b 01 05 00 0000  0001 8200 0005  00 17 09 00", Tolerance.OPTION_BEYOND_END),
        ("3b 00 00 00 0000  0000  62", Tolerance.OCTETS_BEHIND_HEADER),
    ],
)
def test_a_deviation_is_counted_when_lenient_and_refused_when_strict(octets: str, expected: Tolerance) -> None:
    seen: Counter[Tolerance] = Counter()
    wire.decode(bytes.fromhex(octets), tolerated=seen)
    assert seen == {expected: 1}
    with pytest.raises(wire.DecodeError):
        wire.decode(bytes.fromhex(octets), strict=True)


def test_strict_refuses_exactly_what_lenient_counts() -> None:
    rng = Random(20)
    outcomes: Counter[bool] = Counter()
    for _ in range(5000):
        octets = damage(wire.encode(random_message(rng)), rng)
        seen: Counter[Tolerance] = Counter()
        try:
            wire.decode(octets, tolerated=seen)
        except wire.DecodeError:
            continue
        try:
            wire.decode(octets, strict=True)
            strict = True
        except wire.DecodeError:
            strict = False
        assert strict == (not seen), octets.hex()
        assert set(seen) <= set(ALWAYS)
        outcomes[strict] += 1
    assert min(outcomes.values()) > 300


# A PBU as MAD-PMIPv6 sends it: 80 octets announced, 87 sent; EUI-64 as type 2; no P in acknowledgements.
MAD_PBU = bytes.fromhex(
    "3b 09 05 00 0000  0001 c200 0005"
    "08 09 02 020000fffe000001"  # octets 12 to 22: an identifier of type 2 with eight octets
    "01 03 000000"  # to 27
    "16 12 00 40 20010db8 00010000 00000000 00000000"  # to 47
    "17 02 00 05  18 02 00 04"  # to 55
    "01 00 1b 08 65000001 00000002"  # to 67: 0x65000001 seconds and 2 microseconds
)
SERVING = bytes.fromhex("1c 10 20010db8 00a20000 00000000 00000001")


def mad_update() -> bytes:
    """80 octets announced; the last option reaches seven octets beyond."""
    return MAD_PBU + b"\0" + SERVING  # one Pad1, and the option runs from octet 69 to 86


def test_mad_pmipv6_is_understood_with_its_profile_only() -> None:
    octets = mad_update()
    assert len(octets) == 87
    plain = wire.decode(octets)
    assert plain.first(wire.ServingMaar) is None
    assert plain.first(wire.Timestamp) == wire.Timestamp(0x65000001_00000002)
    seen: Counter[Tolerance] = Counter()
    meant = decode_from(octets, PROFILES["mad-pmipv6"], seen)
    assert meant.first(wire.ServingMaar) == wire.ServingMaar(MAAR)
    assert meant.first(wire.Timestamp) == wire.Timestamp(0x65000001_0000)
    assert meant.first(wire.MobileNodeIdentifier) == wire.MobileNodeIdentifier(6, bytes.fromhex("020000fffe000001"))
    assert seen == {
        Tolerance.LONGER_THAN_HEADER_LEN: 1,
        Tolerance.OPTION_NUMBER: 1,
        Tolerance.SECONDS_AND_MICROSECONDS: 1,
        Tolerance.IDENTIFIER_TYPE: 1,
    }


def test_a_previous_router_with_the_number_of_the_draft() -> None:
    previous = wire.PreviousMaar.of(prefix("2001:db8:1::/64"), MAAR)
    out = bytearray()
    previous.put(out, False)
    out[0] = 29
    octets = bytes.fromhex("3b 05 06 00 0000  00 42 0001 0005") + out
    assert wire.decode(octets).first(wire.PreviousMaar) is None
    seen: Counter[Tolerance] = Counter()
    meant = decode_from(octets, PROFILES["mad-pmipv6"], seen)
    assert meant.first(wire.PreviousMaar) == previous
    assert isinstance(meant, wire.BindingAcknowledgement)
    assert meant.flags == 0x62
    assert seen == {Tolerance.OPTION_NUMBER: 1, Tolerance.MISSING_PROXY_FLAG: 1}


def test_a_timestamp_cut_off_by_the_header_length() -> None:
    """OAI-PMIPv6: 72 octets announced, 76 sent, the last four of them the end of the Timestamp."""
    octets = bytes.fromhex(
        "3b 01 06 00 0000  00 00 0001 0005  01 00 1b 08 65000001 000f423f"  # 16 announced, 24 sent
    )
    plain = wire.decode(octets)
    assert plain.options == (wire.Remainder(b"\x1b\x08"),)
    meant = decode_from(octets, PROFILES["oai-pmipv6"])
    assert meant.first(wire.Timestamp) == wire.Timestamp(0x65000001_FFFF)
    assert meant == wire.BindingAcknowledgement(0, 0x20, 1, 20_000_000_000, meant.options)


@pytest.mark.parametrize(
    ("octets", "ticks", "seen"),
    [
        ("00006b0bc1234567", 0x6B0BC1234567, None),
        ("0b6b0000 674523c1", 0x6B0BC1234567, Tolerance.SWAPPED_WORDS),
        ("6b0bc123 0007a120", 0x6B0BC1238000, Tolerance.SECONDS_AND_MICROSECONDS),
        ("6b0bc123 f0000000", 0x6B0BC123F0000000, None),
    ],
)
def test_a_time_is_read_in_the_way_that_its_zeros_show(octets: str, ticks: int, seen: Tolerance | None) -> None:
    """The RFC's own (a peer returns what we sent), two swapped words, seconds and microseconds, and none of these."""
    header = bytes.fromhex("3b 02 06 00 0000  00 20 0001 0005  01 00 1b 08")
    counted: Counter[Tolerance] = Counter()
    meant = decode_from(header + bytes.fromhex(octets), PROFILES["oai-pmipv6"], counted)
    assert meant.first(wire.Timestamp) == wire.Timestamp(ticks)
    assert [one for one in counted if one is not Tolerance.LONGER_THAN_HEADER_LEN] == ([seen] if seen else [])


def test_prefixes_of_128_bits_are_those_of_64() -> None:
    network = wire.HomeNetworkPrefix(128, address("2001:db8:1:2:3::"))
    nothing = wire.HomeNetworkPrefix(128, bytes(16))
    octets = wire.encode(wire.BindingUpdate(1, 0x8200, 0, (network, nothing)))
    meant = decode_from(octets, PROFILES["oai-pmipv6"])
    assert [option.prefix for option in meant.all(wire.HomeNetworkPrefix)] == [
        prefix("2001:db8:1:2::/64"),
        prefix("::/0"),
    ]
    assert decode_from(octets, PROFILES["mad-pmipv6"]).options == (network, nothing)


def test_the_bit_of_a_request_in_an_acknowledgement() -> None:
    """0x42 is H and P of an update, written into one octet; with options of RFC 8885 it may be D as well."""
    octets = wire.encode(wire.BindingAcknowledgement(0, 0x42, 1, 0))
    seen: Counter[Tolerance] = Counter()
    meant = decode_from(octets, PROFILES["mad-pmipv6"], seen)
    assert isinstance(meant, wire.BindingAcknowledgement)
    assert meant.flags == 0x60
    assert seen == {Tolerance.MISPLACED_PROXY_FLAG: 1}


def test_eight_binary_octets_as_a_name() -> None:
    octets = wire.encode(wire.BindingUpdate(1, 0x8200, 0, (wire.MobileNodeIdentifier(1, bytes(range(8))),)))
    meant = decode_from(octets, PROFILES["oai-pmipv6"])
    assert meant.options == (wire.MobileNodeIdentifier(wire.IdentifierType.EUI_64, bytes(range(8))),)
    name = wire.encode(wire.BindingUpdate(1, 0x8200, 0, (wire.MobileNodeIdentifier(1, b"mn1@home"),)))
    assert decode_from(name, PROFILES["oai-pmipv6"]).options == (wire.MobileNodeIdentifier(1, b"mn1@home"),)


def test_a_missing_proxy_flag_is_supplied_for_inet() -> None:
    octets = wire.encode(wire.BindingAcknowledgement(0, 0x40, 1, 0))
    meant = decode_from(octets, PROFILES["inet"])
    assert isinstance(meant, wire.BindingAcknowledgement)
    assert meant.flags == 0x60


def test_ipv4_options_with_the_numbers_of_a_draft() -> None:
    octets = bytes.fromhex("3b 03 05 00 0000  0001 8000 0005  15 06 80 00 c0000201  16 06 0000 c0000202  01 02 0000")
    meant = decode_from(octets, PROFILES["umip-dsmip"])
    assert meant.options == (
        rfc5555.Ipv4HomeAddress(32, False, bytes((192, 0, 2, 1))),
        rfc5555.Ipv4CareOfAddress(bytes((192, 0, 2, 2))),
    )


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_refuse_damage_like_all_others(name: str) -> None:
    rng = Random(30)
    for _ in range(500):
        octets = damage(rng.choice((mad_update(), wire.encode(random_message(rng)))), rng)
        seen: Counter[Tolerance] = Counter()
        try:
            message = decode_from(octets, PROFILES[name], seen)
        except wire.DecodeError:
            continue
        wire.encode(message, like=octets)


def test_right_messages_need_no_profile() -> None:
    """Except that P is supplied and options are renumbered where a profile says so: that is why they are off."""
    update = wire.BindingUpdate(1, 0x8210, 0, (wire.HomeNetworkPrefix.of(prefix("2001:db8:1::/64")),))
    for profile in PROFILES.values():
        seen: Counter[Tolerance] = Counter()
        assert decode_from(wire.encode(update), profile, seen) == update
        assert not seen
