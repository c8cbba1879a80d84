"""What must hold for every declaration and for any octets: the cases come from the declarations themselves."""

from __future__ import annotations

import dataclasses
import re
import sys
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn import wire
from sojourn.wire import icmpv6
from sojourn.wire.extensions import rfc6088
from sojourn.wire.extensions.rfc5949 import ContextRemainder
from sojourn.wire.fields import Repeated, Rest, Tlvs
from sojourn.wire.generate import alignment_of, kinds
from sojourn.wire.tlv import SubRemainder, UnknownSubOption
from support.wire_messages import (
    ICMPV6_MESSAGE_CLASSES,
    MESSAGE_CLASSES,
    ND_OPTION_CLASSES,
    OPTION_CLASSES,
    PADDING_CLASSES,
    PARENTS,
    SUB_FAMILIES,
    damage,
    options_at,
    random_message,
    random_object,
    random_selector,
)

ADDRESS = bytes.fromhex("20010db8000000000000000000000001")
randoms = st.randoms(use_true_random=False)


def name_of(cls: Any) -> str:
    """For the names of test cases."""
    return str(cls.__name__)


@pytest.mark.parametrize("cls", OPTION_CLASSES, ids=name_of)
@given(rng=randoms)
@settings(max_examples=50, deadline=None)
def test_an_option_comes_back_with_any_field_values(cls: Any, rng: Random) -> None:
    option = random_object(cls, rng)
    octets = wire.encode(wire.BindingUpdate(1, 0, 0, (wire.UnknownOption(200, b"x" * rng.randrange(9)), option)))
    assert wire.decode(octets, strict=True).options[-1] == option


@pytest.mark.parametrize("cls", MESSAGE_CLASSES, ids=name_of)
@given(rng=randoms)
@settings(max_examples=50, deadline=None)
def test_a_message_comes_back_with_any_field_values(cls: Any, rng: Random) -> None:
    message = random_object(cls, rng)
    octets = wire.encode(message)
    assert len(octets) == 8 * octets[1] + 8
    assert wire.decode(octets, strict=True) == message


@pytest.mark.parametrize(
    ("family", "cls"),
    [
        pytest.param(family, cls, id=cls.__name__)
        for family in SUB_FAMILIES
        for cls in family.classes.values()
        if cls not in PADDING_CLASSES
    ],
)
@given(rng=randoms)
@settings(max_examples=50, deadline=None)
def test_a_sub_option_comes_back_with_any_field_values(family: Any, cls: Any, rng: Random) -> None:
    parts = tuple(random_object(cls, rng) for _ in range(1, 3))
    update = wire.BindingUpdate(1, 0, 0, (PARENTS[family.name](parts),))
    assert wire.decode(wire.encode(update), strict=True) == update


@pytest.mark.parametrize("cls", ICMPV6_MESSAGE_CLASSES, ids=name_of)
@given(rng=randoms)
@settings(max_examples=50, deadline=None)
def test_an_icmpv6_message_comes_back_with_any_field_values(cls: Any, rng: Random) -> None:
    message = random_object(cls, rng)
    assert icmpv6.decode_icmpv6(icmpv6.encode_icmpv6(message), strict=True) == message


@pytest.mark.parametrize("cls", ND_OPTION_CLASSES, ids=name_of)
@given(rng=randoms)
@settings(max_examples=50, deadline=None)
def test_a_discovery_option_comes_back_and_fills_units_of_eight_octets(cls: Any, rng: Random) -> None:
    option = random_object(cls, rng)
    octets = icmpv6.encode_icmpv6(icmpv6.RouterSolicitation(options=(option,)))
    assert len(octets) % 8 == 0
    assert octets[9] == len(octets) // 8 - 1
    assert icmpv6.decode_icmpv6(octets, strict=True).options == (option,)


@given(rng=randoms)
@settings(max_examples=200, deadline=None)
def test_every_option_stands_where_its_alignment_wants_it(rng: Random) -> None:
    message = random_message(rng)
    octets = wire.encode(message)
    position = options_at(message)
    for option in wire.decode(octets, strict=True, padding=True).options:
        x, y = alignment_of(option)
        assert position % x == y % x, option
        base, unit = wire.MOBILITY_OPTIONS.length(octets[position])
        position += 1 if isinstance(option, wire.Pad1) else base + unit * octets[position + 1]
    assert position == len(octets)


@given(rng=randoms)
@settings(max_examples=200, deadline=None)
def test_no_more_padding_than_needed(rng: Random) -> None:
    message = random_message(rng)
    kept = wire.decode(wire.encode(message), padding=True).options
    padding = [isinstance(option, wire.Pad1 | wire.PadN) for option in kept]
    assert (True, True) not in pairwise(padding)
    assert all(len(option.data) <= 5 for option in kept if isinstance(option, wire.PadN))


def refusal(octets: bytes, strict: bool) -> wire.DecodeError | None:
    """Why the octets do not decode; None if they do. Any other exception is a failure of the test."""
    try:
        wire.decode(octets, strict=strict)
    except wire.DecodeError as error:
        return error
    return None


def bare(options: tuple[Any, ...]) -> tuple[Any, ...]:
    """The options without padding, also without that inside of them."""
    found = []
    for option in options:
        if isinstance(option, PADDING_CLASSES):
            continue
        inner = [field.name for field in dataclasses.fields(option) if isinstance(getattr(option, field.name), tuple)]
        if inner and not isinstance(kinds(type(option))[inner[0]], Repeated):
            option = dataclasses.replace(option, **{inner[0]: bare(getattr(option, inner[0]))})
        found.append(option)
    return tuple(found)


def is_kept_as_octets(option: Any) -> bool:
    """Whether the option, or one within it, was malformed."""
    if isinstance(option, wire.UnknownOption | wire.Remainder | UnknownSubOption | SubRemainder | ContextRemainder):
        return True
    values = [getattr(option, field.name) for field in dataclasses.fields(option)]
    return any(
        is_kept_as_octets(one)
        for value in values
        if isinstance(value, tuple)
        for one in value
        if dataclasses.is_dataclass(one)
    )


def accept(octets: bytes) -> bool:
    """Whether the octets decode; what must be true in either case is checked here."""
    error, strict_error = refusal(octets, strict=False), refusal(octets, strict=True)
    if error:
        assert strict_error
        assert 0 <= error.position <= len(octets)
        assert str(error).endswith(f"(octet {error.position})")
        return False
    message, kept = wire.decode(octets), wire.decode(octets, padding=True)
    assert wire.encode(kept, like=octets) == octets
    assert message.options == bare(kept.options)
    if strict_error:
        assert "announced" in str(strict_error) or any(map(is_kept_as_octets, message.options))
        assert octets[strict_error.position : strict_error.position + 1]
    else:
        assert wire.decode(octets, strict=True) == message
    return True


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_random_octets_decode_or_are_refused(octets: bytes) -> None:
    accept(octets)


@given(number=st.integers(0, 255), data=st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_random_octets_behind_a_right_header_decode_or_are_refused(number: int, data: bytes) -> None:
    data += bytes(-(6 + len(data)) % 8)
    accept(bytes((59, (6 + len(data)) // 8 - 1, number, 0, 0, 0)) + data)


def test_damaged_messages_decode_exactly_or_are_refused() -> None:
    rng = Random(8885)
    accepted = 0
    for _ in range(6000):
        octets = damage(wire.encode(random_message(rng)), rng)
        accepted += accept(octets)
    assert 1000 < accepted < 5000  # both outcomes are exercised


def test_every_truncation_of_every_message_is_refused() -> None:
    rng = Random(6275)
    for cls in MESSAGE_CLASSES:
        octets = wire.encode(random_object(cls, rng))
        for length in range(len(octets)):
            with pytest.raises(wire.DecodeError):
                wire.decode(octets[:length])


def test_damaged_icmpv6_messages_decode_or_are_refused() -> None:
    rng = Random(4861)
    outcomes = set()
    for _ in range(4000):
        octets = damage(icmpv6.encode_icmpv6(random_object(rng.choice(ICMPV6_MESSAGE_CLASSES), rng)), rng)
        try:
            message = icmpv6.decode_icmpv6(octets)
        except wire.DecodeError:
            outcomes.add("refused")
            continue
        outcomes.add("accepted")
        use(message)
    assert outcomes == {"refused", "accepted"}


def use(thing: Any) -> None:
    """Read everything that a class derives from its fields: hostile values must not break that either."""
    repr(thing)
    for name in dir(type(thing)):
        if isinstance(getattr(type(thing), name), property):
            getattr(thing, name)
    for field in dataclasses.fields(thing):
        for part in getattr(thing, field.name) if isinstance(getattr(thing, field.name), tuple) else ():
            if dataclasses.is_dataclass(part):
                use(part)


def test_derived_values_hold_for_whatever_decodes() -> None:
    rng = Random(5213)
    for _ in range(3000):
        try:
            use(wire.decode(damage(wire.encode(random_message(rng)), rng)))
        except wire.DecodeError:
            continue


@pytest.mark.parametrize("cls", [*MESSAGE_CLASSES, *OPTION_CLASSES], ids=name_of)
def test_a_value_that_does_not_fit_is_refused_by_name(cls: Any) -> None:
    rng = Random(1)
    init = {field.name for field in dataclasses.fields(cls) if field.init}
    for name, kind in kinds(cls).items():
        if name not in init or isinstance(kind, Tlvs):
            continue
        limit = getattr(kind, "limit", None)
        wrong = (
            [None, "x", -limit - 2, limit + getattr(kind, "unit", 1)] if limit is not None else [None, 7, bytes(1200)]
        )
        if cls is wire.MESSAGES[11]:
            wrong.pop()  # what is too long for one message is refused by its length
        for value in wrong:
            broken = dataclasses.replace(random_object(cls, rng), **{name: value})
            message = broken if cls in MESSAGE_CLASSES else wire.BindingUpdate(0, 0, 0, (broken,))
            too_long = isinstance(kind, Rest) and not kind.sizes and isinstance(value, bytes)
            culprit = cls.__name__ if too_long else f"{cls.__name__}.{name}"
            with pytest.raises(wire.EncodeError, match=f"^{re.escape(culprit)} .*RFC"):
                wire.encode(message)


def test_a_message_of_more_than_2048_octets_is_refused() -> None:
    options = (wire.UnknownOption(200, bytes(255)),) * 8
    with pytest.raises(wire.EncodeError, match="BindingUpdate: 2072 octets where at most 2048"):
        wire.encode(wire.BindingUpdate(0, 0, 0, options))


@given(rng=randoms)
@settings(max_examples=200, deadline=None)
def test_a_traffic_selector_comes_back_and_damaged_ones_are_refused(rng: Random) -> None:
    drawn = random_selector(rng)
    value = rfc6088.selector(drawn["format"], drawn["octets"])
    if value is not None:
        assert value.encode() == drawn["octets"]
        x, y = value.alignment()
        assert (x in (1, 2, 4, 8), y) == (True, 0)
    damaged = damage(drawn["octets"] or b"x", rng)
    for cls in rfc6088.CLASSES.values():
        try:
            again = cls.decode(damaged)
        except wire.DecodeError:
            continue
        assert again.encode() == damaged


def test_a_selector_whose_values_do_not_fit_is_refused_by_name() -> None:
    for wrong, name in (
        (rfc6088.Ipv4TrafficSelector(source=(bytes(16), None)), "source"),
        (rfc6088.Ipv4TrafficSelector(protocol=(256, None)), "protocol"),
        (rfc6088.Ipv6TrafficSelector(flow_label=(-1, None)), "flow_label"),
        (rfc6088.Ipv6TrafficSelector(reserved=1 << 16), "reserved"),
    ):
        with pytest.raises(wire.EncodeError, match=name):
            wrong.encode()


def calls(function: Any, *arguments: Any) -> int:
    """How many Python and C functions run inside, whatever the machine's speed."""
    count = 0

    def seen(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "option",
    [bytes((1, 1)) + bytes(6), bytes((3, 1)) + bytes(6), bytes((99, 1)) + bytes(6)],
    ids=["known", "malformed", "unknown"],
)
def test_the_work_grows_with_the_octets_and_no_faster(option: bytes) -> None:
    small, large = (bytes((133, 0)) + bytes(6) + option * count for count in (1000, 8000))
    assert len(large) > 64000
    assert calls(icmpv6.decode_icmpv6, large) < 8.1 * calls(icmpv6.decode_icmpv6, small)
    assert calls(icmpv6.decode_icmpv6, large) < 10 * 8000


def test_a_listener_report_is_read_only_as_far_as_its_octets_go() -> None:
    octets = bytes((143, 0, 0, 0, 0, 0, 255, 255)) + bytes(64000)
    report = icmpv6.decode_icmpv6(octets)
    assert isinstance(report, icmpv6.MulticastListenerReport)
    assert len(report.groups) == 3200
