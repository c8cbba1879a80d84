"""Every declared message and option has words, whatever its fields hold."""

from __future__ import annotations

import json
import random

import pytest

from sojourn import wire
from sojourn.capture import names
from sojourn.capture.conversations import Pairing
from sojourn.capture.files import Packet
from sojourn.capture.layers import Payload
from sojourn.capture.report import Report
from sojourn.capture.signals import Signal, _signal
from sojourn.capture.words import Identities, Words, clean, seconds_text, time_text
from sojourn.wire.addresses import address
from sojourn.wire.units import SECOND
from support.capture import ipv6
from support.exchanges import update
from support.frames import A1, CMD, MOBILITY
from support.wire_messages import (
    ICMPV6_MESSAGE_CLASSES,
    MESSAGE_CLASSES,
    ND_OPTION_CLASSES,
    OPTION_CLASSES,
    random_object,
)

WORDS = Words()


def signal(message: wire.MobilityMessage) -> Signal:
    """A message as a capture would bring it."""
    octets = wire.seal(wire.encode(message), A1, CMD)
    return _signal("", Packet(1, 0, 101, ipv6(MOBILITY, octets, A1, CMD), 0), Payload(MOBILITY, octets, A1, CMD), None)


def everything(item: Signal) -> str:
    """All that can be said about a message."""
    report, place = Report(WORDS), Pairing().place(item)
    lines = [report.line(item, place), *(line for _, line in report.tree(item, place))]
    return json.dumps(report.object(item, place)) + "\n".join(piece.text for line in lines for piece in line)


@pytest.mark.parametrize("cls", MESSAGE_CLASSES, ids=lambda cls: cls.__name__)
def test_every_message_has_a_name_a_line_a_tree_and_an_object(cls: type) -> None:
    rng = random.Random(cls.__name__)
    for _ in range(20):
        item = signal(random_object(cls, rng))
        assert item.name.rstrip("*") in everything(item)
        assert item.message is None or item.name.isprintable()


@pytest.mark.parametrize("cls", OPTION_CLASSES + ND_OPTION_CLASSES, ids=lambda cls: cls.__name__)
def test_every_option_has_words_and_values_for_json(cls: type) -> None:
    rng = random.Random(cls.__name__)
    for _ in range(20):
        option = random_object(cls, rng)
        assert WORDS.brief(option).startswith(names.option_name(cls))
        assert json.dumps([row.value for row in WORDS.rows(option)])


@pytest.mark.parametrize("cls", ICMPV6_MESSAGE_CLASSES, ids=lambda cls: cls.__name__)
def test_every_icmpv6_message_has_words(cls: type) -> None:
    message = random_object(cls, random.Random(cls.__name__))
    assert names.short_name(message)
    assert json.dumps([row.value for row in WORDS.rows(message)])


def test_every_mobility_header_type_has_the_name_that_engineers_use() -> None:
    assert [names.short_name(wire.UnknownMessage(number, b"")) for number in (0, 9, 23, 24)] == [
        "BRR",
        "FBack",
        "SubR",
        "MH24",
    ]
    found = {names.short_name(random_object(cls, random.Random(1))).rstrip("*") for cls in MESSAGE_CLASSES}
    assert {"BRR", "HoTI", "CoT", "BE", "HI", "HAck", "BRI", "BRA", "LRI", "UPA", "FBI", "FBA", "SubQ"} <= found


def test_proxy_and_star() -> None:
    assert names.short_name(wire.BindingUpdate(1, 0, 0)) == "BU"
    assert names.short_name(update(1, 1)) == "PBU"
    assert names.short_name(update(1, 1, wire.ServingMaar(A1))) == "PBU*"


def test_flags_lifetimes_status_and_prefixes_are_words() -> None:
    text = everything(signal(update(1, 7, lifetime=300)))
    assert "APD" in text
    assert "seq 7" in text
    assert "lifetime 300 s" in text
    assert "/64" in text
    answer = wire.BindingAcknowledgement(156, 0x20, 7, wire.LIFETIME_INFINITE)
    text = everything(signal(answer))
    assert "timestamp mismatch" in text
    assert "infinite" in text


def test_flags_of_different_messages_are_not_mixed_up() -> None:
    """Members of different enumerations are equal as numbers; a cache once took one for another."""
    rows = {row.name: row.text for row in WORDS.rows(wire.BindingUpdate(1, 0x8001, 0))}
    assert rows["flags"] == "A+0x1"
    assert {row.name: row.text for row in WORDS.rows(wire.Heartbeat(1, 1))}["flags"] == "R"


def test_identities_are_written_as_told_and_nothing_undecodable_is_shown() -> None:
    hidden = Words(Identities(lambda node: "#node", lambda octets: "#link", lambda text: text, hidden=True))
    texts = [hidden.brief(option) for option in update(1, 1).options]
    assert "MN #node" in texts
    assert "LL #link" in texts
    assert hidden.rows(wire.UnknownOption(8, b"secret"))[0].value is None
    assert WORDS.rows(wire.UnknownOption(8, b"secret"))[0].value == b"secret".hex()


def test_nothing_from_the_wire_controls_the_terminal() -> None:
    text = everything(signal(wire.BindingUpdate(1, 0, 0, (wire.MobileNodeIdentifier(1, b"\x1b[2Jroot@\x07"),))))
    assert "\x1b" not in text
    assert clean("a\x1b[31mb\u202e") == "a\\x1b[31mb\\x202e"


def test_times_and_durations() -> None:
    assert time_text(1_790_000_000_123_456_789) == "2026-09-21T14:13:20.123456789Z"
    assert time_text(1 << 80) == f"{(1 << 80) // SECOND}.{(1 << 80) % SECOND:09d}"
    assert seconds_text(300 * SECOND) == "300 s"
    assert seconds_text(1_500_000_000) == "1.5 s"


def test_addresses_of_both_versions() -> None:
    assert WORDS.address(address("2001:db8::1")) == "2001:db8::1"
    assert WORDS.address(bytes((192, 0, 2, 1))) == "192.0.2.1"
