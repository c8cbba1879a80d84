"""RFC 7077: an LMA notifies its MAGs."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sojourn.engines.extension_settings import NotificationSettings
from sojourn.engines.registration import identifier_option
from sojourn.wire import (
    BindingUpdate,
    MobileNodeLinkLayerIdentifier,
    MobilityOption,
    UnknownOption,
    VendorSpecific,
)
from sojourn.wire.addresses import text
from sojourn.wire.extensions.rfc6602 import MobileNodeGroupIdentifier
from sojourn.wire.extensions.rfc7077 import UpdateNotification, UpdateNotificationAcknowledgement
from sojourn.wire.units import MILLISECOND, SECOND
from support.pmip import LMA, ProxyDomain, gateway, handoff_of
from support.pmip_extensions import STRANGER, UNKNOWN_TYPE, command, messages, reply, settled
from support.table import HOSTS, node

A, D = 0x8000, 0x4000
MN1 = node("mn1").hex()
VENDOR = {"reason": "vendor", "vendor": "9", "subtype": "2", "data": "c0ffee"}


def notifying(settings: NotificationSettings = NotificationSettings()) -> ProxyDomain:  # noqa: B008
    domain = ProxyDomain(lma={"update_notification": settings}, update_notification=True)
    return settled(domain, ("mn1", "mag1"), ("mn2", "mag1"), ("mn3", "mag2"))


def notification(reason: int, *options: MobilityOption, sequence: int = 7, flags: int = A) -> UpdateNotification:
    return UpdateNotification(sequence, reason, flags, (identifier_option(node("mn1")), *options))


def acknowledged(domain: ProxyDomain, message: UpdateNotification) -> UpdateNotificationAcknowledgement:
    found = reply(domain, "mag1", LMA, message, UpdateNotificationAcknowledgement)
    assert found is not None
    return found


# --- 5: the LMA -------------------------------------------------------------------------------------------------------


def test_5_a_forced_registration_names_the_session_and_asks_for_no_acknowledgement() -> None:
    domain = notifying()
    assert command(domain, "lma", "notify", node=MN1, reason="register")
    (sent,) = messages(domain, UpdateNotification)
    assert (sent.reason, sent.flags) == (1, 0)
    assert sent.options == (identifier_option(node("mn1")), MobileNodeLinkLayerIdentifier(HOSTS["mn1"]))
    domain.run(SECOND)
    (update,) = messages(domain, BindingUpdate)
    assert handoff_of(update) == 5
    assert messages(domain, UpdateNotificationAcknowledgement) == []


def test_5_all_sessions_of_a_gateway_are_group_1() -> None:
    domain = notifying()
    assert command(domain, "lma", "notify", gateway="mag1", reason="register")
    (sent,) = messages(domain, UpdateNotification)
    assert sent.options == (MobileNodeGroupIdentifier(1, 1),)
    domain.run(SECOND)
    assert len(messages(domain, BindingUpdate, "mag1")) == 2
    assert messages(domain, BindingUpdate, "mag2") == []
    assert command(domain, "lma", "notify", gateway=text(gateway(2)), reason="register")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"reason": "register"},
        {"reason": "register", "node": MN1, "gateway": "mag1"},
        {"reason": "because", "node": MN1},
        {"reason": "register", "node": "nobody@example.net"},
        {"reason": "register", "gateway": "mag9"},
        {"reason": "vendor", "node": MN1},
        {"reason": "vendor", "node": MN1, "vendor": "9", "data": "x"},
        {"reason": "vendor", "node": MN1, "vendor": "9", "subtype": "256"},
        {"reason": "register", "node": MN1, "colour": "red"},
    ],
)
def test_a_command_that_makes_no_sense_is_refused(arguments: dict[str, str]) -> None:
    domain = notifying()
    assert not command(domain, "lma", "notify", **arguments)
    assert domain.sent() == []


def test_5_1_sequence_numbers_begin_anywhere_and_grow() -> None:
    domain = notifying()
    for _ in range(3):
        command(domain, "lma", "notify", node=MN1, reason="register")
    first, second, third = [message.sequence for message in messages(domain, UpdateNotification)]
    assert [(second - first) % 65536, (third - second) % 65536] == [1, 1]
    domain.run(SECOND)
    domain.restart("lma", store=True)
    domain.clear()
    command(domain, "lma", "notify", node=MN1, reason="register")
    assert messages(domain, UpdateNotification)[0].sequence not in (1, first, (third + 1) % 65536)


def test_5_2_it_is_sent_again_with_the_d_flag_and_otherwise_the_same() -> None:
    domain = notifying(NotificationSettings(3, SECOND))
    domain.crash("mag1")
    command(domain, "lma", "notify", node=MN1, **VENDOR)
    domain.run(10 * SECOND)
    first, *others = messages(domain, UpdateNotification)
    assert first.flags == A
    assert others == 3 * [UpdateNotification(first.sequence, first.reason, A | D, first.options)]
    times = [when for when, _, _, _ in domain.messages]
    assert [later - sooner for sooner, later in pairwise(times)] == [SECOND, SECOND, SECOND]
    assert domain.reported("lma", "notification-unanswered") == 1


def test_5_2_who_answers_with_a_binding_error_is_told_nothing_any_more() -> None:
    domain = notifying()
    domain.reconfigure("mag1", update_notification=False)
    settled(domain, ("mn1", "mag1"))
    command(domain, "lma", "notify", node=MN1, reason="register")
    domain.run(SECOND)
    assert UNKNOWN_TYPE in [message for _, _, message in domain.sent()]
    assert not command(domain, "lma", "notify", node=MN1, reason="register")
    assert len(messages(domain, UpdateNotification)) == 1


def test_5_2_an_answer_to_nothing_is_discarded_and_one_that_nobody_asked_for_is_not() -> None:
    domain = notifying()
    command(domain, "lma", "notify", node=MN1, reason="register")
    (sent,) = messages(domain, UpdateNotification)
    failed = UpdateNotificationAcknowledgement(sent.sequence, 128)
    domain.inject(gateway(1), "lma", failed)
    assert domain.reported("lma", "notification-failed") == 1
    domain.inject(gateway(2), "lma", failed)
    domain.inject(gateway(1), "lma", UpdateNotificationAcknowledgement(sent.sequence ^ 1, 0))
    assert domain.reported("lma", "notification-unexpected") == 2


# --- 6: the MAG -------------------------------------------------------------------------------------------------------


def test_6_1_a_repetition_is_answered_and_not_carried_out_again() -> None:
    domain = notifying()
    first = acknowledged(domain, notification(1))
    domain.run(SECOND)
    assert len(messages(domain, BindingUpdate)) == 1
    assert acknowledged(domain, notification(1, flags=A | D)) == first
    domain.run(SECOND)
    assert len(messages(domain, BindingUpdate)) == 1


def test_6_1_a_repetition_of_something_that_never_came_is_a_new_request() -> None:
    domain = notifying()
    assert acknowledged(domain, notification(1, flags=A | D)).status == 0
    domain.run(SECOND)
    assert len(messages(domain, BindingUpdate)) == 1


def test_6_1_a_repetition_that_nobody_wants_acknowledged_is_carried_out_again() -> None:
    domain = notifying()
    for flags in (0, D):
        domain.inject(LMA, "mag1", notification(1, flags=flags))
        domain.run(SECOND)
    assert len(messages(domain, BindingUpdate)) == 2
    assert messages(domain, UpdateNotificationAcknowledgement) == []


def test_6_1_what_is_remembered_of_repetitions_is_bounded() -> None:
    domain = notifying()
    for sequence in range(2000):
        domain.inject(LMA, "mag1", notification(9, sequence=sequence, flags=0))
    (extension,) = domain.mag("mag1").extensions
    assert len(extension._answers) == 256  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("reason", "options", "status"),
    [
        (1, (), 0),
        (2, (), 128),
        (2, (UnknownOption(200, b"x"),), 128),
        (3, (), 129),
        (3, (VendorSpecific(9, 1, b"x"),), 0),
        (4, (), 128),  # nothing is known of the access network
        (0, (), 131),
        (255, (), 131),
        (5, (), 131),
    ],
)
def test_6_1_each_reason_has_its_answer(reason: int, options: tuple[MobilityOption, ...], status: int) -> None:
    """6.2: with the identifier and the sequence number of the notification."""
    domain = notifying()
    answer = acknowledged(domain, notification(reason, *options))
    assert (answer.status, answer.sequence) == (status, 7)
    assert answer.options == (identifier_option(node("mn1")),)
    domain.clear()
    domain.inject(LMA, "mag1", notification(reason, *options, sequence=8, flags=0))
    assert domain.sent(UpdateNotificationAcknowledgement) == []


@pytest.mark.parametrize(
    "options",
    [
        (),
        (identifier_option(node("mn3")),),  # it is elsewhere
        (identifier_option(node("mn1")), MobileNodeLinkLayerIdentifier(HOSTS["mn2"])),
        (MobileNodeGroupIdentifier(1, 7),),
    ],
)
def test_6_1_a_node_that_is_not_here_is_not_registered(options: tuple[MobilityOption, ...]) -> None:
    domain = notifying()
    assert acknowledged(domain, UpdateNotification(7, 1, A, options)).status == 132
    assert domain.sent(BindingUpdate) == []


def test_a_stranger_makes_no_gateway_register_anybody() -> None:
    domain = notifying()
    for source in (STRANGER, gateway(2)):
        domain.inject(source, "mag1", UpdateNotification(7, 1, A, (MobileNodeGroupIdentifier(1, 1),)))
    domain.run(SECOND)
    assert domain.sent() == []
    assert domain.reported("mag1", "notification-refused") == 2


def test_a_flood_of_notifications_becomes_three_registrations_a_second() -> None:
    """MAX_UPDATE_RATE (RFC 6275 11.8)."""
    domain = notifying()
    for sequence in range(100):
        domain.inject(LMA, "mag1", notification(1, sequence=sequence, flags=0))
        domain.run(10 * MILLISECOND)
    assert len(messages(domain, BindingUpdate)) <= 4
