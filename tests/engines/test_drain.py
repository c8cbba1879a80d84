"""A home agent that is to go out of service sends all its nodes to another one (RFC 5142): the command ``switch``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core.effects import EnsureTunnel, SendMessage, WithdrawSlot
from sojourn.core.events import Commanded
from sojourn.engines.mip6_configuration import HomeNode
from sojourn.wire import BindingRevocationIndication
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc5142 import HomeAgentSwitch
from sojourn.wire.units import MINUTE, SECOND
from support.mip6_messages import ASSOCIATION, COA, HOA, Bench, ask, home_agent

NODES = 50
OTHER = "2001:db8:4000::2"


def _home(number: int) -> Address:
    return HOA[:14] + (0x1000 + number).to_bytes(2, "big")


def _care_of(number: int) -> Address:
    return COA[:14] + (0x1000 + number).to_bytes(2, "big")


def full() -> Bench:
    """All of them are registered."""
    keys = [replace(ASSOCIATION, spi=2000 + number) for number in range(NODES)]
    bench = home_agent(*(HomeNode(_home(number), keys[number]) for number in range(NODES)))
    for number in range(NODES):
        assert ask(bench, 1, _care_of(number), home=_home(number), association=keys[number]) == 0
    bench.forget()
    return bench


def left(bench: Bench, number: int) -> None:
    """A node obeys."""
    association = replace(ASSOCIATION, spi=2000 + number)
    assert ask(bench, 2, _care_of(number), home=_home(number), association=association, lifetime=0) == 0


def test_all_fifty_are_told_and_those_that_leave_are_not_told_again() -> None:
    bench = full()
    bench.tell(Commanded("switch", {"to": OTHER}))
    bench.run(SECOND // 2)
    told = {sent.destination for sent in bench.sent(HomeAgentSwitch)}
    assert told == {_care_of(number) for number in range(NODES)}
    for number in range(NODES - 1):
        left(bench, number)
    bench.forget()
    bench.run(30 * SECOND)
    assert {sent.destination for sent in bench.sent(HomeAgentSwitch)} == {_care_of(NODES - 1)}
    left(bench, NODES - 1)
    bench.run(30 * SECOND)
    assert len(bench.asked(WithdrawSlot)) == NODES
    assert bench.engine.show("bindings", bench.now) == []


def test_they_are_told_at_the_pace_that_was_asked_for() -> None:
    bench = full()
    bench.tell(Commanded("switch", {"to": OTHER, "rate": "10"}))
    counts = [len(bench.sent(HomeAgentSwitch))]
    for _ in range(3):
        bench.run(SECOND)
        counts.append(len({sent.destination for sent in bench.sent(HomeAgentSwitch)}))
    assert counts == [1, 11, 21, 31]


@pytest.mark.parametrize("rate", ["x", ""])
def test_a_pace_that_is_none_is_said(rate: str) -> None:
    bench = full()
    bench.tell(Commanded("switch", {"to": OTHER, "rate": rate}))
    assert bench.sent(HomeAgentSwitch) == []


def test_packets_go_on_to_those_that_did_not_leave_yet() -> None:
    bench = full()
    bench.tell(Commanded("switch", {"to": OTHER}))
    bench.run(1 * MINUTE)
    assert not bench.asked(EnsureTunnel)
    assert not bench.asked(WithdrawSlot)
    assert len(bench.engine.show("bindings", bench.now)) == NODES


def test_one_node_alone() -> None:
    bench = full()
    bench.tell(Commanded("switch", {"to": OTHER, "node": "2001:db8:4000::1003"}))
    assert [sent.destination for sent in bench.sent(HomeAgentSwitch)] == [_care_of(3)]


def test_who_does_not_leave_can_be_revoked() -> None:
    bench = full()
    bench.tell(Commanded("switch", {"to": OTHER}))
    bench.tell(Commanded("revoke", {"node": "2001:db8:4000::1003", "trigger": "1"}))
    bench.run(4 * SECOND)
    assert len(bench.sent(BindingRevocationIndication)) == 2
    rest = [effect for effect in bench.asked(SendMessage) if isinstance(effect.message, HomeAgentSwitch)]
    bench.forget()
    bench.run(30 * SECOND)
    assert rest
    assert _care_of(3) not in {sent.destination for sent in bench.sent(HomeAgentSwitch)}
    assert len(bench.engine.show("bindings", bench.now)) == NODES - 1
