"""RFC 8818: a host keeps one local home address at each anchor, as long as sessions use it. RFC 3963 5 for a router."""

from __future__ import annotations

from dataclasses import replace

from sojourn.core.effects import EnsureUplink, WithdrawUplink
from sojourn.core.events import Icmpv6Received
from sojourn.core.mobile_effects import EnsureHomeAddress, WithdrawHomeAddress
from sojourn.engines.mip6_configuration import HomeNode
from sojourn.wire import BindingAcknowledgement, BindingUpdate
from sojourn.wire.addresses import Address, address, prefix
from sojourn.wire.extensions.rfc3963 import MobileNetworkPrefix
from sojourn.wire.extensions.rfc6275_discovery import HomeAgentAddressDiscoveryReply, HomeAgentAddressDiscoveryRequest
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND
from support.mip6 import Roaming
from support.mip6_messages import ASSOCIATION, COA, COA2, HA, HOA
from support.mip6_watch import acknowledge, icmp, reported, silent, stamp_of, update_of, updates

BUS = prefix("2001:db8:4500::/56")


def anchored(sessions: int = 1) -> Roaming:
    """Two networks with anchors; the node is at the first, with sessions that use its address there."""
    net = Roaming(anchors=True)
    net.attach("f1")
    net.sessions[COA] = sessions
    return net


def locals_of(net: Roaming) -> list[Address]:
    return [entry.address for entry in net.mn.homes.values() if entry.local]


def test_3_1_sessions_of_a_network_that_was_left_go_on_through_its_anchor() -> None:
    net = anchored()
    net.roam("f2")
    assert net.bound("a1", COA) == COA2
    assert net.from_home(COA) == net.to_home(COA) == "tunnel"
    assert net.bound() == COA2  # and the configured home address, too


def test_3_1_new_sessions_use_the_nearest_anchor() -> None:
    net = anchored()
    net.roam("f2")
    told = [effect for effect in net.asked(EnsureHomeAddress, "mn") if isinstance(effect, EnsureHomeAddress)]
    assert {effect.address: effect.preferred for effect in told}[COA] is False


def test_3_2_one_binding_for_each_anchor_that_has_sessions_and_back_again() -> None:
    net = anchored()
    net.roam("f2")
    net.sessions[COA2] = 2
    net.roam("f1")
    assert locals_of(net) == [COA, COA2]
    assert net.bound("a1", COA) is None  # at home there
    assert net.from_home(COA) == "home"
    assert net.bound("a2", COA2) == COA
    assert net.from_home(COA2) == net.to_home(COA2) == "tunnel"


def test_3_2_without_sessions_the_binding_ends_and_the_address_goes() -> None:
    net = anchored()
    net.roam("f2")
    net.sessions.clear()
    net.run(30 * SECOND)
    assert locals_of(net) == []
    assert net.bound("a1", COA) is None
    assert WithdrawHomeAddress(COA) in net.asked(WithdrawHomeAddress, "mn")
    assert net.bound() == COA2


def test_3_2_an_address_without_sessions_is_not_kept() -> None:
    net = anchored(sessions=0)
    net.roam("f2")
    net.run(30 * SECOND)
    assert locals_of(net) == []


def test_3_2_it_lives_as_long_as_its_sessions() -> None:
    net = anchored()
    net.roam("f2")
    for _ in range(20):
        net.run(1 * MINUTE)
        assert net.from_home(COA) == net.to_home(COA) == "tunnel"


def test_without_a_key_for_anchors_addresses_are_left_behind() -> None:
    net = Roaming()
    net.networks["f1"].anchor = address("2001:db8:100::1")
    net.attach("f1")
    net.roam("f2")
    assert locals_of(net) == []


def test_an_anchor_that_refuses_costs_nothing_but_its_sessions() -> None:
    net = anchored()
    net.ha_configurations["a1"] = replace(net.ha_configurations["a1"], nodes=())
    net.start("a1")
    net.roam("f2")
    net.sessions.clear()
    net.run(2 * MINUTE)
    assert locals_of(net) == []
    assert net.bound() == COA2


# --- RFC 3963 5 -------------------------------------------------------------------------------------------------------


def bus(*networks: object, profile: HomeNode | None = None, **ha: object) -> Roaming:
    known = profile or HomeNode(HOA, ASSOCIATION, prefixes=(BUS,))
    net = Roaming(home={"router": True, "networks": networks}, profile=known, ha=ha)
    net.attach("f1")
    return net


def test_rfc_3963_5_1_explicit_mode_names_the_prefixes_and_sends_them_through_the_tunnel() -> None:
    net = bus(BUS)
    message = updates(net)[0].message
    assert isinstance(message, BindingUpdate)
    assert message.flags & 0x0400
    assert list(message.all(MobileNetworkPrefix)) == [MobileNetworkPrefix.of(BUS)]
    assert net.ha.cache[HOA].prefixes == (BUS,)
    assert net.asked(EnsureUplink, "mn") == [EnsureUplink(BUS, HA)]


def test_rfc_3963_5_1_implicit_mode_names_none() -> None:
    net = bus()
    message = updates(net)[0].message
    assert isinstance(message, BindingUpdate)
    assert not message.all(MobileNetworkPrefix)
    assert net.ha.cache[HOA].prefixes == (BUS,)


def test_rfc_3963_5_8_at_home_the_prefixes_need_no_tunnel() -> None:
    net = bus(BUS)
    net.roam("home")
    assert net.asked(WithdrawUplink, "mn") == [WithdrawUplink(BUS)]
    assert net.bound() is None


def test_rfc_3963_5_3_a_home_agent_that_refuses_is_not_asked_as_by_a_plain_node() -> None:
    net = bus(prefix("2001:db8:9900::/56"))
    assert net.bound() is None
    assert reported(net, "registration-refused")
    assert all(sent.message.flags & 0x0400 for sent in updates(net))  # type: ignore[attr-defined]
    assert len(updates(net)) == 1
    assert net.from_home() == "lost"


def test_rfc_3963_5_3_a_home_agent_that_does_not_know_mobile_routers_is_left_and_not_asked_in_a_hurry() -> None:
    net = silent(BindingAcknowledgement, home={"router": True, "networks": (BUS,)})
    net.attach("f1", settle=100 * MILLISECOND)
    acknowledge(net, 0, options=stamp_of(net))  # without flag R
    assert [update_of(sent).lifetime for sent in updates(net)] == [300 * SECOND, 0]
    acknowledge(net, 0, options=stamp_of(net))
    assert HOA in net.host.blocked
    net.run(29 * SECOND)
    assert len(updates(net)) == 2
    net.run(2 * SECOND)
    assert update_of(updates(net)[2]).flags & 0x0400


def test_rfc_3963_5_4_discovery_asks_for_those_that_serve_mobile_routers() -> None:
    net = Roaming(
        home={"router": True, "networks": (BUS,), "home_agent": None},
        profile=HomeNode(HOA, ASSOCIATION, prefixes=(BUS,)),
    )
    net.attach("f1", settle=22_000_000)
    ((_, sent),) = icmp(net, HomeAgentAddressDiscoveryRequest)
    assert sent.message.flags == 0x8000  # type: ignore[attr-defined]
    legacy = HomeAgentAddressDiscoveryReply(net.entry.identifier, 0, (HA,))
    net.tell("mn", Icmpv6Received(legacy, HA, COA, "wlan0"))
    assert net.entry.agent is None
    net.run(3 * SECOND)
    assert net.ha.cache[HOA].prefixes == (BUS,)
