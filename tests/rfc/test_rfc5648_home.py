"""RFC 5648 5.6 and 6.3: on the home link and abroad at the same time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_rfc5648 import O, answered, bid, both, several
from test_rfc6089 import TCP, UDP, fid

from sojourn.core.effects import EnsureDelivery, EnsureTunnel
from sojourn.core.mobile_effects import (
    EnsureFlows,
    EnsureHomeAddress,
    EnsureProxyNeighbour,
    EnsureReverseFlows,
    EnsureReverseTunnel,
    EnsureTunnelEnd,
    WithdrawProxyNeighbour,
    WithdrawReverseTunnel,
)
from sojourn.engines.ha_entry import BindingCacheEntry
from sojourn.engines.mip6_configuration import FlowPolicy
from sojourn.engines.mn_state import Place
from sojourn.wire import BindingAcknowledgement, BindingRefreshRequest, BindingUpdate
from sojourn.wire.extensions.rfc5568 import LinkLayerCode, MobilityHeaderLinkLayerAddress
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.units import MINUTE, SECOND
from support.mip6 import MN_LINK_LAYER, Roaming
from support.mip6_messages import COA, COA2, HOA, A, Bench, H, ask, home_agent
from support.mip6_watch import updates

HERE = MobilityHeaderLinkLayerAddress(LinkLayerCode.MN, MN_LINK_LAYER)
HOME = bid(1, HOA, 1, home=True)
GROUP = MobilityHeaderLinkLayerAddress(LinkLayerCode.MN, b"\x33\x33\x00\x00\x00\x01")


def together(bench: Bench, sequence: int = 1, home: BindingIdentifier = HOME, **more: object) -> int | None:
    """At home, and at COA2."""
    return several(bench, sequence, home, bid(2, COA2, 2), HERE, flags=A | H | O, care_of=COA2, **more)


def defends(bench: Bench) -> bool:
    """Whether the home agent answers for the home address on the home link."""
    said = [effect for effect in bench.effects if isinstance(effect, EnsureProxyNeighbour | WithdrawProxyNeighbour)]
    return isinstance(said[-1], EnsureProxyNeighbour)


# --- the home agent ---------------------------------------------------------------------------------------------------


def test_6_3_packets_go_to_the_link_layer_address_and_the_home_agent_answers_for_the_home_address() -> None:
    bench = home_agent()
    assert together(bench) == 5
    assert answered(bench) == {1: 5, 2: 0}
    assert bench.asked(EnsureDelivery)[-1] == EnsureDelivery(1, "home0", MN_LINK_LAYER)
    assert not bench.asked(EnsureTunnel)
    assert {end.remote for end in bench.asked(EnsureTunnelEnd)} == {COA2}
    assert defends(bench)


def test_5_6_2_the_better_one_gets_the_packets() -> None:
    bench = home_agent()
    assert together(bench, home=bid(1, HOA, 3, home=True)) == 5
    assert bench.asked(EnsureTunnel)[-1].remote == COA2
    assert together(bench, 2) == 5
    assert bench.asked(EnsureDelivery)[-1] == EnsureDelivery(1, "home0", MN_LINK_LAYER)


def test_5_6_5_without_the_flag_nothing_goes_to_the_home_link_any_more() -> None:
    bench = home_agent()
    together(bench)
    assert several(bench, 2, bid(2), care_of=COA2) == 0
    assert bench.asked(EnsureTunnel)[-1].remote == COA2
    assert bench.asked(EnsureTunnel)[-1].slot == 1
    assert defends(bench)


def test_5_4_the_home_binding_ends_by_its_identifier_and_with_the_last_one_abroad() -> None:
    bench = home_agent()
    together(bench)
    assert several(bench, 2, bid(1), lifetime=0, care_of=COA2) == 0
    assert bench.asked(EnsureTunnel)[-1].remote == COA2
    together(bench, 3)
    assert several(bench, 4, bid(2), lifetime=0, care_of=COA2) == 0
    assert bench.asked(WithdrawProxyNeighbour)
    assert not [row for row in bench.engine.show("bindings", bench.now) if row["state"] == "active"]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ((HOME, bid(2, COA2, 2)), 169),  # nobody knows where it is on the link
        ((HOME, HERE), 169),
        ((HOME, bid(2, COA2, 2), GROUP), 169),  # the home agent would flood the link
        ((bid(1, COA, 1, home=True), HERE), 164),
        ((bid(1, HOA, 1), HERE), 164),
        ((bid(1, home=True), HERE), 167),
    ],
)
def test_6_2_what_no_home_binding_can_be_is_refused(options: tuple[BindingIdentifier, ...], status: int) -> None:
    assert several(home_agent(), 1, *options, flags=A | H | O, care_of=COA2) == status


@pytest.mark.parametrize("settings", [{"home_too": False}, {"interface": ""}])
def test_6_2_a_home_agent_that_does_not_want_that_says_169(settings: dict[str, object]) -> None:
    assert together(home_agent(**settings)) == 169


def test_5_6_3_there_is_one_home_binding_at_a_time() -> None:
    bench = home_agent()
    together(bench)
    assert several(bench, 2, bid(3, HOA, 1, home=True), HERE, care_of=COA2) == 5
    assert bench.engine.show("bindings", bench.now)[0]["ways"] == ["2 2001:db8:200::5", "3 2001:db8:4000::5"]


def test_a_refresh_is_asked_for_abroad() -> None:
    bench = home_agent()
    together(bench)
    bench.run(50 * MINUTE)
    assert {sent.destination for sent in bench.sent(BindingRefreshRequest)} <= {COA2}


def test_flows_go_to_the_home_link_while_it_is_the_best() -> None:
    """Else nothing says where the node is there."""
    bench = home_agent()
    flows = fid(1, TCP, 1), fid(2, UDP, 2)
    together(bench)
    assert several(bench, 2, HOME, bid(2, COA2, 2), HERE, *flows, flags=A | H | O, care_of=COA2) == 5
    assert [flow.care_of_address for flow in bench.asked(EnsureFlows)[-1].flows] == [HOA, COA2]
    second = bid(1, HOA, 3, home=True)
    assert several(bench, 3, second, bid(2, COA2, 2), HERE, *flows, flags=A | H | O, care_of=COA2) == 5
    assert [flow.care_of_address for flow in bench.asked(EnsureFlows)[-1].flows] == [COA2]


def test_a_restart_knows_where_it_is() -> None:
    bench = home_agent()
    together(bench)
    entry = bench.engine.cache[HOA]  # type: ignore[attr-defined]
    again = BindingCacheEntry.restored(HOA, entry.record(), entry.node, bench.now)
    assert (again.ways, again.link_layer, again.at_home_first) == (entry.ways, MN_LINK_LAYER, True)


def test_5_5_an_ordinary_update_ends_the_home_binding_too() -> None:
    bench = home_agent()
    together(bench)
    assert ask(bench, 2, care_of=COA) == 0
    assert bench.asked(EnsureTunnel)[-1].remote == COA


# --- the mobile node --------------------------------------------------------------------------------------------------


def at_both(**settings: object) -> Roaming:
    """At home with Wi-Fi, and abroad with LTE."""
    net = Roaming(several=True, home_too=True, **settings)
    net.attach("home", "wlan0")
    assert net.entry.place is Place.HOME
    net.attach("f2", "lte0", settle=5 * SECOND)
    return net


def test_5_6_3_the_home_binding_is_registered_in_bulk_with_the_link_layer_address() -> None:
    net = at_both()
    message = updates(net)[-1].message
    assert isinstance(message, BindingUpdate)
    named = [(option.identifier, option.home, option.care_of) for option in message.all(BindingIdentifier)]
    assert named == [(1, True, HOA), (2, False, COA2)]
    assert message.first(MobilityHeaderLinkLayerAddress) == HERE
    assert net.sent(BindingAcknowledgement)[-1].message.status == 5  # type: ignore[attr-defined]
    assert net.to_home() == net.from_home() == "home"


def test_5_6_3_it_stops_to_answer_for_its_home_address_before_the_home_agent_begins() -> None:
    """Packets go on meanwhile: the routers of the link know where it is."""
    net = Roaming(several=True, home_too=True)
    net.attach("home", "wlan0")
    net.clear()
    net.attach("f2", "lte0", settle=0)
    net.run(30 * SECOND // 1000)
    order = [type(effect) for _, who, effect in net.effects if who == "mn"]
    assert order.index(EnsureReverseFlows) < order.index(WithdrawReverseTunnel)
    assert net.asked(EnsureHomeAddress, "mn")[-1] == EnsureHomeAddress(HOA, "", preferred=True)
    assert net.from_home() == "home"
    net.run(5 * SECOND)
    assert net.bound() == COA2


def test_5_6_5_leaving_the_home_link_is_one_update() -> None:
    net = at_both()
    net.clear()
    net.detach("wlan0")
    assert net.asked(EnsureReverseTunnel, "mn")[-1].care_of_address == COA2  # type: ignore[attr-defined]
    (sent,) = updates(net)
    assert [option.home for option in sent.message.all(BindingIdentifier)] == [False]
    net.run(SECOND)
    assert net.to_home() == net.from_home() == "tunnel"


def test_5_5_1_without_a_foreign_link_it_is_at_home_as_ever() -> None:
    net = at_both()
    net.detach("lte0")
    net.run(5 * SECOND)
    assert net.entry.place is Place.HOME
    assert net.bound() is None
    assert net.to_home() == net.from_home() == "home"
    assert net.host.addresses[HOA] == "wlan0"


def test_5_6_coming_home_with_one_of_two_links() -> None:
    net = both(home_too=True)
    net.roam("home", "wlan0", settle=3 * SECOND)
    assert net.entry.place is Place.AWAY
    assert net.to_home() == net.from_home() == "home"
    net.roam("f1", "wlan0", settle=3 * SECOND)
    assert net.to_home() == net.from_home() == "tunnel"
    assert net.bound() == COA


def test_the_other_order_of_preference() -> None:
    net = at_both()
    net.command("avoid", interface="wlan0")
    net.run(SECOND)
    assert net.to_home() == net.from_home() == "tunnel"
    net.command("use", interface="wlan0")
    net.run(SECOND)
    assert net.to_home() == net.from_home() == "home"


def test_5_7_a_home_agent_that_refuses_it_gets_an_ordinary_return() -> None:
    net = at_both(ha={"home_too": False})
    assert net.entry.place is Place.HOME
    assert net.to_home() == net.from_home() == "home"
    assert net.bound() is None
    assert len(updates(net)) < 6


def test_correspondent_nodes_send_to_the_home_address_while_the_home_link_is_the_best() -> None:
    net = both(home_too=True)
    net.downlink()
    net.run(SECOND)
    assert net.downlink() == net.uplink() == "direct"
    net.roam("home", "wlan0", settle=3 * SECOND)
    assert net.routes == {}
    assert net.downlink() == net.uplink() == "home"
    net.roam("f1", "wlan0", settle=3 * SECOND)
    net.downlink()
    net.run(2 * SECOND)
    assert net.downlink() == net.uplink() == "direct"


def test_flows_leave_by_the_home_link_and_by_the_other_one() -> None:
    net = at_both(flows=(FlowPolicy(TCP, ("wlan0",)), FlowPolicy(replace(UDP), ("lte0",))))
    effect = net.asked(EnsureReverseFlows, "mn")[-1]
    assert isinstance(effect, EnsureReverseFlows)
    assert [(flow.selector, flow.care_of_address) for flow in effect.flows] == [(TCP, HOA), (UDP, COA2)]
    assert [flow.care_of_address for flow in net.ha.cache[HOA].steered] == [HOA, COA2]


def test_it_goes_on_like_that_for_ever() -> None:
    net = at_both()
    for _ in range(20):
        net.run(MINUTE)
        assert net.to_home() == net.from_home() == "home"
