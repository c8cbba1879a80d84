"""RFC 5846 7 and 10: a home agent takes a binding back from a mobile node; RFC 5094 and 5096 between the two."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core.effects import Report
from sojourn.core.events import Commanded, MessageReceived
from sojourn.engines.authentication import signed
from sojourn.engines.mip6_configuration import HomeNode
from sojourn.wire import (
    BindingError,
    BindingRevocationAcknowledgement,
    BindingRevocationFlags,
    BindingRevocationIndication,
    RevocationStatus,
    VendorSpecific,
    encode,
)
from sojourn.wire.extensions.rfc4285 import MobilityMessageReplayProtection
from sojourn.wire.extensions.rfc5096 import ExperimentalMobilityHeader
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.units import MINUTE, SECOND
from support.mip6 import Roaming
from support.mip6_messages import ASSOCIATION, CN, COA, COA2, HA, HOA, STRANGER
from support.mip6_watch import reported
from support.table import EPOCH

HOME = "2001:db8:4000::5"


def away(**settings: object) -> Roaming:
    net = Roaming(**settings)  # type: ignore[arg-type]
    net.attach("f1")
    net.clear()
    return net


def both() -> Roaming:
    net = away(several=True)
    net.attach("f2", "lte0")
    net.clear()
    return net


def revoke(net: Roaming, **arguments: str) -> None:
    net.tell("ha", Commanded("revoke", {"node": HOME, **arguments}))


def told(net: Roaming, trigger: int, flags: int = 0) -> RevocationStatus | None:
    """What the node answers to an indication with this trigger and these flags."""
    message = BindingRevocationIndication(
        trigger, 77, flags, (MobilityMessageReplayProtection.at(EPOCH + net.now + SECOND),)
    )
    signed(message, ASSOCIATION, COA, HOA)
    net.clear()
    net.tell("mn", MessageReceived(message, HA, COA, None, HOA, encode(message)))
    answers = [sent.message for sent in net.sent(BindingRevocationAcknowledgement)]
    assert all(isinstance(answer, BindingRevocationAcknowledgement) for answer in answers)
    return RevocationStatus(answers[0].status) if answers else None  # type: ignore[attr-defined]


def test_7_the_indication_goes_to_the_care_of_address_with_a_routing_header_and_is_answered() -> None:
    net = away()
    revoke(net)
    net.run(1 * SECOND)
    (question,) = net.sent(BindingRevocationIndication)
    assert (question.destination, question.routed_to) == (COA, HOA)
    (answer,) = net.sent(BindingRevocationAcknowledgement)
    assert (answer.source, answer.destination, answer.home_address) == (COA, HA, HOA)
    assert net.bound() is None
    assert net.from_home() == "lost"  # and not by any other way
    assert reported(net, "revoked") == reported(net, "revoked", "ha") == 1


def test_10_revoked_for_good_until_somebody_says_so() -> None:
    net = away()
    revoke(net, trigger="1")
    net.run(30 * MINUTE)
    assert net.bound() is None
    assert net.entry.stopped == "revoked, trigger 1"
    net.command("register")
    net.run(2 * SECOND)
    assert net.bound() == COA


@pytest.mark.parametrize(("trigger", "pause"), [("7", 4 * SECOND), ("0", 40 * SECOND), ("6", 40 * SECOND)])
def test_10_after_other_reasons_it_registers_again(trigger: str, pause: int) -> None:
    net = away()
    revoke(net, trigger=trigger)
    net.run(500 * 1_000_000)
    assert net.bound() is None
    net.run(pause)
    assert net.bound() == COA


def test_6_3_one_repetition_and_then_the_binding_ends_without_an_answer() -> None:
    net = away()
    net.lose = lambda source, destination, message: isinstance(message, BindingRevocationIndication)
    revoke(net)
    net.run(2900 * 1_000_000)
    assert len(net.sent(BindingRevocationIndication)) == 2
    assert net.bound() == COA
    net.run(200 * 1_000_000)
    assert net.bound() is None


def test_7_a_registration_in_the_meantime_is_refused() -> None:
    net = away()
    net.lose = lambda source, destination, message: isinstance(message, BindingRevocationIndication)
    revoke(net)
    net.roam("f2", settle=SECOND)
    assert net.bound() == COA
    assert reported(net, "registration-refused") == 1


def test_7_some_care_of_addresses_only() -> None:
    net = both()
    revoke(net, identifiers="1")
    net.run(2 * SECOND)
    (question,) = net.sent(BindingRevocationIndication)
    assert [option.identifier for option in question.message.all(BindingIdentifier)] == [1]
    assert net.bound() == COA2
    assert list(net.ha.cache[HOA].ways) == [2]
    assert net.host.tunnels[HOA] == (COA2, HA)
    net.run(10 * MINUTE)
    assert list(net.ha.cache[HOA].ways) == [2]
    net.command("register")
    net.run(2 * SECOND)
    assert list(net.ha.cache[HOA].ways) == [1, 2]


def test_7_a_registration_with_one_that_is_being_revoked_is_accepted_without_it() -> None:
    net = both()
    net.lose = lambda source, destination, message: isinstance(message, BindingRevocationIndication)
    revoke(net, identifiers="2")
    net.command("avoid", interface="wlan0")
    net.run(SECOND)
    assert list(net.ha.cache[HOA].ways) == [1]


def test_7_all_identifiers_are_the_whole_binding() -> None:
    net = both()
    revoke(net, identifiers="1,2")
    net.run(SECOND)
    assert not net.sent(BindingRevocationIndication)[0].message.all(BindingIdentifier)
    assert net.bound() is None


@pytest.mark.parametrize(
    ("trigger", "flags", "status"),
    [
        (1, BindingRevocationFlags.PROXY, RevocationStatus.PROXY_BINDING_REVOCATION_NOT_SUPPORTED),
        (128, BindingRevocationFlags.GLOBAL, RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED),
        (1, BindingRevocationFlags.GLOBAL, RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED),
        (1, BindingRevocationFlags.IPV4_HOME_ADDRESS_ONLY, RevocationStatus.IPV4_HOME_ADDRESS_OPTION_REQUIRED),
        (99, 0, RevocationStatus.REVOCATION_TRIGGER_NOT_SUPPORTED),
    ],
)
def test_10_what_a_mobile_node_refuses(trigger: int, flags: int, status: RevocationStatus) -> None:
    net = away()
    assert told(net, trigger, int(flags)) is status
    assert net.entry.registered == COA


def test_10_forged_replayed_or_from_somebody_else_it_is_discarded() -> None:
    net = away()
    message = BindingRevocationIndication(1, 5, 0, (MobilityMessageReplayProtection.at(EPOCH + net.now),))
    for source, forged in (
        (HA, message),
        (HA, signed(replace(message), replace(ASSOCIATION, key=b"another key"), COA, HOA)),
        (STRANGER, signed(replace(message), ASSOCIATION, COA, HOA)),
    ):
        net.tell("mn", MessageReceived(forged, source, COA, None, HOA, encode(forged)))
    assert net.entry.registered == COA
    revoke(net, trigger="7")
    net.run(10 * SECOND)
    assert net.bound() == COA
    (genuine,) = net.sent(BindingRevocationIndication)
    net.tell("mn", MessageReceived(genuine.message, HA, COA, None, HOA))
    assert net.entry.registered == COA
    assert not any(isinstance(sent.message, BindingRevocationAcknowledgement) for sent in net.sent(BindingError))


def test_6_2_2_an_answer_that_nobody_asked_for_or_of_somebody_else_ends_nothing() -> None:
    net = away()
    answer = signed(BindingRevocationAcknowledgement(0, 1, 0), ASSOCIATION, COA, HOA)
    net.tell("ha", MessageReceived(answer, COA, HA, HOA, octets=encode(answer)))
    net.lose = lambda source, destination, message: isinstance(message, BindingRevocationIndication)
    revoke(net)
    sequence = net.sent(BindingRevocationIndication)[0].message.sequence  # type: ignore[attr-defined]
    for forged, source in ((BindingRevocationAcknowledgement(0, sequence, 0), COA), (answer, COA), (answer, STRANGER)):
        net.tell("ha", MessageReceived(forged, source, HA, HOA, octets=encode(forged)))
    assert net.bound() == COA


def test_a_mobile_node_has_no_right_to_revoke() -> None:
    net = away()
    message = signed(BindingRevocationIndication(1, 9, 0), ASSOCIATION, COA, HOA)
    net.tell("ha", MessageReceived(message, COA, HA, HOA, octets=encode(message)))
    (answer,) = net.sent(BindingRevocationAcknowledgement)
    assert isinstance(answer.message, BindingRevocationAcknowledgement)
    assert answer.message.status == RevocationStatus.REVOCATION_FUNCTION_NOT_SUPPORTED
    net.tell("ha", MessageReceived(BindingRevocationIndication(1, 9, 0), STRANGER, HA, STRANGER))
    assert len(net.sent(BindingRevocationAcknowledgement)) == 1
    assert net.bound() == COA


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"node": "x"},
        {"node": "2001:db8::77"},
        {"node": HOME, "trigger": "128"},
        {"node": HOME, "trigger": "x"},
        {"node": HOME, "identifiers": "9"},
        {"node": HOME, "identifiers": "a"},
    ],
)
def test_a_command_that_says_nothing_sensible_is_reported(arguments: dict[str, str]) -> None:
    net = away()
    net.tell("ha", Commanded("revoke", arguments))
    assert reported(net, "command-malformed", "ha") == 1
    assert net.bound() == COA


# --- RFC 5094, RFC 5096 -----------------------------------------------------------------------------------------------


def test_rfc5094_options_of_known_vendors_are_kept_shown_and_returned() -> None:
    known, unknown = VendorSpecific(32473, 1, b"\xc0\xff\xee"), VendorSpecific(9, 2, b"x")
    net = Roaming(ha={"vendors": (32473,)}, vendor_options=(known, unknown))
    net.attach("f1")
    answers = [sent for _, source, _, sent in net.messages if source == "ha"]
    assert answers[-1].message.all(VendorSpecific) == (known,)
    assert net.ha.show("bindings", net.now)[0]["vendor_options"] == ["32473/1 c0ffee"]
    assert net.bound() == COA


def test_rfc5096_experiments_are_unknown_messages_unless_they_are_wanted() -> None:
    net = away()
    net.tell("ha", MessageReceived(ExperimentalMobilityHeader(b"hello!"), COA, HA, HOA))
    net.tell("cn", MessageReceived(ExperimentalMobilityHeader(b"hello!"), COA, CN))
    assert [sent.message.status for sent in net.sent(BindingError)] == [2, 2]  # type: ignore[attr-defined]
    net.command("experiment", data="68656c6c6f21")
    assert not net.sent(ExperimentalMobilityHeader)


def test_rfc5096_experiments_both_ways() -> None:
    net = away(ha={"experiments": True}, experiments=True, profile=HomeNode(HOA, ASSOCIATION))
    net.command("experiment", data="68656c6c6f21")
    net.tell("ha", Commanded("experiment", {"node": HOME, "data": "686921"}))
    net.command("experiment", data="not octets")
    net.run(SECOND)
    heard = [
        effect.detail["data"]
        for _, _, effect in net.effects
        if isinstance(effect, Report) and effect.name == "experiment-received"
    ]
    assert [str(data)[:12] for data in heard] == ["68656c6c6f21", "686921000000"]
    assert reported(net, "command-malformed") == 1
