"""RFC 5847: heartbeats between LMA and MAG."""

from __future__ import annotations

from itertools import cycle

import pytest

from sojourn.engines.extension_settings import HeartbeatSettings
from sojourn.wire import BindingError, BindingRefreshRequest, BindingUpdate, Heartbeat, HeartbeatFlags, RestartCounter
from sojourn.wire.addresses import Address
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND
from support.pmip import LMA, ProxyDomain, gateway

SETTINGS = HeartbeatSettings(30 * SECOND, 2)
STRANGER = bytes(15) + b"\1"


def beating(settings: HeartbeatSettings = SETTINGS, attached: bool = True) -> ProxyDomain:
    """Both sides send heartbeats; mn1 is at mag1."""
    domain = ProxyDomain(lma={"heartbeat": settings}, heartbeat=settings, lifetime=60 * MINUTE)
    if attached:
        domain.attach("mn1", "mag1")
        domain.run(SECOND)
        domain.clear()
    return domain


def requests(domain: ProxyDomain, source: str) -> list[Heartbeat]:
    return [
        message
        for sender, _, message in domain.sent(Heartbeat)
        if sender == source and isinstance(message, Heartbeat) and not message.flags
    ]


@pytest.mark.parametrize("name", ["lma", "mag1"])
def test_3_each_side_asks_every_interval_with_growing_sequence_numbers(name: str) -> None:
    domain = beating()
    domain.run(95 * SECOND)
    assert [message.sequence for message in requests(domain, name)] == [1, 2, 3]


def test_3_nothing_is_asked_without_a_binding() -> None:
    domain = beating(attached=False)
    domain.run(5 * MINUTE)
    assert domain.sent(Heartbeat) == []


@pytest.mark.parametrize(("name", "peer"), [("lma", gateway(2)), ("mag2", LMA)])
def test_3_a_request_is_answered_also_without_a_binding(name: str, peer: Address) -> None:
    """3.2: with the restart counter. The sequence number is the request's (3.3)."""
    domain = beating()
    domain.inject(peer, name, Heartbeat(0, 4711))
    ((_, _, answer),) = domain.sent(Heartbeat)
    assert isinstance(answer, Heartbeat)
    assert (answer.flags, answer.sequence) == (HeartbeatFlags.RESPONSE, 4711)
    assert answer.first(RestartCounter) is not None


@pytest.mark.parametrize("name", ["lma", "mag1"])
def test_a_stranger_is_not_answered(name: str) -> None:
    domain = beating()
    domain.inject(STRANGER, name, Heartbeat(0, 1))
    domain.inject(STRANGER, name, Heartbeat(3, 1, (RestartCounter(99),)))
    assert domain.sent() == []
    assert domain.reported(name, "heartbeat-refused") == 2


@pytest.mark.parametrize(("name", "peer"), [("lma", gateway(1)), ("mag1", LMA)])
def test_3_who_answers_with_a_binding_error_is_never_asked_again(name: str, peer: Address) -> None:
    domain = beating()
    domain.lose = lambda source, destination, message: True
    domain.run(30 * SECOND)
    domain.inject(peer, name, BindingError(2, bytes(16)))
    domain.clear()
    domain.run(10 * MINUTE)
    assert requests(domain, name) == []
    assert domain.reported(name, "peer-unreachable") == 0


def test_3_a_binding_error_about_something_else_says_nothing_of_heartbeats() -> None:
    domain = beating()
    domain.inject(gateway(1), "lma", BindingError(2, bytes(16)))
    domain.run(30 * SECOND)
    assert len(requests(domain, "lma")) == 1


@pytest.mark.parametrize("name", ["lma", "mag1"])
def test_3_1_more_missing_than_allowed_make_a_peer_unreachable(name: str) -> None:
    domain = beating()
    domain.lose = lambda source, destination, message: True
    domain.run(30 * SECOND + 2 * 30 * SECOND + SECOND)  # three requests, of which two count as missing
    assert domain.reported(name, "peer-unreachable") == 0
    domain.run(30 * SECOND)
    assert domain.reported(name, "peer-unreachable") == 1
    (row, *_) = domain.members[name].engine.show("peers", domain.now)
    assert row["reachable"] is False
    domain.run(10 * MINUTE)
    assert domain.reported(name, "peer-unreachable") == 1


@pytest.mark.parametrize("name", ["lma", "mag1"])
def test_3_1_an_answer_resets_the_count(name: str) -> None:
    domain = beating()
    lost = cycle([True, True, False])
    domain.lose = lambda source, destination, message: source == name and message.flags == 0 and next(lost)  # type: ignore[attr-defined]
    domain.run(8 * MINUTE)
    assert domain.reported(name, "peer-unreachable") == 0


def test_3_sessions_of_an_unreachable_gateway_are_invalid_and_end() -> None:
    domain = beating()
    domain.crash("mag1")
    domain.run(2 * MINUTE + 5 * SECOND)
    assert domain.entry().waiting
    assert domain.plane("lma").state.prefixes == {}
    domain.run(10 * SECOND)
    assert len(domain.lma.cache) == 0


def test_a_gateway_that_was_only_cut_off_registers_all_again_when_it_is_back() -> None:
    domain = beating()
    domain.lose = lambda source, destination, message: "mag1" in (source, destination)
    domain.run(5 * MINUTE)
    assert len(domain.lma.cache) == 0
    had = domain.at("mag1").anchored
    domain.lose = lambda source, destination, message: False
    domain.on_probe = lambda name, probe: domain.attach("mn1", name)
    domain.run(40 * SECOND)
    assert domain.entry().prefixes == tuple(had)
    assert domain.reported("mag1", "peer-reachable") == 1


def test_an_anchor_that_notices_alone_asks_for_registrations() -> None:
    """The gateway asks seldom and noticed nothing: its heartbeat tells the LMA that it is there."""
    domain = ProxyDomain(1, lma={"heartbeat": SETTINGS}, heartbeat=HeartbeatSettings(6 * MINUTE), lifetime=60 * MINUTE)
    domain.on_probe = lambda name, probe: domain.attach("mn1", name)
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.lose = lambda source, destination, message: True
    domain.run(5 * MINUTE)
    domain.lose = lambda source, destination, message: False
    domain.clear()
    domain.run(2 * MINUTE)
    assert domain.sent(BindingRefreshRequest) != []
    assert not domain.entry().waiting


# --- 3.2: restarts --------------------------------------------------------------------------------------------------


def counter(domain: ProxyDomain, name: str) -> int:
    """As it answers."""
    domain.clear()
    domain.inject(LMA if name != "lma" else gateway(2), name, Heartbeat(0, 7))
    ((_, _, answer),) = domain.sent(Heartbeat)
    option = answer.first(RestartCounter)
    assert option is not None
    return option.counter


@pytest.mark.parametrize("name", ["lma", "mag1"])
def test_3_2_the_counter_stays_when_the_sessions_do(name: str) -> None:
    domain = beating()
    before = counter(domain, name)
    domain.restart(name, store=True)
    assert counter(domain, name) == before


@pytest.mark.parametrize("name", ["lma", "mag1"])
def test_3_2_the_counter_grows_when_the_store_is_lost_or_part_of_it(name: str) -> None:
    domain = beating()
    before = counter(domain, name)
    domain.members[name].store[b"\5nonsense"] = b"nonsense"
    domain.restart(name, store=True)
    damaged = counter(domain, name)
    assert damaged == before + 1
    domain.run(5 * SECOND)
    domain.restart(name, store=False)
    assert counter(domain, name) > damaged


def test_3_2_who_lost_its_sessions_says_so_unasked() -> None:
    domain = beating()
    domain.restart("mag1", store=False)
    flags = [message.flags for _, _, message in domain.sent(Heartbeat) if isinstance(message, Heartbeat)]
    assert flags == [HeartbeatFlags.UNSOLICITED | HeartbeatFlags.RESPONSE]
    domain.clear()
    domain.restart("mag1", store=True)
    assert domain.sent(Heartbeat) == []


def test_3_2_sessions_of_a_gateway_that_lost_them_end() -> None:
    domain = beating()
    domain.restart("mag1", store=False)
    domain.run(SECOND)
    assert domain.reported("lma", "peer-restarted") == 1
    assert domain.entry().waiting
    domain.run(10 * SECOND)
    assert len(domain.lma.cache) == 0


def test_3_2_a_node_that_is_still_there_keeps_its_prefix() -> None:
    """The gateway lost everything and sees the node again: the session is taken up."""
    domain = beating()
    (had,) = domain.entry().prefixes
    domain.restart("mag1", store=False)
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    assert domain.entry().prefixes == (had,)
    assert not domain.entry().waiting


def test_3_2_what_was_registered_after_the_restart_stays_when_it_is_noticed_late() -> None:
    domain = beating()
    domain.attach("mn2", "mag1")
    domain.run(31 * SECOND)
    domain.lose = lambda source, destination, message: isinstance(message, Heartbeat)
    domain.restart("mag1", store=False)  # and nobody hears of it
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.lose = lambda source, destination, message: isinstance(message, BindingRefreshRequest)
    domain.run(40 * SECOND)
    assert domain.reported("lma", "peer-restarted") == 1
    assert not domain.entry().waiting
    assert domain.entries("mn2") == ()


def test_3_2_a_gateway_registers_again_when_its_anchor_lost_the_sessions() -> None:
    """Noticed by the heartbeat alone: the Binding Refresh Request of the restart is lost."""
    domain = beating()
    domain.on_probe = lambda name, probe: domain.attach("mn1", name)
    had = domain.entry().prefixes
    domain.run(31 * SECOND)
    domain.lose = lambda source, destination, message: isinstance(message, BindingRefreshRequest)
    domain.restart("lma", store=False)
    domain.run(SECOND)
    assert domain.reported("mag1", "peer-restarted") == 1
    assert domain.entry().prefixes == had
    assert len(domain.sent(BindingUpdate)) == 1


@pytest.mark.parametrize(("name", "peer"), [("lma", gateway(1)), ("mag1", LMA)])
def test_an_answer_that_nobody_asked_for_changes_nothing(name: str, peer: Address) -> None:
    domain = beating()
    domain.run(31 * SECOND)
    domain.clear()
    domain.inject(peer, name, Heartbeat(int(HeartbeatFlags.RESPONSE), 1, (RestartCounter(5),)))
    assert domain.reported(name, "heartbeat-unexpected") == 1
    assert domain.reported(name, "peer-restarted") == 0


def test_rfc8127_3_1_2_an_unanswered_request_is_followed_by_the_next_after_the_delay() -> None:
    domain = beating(HeartbeatSettings(30 * SECOND, 3, 2 * SECOND))
    domain.crash("mag1")
    domain.run(30 * SECOND + 6 * SECOND + 500 * MILLISECOND)
    assert len(requests(domain, "lma")) == 4
    assert domain.reported("lma", "peer-unreachable") == 0
    domain.run(2 * SECOND)
    assert domain.reported("lma", "peer-unreachable") == 1
