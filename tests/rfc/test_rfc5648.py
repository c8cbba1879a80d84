"""RFC 5648: several care-of addresses at a time, at a home agent and with a mobile node that has two links."""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureTunnel, StoreBinding
from sojourn.core.mobile_effects import EnsureTunnelEnd, WithdrawTunnelEnd
from sojourn.engines.ha import HomeAgent
from sojourn.wire import AlternateCareOfAddress, BindingAcknowledgement, BindingUpdate, MobilityOption
from sojourn.wire.addresses import address
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.units import MINUTE, SECOND
from support.mip6 import Roaming
from support.mip6_messages import COA, COA2, HA, HOA, A, Bench, H, ask, home_agent
from support.mip6_watch import updates

O = 0x0040  # noqa: E741
COA3 = address("2001:db8:300::5")


def bid(number: int, care_of: bytes = b"", priority: int = 0, home: bool = False) -> BindingIdentifier:
    return BindingIdentifier(number, home=home, priority=priority, care_of=care_of)


def several(bench: Bench, sequence: int, *options: MobilityOption, flags: int = A | H, **more: object) -> int | None:
    return ask(bench, sequence, flags=flags, options=options, **more)


def answered(bench: Bench) -> dict[int, int]:
    """The status of each BID in the latest acknowledgement."""
    message = bench.sent(BindingAcknowledgement)[-1].message
    return {option.identifier: option.status for option in message.all(BindingIdentifier)}


def two(bench: Bench) -> None:
    assert several(bench, 1, bid(1, COA, 2), bid(2, COA2, 1), flags=A | H | O) == 0


def test_6_2_bulk_registration_sends_to_the_best_and_takes_from_all() -> None:
    bench = home_agent()
    two(bench)
    assert [effect.remote for effect in bench.asked(EnsureTunnel)] == [COA2]
    assert {effect.remote for effect in bench.asked(EnsureTunnelEnd)} == {COA, COA2}
    assert answered(bench) == {1: 0, 2: 0}


def test_6_2_one_more_binding_leaves_the_others() -> None:
    bench = home_agent()
    several(bench, 1, bid(1))
    assert several(bench, 2, bid(2), care_of=COA2) == 0
    assert {effect.remote for effect in bench.asked(EnsureTunnelEnd)} == {COA, COA2}
    assert [effect.remote for effect in bench.asked(EnsureTunnel)] == [COA]


def test_6_2_the_same_identifier_with_another_address_is_updated() -> None:
    bench = home_agent()
    several(bench, 1, bid(1))
    assert several(bench, 2, bid(1), care_of=COA2) == 0
    assert bench.asked(EnsureTunnel)[-1].remote == COA2
    assert bench.asked(WithdrawTunnelEnd)[-1].remote == COA


def test_6_2_the_overwrite_flag_replaces_all() -> None:
    bench = home_agent()
    two(bench)
    assert several(bench, 2, bid(7, COA3), flags=A | H | O) == 0
    assert {effect.remote for effect in bench.asked(WithdrawTunnelEnd)} == {COA, COA2}


def test_6_2_an_update_without_identifier_replaces_all() -> None:
    bench = home_agent()
    two(bench)
    assert several(bench, 2, care_of=COA3) == 0
    assert bench.asked(EnsureTunnel)[-1].remote == COA3
    assert {effect.remote for effect in bench.asked(WithdrawTunnelEnd)} == {COA, COA2}


def test_6_2_with_a_plain_binding_165_unless_it_is_overwritten() -> None:
    bench = home_agent()
    several(bench, 1)
    assert several(bench, 2, bid(1, COA2)) == 165
    assert several(bench, 3, bid(1, COA2), flags=A | H | O) == 0


def test_6_2_deregistration_of_one_and_of_all() -> None:
    bench = home_agent()
    two(bench)
    assert several(bench, 2, bid(2), lifetime=0) == 0
    assert bench.asked(EnsureTunnel)[-1].remote == COA
    assert bench.asked(WithdrawTunnelEnd)[-1].remote == COA2
    assert several(bench, 3, bid(9), lifetime=0) == 133
    assert bench.engine.show("bindings", bench.now)[0]["state"] == "active"
    assert several(bench, 4, bid(1), lifetime=0) == 0
    assert bench.engine.show("bindings", bench.now)[0]["state"] == "deleted"


def test_6_2_without_identifiers_all_are_deregistered() -> None:
    bench = home_agent()
    two(bench)
    assert several(bench, 2, lifetime=0) == 0
    assert bench.engine.show("bindings", bench.now)[0]["state"] == "deleted"
    assert {effect.remote for effect in bench.asked(WithdrawTunnelEnd)} == {COA, COA2}


def test_6_2_what_is_wrong_with_one_of_several_is_told_in_its_option() -> None:
    bench = home_agent()
    assert several(bench, 1, bid(1, COA), bid(2), bid(3, address("ff02::1"))) == 4
    assert answered(bench) == {1: 0, 2: 167, 3: 164}


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ([bid(1, address("::1"))], 164),
        ([bid(0, COA)], 164),
        ([bid(1, COA, home=True)], 164),
        ([bid(1), bid(2)], 167),
        ([bid(1, HA)], 174),
        ([bid(number, COA[:14] + number.to_bytes(2, "big")) for number in range(1, 10)], 130),
    ],
)
def test_6_2_refusals_come_with_the_options(options: list[BindingIdentifier], status: int) -> None:
    bench = home_agent()
    assert several(bench, 1, *options) == status
    assert set(answered(bench)) == {option.identifier for option in options}
    assert not bench.asked(EnsureTunnel)


def test_6_2_where_it_is_not_wanted_166() -> None:
    assert several(home_agent(several=False), 1, bid(1, COA)) == 166


def test_all_of_them_survive_a_restart() -> None:
    bench = home_agent()
    two(bench)
    stored = bench.asked(StoreBinding)[-1]
    engine = bench.engine
    assert isinstance(engine, HomeAgent)
    effects = HomeAgent(engine.configuration, 0, b"another seed of a life").restore([(stored.key, stored.record)], 5)
    ends = {effect.remote for effect in effects if isinstance(effect, EnsureTunnelEnd)}
    assert ends == {COA, COA2}


# --- the mobile node --------------------------------------------------------------------------------------------------


def both(**settings: object) -> Roaming:
    net = Roaming(several=True, **settings)  # type: ignore[arg-type]
    net.attach("f1", "wlan0")
    net.attach("f2", "lte0")
    return net


def test_5_3_all_links_are_registered_at_once_the_preferred_first() -> None:
    net = both()
    message = updates(net)[-1].message
    assert isinstance(message, BindingUpdate)
    assert message.flags & O
    assert [option.care_of for option in message.all(BindingIdentifier)] == [COA, COA2]
    assert not message.all(AlternateCareOfAddress)
    assert net.bound() == COA
    assert {way.care_of for way in net.ha.cache[HOA].ways.values()} == {COA, COA2}


def test_5_4_a_link_that_goes_is_left_out_and_packets_leave_by_the_other_at_once() -> None:
    net = both()
    net.detach("wlan0")
    assert net.host.tunnels[HOA] == (COA2, HA)
    net.run(1 * SECOND)
    assert net.bound() == COA2
    assert list(net.ha.cache[HOA].ways) == [2]  # the number of the link, whichever others there are
    assert net.uplink() == "tunnel"


def test_5_7_at_home_all_bindings_end() -> None:
    net = both()
    net.roam("home", "wlan0")
    assert net.bound() is None
    assert net.to_home() == net.from_home() == "home"


def test_5_8_a_home_agent_that_does_not_want_several_gets_one() -> None:
    net = both(ha={"several": False})
    assert net.bound() == COA
    net.run(10 * MINUTE)
    assert net.bound() == COA
    assert net.uplink() == "tunnel"
