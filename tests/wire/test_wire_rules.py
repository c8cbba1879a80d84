"""Rules about messages: each with octets or values that break it, and with a message that breaks none."""

from __future__ import annotations

import csv
import dataclasses
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sojourn import wire
from sojourn.wire.addresses import ANY, address
from sojourn.wire.extensions import (
    rfc3963,
    rfc4285,
    rfc4866,
    rfc5149,
    rfc5555,
    rfc5568,
    rfc5648,
    rfc5949,
    rfc6463,
    rfc6757,
    rfc7148,
    rfc8278,
)
from sojourn.wire.rules import ALLOWED, ANYWHERE, kind_of, problems
from support.wire_messages import MESSAGE_CLASSES, damage, random_message, random_object

VECTORS = Path(__file__).parent.parent / "vectors"
HERE = address("2001:db8:a2::1")
REGISTRATION: tuple[Any, ...] = (
    wire.MobileNodeIdentifier(wire.IdentifierType.EUI_48, bytes(6)),
    wire.HomeNetworkPrefix.of(ANY),
    wire.HandoffIndicator(1),
    wire.AccessTechnologyType(4),
    wire.Timestamp(1),
)


def said(message: Any, octets: bytes | None = None) -> list[str]:
    """All problems as text."""
    return [str(problem) for problem in problems(message, octets)]


def test_a_registration_as_we_send_it_breaks_no_rule() -> None:
    update = wire.BindingUpdate(1, 0x8210, 0, REGISTRATION)
    assert said(update, wire.encode(update)) == []
    acknowledgement = wire.BindingAcknowledgement(0, 0x22, 1, 0, (*REGISTRATION, wire.DlifLinkLocalAddress(HERE)))
    assert said(acknowledgement, wire.encode(acknowledgement)) == []


def bu(*options: Any, flags: int = 0) -> wire.BindingUpdate:
    """A Binding Update."""
    return wire.BindingUpdate(1, flags, 0, options)


AUTH_HA = rfc4285.MobilityMessageAuthentication(1, 3, bytes(12))
AUTH_AAA = rfc4285.MobilityMessageAuthentication(2, 3, bytes(12))
PROOF = wire.BindingAuthorizationData(bytes(12))
NAME = wire.MobileNodeIdentifier(1, b"mn")

BROKEN: list[tuple[Any, str]] = [
    (wire.BindingRefreshRequest(reserved=1), r"BindingRefreshRequest.reserved is 0x1, not zero: RFC 6275 6.1.2"),
    (bu(flags=0x0008), r"reserved flags 0x8 of BindingUpdate are set: RFC 6275 6.1.7"),
    (bu(wire.ServingMaar(HERE)), r"ServingMaar is not for BU: RFC 8885 4.6"),
    (bu(PROOF, NAME), r"BindingAuthorizationData is not the last option: RFC 6275 6.2.7"),
    (bu(wire.NonceIndices(1, 2)), r"NonceIndices without BindingAuthorizationData: RFC 6275 6.2.6"),
    (bu(AUTH_HA, NAME), r"MobileNodeIdentifier comes after an authentication option: RFC 4283 3"),
    (bu(AUTH_AAA, AUTH_HA), r"the MN-HA authentication option is not last, or just before MN-AAA: RFC 4285 5.1"),
    (bu(rfc5149.ServiceSelection(b"x"), NAME), r"ServiceSelection comes before MobileNodeIdentifier: RFC 5149 3"),
    (bu(AUTH_HA, rfc5149.ServiceSelection(b"x")), r"ServiceSelection comes after an authentication option: RFC 5149 3"),
    (bu(rfc5149.ServiceSelection(b"x"), rfc5149.ServiceSelection(b"y")), r"more than one ServiceSelection: RFC 5149 3"),
    (bu(rfc4866.CgaParameters(b"x"), rfc4866.CgaParameters(b"y")), r"before the last is not full: RFC 4866 5.1"),
    (
        bu(rfc4866.CgaParameters(bytes(255)), NAME, rfc4866.CgaParameters(b"y")),
        r"do not follow each other: RFC 4866 5.1",
    ),
    (
        bu(rfc4866.Signature(b"s"), rfc4866.CgaParameters(b"y")),
        r"the Signature comes before the CGA Parameters: RFC 4866 5.2",
    ),
    (bu(wire.MobileNodeIdentifier(2, bytes(8))), r"8 octets are no identifier of type 2: RFC 8371 4"),
    (bu(wire.MobileNodeIdentifier(1, b"")), r"no identifier at all: RFC 4283 3"),
    (bu(rfc5555.Ipv4HomeAddress(0, False, bytes(4))), r"a prefix length of zero: RFC 5555 3.1.1"),
    (bu(rfc5648.BindingIdentifier(0)), r"BID 0 is reserved: RFC 5648 4.3"),
    (bu(flags=0x0040), r"0x0040 is O without P, but there is no BindingIdentifier: RFC 5648 4.2"),
    (bu(flags=0x0010), r"the flag D without P: RFC 8885 4.1"),
    (bu(rfc3963.MobileNetworkPrefix.of(ANY)), r"MobileNetworkPrefix without the flag R: RFC 3963 4.3"),
    (bu(wire.UnknownOption(23, b"\0")), r"HandoffIndicator is malformed: RFC 5213 8.4"),
    (bu(wire.Remainder(b"\x17\x09")), r"the last option does not end within the message: RFC 6275 6.2.1"),
    (bu(flags=0x0200), r"no HandoffIndicator: RFC 5213 6.9.1.5"),
    (bu(flags=0x0200), r"no HomeNetworkPrefix: RFC 5213 6.9.1.5"),
    (bu(*REGISTRATION, wire.ServingMaar(HERE), flags=0x0200), r"ServingMaar without the flag D: RFC 8885 4.1"),
    (bu(*REGISTRATION, rfc6757.AccessNetworkIdentifier(), flags=0x0210), r"no sub-option: RFC 6757 3"),
    (
        bu(*REGISTRATION, rfc8278.MagMultipathBinding(4, 1, 255, True, True), flags=0x0210),
        r"B and O exclude each other",
    ),
    (bu(*REGISTRATION, rfc8278.MagMultipathBinding(4, 1, 255, True, True), flags=0x0210), r"BID 255 is reserved: RFC"),
    (bu(rfc7148.DelegatedMobileNetworkPrefix(True, 64, HERE)), r"V does not say what prefix follows: RFC 7148 4.1"),
    (bu(rfc7148.DelegatedMobileNetworkPrefix(True, 64, bytes(4))), r"longer than the address: RFC 7148 4.1"),
    (bu(rfc6463.Redirect(False, True, HERE)), r"K and N do not say what address follows: RFC 6463 4.2"),
    (bu(rfc5949.LocalMobilityAnchorAddress(1, bytes(4))), r"code and address disagree: RFC 5949 6.2.2"),
    (bu(wire.HandoffIndicator(0)), r"0 is reserved: RFC 5213 8.4"),
    (bu(wire.AccessTechnologyType(0)), r"0 is reserved: RFC 5213 8.5"),
    (wire.BindingAcknowledgement(0, 0x20, 1, 0), r"no MobileNodeIdentifier: RFC 5213 5.3.6"),
    (rfc5568.FastBindingUpdate(1, 0x8000, 0), r"A and H are not both set: RFC 5568 6.2.2"),
    (wire.Heartbeat(0, 1, (wire.RestartCounter(1),)), r"RestartCounter in a request: RFC 5847 3.4"),
    (wire.Heartbeat(2, 1), r"U without R: RFC 5847 3.3"),
]


@pytest.mark.parametrize(("message", "text"), BROKEN, ids=[text[:60] for _, text in BROKEN])
def test_a_broken_rule_is_named_with_its_section(message: Any, text: str) -> None:
    assert any(re.search(re.escape(text) if "(" in text else text, one) for one in said(message)), said(message)


def test_authentication_in_its_place_is_right() -> None:
    assert said(bu(NAME, rfc5149.ServiceSelection(b"x"), AUTH_HA, AUTH_AAA)) == []
    assert said(bu(NAME, wire.NonceIndices(1, 2), PROOF)) == []


OCTETS = [
    ("3b 01 05 07 0000  0001 0000 0000  01 02 0000", "the reserved octet is 0x07, not zero (octet 3): RFC 6275 6.1.1"),
    ("3b 00 00 00 0000  0000  616263", "3 octets behind the header's end (octet 8): RFC 6275 6.1.1"),
    ("3b 01 05 00 0000  0001 0000 0000  01 02 0100", "PadN is not filled with zeros (octet 12): RFC 6275 6.2.3"),
    (
        "3b 03 05 00 0000  0001 0000 0000  05 0c" + "00" * 12 + "01 04 00000000",
        "padding behind BindingAuthorizationData (octet 26): RFC 6275 6.2.7",
    ),
    (
        "3b 03 05 00 0000  0001 0000 0000  00 03 10" + "00" * 16 + "00",
        "AlternateCareOfAddress does not begin at 8n+6 (octet 13): RFC 6275 6.2.5",
    ),
]


@pytest.mark.parametrize(("octets", "text"), OCTETS, ids=[text[:40] for _, text in OCTETS])
def test_what_only_the_octets_show(octets: str, text: str) -> None:
    raw = bytes.fromhex(octets)
    assert text in said(wire.decode(raw), raw)


def test_the_table_of_options_is_that_of_the_registry() -> None:
    """mh-types.csv names the options of each message; sections in parentheses are not numbers."""
    with (VECTORS / "mh-types.csv").open(newline="") as file:
        rows = {row["short"]: row["options_named_by_rfcs"] for row in csv.DictReader(file)}

    def numbers(text: str) -> set[int]:
        return {int(one) for one in re.findall(r"\b\d+\b", re.sub(r"\([^)]*\)|P=1", "", text))}

    for short in ("BRR", "CoTI", "CoT", "FBU", "FBack", "FNA", "HAS", "HB", "LRI", "LRA", "SubQ", "SubR"):
        allowed = ALLOWED[short]
        assert allowed is not None
        assert allowed == numbers(rows[short]), short
    for short, plain, proxy in (("BU", "BU", "PBU"), ("BA", "BA", "PBA")):
        first, second = rows[short].split(";")
        # RFC 5648 5.6.3 lets a binding at home carry the link-layer address of RFC 5568.
        assert ALLOWED[plain] == numbers(first) | ({7} if plain == "BU" else set()), short
        # RFC 5213 6.9.1.5, as mobility-options.csv has it; RFC 8885 3.2 step 3.
        also = {3} if proxy == "PBU" else {68}
        assert ALLOWED[proxy] == numbers(second.split(":")[1]) | also, short
    indication, acknowledgement = rows["BRI/BRA"].split(";")[:2]
    assert ALLOWED["BRI"] == numbers(indication.split(":")[1]) | {45, 50}
    assert ALLOWED["BRA"] == numbers(acknowledgement.split(":")[1].split("45")[0]) | {45, 50}
    assert ALLOWED["UPN"] is ALLOWED["UPA"] is None


def test_every_message_has_a_kind() -> None:
    rng = Random(3)
    kinds = {kind_of(random_object(cls, rng)) for cls in MESSAGE_CLASSES for _ in range(20)}
    assert kinds == set(ALLOWED)
    assert kind_of(wire.UnknownMessage(99, b"")) == ""
    assert {0, 1} <= ANYWHERE


def test_nothing_that_decodes_makes_the_checker_fail() -> None:
    rng = Random(4)
    looked_at = 0
    for _ in range(2000):
        octets = damage(wire.encode(random_message(rng)), rng)
        try:
            message = wire.decode(octets, padding=True)
        except wire.DecodeError:
            continue
        found = problems(message, octets)
        assert all(one.rfc.startswith("RFC ") and one.what for one in found)
        assert dataclasses.is_dataclass(message)
        looked_at += 1
    assert looked_at > 300
