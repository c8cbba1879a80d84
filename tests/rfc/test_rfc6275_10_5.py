"""RFC 6275 10.1, 10.5 and 10.6: the home agents of a link, and what nodes abroad are told of its prefixes."""

from __future__ import annotations

import pytest

from sojourn.core.events import Commanded
from sojourn.engines.mip6_configuration import PREFIX_ADV_TIMEOUT
from sojourn.wire.addresses import address
from sojourn.wire.extensions.rfc6275_discovery import (
    HomeAgentAddressDiscoveryReply,
    HomeAgentAddressDiscoveryRequest,
    HomeAgentInformation,
    MobilePrefixAdvertisement,
    MobilePrefixSolicitation,
)
from sojourn.wire.icmpv6 import PrefixInformation, RouterAdvertisement
from sojourn.wire.units import HOUR, MILLISECOND, SECOND
from support.mip6_messages import COA, COA2, HA, HOA, HOME_LINK, Bench, ask, heard, home_agent


def advertisement(*addresses: str, preference: int = 0, lifetime: int = 1800, flags: int = 0x20) -> RouterAdvertisement:
    options = [HomeAgentInformation(preference & 0xFFFF, lifetime * SECOND)]
    prefixes = [PrefixInformation(64, 0xE0, HOUR, HOUR, address(known)) for known in addresses]
    return RouterAdvertisement(64, flags, 1800 * SECOND, options=(*options, *prefixes))


def discovered(bench: Bench) -> tuple[bytes, ...]:
    heard(bench, HomeAgentAddressDiscoveryRequest(7), COA)
    sent = bench.icmp(HomeAgentAddressDiscoveryReply)[-1]
    assert isinstance(sent.message, HomeAgentAddressDiscoveryReply)
    assert (sent.source, sent.destination, sent.message.identifier) == (HA, COA, 7)
    return sent.message.addresses


def test_10_5_1_the_reply_lists_all_home_agents_the_preferred_first() -> None:
    bench = home_agent(preference=5)
    heard(bench, advertisement("2001:db8:4000::b", preference=9), address("fe80::b"))
    heard(bench, advertisement("2001:db8:4000::c", preference=-1), address("fe80::c"))
    assert discovered(bench) == (address("2001:db8:4000::b"), HA, address("2001:db8:4000::c"))


def test_10_5_1_equal_ones_come_in_an_order_that_varies() -> None:
    bench = home_agent()
    heard(bench, advertisement("2001:db8:4000::b"), address("fe80::b"))
    assert {discovered(bench) for _ in range(20)} == {
        (HA, address("2001:db8:4000::b")),
        (address("2001:db8:4000::b"), HA),
    }


@pytest.mark.parametrize("change", [{"lifetime": 0}, {"flags": 0}])
def test_10_5_1_who_says_that_it_is_none_any_more_is_dropped(change: dict[str, int]) -> None:
    bench = home_agent()
    heard(bench, advertisement("2001:db8:4000::b"), address("fe80::b"))
    heard(bench, advertisement("2001:db8:4000::b", **change), address("fe80::b"))
    assert discovered(bench) == (HA,)


def test_10_5_1_an_entry_ends_with_its_lifetime() -> None:
    bench = home_agent()
    heard(bench, advertisement("2001:db8:4000::b", lifetime=10), address("fe80::b"))
    assert len(discovered(bench)) == 2
    bench.run(10 * SECOND)
    assert discovered(bench) == (HA,)


def test_10_1_an_address_ends_with_its_prefix() -> None:
    bench = home_agent()
    lives = {"2001:db8:4000::b": 20 * SECOND, "2001:db8:4000::c": HOUR}
    prefixes = [PrefixInformation(64, 0xE0, life, life, address(known)) for known, life in lives.items()]
    message = RouterAdvertisement(64, 0x20, HOUR, options=(HomeAgentInformation(0, HOUR), *prefixes))
    heard(bench, message, address("fe80::b"))
    assert len(discovered(bench)) == 3
    bench.run(21 * SECOND)
    assert set(discovered(bench)) == {HA, address("2001:db8:4000::c")}


def test_10_5_1_the_reply_fits_into_the_least_mtu() -> None:
    bench = home_agent()
    for number in range(1, 4):
        many = [f"2001:db8:4000::{number}:{last:x}" for last in range(1, 65)]
        heard(bench, advertisement(*many), address(f"fe80::{number}:1"))
    assert len(discovered(bench)) == (1280 - 48) // 16


def test_10_5_1_advertisements_of_other_links_do_not_count() -> None:
    bench = home_agent()
    heard(bench, advertisement("2001:db8:4000::b"), address("fe80::b"), interface="core0")
    assert discovered(bench) == (HA,)


def test_10_6_2_a_solicitation_is_answered_at_once_to_its_source() -> None:
    bench = home_agent()
    ask(bench)
    heard(bench, MobilePrefixSolicitation(99), COA, home_address=HOA)
    (sent,) = bench.icmp(MobilePrefixAdvertisement)
    assert isinstance(sent.message, MobilePrefixAdvertisement)
    assert (sent.destination, sent.routed_to, sent.message.identifier) == (COA, HOA, 99)
    (option,) = sent.message.options
    assert isinstance(option, PrefixInformation)
    assert (option.prefix, option.valid, option.preferred) == (HOME_LINK, 24 * HOUR, 12 * HOUR)


def test_10_6_2_who_has_no_binding_gets_no_answer() -> None:
    bench = home_agent()
    heard(bench, MobilePrefixSolicitation(99), COA, home_address=HOA)
    ask(bench)
    heard(bench, MobilePrefixSolicitation(99), COA2, home_address=HOA)
    assert not bench.icmp(MobilePrefixAdvertisement)


def test_10_6_2_a_change_is_told_later_and_repeated_until_somebody_solicits() -> None:
    bench = home_agent(lifetime_max=24 * HOUR, min_mobile_prefix_interval=60 * SECOND)
    ask(bench, lifetime=20 * HOUR)
    bench.tell(Commanded("prefix", {"prefix": str(HOME_LINK), "preferred": "7200", "valid": "80000"}))
    bench.run(59 * SECOND)
    assert not bench.icmp(MobilePrefixAdvertisement)
    bench.run(3 * HOUR)
    assert len(bench.icmp(MobilePrefixAdvertisement)) == 4  # and PREFIX_ADV_RETRIES
    assert bench.icmp(MobilePrefixAdvertisement)[0].destination == HOA


def test_10_6_2_the_pauses_between_repetitions_double() -> None:
    bench = home_agent(lifetime_max=24 * HOUR)
    ask(bench, lifetime=20 * HOUR)
    bench.tell(Commanded("prefix", {"prefix": str(HOME_LINK), "preferred": "7200", "valid": "80000"}))
    while not bench.icmp(MobilePrefixAdvertisement):
        bench.run(100 * MILLISECOND)
    for pause in (PREFIX_ADV_TIMEOUT, 2 * PREFIX_ADV_TIMEOUT, 4 * PREFIX_ADV_TIMEOUT):
        sent = len(bench.icmp(MobilePrefixAdvertisement))
        bench.run(pause - 200 * MILLISECOND)
        assert len(bench.icmp(MobilePrefixAdvertisement)) == sent
        bench.run(200 * MILLISECOND)
        assert len(bench.icmp(MobilePrefixAdvertisement)) == sent + 1


@pytest.mark.parametrize("told", [False, True])
def test_10_6_2_who_has_no_binding_any_more_is_told_nothing(told: bool) -> None:
    bench = home_agent(lifetime_max=24 * HOUR, min_mobile_prefix_interval=60 * SECOND)
    ask(bench, lifetime=20 * HOUR)
    bench.tell(Commanded("prefix", {"prefix": str(HOME_LINK), "preferred": "7200", "valid": "80000"}))
    while told and not bench.icmp(MobilePrefixAdvertisement):
        bench.run(1 * SECOND)
    ask(bench, 2, lifetime=0)
    bench.run(12 * HOUR)
    assert len(bench.icmp(MobilePrefixAdvertisement)) == told
