"""RFC 7222: quality of service is asked for, agreed on and shown."""

from __future__ import annotations

import pytest

from sojourn.engines.configuration import GatewayProfile
from sojourn.engines.extension_settings import NotificationSettings, QualityRequest, QualitySettings
from sojourn.engines.registration import identifier_option
from sojourn.wire import BindingAcknowledgement, BindingUpdate, Handoff
from sojourn.wire.extensions.rfc7077 import UpdateNotification, UpdateNotificationAcknowledgement
from sojourn.wire.extensions.rfc7222 import (
    AllocationRetentionPriority,
    OperationalCode,
    PerSessionAggMaxDlBitRate,
    PerSessionAggMaxUlBitRate,
    QosVendorSpecificAttribute,
    QualityOfService,
)
from sojourn.wire.units import SECOND
from support.pmip import LMA, ProxyDomain, home, request
from support.pmip_extensions import command, messages, reply, settled
from support.table import node

MEGA = 1_000_000
VOICE = QualityRequest(46, 10 * MEGA, 5 * MEGA, priority=2)
ATTRIBUTES = (
    PerSessionAggMaxDlBitRate(False, False, 10 * MEGA),
    PerSessionAggMaxUlBitRate(False, False, 5 * MEGA),
    AllocationRetentionPriority(2, 1, 0),
)


def asking(settings: QualitySettings | None = QualitySettings(), attach: bool = True, **more: object) -> ProxyDomain:  # noqa: B008
    overrides: dict[str, object] = {"everybody": GatewayProfile(quality=VOICE)}
    domain = ProxyDomain(lma={"quality": settings}, **(overrides | more))
    if attach:
        domain.attach("mn1", "mag1")
        domain.run(SECOND)
    return domain


def options(domain: ProxyDomain, kind: type[BindingUpdate] | type[BindingAcknowledgement]) -> list[QualityOfService]:
    return [option for message in messages(domain, kind) for option in message.all(QualityOfService)]


def shown(domain: ProxyDomain, name: str = "lma", topic: str = "bindings") -> object:
    (row,) = domain.members[name].engine.show(topic, domain.now)
    return row.get("quality")


def allocate(dscp: int, rate: int, operation: OperationalCode = OperationalCode.ALLOCATE) -> QualityOfService:
    return QualityOfService(0, dscp, int(operation), (PerSessionAggMaxDlBitRate(False, False, rate),))


def answered(domain: ProxyDomain, *asked: QualityOfService, sequence: int = 1) -> tuple[QualityOfService, ...]:
    prefixes = [prefix for entry in domain.entries() for prefix in entry.prefixes]
    domain.run(SECOND // 10)
    answer = domain.ask(request(domain, *prefixes, handoff=Handoff.NOT_CHANGED, sequence=sequence, more=asked))
    assert answer is not None
    assert answer.status == 0
    return answer.all(QualityOfService)


def test_5_1_what_can_be_met_in_entirety_is_copied_with_a_number_as_a_response() -> None:
    domain = asking()
    assert options(domain, BindingUpdate) == [QualityOfService(0, 46, 1, ATTRIBUTES)]
    assert options(domain, BindingAcknowledgement) == [QualityOfService(1, 46, 0, ATTRIBUTES)]


def test_both_sides_show_it() -> None:
    domain = asking()
    words = "DSCP 46 down 10M up 5M priority 2"
    assert (shown(domain), shown(domain, "mag1", "sessions")) == (words, words)


def test_5_1_less_than_asked_for_is_offered_with_the_number_0_and_asked_for_then() -> None:
    domain = asking(QualitySettings(downlink=4 * MEGA))
    less = (PerSessionAggMaxDlBitRate(False, False, 4 * MEGA), *ATTRIBUTES[1:])
    assert options(domain, BindingAcknowledgement) == [
        QualityOfService(0, 46, 5, less),
        QualityOfService(1, 46, 0, less),
    ]
    assert options(domain, BindingUpdate)[1] == QualityOfService(0, 46, 1, less)
    assert shown(domain) == "DSCP 46 down 4M up 5M priority 2"


def test_what_is_agreed_on_is_not_asked_for_again() -> None:
    domain = asking(lifetime=20 * SECOND)
    domain.on_probe = lambda name, probe: domain.attach("mn1", name)
    domain.run(25 * SECOND)
    assert len(messages(domain, BindingUpdate)) > 2
    assert len(options(domain, BindingUpdate)) == 1
    assert shown(domain) is not None


def test_5_1_after_a_handover_the_new_gateway_hears_what_holds() -> None:
    domain = asking()
    domain.mag("mag2").extensions = type(domain.mag("mag2").extensions)()  # it asks for nothing
    domain.clear()
    domain.roam("mn1", "mag1", "mag2")
    assert QualityOfService(1, 46, 0, ATTRIBUTES) in options(domain, BindingAcknowledgement)


def test_5_2_the_greatest_rates_are_enforced_at_the_gateway_and_go_with_the_node() -> None:
    """As far as what was agreed on is a limit; the rest is the network's."""
    domain = asking()
    rates = {home(0): (10 * MEGA, 5 * MEGA)}
    assert domain.plane("mag1").state.rates == rates
    domain.roam("mn1", "mag1", "mag2", 3 * SECOND)
    assert domain.plane("mag1").state.rates == {}
    assert domain.plane("mag2").state.rates == rates
    domain.detach("mn1", "mag2")
    domain.run(20 * SECOND)
    assert domain.plane("mag2").state.rates == {}


def test_an_anchor_without_it_passes_it_over() -> None:
    domain = asking(None)
    assert options(domain, BindingAcknowledgement) == []
    assert domain.at("mag1").confirmed


def test_requests_are_told_apart_by_their_traffic_and_can_be_taken_back() -> None:
    domain = asking(attach=False)
    assert [one.service_request for one in answered(domain, allocate(10, 1), allocate(20, 2))] == [1, 2]
    assert [one.service_request for one in answered(domain, allocate(20, 3), sequence=2)] == [2]
    assert shown(domain) == "DSCP 10 down 1; DSCP 20 down 3"
    answered(domain, allocate(10, 1, OperationalCode.DE_ALLOCATE), sequence=3)
    assert shown(domain) == "DSCP 20 down 3"


def test_a_session_has_eight_requests_at_most() -> None:
    domain = asking(attach=False)
    answered(domain, *(allocate(number, 1) for number in range(8)))
    (refused,) = answered(domain, allocate(63, 1), sequence=2)
    assert (refused.operation, refused.attributes) == (OperationalCode.NEGOTIATE, ())
    (extension,) = domain.lma.extensions
    assert len(next(iter(extension._told.values()))) == 8  # type: ignore[attr-defined]


# --- the LMA asks (5.1, 5.2) ------------------------------------------------------------------------------------------


def notifying() -> ProxyDomain:
    domain = ProxyDomain(
        lma={"quality": QualitySettings(), "update_notification": NotificationSettings()},
        everybody=GatewayProfile(quality=VOICE),
        update_notification=True,
    )
    return settled(domain, ("mn1", "mag1"))


def test_5_1_a_new_request_a_change_and_the_end_of_it() -> None:
    domain = notifying()
    video = {"node": node("mn1").hex(), "dscp": "34"}
    assert command(domain, "lma", "quality", **video, downlink="2000000")
    domain.run(SECOND)
    (sent,) = messages(domain, UpdateNotification)
    (answer,) = messages(domain, UpdateNotificationAcknowledgement)
    rate = (PerSessionAggMaxDlBitRate(False, False, 2 * MEGA),)
    assert (sent.reason, sent.flags) == (5, 0x8000)
    assert sent.all(QualityOfService) == (QualityOfService(2, 34, 1, rate),)
    assert (answer.status, answer.all(QualityOfService)) == (0, (QualityOfService(2, 34, 0, rate),))
    words = "DSCP 46 down 10M up 5M priority 2; DSCP 34 down 2M"
    assert (shown(domain), shown(domain, "mag1", "sessions")) == (words, words)
    domain.clear()
    assert command(domain, "lma", "quality", **video, downlink="1000000")
    domain.run(SECOND)
    assert [one.operation for one in messages(domain, UpdateNotification)[0].all(QualityOfService)] == [3]
    assert "DSCP 34 down 1M" in str(shown(domain))
    assert command(domain, "lma", "quality", **video, remove="yes")
    domain.run(SECOND)
    words = words.partition(";")[0]
    assert (shown(domain), shown(domain, "mag1", "sessions")) == (words, words)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"node": "nobody@example.net", "dscp": "34"},
        {"node": node("mn1").hex(), "dscp": "64"},
        {"node": node("mn1").hex(), "dscp": "x"},
        {"node": node("mn1").hex(), "dscp": "34", "remove": "yes"},
        {"node": node("mn1").hex(), "colour": "34"},
    ],
)
def test_a_command_that_makes_no_sense_is_refused(arguments: dict[str, str]) -> None:
    domain = notifying()
    assert not command(domain, "lma", "quality", **arguments)
    assert domain.sent() == []


def test_5_1_a_refusal_leaves_no_state_of_the_request_and_the_session() -> None:
    domain = notifying()
    domain.mag("mag1").extensions[0]._answers.clear()  # type: ignore[attr-defined]
    full = tuple(allocate(number, 1) for number in range(8))
    message = UpdateNotification(7, 5, 0x8000, (identifier_option(node("mn1")), *full))
    answer = reply(domain, "mag1", LMA, message, UpdateNotificationAcknowledgement)
    assert answer is not None
    assert answer.status == 130  # with the one that there is these are nine
    assert shown(domain, "mag1", "sessions") == "DSCP 46 down 10M up 5M priority 2"
    empty = UpdateNotification(8, 5, 0x8000, (identifier_option(node("mn1")),))
    answer = reply(domain, "mag1", LMA, empty, UpdateNotificationAcknowledgement)
    assert answer is not None
    assert answer.status == 130
    assert domain.at("mag1").confirmed


def test_5_2_a_query_is_answered_with_what_holds() -> None:
    domain = notifying()
    query = UpdateNotification(7, 5, 0x8000, (identifier_option(node("mn1")), QualityOfService(0, 0, 4)))
    answer = reply(domain, "mag1", LMA, query, UpdateNotificationAcknowledgement)
    assert answer is not None
    assert (answer.status, answer.all(QualityOfService)) == (0, (QualityOfService(1, 46, 0, ATTRIBUTES),))


@pytest.mark.parametrize("limits", [QualitySettings(), QualitySettings(1, 1)])
def test_a_request_that_is_too_long_to_be_returned_is_answered_all_the_same(limits: QualitySettings) -> None:
    """2048 octets can travel (RFC 6275 6.1.1), also when the node has many prefixes."""
    domain = asking(limits, attach=False)
    domain.reconfigure("lma", everybody=domain.lma_configurations["lma"].everybody.__class__(count=40))
    long = QualityOfService(0, 1, 1, tuple(QosVendorSpecificAttribute(9, 1, bytes(200)) for _ in range(1)))
    answer = domain.ask(request(domain, more=tuple(long for _ in range(8))))
    assert answer is not None
    assert answer.status == 0
    assert domain.reported("lma", "answer-too-long") == 1


def test_a_session_that_ends_leaves_nothing() -> None:
    domain = asking()
    domain.detach("mn1", "mag1")
    domain.run(30 * SECOND)
    for name in ("lma", "mag1"):
        (extension,) = (domain.lma if name == "lma" else domain.mag(name)).extensions
        kept = [value for key, value in vars(extension).items() if key in ("_told", "_offers", "_agreed", "_offered")]
        assert len(kept) == 2
        assert not any(kept)
