"""RFC 8818 3, 5: new sessions use the nearest anchor, measured; home agents from DNS (RFC 5026 5.1.1)."""

from __future__ import annotations

from dataclasses import replace

from sojourn.core.effects import ProbePath
from sojourn.core.events import PathProbed
from sojourn.core.mobile_effects import EnsureCareOfPeers, EnsureHomeAddress, ResolveName
from sojourn.wire.addresses import Address
from sojourn.wire.extensions.rfc6275_discovery import HomeAgentAddressDiscoveryRequest
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND, Duration
from support.mip6 import Network, Roaming, address_prefix
from support.mip6_messages import COA, HA, HOA, STRANGER
from support.mip6_watch import icmp

A1, A2 = (address_prefix(f"2001:db8:{number}00::").address[:15] + b"\x01" for number in (1, 2))


def plain(a1: Duration = 5 * MILLISECOND, a2: Duration = 8 * MILLISECOND, **settings: object) -> Roaming:
    """A network without an anchor; others have some, at these distances, the home agent is 40 ms away."""
    delays = {("mn", "a1"): a1, ("mn", "a2"): a2, ("mn", "ha"): 40 * MILLISECOND}
    known: dict[str, object] = {"anchor_addresses": (A1, A2)}
    net = Roaming(delays, anchors=True, **(known | settings))  # type: ignore[arg-type]
    net.networks["f3"] = Network("f3", address_prefix("2001:db8:700::"))
    net.attach("f3", settle=5 * SECOND)
    return net


def used(net: Roaming) -> Address:
    """What new connections use: the address that is preferred."""
    shown: dict[Address, bool] = {}
    for effect in net.asked(EnsureHomeAddress, "mn"):
        assert isinstance(effect, EnsureHomeAddress)
        shown[effect.address] = effect.preferred
    preferred = [address for address, wanted in shown.items() if wanted and address in net.mn.homes]
    assert len(preferred) == 1
    return preferred[0]


def agent_of(net: Roaming, home: Address) -> Address | None:
    return net.mn.homes[home].agent


def test_3_new_sessions_use_an_address_of_the_nearest_anchor() -> None:
    net = plain()
    home = used(net)
    assert agent_of(net, home) == A1
    assert net.networks["f1"].prefix.covers(home)
    assert net.bound("a1", home) == net.networks["f3"].care_of
    assert net.from_home(home) == net.to_home(home) == "tunnel"
    assert net.to_home(HOA) == "tunnel"  # whoever knows the configured one reaches it


def test_3_distances_are_measured_from_the_care_of_address() -> None:
    net = plain()
    sources = {effect.source for effect in net.asked(ProbePath, "mn") if isinstance(effect, ProbePath)}
    assert sources == {net.networks["f3"].care_of}


def test_3_no_anchor_that_is_not_nearer_than_the_home_agent() -> None:
    net = plain(a1=39 * MILLISECOND, a2=60 * MILLISECOND)
    assert used(net) == HOA
    assert list(net.mn.homes) == [HOA]


def test_3_another_one_that_is_nearer_now_gets_new_sessions_and_old_ones_keep_theirs() -> None:
    net = plain()
    old = used(net)
    net.sessions[old] = 1
    net.delays["mn", "a1"], net.delays["mn", "a2"] = 30 * MILLISECOND, 2 * MILLISECOND
    net.run(2 * MINUTE)
    new = used(net)
    assert (agent_of(net, old), agent_of(net, new)) == (A1, A2)
    assert net.from_home(old) == net.from_home(new) == "tunnel"
    net.sessions.clear()
    net.run(1 * MINUTE)
    assert old not in net.mn.homes
    assert used(net) == new


def test_3_a_little_nearer_is_no_reason_to_change() -> None:
    net = plain()
    before = used(net)
    net.delays["mn", "a2"] = 4 * MILLISECOND
    net.run(5 * MINUTE)
    assert used(net) == before


def test_3_the_one_in_use_is_kept_without_sessions() -> None:
    net = plain()
    before = used(net)
    net.run(10 * MINUTE)
    assert used(net) == before


def test_3_one_that_is_full_is_passed_over() -> None:
    net = Roaming(
        {("mn", "a1"): 5 * MILLISECOND, ("mn", "a2"): 8 * MILLISECOND, ("mn", "ha"): 40 * MILLISECOND},
        anchors=True,
        anchor_addresses=(A1, A2),
    )
    net.ha_configurations["a1"] = replace(net.ha_configurations["a1"], bindings=0)
    net.start("a1")
    net.networks["f3"] = Network("f3", address_prefix("2001:db8:700::"))
    net.attach("f3", settle=5 * SECOND)
    assert agent_of(net, used(net)) == A2


def test_3_one_that_does_not_answer_is_not_taken_and_one_that_dies_is_left() -> None:
    net = plain()
    net.deaf = {"a1"}
    net.run(2 * MINUTE)
    assert agent_of(net, used(net)) == A2
    net.deaf = {"a1", "a2"}
    net.run(2 * MINUTE)
    assert used(net) == HOA


def test_3_where_the_link_has_an_anchor_its_address_is_used() -> None:
    net = plain()
    old = used(net)
    net.sessions[old] = 1
    net.roam("f2", settle=5 * SECOND)
    shown = {
        effect.address: effect.preferred
        for effect in net.asked(EnsureHomeAddress, "mn")
        if isinstance(effect, EnsureHomeAddress)
    }
    assert shown[HOA] is shown[old] is False  # that of the link is left
    assert net.from_home(old) == "tunnel"


def test_5_anchors_from_dns() -> None:
    net = Roaming({("mn", "ha"): 40 * MILLISECOND}, anchors=True, anchor_names=("anchors.example.net",))
    net.names["anchors.example.net"] = (A2, STRANGER)
    net.networks["f3"] = Network("f3", address_prefix("2001:db8:700::"))
    net.attach("f3", settle=5 * SECOND)
    assert agent_of(net, used(net)) == A2
    assert net.asked(ResolveName, "mn") == [ResolveName("anchors.example.net")]


def test_an_answer_that_nobody_waits_for_is_no_distance() -> None:
    net = plain()
    for remote in (A1, STRANGER, HA):
        net.tell("mn", PathProbed(remote))
    assert STRANGER not in net.mn.candidates
    assert net.mn.candidates[A1].distance == 10 * MILLISECOND


def test_rfc5014_some_peers_are_reached_from_the_care_of_address() -> None:
    peers = (address_prefix("2001:db8:5300::"),)
    net = Roaming(care_of_peers=peers)
    assert net.asked(EnsureCareOfPeers, "mn") == [EnsureCareOfPeers(peers)]


def test_rfc5026_5_1_1_the_home_agent_from_dns() -> None:
    net = Roaming(home={"home_agent": None, "agent_name": "ha.example.net"})
    net.names["ha.example.net"] = (HA,)
    net.attach("f1")
    assert net.bound() == COA
    assert not icmp(net, HomeAgentAddressDiscoveryRequest)


def test_rfc5026_5_1_1_without_an_answer_the_home_link_is_asked() -> None:
    net = Roaming(home={"home_agent": None, "agent_name": "ha.example.net"})
    net.attach("f1", settle=8 * SECOND)
    assert net.bound() == COA
    assert icmp(net, HomeAgentAddressDiscoveryRequest)
