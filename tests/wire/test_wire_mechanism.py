"""What the mechanism can do beyond today's declarations, shown on layouts that the catalogue of RFCs has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from random import Random
from typing import Annotated, Any

import pytest

from sojourn import wire
from sojourn.wire import tlv
from sojourn.wire.addresses import is_ipv4, text
from sojourn.wire.errors import DecodeError, EncodeError
from sojourn.wire.fields import U8, U16, U24, U32, Bits, Flag, Ip6, Rest, Tlvs
from sojourn.wire.generate import NATURAL, PADDING, STRICT, alignment_of
from sojourn.wire.tlv import Family, Message, Registry, Tlv


@dataclass(slots=True)
class Unknown(Tlv):
    type: int
    data: bytes

    def put(self, out: bytearray, align: bool) -> None:
        out += bytes((self.type, len(self.data))) + self.data


@pytest.fixture(autouse=True)
def own_families() -> Iterator[None]:
    """The families of these tests do not outlive them."""
    before = dict(tlv.WALKERS)
    yield
    tlv.WALKERS.clear()
    tlv.WALKERS.update(before)


def octets_of(option: Tlv, begin: int = 0) -> bytes:
    """What `option` appends behind `begin` octets."""
    out = bytearray(begin)
    option.put(out, True)
    return bytes(out[begin:])


def test_options_within_an_option() -> None:
    """As Quality-of-Service (RFC 7222 4.1) has them: attributes with numbers of their own."""
    attributes = Family("attributes", Unknown)
    family = Family("options", Unknown, pad1=True, padding=(0, 1))

    @attributes.option(1)
    @dataclass(slots=True)
    class BitRate(Tlv):
        reserved: U16 = field(default=0, kw_only=True)
        rate: U32

    @family.option(58, align=(4, 0))
    @dataclass(slots=True)
    class QualityOfService(Tlv):
        service_request: U8
        code_point: Annotated[int, Bits(6)]
        reserved: Annotated[int, Bits(2)] = field(default=0, kw_only=True)
        operation: U8
        reserved2: U24 = field(default=0, kw_only=True)
        attributes: Annotated[tuple[Tlv, ...], Tlvs("attributes")] = ()

    option = QualityOfService(7, 46, 1, (BitRate(1000), Unknown(9, b"abcd"), BitRate(2000)))
    octets = bytes.fromhex("3a 1c 07 b8 01 000000  0106 0000 000003e8  0904 61626364  0106 0000 000007d0")
    assert octets_of(option) == octets
    assert family.walk(octets, 0, len(octets), STRICT) == (option,)
    damaged = octets[:9] + b"\x07" + octets[10:]
    with pytest.raises(DecodeError, match=r"BitRate.*\(octet 8\)"):
        family.walk(damaged, 0, len(damaged), STRICT)
    with pytest.raises(EncodeError, match=r"QualityOfService.*too long"):
        octets_of(QualityOfService(7, 46, 1, (Unknown(9, bytes(250)),)))


def test_a_malformed_option_within_an_option_does_not_spoil_the_outer_one() -> None:
    inner, outer = Family("inner", Unknown), Family("outer", Unknown)

    @inner.option(1)
    @dataclass(slots=True)
    class Small(Tlv):
        value: U8

    @outer.option(2)
    @dataclass(slots=True)
    class Whole(Tlv):
        parts: Annotated[tuple[Tlv, ...], Tlvs("inner")]

    octets = bytes((2, 7, 1, 2, 8, 8, 1, 1, 9))
    assert outer.walk(octets, 0, 9, 0) == (Whole((Unknown(1, b"\x08\x08"), Small(9))),)


def test_a_length_that_counts_words() -> None:
    """As Multicast Mobility (RFC 7411 5.3): 32-bit words beyond the first four octets."""
    family = Family("options", Unknown)

    @family.option(60, length=(4, 4))
    @dataclass(slots=True)
    class MulticastMobility(Tlv):
        code: U8
        reserved: U8 = field(default=0, kw_only=True)
        report: Annotated[bytes, Rest()]

    option = MulticastMobility(2, b"12345678")
    octets = bytes.fromhex("3c 02 02 00") + b"12345678"
    assert octets_of(option) == octets
    assert family.walk(octets + b"\x63\x01x", 0, 15, STRICT) == (option, Unknown(99, b"x"))
    assert octets_of(MulticastMobility(2, b"12345")) == bytes.fromhex("3c 02 02 00") + b"12345\0\0\0"


def test_type_zero_may_be_an_option_like_others() -> None:
    """Context Request (RFC 5949 6.2.1) has no Pad1 inside."""
    family = Family("options", Unknown)
    assert family.walk(bytes((0, 2, 1, 1, 0, 0)), 0, 6, STRICT) == (Unknown(0, b"\1\1"), Unknown(0, b""))


def test_octets_of_one_of_several_lengths_and_an_alignment_that_depends_on_them() -> None:
    """As Binding Identifier (RFC 5648 4.3): a care-of address of 0, 4 or 16 octets, 2n without, 8n+2 with one."""
    family = Family("options", Unknown, pad1=True, padding=(0, 1))

    @family.option(35, align=lambda option: (8, 2) if option.care_of else (2, 0))
    @dataclass(slots=True)
    class BindingIdentifier(Tlv):
        bid: U16
        status: U8
        home: Annotated[bool, Flag()]
        priority: Annotated[int, Bits(7)]
        care_of: Annotated[bytes, Rest(sizes=(0, 4, 16))] = b""

    plain, with_address = BindingIdentifier(1, 0, True, 5), BindingIdentifier(1, 0, False, 5, bytes(16))
    assert octets_of(plain, 7) == bytes.fromhex("00 23 04 0001 00 85")
    assert octets_of(with_address, 7)[:6] == bytes.fromhex("01 01 00 23 14 00")
    assert alignment_of(plain) == (2, 0)
    assert family.walk(octets_of(plain), 0, 6, STRICT) == (plain,)
    with pytest.raises(DecodeError, match="7 octets where 4 or 8 or 20 are expected"):
        family.walk(bytes((35, 7)) + bytes(7), 0, 9, STRICT)
    with pytest.raises(EncodeError, match=r"care_of.*5 octets are not 0 or 4 or 16"):
        octets_of(BindingIdentifier(1, 0, True, 5, b"12345"))


def test_a_class_may_read_and_write_itself() -> None:
    """As Home Agent Switch (RFC 5142 4): a count of addresses, and only then the options."""
    registry: Registry[Message] = Registry()
    walk = tlv.WALKERS["mobility options"]

    @registry.message(12)
    @dataclass(slots=True)
    class HomeAgentSwitch(Message):
        addresses: tuple[bytes, ...]
        options: tuple[Any, ...] = ()

        @staticmethod
        def get(octets: bytes, start: int, stop: int, mode: int) -> Any:
            begin = start + 2 + 16 * octets[start]
            if begin > stop:
                raise DecodeError("HomeAgentSwitch (RFC 5142 4): addresses beyond the end", start)
            addresses = tuple(octets[at : at + 16] for at in range(start + 2, begin, 16))
            return HomeAgentSwitch(addresses, walk(octets, begin, stop, mode))

        def put(self, out: bytearray, align: bool) -> None:
            out += bytes((len(self.addresses), 0)) + b"".join(self.addresses)
            for option in self.options:
                option.put(out, align)

    message = HomeAgentSwitch((bytes(16), b"x" * 16), (wire.BindingRefreshAdvice(4_000_000_000),))
    out = bytearray(6)
    message.put(out, True)
    read = registry.readers[12]
    assert read
    assert read(bytes(out), 6, len(out), STRICT) == message


@pytest.mark.parametrize(
    ("size", "x", "y"), [(6, 2, 0), (8, 8, 4), (4, 4, 0), (16, 8, 4), (5, 1, 0), (0, 8, 4), (12, 4, 0)]
)
def test_natural_alignment_follows_the_size(size: int, x: int, y: int) -> None:
    """RFC 5213 8.6 and RFC 8885 4.8 with RFC 6275 6.2.1: n octets begin at a multiple of n, for n = 1, 2, 4, 8."""
    option = wire.DlifLinkLayerAddress(bytes(size))
    assert option.align == NATURAL
    assert alignment_of(option) == (x, y)
    for begin in range(8):
        octets = octets_of(option, begin)
        padding = len(octets) - 4 - size
        assert (begin + padding) % x == y
        assert 0 <= padding < x


def test_bits_across_three_octets_and_numbers_of_three_octets() -> None:
    """As MAG Multipath Binding (RFC 8278 4.1): two flags and 22 reserved bits."""
    family = Family("options", Unknown)

    @family.option(63)
    @dataclass(slots=True)
    class Multipath(Tlv):
        label: U24
        bulk: Annotated[bool, Flag()]
        overwrite: Annotated[bool, Flag()]
        reserved: Annotated[int, Bits(22)]

    option = Multipath(0x010203, False, True, 0x2ABCDE)
    assert octets_of(option) == bytes.fromhex("3f 06 010203 6abcde")
    assert family.walk(octets_of(option), 0, 8, STRICT) == (option,)
    with pytest.raises(EncodeError, match=r"Multipath\.label"):
        octets_of(Multipath(1 << 24, False, True, 0))


def test_padding_inside_is_kept_only_when_asked_for() -> None:
    octets = bytes((0, 1, 1, 0, 200, 0))
    walk = tlv.WALKERS["mobility options"]
    assert walk(octets, 0, 6, 0) == (wire.UnknownOption(200, b""),)
    assert walk(octets, 0, 6, PADDING) == (wire.Pad1(), wire.PadN(b"\0"), wire.UnknownOption(200, b""))


def declare(annotations: dict[str, Any]) -> None:
    """An option with these annotations, as `dataclass` would see them."""
    cls: type[Tlv] = dataclass(slots=True)(type("Odd", (Tlv,), {"__annotations__": annotations}))
    Family("odd", Unknown).option(1)(cls)


@pytest.mark.parametrize(
    ("annotations", "text"),
    [
        ({"number": U8}, "Odd.number: the name belongs to the mechanism"),
        ({"value": int}, "Odd.value: the annotation has no layout"),
        ({"some": Annotated[int, Bits(3)]}, "do not fill their octets"),
        ({"some": Annotated[int, Bits(3)], "value": U8}, "Odd.value does not begin on an octet"),
        ({"rest": Annotated[bytes, Rest()], "value": U8}, "Odd.value comes after a field without a fixed length"),
    ],
)
def test_a_declaration_without_a_layout_is_refused_at_import(annotations: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        declare(annotations)


def test_alignment_needs_a_family_with_padding() -> None:
    with pytest.raises(TypeError, match="number 3: no alignment without Pad1 and PadN"):
        Family("options", Unknown).option(3, align=(4, 0))(wire.ServingMaar)


def test_a_number_is_given_once() -> None:
    with pytest.raises(TypeError, match="number 22 belongs to HomeNetworkPrefix"):
        wire.MOBILITY_OPTIONS.option(22)(wire.ServingMaar)
    registry: Registry[Message] = Registry()

    def message() -> type[Message]:
        return dataclass(slots=True)(type("Some", (Message,), {"__annotations__": {"address": Ip6}}))

    registry.message(1)(message())
    registry.message(2, subtype=b"\1")(message())
    registry.message(2, subtype=b"\2")(message())
    for number, subtype in ((1, b""), (1, b"\1"), (2, b""), (2, b"\2")):
        with pytest.raises(TypeError, match=f"number {number} is taken"):
            registry.message(number, subtype)(message())


def test_addresses_are_written_as_ipaddress_writes_them() -> None:
    rng = Random(1)
    for _ in range(2000):
        octets = b"".join(rng.choice([bytes(2), bytes(2), b"\0\1", b"\x20\0", rng.randbytes(2)]) for _ in range(8))
        if not is_ipv4(octets):
            assert text(octets) == str(IPv6Address(octets))
    assert [text(bytes(16)), text(bytes(15) + b"\1"), text(b"\xfe\x80" + bytes(14))] == ["::", "::1", "fe80::"]
    with pytest.raises(ValueError, match="15 octets"):
        text(bytes(15))
