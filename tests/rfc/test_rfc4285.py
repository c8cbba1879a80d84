"""RFC 4285 at a home agent: who has the key, and when it was sent. RFC 5142 and RFC 3963 6 at the same engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core.effects import EnsurePrefix, EnsureTunnel, WithdrawPrefix
from sojourn.core.events import ClockStepped, Commanded, MessageReceived
from sojourn.engines.authentication import mn_ha_option, signed, verified
from sojourn.engines.mip6_configuration import HomeNode
from sojourn.wire import (
    BindingAcknowledgement,
    BindingUpdate,
    BindingUpdateFlags,
    MobileNodeIdentifier,
    PadN,
    UnknownOption,
    decode,
    encode,
)
from sojourn.wire.addresses import address, prefix
from sojourn.wire.extensions.rfc3963 import MobileNetworkPrefix
from sojourn.wire.extensions.rfc4285 import MobilityMessageReplayProtection
from sojourn.wire.extensions.rfc5142 import HomeAgentSwitch
from sojourn.wire.units import SECOND
from support.mip6_messages import (
    ASSOCIATION,
    COA,
    COA2,
    HA,
    HOA,
    KEY,
    A,
    Bench,
    H,
    R,
    ask,
    deliver,
    home_agent,
    update,
)
from support.table import EPOCH

BUS = prefix("2001:db8:4500::/56")
TRAIN = prefix("2001:db8:4600::/56")


def last(bench: Bench) -> BindingAcknowledgement:
    message = bench.sent(BindingAcknowledgement)[-1].message
    assert isinstance(message, BindingAcknowledgement)
    return message


# --- 5.1: the authenticator -------------------------------------------------------------------------------------------


def test_5_1_the_code_is_the_first_96_bits_of_hmac_sha1() -> None:
    """Computed by hand: care-of address, home address, header with checksum 0 up to and including the SPI."""
    from hashlib import sha1

    message = signed(BindingUpdate(1, A | H, 40 * SECOND), ASSOCIATION, COA, HOA)
    octets = encode(message)
    covered = COA + HOA + octets[: octets.index(b"\x09\x11\x01\x00\x00\x03\xe8") + 7]
    inner = sha1(bytes(byte ^ 0x36 for byte in KEY.ljust(64, b"\0")) + covered).digest()
    code = sha1(bytes(byte ^ 0x5C for byte in KEY.ljust(64, b"\0")) + inner).digest()[:12]
    option = mn_ha_option(message)
    assert option is not None
    assert option.authenticator == code


def test_5_1_the_checksum_counts_as_zero() -> None:
    message = signed(BindingUpdate(1, A | H, 40 * SECOND), ASSOCIATION, COA, HOA)
    octets = bytearray(encode(message))
    octets[4:6] = b"\x12\x34"
    assert verified(decode(bytes(octets)), bytes(octets), ASSOCIATION, COA, HOA)


def test_5_1_what_others_write_in_another_way_is_verified_as_it_came() -> None:
    """Alignment and padding are the sender's: the octets count, not what our encoder would make of the options."""
    odd = BindingUpdate(1, A | H, 40 * SECOND, (PadN(b"\0\0\0"), UnknownOption(200, b"xyz")))
    message = signed(odd, ASSOCIATION, COA, HOA)
    octets = encode(message)
    assert verified(decode(octets), octets, ASSOCIATION, COA, HOA)


def test_5_1_every_flipped_bit_is_noticed() -> None:
    message = update(home_agent())
    octets = encode(message)
    option = mn_ha_option(message)
    assert option is not None
    end = octets.rindex(option.authenticator) + 12
    covered = [place for place in range(end) if place not in (4, 5)]
    for place in covered:
        for bit in range(8):
            flipped = bytearray(octets)
            flipped[place] ^= 1 << bit
            try:
                changed = decode(bytes(flipped))
            except ValueError:
                continue
            assert not verified(changed, bytes(flipped), ASSOCIATION, COA, HOA), (place, bit)


def test_5_1_another_care_of_or_home_address_is_noticed() -> None:
    message = update(home_agent())
    assert verified(message, b"", ASSOCIATION, COA, HOA)
    assert not verified(message, b"", ASSOCIATION, COA2, HOA)
    assert not verified(message, b"", ASSOCIATION, COA, COA2)


def test_5_1_octets_behind_the_header_do_not_matter() -> None:
    message = update(home_agent())
    assert verified(message, encode(message) + b"more", ASSOCIATION, COA, HOA)


def test_5_1_the_option_is_the_last_one_or_none() -> None:
    bench = home_agent()
    message = update(bench)
    message.options = (message.options[-1], *message.options[:-1])
    assert deliver(bench, message) is None
    assert bench.reported("update-discarded") == 1


# --- 5.1.1 ------------------------------------------------------------------------------------------------------------


def test_5_1_1_a_wrong_authenticator_gets_146_and_changes_nothing() -> None:
    bench = home_agent()
    assert ask(bench, association=replace(ASSOCIATION, key=b"not the right one")) == 146
    assert not bench.asked(EnsureTunnel)


def test_5_1_1_without_an_association_the_update_is_discarded() -> None:
    bench = home_agent(HomeNode(HOA))
    assert ask(bench) is None
    assert ask(home_agent(HomeNode(COA)), association=None) is None


def test_5_1_1_without_the_option_the_update_is_discarded() -> None:
    assert ask(home_agent(), association=None) is None


def test_5_1_1_the_answer_has_the_option_refusals_too() -> None:
    bench = home_agent()
    ask(bench)
    assert verified(last(bench), b"", ASSOCIATION, COA, HOA)
    ask(bench, ahead=60 * SECOND)
    assert last(bench).status == 144
    assert verified(last(bench), b"", ASSOCIATION, COA, HOA)


def test_4_the_identifier_is_that_of_the_association_and_comes_back() -> None:
    bench = home_agent()
    ask(bench)
    assert last(bench).first(MobileNodeIdentifier) == MobileNodeIdentifier(1, b"ann@example.net")
    assert ask(bench, association=replace(ASSOCIATION, identifier=b"\x01bob@example.net")) == 146


# --- 6 ----------------------------------------------------------------------------------------------------------------


def test_6_the_timestamp_comes_back_whole() -> None:
    bench = home_agent()
    ask(bench)
    sent = MobilityMessageReplayProtection.at(EPOCH + bench.now)
    assert last(bench).first(MobilityMessageReplayProtection) == sent


def test_6_without_a_timestamp_145() -> None:
    assert ask(home_agent(), timestamp=False) == 145


@pytest.mark.parametrize("ahead", [-8, 8])
def test_6_clocks_eight_seconds_apart_get_144_with_our_seconds_and_their_fraction(ahead: int) -> None:
    bench = home_agent(start=100 * SECOND)
    bench.now += SECOND // 3
    assert ask(bench, ahead=ahead * SECOND) == 144
    answer = last(bench).first(MobilityMessageReplayProtection)
    assert answer is not None
    ours = MobilityMessageReplayProtection.at(EPOCH + bench.now).timestamp
    theirs = MobilityMessageReplayProtection.at(EPOCH + bench.now + ahead * SECOND).timestamp
    assert answer.timestamp == ours >> 32 << 32 | theirs & 0xFFFFFFFF
    assert not bench.asked(EnsureTunnel)


def test_6_a_replay_gets_144() -> None:
    bench = home_agent()
    message = update(bench)
    answer = deliver(bench, message)
    assert answer is not None
    assert answer.status == 0
    bench.forget()
    answer = deliver(bench, message)
    assert answer is not None
    assert answer.status == 144
    assert not bench.asked(EnsureTunnel)


def test_6_a_replay_after_the_end_of_the_binding_gets_144() -> None:
    bench = home_agent()
    message = update(bench)
    deliver(bench, message)
    ask(bench, 2, lifetime=0)
    bench.tell(ClockStepped(EPOCH - 11 * SECOND))
    bench.run(11 * SECOND)  # now the clock shows again what it did then
    answer = deliver(bench, message)
    assert answer is not None
    assert answer.status == 144


def test_6_after_a_clock_was_set_back_nodes_are_told_the_time_that_is_accepted() -> None:
    bench = home_agent()
    ask(bench)
    bench.tell(ClockStepped(EPOCH - 3600 * SECOND))
    bench.run(SECOND)
    assert ask(bench, 2, ahead=-3600 * SECOND) == 144
    told = last(bench).first(MobilityMessageReplayProtection)
    assert told is not None
    assert ask(bench, 3, ahead=told.wall_clock - EPOCH - bench.now) == 0


def test_6_sequence_numbers_do_not_matter_where_timestamps_do() -> None:
    bench = home_agent()
    ask(bench, 100)
    assert ask(bench, 5, COA2) == 0


# --- RFC 5142 ---------------------------------------------------------------------------------------------------------


def test_rfc_5142_5_the_node_is_told_until_it_deregisters() -> None:
    bench = home_agent()
    ask(bench)
    bench.tell(Commanded("switch", {"to": "2001:db8:4000::2, 2001:db8:4000::3"}))
    (sent,) = bench.sent(HomeAgentSwitch)
    assert isinstance(sent.message, HomeAgentSwitch)
    assert sent.message.addresses == (address("2001:db8:4000::2"), address("2001:db8:4000::3"))
    assert (sent.destination, sent.routed_to) == (COA, HOA)
    assert verified(sent.message, b"", ASSOCIATION, COA, HOA)
    bench.run(16 * SECOND)
    assert len(bench.sent(HomeAgentSwitch)) == 3  # after 5 s and 10 s more
    ask(bench, 2, lifetime=0)
    bench.run(60 * SECOND)
    assert len(bench.sent(HomeAgentSwitch)) == 3


def test_rfc_5142_a_command_that_is_none_is_reported() -> None:
    bench = home_agent()
    bench.tell(Commanded("switch", {"to": "elsewhere"}))
    bench.tell(Commanded("prefix", {"prefix": "x"}))
    bench.tell(Commanded("dance", {}))
    assert bench.reported("command-malformed") == 2
    assert bench.reported("command-unknown") == 1


# --- RFC 3963 6 -------------------------------------------------------------------------------------------------------


def router(bench: Bench, sequence: int, *networks: object, flags: int = A | H | R, **more: object) -> int | None:
    options = tuple(MobileNetworkPrefix.of(network) for network in networks)  # type: ignore[arg-type]
    return ask(bench, sequence, association=None, flags=flags, options=options, **more)


def vehicle(*networks: object, **settings: object) -> Bench:
    return home_agent(HomeNode(HOA, prefixes=networks), **settings)  # type: ignore[arg-type]


def test_rfc_3963_6_2_explicit_prefixes_go_through_the_tunnel() -> None:
    bench = vehicle(BUS, TRAIN)
    assert router(bench, 1, BUS) == 0
    assert last(bench).flags == 0x40
    assert [effect.prefix for effect in bench.asked(EnsurePrefix)][1:] == [BUS]
    assert router(bench, 2, TRAIN) == 0
    assert bench.asked(WithdrawPrefix) == [WithdrawPrefix(BUS)]


def test_rfc_3963_6_2_implicit_prefixes_are_those_of_the_configuration() -> None:
    bench = vehicle(BUS, TRAIN)
    assert router(bench, 1) == 0
    assert [effect.prefix for effect in bench.asked(EnsurePrefix)][1:] == [BUS, TRAIN]


def test_rfc_3963_6_2_refusals() -> None:
    assert router(vehicle(BUS), 1, TRAIN) == 142  # that of somebody else
    assert router(vehicle(BUS), 1, prefix("::/0")) == 141
    assert router(vehicle(BUS), 1, prefix("2001:db8::/32")) == 141  # we are in there
    assert router(vehicle(), 1) == 143
    assert router(vehicle(BUS, mobile_routers=False), 1, BUS) == 140
    assert router(vehicle(BUS), 1, BUS, flags=A | R) == 140


def test_rfc_3963_6_2_the_flag_r_of_a_binding_does_not_change_but_its_end_may_be_without() -> None:
    bench = vehicle(BUS)
    router(bench, 1, BUS)
    assert router(bench, 2, flags=A | H) == 139
    assert router(bench, 3, flags=A | H, lifetime=0) == 0
    assert {effect.prefix for effect in bench.asked(WithdrawPrefix)} >= {BUS}


def test_the_proxy_flag_is_for_another_role() -> None:
    assert ask(home_agent(), flags=A | H | int(BindingUpdateFlags.P)) == 152


def test_messages_that_a_home_agent_does_not_know_change_nothing() -> None:
    bench = home_agent()
    bench.tell(MessageReceived(BindingAcknowledgement(0, 0, 1, 0), COA, HA))
    assert bench.reported("message-unexpected") == 1
