"""Flow mobility (RFC 7864): flows move between the access links of a node."""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureDelivery, EnsureTunnel
from sojourn.core.events import Commanded
from sojourn.dataplane.state import Way
from sojourn.engines.configuration import GatewayProfile
from sojourn.engines.registration import identifier_option
from sojourn.engines.way_settings import FlowMobilityOfLma, FlowMobilityOfMag
from sojourn.wire import HomeNetworkPrefix, MobileNodeIdentifier, MobilityOption
from sojourn.wire.addresses import Address, Prefix, address, link_layer_text, prefix
from sojourn.wire.extensions.rfc7077 import UpdateNotification, UpdateNotificationAcknowledgement
from sojourn.wire.units import SECOND
from support.pmip import LMA, ProxyDomain, gateway, home
from support.table import HOSTS

ANN, BOB = b"\x01ann@example.net", b"\x01bob@example.net"
LINKS = {"mn1": ANN, "mn2": ANN, "mn3": BOB, "mn4": ANN}
PROFILES = tuple(GatewayProfile(HOSTS[name], node) for name, node in LINKS.items())
FIRST, SECOND_ONE, THIRD = home(0), home(1), home(2)
FLOW_MOBILITY = 8


def links(
    places: dict[str, str] | None = None,
    lma: FlowMobilityOfLma | None = None,
    mag: FlowMobilityOfMag | None = None,
) -> ProxyDomain:
    """A node has one link at mag1 and one at mag2, with a prefix on each."""
    domain = ProxyDomain(
        3,
        lma={"flow_mobility": lma or FlowMobilityOfLma()},
        profiles=PROFILES,
        flow_mobility=mag or FlowMobilityOfMag(),
    )
    for host, name in (places or {"mn1": "mag1", "mn2": "mag2"}).items():
        domain.attach(host, name)
        domain.run(3 * SECOND)
    domain.clear()
    return domain


def move(domain: ProxyDomain, moved: Prefix = FIRST, to: str = "mn2", verb: str = "move-flow") -> None:
    words = {"prefix": str(moved), "link_layer": link_layer_text(HOSTS[to])}
    domain.event("lma", Commanded(verb, words))
    domain.run(SECOND // 10)


def initiates(domain: ProxyDomain) -> list[tuple[str, UpdateNotification]]:
    return [(to, message) for _, to, message in domain.sent() if isinstance(message, UpdateNotification)]


def statuses(domain: ProxyDomain) -> list[int]:
    return [one.status for _, _, one in domain.sent() if isinstance(one, UpdateNotificationAcknowledgement)]


def way(domain: ProxyDomain, name: str = "lma", moved: Prefix = FIRST) -> Way | None:
    return domain.plane(name).way(moved)


def initiate(*options: MobilityOption, node: bytes = ANN, reason: int = FLOW_MOBILITY) -> UpdateNotification:
    return UpdateNotification(77, reason, 0x8000, (identifier_option(node), *options))


def off_link(*networks: Prefix) -> tuple[HomeNetworkPrefix, ...]:
    return tuple(HomeNetworkPrefix(one.length, one.address, off_link=True) for one in networks)


# --- 3.2.2, 4.2, 4.3 --------------------------------------------------------------------------------------------------


def test_3_2_2_the_target_is_told_before_packets_change_their_way() -> None:
    domain = links()
    words = {"prefix": str(FIRST), "link_layer": link_layer_text(HOSTS["mn2"])}
    domain.event("lma", Commanded("move-flow", words))
    assert way(domain) == EnsureTunnel(1, gateway(1))
    domain.run(SECOND // 10)
    ((to, message),) = initiates(domain)
    assert (to, message.reason) == ("mag2", FLOW_MOBILITY)
    assert statuses(domain) == [0]
    assert way(domain) == EnsureTunnel(2, gateway(2))


def test_4_2_an_initiate_has_the_node_and_the_prefixes_off_link() -> None:
    """Text: "MUST contain the MN-ID, followed by one or more Home Network Prefix Options", with L set (3.2.2)."""
    domain = links()
    move(domain)
    ((_, message),) = initiates(domain)
    kinds = [type(option) for option in message.options[:2]]
    assert kinds == [MobileNodeIdentifier, HomeNetworkPrefix]
    assert [(option.prefix, option.off_link) for option in message.all(HomeNetworkPrefix)] == [(FIRST, True)]


def test_4_3_an_acknowledgement_has_the_node_and_the_prefixes() -> None:
    domain = links()
    move(domain)
    (answer,) = [one for _, _, one in domain.sent() if isinstance(one, UpdateNotificationAcknowledgement)]
    assert [option.key() for option in answer.all(MobileNodeIdentifier)] == [ANN]
    assert [option.prefix for option in answer.all(HomeNetworkPrefix)] == [FIRST]


def test_3_2_2_the_target_routes_the_prefix_and_does_not_advertise_it() -> None:
    """Text: "these prefixes are not anchored by the target MAG, and therefore the MAG MUST NOT advertise them"."""
    domain = links()
    move(domain)
    assert way(domain, "mag2") == EnsureDelivery(1, "acc0", HOSTS["mn2"])
    assert domain.plane("mag2").state.uplinks == {SECOND_ONE: LMA, FIRST: LMA}
    domain.event("mag2", Commanded("refresh"))
    domain.run(SECOND)
    assert all(
        [one.prefix for one in effect.prefixes] == [SECOND_ONE] for _, effect in domain.members["mag2"].advertised
    )
    assert list(domain.at("mag2", "mn2").anchored) == [SECOND_ONE]


def test_5_2_both_sides_show_what_is_moved() -> None:
    domain = links()
    move(domain)
    assert [row["flows"] for row in domain.lma.show("bindings", domain.now)] == [[], [str(FIRST)]]
    assert [row["flows"] for row in domain.mag("mag2").show("sessions", domain.now)] == [[str(FIRST)]]


def test_4_2_prefixes_that_are_not_listed_any_more_are_removed() -> None:
    domain = links()
    move(domain)
    domain.clear()
    move(domain, verb="return-flow")
    assert way(domain) == EnsureTunnel(1, gateway(1))
    assert [to for to, _ in initiates(domain)] == ["mag2"]
    assert way(domain, "mag2") is None
    assert domain.plane("mag2").state.uplinks == {SECOND_ONE: LMA}


def test_3_2_2_both_flows_on_one_link() -> None:
    domain = links()
    move(domain)
    move(domain, SECOND_ONE, "mn1")
    assert (way(domain), way(domain, moved=SECOND_ONE)) == (EnsureTunnel(2, gateway(2)), EnsureTunnel(1, gateway(1)))


def test_3_2_2_a_flow_moves_on_to_a_third_link() -> None:
    domain = links({"mn1": "mag1", "mn2": "mag2", "mn4": "mag3"})
    move(domain)
    move(domain, to="mn4")
    assert way(domain) == EnsureTunnel(3, gateway(3))
    assert way(domain, "mag2") is None
    assert way(domain, "mag3") == EnsureDelivery(1, "acc0", HOSTS["mn4"])


def test_3_2_2_two_links_at_one_gateway() -> None:
    domain = links({"mn1": "mag1", "mn2": "mag1"})
    move(domain)
    assert way(domain, "mag1") == EnsureDelivery(2, "acc0", HOSTS["mn2"])
    move(domain, verb="return-flow")
    assert way(domain, "mag1") == EnsureDelivery(1, "acc0", HOSTS["mn1"])
    assert domain.plane("mag1").state.uplinks[FIRST] == LMA


# --- attachments that change (3.3) ------------------------------------------------------------------------------------


def test_3_3_a_target_that_roams_takes_its_flows_along() -> None:
    """Text: "the PBA sent in response ... can convey the same signaling that the FMI does"."""
    domain = links()
    move(domain)
    domain.attach("mn2", "mag3")
    domain.run(SECOND)
    assert way(domain) == EnsureTunnel(2, gateway(3))
    assert way(domain, "mag3") == EnsureDelivery(1, "acc0", HOSTS["mn2"])


def test_a_flow_returns_when_its_link_is_gone() -> None:
    domain = links()
    move(domain)
    domain.detach("mn2", "mag2")
    domain.run(SECOND)
    assert way(domain) == EnsureTunnel(1, gateway(1))
    assert way(domain, "mag2") is None


def test_a_flow_goes_on_while_its_own_link_roams_and_after_it_left() -> None:
    domain = links()
    move(domain)
    domain.roam("mn1", "mag1", "mag3", settle=SECOND)
    assert way(domain) == EnsureTunnel(2, gateway(2))
    domain.detach("mn1", "mag3")
    domain.run(SECOND)
    assert way(domain) == EnsureTunnel(2, gateway(2))
    domain.run(30 * SECOND)  # now the session that the prefix belongs to is over
    assert way(domain) is None
    assert way(domain, "mag2") is None


def test_nothing_is_left_of_sessions_that_ended() -> None:
    domain = links()
    move(domain)
    for host, name in (("mn1", "mag1"), ("mn2", "mag2")):
        domain.detach(host, name)
    domain.run(60 * SECOND)
    (there,), (here,) = domain.lma.extensions, domain.mag("mag2").extensions
    assert not (there._moved)
    assert not (there._wanted)
    assert not (there._asked)
    assert not (here._taken)
    assert not (here._taker)


# --- messages that are lost, and gateways that decline ----------------------------------------------------------------


def test_4_2_an_initiate_is_repeated_and_given_up() -> None:
    domain = links()
    domain.lose = lambda source, destination, message: isinstance(message, UpdateNotification)
    move(domain)
    domain.run(10 * SECOND)
    assert [message.flags for _, message in initiates(domain)] == [0x8000, 0xC000, 0xC000, 0xC000]
    assert way(domain) == EnsureTunnel(1, gateway(1))
    assert domain.reported("lma", "flow-mobility-unanswered") == 1


def test_4_3_a_gateway_that_declines_leaves_the_flow_where_it_is() -> None:
    domain = links(mag=FlowMobilityOfMag(most=1))
    move(domain)
    domain.clear()
    domain.inject(LMA, "mag2", initiate(*off_link(FIRST, THIRD)))
    assert statuses(domain) == [131]
    assert way(domain, "mag2") == EnsureDelivery(1, "acc0", HOSTS["mn2"])


def test_4_3_a_node_that_is_not_attached() -> None:
    domain = links()
    domain.inject(LMA, "mag3", initiate(*off_link(FIRST)))
    assert statuses(domain) == [132]


def test_a_gateway_without_it_says_so_and_nothing_moves() -> None:
    domain = links()
    domain.reconfigure("mag2", flow_mobility=None)
    domain.attach("mn2", "mag2")
    domain.run(3 * SECOND)
    move(domain)
    domain.run(10 * SECOND)
    assert way(domain) == EnsureTunnel(1, gateway(1))


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [address("2001:db8:bad::1"), gateway(1)])
def test_8_only_an_lma_of_this_gateway_moves_flows(source: Address) -> None:
    domain = links()
    domain.inject(source, "mag2", initiate(*off_link(FIRST)))
    assert statuses(domain) == []
    assert way(domain, "mag2") is None
    assert domain.reported("mag2", "flow-mobility-unexpected") == 1


def test_8_a_prefix_of_another_node_is_not_moved() -> None:
    domain = links({"mn1": "mag1", "mn2": "mag2", "mn3": "mag2"})
    domain.inject(LMA, "mag2", initiate(*off_link(home(2))))
    assert statuses(domain) == [131]
    assert way(domain, "mag2", home(2)) == EnsureDelivery(2, "acc0", HOSTS["mn3"])


@pytest.mark.parametrize("unsound", ["2000::/3", "fe80::/64", "ff00::/64"])
def test_8_what_is_no_prefix_for_a_node_is_not_moved(unsound: str) -> None:
    domain = links()
    domain.inject(LMA, "mag2", initiate(*off_link(prefix(unsound))))
    assert statuses(domain) == [131]
    assert list(domain.plane("mag2").state.prefixes) == [SECOND_ONE]


@pytest.mark.parametrize("source", [address("2001:db8:bad::1"), gateway(1)])
def test_8_an_acknowledgement_of_somebody_else_moves_nothing(source: Address) -> None:
    domain = links()
    domain.lose = lambda sender, destination, message: sender == "mag2"
    move(domain)
    ((_, message),) = initiates(domain)
    domain.inject(source, "lma", UpdateNotificationAcknowledgement(message.sequence, 0, (identifier_option(ANN),)))
    assert way(domain) == EnsureTunnel(1, gateway(1))


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"prefix": str(FIRST)},
        {"prefix": "2001:db8::/64", "link_layer": "02:00:00:00:01:02"},
        {"prefix": str(FIRST), "link_layer": "02:00:00:00:01:03"},
        {"prefix": str(FIRST), "link_layer": "02:00:00:00:01:01"},
        {"prefix": "x", "link_layer": "02:00:00:00:01:02"},
    ],
    ids=str,
)
def test_commands_that_make_no_sense_are_refused(words: dict[str, str]) -> None:
    domain = links({"mn1": "mag1", "mn2": "mag2", "mn3": "mag2"})
    domain.event("lma", Commanded("move-flow", words))
    assert domain.reported("lma", "command-unknown") == 1
    assert initiates(domain) == []


def test_an_ipv4_home_address_is_not_moved() -> None:
    domain, home = links(), prefix("10.9.0.2/32")
    entry = domain.lma.cache.with_prefix(FIRST)
    assert entry is not None
    domain.lma.cache.change(entry, (*entry.prefixes, home))
    move(domain, home)
    assert domain.reported("lma", "command-unknown") == 1
    assert initiates(domain) == []


def test_moved_flows_are_bounded() -> None:
    domain = links(lma=FlowMobilityOfLma(most=1))
    move(domain)
    move(domain, SECOND_ONE, "mn1")
    assert domain.reported("lma", "command-unknown") == 1
    assert way(domain, moved=SECOND_ONE) == EnsureTunnel(2, gateway(2))
