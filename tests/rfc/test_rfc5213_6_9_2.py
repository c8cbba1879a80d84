"""RFC 5213 6.9.2 to 6.14: advertisements, repetition, routing, presence, and nodes without mobility service, at a MAG.

What the kernel does with packets (6.9.5, 6.10) is in tests/linux.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from sojourn.core.effects import EnsureDelivery
from sojourn.core.events import NodeSeen, Sighting
from sojourn.engines.access_session import Presence
from sojourn.engines.configuration import FIXED_LINK_LAYER, FIXED_LINK_LOCAL, GatewayProfile
from sojourn.wire import Timestamp
from sojourn.wire.addresses import prefix
from sojourn.wire.units import MILLISECOND, SECOND, ticks, wall_clock
from support.messages import stamp, updates
from support.pmip import LMA, ProxyDomain, home
from support.table import EPOCH, HOSTS, node

_VISITORS = prefix("2001:db8:b100::/48")


def _attached(**settings: object) -> ProxyDomain:
    """mn1 is attached to mag1 and registered."""
    domain = ProxyDomain(**settings)  # type: ignore[arg-type]
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    return domain


def _alive(domain: ProxyDomain) -> None:
    """Nodes answer when they are asked."""
    domain.on_probe = lambda name, probe: domain.later(
        MILLISECOND, name, NodeSeen("acc0", probe.link_layer, Sighting.NEIGHBOUR)
    )


# --- 6.9.2 router solicitations ---------------------------------------------------------------------------------------


def test_6_9_2_step_1_a_solicitation_is_answered_with_the_home_prefixes() -> None:
    """Text: "SHOULD send a Router Advertisement message containing the mobile node's home network prefix(es) as the on-
    link prefix(es)"."""
    domain = _attached()
    domain.clear()
    domain.event("mag1", NodeSeen("acc0", HOSTS["mn1"], Sighting.ROUTER_SOLICITATION))
    ((_, shown),) = domain.members["mag1"].advertised
    assert [(each.prefix, each.on_link) for each in shown.prefixes] == [(home(0), True)]
    assert shown.link_layer == HOSTS["mn1"]


def test_6_9_2_steps_1_and_2_not_before_the_registration_and_not_without_one() -> None:
    """Text: "before sending the Router Advertisement message ..., it SHOULD complete the binding registration process";
    "failed to complete the binding registration process for whatever reason, ... MUST NOT advertise"."""
    domain = ProxyDomain()
    domain.crash("lma")
    domain.attach("mn1", "mag1")
    for _ in range(100):
        domain.run(SECOND)
        domain.event("mag1", NodeSeen("acc0", HOSTS["mn1"], Sighting.ROUTER_SOLICITATION))
    assert domain.members["mag1"].advertised == []


@pytest.mark.parametrize("mtu", [1500, 9000])
def test_6_9_2_step_3_the_mtu_of_the_tunnel(mtu: int) -> None:
    """Text: "SHOULD add the MTU option"; "The MTU value SHOULD reflect the tunnel MTU"; 6.9.5: "an administratively
    configured default value MUST be used"; "MUST be computed ... as specified in Section 6.7 of [RFC2473]": 40 less."""
    assert _attached(mtu=mtu).advertisement("mag1").mtu == mtu - 40


def test_advertisements_are_repeated_before_their_lifetime_ends() -> None:
    domain = _attached()
    _alive(domain)
    domain.clear()
    domain.run(1000 * SECOND)
    times = [now for now, _ in domain.members["mag1"].advertised]
    assert max(later - earlier for earlier, later in pairwise(times)) <= 100 * SECOND


# --- 6.9.3 the default router -----------------------------------------------------------------------------------------


def test_6_9_3_one_and_the_same_router_everywhere() -> None:
    """Text: "use the same link-local and link-layer address on any of the access links"; the variables
    FixedMAGLinkLocalAddressOnAllAccessLinks and FixedMAGLinkLayerAddressOnAllAccessLinks "SHOULD be used"."""
    domain = _attached()
    domain.roam("mn1", "mag1", "mag2", SECOND)
    for name in ("mag1", "mag2"):
        shown = domain.advertisement(name)
        assert (shown.router, shown.router_link_layer) == (FIXED_LINK_LOCAL, FIXED_LINK_LAYER)


# --- 6.9.4 repetition -------------------------------------------------------------------------------------------------


def _unanswered(domain: ProxyDomain, seconds: int) -> list[tuple[int, int, int]]:
    """Milliseconds since the first, sequence number and age of the Timestamp of what mag1 sends to a dead LMA."""
    domain.crash("lma")
    start = domain.now
    domain.attach("mn1", "mag1")
    domain.run(seconds * SECOND)
    sent = [(now, update) for now, _, _, update in domain.messages if _ == "lma" and now >= start]
    found = []
    for now, update in sent:
        option = update.first(Timestamp)
        age = 0 if option is None else EPOCH + now - wall_clock(option.ticks)
        found.append(((now - start) // MILLISECOND, update.sequence, round(age / MILLISECOND)))  # type: ignore[attr-defined]
    return found


def test_6_9_4_steps_1_to_3_repeated_until_answered_with_doubling_pauses() -> None:
    """Text: "SHOULD retransmit the message until a response is received"; "MUST use an exponential back-off process in
    which the timeout period is doubled upon each retransmission, until ... MAX_BINDACK_TIMEOUT"."""
    domain = ProxyDomain()
    _alive(domain)
    times = [time for time, _, _ in _unanswered(domain, 200)]
    assert times[:8] == [0, 1000, 3000, 7000, 15000, 31000, 63000, 95000]
    domain.restart("lma", store=False)
    domain.run(33 * SECOND)
    assert domain.at("mag1").confirmed


def test_6_9_4_step_2_a_node_that_left_is_not_registered_again() -> None:
    """Text: "MUST ensure the mobile node is still attached to the connected link before retransmitting the message"."""
    domain = ProxyDomain()
    domain.crash("lma")
    domain.attach("mn1", "mag1")
    domain.run(2 * SECOND)
    domain.detach("mn1", "mag1")
    domain.clear()
    domain.run(100 * SECOND)
    assert all(update.lifetime == 0 for update in updates(domain, "mag1", "lma"))


def test_6_9_4_step_2_a_silent_node_is_asked_and_let_go_while_the_lma_is_silent_too() -> None:
    domain = ProxyDomain()
    domain.crash("lma")
    domain.attach("mn1", "mag1")
    domain.run(60 * SECOND)
    assert len(domain.members["mag1"].probes) == 3
    assert domain.mag("mag1").sessions == {}


def test_6_9_4_step_4_every_repetition_has_the_time_of_its_own() -> None:
    """Text: "the retransmitted Proxy Binding Update messages MUST use the latest timestamp"."""
    domain = ProxyDomain()
    _alive(domain)
    sent = _unanswered(domain, 100)
    assert [age for _, _, age in sent] == [0] * len(sent)
    assert [sequence for _, sequence, _ in sent] == list(range(1, len(sent) + 1))


def test_6_9_4_step_4_without_timestamps_the_sequence_number_is_greater() -> None:
    """Text: "MUST use a Sequence Number value greater than that was used for the previous transmission"."""
    domain = ProxyDomain(timestamp_based_approach_in_use=False)
    _alive(domain)
    assert [sequence for _, sequence, _ in _unanswered(domain, 40)] == [1, 2, 3, 4, 5, 6]


def test_6_9_4_no_more_than_three_messages_a_second_about_one_node() -> None:
    """RFC 6275 11.8, MAX_UPDATE_RATE: "rate limiting the Proxy Binding Update messages"."""
    domain = ProxyDomain()
    for _ in range(20):
        domain.roam("mn1", "mag1", "mag1", 20 * MILLISECOND)
    assert len(updates(domain, "mag1", "lma")) <= 4


# --- 6.10 routing -----------------------------------------------------------------------------------------------------


def test_6_10_5_packets_of_a_node_go_to_its_lma_and_only_with_a_binding() -> None:
    """Text: "MUST ensure that there is an established binding for that mobile node with its local mobility anchor
    before forwarding the packet"; "the packet MUST be forwarded to the local mobility anchor through the bi-directional
    tunnel"; packets to it go "on the interface where the destination network prefix is hosted"."""
    domain = ProxyDomain(delays={("mag1", "lma"): 50 * MILLISECOND})
    domain.attach("mn1", "mag1")
    domain.run(99 * MILLISECOND)
    assert domain.plane("mag1").state.uplinks == {}
    domain.run(MILLISECOND)
    assert domain.plane("mag1").state.uplinks == {home(0): LMA}
    entry = domain.at("mag1")
    assert domain.plane("mag1").way(home(0)) == EnsureDelivery(entry.slot, "acc0", HOSTS["mn1"])


# --- 6.12 renumbering: see test_rfc5213_6_9_1 -------------------------------------------------------------------------


# --- 6.13 presence ----------------------------------------------------------------------------------------------------


def test_6_13_before_a_refresh_the_node_is_asked_whether_it_is_there() -> None:
    """Text: "MUST make sure the mobile node is still attached to the connected link by using some reliable method"."""
    domain = _attached(lifetime=60 * SECOND)
    _alive(domain)
    domain.clear()
    domain.run(31 * SECOND)
    assert len(domain.members["mag1"].probes) == 1
    assert [update.lifetime for update in updates(domain, "mag1", "lma")] == [60 * SECOND]


def test_6_13_a_silent_node_is_not_refreshed_but_deregistered() -> None:
    """Text: "If the mobile access gateway cannot predictably detect the presence ..., it MUST NOT attempt to extend the
    registration lifetime"; "SHOULD terminate the binding ... with lifetime value set to 0. It MUST also remove any
    local state"."""
    domain = _attached(lifetime=60 * SECOND)
    domain.clear()
    domain.run(36 * SECOND)
    assert len(domain.members["mag1"].probes) == 3
    assert {update.lifetime for update in updates(domain, "mag1", "lma")} == {0}
    assert domain.mag("mag1").sessions == {}
    assert domain.entry().waiting


def test_6_13_a_node_that_just_spoke_need_not_be_asked() -> None:
    domain = _attached(lifetime=60 * SECOND)
    domain.run(25 * SECOND)
    domain.event("mag1", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
    domain.run(5 * SECOND)
    assert domain.members["mag1"].probes == []
    assert [update.lifetime for update in updates(domain, "mag1", "lma")] == [60 * SECOND] * 2


# --- 6.14 other nodes -------------------------------------------------------------------------------------------------


def test_6_14_who_is_not_entitled_gets_a_local_prefix_and_plain_routing() -> None:
    """Text: "MUST determine if network-based mobility management service should be offered"; "SHOULD be able to obtain
    IPv6 address(es) using the normal IPv6 address configuration procedures ... from a local visitor network prefix"."""
    guests = (GatewayProfile(HOSTS["mn2"], service=False),)
    domain = _attached(profiles=guests, visitors=_VISITORS)
    domain.attach("mn2", "mag1")
    domain.run(SECOND)
    local = _VISITORS.subnet(0, 64)
    assert updates(domain, "mag1", "lma") == updates(domain, "mag1", "lma")[:1]
    assert domain.plane("mag1").state.uplinks == {home(0): LMA, local: None}
    assert [each.prefix for each in domain.advertisement("mag1").prefixes] == [local]
    assert domain.advertisement("mag1").lifetime > 0


def test_6_14_a_visitor_is_looked_after_and_forgotten_when_it_left() -> None:
    domain = ProxyDomain(everybody=GatewayProfile(service=False), visitors=_VISITORS, lifetime=60 * SECOND)
    _alive(domain)
    domain.attach("mn1", "mag1")
    domain.run(300 * SECOND)
    assert domain.at("mag1").presence is Presence.SERVED
    domain.on_probe = lambda name, probe: None
    domain.run(60 * SECOND)
    assert domain.mag("mag1").sessions == {}
    state = domain.plane("mag1").state
    assert not any((state.slots, state.prefixes, state.uplinks, domain.members["mag1"].store))
    assert domain.sent() == []


def test_6_14_without_a_pool_for_visitors_they_get_nothing() -> None:
    domain = ProxyDomain(everybody=GatewayProfile(service=False))
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    assert domain.mag("mag1").sessions == {}
    assert domain.members["mag1"].advertised == []
    assert domain.plane("mag1").state.slots == {}
    assert node("mn1") not in domain.members["mag1"].store


def test_timestamps_follow_the_clock_of_the_machine_when_it_is_set() -> None:
    """5.5, 4.: "the elapsed time past the same reference epoch"."""
    domain = ProxyDomain()
    domain.skew("mag1", 100 * MILLISECOND)
    domain.attach("mn1", "mag1")
    (update,) = updates(domain, "mag1", "lma")
    assert update.all(Timestamp) == (Timestamp(stamp(domain, 100 * MILLISECOND)),)
    assert update.all(Timestamp)[0].ticks > ticks(EPOCH)
