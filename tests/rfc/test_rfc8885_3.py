"""RFC 8885 section 3: the PMIPv6 extensions for distributed mobility. One test per rule, named after its section."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sojourn.core.effects import Advertise, EnsureDelivery, EnsureLogicalInterface, EnsureTunnel, SendMessage
from sojourn.core.events import NodeSeen, Sighting
from sojourn.engines.configuration import CENTRAL, Mode, logical_link_local
from sojourn.engines.maar_session import Presence
from sojourn.wire import (
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingUpdate,
    BindingUpdateFlags,
    DlifLinkLayerAddress,
    DlifLinkLocalAddress,
    HomeNetworkPrefix,
    LocalPrefix,
    MobileNodeIdentifier,
    PreviousMaar,
    ServingMaar,
)
from sojourn.wire.addresses import prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support.domain import HOSTS, Domain, node, pool, router
from support.messages import answers, pbu, updates

_MODES = CENTRAL
_LOCAL = prefix("fd00:1::/32")


def _moved(mode: Mode = Mode.PROXY, *path: str, **settings: object) -> Domain:
    """A domain in which mn1 walked along `path` (ar1, ar2 if not said)."""
    places = path or ("ar1", "ar2")
    domain = Domain(mode, maars=6, **settings)  # type: ignore[arg-type]
    domain.attach("mn1", places[0])
    domain.run(200 * MILLISECOND)
    for old, new in pairwise(places):
        domain.clear()
        domain.roam("mn1", old, new)
    return domain


def _advertised(domain: Domain, name: str) -> list[Advertise]:
    return [advertisement for _, advertisement in domain.members[name].advertised]


# --- 3 ------------------------------------------------------------------------------------------------------------


def test_3_the_cmd_is_discharged_from_forwarding() -> None:
    """Text: "The LMA is discharged from the data forwarding role; only the Binding Cache and its management ..."."""
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.roam("mn1", "ar1", "ar2")
    state = domain.plane("cmd").state
    assert not any((state.slots, state.prefixes, state.uplinks, state.counters))


@pytest.mark.parametrize("mode", _MODES)
def test_3_cmd_and_maars_send_and_parse_both_messages(mode: Mode) -> None:
    """Text: "the CMD is able to send and parse both PBU and PBA messages", and so is a MAAR."""
    domain = _moved(mode)
    for source, destination in (("ar2", "cmd"), ("cmd", "ar1")):
        assert updates(domain, source, destination)
    assert answers(domain, "cmd")
    assert answers(domain, "ar2")


def test_3_prefixes_are_exclusive_to_a_maar() -> None:
    """Text: "must be exclusive to that MAAR, i.e., no other MAAR can allocate the same prefixes": the CMD enforces
    it."""
    domain = Domain()
    domain.clear()
    domain.inject(router(2), "cmd", pbu(domain, pool(1).subnet(0, 64)))
    assert [answer.status for answer in answers(domain, "ar2")] == [155]
    assert not domain.cmd.entries


def test_3_several_previous_maars_each_anchor_a_different_prefix() -> None:
    """Text: "several P-MAARs existing at a given moment of time, each of them anchoring a different prefix"."""
    domain = _moved(Mode.PROXY, "ar1", "ar2", "ar3")
    entry = domain.cmd.entries[node("mn1")]
    assert sorted(entry.previous()) == sorted(
        [(domain.own("ar1", "mn1"), router(1)), (domain.own("ar2", "mn1"), router(2))]
    )


# --- 3.1 ----------------------------------------------------------------------------------------------------------


def test_3_1_step_1_a_prefix_of_the_own_pool_is_assigned_before_anything_is_answered() -> None:
    """Text: "MAAR1 assigns a global IPv6 prefix from its own prefix pool to the MN (Pref1)"."""
    domain = Domain()
    domain.attach("mn1", "ar1")
    assert pool(1).contains(domain.own("ar1", "mn1"))
    session = domain.session("ar1", "mn1")
    assert session is not None
    assert not session.confirmed


def test_3_1_step_2_the_update_carries_prefix_and_identifier_and_the_d_flag() -> None:
    """Text: "MAAR1 sends a PBU with Pref1 and the MN's MN-ID to the CMD"; 4.1: the D flag says who sends."""
    domain = Domain()
    domain.attach("mn1", "ar1")
    (update,) = updates(domain, "ar1", "cmd")
    assert update.flags == BindingUpdateFlags.A | BindingUpdateFlags.P | BindingUpdateFlags.D
    assert [option.prefix for option in update.all(HomeNetworkPrefix)] == [domain.own("ar1", "mn1")]
    assert update.first(MobileNodeIdentifier) == MobileNodeIdentifier(5, HOSTS["mn1"])


def test_3_1_step_3_the_cmd_stores_identifier_prefix_and_proxy_care_of_address() -> None:
    """Text: "the CMD stores a BCE containing the MN-ID, Pref1, and MAAR1's address (as a Proxy-CoA)"."""
    domain = _moved(Mode.PROXY, "ar1")
    entry = domain.cmd.entries[node("mn1")]
    assert entry.serving == router(1)
    assert entry.anchors == [(domain.own("ar1", "mn1"), router(1))]
    assert domain.members["cmd"].store.keys() == {node("mn1")}


@pytest.mark.parametrize("mode", _MODES)
def test_3_1_step_4_the_answer_says_that_the_registration_is_fresh(mode: Mode) -> None:
    """Text: "no past status is available"; "the registration process does not change regardless of the CMD's modes"."""
    domain = _moved(mode, "ar1")
    (answer,) = answers(domain, "ar1")
    assert answer.status == 0
    assert answer.flags & BindingAcknowledgementFlags.D
    assert answer.all(PreviousMaar) == ()
    assert len(domain.messages) == 2


def test_3_1_step_5_the_advertisement_is_unicast_and_the_prefix_preferred() -> None:
    """Text: "MAAR1 stores the BCE described in (1) and unicasts a Router Advertisement (RA) to the MN with Pref1"."""
    domain = _moved(Mode.PROXY, "ar1")
    session = domain.session("ar1", "mn1")
    assert session is not None
    assert session.confirmed
    for advertisement in _advertised(domain, "ar1"):
        assert advertisement.link_layer == HOSTS["mn1"]
        ((advertised),) = advertisement.prefixes
        assert advertised.prefix == domain.own("ar1", "mn1")
        assert advertised.preferred > 0
        assert advertisement.lifetime > 0


def test_3_1_note_3_the_maar_is_a_plain_router_for_its_own_prefix() -> None:
    """Text: "MAAR1 acts as a plain router ... as no encapsulation or special handling takes place"."""
    domain = _moved(Mode.PROXY, "ar1")
    own = domain.own("ar1", "mn1")
    assert isinstance(domain.plane("ar1").way(own), EnsureDelivery)
    assert domain.plane("ar1").state.uplinks == {own: None}
    assert not any(isinstance(way, EnsureTunnel) for way in domain.plane("ar1").state.slots.values())


# --- 3.2 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", _MODES)
def test_3_2_step_1_the_serving_maar_reserves_a_second_prefix(mode: Mode) -> None:
    """Text: "MAAR2 reserves an IPv6 prefix (Pref2), stores a temporary BCE, and sends a PBU to the CMD"."""
    domain = _moved(mode)
    (update,) = updates(domain, "ar2", "cmd")
    assert [option.prefix for option in update.all(HomeNetworkPrefix)] == [domain.own("ar2", "mn1")]


@pytest.mark.parametrize("mode", _MODES)
def test_3_2_step_2_the_previous_maar_learns_the_serving_one(mode: Mode) -> None:
    """Text: "forwards the PBU to the MAAR indicated as Proxy-CoA and includes a new mobility option (Serving MAAR)"."""
    domain = _moved(mode)
    (update,) = updates(domain, "cmd", "ar1")
    assert update.first(ServingMaar) == ServingMaar(router(2))
    assert update.flags & BindingUpdateFlags.D
    assert domain.cmd.entries[node("mn1")].serving == router(2)


@pytest.mark.parametrize("mode", _MODES)
def test_3_2_step_3_tunnel_and_route_come_before_the_answer(mode: Mode) -> None:
    """Text: "MAAR1 can install a tunnel on its side ... and the related routes for Pref1. Then MAAR1 replies"."""
    domain = _moved(mode)
    done = [effect for _, name, effect in domain.effects if name == "ar1"]
    tunnel = next(index for index, effect in enumerate(done) if isinstance(effect, EnsureTunnel))
    answer = next(index for index, effect in enumerate(done) if isinstance(effect, SendMessage))
    assert tunnel < answer


@pytest.mark.parametrize("mode", _MODES)
def test_3_2_step_3_the_answer_contains_the_prefix_that_is_anchored(mode: Mode) -> None:
    """Text: "The PBA contains the prefix anchored at MAAR1 in the Home Network Prefix option", and the Serving MAAR."""
    domain = _moved(mode)
    (answer,) = answers(domain, "cmd")
    assert [option.prefix for option in answer.all(HomeNetworkPrefix)] == [domain.own("ar1", "mn1")]
    assert answer.first(ServingMaar) == ServingMaar(router(2))


def test_3_2_step_3_an_anchor_answers_with_what_it_anchors_whatever_was_asked() -> None:
    domain = _moved()
    domain.clear()
    foreign = pool(1).subnet(99, 64)
    update = pbu(domain, foreign, domain.own("ar1", "mn1"), more=(ServingMaar(router(3)),))
    domain.inject(domain.cmd.configuration.address, "ar1", update)
    (answer,) = answers(domain, "cmd")
    assert [option.prefix for option in answer.all(HomeNetworkPrefix)] == [domain.own("ar1", "mn1")]


@pytest.mark.parametrize("mode", [Mode.RELAY, Mode.PROXY])
def test_3_2_step_4_the_answer_names_previous_maar_and_prefix(mode: Mode) -> None:
    """Text: "a PBA to the new S-MAAR, which contains the previous Proxy-CoA and the prefix anchored to it"."""
    domain = _moved(mode)
    (answer,) = answers(domain, "ar2")
    assert answer.all(PreviousMaar) == (PreviousMaar.of(domain.own("ar1", "mn1"), router(1)),)


@pytest.mark.parametrize("mode", _MODES)
def test_3_2_step_5_old_prefix_through_the_tunnel_both_ways_and_new_prefix_plain(mode: Mode) -> None:
    """Text: "packets destined for Pref1 are first received by MAAR1, encapsulated into the tunnel, and forwarded to
    MAAR2
    ...; packets carrying Pref2 are routed by MAAR2 without any special packet handling both for the uplink and
    downlink"."""
    domain = _moved(mode)
    old, new = domain.own("ar1", "mn1"), domain.own("ar2", "mn1")
    way = domain.plane("ar1").way(old)
    assert isinstance(way, EnsureTunnel)
    assert way.remote == router(2)
    serving = domain.plane("ar2")
    assert isinstance(serving.way(old), EnsureDelivery)
    assert serving.state.uplinks == {new: None, old: router(1)}


def test_3_2_relay_one_answer_for_all_previous_maars() -> None:
    """Text: "Those P-MAARs reply with a PBA to the CMD, which aggregates all of the PBAs into one PBA"."""
    domain = _moved(Mode.RELAY, "ar1", "ar2", "ar3", "ar4")
    (answer,) = answers(domain, "ar4")
    assert {option.maar for option in answer.all(PreviousMaar)} == {router(1), router(2), router(3)}


def test_3_2_relay_copies_go_to_the_former_place_and_to_all_previous_maars() -> None:
    """Text: "it forwards copies of the PBU to all the P-MAARs indicated in the BCE"."""
    domain = _moved(Mode.RELAY, "ar1", "ar2", "ar3", "ar4")
    assert sorted(to for source, to, _ in domain.sent(BindingUpdate) if source == "cmd") == ["ar1", "ar2", "ar3"]


def test_3_2_relay_the_answer_waits_for_the_furthest_previous_maar() -> None:
    """Text: "the latency associated with the mobility update is bound to the PBA sent by the furthest P-MAAR"."""
    delays = {("ar1", "cmd"): 40 * MILLISECOND, ("ar2", "cmd"): 5 * MILLISECOND}
    domain = Domain(Mode.RELAY, 4, delays)
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.roam("mn1", "ar1", "ar2", SECOND)
    domain.clear()
    begin = domain.now
    domain.roam("mn1", "ar2", "ar3", SECOND)
    sent = [when for when, source, to, _ in domain.messages if (source, to) == ("cmd", "ar3")]
    assert sent == [begin + 81 * MILLISECOND]


def test_3_2_relay_after_a_timeout_what_is_there_is_sent_and_the_rest_later() -> None:
    """Text: "introducing a timeout at the CMD, by which, after its expiration, all the PBAs so far collected are
    transmitted, and the remaining are sent later upon their arrival"."""
    domain = _moved(Mode.RELAY, "ar1", "ar2", "ar3")
    domain.delays["ar1", "cmd"] = 150 * MILLISECOND
    domain.clear()
    domain.roam("mn1", "ar3", "ar4", SECOND)
    told = [{option.maar for option in answer.all(PreviousMaar)} for answer in answers(domain, "ar4")]
    assert told == [{router(2), router(3)}, {router(1)}]
    session = domain.session("ar4", "mn1")
    assert session is not None
    assert set(session.anchored.values()) == {router(1), router(2), router(3)}


def test_3_2_pacing_must_avoid_bursts_on_the_outgoing_link() -> None:
    """Text: "Pacing mechanisms MUST be introduced to avoid bursts on the outgoing link"."""
    domain = _moved(Mode.PROXY, "ar1", "ar2", "ar3", "ar4", cmd={"pace_burst": 1, "pace_rate": 100})
    domain.run(2 * SECOND)
    domain.clear()
    begin = domain.now
    domain.roam("mn1", "ar4", "ar5", SECOND)
    sent = [
        (when - begin) // MILLISECOND
        for when, source, _, message in domain.messages
        if source == "cmd" and isinstance(message, BindingUpdate)
    ]
    assert sent == [1, 11, 21, 31]


# --- 3.3 ----------------------------------------------------------------------------------------------------------


def test_3_3_the_previous_maar_answers_the_serving_one_directly() -> None:
    """Text: "besides sending a PBA to the CMD, it also sends a PBA to the S-MAAR, including the prefix it is anchoring.
    This latter PBA does not need to include new options ... the P-MAAR's address is taken from the message's
    source"."""
    domain = _moved(Mode.LOCATOR)
    (direct,) = answers(domain, "ar2")
    assert ("ar1", "ar2", direct) in domain.sent(BindingAcknowledgement)
    assert [option.prefix for option in direct.all(HomeNetworkPrefix)] == [domain.own("ar1", "mn1")]
    assert direct.first(PreviousMaar) is None
    assert direct.first(ServingMaar) is None
    session = domain.session("ar2", "mn1")
    assert session is not None
    assert session.anchored == {domain.own("ar1", "mn1"): router(1)}


def test_3_3_the_cmd_is_released_from_forwarding_the_answer() -> None:
    """Text: "The CMD is released from forwarding the PBA to the S-MAAR"."""
    domain = _moved(Mode.LOCATOR, "ar1", "ar2", "ar3")
    assert [source for source, to, _ in domain.sent(BindingAcknowledgement) if to == "ar3"] == ["ar1", "ar2"]


def test_3_3_with_nobody_to_answer_the_cmd_does() -> None:
    """The RFC is silent (design decision 4): a former place that anchors nothing answers nobody."""
    domain = Domain(Mode.LOCATOR)
    domain.reconfigure("ar1", pool=prefix("2001:db8:a100::/64"))
    domain.attach("mn2", "ar1")
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.clear()
    domain.roam("mn1", "ar1", "ar2")
    assert [source for source, to, _ in domain.sent(BindingAcknowledgement) if to == "ar2"] == ["cmd"]


# --- 3.4 ----------------------------------------------------------------------------------------------------------


def test_3_4_the_answer_is_immediate_and_previous_maars_are_told_in_parallel() -> None:
    """Text: "the PBA is sent to the S-MAAR immediately after a PBU is received, including the Previous MAAR option ...
    In parallel, a PBU is sent by the CMD to the P-MAARs containing the Serving MAAR option"."""
    domain = _moved(Mode.PROXY)
    moments = {to: (when, index) for index, (when, source, to, _) in enumerate(domain.messages) if source == "cmd"}
    assert moments["ar1"][0] == moments["ar2"][0]
    assert moments["ar2"][1] < moments["ar1"][1]


def test_3_4_previous_maars_confirm_to_the_cmd() -> None:
    """Text: "When P-MAARs complete the update, they send a PBA to the CMD to indicate that the operation has
    concluded"."""
    domain = _moved(Mode.PROXY, "ar1", "ar2", "ar3")
    assert sorted(source for source, to, _ in domain.sent(BindingAcknowledgement) if to == "cmd") == ["ar1", "ar2"]
    assert domain.cmd.entries[node("mn1")].handover is None


# --- 3.5 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", _MODES)
def test_3_5_a_detachment_deregisters_nothing(mode: Mode) -> None:
    """Text: "first removing any L2 detachment event so that de-registration is triggered only when the binding lifetime
    expires, hence providing a guard interval for the MN to connect to a new MAAR"."""
    domain = _moved(mode, "ar1", lifetime=40 * SECOND)
    domain.clear()
    domain.detach("mn1", "ar1")
    domain.run(39 * SECOND)
    assert domain.messages == []
    assert domain.plane("ar1").way(domain.own("ar1", "mn1")) is not None
    domain.attach("mn1", "ar2")
    domain.run(SECOND)
    assert isinstance(domain.plane("ar1").way(domain.own("ar1", "mn1")), EnsureTunnel)


def test_3_5_first_solution_the_timer_of_a_previous_maar_no_longer_deregisters() -> None:
    """Text: "A P-MAAR stops the BCE timer upon receiving a PBU from the CMD containing a "Serving MAAR" option"."""
    domain = _moved(Mode.PROXY, "ar1", lifetime=20 * SECOND)
    domain.detach("mn1", "ar1")
    domain.run(18 * SECOND)
    domain.attach("mn1", "ar2")
    domain.run(SECOND)
    session = domain.session("ar1", "mn1")
    assert session is not None
    assert session.presence is Presence.AWAY
    domain.clear()
    domain.run(4 * SECOND)  # the old binding would have ended here
    assert updates(domain, "ar1", "cmd") == []


def test_3_5_second_solution_a_previous_maar_asks_and_is_renewed() -> None:
    """Text: "P-MAARs can, upon BCE expiry, send de-registration messages to the CMD, which, instead of acknowledging
    the
    message with a 0 lifetime, sends back a PBA with a non-zero lifetime, hence renewing the session"."""
    domain = _moved(Mode.PROXY, "ar1", "ar2", lifetime=20 * SECOND)
    own = domain.own("ar1", "mn1")
    domain.clear()
    for _ in range(25):
        domain.run(SECOND)
        domain.event("ar2", _sign())
        domain.plane("ar1").traffic(own)
    (asked, *_) = updates(domain, "ar1", "cmd")
    assert asked.lifetime == 0
    (renewed, *_) = answers(domain, "ar1")
    assert renewed.status == 0
    assert renewed.lifetime > 0
    assert isinstance(domain.plane("ar1").way(own), EnsureTunnel)


def test_3_5_only_the_serving_maar_ends_the_session() -> None:
    """Text: "deny a P-MAAR to de-register a prefix, that is, allowing only an S-MAAR to de-register the whole MN
    session"."""
    domain = _moved(Mode.PROXY)
    domain.clear()
    told = domain.cmd.entries[node("mn1")].timestamp
    domain.inject(router(1), "cmd", pbu(domain, domain.own("ar1", "mn1"), lifetime=0, timestamp=told))
    assert node("mn1") in domain.cmd.entries
    assert answers(domain, "ar1")[0].lifetime > 0
    domain.inject(router(2), "cmd", pbu(domain, domain.own("ar2", "mn1"), lifetime=0, timestamp=told))
    domain.run(SECOND)
    assert node("mn1") not in domain.cmd.entries
    assert domain.session("ar1", "mn1") is None


# --- 3.6 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "destination"), [("ar1", "cmd"), ("cmd", "ar1")])
def test_3_6_updates_are_repeated_with_exponential_backoff(source: str, destination: str) -> None:
    """Text: "The INITIAL_BINDACK_TIMEOUT SHOULD be used for configuring the retransmission timer. The
    retransmissions by the
    node MUST use an exponential backoff process in which the timeout period is doubled upon each retransmission until
    ... the timeout period reaches the value MAX_BINDACK_TIMEOUT"."""
    domain = Domain()
    for name in ("ar1", "cmd"):  # as if no round trip had been seen yet
        domain.members[name].engine._requests._round_trips.clear()  # type: ignore[attr-defined]
    if source == "cmd":
        domain.attach("mn1", "ar1")
        domain.run(SECOND)
        domain.crash("ar1")
        domain.attach("mn1", "ar2")
    else:
        domain.crash("cmd")
        domain.attach("mn1", "ar1")
    domain.run(100 * SECOND)
    sent = [
        when
        for when, sender, to, message in domain.messages
        if (sender, to) == (source, destination) and isinstance(message, BindingUpdate)
    ]
    gaps = [(later - earlier) // SECOND for earlier, later in pairwise(sent)]
    assert gaps == [1, 2, 4, 8, 16, 32, 32][: len(gaps)]
    assert len(gaps) >= 6


def test_3_6_a_maar_goes_on_at_the_slow_rate() -> None:
    """Text: "The node MAY continue to send these messages at this slower rate indefinitely"."""
    domain = Domain()
    domain.crash("cmd")
    domain.attach("mn1", "ar1")
    domain.run(1000 * SECOND)
    domain.clear()
    domain.run(100 * SECOND)
    assert len(updates(domain, "ar1", "cmd")) in (3, 4)


@pytest.mark.parametrize("mode", _MODES)
def test_3_6_never_more_than_three_a_second_to_a_node_about_a_mobile_node(mode: Mode) -> None:
    """Text: "The node MUST NOT send PBU messages to a particular node more than MAX_UPDATE_RATE times within a second".

    Read per mobile node, as RFC 6275 12 does: of all nodes together it would stop a domain at three moves a second.
    """
    domain = Domain(mode)
    domain.attach("mn1", "ar1")
    for turn in range(40):
        domain.roam("mn1", f"ar{1 + turn % 2}", f"ar{2 - turn % 2}", 30 * MILLISECOND)
    domain.run(3 * SECOND)
    for pair in {(source, to) for _, source, to, _ in domain.messages}:
        sent = [
            when
            for when, source, to, message in domain.messages
            if (source, to) == pair and isinstance(message, BindingUpdate)
        ]
        assert all(later - earlier >= SECOND for earlier, later in zip(sent, sent[3:], strict=False)), pair


# --- 3.7 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", _MODES)
def test_3_7_old_prefixes_are_deprecated_and_stay_valid(mode: Mode) -> None:
    """Text: "the RAs sent over those logical interfaces playing the role of anchoring MAARs (different from the
    serving one)
    include a zero preferred prefix lifetime (and a non-zero valid prefix lifetime)"."""
    domain = _moved(mode)
    advertised = {each.prefix: each for ra in _advertised(domain, "ar2") for each in ra.prefixes}
    old, new = advertised[domain.own("ar1", "mn1")], advertised[domain.own("ar2", "mn1")]
    assert (old.preferred, old.valid > 0) == (0, True)
    assert new.preferred > 0


def test_3_7_each_maar_shows_the_same_identity_on_every_link() -> None:
    """Text: "both the MAC and IPv6 addresses configured on this logical interface remain the same regardless of the
    physical
    MAAR that is serving the MN" (here with the fixed addresses of RFC 6543)."""
    domain = _moved()
    domain.roam("mn1", "ar2", "ar3")
    routers = {(ra.router, ra.router_link_layer) for name in ("ar2", "ar3") for ra in _advertised(domain, name)}
    assert len(routers) == 1


def _with_local_network() -> Domain:
    domain = Domain()
    domain.reconfigure("ar1", routes=(_LOCAL,))
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.clear()
    domain.roam("mn1", "ar1", "ar2", 2 * SECOND)
    return domain


def test_3_7_the_serving_maar_exposes_itself_as_a_router_of_its_own_for_the_anchor() -> None:
    """Text: "each S-MAAR exposes itself to a given MN as multiple routers, one per P-MAAR associated with the MN":
    here where
    that makes a difference, for an anchor with a local network."""
    domain = _with_local_network()
    identity = logical_link_local(router(1))
    assert ("acc0", identity) in domain.plane("ar2").state.logical_interfaces
    assert {ra.router for ra in _advertised(domain, "ar2")} == {
        domain.maar("ar2").configuration.link_local,
        identity,
    }


def test_3_7_the_identity_is_conveyed_in_the_acknowledgement() -> None:
    """Text: "The information required by an S-MAAR to properly configure this logical interfaces can be obtained ...
    as part
    of the information conveyed in the PBA"."""
    domain = _with_local_network()
    (to_cmd,) = answers(domain, "cmd")
    assert to_cmd.first(DlifLinkLocalAddress) == DlifLinkLocalAddress(logical_link_local(router(1)))
    assert to_cmd.first(DlifLinkLayerAddress) is not None
    assert to_cmd.all(LocalPrefix) == (LocalPrefix.of(_LOCAL),)
    domain.clear()
    domain.roam("mn1", "ar2", "ar3")
    (answer,) = answers(domain, "ar3")
    assert answer.first(DlifLinkLocalAddress) == DlifLinkLocalAddress(logical_link_local(router(1)))


def test_3_7_local_networks_are_more_specific_routes_of_that_router_only() -> None:
    """Text: "These routes are advertised through the DLIF where the MAAR is providing access to the local network" """
    domain = _with_local_network()
    routes = {ra.router: ra.routes for ra in _advertised(domain, "ar2")}
    assert routes[logical_link_local(router(1))] == (_LOCAL,)
    assert routes[domain.maar("ar2").configuration.link_local] == ()


def test_3_7_a_logical_router_is_no_default_router_and_deprecates_its_prefix() -> None:
    domain = _with_local_network()
    (logical,) = (ra for ra in _advertised(domain, "ar2") if ra.router == logical_link_local(router(1)))
    assert logical.lifetime == 0
    assert [(each.prefix, each.preferred) for each in logical.prefixes] == [(domain.own("ar1", "mn1"), 0)]


def test_3_7_an_identity_that_is_told_is_the_one_that_is_shown() -> None:
    """A MAAR of another make has link-local addresses of its own for its logical interfaces (options 69 and 70)."""
    domain = Domain()
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    domain.clear()
    session = domain.session("ar1", "mn1")
    assert session is not None
    identity = bytes.fromhex("fe800000000000000000000000001234")
    answer = BindingAcknowledgement(
        0,
        int(BindingAcknowledgementFlags.P | BindingAcknowledgementFlags.D),
        9,
        300 * SECOND,
        (
            *pbu(domain, timestamp=session.attached).options,
            PreviousMaar.of(pool(2).subnet(0, 64), router(2)),
            DlifLinkLocalAddress(identity),
            LocalPrefix.of(_LOCAL),
        ),
    )
    domain.inject(domain.cmd.configuration.address, "ar1", answer)
    assert (0, EnsureLogicalInterface("acc0", identity)) in [
        (0, effect) for _, name, effect in domain.effects if name == "ar1"
    ]


def _sign() -> NodeSeen:
    return NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR)
