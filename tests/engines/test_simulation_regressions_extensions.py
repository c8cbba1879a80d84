"""Defects of extensions of LMA and MAG that the fault simulation (tests/sim) found; each once, and never again."""

from __future__ import annotations

from dataclasses import replace

from sojourn.core.effects import EnsureDelivery
from sojourn.core.events import Commanded
from sojourn.engines.configuration import Gateway, GatewayProfile
from sojourn.engines.extension_settings import NotificationSettings, RenumberingSettings
from sojourn.engines.way_settings import FlowMobilityOfLma, FlowMobilityOfMag, MultipathOfLma, MultipathOfMag
from sojourn.wire.addresses import address, link_layer_text
from sojourn.wire.units import SECOND
from support.pmip import ProxyDomain, gateway
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


def test_a_flow_that_was_moved_stays_where_it_is_when_its_own_link_comes_to_the_same_gateway() -> None:
    """Who came last had the way, whatever the LMA wanted."""
    profiles = tuple(GatewayProfile(HOSTS[host], node("mn1")) for host in ("mn1", "mn2"))
    settings = {"profiles": profiles, "flow_mobility": FlowMobilityOfMag()}
    domain = ProxyDomain(2, lma={"flow_mobility": FlowMobilityOfLma()}, **settings)
    for host, name in (("mn1", "mag1"), ("mn2", "mag2")):
        domain.attach(host, name)
        domain.run(3 * SECOND)
    (moved,) = domain.at("mag1", "mn1").anchored
    words = {"prefix": str(moved), "link_layer": link_layer_text(HOSTS["mn2"])}
    domain.event("lma", Commanded("move-flow", words))
    domain.run(SECOND)
    domain.detach("mn1", "mag1")
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    assert moved in domain.at("mag2", "mn1").anchored
    slot = domain.at("mag2", "mn2").slot
    assert domain.plane("mag2").way(moved) == EnsureDelivery(slot, "acc0", HOSTS["mn2"])
