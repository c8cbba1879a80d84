"""RFC 5648 at a correspondent node: several care-of addresses, each proved by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_rfc5648 import COA3, O, bid, both
from test_rfc6089 import TCP, UDP, fid
from test_rfc6275_9 import Tokens, answer, correspondent

from sojourn.core.effects import Effect
from sojourn.core.events import AddressChanged, HomeAddressRefused, IcmpErrorReceived, MessageReceived, TrafficCounted
from sojourn.core.mobile_effects import EnsureCareOfRoute, EnsureRouteOptimisation, WithdrawRouteOptimisation
from sojourn.engines.cn import CorrespondentNode
from sojourn.engines.mip6_configuration import CnConfiguration, FlowPolicy
from sojourn.engines.return_routability import signed
from sojourn.wire import (
    BindingAcknowledgement,
    BindingRefreshRequest,
    BindingUpdate,
    CareOfTestInit,
    HomeTestInit,
    MobilityOption,
    NonceIndices,
)
from sojourn.wire.addresses import Address, Prefix
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.extensions.rfc6088 import Ipv6TrafficSelector
from sojourn.wire.extensions.rfc6089 import FlowIdentification, FlowSummary
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND, Duration
from support.mip6 import Roaming
from support.mip6_messages import CN, COA, COA2, HA, HOA, A
from support.mip6_watch import states, updates


class Node:
    """A mobile node with several care-of addresses, as a correspondent node sees it."""

    def __init__(self, **settings: object) -> None:
        self.bench = correspondent(**settings)
        self.tokens: dict[Address, Tokens] = {}

    def ask(
        self,
        sequence: int,
        *identifiers: BindingIdentifier,
        care_of: Address = COA,
        lifetime: Duration = 400 * SECOND,
        flags: int = A,
        tested: Address | None = None,
        more: tuple[MobilityOption, ...] = (),
    ) -> BindingAcknowledgement | None:
        tokens = self.tokens.setdefault(tested or care_of, Tokens(self.bench, care_of=tested or care_of))
        indices = NonceIndices(tokens.home_test.nonce_index, tokens.care_of_test.nonce_index if lifetime else 0)
        message = BindingUpdate(sequence, flags, lifetime, (indices, *identifiers, *more))
        proven = signed(message, tokens.key(not lifetime), care_of if lifetime else HOA, CN)
        return answer(self.bench, tokens.arriving(proven, care_of))

    def status(self, *arguments: object, **more: object) -> int | None:
        found = self.ask(*arguments, **more)  # type: ignore[arg-type]
        return None if found is None else found.status

    @property
    def route(self) -> Effect:
        return self.bench.asked(EnsureCareOfRoute)[-1]


def two(**settings: object) -> Node:
    """Bound from both; COA2 is the better one."""
    node = Node(**settings)
    assert node.status(1, bid(1, COA, 2), flags=A | O) == 0
    assert node.status(2, bid(2, COA2, 1), care_of=COA2) == 0
    return node


# --- the correspondent node -------------------------------------------------------------------------------------------


def test_6_2_each_care_of_address_is_a_binding_and_packets_go_to_the_best() -> None:
    node = two()
    assert node.route == EnsureCareOfRoute(HOA, COA2, (COA,))
    (row,) = node.bench.engine.show("bindings", node.bench.now)
    assert (row["care_of"], row["also"]) == ("2001:db8:200::5", ["2001:db8:100::5"])


def test_6_2_the_status_is_in_the_answer_and_that_of_the_option_zero() -> None:
    found = Node().ask(1, bid(1, COA, 7))
    assert found is not None
    assert found.status == 0
    assert [(option.identifier, option.status, option.care_of) for option in found.all(BindingIdentifier)] == [
        (1, 0, b"")
    ]


def test_6_2_several_at_once_are_refused() -> None:
    """ "If the receiving node is a correspondent node, it MUST reject the Binding Update"."""
    node = Node()
    assert node.status(1, bid(1, COA), bid(2, COA2)) == 168
    assert not node.bench.engine.show("bindings", node.bench.now)


@pytest.mark.parametrize(
    ("option", "status"),
    [(bid(0, COA), 164), (bid(1, b"\x0a\0\0\1"), 164), (bid(1, b"\xff" + bytes(15)), 164), (bid(1), 167)],
)
def test_6_2_what_no_binding_can_be_is_refused(option: BindingIdentifier, status: int) -> None:
    assert Node().status(1, option) == status


def test_6_2_the_address_in_the_option_is_the_one_that_has_to_be_proved() -> None:
    """The care-of test was about COA; nobody may lead packets to COA2 with it."""
    node = Node()
    assert node.ask(1, bid(1, COA2), care_of=COA) is None
    assert node.bench.asked(EnsureCareOfRoute) == []


def test_6_2_a_known_identifier_needs_no_address_to_be_refreshed() -> None:
    node = two()
    assert node.status(3, bid(1)) == 0
    assert node.route == EnsureCareOfRoute(HOA, COA2, (COA,))


def test_6_2_the_same_identifier_with_another_address_is_updated() -> None:
    node = two()
    assert node.status(3, bid(2, COA3, 1), care_of=COA3) == 0
    assert node.route == EnsureCareOfRoute(HOA, COA3, (COA,))


def test_6_2_a_binding_without_identifier_has_to_be_overwritten() -> None:
    node = Node()
    assert node.status(1) == 0
    assert node.status(2, bid(1, COA)) == 165
    assert node.status(3, bid(1, COA), flags=A | O) == 0


def test_6_2_an_update_without_identifier_replaces_all() -> None:
    node = two()
    assert node.status(3, care_of=COA3) == 0
    assert node.route == EnsureCareOfRoute(HOA, COA3)


def test_6_2_the_overwrite_flag_replaces_all() -> None:
    node = two()
    assert node.status(3, bid(3, COA3), care_of=COA3, flags=A | O) == 0
    assert node.route == EnsureCareOfRoute(HOA, COA3)


def test_5_4_one_binding_ends_and_the_others_stay() -> None:
    """The key is that of the home address alone, and the update comes from another care-of address."""
    node = two()
    assert node.status(3, bid(2), lifetime=0, care_of=COA) == 0
    assert node.route == EnsureCareOfRoute(HOA, COA)
    assert node.status(4, bid(2), lifetime=0, care_of=COA) == 133
    assert node.status(5, bid(1), lifetime=0, care_of=COA) == 0
    assert [row["state"] for row in node.bench.engine.show("bindings", node.bench.now)] == ["ended"]


def test_5_4_without_identifier_all_of_them_end() -> None:
    node = two()
    assert node.status(3, lifetime=0) == 0
    assert [row["state"] for row in node.bench.engine.show("bindings", node.bench.now)] == ["ended"]


def test_9_5_1_sequence_numbers_are_compared_for_each_care_of_address() -> None:
    """One about all of them has to be newer than all."""
    node = Node()
    node.status(5, bid(1, COA), flags=A | O)
    assert node.status(7, bid(2, COA2), care_of=COA2) == 0
    assert node.status(6, bid(1, COA)) == 0
    found = node.ask(6, bid(1, COA))
    assert found is not None
    assert (found.status, found.sequence) == (135, 6)
    assert node.status(7, care_of=COA) == 135
    assert node.status(4, bid(3, COA3), care_of=COA3) == 135


def test_5_2_8_an_identifier_that_ended_cannot_be_revived_by_what_was_sent_before() -> None:
    node = two()
    assert node.status(3, bid(2), lifetime=0, care_of=COA) == 0
    assert node.status(2, bid(2, COA2, 1), care_of=COA2) == 135


def test_6_1_each_binding_has_its_own_lifetime() -> None:
    node = Node(refresh=False)
    node.status(1, bid(1, COA, 1), lifetime=40 * SECOND, flags=A | O)
    node.status(2, bid(2, COA2, 2), care_of=COA2)
    node.bench.run(41 * SECOND)
    assert node.route == EnsureCareOfRoute(HOA, COA2)
    node.bench.run(7 * MINUTE)
    assert not [row for row in node.bench.engine.show("bindings", node.bench.now) if row["state"] == "active"]


def test_6_4_a_refresh_is_asked_for_by_identifier() -> None:
    node = Node()
    node.status(1, bid(1, COA, 1), lifetime=40 * SECOND, flags=A | O)
    node.status(2, bid(2, COA2, 2), lifetime=400 * SECOND, care_of=COA2)
    node.status(3, bid(1, COA, 1), lifetime=40 * SECOND)
    node.bench.run(36 * SECOND)
    node.bench.tell(TrafficCounted({Prefix(HOA, 128): 5}))
    (request,) = node.bench.sent(BindingRefreshRequest)
    assert [option.identifier for option in request.message.all(BindingIdentifier)] == [1]


def test_9_3_4_a_care_of_address_that_cannot_be_reached_ends_alone() -> None:
    node = two()
    for _ in range(3):
        node.bench.tell(IcmpErrorReceived(1, 3, COA2, 6))
    assert node.route == EnsureCareOfRoute(HOA, COA)


def test_no_node_has_more_than_eight_care_of_addresses() -> None:
    node = Node()
    for number in range(1, 10):
        where = COA[:15] + bytes((number,))
        status = node.status(number, bid(number, where), care_of=where, flags=A | O if number == 1 else A)
    assert status == 130


def test_6_1_a_correspondent_node_that_does_not_want_several_passes_identifiers_over() -> None:
    node = Node(several=False)
    found = node.ask(1, bid(1, COA))
    assert found is not None
    assert (found.status, found.all(BindingIdentifier)) == (0, ())
    assert node.route == EnsureCareOfRoute(HOA, COA)


# --- the mobile node --------------------------------------------------------------------------------------------------


def direct(**settings: object) -> Roaming:
    """Two links, and a correspondent node that has both care-of addresses."""
    net = both(**settings)
    net.downlink()
    net.run(2 * SECOND)
    assert states(net) == ["bound", "bound"]
    assert net.uplink() == net.downlink() == "direct"
    return net


def registered(net: Roaming) -> list[tuple[Address, int, int, list[tuple[int, int, Address]]]]:
    """Updates to the correspondent node: source, flags, lifetime in seconds, and what they say of which BID."""
    found = []
    for sent in updates(net, CN):
        message = sent.message
        assert isinstance(message, BindingUpdate)
        named = [(option.identifier, option.priority, option.care_of) for option in message.all(BindingIdentifier)]
        found.append((sent.source, message.flags, message.lifetime // SECOND, named))
    return found


def test_5_2_each_care_of_address_is_tested_and_registered_by_itself_the_best_first() -> None:
    net = direct()
    assert [(source, flags, named) for source, flags, _, named in registered(net)] == [
        (COA, A | O, [(1, 1, COA)]),
        (COA2, A, [(2, 2, COA2)]),
    ]
    assert len(net.sent(HomeTestInit)) == 1  # one for both
    assert [sent.source for sent in net.sent(CareOfTestInit)] == [COA, COA2]
    assert (net.routes[HOA], net.also[HOA]) == (COA, (COA2,))


def test_5_4_a_link_that_is_gone_is_told_by_the_other_one_and_packets_go_on_at_once() -> None:
    """The uplink needs no message at all, the downlink one that takes half a round trip."""
    net = direct()
    net.clear()
    net.detach("wlan0")
    assert net.asked(EnsureRouteOptimisation, "mn") == [EnsureRouteOptimisation(HOA, CN, COA2)]
    assert not net.asked(WithdrawRouteOptimisation, "mn")
    assert net.uplink() == "direct"
    assert registered(net) == [(COA2, A, 0, [(1, 0, b"")])]
    net.run(15 * MILLISECOND)
    assert net.downlink() == "direct"
    net.run(SECOND)
    assert states(net) == ["bound"]
    assert not net.sent(HomeTestInit)


def test_5_1_a_link_that_comes_back_is_added_and_preferred() -> None:
    net = direct()
    net.detach("wlan0")
    net.run(SECOND)
    net.clear()
    net.attach("f1", "wlan0")
    assert net.asked(EnsureRouteOptimisation, "mn") == [EnsureRouteOptimisation(HOA, CN, COA)]
    assert (COA, A, [(1, 1, COA)]) in [(source, flags, named) for source, flags, _, named in registered(net)]
    assert net.routes[HOA] == COA
    assert net.uplink() == net.downlink() == "direct"


def test_6_2_a_link_that_changes_is_taken_back_before_the_new_address_is_proved() -> None:
    net = direct()
    net.clear()
    first = net.networks["f1"]
    net.networks["f3"] = replace(first, name="f3", prefix=first.prefix._replace(address=COA3[:8] + bytes(8)))
    net.attached["wlan0"] = "f3"
    net.advertise("f3", "wlan0")
    net.configure("f3", "wlan0")
    net.tell("mn", AddressChanged("wlan0", COA, 64, False, 0, 0))
    assert registered(net)[0] == (COA2, 0, 0, [(1, 0, b"")])
    net.run(15 * MILLISECOND)
    assert net.routes[HOA] == COA2
    net.run(2 * SECOND)
    assert net.routes[HOA] == net.networks["f3"].care_of
    assert net.uplink() == net.downlink() == "direct"


def test_5_7_who_answers_without_identifier_gets_one_care_of_address() -> None:
    net = both()
    net.engines["cn"] = CorrespondentNode(CnConfiguration(CN, several=False), 0, b"entropy of another life")
    net.downlink()
    net.run(2 * SECOND)
    assert states(net) == ["bound"]
    assert net.uplink() == net.downlink() == "direct"
    assert len(registered(net)) == 1
    net.run(10 * MINUTE)
    assert states(net) == ["bound"]
    net.detach("wlan0")
    net.run(2 * SECOND)
    assert net.routes[HOA] == COA2
    assert net.uplink() == net.downlink() == "direct"


def test_5_7_a_binding_of_another_kind_is_overwritten() -> None:
    """An earlier life of the correspondent node's memory: it lost all, and learnt one without identifier since."""
    net = direct()
    net.clear()
    net.start("cn")
    net.downlink()
    assert net.uplink() == "lost"
    net.tell("cn", HomeAddressRefused(HOA, COA, CN))
    net.run(2 * SECOND)
    assert states(net) == ["bound", "bound"]
    assert net.uplink() == net.downlink() == "direct"


def test_5_8_a_refresh_that_is_asked_for_by_identifier_is_one_update() -> None:
    net = direct()
    net.clear()
    net.tell("mn", MessageReceived(BindingRefreshRequest((BindingIdentifier(2),)), CN, COA, None, HOA))
    net.run(SECOND)
    assert [named for _, _, _, named in registered(net)] == [[(2, 2, COA2)]]


def test_6_2_another_order_of_preference_is_told() -> None:
    net = direct()
    net.clear()
    net.command("avoid", interface="wlan0")
    net.run(2 * SECOND)
    assert net.routes[HOA] == COA2
    assert net.asked(EnsureRouteOptimisation, "mn")[0] == EnsureRouteOptimisation(HOA, CN, COA2)


def test_5_5_at_home_one_update_ends_all() -> None:
    net = direct()
    net.clear()
    net.detach("lte0")
    net.roam("home", "wlan0")
    assert registered(net)[-1] == (HOA, A, 0, [])
    assert net.routes == {}
    assert states(net) == []


def test_5_1_a_node_that_gets_several_is_known_by_identifiers_from_then_on() -> None:
    """Nothing was left of the binding without one, and the correspondent node went on sending to where the node was."""
    net = both()
    net.detach("lte0")
    net.entry.single = True
    net.roam("f1")
    net.downlink()
    net.run(SECOND)
    assert (net.routes, net.also) == ({HOA: COA}, {HOA: ()})
    net.entry.single = False
    net.attach("f2", "lte0")
    assert (net.routes, net.also) == ({HOA: COA}, {HOA: (COA2,)})
    assert net.uplink() == net.downlink() == "direct"


def test_11_8_a_correspondent_node_without_support_is_asked_about_one_link_only() -> None:
    net = both(correspondent=False)
    net.downlink()
    net.run(MINUTE)
    assert {sent.source for sent in net.sent(CareOfTestInit)} <= {COA, COA2}
    assert set(states(net)) == {"refused"}
    assert net.uplink() == net.downlink() == "tunnel"


def test_bindings_of_both_are_refreshed_for_ever() -> None:
    net = direct()
    for _ in range(30):
        net.run(MINUTE)
        assert net.uplink() == net.downlink() == "direct"
    assert states(net) == ["bound", "bound"]


# --- flow bindings (RFC 6089) -----------------------------------------------------------------------------------------


def flows(effect: Effect) -> list[tuple[Ipv6TrafficSelector, Address]]:
    assert isinstance(effect, EnsureCareOfRoute)
    return [(flow.selector, flow.care_of_address) for flow in effect.flows]


def test_6089_5_3_a_correspondent_node_keeps_flow_bindings_as_a_home_agent_does() -> None:
    node = Node()
    node.status(1, bid(1, COA, 1), flags=A | O)
    found = node.ask(2, bid(2, COA2, 2), care_of=COA2, more=(fid(7, TCP, 2), fid(8, UDP, 3)))
    assert found is not None
    assert {option.identifier: option.status for option in found.all(FlowIdentification)} == {7: 0, 8: 131}
    assert flows(node.route) == [(TCP, COA2)]
    node.status(3, bid(1, COA, 1), more=(FlowSummary((7,)),))
    assert flows(node.route) == [(TCP, COA2)]
    node.status(4, bid(1, COA, 1))
    assert flows(node.route) == []


def test_6089_5_3_without_flow_bindings_none_are_kept() -> None:
    node = two(flows=False)
    found = node.ask(3, bid(1, COA, 1), more=(fid(7, TCP, 2),))
    assert found is not None
    assert [option.status for option in found.all(FlowIdentification)] == [128]
    assert flows(node.route) == []


def _policies() -> tuple[FlowPolicy, ...]:
    elsewhere = replace(UDP, source=(HA, None))
    return FlowPolicy(TCP, ("lte0", "wlan0")), FlowPolicy(elsewhere, ("lte0",))


def test_6089_5_2_a_flow_holds_at_a_correspondent_node_too_unless_it_cannot_be_of_it() -> None:
    net = direct(flows=_policies())
    assert flows(net.asked(EnsureCareOfRoute, "cn")[-1]) == [(TCP, COA2)]
    assert net.asked(EnsureRouteOptimisation, "mn")[-1] == EnsureRouteOptimisation(HOA, CN, COA, (COA2,))
    net.run(10 * MINUTE)
    assert flows(net.asked(EnsureCareOfRoute, "cn")[-1]) == [(TCP, COA2)]


def test_6089_5_2_a_flow_changes_its_link_at_a_correspondent_node_too() -> None:
    net = direct(flows=_policies())
    net.detach("lte0")
    net.run(SECOND)
    assert flows(net.asked(EnsureCareOfRoute, "cn")[-1]) == [(TCP, COA)]
    assert net.uplink() == net.downlink() == "direct"
    net.attach("f2", "lte0")
    net.run(SECOND)
    assert flows(net.asked(EnsureCareOfRoute, "cn")[-1]) == [(TCP, COA2)]
