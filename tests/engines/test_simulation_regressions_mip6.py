"""Defects of the engines of Mobile IPv6 that the fault simulation (tests/sim, cast mip6) found; each once, never again.

Most of them let a packet out with a home address where that is not at home, sent packets round between two anchors, or
left a node without its address for ever.
"""

from __future__ import annotations

from itertools import pairwise

from sojourn.core.effects import DeleteBinding
from sojourn.core.events import AddressChanged, EffectFailed, Icmpv6Received, MessageReceived, RouterProbed
from sojourn.core.mobile_effects import (
    EnsureFlows,
    EnsureHomeAddress,
    EnsureHomeBlock,
    EnsureReverseFlows,
    EnsureRouteOptimisation,
    EnsureTunnelEnd,
    ProbeAddress,
    WithdrawReverseTunnel,
)
from sojourn.engines.mip6_configuration import FlowPolicy
from sojourn.engines.mn_direct import DirectWay, Progress
from sojourn.engines.return_routability import signed
from sojourn.wire import BindingAcknowledgement, BindingUpdate, BindingUpdateFlags, NonceIndices, Status, encode
from sojourn.wire.addresses import Address, address
from sojourn.wire.extensions.rfc5648 import BindingIdentifier
from sojourn.wire.extensions.rfc6088 import Ipv6TrafficSelector
from sojourn.wire.extensions.rfc6089 import BidReference, FlowIdentification, TrafficSelector
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND
from support.mip6 import Roaming
from support.mip6_messages import CN, COA, COA2, HA, HOA, A, H, ask, home_agent
from support.mip6_watch import acknowledge, away, optimised, reported, stamp_of, update_of, updates


def _fails(net: Roaming, name: str, effect: object) -> None:
    net.tell(name, EffectFailed(effect, 12, "no room"))  # type: ignore[arg-type]


def _order(net: Roaming, *kinds: type) -> list[type]:
    """Which of these the node asked for, one after the other."""
    return [type(effect) for _, who, effect in net.effects if who == "mn" and isinstance(effect, kinds)]


# --- packets that got out -------------------------------------------------------------------------------------------


def test_the_way_is_shut_before_a_home_address_leaves_its_link() -> None:
    """The process might have ended between the two: then nothing kept packets from any other way."""
    net = Roaming()
    net.attach("home")
    net.clear()
    net.roam("f1", settle=100 * MILLISECOND)
    order = _order(net, EnsureHomeBlock, EnsureHomeAddress)
    assert order.index(EnsureHomeBlock) < order.index(EnsureHomeAddress)


def test_at_home_the_address_is_on_its_link_before_the_tunnel_goes() -> None:
    net = away()
    net.clear()
    net.roam("home", settle=100 * MILLISECOND)
    order = _order(net, EnsureHomeAddress, WithdrawReverseTunnel)
    assert order[:2] == [EnsureHomeAddress, WithdrawReverseTunnel]


def test_an_address_that_cannot_be_kept_from_leaving_is_not_to_be_had_for_that_time() -> None:
    net = away()
    net.detach()
    _fails(net, "mn", EnsureHomeBlock(HOA))
    assert HOA not in net.host.addresses
    net.clear()
    net.run(2 * SECOND)
    assert net.asked(EnsureHomeBlock, "mn")
    net.attach("f2")
    assert (net.to_home(), net.from_home()) == ("tunnel", "tunnel")


def test_an_address_that_could_not_be_moved_home_is_blocked_until_it_is() -> None:
    """The tunnel was gone and the address still on no link: its packets took any way."""
    net = away()
    net.roam("home", settle=10 * MILLISECOND)
    net.host.addresses.pop(HOA)
    _fails(net, "mn", EnsureHomeAddress(HOA, "wlan0", True))
    assert HOA in net.host.blocked
    net.run(2 * SECOND)
    assert net.host.addresses[HOA] == "wlan0"
    assert net.from_home() == net.to_home() == "home"


def _home_and_abroad() -> Roaming:
    net = Roaming(several=True, home_too=True)
    net.attach("home", "wlan0")
    net.attach("f1", "lte0", settle=5 * SECOND)
    assert net.entry.beside
    assert net.host.ways[HOA]
    return net


def test_packets_that_a_link_took_are_blocked_before_their_way_goes() -> None:
    """Between the two they took any way."""
    net = _home_and_abroad()
    net.detach("wlan0")
    net.run(5 * SECOND)
    net.clear()
    net.detach("lte0")
    assert _order(net, EnsureHomeBlock, EnsureReverseFlows)[:2] == [EnsureHomeBlock, EnsureReverseFlows]


def test_at_home_alone_the_address_is_on_its_link_before_the_way_by_it_goes() -> None:
    net = _home_and_abroad()
    net.clear()
    net.detach("lte0")
    assert _order(net, EnsureHomeAddress, EnsureReverseFlows)[:2] == [EnsureHomeAddress, EnsureReverseFlows]


# --- what the kernel refused ----------------------------------------------------------------------------------------


def test_a_direct_way_that_the_kernel_refused_is_asked_for_again() -> None:
    """The correspondent node sent packets directly, and nobody took them until the next registration."""
    net = optimised()
    net.host.direct.clear()
    _fails(net, "mn", EnsureRouteOptimisation(HOA, CN, COA))
    net.run(2 * SECOND)
    assert net.uplink() == net.downlink() == "direct"


def test_a_way_by_a_link_that_the_kernel_refused_is_asked_for_again() -> None:
    """Nothing kept packets from other links, and nobody asked again."""
    net = _home_and_abroad()
    refused = next(e for e in reversed(net.asked(EnsureReverseFlows, "mn")) if isinstance(e, EnsureReverseFlows))
    net.host.ways.clear()
    _fails(net, "mn", refused)
    assert HOA in net.host.blocked
    net.run(3 * SECOND)
    assert net.host.ways[HOA]
    assert net.to_home() == net.from_home() == "home"


def test_the_end_of_a_tunnel_that_the_kernel_refused_is_asked_for_again() -> None:
    net = Roaming(several=True)
    net.attach("f1")
    end = next(effect for effect in net.asked(EnsureTunnelEnd, "ha") if isinstance(effect, EnsureTunnelEnd))
    net.clear()
    _fails(net, "ha", end)
    net.run(2 * SECOND)
    assert end in net.asked(EnsureTunnelEnd, "ha")


def test_duplicate_address_detection_that_could_not_begin_begins_again() -> None:
    """The node sat at home without its address."""
    net = Roaming()
    net.attach("home", settle=10 * MILLISECOND)
    net._queue.clear()  # no answer will come
    _fails(net, "mn", ProbeAddress("wlan0", HOA))
    net.run(3 * SECOND)
    assert net.from_home() == "home"


# --- packets that went round ----------------------------------------------------------------------------------------


def _circles(net: Roaming) -> bool:
    """Whether two anchors send packets to each other."""
    for first, second in (("a1", "a2"), ("a2", "a1")):
        one = net.bound(first, net.networks[f"f{first[1]}"].care_of)
        other = net.bound(second, net.networks[f"f{second[1]}"].care_of)
        if one is not None and other is not None:
            return True
    return False


def test_an_address_whose_anchor_sends_packets_away_is_not_given_to_another_anchor() -> None:
    """Each anchor had the address of the other as care-of address, and packets went to and fro between them."""
    net = Roaming(anchors=True, delays={("mn", "a1"): 300 * MILLISECOND})
    net.sessions = {COA: 1, COA2: 1}
    net.attach("f1")
    for _, place in pairwise(["f1", "f2", "f1", "f2", "f1"]):
        net.roam(place, settle=0)
        for _ in range(200):
            net.run(10 * MILLISECOND)
            assert not _circles(net)
    assert net.from_home() == "tunnel"


def test_an_address_that_is_given_up_nowhere_stays_known_while_its_anchor_has_it() -> None:
    """Back on its link, the node took it for a care-of address; its anchor sent everything to where the node was."""
    net = Roaming(anchors=True)
    net.sessions = {COA: 1}
    net.attach("f1")
    net.roam("f2", settle=5 * SECOND)
    assert net.bound("a1", COA) == COA2
    net.detach()
    net.sessions = {}
    net.run(30 * SECOND)
    net.attach("f1")
    assert net.bound("a1", COA) is None
    assert net.bound() == COA
    assert (net.to_home(), net.from_home()) == ("tunnel", "tunnel")


def test_an_anchor_that_was_silent_is_told_when_its_address_is_used_again() -> None:
    net = Roaming(anchors=True)
    net.sessions = {COA: 1}
    net.attach("f1")
    net.roam("f2", settle=5 * SECOND)
    net.sessions = {}
    net.lose = lambda source, destination, message: "a1" in (source, destination)
    net.run(2 * MINUTE)
    assert COA not in net.mn.homes
    assert net.bound("a1", COA) == COA2
    net.lose = lambda source, destination, message: False
    net.roam("f1")
    assert net.bound("a1", COA) is None
    assert net.to_home() == "tunnel"


def test_nobody_waits_for_answers_about_an_address_that_was_given_up() -> None:
    """It was leaving a home agent besides its anchor, and the next repetition found no such address."""
    net = Roaming(anchors=True)
    net.sessions = {COA: 1}
    net.attach("f1")
    net.roam("f2", settle=5 * SECOND)
    net.lose = lambda source, destination, message: destination == "ha"
    net.mn.homes[COA].left = (HA,)
    net.mn._register(net.mn.homes[COA])
    net.sessions = {}
    net.run(1 * MINUTE)
    assert COA not in net.mn.homes
    net.run(10 * MINUTE)


def test_an_address_that_was_given_up_is_no_care_of_address_before_its_anchor_let_go_of_it() -> None:
    """The anchor had not heard that the node left its home link: it sent packets there, and the home agent back."""
    net = Roaming(anchors=True)
    net.sessions = {COA: 1}
    net.attach("f1")
    net.roam("home")
    assert net.bound("a1", COA) == HOA
    net.lose = lambda source, destination, message: "a1" in (source, destination)
    net.roam("f2")
    net.sessions = {}
    net.run(2 * MINUTE)
    assert (COA in net.mn.homes, net.bound("a1", COA)) == (False, HOA)
    net.roam("f1", settle=0)
    for _ in range(300):
        net.run(10 * MILLISECOND)
        assert (net.bound(), net.bound("a1", COA)) != (COA, HOA)
    net.lose = lambda source, destination, message: False
    net.run(10 * SECOND)
    assert (net.bound(), net.bound("a1", COA)) == (COA, None)
    assert (net.to_home(), net.from_home()) == ("tunnel", "tunnel")


def test_a_session_that_begins_before_a_lost_router_is_heard_again_goes_on_elsewhere() -> None:
    """The address had been given up when the router was lost; it was still on the link, and there the session began."""
    net = Roaming(anchors=True)
    net.attach("f1")
    net.tell("mn", RouterProbed("wlan0", net.networks["f1"].router, False))
    net.run(SECOND)
    net.sessions = {COA: 1}
    net.roam("f2")
    assert net.bound("a1", COA) == COA2
    assert net.to_home(COA) == "tunnel"
    net.sessions = {}
    net.run(MINUTE)
    assert COA not in net.mn.homes


def test_a_home_address_whose_agent_was_silent_is_no_care_of_address_before_its_binding_ended() -> None:
    net = Roaming(anchors=True)
    net.sessions = {COA: 1}
    net.attach("f1")
    net.lose = lambda source, destination, message: "ha" in (source, destination)
    net.roam("home", settle=2 * MINUTE)
    assert net.bound() == COA
    assert net.bound("a1", COA) != HOA
    net.lose = lambda source, destination, message: False
    net.run(10 * MINUTE)
    assert (net.bound(), net.bound("a1", COA)) == (None, HOA)


def test_an_address_of_another_link_of_the_node_is_at_home_there() -> None:
    """The anchor was asked for a binding, found the address in use (by the node itself), and it was given up."""
    net = Roaming(anchors=True)
    net.sessions = {COA: 1}
    net.attach("f1", "lte0")
    net.attach("f2", "wlan0")
    assert net.bound() == COA2
    assert net.bound("a1", COA) is None
    assert not net.mn.homes.get(COA) or not net.mn.homes[COA].stopped


# --- addresses that were lost for ever ------------------------------------------------------------------------------


def test_11_7_1_status_134_of_one_home_agent_leads_to_the_one_that_has_the_binding() -> None:
    """The node began anew, asked the other home agent of the link, and never asked anybody again."""
    net = Roaming(home_agents=2, home={"home_agent": None})
    net.attach("f1", settle=10 * SECOND)
    holder = "ha" if net.bound("ha") else "ha2"
    other = net.ha_configurations["ha2" if holder == "ha" else "ha"].address
    net.start("mn")
    net.roam("f2", settle=30 * MILLISECOND)
    net.entry.agent, net.entry.agents = other, ()
    net.mn._register(net.entry)
    net._carry_out("mn", net.mn._flush())
    net.taken.add(HOA)  # the home agent with the binding answers for it
    net.clear()
    net.run(3 * SECOND)
    net.taken.clear()
    net.run(20 * SECOND)
    assert not net.entry.stopped
    assert any(sent.destination == net.ha_configurations[holder].address for sent in net.sent(BindingUpdate, "mn"))


def test_an_address_that_somebody_has_at_home_is_asked_for_again_later_or_abroad() -> None:
    """It was a home agent, with a binding of an earlier life, and that ended."""
    net = Roaming()
    net.taken.add(HOA)
    net.attach("home")
    assert HOA not in net.host.addresses
    net.taken.clear()
    net.run(11 * MINUTE)
    assert net.from_home() == "home"
    net = Roaming()
    net.taken.add(HOA)
    net.attach("home")
    net.taken.clear()
    net.roam("f1")
    assert net.bound() == COA


def test_an_update_without_identifiers_ends_flows_whatever_else_it_changes() -> None:
    """With another flag the kernel of the home agent kept them: packets went to a care-of address that was left."""
    bench = home_agent()
    told = FlowIdentification(1, 1, sub_options=(BidReference((2,)), TrafficSelector.of(Ipv6TrafficSelector())))
    ways = (BindingIdentifier(1, priority=1, care_of=COA), BindingIdentifier(2, priority=2, care_of=COA2))
    assert ask(bench, 1, flags=A | H | int(BindingUpdateFlags.B), options=(*ways, told)) == 0
    assert ask(bench, 2, flags=A | H | int(BindingUpdateFlags.L)) == 0
    last = bench.asked(EnsureFlows)[-1]
    assert isinstance(last, EnsureFlows)
    assert last.flows == ()


def test_a_link_with_the_home_prefix_and_another_one_is_no_second_link() -> None:
    """The node took itself to be at home and abroad at once, by one link, and had no way abroad."""
    net = Roaming(several=True, home_too=True)
    net.attach("home", "wlan0")
    message = net.networks["f1"].advertisement()
    net.tell("mn", Icmpv6Received(message, net.networks["f1"].router, address("ff02::1"), "wlan0"))
    net.tell("mn", AddressChanged("wlan0", COA, 64, True, 3600 * SECOND, 7200 * SECOND))
    net.run(2 * SECOND)
    assert net.entry.beside == 0
    assert net.to_home() == "home"


def test_a_flow_that_an_unanswered_update_moved_is_told_whole_again() -> None:
    """The home agent had heard of the move to the other link and back by number only: it went on sending there."""
    net = Roaming(several=True, flows=(FlowPolicy(Ipv6TrafficSelector(), ("lte0", "wlan0")),))
    net.attach("f1", "wlan0")
    net.attach("f2", "lte0")
    net.lose = lambda source, destination, message: isinstance(message, BindingAcknowledgement)
    net.command("avoid", interface="lte0")
    net.run(SECOND)
    net.lose = lambda source, destination, message: False
    net.command("use", interface="lte0")
    net.run(5 * SECOND)
    assert [flow.care_of_address for flow in net.ha.cache[HOA].steered] == [COA2]
    assert [flow.care_of_address for flow in net.entry.flows.done[1]] == [COA2]


def test_a_binding_that_is_being_deleted_waits_until_there_is_a_link_again() -> None:
    """The node had left home before the correspondent node answered, and asked for ever, from nowhere."""
    net = optimised()
    net.lose = lambda source, destination, message: isinstance(message, BindingUpdate) and destination == "cn"
    net.roam("home")
    net.detach()
    net.run(SECOND)
    assert not len(net.mn._requests)
    net.lose = lambda source, destination, message: False
    net.attach("f2")
    net.downlink()
    net.run(2 * SECOND)
    assert net.uplink() == net.downlink() == "direct"


def test_a_correspondent_node_that_refused_the_last_update_still_has_the_one_before() -> None:
    """It was told nothing at home, and went on sending to where the node had been."""
    net = optimised()
    (peer,) = net.mn.correspondents.values()
    net.mn._drop(peer.ways[0])
    peer.ways[0] = DirectWay(peer, 0, COA, progress=Progress.REFUSED)
    net.roam("home")
    net.run(SECOND)
    assert net.routes == {}
    assert net.downlink() == "home"


def _numbers(net: Roaming, destination: Address) -> list[int]:
    return [update_of(sent).sequence for sent in updates(net, destination)]


def test_a_late_refusal_by_the_home_agent_makes_no_number_be_used_twice() -> None:
    """An update on its way had the number of a later one: where it came first, the later one was refused."""
    net = away()
    accepted = net.ha.cache[HOA].sequence
    net.lose = lambda source, destination, message: isinstance(message, BindingUpdate)
    net.roam("f2", settle=6 * SECOND)
    acknowledge(net, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, sequence=accepted, options=stamp_of(net))
    net.lose = lambda source, destination, message: False
    net.run(20 * SECOND)
    numbers = _numbers(net, HA)
    assert len(numbers) > 3
    assert len(numbers) == len(set(numbers))
    assert net.bound() == COA2


def test_a_late_refusal_by_a_correspondent_node_makes_no_number_be_used_twice() -> None:
    net = optimised()
    accepted = _numbers(net, CN)[-1]
    net.lose = lambda source, destination, message: isinstance(message, BindingUpdate) and destination == "cn"
    net.roam("f2", settle=6 * SECOND)
    (way,) = next(iter(net.mn.correspondents.values())).ways.values()
    refusal = BindingAcknowledgement(Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, 0, accepted, 0)
    signed(refusal, way.key, COA2, CN)
    net.tell("mn", MessageReceived(refusal, CN, COA2, None, HOA, encode(refusal)))
    net.lose = lambda source, destination, message: False
    net.run(20 * SECOND)
    numbers = _numbers(net, CN)
    assert len(numbers) > 3
    assert len(numbers) == len(set(numbers))
    assert net.uplink() == net.downlink() == "direct"


def test_the_refusal_of_a_copy_does_not_put_the_clock_back() -> None:
    """It came a second late: the next update said an earlier time than the one before, and that one was believed."""
    net = away()
    net.lose = lambda source, destination, message: isinstance(message, BindingUpdate)
    net.roam("f2", settle=100 * MILLISECOND)
    (stamp,) = stamp_of(net)
    net.run(1200 * MILLISECOND)
    acknowledge(net, Status.MIPV6_ID_MISMATCH, options=(stamp,))
    assert reported(net, "clock-adjusted") == 0
    assert stamp_of(net)[0].timestamp > stamp.timestamp


def test_a_block_that_was_refused_is_asked_for_alone() -> None:
    """The address was back beside it, and open until the second refusal was heard of."""
    net = Roaming()
    net.lose = lambda source, destination, message: isinstance(message, BindingUpdate)
    net.attach("f1", settle=100 * MILLISECOND)
    _fails(net, "mn", EnsureHomeBlock(HOA))
    net.clear()
    net.run(1100 * MILLISECOND)
    assert _order(net, EnsureHomeBlock, EnsureHomeAddress) == [EnsureHomeBlock]
    net.lose = lambda source, destination, message: False
    net.run(20 * SECOND)
    assert HOA in net.host.addresses
    assert (net.to_home(), net.from_home()) == ("tunnel", "tunnel")


def test_a_record_that_the_disk_kept_is_deleted_later_unless_there_is_a_new_one() -> None:
    """The next life of the home agent had a binding that its node had ended."""
    net = away(ha={"stores": True})
    net.roam("home")
    net.clear()
    _fails(net, "ha", DeleteBinding(HOA))
    net.run(2 * SECOND)
    assert net.asked(DeleteBinding, "ha") == [DeleteBinding(HOA)]
    net.roam("f1")
    assert net.bound() == COA
    net.clear()
    _fails(net, "ha", DeleteBinding(HOA))
    net.run(2 * SECOND)
    assert net.asked(DeleteBinding, "ha") == []


def test_a_local_home_address_has_a_way_while_the_node_is_at_home_and_abroad() -> None:
    """The home link was the one in use, where there is no care-of address: the address of the anchor was nowhere."""
    net = Roaming(anchors=True, several=True, home_too=True)
    net.sessions = {COA: 1}
    net.attach("f1", "wlan0")
    net.attach("f2", "lte0")
    net.roam("home", "wlan0", settle=5 * SECOND)
    assert net.entry.beside
    assert net.bound("a1", COA) == COA2
    assert net.to_home(COA) == net.from_home(COA) == "tunnel"


def test_an_update_is_repeated_with_the_nonces_it_was_signed_with() -> None:
    """Another care-of address had begun to test the home address again: the engine ended, or mixed the two up."""
    net = optimised()
    net.lose = lambda source, destination, message: isinstance(message, BindingUpdate) and destination == "cn"
    net.roam("f2")
    (peer,) = net.mn.correspondents.values()
    assert peer.home_token is not None
    peer.home_token = None
    net.run(5 * SECOND)
    nonces = [update_of(sent).first(NonceIndices) for sent in updates(net, CN) if sent.source == COA2]
    assert len(nonces) > 2
    assert all(nonce == nonces[0] for nonce in nonces)


def _moved_unheard(**settings: object) -> Roaming:
    """A node at another link, whose updates nobody gets."""
    net = away(**settings)
    net.lose = lambda source, destination, message: isinstance(message, BindingUpdate)
    net.roam("f2", settle=100 * MILLISECOND)
    return net


def test_who_damages_one_copy_of_an_update_ends_nothing() -> None:
    """The node had an authentic answer that its key is wrong, and stopped for good (RFC 4285 5.3)."""
    net = _moved_unheard()
    for _ in range(5):  # the same answer, again and again
        acknowledge(net, Status.MIPV6_AUTH_FAIL, options=stamp_of(net))
    net.lose = lambda source, destination, message: False
    net.run(5 * SECOND)
    assert net.bound() == COA2
    assert reported(net, "authentication-doubted") == 1


def test_who_damages_every_copy_for_a_while_makes_the_node_pause_and_not_give_up() -> None:
    net = _moved_unheard()
    for _ in range(3):
        acknowledge(net, Status.MIPV6_AUTH_FAIL, options=stamp_of(net))
        net.run(8 * SECOND)
    before = len(updates(net))
    net.lose = lambda source, destination, message: False
    net.run(9 * MINUTE)
    assert len(updates(net)) == before
    net.run(2 * MINUTE)
    assert net.bound() == COA2
