"""Bulk registration (RFC 6602): one update extends the bindings of a group."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from sojourn.core.events import Commanded, NodeSeen, Sighting
from sojourn.engines.registration import PROXY, identifier_option
from sojourn.engines.way_settings import BulkRegistrationOfLma, BulkRegistrationOfMag
from sojourn.wire import (
    BindingAcknowledgement,
    BindingRefreshRequest,
    BindingUpdate,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    MobilityOption,
    Status,
    Timestamp,
)
from sojourn.wire.addresses import Address, address
from sojourn.wire.extensions.rfc6602 import MobileNodeGroupIdentifier
from sojourn.wire.units import MILLISECOND, SECOND
from support.messages import stamp
from support.pmip import LMA, ProxyDomain, gateway, home, status_of
from support.table import HOSTS, node

B, ACKNOWLEDGED_B = 0x40, 0x08
INVALID = int(Status.INVALID_MOBILE_NODE_GROUP_IDENTIFIER)
LIFETIME = 300 * SECOND
ALLOWED, ONE_GROUP = BulkRegistrationOfLma(), BulkRegistrationOfMag()
HOSTS_HERE = ("mn1", "mn2", "mn3")


def bulk(
    lma: BulkRegistrationOfLma | None = ALLOWED,
    mag: BulkRegistrationOfMag | None = ONE_GROUP,
    hosts: Iterable[str] = HOSTS_HERE,
    **settings: object,
) -> ProxyDomain:
    """Nodes come to mag1 one after the other, and answer when they are asked for a sign of life."""
    domain = ProxyDomain(2, lma={"bulk_registration": lma, **settings}, bulk_registration=mag)

    def answer(name: str, probe: object) -> None:
        seen = NodeSeen("acc0", probe.link_layer, Sighting.NEIGHBOUR)  # type: ignore[attr-defined]
        domain.later(MILLISECOND, name, seen)

    domain.on_probe = answer
    for host in hosts:
        domain.attach(host, "mag1")
        domain.run(SECOND)
    return domain


def updates(domain: ProxyDomain) -> list[BindingUpdate]:
    return [message for _, _, message in domain.sent(BindingUpdate) if isinstance(message, BindingUpdate)]


def answers(domain: ProxyDomain) -> list[BindingAcknowledgement]:
    found = domain.sent(BindingAcknowledgement)
    return [message for _, _, message in found if isinstance(message, BindingAcknowledgement)]


def groups(message: BindingUpdate | BindingAcknowledgement) -> list[int]:
    return [option.group for option in message.all(MobileNodeGroupIdentifier)]


def remaining(domain: ProxyDomain) -> list[int]:
    """Seconds that each binding has left at the LMA."""
    return [row["lifetime"] for row in domain.lma.show("bindings", domain.now)]  # type: ignore[misc]


def extension_of(
    domain: ProxyDomain, group: int = 2, more: tuple[MobilityOption, ...] = (), timestamp: bool = True, **fields: int
) -> BindingUpdate:
    """An update for a group, as a MAG builds it."""
    options = (MobileNodeGroupIdentifier(1, group), *((Timestamp(stamp(domain)),) if timestamp else ()), *more)
    return BindingUpdate(
        fields.get("sequence", 7), fields.get("flags", PROXY), fields.get("lifetime", LIFETIME), options
    )


# --- sessions in groups (5.1.2, 5.2.2) --------------------------------------------------------------------------------


def test_5_1_2_every_registration_asks_and_the_answer_has_flag_and_group() -> None:
    domain = bulk()
    assert {(message.flags, tuple(groups(message))) for message in updates(domain)} == {(PROXY | B, (2,))}
    assert {(message.flags & ACKNOWLEDGED_B, tuple(groups(message))) for message in answers(domain)} == {(8, (1,))}
    assert [row["group"] for row in domain.lma.show("bindings", domain.now)] == [2, 2, 2]
    assert [row["group"] for row in domain.mag("mag1").show("sessions", domain.now)] == [2, 2, 2]


def test_5_1_3_all_sessions_of_a_group_are_extended_with_one_update() -> None:
    domain = bulk()
    domain.run(100 * SECOND)
    domain.clear()
    domain.run(60 * SECOND)
    (update,), (answer,) = updates(domain), answers(domain)
    assert update.flags == PROXY
    assert groups(update) == groups(answer) == [2]
    assert update.all(MobileNodeIdentifier) == update.all(HomeNetworkPrefix) == ()
    assert (answer.status, answer.lifetime) == (0, LIFETIME)
    assert len({*remaining(domain)}) == 1
    assert all(domain.at("mag1", host).confirmed for host in HOSTS_HERE)


def test_5_1_3_an_hour_of_many_nodes_costs_little_more_than_one_of_a_node() -> None:
    def cost(hosts: Iterable[str], mag: BulkRegistrationOfMag | None) -> int:
        domain = bulk(mag=mag, hosts=hosts)
        domain.run(200 * SECOND)
        domain.clear()
        domain.run(3600 * SECOND)
        assert len(domain.lma.cache) == len([*hosts])
        return len(updates(domain))

    many = [f"mn{number}" for number in range(1, 31)]
    alone = cost(["mn1"], None)
    assert cost(many, None) == 30 * alone
    assert cost(many, BulkRegistrationOfMag(alone_after=64)) <= 2 * alone
    assert cost(many, BulkRegistrationOfMag(alone_after=8)) <= alone + 30 * alone / 7


def test_5_1_3_nodes_are_spread_over_groups() -> None:
    domain = bulk(mag=BulkRegistrationOfMag(groups=2))
    assert [row["group"] for row in domain.lma.show("bindings", domain.now)] == [3, 2, 3]
    domain.run(100 * SECOND)
    domain.clear()
    domain.run(60 * SECOND)
    assert sorted(group for update in updates(domain) for group in groups(update)) == [2, 3]


def test_5_1_3_a_node_that_is_gone_does_not_hold_up_the_others_and_leaves_its_group() -> None:
    domain = bulk()
    answer = domain.on_probe
    domain.on_probe = lambda name, probe: None if probe.link_layer == HOSTS["mn2"] else answer(name, probe)
    domain.run(170 * SECOND)
    assert domain.entries("mn2") == ()
    assert domain.listed("mag1", "mn2") is None
    assert all(lifetime > 200 for lifetime in remaining(domain))
    assert len(remaining(domain)) == 2


def test_5_2_2_an_lma_may_say_no() -> None:
    domain = bulk(lma=None)
    assert {(message.flags & ACKNOWLEDGED_B, len(groups(message))) for message in answers(domain)} == {(0, 0)}
    assert [row["group"] for row in domain.mag("mag1").show("sessions", domain.now)] == [0, 0, 0]
    domain.run(100 * SECOND)
    domain.clear()
    domain.run(60 * SECOND)
    assert len(updates(domain)) == 3


def test_5_1_2_an_answer_with_the_flag_and_without_a_group_is_ignored() -> None:
    """Text: "the message MUST be considered malformed and ignored"."""
    domain = bulk(hosts=[])
    domain.lose = lambda source, destination, message: source == "mag1"
    domain.attach("mn1", "mag1")
    (update,) = updates(domain)
    kept = tuple(
        option for option in update.options if not isinstance(option, MobileNodeGroupIdentifier | HomeNetworkPrefix)
    )
    options = (*kept, HomeNetworkPrefix.of(home(0)))
    domain.inject(LMA, "mag1", BindingAcknowledgement(0, 0x20 | ACKNOWLEDGED_B, update.sequence, LIFETIME, options))
    assert not domain.at("mag1").confirmed


def test_5_2_2_a_registration_without_the_flag_leaves_the_group() -> None:
    domain = bulk()
    domain.reconfigure("mag1", bulk_registration=None)
    for host in HOSTS_HERE:
        domain.attach(host, "mag1")
        domain.run(SECOND)
    assert [row["group"] for row in domain.lma.show("bindings", domain.now)] == [0, 0, 0]
    assert status_of(domain.ask(extension_of(domain))) == INVALID


def test_5_2_2_a_node_that_roams_is_in_a_group_of_its_new_gateway() -> None:
    domain = bulk()
    domain.roam("mn1", "mag1", "mag2", settle=SECOND)
    assert status_of(domain.ask(extension_of(domain), "mag2")) == 0
    domain.run(50 * SECOND)
    before = domain.entry("mn1").expires
    assert status_of(domain.ask(extension_of(domain))) == 0
    assert domain.entry("mn1").expires == before


# --- updates for groups (5.2.3) ---------------------------------------------------------------------------------------


def test_5_2_3_all_sessions_of_the_gateway_are_group_1() -> None:
    domain = bulk(mag=BulkRegistrationOfMag(groups=2))
    domain.run(50 * SECOND)
    assert status_of(domain.ask(extension_of(domain, group=1))) == 0
    assert remaining(domain) == [300, 300, 300]


@pytest.mark.parametrize(
    "more",
    [
        (identifier_option(node("mn1")),),
        (HomeNetworkPrefix.of(home(0)),),
    ],
)
def test_5_2_3_a_group_and_a_node_make_no_sense_together(more: tuple[MobilityOption, ...]) -> None:
    """Text: "MUST consider this as an invalid message ... INVALID_MOBILE_NODE_GROUP_IDENTIFIER"."""
    domain = bulk()
    domain.run(50 * SECOND)
    before = remaining(domain)
    assert status_of(domain.ask(extension_of(domain, more=more))) == INVALID
    assert remaining(domain) == before


@pytest.mark.parametrize("group", [0, 3, 0xFFFFFFFF])
def test_5_2_3_an_unknown_group_is_refused(group: int) -> None:
    domain = bulk()
    assert status_of(domain.ask(extension_of(domain, group=group))) == INVALID


def test_8_a_group_of_another_gateway_is_unknown_and_a_stranger_has_none() -> None:
    domain = bulk()
    domain.run(50 * SECOND)
    before = remaining(domain)
    assert status_of(domain.ask(extension_of(domain), "mag2")) == INVALID
    domain.inject(address("2001:db8:bad::1"), "lma", extension_of(domain))
    assert remaining(domain) == before


def test_5_2_3_the_shortest_lifetime_of_the_group_is_granted_to_all() -> None:
    """Text: "The lifetime field in the message MUST be set to the allocated lifetime for all the mobility sessions"."""
    domain = bulk(lifetime_max=200 * SECOND)
    answer = domain.ask(extension_of(domain))
    assert answer is not None
    assert answer.lifetime == 200 * SECOND
    assert remaining(domain) == [200, 200, 200]


def test_5_2_3_a_group_is_not_ended() -> None:
    domain = bulk()
    assert status_of(domain.ask(extension_of(domain, lifetime=0))) == int(Status.ADMINISTRATIVELY_PROHIBITED)
    assert len(remaining(domain)) == 3


def test_5_2_3_an_update_that_is_repeated_or_from_another_time_is_refused() -> None:
    domain = bulk()
    update = extension_of(domain)
    assert status_of(domain.ask(update)) == 0
    assert status_of(domain.ask(update)) == int(Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED)
    late = BindingUpdate(8, PROXY, LIFETIME, (MobileNodeGroupIdentifier(1, 2), Timestamp(stamp(domain, 10 * SECOND))))
    assert status_of(domain.ask(late)) == int(Status.TIMESTAMP_MISMATCH)


def test_5_2_3_without_a_timestamp_sequence_numbers_order_them() -> None:
    domain = bulk()
    assert status_of(domain.ask(extension_of(domain, timestamp=False, sequence=0))) == 0
    assert status_of(domain.ask(extension_of(domain, timestamp=False, sequence=0))) == 135
    assert status_of(domain.ask(extension_of(domain, timestamp=False, sequence=1))) == 0


def test_5_1_3_an_lma_that_lost_its_memory_gets_every_session_by_itself() -> None:
    domain = bulk()
    domain.lose = lambda source, destination, message: isinstance(message, BindingRefreshRequest)  # it asks for that
    domain.restart("lma", store=True)
    domain.run(170 * SECOND)
    assert domain.reported("mag1", "group-refused") == 1
    assert len(remaining(domain)) == 3
    assert [row["group"] for row in domain.lma.show("bindings", domain.now)] == [2, 2, 2]


def test_5_1_3_an_update_that_is_lost_is_repeated() -> None:
    domain = bulk()
    domain.run(100 * SECOND)
    lost: list[object] = []

    def lose(source: str, destination: str, message: object) -> bool:
        first = isinstance(message, BindingUpdate) and not lost
        if first:
            lost.append(message)
        return first

    domain.lose = lose
    domain.clear()
    domain.run(60 * SECOND)
    assert len(updates(domain)) == 2
    assert len(answers(domain)) == 1
    assert all(lifetime > 200 for lifetime in remaining(domain))


def test_5_1_3_bindings_that_ran_out_in_a_partition_come_back() -> None:
    domain = bulk()
    domain.lose = lambda source, destination, message: True
    domain.run(400 * SECOND)
    assert not domain.at("mag1").confirmed
    domain.lose = lambda source, destination, message: False
    domain.run(60 * SECOND)
    assert all(domain.at("mag1", host).confirmed for host in HOSTS_HERE)
    assert len(remaining(domain)) == 3


@pytest.mark.parametrize("source", [address("2001:db8:bad::1"), gateway(2)])
def test_8_an_answer_for_a_group_of_somebody_else_is_passed_over(source: Address) -> None:
    domain = bulk()
    domain.lose = lambda sender, destination, message: sender == "lma"
    domain.event("mag1", Commanded("refresh"))
    domain.run(10 * MILLISECOND)
    update = updates(domain)[-1]
    forged = BindingAcknowledgement(0, 0x20, update.sequence, 4000 * SECOND, (MobileNodeGroupIdentifier(1, 2),))
    domain.inject(source, "mag1", forged)
    assert domain.reported("mag1", "group-extended") == 0
    assert domain.at("mag1").lifetime == LIFETIME


def test_nothing_is_left_of_groups_without_members() -> None:
    domain = bulk()
    for host in HOSTS_HERE:
        domain.detach(host, "mag1")
    domain.run(30 * SECOND)
    (here,), (there,) = domain.mag("mag1").extensions, domain.lma.extensions
    assert not here._groups
    assert not here._in_group
    assert not there._members
    assert not there._group_of
