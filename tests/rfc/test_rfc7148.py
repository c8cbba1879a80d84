"""Prefixes for the networks behind nodes that are routers (RFC 7148)."""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureDelivery, EnsurePrefix, EnsureTunnel, EnsureUplink
from sojourn.core.events import Commanded, LinkChanged
from sojourn.dataplane.state import Way
from sojourn.engines.way_settings import DelegationOfLma, DelegationOfMag
from sojourn.wire import BindingAcknowledgement, BindingUpdate, Status
from sojourn.wire.addresses import Prefix, address, link_layer_text, prefix
from sojourn.wire.extensions.rfc7148 import DelegatedMobileNetworkPrefix
from sojourn.wire.units import SECOND
from support.pmip import LMA, ProxyDomain, gateway, home, request, status_of
from support.table import HOSTS, node

POOL = prefix("2001:db8:f101::/48")
FIRST, SECOND_ONE = POOL.subnet(0, 56), POOL.subnet(1, 56)
OWN = prefix("2001:db8:aaaa::/56")
IN_USE = int(Status.REQUESTED_DMNP_IN_USE)
NOT_AUTHORIZED = int(Status.NOT_AUTHORIZED_FOR_DELEGATED_MNP)
LMA_SETTINGS = DelegationOfLma((POOL,), nodes=((node("mn7"), (OWN,)),))
ROUTERS = DelegationOfMag(tuple((HOSTS[name], ()) for name in ("mn1", "mn2", "mn7")))
IPV4 = DelegatedMobileNetworkPrefix(True, 24, b"\xc0\0\2\0")
ANY_IPV4 = DelegatedMobileNetworkPrefix(True, 0, bytes(4))
ANY_IPV6 = DelegatedMobileNetworkPrefix(False, 0, bytes(16))


def delegating(
    lma: DelegationOfLma | None = LMA_SETTINGS, mag: DelegationOfMag | None = ROUTERS, gateways: int = 2
) -> ProxyDomain:
    return ProxyDomain(gateways, lma={"delegation": lma}, delegation=mag)


def attached(domain: ProxyDomain, host: str = "mn1", name: str = "mag1") -> ProxyDomain:
    domain.clear()
    domain.attach(host, name)
    domain.run(SECOND)
    return domain


def options(domain: ProxyDomain, kind: type[BindingUpdate | BindingAcknowledgement]) -> list[list[Prefix | None]]:
    """The delegated prefixes in each message of a kind."""
    return [[one.prefix for one in m.all(DelegatedMobileNetworkPrefix)] for _, _, m in domain.sent(kind)]


def held(domain: ProxyDomain, host: str = "mn1") -> object:
    (row,) = [row for row in domain.lma.show("bindings", domain.now) if row["node"] == node(host).hex()]
    return row["delegated"]


def way(domain: ProxyDomain, name: str, network: Prefix = FIRST) -> Way | None:
    return domain.plane(name).way(network)


def named(*networks: Prefix) -> tuple[DelegatedMobileNetworkPrefix, ...]:
    return tuple(map(DelegatedMobileNetworkPrefix.of, networks))


# --- MAG (5.1) --------------------------------------------------------------------------------------------------------


def test_5_1_2_one_option_with_all_zero_asks_for_any() -> None:
    domain = attached(delegating())
    assert options(domain, BindingUpdate) == [[prefix("::/0")]]
    assert options(domain, BindingAcknowledgement) == [[FIRST]]


def test_5_1_2_packets_of_the_network_take_the_tunnel_both_ways() -> None:
    domain = attached(delegating())
    assert way(domain, "lma") == EnsureTunnel(1, gateway(1))
    assert way(domain, "mag1") == EnsureDelivery(1, "acc0", HOSTS["mn1"])
    assert domain.plane("mag1").state.uplinks == {home(0): LMA, FIRST: LMA}


def test_5_1_2_the_network_is_not_advertised_on_the_access_link() -> None:
    domain = attached(delegating())
    assert [option.prefix for option in domain.advertisement("mag1").prefixes] == [home(0)]


def test_3_2_3_prefixes_of_the_policy_profile_are_asked_for_by_name() -> None:
    domain = attached(delegating(mag=DelegationOfMag(((HOSTS["mn7"], (OWN,)),))), "mn7")
    assert options(domain, BindingUpdate) == options(domain, BindingAcknowledgement) == [[OWN]]
    assert way(domain, "lma", OWN) == EnsureTunnel(1, gateway(1))


def test_5_2_2_a_node_with_prefixes_of_its_own_gets_these() -> None:
    domain = attached(delegating(), "mn7")
    assert options(domain, BindingAcknowledgement) == [[OWN]]


def test_5_1_2_a_refresh_names_what_was_granted() -> None:
    domain = attached(delegating())
    domain.clear()
    domain.event("mag1", Commanded("refresh"))
    domain.run(SECOND)
    assert options(domain, BindingUpdate) == options(domain, BindingAcknowledgement) == [[FIRST]]


def test_5_1_3_a_node_that_asks_over_dhcp_is_registered_anew() -> None:
    """The trigger of 5.1.3: a Solicit with IA_PD; the grant is there when the acknowledgement is."""
    domain = attached(delegating(mag=DelegationOfMag(everybody=True)))
    assert options(domain, BindingUpdate) == [[]]
    domain.clear()
    domain.event("mag1", Commanded("delegate", {"node": link_layer_text(HOSTS["mn1"])}))
    domain.run(SECOND)
    assert options(domain, BindingAcknowledgement) == [[FIRST]]
    assert domain.reported("mag1", "delegated") == 1
    assert domain.mag("mag1").show("sessions", domain.now)[0]["delegated"] == [str(FIRST)]


def test_5_1_2_a_node_that_may_not_is_not_asked_for() -> None:
    domain = attached(delegating(mag=DelegationOfMag()))
    for words in ({"node": link_layer_text(HOSTS["mn1"])}, {"node": "02:00:00:00:00:99"}, {"node": "x"}, {}):
        domain.event("mag1", Commanded("delegate", words))
    assert domain.reported("mag1", "command-refused") == 4


def test_5_1_2_prefixes_move_with_the_node() -> None:
    domain = attached(delegating())
    domain.clear()
    domain.roam("mn1", "mag1", "mag2", settle=SECOND)
    assert options(domain, BindingAcknowledgement)[-1] == [FIRST]
    assert way(domain, "lma") == EnsureTunnel(1, gateway(2))
    assert way(domain, "mag1") is None
    assert way(domain, "mag2") == EnsureDelivery(1, "acc0", HOSTS["mn1"])
    assert domain.plane("mag1").state.uplinks == {}


def test_5_1_2_nobody_may_have_one_and_the_node_is_served_without() -> None:
    """Text: "the mobile access gateway MUST NOT enable mobility support for any of the prefixes"."""
    domain = attached(delegating(DelegationOfLma((POOL,), dynamic=False)))
    statuses = [m.status for _, _, m in domain.sent(BindingAcknowledgement) if isinstance(m, BindingAcknowledgement)]
    assert statuses == [NOT_AUTHORIZED, 0]
    assert options(domain, BindingUpdate) == [[prefix("::/0")], []]
    assert domain.at("mag1").confirmed
    assert list(domain.plane("mag1").state.uplinks) == [home(0)]


def test_5_1_2_one_that_is_in_use_is_given_up_for_any_other() -> None:
    """Text: "MAY choose to send Proxy Binding Update message requesting the ... prefix assignment"."""
    domain = attached(delegating(mag=DelegationOfMag(((HOSTS["mn1"], (OWN,)),))))
    statuses = [m.status for _, _, m in domain.sent(BindingAcknowledgement) if isinstance(m, BindingAcknowledgement)]
    assert statuses == [IN_USE, 0]
    assert options(domain, BindingUpdate) == [[OWN], [prefix("::/0")]]
    assert held(domain) == [str(FIRST)]


def test_5_1_4_ways_are_asserted_again_when_the_link_comes_back() -> None:
    domain = attached(delegating())
    domain.clear()
    domain.event("mag1", LinkChanged("acc0", False))
    domain.event("mag1", LinkChanged("acc0", True))
    asked = [effect for _, _, effect in domain.effects]
    assert EnsurePrefix(FIRST, 1) in asked
    assert EnsureUplink(FIRST, LMA) in asked


@pytest.mark.parametrize("unsound", ["fe80::/64", "2000::/3", "::/0"])
def test_5_1_2_an_lma_cannot_delegate_what_is_no_network(unsound: str) -> None:
    domain = attached(delegating())
    domain.clear()
    domain.lose = lambda source, destination, message: source == "lma"
    domain.event("mag1", Commanded("refresh"))
    domain.run(SECOND // 100)
    ((_, _, update),) = domain.sent(BindingUpdate)
    assert isinstance(update, BindingUpdate)
    kept = tuple(option for option in update.options if not isinstance(option, DelegatedMobileNetworkPrefix))
    offered = DelegatedMobileNetworkPrefix.of(prefix(unsound))
    domain.inject(LMA, "mag1", BindingAcknowledgement(0, 0x20, update.sequence, 300 * SECOND, (*kept, offered)))
    assert list(domain.plane("mag1").state.uplinks) == [home(0)]


def test_5_1_2_an_lma_cannot_delegate_the_network_of_another_node() -> None:
    domain = attached(attached(delegating()), "mn2")
    domain.clear()
    domain.lose = lambda source, destination, message: source == "lma"
    domain.event("mag1", Commanded("refresh"))
    domain.run(SECOND // 100)
    for _, _, update in list(domain.sent(BindingUpdate)):
        assert isinstance(update, BindingUpdate)
        stolen = (DelegatedMobileNetworkPrefix.of(FIRST), DelegatedMobileNetworkPrefix.of(home(0)))
        kept = tuple(option for option in update.options if not isinstance(option, DelegatedMobileNetworkPrefix))
        if node("mn2")[1:] in bytes(str(update), "latin1") or FIRST not in [
            option.prefix for option in update.all(DelegatedMobileNetworkPrefix)
        ]:
            domain.inject(LMA, "mag1", BindingAcknowledgement(0, 0x20, update.sequence, 300 * SECOND, (*kept, *stolen)))
    assert way(domain, "mag1") == EnsureDelivery(1, "acc0", HOSTS["mn1"])
    assert domain.reported("mag1", "delegation-unsound") == 2


# --- LMA (5.2) --------------------------------------------------------------------------------------------------------


def test_5_2_2_without_an_option_there_is_no_delegation() -> None:
    """Text: "MUST NOT enable Delegated Prefix support ... MUST NOT contain any" option."""
    domain = attached(delegating(mag=None))
    assert options(domain, BindingAcknowledgement) == [[]]
    assert held(domain) == []


def test_5_2_2_a_refresh_without_an_option_ends_it() -> None:
    domain = attached(delegating())
    assert status_of(domain.ask(request(domain))) == 0
    assert held(domain) == []
    assert way(domain, "lma") is None


def test_5_2_2_an_lma_without_support_ignores_it() -> None:
    domain = attached(delegating(lma=None))
    assert options(domain, BindingAcknowledgement) == [[]]
    assert domain.at("mag1").confirmed


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        (named(POOL.subnet(9, 56)), 0),
        (named(POOL.subnet(9, 60)), IN_USE),
        (named(OWN), IN_USE),
        (named(prefix("2001:db8:f102::/56")), IN_USE),
        (named(*[POOL.subnet(number, 56) for number in range(5)]), IN_USE),
        ((IPV4,), IN_USE),
        ((ANY_IPV4,), 0),
        ((ANY_IPV4, ANY_IPV6), 0),
    ],
)
def test_5_2_2_what_may_be_asked_for(wanted: tuple[DelegatedMobileNetworkPrefix, ...], status: int) -> None:
    domain = delegating()
    assert status_of(domain.ask(request(domain, more=wanted))) == status
    assert (domain.entries() == ()) == (status != 0)


def test_5_2_2_the_network_of_another_node_is_refused() -> None:
    """Text: "assigned to some other mobility node ... MUST be rejected ... REQUESTED_DMNP_IN_USE"."""
    domain = attached(delegating())
    assert status_of(domain.ask(request(domain, host="mn2", more=named(FIRST)), "mag2")) == IN_USE
    assert domain.entries("mn2") == ()
    assert way(domain, "lma") == EnsureTunnel(1, gateway(1))


def test_5_2_2_two_routers_have_two_networks() -> None:
    domain = attached(attached(delegating()), "mn2", "mag2")
    assert (held(domain), held(domain, "mn2")) == ([str(FIRST)], [str(SECOND_ONE)])


def test_5_2_2_an_empty_pool_leaves_the_node_without() -> None:
    small = DelegationOfLma((prefix("2001:db8:f101::/56"),))
    domain = attached(attached(delegating(small)), "mn2")
    assert held(domain, "mn2") == []
    assert domain.reported("lma", "delegation-exhausted") == 1
    assert domain.at("mag1", "mn2").confirmed


def test_5_2_2_with_the_session_its_networks_end() -> None:
    domain = attached(delegating())
    domain.detach("mn1", "mag1")
    domain.run(SECOND)
    assert way(domain, "lma") is None
    domain.run(20 * SECOND)
    for role in (domain.lma, domain.mag("mag1")):
        (extension,) = role.extensions
        assert not extension._held  # type: ignore[attr-defined]
        assert not extension._owner  # type: ignore[attr-defined]
    assert status_of(domain.ask(request(domain, host="mn2", more=named(FIRST)), "mag2")) == 0


def test_5_2_2_a_node_that_comes_back_in_time_has_its_network_again() -> None:
    domain = attached(delegating())
    domain.detach("mn1", "mag1")
    domain.run(2 * SECOND)
    attached(domain, name="mag2")
    assert way(domain, "lma") == EnsureTunnel(1, gateway(2))


def test_5_2_1_an_lma_that_restarts_leads_packets_as_before() -> None:
    domain = attached(delegating())
    domain.restart("lma", store=True)
    assert way(domain, "lma") == EnsureTunnel(1, gateway(1))
    assert status_of(domain.ask(request(domain, host="mn2", more=named(FIRST)), "mag2")) == IN_USE


def test_5_2_1_what_a_disk_made_of_it_is_not_believed() -> None:
    domain = attached(delegating())
    store = domain.members["lma"].store
    store[b"extension/delegation"] = b"\xff" * 20
    domain.restart("lma", store=True)
    assert way(domain, "lma") is None
    assert domain.reported("lma", "record-unreadable") == 1


def test_6_a_stranger_is_delegated_nothing() -> None:
    domain = delegating()
    domain.inject(address("2001:db8:bad::1"), "lma", request(domain, more=(ANY_IPV6,)))
    assert domain.entries() == ()
