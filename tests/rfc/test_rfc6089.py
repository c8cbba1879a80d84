"""RFC 6089: flow bindings, at a home agent and with a mobile node that has two links; selectors of RFC 6088."""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureTunnel, SendMessage, StoreBinding
from sojourn.core.mobile_effects import EnsureFlows, EnsureReverseFlows, EnsureReverseTunnel, EnsureTunnelEnd
from sojourn.engines.ha import HomeAgent
from sojourn.engines.ha_flows import FLOWS_MAX
from sojourn.engines.mip6_configuration import FlowPolicy
from sojourn.engines.mn_flows import divided
from sojourn.wire import BindingAcknowledgement, BindingUpdate, MobilityOption
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.extensions.rfc6088 import Ipv4TrafficSelector, Ipv6TrafficSelector
from sojourn.wire.extensions.rfc6088 import TrafficSelector as Selector
from sojourn.wire.extensions.rfc6089 import BidReference, FlowIdentification, FlowSummary, TrafficSelector
from sojourn.wire.units import MINUTE, SECOND
from support.mip6 import Roaming
from support.mip6_messages import COA, COA2, HOA, A, Bench, H, ask, home_agent
from support.mip6_watch import updates

O = 0x0040  # noqa: E741
TCP = Ipv6TrafficSelector(next_header=(6, None))
UDP = Ipv6TrafficSelector(next_header=(17, None))
VIDEO = Ipv6TrafficSelector(next_header=(17, None), source_port=(5004, 5005), traffic_class=(0x88, None))
BOTH = (BindingIdentifier(1, priority=1, care_of=COA), BindingIdentifier(2, priority=2, care_of=COA2))


def fid(number: int, selector: Selector | None, *links: int, priority: int = 0) -> FlowIdentification:
    parts: list[BidReference | TrafficSelector] = [BidReference(links)] if links else []
    if selector is not None:
        parts.append(TrafficSelector.of(selector))
    return FlowIdentification(number, priority or number, sub_options=tuple(parts))


def told(bench: Bench, sequence: int, *options: MobilityOption, flags: int = A | H | O, **more: object) -> None:
    """An update with both links and these options is accepted."""
    ways = () if more.get("lifetime") == 0 else BOTH
    assert ask(bench, sequence, flags=flags, options=(*ways, *options), **more) == 0


def answered(bench: Bench) -> dict[int, int]:
    """The status of each flow in the latest acknowledgement."""
    message = bench.sent(BindingAcknowledgement)[-1].message
    return {option.identifier: option.status for option in message.all(FlowIdentification)}


def steered(bench: Bench) -> list[tuple[Ipv6TrafficSelector, bytes]]:
    return [(flow.selector, flow.care_of_address) for flow in bench.asked(EnsureFlows)[-1].flows]


# --- the home agent ---------------------------------------------------------------------------------------------------


def test_5_3_2_1_a_new_flow_goes_to_its_binding_behind_the_tunnels_and_before_the_acknowledgement() -> None:
    bench = home_agent()
    told(bench, 1, fid(7, TCP, 2))
    assert answered(bench) == {7: 0}
    assert steered(bench) == [(TCP, COA2)]
    order = [type(effect) for effect in bench.effects]
    assert order.index(EnsureTunnelEnd) < order.index(EnsureFlows) < order.index(SendMessage)
    assert bench.asked(EnsureTunnel)[-1].remote == COA  # packets of no flow: 5.1.1


def test_4_3_flows_are_in_the_order_of_their_priority() -> None:
    bench = home_agent()
    told(bench, 1, fid(1, UDP, 1, priority=30), fid(2, VIDEO, 2, priority=10), fid(3, TCP, 1, priority=20))
    assert [selector for selector, _ in steered(bench)] == [VIDEO, TCP, UDP]


@pytest.mark.parametrize(
    ("option", "status"),
    [
        (fid(1, None, 1), 130),
        (fid(1, TCP), 130),
        (fid(1, TCP, 9), 131),
        (fid(1, TCP, 1, 9), 131),
        (fid(1, TCP, 1, 2), 128),
        (fid(1, Ipv4TrafficSelector(protocol=(6, None)), 1), 133),
        (FlowIdentification(1, 1, sub_options=(BidReference((1,)), TrafficSelector(9, octets=b"12345678"))), 133),
        (FlowIdentification(1, 1, sub_options=(BidReference((1,)), TrafficSelector(2, octets=b"\xff" * 6))), 130),
        (FlowIdentification(1, 1, sub_options=(BidReference((1,)), *fid(1, TCP, 1).sub_options)), 130),
        (fid(1, Ipv6TrafficSelector(source_port=(9, 8)), 1), 130),
        (fid(1, Ipv6TrafficSelector(flow_label=(1 << 20, None)), 1), 130),
    ],
)
def test_5_3_2_1_what_cannot_be_bound_is_refused_and_the_registration_is_not(
    option: FlowIdentification, status: int
) -> None:
    bench = home_agent()
    told(bench, 1, option)
    assert answered(bench) == {1: status}
    assert not bench.asked(EnsureFlows)


def test_5_3_2_the_same_number_twice_refuses_both() -> None:
    bench = home_agent()
    told(bench, 1, fid(1, TCP, 1), fid(1, UDP, 2), fid(2, UDP, 2))
    assert answered(bench) == {1: 130, 2: 0}
    assert steered(bench) == [(UDP, COA2)]


def test_5_3_2_2_an_update_changes_what_it_says_and_leaves_the_rest() -> None:
    bench = home_agent()
    told(bench, 1, fid(1, TCP, 1), fid(2, UDP, 1))
    told(bench, 2, fid(1, None, 2, priority=50), FlowSummary((2,)))
    assert steered(bench) == [(UDP, COA), (TCP, COA2)]
    told(bench, 3, fid(1, VIDEO, priority=1), FlowSummary((2,)))
    assert steered(bench) == [(VIDEO, COA2), (UDP, COA)]


def test_5_3_2_2_a_refused_update_leaves_it_as_it_was() -> None:
    bench = home_agent()
    told(bench, 1, fid(1, TCP, 2))
    told(bench, 2, fid(1, UDP, 9))
    assert answered(bench) == {1: 131}
    assert steered(bench) == [(TCP, COA2)]


def test_5_3_3_a_summary_refreshes_and_what_is_not_found_is_told_once() -> None:
    bench = home_agent()
    told(bench, 1, fid(1, TCP, 2))
    bench.forget()
    told(bench, 2, FlowSummary((1, 8, 8)), FlowSummary((8,)))
    assert answered(bench) == {8: 132}
    assert not bench.asked(EnsureFlows)


def test_5_3_4_what_is_not_named_is_removed() -> None:
    bench = home_agent()
    told(bench, 1, fid(1, TCP, 2), fid(2, UDP, 2))
    told(bench, 2, FlowSummary((2,)))
    assert steered(bench) == [(UDP, COA2)]
    told(bench, 3)
    assert steered(bench) == []


def test_5_3_1_a_flow_without_its_binding_is_inactive_and_active_again_with_it() -> None:
    bench = home_agent()
    told(bench, 1, fid(1, TCP, 2))
    one = BindingIdentifier(1, priority=1, care_of=COA)
    assert ask(bench, 2, flags=A | H | O, options=(one, FlowSummary((1,)))) == 0
    assert steered(bench) == []
    told(bench, 3, FlowSummary((1,)))
    assert steered(bench) == [(TCP, COA2)]


def test_5_3_1_a_flow_follows_the_new_address_of_its_binding() -> None:
    bench = home_agent()
    told(bench, 1, fid(1, TCP, 2))
    moved = BindingIdentifier(2, priority=2, care_of=COA2[:15] + b"\x77")
    assert ask(bench, 2, flags=A | H, options=(moved, FlowSummary((1,)))) == 0
    assert steered(bench) == [(TCP, moved.care_of)]


def test_5_3_3_one_binding_deregistered_keeps_the_flows_of_the_summary() -> None:
    bench = home_agent()
    told(bench, 1, fid(1, TCP, 2), fid(2, UDP, 1), fid(3, VIDEO, 1))
    told(bench, 2, BindingIdentifier(1), FlowSummary((1, 2)), lifetime=0, flags=A | H)
    assert steered(bench) == [(TCP, COA2)]
    told(bench, 3, FlowSummary((1, 2)))
    assert steered(bench) == [(TCP, COA2), (UDP, COA)]


def test_5_3_3_a_deregistration_ends_all_flows_whatever_the_summary_says() -> None:
    bench = home_agent()
    told(bench, 1, fid(1, TCP, 2))
    told(bench, 2, FlowSummary((1,)), lifetime=0, flags=A | H)
    assert steered(bench) == []
    told(bench, 3, FlowSummary((1,)))
    assert answered(bench) == {1: 132}


def test_5_3_5_where_they_are_not_wanted_128() -> None:
    bench = home_agent(flows=False)
    told(bench, 1, fid(1, TCP, 2))
    assert answered(bench) == {1: 128}
    assert not bench.asked(EnsureFlows)


def test_without_identifiers_there_is_nothing_to_refer_to() -> None:
    bench = home_agent()
    assert ask(bench, 1, options=(fid(1, TCP, 1),)) == 0
    assert answered(bench) == {1: 131}


def test_no_node_has_more_of_them_than_it_may() -> None:
    bench = home_agent()
    known: tuple[int, ...] = ()
    for sequence in range(1, 6):
        new = [fid(1000 * sequence + number, TCP, 2) for number in range(FLOWS_MAX // 3)]
        told(bench, sequence, *new, *([FlowSummary(known)] if known else []))
        known = tuple(bench.engine.cache[HOA].flows) if isinstance(bench.engine, HomeAgent) else ()
        assert len(known) <= FLOWS_MAX


def test_flow_bindings_survive_a_restart() -> None:
    bench = home_agent()
    told(bench, 1, fid(1, VIDEO, 2), fid(2, TCP, 1))
    stored, engine = bench.asked(StoreBinding)[-1], bench.engine
    assert isinstance(engine, HomeAgent)
    effects = HomeAgent(engine.configuration, 0, b"another seed of a life").restore([(stored.key, stored.record)], 5)
    assert [effect.flows for effect in effects if isinstance(effect, EnsureFlows)] == [
        bench.asked(EnsureFlows)[-1].flows
    ]


# --- the mobile node --------------------------------------------------------------------------------------------------


def both(*flows: FlowPolicy, **settings: object) -> Roaming:
    net = Roaming(several=True, flows=flows, **settings)
    net.attach("f1", "wlan0")
    net.attach("f2", "lte0")
    return net


def bound(net: Roaming) -> list[tuple[Ipv6TrafficSelector, bytes]]:
    """What the home agent does."""
    return [(flow.selector, flow.care_of_address) for flow in net.ha.cache[HOA].steered]


def leaving(net: Roaming) -> list[tuple[Ipv6TrafficSelector, bytes]]:
    """What the mobile node does."""
    effects = net.asked(EnsureReverseFlows, "mn")
    assert isinstance(effects[-1], EnsureReverseFlows)
    return [(flow.selector, flow.care_of_address) for flow in effects[-1].flows]


def test_5_2_2_1_the_policy_is_registered_and_both_ends_follow_it() -> None:
    net = both(FlowPolicy(VIDEO, ("wlan0",)), FlowPolicy(TCP, ("lte0", "wlan0")))
    assert bound(net) == leaving(net) == [(VIDEO, COA), (TCP, COA2)]
    assert net.bound() == COA


def test_5_2_3_a_refresh_has_them_by_number_only() -> None:
    net = both(FlowPolicy(TCP, ("lte0",)))
    net.clear()
    net.run(5 * MINUTE)
    message = updates(net)[-1].message
    assert isinstance(message, BindingUpdate)
    assert [option.identifiers for option in message.all(FlowSummary)] == [(1,)]
    assert not message.all(FlowIdentification)
    assert bound(net) == [(TCP, COA2)]


def test_a_flow_leaves_by_another_link_at_once_when_its_own_goes_and_comes_back_with_it() -> None:
    net = both(FlowPolicy(TCP, ("lte0", "wlan0")), FlowPolicy(UDP, ("wlan0", "lte0")))
    net.detach("lte0")
    assert leaving(net) == [(TCP, COA), (UDP, COA)]
    net.run(1 * SECOND)
    assert bound(net) == [(TCP, COA), (UDP, COA)]
    net.attach("f2", "lte0")
    assert bound(net) == leaving(net) == [(TCP, COA2), (UDP, COA)]


def test_a_link_that_is_avoided_carries_nothing_and_is_still_registered() -> None:
    """Make before break: everything is elsewhere before it goes, and what is under way on it arrives."""
    net = both(FlowPolicy(UDP, ("wlan0", "lte0")))
    net.command("avoid", interface="wlan0")
    assert net.host.tunnels[HOA][0] == COA2
    net.run(1 * SECOND)
    assert net.bound() == COA2
    assert {way.care_of for way in net.ha.cache[HOA].ways.values()} == {COA, COA2}
    assert bound(net) == leaving(net) == [(UDP, COA2)]
    net.command("use", interface="wlan0")
    net.run(1 * SECOND)
    assert bound(net) == leaving(net) == [(UDP, COA)]


def test_shared_links_divide_the_ports_of_the_node() -> None:
    net = both(FlowPolicy(TCP, ("wlan0", "lte0"), shared=True))
    parts = bound(net)
    assert [care_of for _, care_of in parts] == [COA, COA2]
    assert [selector.destination_port for selector, _ in parts] == [(0, 46883), (46884, 65535)]
    assert parts == leaving(net)
    net.detach("wlan0")
    net.run(1 * SECOND)
    assert bound(net) == [(TCP, COA2)]


@pytest.mark.parametrize("ports", [None, (80, None), (80, 81), (40000, 40009), (0, 65535), (60000, 65535)])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_every_port_is_in_one_part(ports: tuple[int, int | None] | None, count: int) -> None:
    parts = divided(Ipv6TrafficSelector(destination_port=ports), count)
    first, last = ports or (0, 65535)
    wanted = set(range(first, (first if last is None else last) + 1))
    covered: list[int] = []
    for part in parts:
        begin, end = part.destination_port or (0, 65535)
        covered += range(begin, (begin if end is None else end) + 1)
    assert len(covered) == len(wanted)
    assert set(covered) == wanted


@pytest.mark.parametrize("setting", [{"flows": False}, {"several": False}])
def test_5_2_6_a_home_agent_without_flow_bindings_gets_none_and_all_packets_take_one_way(
    setting: dict[str, object],
) -> None:
    net = both(FlowPolicy(TCP, ("lte0",)), ha=setting)
    net.run(10 * MINUTE)
    assert bound(net) == []
    assert not net.asked(EnsureReverseFlows, "mn") or leaving(net) == []
    assert net.uplink() == "tunnel"


def test_5_3_3_a_home_agent_that_forgot_them_is_told_again() -> None:
    net = both(FlowPolicy(TCP, ("lte0",)))
    net.ha.cache[HOA].flows = {}
    net.run(5 * MINUTE)
    assert bound(net) == [(TCP, COA2)]


def test_at_home_no_flow_is_anything_special() -> None:
    net = both(FlowPolicy(TCP, ("lte0",)))
    net.roam("home", "wlan0")
    assert leaving(net) == []
    order = [type(effect) for _, who, effect in net.effects if who == "mn"]
    assert len(order) - order[::-1].index(EnsureReverseFlows) > len(order) - order[::-1].index(EnsureReverseTunnel)
    net.roam("f1", "wlan0")
    assert bound(net) == leaving(net) == [(TCP, COA2)]
