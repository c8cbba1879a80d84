"""RFC 6275 section 10: the home agent. One node with a key of RFC 4285 unless a test says otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core.effects import EnsurePrefix, EnsureTunnel, SendMessage, StoreBinding, WithdrawPrefix, WithdrawSlot
from sojourn.core.events import AddressProbed, Commanded, HomeAddressRefused, MessageReceived
from sojourn.core.mobile_effects import EnsureProxyNeighbour, ProbeAddress, WithdrawProxyNeighbour
from sojourn.engines.ha import HomeAgent
from sojourn.engines.mip6_configuration import HomeNode
from sojourn.wire import (
    BindingAcknowledgement,
    BindingError,
    BindingRefreshAdvice,
    BindingRefreshRequest,
    BindingRevocationIndication,
    BindingUpdate,
    NonceIndices,
    RevocationTrigger,
    UnknownMessage,
)
from sojourn.wire.addresses import UNSPECIFIED, Prefix, address, text
from sojourn.wire.units import SECOND
from support.mip6_messages import (
    ASSOCIATION,
    COA,
    COA2,
    HA,
    HOA,
    HOA2,
    HOME_LINK,
    STRANGER,
    A,
    Bench,
    H,
    L,
    ask,
    deliver,
    home_agent,
    update,
)

PROTECTED = HomeNode(HOA)
"""By IPsec: sequence numbers order its updates."""
LINK_LOCAL = address("fe80::5")


def acknowledged(bench: Bench) -> BindingAcknowledgement:
    message = bench.sent(BindingAcknowledgement)[-1].message
    assert isinstance(message, BindingAcknowledgement)
    return message


def plain(bench: Bench, sequence: int, **more: object) -> int | None:
    """The status for an update without a key."""
    return ask(bench, sequence, association=None, **more)


# --- 9.5.1 at a home agent --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "following"), [(15, 16), (15, 32782), (32783, 32784), (32783, 14), (65535, 0), (10000, 42767)]
)
def test_9_5_1_a_greater_sequence_number_modulo_65536_is_accepted(last: int, following: int) -> None:
    bench = home_agent(PROTECTED)
    assert plain(bench, last) == 0
    assert plain(bench, following, care_of=COA2) == 0


@pytest.mark.parametrize(("last", "following"), [(15, 15), (15, 0), (15, 32783), (15, 65535), (10000, 9999)])
def test_9_5_1_a_number_not_greater_gets_135_and_the_last_one(last: int, following: int) -> None:
    bench = home_agent(PROTECTED)
    plain(bench, last)
    bench.forget()
    assert plain(bench, following, care_of=COA2) == 135
    assert acknowledged(bench).sequence == last
    assert not bench.asked(EnsureTunnel)


def test_9_5_1_without_a_binding_any_sequence_number_is_accepted() -> None:
    assert plain(home_agent(PROTECTED), 40_000) == 0


def test_9_5_1_nonce_indices_in_a_home_registration_are_discarded() -> None:
    bench = home_agent(PROTECTED)
    assert plain(bench, 1, options=(NonceIndices(1, 1),)) is None
    assert bench.reported("update-discarded") == 1


def test_9_5_1_an_update_that_is_no_home_registration_does_not_change_the_type_of_a_binding() -> None:
    bench = home_agent(PROTECTED)
    assert plain(bench, 1) == 0
    assert plain(bench, 2, flags=A) == 139
    assert plain(bench, 2, care_of=COA2) == 0  # it still is a home registration, and its number is 1


@pytest.mark.parametrize("home", ["::", "ff02::5", "::1", "fe80::5"])
def test_9_5_1_a_home_address_that_is_none_is_discarded(home: str) -> None:
    assert plain(home_agent(PROTECTED), 1, home=address(home)) is None


# --- 10.3.1 -----------------------------------------------------------------------------------------------------------


def test_10_3_1_registration_probes_then_tunnels_then_intercepts_then_answers() -> None:
    bench = home_agent()
    assert ask(bench) == 0
    kinds = [type(effect) for effect in bench.effects if type(effect).__name__ != "Report"]
    assert kinds == [ProbeAddress, EnsureTunnel, EnsurePrefix, EnsureProxyNeighbour, StoreBinding, SendMessage]
    assert bench.asked(EnsureTunnel)[0].remote == COA
    assert bench.asked(EnsurePrefix)[0].prefix == Prefix(HOA, 128)
    assert bench.asked(EnsureProxyNeighbour) == [EnsureProxyNeighbour("home0", HOA)]


def test_10_3_1_the_answer_goes_to_the_source_with_a_routing_header() -> None:
    bench = home_agent()
    ask(bench, 77)
    (sent,) = bench.sent(BindingAcknowledgement)
    assert (sent.source, sent.destination, sent.routed_to, sent.home_address) == (HA, COA, HOA, None)
    assert (acknowledged(bench).sequence, acknowledged(bench).lifetime) == (77, 400 * SECOND)


def test_10_3_1_an_answer_is_sent_without_the_acknowledge_flag_too() -> None:
    assert ask(home_agent(), flags=H) == 0


def test_10_3_1_a_home_address_of_another_link_gets_132() -> None:
    bench = home_agent()
    assert ask(bench, home=address("2001:db8:4001::5")) == 132
    assert not bench.asked(EnsureTunnel)


@pytest.mark.parametrize("home", [HA, HOME_LINK.address])
def test_10_3_1_nobody_becomes_the_home_agent_or_the_anycast_address_of_the_routers(home: bytes) -> None:
    node = HomeNode(home)
    assert plain(home_agent(node), 1, home=home) == 129


def test_10_3_1_no_home_address_option_is_discarded() -> None:
    bench = home_agent(PROTECTED)
    message = update(bench, association=None, alternate=COA)
    assert deliver(bench, message, source=HOA, home=None) is None
    assert not bench.asked(EnsureTunnel)


def test_10_3_1_a_refresh_probes_nothing_and_moves_the_tunnel_alone() -> None:
    bench = home_agent()
    ask(bench)
    bench.forget()
    assert ask(bench, 2, COA2) == 0
    assert not bench.asked(ProbeAddress)
    assert [effect.remote for effect in bench.asked(EnsureTunnel)] == [COA2]
    assert not bench.asked(EnsurePrefix)


def test_10_3_1_a_duplicate_home_address_gets_134_and_no_binding() -> None:
    bench = home_agent()
    bench.taken.add(HOA)
    assert ask(bench) == 134
    assert not bench.asked(EnsureTunnel)
    assert not bench.engine.show("bindings", bench.now)


@pytest.mark.parametrize(("flags", "status", "probed"), [(A | H, 0, {HOA}), (A | H | L, 134, {HOA, LINK_LOCAL})])
def test_10_3_1_the_link_local_address_is_tested_with_flag_l_only(flags: int, status: int, probed: set[bytes]) -> None:
    bench = home_agent()
    bench.taken.add(LINK_LOCAL)
    assert ask(bench, flags=flags) == status
    assert {effect.address for effect in bench.asked(ProbeAddress)} == probed


def test_10_3_1_with_flag_l_both_addresses_are_defended() -> None:
    bench = home_agent()
    ask(bench, flags=A | H | L)
    assert {effect.address for effect in bench.asked(EnsureProxyNeighbour)} == {HOA, LINK_LOCAL}
    bench.forget()
    ask(bench, 2)
    assert bench.asked(WithdrawProxyNeighbour) == [WithdrawProxyNeighbour("home0", LINK_LOCAL)]


def test_10_3_1_a_repetition_while_the_address_is_tested_starts_no_second_test() -> None:
    bench = home_agent()
    bench.answers_probes = False
    assert ask(bench, 1) is None
    assert ask(bench, 2) is None
    assert len(bench.asked(ProbeAddress)) == 1
    bench.run(10 * SECOND)
    assert [effect.message.status for effect in bench.sent(BindingAcknowledgement)] == [128]  # type: ignore[attr-defined]
    assert not bench.engine.show("bindings", bench.now)


def test_10_3_1_a_virtual_home_link_is_not_probed() -> None:
    bench = home_agent(interface="")
    assert ask(bench) == 0
    assert not bench.asked(ProbeAddress)
    assert not bench.asked(EnsureProxyNeighbour)


def test_10_3_1_where_nobody_else_can_have_the_address_nobody_is_asked() -> None:
    bench = home_agent(duplicate_address_detection=False)
    assert ask(bench) == 0
    assert not bench.asked(ProbeAddress)
    assert bench.asked(EnsureProxyNeighbour)


def test_10_3_1_an_optimist_answers_at_once_and_tells_the_link_when_the_test_is_over() -> None:
    bench = home_agent(optimistic_duplicate_address_detection=True)
    bench.answers_probes = False
    assert ask(bench) == 0
    kinds = [type(effect) for effect in bench.effects if type(effect).__name__ != "Report"]
    assert kinds == [ProbeAddress, EnsureTunnel, EnsurePrefix, StoreBinding, SendMessage]
    assert ask(bench, 2, COA2) == 0  # it moves meanwhile
    bench.tell(AddressProbed("home0", HOA, False))
    assert bench.asked(EnsureProxyNeighbour) == [EnsureProxyNeighbour("home0", HOA)]
    bench.run(10 * SECOND)
    assert [row["care_of"] for row in bench.engine.show("bindings", bench.now)] == [text(COA2)]
    assert len(bench.asked(ProbeAddress)) == 1


@pytest.mark.parametrize("answer", [AddressProbed("home0", HOA, True), None])
def test_10_3_1_an_optimist_who_was_wrong_takes_the_binding_back_and_then_waits_for_the_test(
    answer: AddressProbed | None,
) -> None:
    bench = home_agent(optimistic_duplicate_address_detection=True)
    bench.answers_probes = False
    assert ask(bench) == 0
    if answer is None:
        bench.run(4 * SECOND)  # nobody says how the test ended
    else:
        bench.tell(answer)
    (told,) = {sent.message.trigger for sent in bench.sent(BindingRevocationIndication)}  # type: ignore[attr-defined]
    assert told == RevocationTrigger.POSSIBLE_OUT_OF_SYNC_BCE_STATE  # the node is to ask again, and at once
    assert not bench.asked(EnsureProxyNeighbour)
    bench.run(10 * SECOND)
    assert bench.asked(WithdrawPrefix) == [WithdrawPrefix(Prefix(HOA, 128))]
    assert not bench.engine.show("bindings", bench.now)
    bench.answers_probes = True
    bench.taken.add(HOA)
    assert ask(bench, 3) == 134
    bench.taken.clear()
    assert ask(bench, 4) == 0


def test_10_3_1_an_optimist_forgets_the_test_of_a_binding_that_ended() -> None:
    bench = home_agent(optimistic_duplicate_address_detection=True)
    bench.answers_probes = False
    assert [ask(bench), ask(bench, 2, lifetime=0)] == [0, 0]
    bench.forget()
    bench.tell(AddressProbed("home0", HOA, True))
    bench.run(5 * SECOND)
    assert not bench.sent(BindingRevocationIndication)
    assert not bench.asked(EnsureProxyNeighbour)


def test_10_3_1_the_lifetime_is_no_longer_than_asked_configured_or_valid() -> None:
    bench = home_agent(lifetime_max=300 * SECOND)
    ask(bench)
    assert acknowledged(bench).lifetime == 300 * SECOND
    bench.tell(Commanded("prefix", {"prefix": str(HOME_LINK), "preferred": "202", "valid": "202"}))
    ask(bench, 2)
    assert (acknowledged(bench).lifetime, acknowledged(bench).status) == (200 * SECOND, 1)


def test_10_3_1_status_1_when_the_prefix_will_be_deprecated_in_the_meantime() -> None:
    bench = home_agent()
    bench.tell(Commanded("prefix", {"prefix": str(HOME_LINK), "preferred": "100", "valid": "86400"}))
    assert ask(bench) == 1


def test_10_3_1_the_binding_ends_with_the_prefix() -> None:
    bench = home_agent()
    ask(bench)
    bench.tell(Commanded("prefix", {"prefix": str(HOME_LINK), "preferred": "0", "valid": "50"}))
    bench.run(50 * SECOND)
    assert bench.asked(WithdrawSlot)
    assert not bench.engine.show("bindings", bench.now)


def test_10_3_1_advice_to_refresh_is_given_only_by_whom_a_restart_makes_forget() -> None:
    forgetful = home_agent(stores=False, refresh_advice=100 * SECOND)
    ask(forgetful)
    assert acknowledged(forgetful).options[0] == BindingRefreshAdvice(100 * SECOND)
    assert not forgetful.asked(StoreBinding)
    keeping = home_agent(refresh_advice=100 * SECOND)
    ask(keeping)
    assert not acknowledged(keeping).all(BindingRefreshAdvice)


def test_10_3_1_the_entry_goes_when_its_lifetime_ends() -> None:
    bench = home_agent()
    ask(bench)
    bench.forget()
    bench.run(400 * SECOND)
    order = [type(effect) for effect in bench.effects if type(effect).__name__.startswith("Withdraw")]
    assert order == [WithdrawProxyNeighbour, WithdrawPrefix, WithdrawSlot]
    assert ask(bench, 1) == 0


def test_10_3_1_before_that_the_node_is_asked_to_refresh() -> None:
    bench = home_agent()
    ask(bench)
    bench.run(350 * SECOND)
    (request,) = bench.sent(BindingRefreshRequest)
    assert (request.destination, request.routed_to) == (COA, HOA)


def test_10_3_1_too_many_bindings_get_130() -> None:
    bench = home_agent(HomeNode(HOA), HomeNode(HOA2), bindings=1)
    assert plain(bench, 1) == 0
    assert plain(bench, 1, home=HOA2) == 130


@pytest.mark.parametrize("care_of", ["ff02::1", "::1", "fe80::9", "::", "2001:db8:4000::1"])
def test_10_3_1_a_care_of_address_that_leads_nowhere_or_to_us_gets_174(care_of: str) -> None:
    bench = home_agent()
    assert ask(bench, alternate=address(care_of)) == 174
    assert not bench.asked(EnsureTunnel)


def test_b_site_local_addresses_are_nothing_special() -> None:
    assert ask(home_agent(), alternate=address("fec0::9")) == 0


def test_10_3_1_two_bindings_do_not_point_at_each_other() -> None:
    bench = home_agent(HomeNode(HOA), HomeNode(HOA2))
    assert plain(bench, 1, alternate=HOA2) == 0  # as far as we know, a host that is at home
    assert plain(bench, 1, home=HOA2, alternate=HOA) == 174


def test_c070_ten_thousand_bindings_that_end_in_the_same_second_all_end() -> None:
    homes = [HOME_LINK.address[:8] + b"\x02" + number.to_bytes(7, "big") for number in range(10_000)]
    bench = home_agent(*(HomeNode(home) for home in homes), interface="", stores=False)
    engine = bench.engine
    for number, home in enumerate(homes):
        event = MessageReceived(BindingUpdate(1, A | H, 40 * SECOND), COA, HA, home)
        answers = engine.handle(event, bench.now + number * SECOND // 10_000)
        assert isinstance(answers[-1], SendMessage)
    effects = engine.expire(bench.now + 41 * SECOND)
    assert sum(isinstance(effect, WithdrawSlot) for effect in effects) == 10_000
    assert engine.deadline() is None


# --- 10.3.2 -----------------------------------------------------------------------------------------------------------


def test_10_3_2_deregistration_ends_interception_at_once_and_before_the_answer() -> None:
    bench = home_agent()
    ask(bench)
    bench.forget()
    assert ask(bench, 2, lifetime=0) == 0
    kinds = [type(effect).__name__ for effect in bench.effects if type(effect).__name__ != "Report"]
    assert kinds == ["WithdrawProxyNeighbour", "WithdrawPrefix", "DeleteBinding", "SendMessage"]
    assert acknowledged(bench).lifetime == 0


@pytest.mark.parametrize("named", [True, False])
def test_10_3_2_from_home_with_and_without_home_address_option(named: bool) -> None:
    bench = home_agent()
    ask(bench)
    message = update(bench, 2, HOA, lifetime=60 * SECOND)  # the care-of address is the home address: the same as 0
    answer = deliver(bench, message, HOA, HOA if named else None)
    assert answer is not None
    assert (answer.status, answer.lifetime) == (0, 0)
    sent = bench.sent(BindingAcknowledgement)[-1]
    assert (sent.destination, sent.routed_to) == (HOA, HOA if named else None)


def test_10_3_2_without_a_binding_133() -> None:
    assert ask(home_agent(), lifetime=0) == 133


def test_10_3_2_a_delayed_refresh_does_not_revive_the_binding_for_ten_seconds() -> None:
    bench = home_agent(PROTECTED)
    plain(bench, 10)
    plain(bench, 12, lifetime=0)
    bench.run(9 * SECOND)
    assert plain(bench, 11) == 135
    bench.run(1 * SECOND)
    assert bench.asked(WithdrawSlot)
    assert plain(bench, 11) == 0


def test_10_3_2_the_same_by_timestamp() -> None:
    bench = home_agent()
    ask(bench, 10)
    late = update(bench, 11)
    ask(bench, 12, lifetime=0)
    answer = deliver(bench, late)
    assert answer is not None
    assert answer.status == 144
    assert bench.engine.show("bindings", bench.now)[0]["state"] == "deleted"


def test_10_3_2_a_repeated_deregistration_is_answered_again() -> None:
    bench = home_agent()
    ask(bench)
    ask(bench, 2, lifetime=0)
    assert ask(bench, 3, lifetime=0) == 0


def test_10_3_2_who_returns_while_its_address_is_tested_is_not_intercepted_afterwards() -> None:
    bench = home_agent()
    bench.answers_probes = False
    ask(bench)
    assert ask(bench, 2, lifetime=0) == 133
    bench.run(10 * SECOND)
    assert not bench.asked(EnsureProxyNeighbour)


def test_10_3_2_who_leaves_again_at_once_is_registered_anew() -> None:
    bench = home_agent()
    ask(bench)
    ask(bench, 2, lifetime=0)
    bench.forget()
    assert ask(bench, 3, COA2) == 0
    assert bench.asked(EnsureTunnel)[-1].remote == COA2
    bench.run(20 * SECOND)
    assert bench.engine.show("bindings", bench.now)[0]["state"] == "active"


# --- 9.2, 9.3.1, 9.3.3 ------------------------------------------------------------------------------------------------


def test_9_2_an_unknown_type_gets_a_binding_error_and_leaves_the_binding_alone() -> None:
    bench = home_agent()
    ask(bench)
    before = bench.engine.show("bindings", bench.now)
    bench.tell(MessageReceived(UnknownMessage(77, bytes(2)), COA, HA, HOA))
    (error,) = bench.sent(BindingError)
    assert error.message == BindingError(2, HOA)
    assert (error.destination, error.routed_to) == (COA, None)
    assert bench.engine.show("bindings", bench.now) == before


def test_9_3_3_binding_errors_are_limited() -> None:
    bench = home_agent()
    for _ in range(1000):
        bench.tell(MessageReceived(UnknownMessage(77, bytes(2)), STRANGER, HA))
    assert 0 < len(bench.sent(BindingError)) <= 50
    assert bench.sent(BindingError)[0].message == BindingError(2, UNSPECIFIED)


def test_9_3_1_a_home_address_option_without_binding_gets_a_binding_error() -> None:
    bench = home_agent()
    bench.tell(HomeAddressRefused(HOA, COA, HA))
    assert bench.sent(BindingError)[0].message == BindingError(1, HOA)


# --- life -------------------------------------------------------------------------------------------------------------


def test_a_home_agent_takes_up_what_an_earlier_life_stored() -> None:
    bench = home_agent()
    ask(bench, 7)
    (stored,) = bench.asked(StoreBinding)
    successor = home_agent().engine
    assert isinstance(successor, HomeAgent)
    effects = HomeAgent(successor.configuration, 0, b"another seed of a life").restore([(stored.key, stored.record)], 5)
    assert [effect for effect in effects if isinstance(effect, EnsureTunnel)] == bench.asked(EnsureTunnel)
    assert [effect for effect in effects if isinstance(effect, EnsureProxyNeighbour)]


def test_records_that_are_none_are_refused_not_believed() -> None:
    engine = home_agent().engine
    assert isinstance(engine, HomeAgent)
    again = HomeAgent(engine.configuration, 0, b"another seed of a life")
    again.restore([(HOA, b"\x96"), (HOA2, b""), (b"", b"x")], 5)
    assert not again.show("bindings", 5)


def test_an_update_from_before_the_restart_of_a_home_agent_without_memory_is_not_accepted() -> None:
    sender = home_agent(start=100 * SECOND)
    old = update(sender, 5)
    answer = deliver(home_agent(start=103 * SECOND), old)
    assert answer is not None
    assert answer.status == 144


def test_two_nodes_of_one_key_with_addresses_of_their_own() -> None:
    """RFC 8818: a local home address is registered by whoever has a key of the anchor, if nobody else has it."""
    roaming = HomeNode(None, ASSOCIATION)
    other = HomeNode(None, replace(ASSOCIATION, spi=2000, key=b"another key of 16"))
    bench = home_agent(roaming, other)
    assert ask(bench) == 0
    assert ask(bench, 2, home=HOA2) == 0
    assert ask(bench, 3, COA2, association=other.association) == 146
    assert [row["care_of"] for row in bench.engine.show("bindings", bench.now)] == ["2001:db8:100::5"] * 2
