"""RFC 5213 6.9.1.3 and 6.9.1.4: a MAG extends the lifetime of a registration, and ends one."""

from __future__ import annotations

import pytest

from sojourn.core.events import Commanded, NodeSeen, Sighting
from sojourn.engines.configuration import HomeProfile
from sojourn.wire.units import MILLISECOND, SECOND
from support.messages import updates
from support.pmip import HOME, LMA, ProxyDomain, handoff_of, home, prefixes_of
from support.table import HOSTS

# --- 6.9.1.3 extending the lifetime -----------------------------------------------------------------------------------


def test_6_9_1_3_a_refresh_before_half_of_the_lifetime_is_over() -> None:
    """Text: "MUST be constructed with the same set of options as the initial"; "There MUST be a Home Network Prefix
    option for each of the assigned home network prefixes"; "The Handoff Indicator field ... MUST be set to a value of
    5"."""
    domain = ProxyDomain(lifetime=40 * SECOND, lma={"everybody": HomeProfile(count=2)})
    domain.attach("mn1", "mag1")
    for _ in range(21):
        domain.run(SECOND)
        domain.event("mag1", NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
    first, refresh = updates(domain, "mag1", "lma")
    assert {type(option) for option in refresh.options} == {type(option) for option in first.options}
    assert prefixes_of(refresh) == [home(0), home(1)]
    assert (handoff_of(refresh), refresh.lifetime) == (5, 40 * SECOND)
    domain.run(SECOND)
    assert domain.entry().expires > domain.now + 37 * SECOND


def test_a_binding_that_the_lma_does_not_extend_ends_here_too() -> None:
    """6.9.2, 2.: "failed to complete the binding registration process for whatever reason ... MUST NOT advertise"; the
    prefixes are asked for as soon as the LMA is heard again."""
    domain = ProxyDomain(lifetime=40 * SECOND)
    domain.on_probe = lambda name, probe: domain.later(
        MILLISECOND, name, NodeSeen("acc0", probe.link_layer, Sighting.NEIGHBOUR)
    )
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.crash("lma")
    domain.run(60 * SECOND)
    assert domain.plane("mag1").state.uplinks == {}
    assert [(each.prefix, each.valid) for each in domain.advertisement("mag1").prefixes] == [(home(0), 0)]
    domain.restart("lma", store=False)
    domain.run(40 * SECOND)
    assert domain.plane("mag1").state.uplinks == {home(0): LMA}
    assert domain.entry().prefixes == (home(0),)


# --- 6.9.1.4 detachment -----------------------------------------------------------------------------------------------


def test_6_9_1_4_a_detachment_is_told_with_all_that_the_registration_had() -> None:
    """Text: "SHOULD send a Proxy Binding Update message ... with the lifetime value set to zero"; "MUST be constructed
    with the same set of options as the initial"; "There MUST be a Home Network Prefix option for each of the assigned
    home network prefixes"; "The Handoff Indicator ... MUST be set to a value of 4"."""
    domain = ProxyDomain(lma={"everybody": HomeProfile(count=2)})
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.detach("mn1", "mag1")
    first, farewell = updates(domain, "mag1", "lma")
    assert {type(option) for option in farewell.options} == {type(option) for option in first.options}
    assert (farewell.lifetime, handoff_of(farewell)) == (0, 4)
    assert prefixes_of(farewell) == [home(0), home(1)]


@pytest.mark.parametrize("heard", [True, False])
def test_6_9_1_4_nothing_is_left_after_the_answer_or_a_second_without_one(heard: bool) -> None:
    """Text: "Either upon receipt of a Proxy Binding Acknowledgement ... or after INITIAL_BINDACK_TIMEOUT ... MUST
    remove the Binding Update List entry"; "MUST remove the created routing state"; "the tunnel MUST be deleted"; "MUST
    tear down the point-to-point link shared with the mobile node": its way on the access link."""
    domain = ProxyDomain()
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    if not heard:
        domain.crash("lma")
    domain.detach("mn1", "mag1")
    assert domain.listed("mag1") is not None
    domain.run(10 * MILLISECOND if heard else SECOND)
    state = domain.plane("mag1").state
    assert not any((domain.mag("mag1").sessions, state.slots, state.prefixes, state.uplinks))
    assert domain.members["mag1"].store == {}
    assert domain.mag("mag1").deadline() is None


def test_6_9_1_4_a_farewell_that_is_lost_is_repeated_within_that_second() -> None:
    domain = ProxyDomain()
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    for act in (domain.detach, domain.attach):  # how long an answer takes is known by now
        act("mn1", "mag1")
        domain.run(2 * SECOND)
    lost = [True]
    domain.lose = lambda source, destination, message: bool(lost) and lost.pop()
    domain.detach("mn1", "mag1")
    domain.run(SECOND)
    assert domain.entry().waiting


def test_6_9_1_4_a_session_can_be_ended_by_an_operator() -> None:
    """Text: "or if it decides to terminate the mobile node's mobility session"; the node hears of the end."""
    domain = ProxyDomain()
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.event("mag1", Commanded("detach", {"node": "02:00:00:00:01:01"}))
    assert updates(domain, "mag1", "lma")[-1].lifetime == 0
    last = domain.advertisement("mag1")
    assert (last.lifetime, [(each.prefix, each.valid) for each in last.prefixes]) == (0, [(home(0), 0)])
    assert domain.plane("mag1").forgotten[-1].link_layer == HOSTS["mn1"]


def test_a_registration_that_was_not_answered_is_taken_back() -> None:
    """The LMA may have heard it: it is told by node and interface, as the prefixes are not known."""
    domain = ProxyDomain()
    domain.lose = lambda source, destination, message: source == "lma"
    domain.attach("mn1", "mag1")
    domain.run(10 * MILLISECOND)
    domain.detach("mn1", "mag1")
    domain.run(10 * MILLISECOND)
    assert domain.entry().waiting


def test_a_node_that_returns_before_its_farewell_was_answered_stays() -> None:
    domain = ProxyDomain(delays={("mag1", "lma"): 100 * MILLISECOND})
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.detach("mn1", "mag1")
    domain.run(50 * MILLISECOND)
    domain.attach("mn1", "mag1")
    domain.run(5 * SECOND)
    assert domain.at("mag1").confirmed
    assert not domain.entry().waiting
    assert list(domain.at("mag1").anchored) == [home(0)]
    assert HOME.contains(home(0))
