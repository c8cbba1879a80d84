"""Defects of extensions of LMA and MAG that the fault simulation (tests/sim) found; each once, and never again."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from sojourn.core.effects import EnsureCounter, EnsureDelivery, EnsurePrefix, EnsureUplink
from sojourn.core.events import Commanded, EffectFailed, HandoverExpected, NodeSeen, Sighting
from sojourn.engines.configuration import Gateway, GatewayProfile
from sojourn.engines.extension_settings import (
    NotificationSettings,
    RedirectSettings,
    RenumberingSettings,
    RevocationSettings,
)
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.way_settings import (
    BulkRegistrationOfLma,
    BulkRegistrationOfMag,
    FlowMobilityOfLma,
    FlowMobilityOfMag,
    MultipathOfLma,
    MultipathOfMag,
)
from sojourn.wire.addresses import Prefix, address, link_layer_text, prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support.pmip import LMA, LMA2, ProxyDomain, gateway, request
from support.pmip_extensions import command
from support.table import HOSTS, node


def test_a_flow_that_was_moved_to_another_link_at_the_same_gateway_stays_there_when_its_own_link_goes() -> None:
    """The gateway took the way along with the session of the link that left."""
    profiles = tuple(GatewayProfile(HOSTS[host], node("mn1")) for host in ("mn1", "mn2"))
    settings = {"profiles": profiles, "flow_mobility": FlowMobilityOfMag()}
    domain = ProxyDomain(2, lma={"flow_mobility": FlowMobilityOfLma()}, **settings)
    for host in ("mn1", "mn2"):
        domain.attach(host, "mag1")
        domain.run(3 * SECOND)
    (moved,) = domain.at("mag1", "mn1").anchored
    words = {"prefix": str(moved), "link_layer": link_layer_text(HOSTS["mn2"])}
    domain.event("lma", Commanded("move-flow", words))
    domain.run(SECOND)
    domain.detach("mn1", "mag1")
    domain.run(SECOND)
    slot = domain.at("mag1", "mn2").slot
    assert domain.plane("mag1").way(moved) == EnsureDelivery(slot, "acc0", HOSTS["mn2"])
    assert moved in domain.plane("mag1").state.uplinks


def test_old_prefixes_of_a_node_that_left_are_not_forwarded_any_more() -> None:
    """RFC 5213 5.3.5: traffic of a node that left is dropped; that to the prefixes before a renumbering was not."""
    domain = ProxyDomain(
        2,
        lma={"update_notification": NotificationSettings(), "renumbering": RenumberingSettings(30 * SECOND)},
        update_notification=True,
        renumbering=True,
    )
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    assert command(domain, "lma", "renumber", node=node("mn1").hex(), mode="soft")
    domain.run(SECOND)
    domain.detach("mn1", "mag1")
    domain.run(SECOND)
    assert domain.plane("lma").state.prefixes == {}


@pytest.mark.parametrize("refused", [EnsureCounter, EnsurePrefix])
def test_what_a_kernel_refuses_of_prefixes_that_are_only_offered_is_made_up_for(refused: type) -> None:
    """They were no session's yet, so nobody tried again (`extended` 400148)."""
    settings = {"update_notification": NotificationSettings(), "renumbering": RenumberingSettings(5 * SECOND)}
    domain = ProxyDomain(2, lma=settings, update_notification=True, renumbering=True)
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    plane = domain.plane("lma")
    plane.trouble = lambda effect: OSError(errno.ENOMEM, "no room") if isinstance(effect, refused) else None
    domain.lose = lambda source, destination, message: source == "mag1"
    assert command(domain, "lma", "renumber", node=node("mn1").hex(), mode="soft")
    plane.trouble = None
    domain.run(900 * MILLISECOND)
    domain.lose = lambda source, destination, message: False
    domain.run(10 * SECOND)
    (new,) = domain.entry().prefixes
    assert (set(plane.state.prefixes), plane.state.counters) == ({new}, {new})


def test_a_path_that_is_asked_for_while_the_first_one_is_extended_is_asked_for_anew() -> None:
    """Without timestamps the request had a sequence number of before, and was repeated with that for ever."""
    second = address("2001:db8:b1::2")
    domain = ProxyDomain(2, timestamp_based_approach_in_use=False)
    known = (Gateway(gateway(1), "mag1", (second,)), Gateway(gateway(2), "mag2"))
    anchor = replace(domain.lma_configurations["lma"], gateways=known, multipath=MultipathOfLma())
    domain.lma_configurations["lma"] = anchor
    domain.restart("lma", store=False)
    domain.reconfigure("mag1", multipath=MultipathOfMag(identifier=b"\x01mag1", care_of=(second,)))
    domain.attach("mn1", "mag1")
    domain.run(2 * SECOND)
    domain.lose = lambda source, destination, message: source == "mag1"
    domain.event("mag1", Commanded("path", {"address": "2001:db8:b1::2", "state": "down"}))
    domain.run(SECOND // 100)
    domain.lose = lambda source, destination, message: False
    domain.event("mag1", Commanded("refresh"))  # its request has the next number, and arrives first
    domain.run(20 * SECOND)
    assert len(domain.mag("mag1")._requests) == 0


def _flow_moved(**settings: object) -> tuple[ProxyDomain, Prefix]:
    """A node with a link at each gateway, and the prefix of the first link, which the LMA has moved to the second."""
    profiles = tuple(GatewayProfile(HOSTS[host], node("mn1")) for host in ("mn1", "mn2"))
    settings |= {"profiles": profiles, "flow_mobility": FlowMobilityOfMag()}
    domain = ProxyDomain(2, lma={"flow_mobility": FlowMobilityOfLma()}, **settings)
    for host, name in (("mn1", "mag1"), ("mn2", "mag2")):
        domain.attach(host, name)
        domain.run(3 * SECOND)
    (moved,) = domain.at("mag1", "mn1").anchored
    words = {"prefix": str(moved), "link_layer": link_layer_text(HOSTS["mn2"])}
    domain.event("lma", Commanded("move-flow", words))
    domain.run(SECOND)
    return domain, moved


def test_a_flow_that_was_moved_stays_where_it_is_when_its_own_link_comes_to_the_same_gateway() -> None:
    """Who came last had the way, whatever the LMA wanted."""
    domain, moved = _flow_moved()
    domain.detach("mn1", "mag1")
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    assert moved in domain.at("mag2", "mn1").anchored
    slot = domain.at("mag2", "mn2").slot
    assert domain.plane("mag2").way(moved) == EnsureDelivery(slot, "acc0", HOSTS["mn2"])


def _redirecting(**settings: object) -> ProxyDomain:
    """``lma`` assigns ``lma2``, which takes it for a MAG (RFC 6463)."""
    domain = ProxyDomain(2, anchors=2, redirect_anchors=(LMA2,), **settings)  # type: ignore[arg-type]
    ends = (gateway(1), gateway(2))
    known = (Gateway(gateway(1), "mag1"), Gateway(gateway(2), "mag2"), Gateway(LMA, "lma", ends))
    domain.reconfigure("lma2", gateways=known)
    domain.reconfigure("lma", redirect=RedirectSettings((LMA2,)))
    return domain


def _stored(domain: ProxyDomain, name: str) -> BindingUpdateListEntry:
    return BindingUpdateListEntry.restored(node("mn1"), domain.members[name].store[node("mn1")], domain.now)


def test_the_lma_that_the_previous_gateway_tells_of_is_asked_and_has_the_packets_at_once() -> None:
    """Reactive: the LMA of the configuration was asked, and had the packets; it knew of no such prefix."""
    domain = _redirecting(handovers=8)
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    served = dict(domain.at("mag1").anchored)
    domain.lose = lambda source, destination, message: destination.startswith("lma")
    domain.attach("mn1", "mag2")
    domain.run(SECOND // 5)
    assert domain.at("mag2").anchored == served == dict.fromkeys(served, LMA2)
    assert domain.plane("mag2").state.uplinks == served
    assert (_stored(domain, "mag2").anchored, _stored(domain, "mag2").lma) == (served, LMA2)
    domain.lose = lambda source, destination, message: False
    domain.run(3 * SECOND)
    assert domain.at("mag2").confirmed
    assert (domain.at("mag2").anchored, domain.at("mag2").lma) == (served, LMA2)


def test_the_lma_that_is_asked_after_an_assigned_one_fell_silent_is_in_the_store() -> None:
    """After a restart the gateway went back to the one that did not answer."""
    domain = _redirecting(lifetime=20 * SECOND)
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    assert _stored(domain, "mag1").lma == LMA2
    domain.on_probe = lambda name, probe: domain.later(
        SECOND // 1000, name, NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR)
    )
    domain.lose = lambda source, destination, message: destination.startswith("lma")
    domain.run(25 * SECOND)
    assert _stored(domain, "mag1").lma == domain.at("mag1").lma == LMA


@pytest.mark.parametrize("phase", ["predictive", "reactive"])
def test_an_lma_that_a_context_tells_of_and_that_never_answers_is_not_asked_for_ever(phase: str) -> None:
    """The one of the configuration knows better, as when the assigned one falls silent later."""
    domain = _redirecting(handovers=8, lifetime=20 * SECOND)
    domain.on_probe = lambda name, probe: domain.later(
        SECOND // 1000, name, NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR)
    )
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.lose = lambda source, destination, message: destination == "lma2"
    if phase == "predictive":
        domain.event("mag1", HandoverExpected(HOSTS["mn1"], gateway(2)))
        domain.run(SECOND // 10)
        domain.detach("mn1", "mag1")
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    assert domain.at("mag2").lma == LMA2
    domain.run(25 * SECOND)
    assert domain.at("mag2").lma == LMA


def test_without_timestamps_an_lma_in_between_learns_the_sequence_number_of_the_session() -> None:
    """It took the refusal for silence, avoided the LMA that has the session, and the node was turned away."""
    domain = _redirecting(timestamp_based_approach_in_use=False)
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    for _ in range(3):  # the number of the session is ahead of those of the LMA in between
        domain.event("mag1", Commanded("refresh"))
        domain.run(SECOND)
    served = dict(domain.at("mag1").anchored)
    domain.detach("mn1", "mag1")
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    assert domain.reported("lma", "anchor-silent") == 0
    assert domain.at("mag2").confirmed
    assert domain.at("mag2").anchored == served


def _two_links(**settings: object) -> ProxyDomain:
    """mn2 is another link of mn1."""
    profiles = tuple(GatewayProfile(HOSTS[host], node("mn1")) for host in ("mn1", "mn2"))
    return ProxyDomain(3, profiles=profiles, **settings)  # type: ignore[arg-type]


def test_a_request_that_waits_is_over_when_its_link_is_registered_elsewhere() -> None:
    """Its gateway got the session of the other link when that left, and the node lost a prefix (RFC 5213 5.4.1.2)."""
    domain = _two_links()
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.attach("mn2", "mag2")  # a handoff of mn1, or not: the LMA waits
    domain.run(SECOND // 5)
    domain.attach("mn2", "mag1")  # not: both are here
    domain.run(SECOND // 5)
    assert {entry.link_layer for entry in domain.entries()} == {HOSTS["mn1"], HOSTS["mn2"]}
    domain.detach("mn1", "mag1")
    domain.run(SECOND)
    left = next(entry for entry in domain.entries() if entry.link_layer == HOSTS["mn1"])
    assert left.waiting
    assert len(domain.entries()) == 2


@pytest.mark.parametrize("other", ["mag1", "mag2"])
def test_a_link_that_left_while_its_request_waited_ends_that_and_nothing_else(other: str) -> None:
    """Its farewell ended the session of the other link, or was passed over, and its gateway got that session later."""
    domain = _two_links()
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    link = HOSTS["mn2"]
    domain.ask(request(domain, host="mn1", link_layer=link), other)
    domain.run(SECOND // 5)
    assert domain.ask(request(domain, host="mn1", link_layer=link, sequence=2, lifetime=0), other) is None
    assert not domain.entry().waiting
    domain.run(2 * SECOND)
    assert domain.entry().link_layer == HOSTS["mn1"]
    domain.detach("mn1", "mag1")
    domain.run(SECOND)
    assert domain.entry().waiting


def test_a_prefix_that_was_lent_ends_with_the_link_that_it_was_lent_to_when_its_own_is_gone() -> None:
    """Its packets went to a gateway that neither link was at any more."""
    settings = {"lma": {"flow_mobility": FlowMobilityOfLma()}, "flow_mobility": FlowMobilityOfMag()}
    domain = _two_links(**settings)
    for host, name in (("mn1", "mag1"), ("mn2", "mag2")):
        domain.attach(host, name)
        domain.run(3 * SECOND)
    (moved,) = domain.at("mag1", "mn1").anchored
    domain.event("lma", Commanded("move-flow", {"prefix": str(moved), "link_layer": link_layer_text(HOSTS["mn2"])}))
    domain.run(SECOND)
    domain.detach("mn1", "mag1")
    domain.run(SECOND)
    assert moved in domain.plane("lma").state.prefixes
    domain.detach("mn2", "mag2")
    domain.run(SECOND)
    assert domain.plane("lma").state.prefixes == {}


def test_who_waits_for_a_revoked_session_gets_its_own_when_that_goes_on() -> None:
    """The session was registered elsewhere meanwhile, and who waited for its end waited for ever."""
    domain = _two_links(lma={"revocation": RevocationSettings()}, revocation=RevocationSettings())
    domain.on_probe = lambda name, probe: domain.later(
        SECOND // 1000, name, NodeSeen("acc0", probe.link_layer, Sighting.NEIGHBOUR)
    )
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.lose = lambda source, destination, message: destination == "mag1"
    domain.attach("mn2", "mag2")
    domain.run(SECOND // 5)
    domain.attach("mn1", "mag3")
    domain.run(2 * SECOND)
    assert {(entry.link_layer, entry.gateway) for entry in domain.entries()} == {
        (HOSTS["mn1"], gateway(3)),
        (HOSTS["mn2"], gateway(2)),
    }


def test_prefixes_before_a_renumbering_are_spread_over_paths_until_they_end_and_the_new_ones_at_once() -> None:
    """They were spread for ever, the new ones not before a path changed."""
    second = address("2001:db8:b1::2")
    domain = ProxyDomain(2, update_notification=True, renumbering=True, prefix_retirement=5 * SECOND)
    known = (Gateway(gateway(1), "mag1", (second,)), Gateway(gateway(2), "mag2"))
    domain.reconfigure(
        "lma",
        gateways=known,
        multipath=MultipathOfLma(),
        update_notification=NotificationSettings(),
        renumbering=RenumberingSettings(5 * SECOND),
    )
    domain.reconfigure("mag1", multipath=MultipathOfMag(identifier=b"\x01mag1", care_of=(second,)))
    domain.attach("mn1", "mag1")
    domain.run(3 * SECOND)
    (old,) = domain.at("mag1").anchored
    assert set(domain.plane("mag1").state.spreads) == {old}
    assert command(domain, "lma", "renumber", node=node("mn1").hex(), mode="soft")
    domain.run(SECOND)
    (new,) = domain.at("mag1").anchored
    assert set(domain.plane("mag1").state.spreads) == {old, new}
    domain.run(6 * SECOND)
    assert set(domain.plane("mag1").state.spreads) == {new}


def test_a_node_that_asks_for_routers_is_not_extended_with_its_group_alone() -> None:
    """It had been elsewhere unnoticed, its binding was gone, and nobody noticed for eight refreshes (RFC 6602)."""
    settings = {"bulk_registration": BulkRegistrationOfMag(groups=1, alone_after=100), "lifetime": 60 * SECOND}
    domain = ProxyDomain(2, lma={"bulk_registration": BulkRegistrationOfLma()}, **settings)  # type: ignore[arg-type]
    domain.on_probe = lambda name, probe: domain.later(
        SECOND // 1000, name, NodeSeen("acc0", probe.link_layer, Sighting.NEIGHBOUR)
    )
    for host in ("mn1", "mn2"):
        domain.attach(host, "mag1")
        domain.run(SECOND)
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    domain.detach("mn1", "mag2")
    domain.run(20 * SECOND)
    assert domain.entries() == ()
    domain.event("mag1", NodeSeen("acc0", HOSTS["mn1"], Sighting.ROUTER_SOLICITATION))
    domain.run(60 * SECOND)
    assert domain.entry().gateway == gateway(1)


def test_a_way_of_a_visitor_that_the_kernel_refused_is_tried_again() -> None:
    """What a node without mobility service sent was dropped for as long as it stayed (RFC 5213 6.14)."""
    visitors = prefix("2001:db8:c1::/48")
    domain = ProxyDomain(2, visitors=visitors, profiles=(GatewayProfile(HOSTS["mn1"], service=False),))
    domain.attach("mn1", "mag1")
    domain.run(SECOND // 10)
    visitor = domain.at("mag1").visitor
    assert visitor is not None
    del domain.plane("mag1").state.uplinks[visitor]
    domain.event("mag1", EffectFailed(EnsureUplink(visitor, None), 12, "no room"))
    domain.run(3 * SECOND)
    assert domain.plane("mag1").state.uplinks == {visitor: None}


def test_an_old_prefix_that_a_handover_brings_back_and_the_lma_refuses_is_over() -> None:
    """It was in two tables, ended as one of the session, and was still told to the node."""
    settings = {"update_notification": True, "renumbering": True, "handovers": 8, "prefix_retirement": 60 * SECOND}
    anchors = {"update_notification": NotificationSettings(), "renumbering": RenumberingSettings(30 * SECOND)}
    domain = ProxyDomain(2, lma=anchors, **settings)  # type: ignore[arg-type]
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    (old,) = domain.at("mag1").anchored
    assert command(domain, "lma", "renumber", node=node("mn1").hex(), mode="soft")
    domain.run(SECOND)
    engine, session = domain.mag("mag1"), domain.at("mag1")
    assert old in session.retiring
    assert engine._add_foreign(session, old, session.lma)
    assert (old in session.anchored, old in session.retiring) == (True, False)


def test_a_flow_that_was_moved_stays_where_it_is_when_its_own_link_is_about_to_come_to_the_same_gateway() -> None:
    """With a fast handover the gateway waited for the link with all of its prefixes."""
    domain, moved = _flow_moved(handovers=8)
    domain.event("mag1", HandoverExpected(HOSTS["mn1"], gateway(2)))
    domain.run(SECOND // 10)
    assert moved in domain.at("mag2", "mn1").anchored
    slot = domain.at("mag2", "mn2").slot
    assert domain.plane("mag2").way(moved) == EnsureDelivery(slot, "acc0", HOSTS["mn2"])
