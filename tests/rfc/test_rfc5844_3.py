"""IPv4 home addresses of Proxy Mobile IPv6: what gateways ask, what the anchor gives, what hosts get (RFC 5844 3)."""

from __future__ import annotations

import pytest

from sojourn.core.effects import (
    EnsureDelivery,
    EnsureLogicalInterface,
    EnsureTunnel,
    SendDhcp,
    WithdrawLogicalInterface,
)
from sojourn.core.events import Commanded, DhcpReceived
from sojourn.engines.dhcpv4 import Home
from sojourn.engines.home_ipv4 import home_in
from sojourn.engines.way_settings import DhcpRelayOfMag
from sojourn.wire import BindingAcknowledgement, BindingUpdate, HomeNetworkPrefix, MobilityOption, Status
from sojourn.wire.addresses import ANY_IPV4, Address, Prefix, address, from_ipv4, is_ipv4, to_ipv4
from sojourn.wire.dhcpv4 import BOOTREPLY, BOOTREQUEST, Code, DhcpType, Dhcpv4Message, decode_dhcpv4
from sojourn.wire.extensions.rfc5844 import (
    Ipv4DefaultRouterAddress,
    Ipv4DhcpSupportMode,
    Ipv4HomeAddressReply,
    Ipv4HomeAddressReplyStatus,
    Ipv4HomeAddressRequest,
)
from sojourn.wire.units import SECOND
from support import pmip_checkers
from support.pmip import ProxyDomain, prefixes_of, request
from support.table import HOSTS

POOL = Prefix(address("10.9.0.0"), 120)
ROUTER = address("10.9.0.1")
SERVER = Ipv4DhcpSupportMode(server=True)
ANY = Ipv4HomeAddressRequest(0, bytes(4))
S = Ipv4HomeAddressReplyStatus


def domain(pool: Prefix | None = POOL, **settings: object) -> ProxyDomain:
    return ProxyDomain(lma={"ipv4_pool": pool}, **{"ipv4": True, **settings})


def shout(made: ProxyDomain, name: str, kind: DhcpType, host: str = "mn1", **options: bytes) -> list[Dhcpv4Message]:
    """What the gateway answers within a second."""
    values = {Code.MESSAGE_TYPE: bytes((kind,))} | {Code[key.upper()]: value for key, value in options.items()}
    message = Dhcpv4Message(BOOTREQUEST, 7, HOSTS[host], dict(values))
    before = len(made.members[name].dhcp)
    broadcast = address("255.255.255.255")
    made.event(name, DhcpReceived("acc0", HOSTS[host], ANY_IPV4.address, broadcast, message.encode()))
    made.run(SECOND)
    return [decode_dhcpv4(sent.payload) for sent in made.members[name].dhcp[before:] if is_ipv4(sent.source)]


def obtain(made: ProxyDomain, name: str, host: str = "mn1") -> Address:
    (offer,) = shout(made, name, DhcpType.DISCOVER, host)
    wanted = {"requested_address": offer.yours, "server_identifier": to_ipv4(ROUTER)}
    (answer,) = shout(made, name, DhcpType.REQUEST, host, **wanted)
    assert answer.kind == DhcpType.ACK
    assert answer.address(Code.ROUTER) == to_ipv4(ROUTER)
    return from_ipv4(answer.yours)


def ipv4_options(message: BindingUpdate | BindingAcknowledgement) -> list[MobilityOption]:
    kinds = (Ipv4HomeAddressRequest, Ipv4HomeAddressReply, Ipv4DefaultRouterAddress, Ipv4DhcpSupportMode)
    return [option for option in message.options if isinstance(option, kinds)]


# --- the gateway asks, the anchor gives (3.1, 3.2, 3.3) ------------------------------------------------------------


def test_3_2_1_every_registration_asks_and_the_next_one_for_what_it_has() -> None:
    made = domain()
    made.attach("mn1", "mag1")
    made.run(SECOND)
    (_, _, first), *_ = made.sent(BindingUpdate)
    assert ipv4_options(first) == [ANY]
    assert not any(prefix.is_ipv4 for prefix in prefixes_of(first))
    (home,) = [prefix for prefix in made.entry().prefixes if prefix.is_ipv4]
    made.run(200 * SECOND)
    *_, (_, _, later) = made.sent(BindingUpdate)
    assert ipv4_options(later) == [Ipv4HomeAddressRequest(24, to_ipv4(home.address))]


def test_3_3_an_answer_has_address_subnet_and_default_router() -> None:
    made = domain()
    answer = made.ask(request(made, more=(ANY,)))
    assert answer is not None
    reply, router, mode = ipv4_options(answer)
    assert mode == SERVER
    assert isinstance(reply, Ipv4HomeAddressReply)
    assert (reply.status, reply.prefix_length) == (S.SUCCESS, 24)
    assert POOL.covers(from_ipv4(reply.address))
    assert router == Ipv4DefaultRouterAddress(to_ipv4(ROUTER))
    assert len(prefixes_of(answer)) == 1


def test_3_1_2_who_does_not_ask_is_told_nothing_and_gets_nothing() -> None:
    made = domain()
    answer = made.ask(request(made))
    assert answer is not None
    assert ipv4_options(answer) == []
    assert len(made.entry().prefixes) == 1


def test_3_1_2_a_session_that_asks_later_gets_one_too() -> None:
    made = domain()
    made.ask(request(made))
    made.ask(request(made, sequence=2, ahead=SECOND // 10, more=(ANY,)))
    (home,) = [prefix for prefix in made.entry().prefixes if prefix.is_ipv4]
    assert isinstance(made.plane("lma").way(home), EnsureTunnel)
    assert made.lma.cache.with_prefix(home) is made.entry()


def test_3_1_2_2_an_address_may_be_asked_for_by_name() -> None:
    made = domain()
    wanted = to_ipv4(address("10.9.0.77"))
    answer = made.ask(request(made, more=(Ipv4HomeAddressRequest(24, wanted),)))
    assert answer is not None
    reply = answer.first(Ipv4HomeAddressReply)
    assert reply is not None
    assert (answer.status, reply.status, reply.address) == (0, S.SUCCESS, wanted)


@pytest.mark.parametrize("wanted", ["10.9.0.0", "10.9.0.1", "10.9.0.255", "192.0.2.1"])
def test_3_1_2_2_an_address_that_is_nobodys_is_refused(wanted: str) -> None:
    made = domain()
    answer = made.ask(request(made, more=(Ipv4HomeAddressRequest(24, to_ipv4(address(wanted))),)))
    assert answer is not None
    reply = answer.first(Ipv4HomeAddressReply)
    assert reply is not None
    assert answer.status == Status.NOT_AUTHORIZED_FOR_IPV4_HOME_ADDRESS
    assert reply.status == S.ADMINISTRATIVELY_PROHIBITED
    assert len(made.lma.cache) == 0
    assert sum(len(pool) for pool in made.lma.prefixes._all) == 0


def test_3_1_2_another_address_than_that_of_the_session_is_refused_and_the_session_keeps_its_own() -> None:
    made = domain()
    made.ask(request(made, more=(ANY,)))
    before = made.entry().prefixes
    other = Ipv4HomeAddressRequest(24, to_ipv4(address("10.9.0.250")))
    answer = made.ask(request(made, before[0], sequence=2, ahead=SECOND // 10, more=(other,)))
    assert answer is not None
    reply = answer.first(Ipv4HomeAddressReply)
    assert reply is not None
    assert answer.status == Status.NOT_AUTHORIZED_FOR_IPV4_HOME_ADDRESS
    assert reply.status == S.INCORRECT_IPV4_HOME_ADDRESS
    assert made.entry().prefixes == before


def test_3_1_2_1_two_requests_in_one_update_are_refused() -> None:
    made = domain()
    answer = made.ask(request(made, more=(ANY, ANY)))
    assert answer is not None
    assert answer.status == Status.MULTIPLE_IPV4_HOME_ADDRESS_ASSIGNMENT_NOT_SUPPORTED


def test_3_1_2_1_a_request_without_a_home_network_prefix_is_for_ipv4_only() -> None:
    made = domain()
    answer = made.ask(request(made, without=(HomeNetworkPrefix,), more=(ANY,)))
    assert answer is not None
    assert answer.status == 0
    assert prefixes_of(answer) == []
    assert [prefix.is_ipv4 for prefix in made.entry().prefixes] == [True]
    neither = made.ask(request(made, host="mn2", without=(HomeNetworkPrefix,)))
    assert neither is not None
    assert neither.status == Status.MISSING_HOME_NETWORK_PREFIX_OPTION


def test_3_1_2_7_a_session_is_found_by_its_ipv4_home_address() -> None:
    made = domain()
    made.ask(request(made, without=(HomeNetworkPrefix,), more=(ANY,)))
    (home,) = made.entry().prefixes
    mine = Ipv4HomeAddressRequest(24, to_ipv4(home.address))
    more = {"without": (HomeNetworkPrefix,), "more": (mine,), "sequence": 2, "ahead": SECOND // 10}
    answer = made.ask(request(made, **more), "mag2")  # type: ignore[arg-type]
    assert answer is not None
    assert (answer.status, made.names[made.entry().source]) == (0, "mag2")
    stolen = made.ask(request(made, host="mn2", **more))  # type: ignore[arg-type]
    assert stolen is not None
    assert stolen.status == Status.NOT_AUTHORIZED_FOR_IPV4_HOME_ADDRESS


def test_3_1_2_4_a_gateway_that_does_not_ask_ends_the_address_of_a_node_that_came_to_it() -> None:
    made = domain()
    made.ask(request(made, more=(ANY,)))
    home = made.entry().prefixes[-1]
    made.ask(request(made, sequence=2, ahead=SECOND // 10), "mag2")
    assert [prefix.is_ipv4 for prefix in made.entry().prefixes] == [False]
    assert made.plane("lma").way(home) is None
    assert made.lma.prefixes.ipv4.pool is not None
    assert len(made.lma.prefixes.ipv4.pool) == 0


@pytest.mark.parametrize(
    ("pool", "status"),
    [
        (None, Status.NOT_AUTHORIZED_FOR_IPV4_MOBILITY_SERVICE),
        (Prefix(address("10.9.0.0"), 126), Status.INSUFFICIENT_RESOURCES),
    ],
)
def test_3_2_3_2_a_node_that_gets_no_address_is_registered_without_one(pool: Prefix | None, status: Status) -> None:
    """A subnet of four has one address for a node: the others are the network, the router and the broadcast."""
    made = domain(pool)
    if pool is not None:
        made.ask(request(made, host="mn2", more=(ANY,)))
    made.clear()
    made.attach("mn1", "mag1")
    made.run(SECOND)
    answers = [answer for _, to, answer in made.sent(BindingAcknowledgement) if to == "mag1"]
    assert [answer.status for answer in answers] == [status, 0]
    if pool is not None:
        assert answers[0].first(Ipv4HomeAddressReply) == Ipv4HomeAddressReply(128, 0, bytes(4))
    assert made.at("mag1").confirmed
    assert made.at("mag1").home is None
    made.run(200 * SECOND)
    assert ipv4_options(made.sent(BindingUpdate)[-1][2]) == []  # until it comes anew


def test_the_address_goes_back_with_the_session() -> None:
    made = domain(Prefix(address("10.9.0.0"), 126), lifetime=20 * SECOND)
    made.attach("mn1", "mag1")
    made.run(SECOND)
    made.detach("mn1", "mag1")
    made.run(90 * SECOND)  # the delay before the session ends, and the rest of a prefix
    made.attach("mn2", "mag2")
    made.run(SECOND)
    assert made.entry("mn2").prefixes[-1] == Prefix(address("10.9.0.2"), 128)


# --- hosts (3.4) ----------------------------------------------------------------------------------------------------


def test_3_4_1_a_host_gets_its_address_by_dhcp_and_keeps_it_at_the_next_gateway() -> None:
    made = domain()
    home = obtain(made, "mag1")
    made.roam("mn1", "mag1", "mag2", 2 * SECOND)
    session = made.at("mag2")
    assert session.home == Home(home, 24, ROUTER)
    assert made.plane("mag2").way(Prefix(home, 128)) == EnsureDelivery(session.slot, "acc0", HOSTS["mn1"])
    (renewed,) = shout(made, "mag2", DhcpType.REQUEST, requested_address=to_ipv4(home))
    assert (renewed.kind, from_ipv4(renewed.yours)) == (DhcpType.ACK, home)
    assert pmip_checkers.faults(made) == []


def test_3_4_1_a_question_waits_for_the_anchor() -> None:
    made = domain()
    made.crash("lma")
    assert shout(made, "mag1", DhcpType.DISCOVER) == []
    made.restart("lma", store=False)
    made.run(5 * SECOND)
    assert shout(made, "mag1", DhcpType.DISCOVER)


def test_3_4_1_an_address_of_another_network_is_refused_once_the_anchor_answered() -> None:
    made = domain()
    obtain(made, "mag1")
    (answer,) = shout(made, "mag1", DhcpType.REQUEST, requested_address=bytes((192, 168, 1, 7)))
    assert answer.kind == DhcpType.NAK


def test_3_4_the_default_router_is_shown_where_there_are_such_nodes_and_nowhere_else() -> None:
    made = domain()
    for host in ("mn1", "mn2"):
        made.attach(host, "mag1")
    made.run(SECOND)
    shown = EnsureLogicalInterface("acc0", ROUTER)
    assert [effect for _, name, effect in made.effects if effect == shown and name == "mag1"]
    gone = WithdrawLogicalInterface("acc0", ROUTER)
    made.detach("mn1", "mag1")
    made.run(2 * SECOND)
    assert gone not in [effect for _, _, effect in made.effects]
    made.detach("mn2", "mag1")
    made.run(2 * SECOND)
    assert gone in [effect for _, _, effect in made.effects]


def test_advertisements_have_no_ipv4_in_them() -> None:
    made = domain()
    made.attach("mn1", "mag1")
    made.run(SECOND)
    assert [one.prefix.is_ipv4 for one in made.advertisement("mag1").prefixes] == [False]
    assert not any(isinstance(effect, SendDhcp) for _, _, effect in made.effects)


@pytest.mark.parametrize("who", ["mag1", "lma"])
def test_after_a_restart_the_address_is_the_same_and_forwarded(who: str) -> None:
    made = domain()
    home = obtain(made, "mag1")
    made.crash(who)
    made.restart(who, store=True)
    assert made.plane("mag1").way(Prefix(home, 128)) is not None
    assert made.plane("lma").way(Prefix(home, 128)) is not None
    made.attach("mn1", "mag1")
    made.run(5 * SECOND)
    assert made.at("mag1").home == Home(home, 24, ROUTER)
    assert pmip_checkers.faults(made) == []


def test_a_gateway_that_serves_no_ipv4_any_more_begins_its_sessions_anew() -> None:
    made = domain()
    obtain(made, "mag1")
    made.reconfigure("mag1", ipv4=False)
    made.attach("mn1", "mag1")
    made.run(SECOND)
    assert made.at("mag1").home is None
    assert not any(prefix.is_ipv4 for prefix in made.at("mag1").anchored)


# --- what an anchor may send (bad input) ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "length", "mine", "router"),
    [
        (128, 24, "10.9.0.7", "10.9.0.1"),
        (0, 0, "10.9.0.7", "10.9.0.1"),
        (0, 32, "10.9.0.7", "10.9.0.1"),
        (0, 24, "10.9.0.7", "10.8.0.1"),
        (0, 24, "10.9.0.7", "10.9.0.7"),
        (0, 24, "0.0.0.0", "0.0.0.1"),
        (0, 24, "127.0.0.2", "127.0.0.1"),
        (0, 8, "224.0.0.2", "224.0.0.1"),
        (0, 8, "255.255.255.255", "255.0.0.1"),
    ],
)
def test_3_3_2_what_no_node_could_use_is_no_address(status: int, length: int, mine: str, router: str) -> None:
    reply = Ipv4HomeAddressReply(status, length, to_ipv4(address(mine)))
    assert home_in({type(reply): reply, Ipv4DefaultRouterAddress: _router(router), Ipv4DhcpSupportMode: SERVER}) is None


def test_3_3_3_without_a_default_router_there_is_no_address() -> None:
    reply = Ipv4HomeAddressReply(0, 24, to_ipv4(address("10.9.0.7")))
    assert home_in({type(reply): reply}) is None
    assert home_in({}) is None
    whole = {type(reply): reply, Ipv4DefaultRouterAddress: _router("10.9.0.1"), Ipv4DhcpSupportMode: SERVER}
    assert home_in(whole) == Home(address("10.9.0.7"), 24, ROUTER)


def test_3_3_4_where_a_relay_is_wanted_there_is_no_ipv4() -> None:
    """We are a server."""
    reply = Ipv4HomeAddressReply(0, 24, to_ipv4(address("10.9.0.7")))
    options = {type(reply): reply, Ipv4DefaultRouterAddress: _router("10.9.0.1")}
    assert home_in(options) is None
    assert home_in({**options, Ipv4DhcpSupportMode: Ipv4DhcpSupportMode(server=False)}) is None


def _router(words: str) -> Ipv4DefaultRouterAddress:
    return Ipv4DefaultRouterAddress(to_ipv4(address(words)))


# --- one family ends, the other one stays (3.1.2.5, 3.2.3.3) ---------------------------------------------------------


def ipv4_of_entry(made: ProxyDomain) -> Prefix:
    (home,) = [prefix for prefix in made.entry().prefixes if prefix.is_ipv4]
    return home


def test_3_1_2_5_ipv4_alone_is_deregistered_and_the_session_goes_on() -> None:
    made = domain()
    made.ask(request(made, more=(ANY,)))
    home, prefixes = ipv4_of_entry(made), made.entry().home_prefixes
    named = Ipv4HomeAddressRequest(24, to_ipv4(home.address))
    parting = request(made, lifetime=0, sequence=2, ahead=SECOND // 10, more=(named,), without=(HomeNetworkPrefix,))
    answer = made.ask(parting)
    assert answer is not None
    assert (answer.status, answer.lifetime, prefixes_of(answer)) == (Status.ACCEPTED, 0, [])
    assert answer.first(Ipv4HomeAddressReply) == Ipv4HomeAddressReply(S.SUCCESS, 24, to_ipv4(home.address))
    assert made.entry().prefixes == prefixes
    assert not made.entry().waiting
    assert made.plane("lma").way(home) is None
    assert isinstance(made.plane("lma").way(prefixes[0]), EnsureTunnel)


def test_3_1_2_5_all_home_network_prefixes_are_deregistered_and_ipv4_stays() -> None:
    made = domain()
    made.ask(request(made, more=(ANY,)))
    home, prefixes = ipv4_of_entry(made), made.entry().home_prefixes
    answer = made.ask(request(made, *prefixes, lifetime=0, sequence=2, ahead=SECOND // 10))
    assert answer is not None
    assert (answer.status, prefixes_of(answer), ipv4_options(answer)) == (Status.ACCEPTED, list(prefixes), [])
    assert made.entry().prefixes == (home,)
    assert isinstance(made.plane("lma").way(home), EnsureTunnel)
    assert made.plane("lma").way(prefixes[0]) is None


def test_3_1_2_5_who_names_both_ends_all_of_it() -> None:
    made = domain()
    made.ask(request(made, more=(ANY,)))
    named = Ipv4HomeAddressRequest(24, to_ipv4(ipv4_of_entry(made).address))
    made.ask(request(made, *made.entry().home_prefixes, lifetime=0, sequence=2, ahead=SECOND // 10, more=(named,)))
    assert made.entry().waiting


def test_3_1_2_6_who_asks_for_ipv4_alone_is_told_of_no_prefix() -> None:
    made = domain()
    made.ask(request(made, more=(ANY,)))
    named = Ipv4HomeAddressRequest(24, to_ipv4(ipv4_of_entry(made).address))
    answer = made.ask(request(made, sequence=2, ahead=SECOND // 10, more=(named,), without=(HomeNetworkPrefix,)))
    assert answer is not None
    assert (answer.status, prefixes_of(answer)) == (Status.ACCEPTED, [])
    assert len(made.entry().prefixes) == 2, "no handoff: nothing ends"


def test_3_1_2_4_after_a_handoff_prefixes_that_nobody_asks_for_are_released() -> None:
    made = domain()
    made.ask(request(made, more=(ANY,)))
    home, prefixes = ipv4_of_entry(made), made.entry().home_prefixes
    named = Ipv4HomeAddressRequest(24, to_ipv4(home.address))
    update = request(made, sequence=2, ahead=SECOND // 10, handoff=3, more=(named,), without=(HomeNetworkPrefix,))
    made.ask(update, "mag2")
    assert made.entry().prefixes == (home,)
    assert made.plane("lma").way(prefixes[0]) is None


def test_3_4_2_an_address_that_a_host_gives_back_is_deregistered_and_asked_for_again() -> None:
    made = domain()
    made.attach("mn1", "mag1")
    made.run(SECOND)
    given = obtain(made, "mag1")
    prefixes = made.entry().home_prefixes
    message = Dhcpv4Message(
        BOOTREQUEST, 9, HOSTS["mn1"], {Code.MESSAGE_TYPE: bytes((DhcpType.RELEASE,))}, client=to_ipv4(given)
    )
    made.event("mag1", DhcpReceived("acc0", HOSTS["mn1"], given, ROUTER, message.encode()))
    made.run(SECOND)
    assert made.entry().prefixes == prefixes
    assert made.at("mag1").home is None
    updates = [one for _, _, one in made.sent(BindingUpdate)]
    assert isinstance(updates[-1], BindingUpdate)
    assert (updates[-1].lifetime, prefixes_of(updates[-1])) == (0, [])
    made.event("mag1", Commanded("refresh", {}))
    made.run(SECOND)
    assert made.at("mag1").home is None, "a refresh asks for no address"
    assert made.entry().prefixes == prefixes
    assert POOL.covers(obtain(made, "mag1"))
    assert len(made.entry().prefixes) == 2


# --- the DHCP server is elsewhere (3.4.2) ----------------------------------------------------------------------------

RELAY = DhcpRelayOfMag(address=address("10.1.0.2"), server=address("192.0.2.67"))


def relayed(**settings: object) -> ProxyDomain:
    made = ProxyDomain(lma={"ipv4_pool": POOL, "dhcp_relay": True}, ipv4=True, **{"dhcp_relay": RELAY, **settings})
    made.attach("mn1", "mag1")
    made.run(SECOND)
    return made


def to_the_server(made: ProxyDomain) -> Dhcpv4Message:
    """What the relay sent last."""
    sent = made.members["mag1"].dhcp[-1]
    assert (sent.interface, sent.source, sent.destination) == ("", RELAY.address, RELAY.server)
    return decode_dhcpv4(sent.payload)


def from_the_server(
    made: ProxyDomain, kind: DhcpType, yours: bytes, source: Address = RELAY.server
) -> list[Dhcpv4Message]:
    """What the host gets of an answer."""
    options = {Code.MESSAGE_TYPE: bytes((kind,)), Code.AGENT_INFORMATION: b"\x02\x04abcd"}
    message = Dhcpv4Message(BOOTREPLY, 7, HOSTS["mn1"], options, yours=yours, relay=to_ipv4(RELAY.address))
    before = len(made.members["mag1"].dhcp)
    made.event("mag1", DhcpReceived("", b"", source, RELAY.address, message.encode()))
    return [decode_dhcpv4(sent.payload) for sent in made.members["mag1"].dhcp[before:] if sent.interface == "acc0"]


def test_3_4_2_without_flag_s_questions_go_to_the_server_with_the_address_as_a_hint() -> None:
    made = relayed()
    home = ipv4_of_entry(made)
    shout(made, "mag1", DhcpType.DISCOVER)
    asked = to_the_server(made)
    assert asked.relay == to_ipv4(RELAY.address)
    assert asked.options[Code.AGENT_INFORMATION] == b"\x02\x04" + to_ipv4(home.address)
    (offer,) = from_the_server(made, DhcpType.OFFER, to_ipv4(home.address))
    assert (offer.yours, offer.relay) == (to_ipv4(home.address), bytes(4))
    assert Code.AGENT_INFORMATION not in offer.options


def test_3_4_2_an_offer_of_another_address_is_dropped_and_said() -> None:
    made = relayed()
    assert from_the_server(made, DhcpType.OFFER, to_ipv4(address("10.9.0.250"))) == []
    assert made.reported("mag1", "dhcp-not-relayed") == 1


def test_3_4_2_a_request_for_another_address_is_dropped_and_said() -> None:
    made = relayed()
    before = len(made.members["mag1"].dhcp)
    shout(made, "mag1", DhcpType.REQUEST, requested_address=to_ipv4(address("10.9.0.250")))
    assert len(made.members["mag1"].dhcp) == before
    assert made.reported("mag1", "dhcp-not-relayed") == 1


def test_3_4_2_nobody_but_the_server_answers_and_no_node_that_is_not_here_is_answered() -> None:
    made = relayed()
    home = to_ipv4(ipv4_of_entry(made).address)
    assert from_the_server(made, DhcpType.ACK, home, source=address("192.0.2.66")) == []
    made.detach("mn1", "mag1")
    made.run(SECOND)
    assert from_the_server(made, DhcpType.ACK, home) == []


def test_3_2_3_2_a_gateway_with_a_server_of_its_own_is_one_if_the_lma_says_so() -> None:
    made = ProxyDomain(lma={"ipv4_pool": POOL}, ipv4=True, dhcp_relay=RELAY)
    made.attach("mn1", "mag1")
    made.run(SECOND)
    assert POOL.covers(obtain(made, "mag1"))


def test_3_2_3_2_a_gateway_that_is_no_relay_gives_no_ipv4_without_flag_s() -> None:
    made = relayed(dhcp_relay=None)
    assert made.at("mag1").home is None


def test_a_gateway_that_restarts_is_a_relay_again_at_once() -> None:
    made = relayed()
    home = to_ipv4(ipv4_of_entry(made).address)
    made.restart("mag1", store=True)
    assert made.at("mag1").home is not None
    assert len(from_the_server(made, DhcpType.ACK, home)) == 1
