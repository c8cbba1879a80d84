"""RFC 5213 6.1 to 6.8: what a MAG knows of a node, and how it shows it its home network.

The role ``mag``, against the LMA of this package; `test_rfc5213_6` has section 6.9 as a MAAR takes it.
"""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureDelivery, EnsureLogicalInterface
from sojourn.core.events import LinkChanged, NodeDetached, NodeSeen, Sighting
from sojourn.engines.access_session import Presence
from sojourn.engines.configuration import FIXED_LINK_LOCAL, GatewayProfile, HomeProfile
from sojourn.wire import Handoff, HomeNetworkPrefix, LinkLocalAddress, MobileNodeIdentifier
from sojourn.wire.addresses import prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support.messages import updates
from support.pmip import HOME2, LMA, LMA2, ProxyDomain, home
from support.table import HOSTS, node

_NAI = b"\x01somebody@example.net"


def _attached(**settings: object) -> ProxyDomain:
    """mn1 is attached to mag1 and registered."""
    domain = ProxyDomain(**settings)  # type: ignore[arg-type]
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    return domain


# --- 6.1 the Binding Update List --------------------------------------------------------------------------------------


def test_6_1_an_entry_for_each_node_with_all_that_its_lma_said() -> None:
    """Text: "MUST maintain a Binding Update List"."""
    domain = _attached()
    domain.attach("mn2", "mag1")
    domain.run(SECOND)
    assert set(domain.mag("mag1").sessions) == {node("mn1"), node("mn2")}
    entry = domain.at("mag1")
    assert (entry.identity, entry.link_layer, entry.lma) == (node("mn1"), HOSTS["mn1"], LMA)
    assert (entry.interface, entry.anchored, entry.confirmed) == ("acc0", {home(0): LMA}, True)


# --- 6.2 the policy profile -------------------------------------------------------------------------------------------


def test_6_2_identifier_anchor_and_prefixes_of_the_profile() -> None:
    """Text: "MUST be able to obtain a mobile node's policy profile"; "a mobile access gateway serving a mobile node
    MUST have access to its policy profile": MN-Identifier and LMAA, and optionally prefixes."""
    own = HOME2.subnet(77, 64)
    profile = GatewayProfile(HOSTS["mn1"], _NAI, LMA2, prefixes=(own,))
    domain = _attached(anchors=2, profiles=(profile,))
    (update,) = updates(domain, "mag1", "lma2")
    assert update.all(MobileNodeIdentifier) == (MobileNodeIdentifier(1, _NAI[1:]),)
    assert [option.prefix for option in update.all(HomeNetworkPrefix)] == [own]
    assert domain.at("mag1").anchored == {own: LMA2}
    assert domain.plane("mag1").state.uplinks == {own: LMA2}
    domain.attach("mn2", "mag1")
    domain.run(SECOND)
    assert domain.at("mag1", "mn2").lma == LMA


def test_6_2_the_lma_has_a_profile_of_the_node_as_well() -> None:
    domain = _attached(lma={"profiles": (HomeProfile(node("mn1"), prefixes=(home(40), home(41))),)})
    assert list(domain.at("mag1").anchored) == [home(40), home(41)]


# --- 6.5 and 6.6 who it is --------------------------------------------------------------------------------------------


def test_6_5_service_only_for_those_who_are_authorised() -> None:
    """Text: "SHOULD ensure that the network-based mobility management service is offered only after authenticating and
    authorizing the mobile node for that service": by the profile here, by the LMA's there."""
    nobody = GatewayProfile(service=False)
    domain = ProxyDomain(everybody=nobody, profiles=(GatewayProfile(HOSTS["mn1"]),))
    domain.attach("mn2", "mag1")
    assert domain.sent() == []
    assert domain.reported("mag1", "node-without-service") == 1
    domain.attach("mn1", "mag1")
    assert len(updates(domain, "mag1", "lma")) == 1


@pytest.mark.parametrize("identity", [b"", _NAI, b"\x04temporary", b"\x01" + b"n" * 253])
def test_6_6_the_stable_identifier_is_what_signalling_uses(identity: bytes) -> None:
    """Text: "MUST be able to identify a mobile node, using its MN-Identifier"; "MUST be stable and unique"; "MUST be
    able to use this identifier in the signaling messages"; "MUST be able to use this temporary identifier and obtain
    the mobile node's stable identifier from the policy store"; "MUST be able to use this identifier in the signaling
    messages exchanged with the local mobility anchor" whether or not it is the true one; the same at every MAG."""
    domain = ProxyDomain(profiles=(GatewayProfile(HOSTS["mn1"], identity),))
    for name in ("mag1", "mag2"):
        domain.attach("mn1", name)
        domain.run(SECOND)
    assert {entry.node for entry in domain.lma.cache} == {identity or node("mn1")}
    assert len(domain.lma.cache) == 1


def test_6_6_the_identity_belongs_to_the_link_that_the_node_is_on() -> None:
    """Text: "MUST be able to associate this identity to the point-to-point link shared with the mobile node"."""
    domain = _attached(profiles=(GatewayProfile(HOSTS["mn1"], _NAI),))
    domain.event("mag1", NodeSeen("acc1", HOSTS["mn1"], Sighting.STATION))
    domain.run(SECOND)
    entry = domain.at("mag1")
    assert (entry.interface, entry.identity) == ("acc1", _NAI)
    assert domain.plane("mag1").state.slots[entry.slot] == EnsureDelivery(entry.slot, "acc1", HOSTS["mn1"])
    assert len(domain.lma.cache) == 1


def test_6_6_two_interfaces_of_one_node_have_a_session_each() -> None:
    both = tuple(GatewayProfile(HOSTS[host], _NAI) for host in ("mn1", "mn2"))
    domain = _attached(profiles=both)
    domain.attach("mn2", "mag1")
    domain.run(SECOND)
    assert len(domain.lma.cache.of(_NAI)) == 2
    assert domain.at("mag1", "mn1").anchored != domain.at("mag1", "mn2").anchored


# --- 6.3 kinds of links -----------------------------------------------------------------------------------------------


def test_6_3_nodes_on_a_shared_link_have_ways_and_advertisements_of_their_own() -> None:
    """Text: "as long as the link is configured in such a way that it emulates point-to-point delivery"."""
    domain = _attached()
    domain.attach("mn2", "mag1")
    domain.run(SECOND)
    sent = {advertised.link_layer: advertised.prefixes for _, advertised in domain.members["mag1"].advertised}
    assert {link_layer: [each.prefix for each in prefixes] for link_layer, prefixes in sent.items()} == {
        HOSTS["mn1"]: [home(0)],
        HOSTS["mn2"]: [home(1)],
    }
    assert len(domain.plane("mag1").state.slots) == 2


def test_6_3_on_a_dedicated_link_who_comes_takes_the_place_of_who_was_there() -> None:
    domain = _attached(dedicated=("acc0",))
    domain.attach("mn2", "mag1")
    domain.run(SECOND)
    assert set(domain.mag("mag1").sessions) == {node("mn2")}
    assert domain.entry("mn1").waiting


def test_6_3_a_dedicated_link_that_goes_down_took_its_node_along() -> None:
    domain = _attached(dedicated=("acc0",))
    domain.event("mag1", LinkChanged("acc0", up=False))
    domain.run(SECOND)
    assert domain.mag("mag1").sessions == {}
    domain = _attached()
    domain.event("mag1", LinkChanged("acc0", up=False))  # a bridge with many nodes behind it says so one by one
    domain.run(SECOND)
    assert domain.at("mag1").presence is Presence.SERVED


# --- 6.7 the home network on every link -------------------------------------------------------------------------------


def test_6_7_nothing_is_advertised_before_the_registration_is_complete() -> None:
    """Text: "SHOULD send the Router Advertisements advertising the mobile node's home network prefix(es) only after
    successfully completing the binding registration"."""
    domain = ProxyDomain(delays={("mag1", "lma"): 40 * MILLISECOND})
    domain.attach("mn1", "mag1")
    domain.event("mag1", NodeSeen("acc0", HOSTS["mn1"], Sighting.ROUTER_SOLICITATION))
    domain.run(79 * MILLISECOND)
    assert domain.members["mag1"].advertised == []
    domain.run(MILLISECOND)
    assert [each.prefix for each in domain.advertisement("mag1").prefixes] == [home(0)]


def test_6_7_the_node_sees_the_same_link_everywhere() -> None:
    domain = _attached()
    first = domain.advertisement("mag1")
    domain.roam("mn1", "mag1", "mag2", SECOND)
    assert domain.advertisement("mag2") == first


# --- 6.8 the link-local address of the gateway ------------------------------------------------------------------------


def test_6_8_a_fixed_address_needs_no_signalling() -> None:
    domain = _attached()
    assert domain.advertisement("mag1").router == FIXED_LINK_LOCAL
    assert updates(domain, "mag1", "lma")[0].first(LinkLocalAddress) is None


def test_6_8_the_address_that_the_lma_made_is_shown_at_every_gateway() -> None:
    """Text: "be generated by the local mobility anchor and be stored in the mobile node's Binding Cache entry. This
    address will not change for the duration of that mobile node's mobility session"."""
    domain = _attached(link_local_of_lma=True)
    made = domain.entry().link_local
    assert made is not None
    assert domain.advertisement("mag1").router == made
    assert domain.plane("mag1").state.logical_interfaces == {("acc0", made)}
    domain.roam("mn1", "mag1", "mag2", SECOND)
    assert domain.advertisement("mag2").router == made
    assert domain.plane("mag2").state.logical_interfaces == {("acc0", made)}
    assert domain.plane("mag1").state.logical_interfaces == set()


def test_6_8_every_node_has_its_own() -> None:
    domain = _attached(link_local_of_lma=True)
    domain.attach("mn2", "mag1")
    domain.run(SECOND)
    assert len(domain.plane("mag1").state.logical_interfaces) == 2
    domain.event("mag1", NodeDetached("acc0", HOSTS["mn2"]))
    domain.run(2 * SECOND)
    assert domain.plane("mag1").state.logical_interfaces == {("acc0", domain.entry().link_local)}


def test_the_address_is_there_before_the_node_hears_of_it() -> None:
    domain = _attached(link_local_of_lma=True)
    effects = [effect for _, name, effect in domain.effects if name == "mag1"]
    kinds = [type(effect) for effect in effects]
    assert kinds.index(EnsureLogicalInterface) < kinds.index(type(domain.advertisement("mag1")))


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_flood_of_invented_nodes_takes_no_place_from_those_who_are_here() -> None:
    domain = _attached(nodes=20, new_nodes_per_second=1000)
    domain.event("mag1", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
    for number in range(500):
        domain.run(MILLISECOND)
        domain.event("mag1", NodeSeen("acc0", b"\x02\x99\x00\x00" + number.to_bytes(2, "big"), Sighting.STATION))
    assert len(domain.mag("mag1").sessions) == 20
    assert node("mn1") in domain.mag("mag1").sessions


def test_hints_are_bounded() -> None:
    domain = ProxyDomain()
    for number in range(5000):
        domain.mag("mag1")._expect(number.to_bytes(6, "big"), Handoff.BETWEEN_GATEWAYS)
    assert len(domain.mag("mag1")._hints) == 1024


def test_a_prefix_that_no_node_can_have_is_not_served() -> None:
    """An LMA that errs, or that somebody else made: the node gets nothing from it, and nothing else changes."""
    domain = ProxyDomain(lma={"pools": (prefix("fe80::/48"),)})
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    assert domain.at("mag1").anchored == {}
    assert domain.plane("mag1").state.prefixes == {}
    assert domain.reported("mag1", "anchor-refused") == 1
