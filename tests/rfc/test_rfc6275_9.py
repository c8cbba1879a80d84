"""RFC 6275 sections 5.2 and 9: the correspondent node. The mobile node's side is done by hand, as the RFC words it."""

from __future__ import annotations

from hashlib import sha1
from hmac import digest

import pytest

from sojourn.core.effects import CountTraffic, SendMessage
from sojourn.core.events import (
    EffectFailed,
    Event,
    HomeAddressRefused,
    IcmpErrorReceived,
    MessageReceived,
    TrafficCounted,
)
from sojourn.core.mobile_effects import EnsureCareOfRoute, WithdrawCareOfRoute
from sojourn.engines.cn import CorrespondentNode
from sojourn.engines.mip6_configuration import CnConfiguration
from sojourn.engines.return_routability import signed
from sojourn.wire import (
    AlternateCareOfAddress,
    BindingAcknowledgement,
    BindingAuthorizationData,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    HomeTest,
    HomeTestInit,
    NonceIndices,
    UnknownMessage,
    encode,
)
from sojourn.wire.addresses import Address, Prefix, address
from sojourn.wire.units import MINUTE, SECOND, Duration
from support.mip6_messages import CN, COA, COA2, HOA, HOA2, SEED, A, Bench, H
from support.table import EPOCH

COOKIE = b"cookie!!"


def correspondent(seed: bytes = SEED, **settings: object) -> Bench:
    return Bench(CorrespondentNode(CnConfiguration(CN, **settings), EPOCH, seed))  # type: ignore[arg-type]


def token_test(bench: Bench, where: Address, care_of: bool) -> HomeTest | CareOfTest:
    """What a test init from `where` is answered with."""
    message = CareOfTestInit(COOKIE) if care_of else HomeTestInit(COOKIE)
    (sent,) = bench.tell(MessageReceived(message, where, CN))
    assert isinstance(sent, SendMessage)
    assert (sent.source, sent.destination, sent.routed_to) == (CN, where, None)
    assert isinstance(sent.message, CareOfTest if care_of else HomeTest)
    return sent.message  # type: ignore[return-value]


class Tokens:
    """What a mobile node got by return routability."""

    def __init__(self, bench: Bench, home: Address = HOA, care_of: Address = COA) -> None:
        self.home, self.care_of = home, care_of
        self.home_test, self.care_of_test = token_test(bench, home, False), token_test(bench, care_of, True)

    def key(self, delete: bool = False) -> bytes:
        """Kbm, in the words of 5.2.5."""
        return sha1(self.home_test.keygen_token + (b"" if delete else self.care_of_test.keygen_token)).digest()

    def update(
        self, sequence: int, lifetime: Duration = 400 * SECOND, flags: int = A, alternate: bool = False
    ) -> BindingUpdate:
        indices = NonceIndices(self.home_test.nonce_index, self.care_of_test.nonce_index if lifetime else 0)
        options = (indices, AlternateCareOfAddress(self.care_of)) if alternate else (indices,)
        message = BindingUpdate(sequence, flags, lifetime, options)
        return signed(message, self.key(not lifetime), self.care_of if lifetime else self.home, CN)

    def arriving(self, message: BindingUpdate, source: Address | None = None) -> Event:
        return MessageReceived(message, source or self.care_of, CN, self.home, octets=encode(message))


def answer(bench: Bench, event: Event) -> BindingAcknowledgement | None:
    for effect in bench.tell(event):
        if isinstance(effect, SendMessage) and isinstance(effect.message, BindingAcknowledgement):
            return effect.message
    return None


def ask(bench: Bench, tokens: Tokens, sequence: int = 1, **more: object) -> int | None:
    found = answer(bench, tokens.arriving(tokens.update(sequence, **more)))  # type: ignore[arg-type]
    return None if found is None else found.status


def states(bench: Bench) -> list[object]:
    return [row["state"] for row in bench.engine.show("bindings", bench.now)]


# --- 5.2 and 9.4: return routability ----------------------------------------------------------------------------------


def test_5_2_5_tests_go_where_they_came_from_with_the_cookie_and_leave_no_state() -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    assert tokens.home_test.cookie == tokens.care_of_test.cookie == COOKIE
    assert len(tokens.home_test.keygen_token) == 8
    assert states(bench) == []
    assert bench.engine.deadline() is None


def test_5_2_5_tokens_differ_by_address_and_kind() -> None:
    bench = correspondent()
    found = {token_test(bench, where, kind).keygen_token for where in (HOA, COA) for kind in (False, True)}
    assert len(found) == 4


def test_9_4_thousands_of_strangers_leave_no_trace_and_not_all_are_answered() -> None:
    bench = correspondent(tests_per_second=1000)
    for number in range(5000):
        stranger = b"\x20\x01\x0d\xb8" + number.to_bytes(12, "big")
        bench.engine.handle(MessageReceived(HomeTestInit(COOKIE), stranger, CN), bench.now)
    assert states(bench) == []
    effects = bench.tell(MessageReceived(HomeTestInit(COOKIE), HOA, CN))
    assert not [effect for effect in effects if isinstance(effect, SendMessage)]
    bench.run(1 * SECOND)
    assert token_test(bench, HOA, False)


@pytest.mark.parametrize("message", [HomeTestInit(COOKIE), CareOfTestInit(COOKIE)])
def test_9_4_1_and_9_4_2_with_a_home_address_option_they_are_ignored(message: HomeTestInit | CareOfTestInit) -> None:
    bench = correspondent()
    bench.tell(MessageReceived(message, COA, CN, HOA))
    assert not bench.asked(SendMessage)


def test_9_4_1_options_in_a_test_init_are_ignored() -> None:
    bench = correspondent()
    bench.tell(MessageReceived(HomeTestInit(COOKIE, (NonceIndices(1, 2), AlternateCareOfAddress(COA2))), HOA, CN))
    assert bench.asked(SendMessage)[0].destination == HOA


# --- 9.5.1: what is accepted ------------------------------------------------------------------------------------------


def test_9_5_1_a_proven_update_makes_a_binding() -> None:
    bench = correspondent()
    assert ask(bench, Tokens(bench)) == 0
    assert bench.asked(EnsureCareOfRoute) == [EnsureCareOfRoute(HOA, COA)]
    sent = bench.sent(BindingAcknowledgement)[-1]
    assert (sent.source, sent.destination, sent.routed_to) == (CN, COA, HOA)


def test_6_2_7_the_authenticator_of_update_and_answer() -> None:
    """First (96, HMAC_SHA1 (Kbm, (care-of address | correspondent | MH data))), without the authenticator."""
    bench = correspondent()
    tokens = Tokens(bench)
    message = tokens.update(1)
    octets = encode(message)
    assert octets[-12:] == digest(tokens.key(), COA + CN + octets[:-12], "sha1")[:12]
    found = answer(bench, tokens.arriving(message))
    assert found is not None
    octets = encode(found)
    assert octets[-12:] == digest(tokens.key(), COA + CN + octets[:-12], "sha1")[:12]


def test_9_5_1_without_nonce_indices_it_is_discarded() -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    message = signed(BindingUpdate(1, A, 400 * SECOND), tokens.key(), COA, CN)
    assert answer(bench, tokens.arriving(message)) is None
    assert not bench.asked(EnsureCareOfRoute)


def test_9_5_1_a_wrong_authenticator_is_discarded() -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    for bit in range(96):
        message = tokens.update(1)
        last = message.options[-1]
        assert isinstance(last, BindingAuthorizationData)
        octets = bytearray(last.authenticator)
        octets[bit // 8] ^= 1 << bit % 8
        message.options = (*message.options[:-1], BindingAuthorizationData(bytes(octets)))
        assert answer(bench, tokens.arriving(message)) is None
    assert states(bench) == []


def test_9_5_1_the_authenticator_is_the_last_option_and_nothing_is_behind_it() -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    indices = NonceIndices(tokens.home_test.nonce_index, tokens.care_of_test.nonce_index)
    first = signed(BindingUpdate(1, A, 400 * SECOND), tokens.key(), COA, CN)
    first.options = (*first.options, indices)
    assert answer(bench, tokens.arriving(first)) is None
    padded = tokens.update(1)
    octets = bytearray(encode(padded) + b"\x01\x06" + bytes(6))
    octets[1] += 1
    assert answer(bench, MessageReceived(padded, COA, CN, HOA, octets=bytes(octets))) is None
    assert states(bench) == []


def test_5_2_6_with_an_alternate_care_of_address_that_one_was_tested() -> None:
    bench = correspondent()
    tokens = Tokens(bench, care_of=COA2)
    assert answer(bench, tokens.arriving(tokens.update(1, alternate=True), source=COA)) is not None
    assert bench.asked(EnsureCareOfRoute) == [EnsureCareOfRoute(HOA, COA2)]
    assert bench.sent(BindingAcknowledgement)[-1].destination == COA


def test_15_4_5_a_care_of_address_that_was_not_tested_is_flooded_by_nobody() -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    tokens.care_of = COA2  # the victim
    assert ask(bench, tokens) is None
    assert not bench.asked(EnsureCareOfRoute)


def test_15_4_an_off_path_care_of_token_alone_is_not_enough() -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    tokens.home_test = HomeTest(tokens.home_test.nonce_index, COOKIE, bytes(8))
    assert ask(bench, tokens) is None
    assert ask(bench, tokens, lifetime=0) is None


def test_9_5_1_a_home_registration_is_refused_and_changes_nothing() -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    assert ask(bench, tokens, flags=A | H) == 131
    ask(bench, tokens, 1)
    assert ask(bench, tokens, 2, flags=A | H) == 139
    assert states(bench) == ["active"]


@pytest.mark.parametrize("sequence", [10001, 42767, 42766])
def test_9_5_1_a_greater_sequence_number_is_accepted(sequence: int) -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    ask(bench, tokens, 10000)
    assert ask(bench, tokens, sequence) == 0


@pytest.mark.parametrize("sequence", [9999, 10000, 42768, 0])
def test_9_5_1_another_one_gets_135_with_the_last_number_signed(sequence: int) -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    ask(bench, tokens, 10000)
    found = answer(bench, tokens.arriving(tokens.update(sequence)))
    assert found is not None
    assert (found.status, found.sequence) == (135, 10000)
    assert found.all(BindingAuthorizationData)


# --- 5.2.7: nonces ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "accepted"), [(209, True), (240, False)])
def test_5_2_7_tokens_are_good_for_210_seconds_and_never_for_240(age: int, accepted: bool) -> None:
    bench = correspondent()
    bench.run(29 * SECOND)  # whenever in its interval it was given out
    tokens = Tokens(bench)
    bench.run(age * SECOND)
    assert ask(bench, tokens) == (0 if accepted else 138)


def test_9_5_1_which_nonce_is_too_old_is_told_without_authenticator() -> None:
    bench = correspondent()
    old = Tokens(bench)
    bench.run(5 * MINUTE)
    new = Tokens(bench)
    old_home, old_care_of = Tokens(bench), Tokens(bench)
    old_home.home_test, old_care_of.care_of_test = old.home_test, old.care_of_test
    for tokens, status in ((old_home, 136), (old_care_of, 137), (old, 138), (new, 0)):
        found = answer(bench, tokens.arriving(tokens.update(1, flags=0 if status else A)))
        assert found is not None
        assert found.status == status
        assert bool(found.all(BindingAuthorizationData)) == (status == 0)


def test_9_5_1_an_index_that_was_never_issued_is_not_recognised() -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    for ahead in (1, 100, 32768, 65535, 65530):
        future = Tokens(bench)
        future.care_of_test = CareOfTest((tokens.care_of_test.nonce_index + ahead) % 65536, COOKIE, bytes(8))
        assert ask(bench, future) == 137


def test_5_2_7_after_a_restart_nothing_of_before_is_recognised() -> None:
    tokens = Tokens(correspondent())
    assert ask(correspondent(b"another seed of the host"), tokens) == 138


# --- 9.5.2 to 9.5.5 ---------------------------------------------------------------------------------------------------


def test_5_2_6_the_lifetime_is_at_most_420_seconds() -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    found = answer(bench, tokens.arriving(tokens.update(1, lifetime=0xFFFF * 4 * SECOND)))
    assert found is not None
    assert found.lifetime == 420 * SECOND


def test_9_5_2_the_entry_goes_with_its_lifetime() -> None:
    bench = correspondent()
    ask(bench, Tokens(bench), lifetime=400 * SECOND)
    bench.run(400 * SECOND)
    assert bench.asked(WithdrawCareOfRoute) == [WithdrawCareOfRoute(HOA)]
    assert states(bench) == []


def test_9_5_2_no_room_gets_130_signed() -> None:
    bench = correspondent(bindings=1)
    ask(bench, Tokens(bench))
    other = Tokens(bench, HOA2, COA2)
    found = answer(bench, other.arriving(other.update(1, flags=0)))
    assert found is not None
    assert found.status == 130


def test_9_5_2_two_bindings_do_not_point_at_each_other() -> None:
    bench = correspondent()
    assert ask(bench, Tokens(bench, HOA, HOA2)) == 0
    assert ask(bench, Tokens(bench, HOA2, HOA)) == 174


def test_9_5_3_deletion_needs_the_home_token_alone() -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    ask(bench, tokens)
    tokens.care_of_test = CareOfTest(1, COOKIE, bytes(8))
    assert ask(bench, tokens, 2, lifetime=0) == 0
    assert bench.asked(WithdrawCareOfRoute) == [WithdrawCareOfRoute(HOA)]


def test_9_5_3_what_deleted_or_made_a_binding_cannot_be_replayed_while_its_nonces_are_valid() -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    first, last = tokens.arriving(tokens.update(1)), tokens.arriving(tokens.update(2, lifetime=0))
    answer(bench, first)
    answer(bench, last)
    for again in (first, last):
        found = answer(bench, again)
        assert found is not None
        assert found.status == 135
    bench.run(239 * SECOND)
    found = answer(bench, first)
    assert found is not None
    assert found.status in (135, 138)
    bench.run(10 * SECOND)
    found = answer(bench, first)
    assert found is not None
    assert found.status == 138  # now the nonces are too old
    assert states(bench) == []


def test_5_2_8_the_same_after_a_lifetime_that_was_shorter_than_that_of_the_nonces() -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    first = tokens.arriving(tokens.update(1, lifetime=8 * SECOND))
    answer(bench, first)
    bench.run(9 * SECOND)
    assert states(bench) == ["ended"]
    found = answer(bench, first)
    assert found is not None
    assert found.status == 135
    assert ask(bench, tokens, 2) == 0


def test_9_5_3_deletion_of_what_is_not_there_creates_nothing() -> None:
    bench = correspondent()
    assert ask(bench, Tokens(bench), lifetime=0) == 0
    assert states(bench) == []


def test_9_5_4_who_does_not_ask_for_an_answer_gets_none_when_it_is_accepted() -> None:
    bench = correspondent()
    assert ask(bench, Tokens(bench), flags=0) is None
    assert states(bench) == ["active"]


def test_9_5_4_from_the_home_address_there_is_no_routing_header() -> None:
    bench = correspondent()
    tokens = Tokens(bench)
    ask(bench, tokens)
    message = tokens.update(2, lifetime=0)
    bench.tell(MessageReceived(message, HOA, CN, octets=encode(message)))
    sent = bench.sent(BindingAcknowledgement)[-1]
    assert (sent.destination, sent.routed_to) == (HOA, None)


def test_9_5_5_a_binding_in_use_is_asked_for_before_its_end() -> None:
    bench = correspondent()
    ask(bench, Tokens(bench))
    bench.run(350 * SECOND)
    assert bench.asked(CountTraffic)
    bench.tell(TrafficCounted({Prefix(HOA, 128): 5}))
    (sent,) = bench.sent(BindingRefreshRequest)
    assert (sent.source, sent.destination, sent.routed_to) == (CN, HOA, None)
    bench.run(25 * SECOND)
    bench.tell(TrafficCounted({Prefix(HOA, 128): 5}))  # nothing came since then
    assert len(bench.sent(BindingRefreshRequest)) == 1


# --- 9.2 and 9.3 ------------------------------------------------------------------------------------------------------


def test_9_3_1_a_home_address_option_that_has_no_binding_gets_binding_error_1() -> None:
    bench = correspondent()
    ask(bench, Tokens(bench))
    bench.tell(HomeAddressRefused(HOA, COA2, CN))
    (sent,) = bench.sent(BindingError)
    assert (sent.message, sent.destination) == (BindingError(1, HOA), COA2)
    assert states(bench) == ["active"]


@pytest.mark.parametrize("where", ["ff02::1", "::"])
def test_9_3_3_nobody_is_told_of_an_error_at_an_address_that_is_none(where: str) -> None:
    bench = correspondent()
    bench.tell(HomeAddressRefused(HOA, address(where), CN))
    bench.tell(MessageReceived(UnknownMessage(99, b""), address(where), CN))
    assert not bench.asked(SendMessage)


def test_9_2_an_unknown_type_gets_binding_error_2() -> None:
    bench = correspondent()
    bench.tell(MessageReceived(UnknownMessage(77, bytes(2)), COA, CN, HOA))
    assert bench.sent(BindingError)[0].message == BindingError(2, HOA)


def test_9_3_4_persistent_unreachability_ends_the_binding_a_single_error_does_not() -> None:
    bench = correspondent()
    ask(bench, Tokens(bench))
    bench.tell(IcmpErrorReceived(1, 3, COA, 6))
    bench.tell(IcmpErrorReceived(3, 0, COA, 6))
    assert states(bench) == ["active"]
    bench.tell(IcmpErrorReceived(1, 3, COA, 6))
    bench.tell(IcmpErrorReceived(1, 3, COA, 6))
    assert states(bench) == ["ended"]
    assert bench.asked(WithdrawCareOfRoute)


def test_9_3_4_a_neighbour_that_has_left_is_unreachable_by_its_home_address() -> None:
    bench = correspondent()
    ask(bench, Tokens(bench))
    for protocol in (135, 135, 135, 17, 17):
        bench.tell(IcmpErrorReceived(1, 3, HOA, protocol))
    assert states(bench) == ["active"]
    bench.tell(IcmpErrorReceived(1, 3, HOA, 6))
    assert states(bench) == ["ended"]
    assert bench.asked(WithdrawCareOfRoute)


def test_a_kernel_that_refuses_leaves_the_way_through_the_home_agent() -> None:
    bench = correspondent()
    ask(bench, Tokens(bench))
    bench.tell(EffectFailed(EnsureCareOfRoute(HOA, COA), 12, "no room"))
    assert states(bench) == ["ended"]


@pytest.mark.parametrize("where", ["::", "ff02::1", "::1"])
def test_addresses_that_are_none_are_not_answered(where: str) -> None:
    bench = correspondent()
    bench.tell(MessageReceived(HomeTestInit(COOKIE), address(where), CN))
    assert not bench.asked(SendMessage)
