"""RFC 5213 5.4: which session an update is about, with all that it may say and not say, and several interfaces.

A table by the three keys of the lookup: a home network prefix, the link-layer identifier, the node alone.
"""

from __future__ import annotations

import pytest

from sojourn.engines.configuration import HomeProfile
from sojourn.engines.lma_entry import BindingCacheEntry
from sojourn.wire import Handoff, LinkLocalAddress, MobileNodeLinkLayerIdentifier, Status
from sojourn.wire.addresses import ANY
from sojourn.wire.units import MILLISECOND, SECOND
from support.messages import answers
from support.pmip import ProxyDomain, gateway, home, prefixes_of, request
from support.table import HOSTS

_OTHER = HOSTS["mn9"]
"""Another interface of mn1."""
_ALL = [Handoff.RESERVED, *(Handoff(number) for number in range(1, 6)), 77]


def _domain(**first: object) -> tuple[ProxyDomain, BindingCacheEntry]:
    """mn1 is registered at mag1, and two seconds went by."""
    domain = ProxyDomain(lma={"everybody": HomeProfile(count=2)})
    domain.ask(request(domain, **first))  # type: ignore[arg-type]
    domain.run(2 * SECOND)
    domain.clear()
    return domain, domain.entry()


def _sessions_after(domain: ProxyDomain, source: str = "mag2", **asked: object) -> int:
    """How many sessions mn1 has when the request was answered, at once or after the wait."""
    prefixes = asked.pop("prefixes", ())
    domain.ask(request(domain, *prefixes, **asked), source)  # type: ignore[misc, arg-type]
    domain.run(2 * SECOND)
    return len(domain.entries())


# --- 5.4 several interfaces -------------------------------------------------------------------------------------------


def test_5_4_a_session_for_each_interface_with_its_own_lifetime() -> None:
    """Text: "MUST allocate a mobility session for each of the attached interfaces"; "all the prefixes associated with a
    given interface MUST be managed as part of one mobility session"."""
    domain, first = _domain()
    domain.ask(request(domain, link_layer=_OTHER, handoff=Handoff.NEW_INTERFACE, lifetime=40 * SECOND), "mag2")
    _, second = domain.entries()
    assert len({*first.prefixes, *second.prefixes}) == 4
    assert (first.link_layer, second.link_layer) == (HOSTS["mn1"], _OTHER)
    for session in (first, second):
        assert {domain.plane("lma").state.prefixes[each] for each in session.prefixes} == {session.slot}
    domain.run(41 * SECOND)
    assert domain.entries() == (first,)
    assert domain.plane("lma").way(first.prefixes[0]) is not None


def test_5_4_a_handoff_between_interfaces_takes_all_prefixes_along() -> None:
    """Text: "MUST allow for a handoff between two different interfaces"; "MUST be based on the Handover hint"."""
    domain, entry = _domain()
    before = entry.prefixes
    update = request(domain, link_layer=_OTHER, technology=3, handoff=Handoff.BETWEEN_INTERFACES)
    answer = domain.ask(update, "mag2")
    assert answer is not None
    assert prefixes_of(answer) == list(before)
    assert domain.entries() == (entry,)
    assert (entry.link_layer, entry.technology, entry.gateway) == (_OTHER, 3, gateway(2))


def test_5_4_1_the_prefix_is_looked_at_first() -> None:
    """Text: "MUST apply the following multihoming considerations (in the below specified order ...)": the link-layer
    identifier of one session and the prefixes of another one mean the latter."""
    domain, first = _domain()
    domain.ask(request(domain, link_layer=_OTHER, handoff=Handoff.NEW_INTERFACE), "mag2")
    domain.run(SECOND)
    _, second = domain.entries()
    update = request(domain, *second.prefixes, link_layer=HOSTS["mn1"], handoff=Handoff.BETWEEN_INTERFACES)
    answer = domain.ask(update, "mag2")
    assert answer is not None
    assert prefixes_of(answer) == list(second.prefixes)
    assert first.gateway == gateway(1)


# --- 5.4.1.1 with a prefix --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link_layer", [b"", None, _OTHER])
def test_5_4_1_1_a_prefix_leads_to_its_session_whatever_else_is_said(link_layer: bytes | None) -> None:
    """Text: "irrespective of the presence of the Mobile Node Link-layer Identifier option"; 1.: "MUST verify if there
    is an existing Binding Cache entry with one of its home network prefixes matching"."""
    domain, entry = _domain()
    asked = {"prefixes": entry.prefixes, "link_layer": link_layer, "handoff": Handoff.BETWEEN_INTERFACES}
    assert _sessions_after(domain, **asked) == 1
    assert entry.gateway == gateway(2)


def test_5_4_1_1_step_2_prefixes_of_no_session_ask_for_a_new_one() -> None:
    """Text: "the request MUST be considered as a request for creating a new mobility session"."""
    domain, _ = _domain()
    assert _sessions_after(domain, prefixes=(home(50), home(51)), link_layer=_OTHER) == 2


def test_5_4_1_1_step_2_an_interface_that_has_a_session_gets_no_other_prefixes() -> None:
    """Text: "all the prefixes associated with a given interface MUST be managed as part of one mobility session"."""
    domain, entry = _domain()
    answer = domain.ask(request(domain, home(50)), "mag2")
    assert answer is not None
    assert answer.status == Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
    assert domain.entries() == (entry,)


def test_5_4_1_1_step_3_the_prefix_of_another_node_155() -> None:
    """Text: "MUST reject ... NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX"; nothing changes for who has it."""
    domain, entry = _domain()
    answer = domain.ask(request(domain, *entry.prefixes, host="mn2", handoff=Handoff.BETWEEN_GATEWAYS), "mag2")
    assert answer is not None
    assert answer.status == Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX
    assert entry.gateway == gateway(1)
    assert domain.ask(request(domain, *entry.prefixes, host="mn2", lifetime=0)) is not None
    assert not entry.waiting


@pytest.mark.parametrize("asked", [[0], [0, 2], [0, 1, 2], [0, 0, 1], [0, 1, None]])
def test_5_4_1_1_step_4_another_set_of_prefixes_159(asked: list[int | None]) -> None:
    """Text: "if all the prefixes in the request do not match all the prefixes in the Binding Cache entry, or if they do
    not match in count, then ... MUST reject ... BCE_PBU_PREFIX_SET_DO_NOT_MATCH"."""
    domain, entry = _domain()
    known = [*entry.prefixes, home(60)]
    wanted = [ANY if index is None else known[index] for index in asked]
    answer = domain.ask(request(domain, *wanted, handoff=Handoff.NOT_CHANGED))
    assert answer is not None
    assert answer.status == Status.BCE_PBU_PREFIX_SET_DO_NOT_MATCH


def test_5_4_1_1_step_4_the_order_of_the_prefixes_means_nothing() -> None:
    domain, entry = _domain()
    answer = domain.ask(request(domain, *reversed(entry.prefixes), handoff=Handoff.NOT_CHANGED))
    assert answer is not None
    assert answer.status == 0


@pytest.mark.parametrize("handoff", _ALL)
@pytest.mark.parametrize(
    ("first", "asked", "source", "indicators"),
    [
        # the same interface: identifier and technology match
        ({}, {}, "mag2", set(_ALL)),
        # another interface, or another technology: only if the indicator says 2
        ({}, {"link_layer": _OTHER}, "mag2", {Handoff.BETWEEN_INTERFACES}),
        ({}, {"technology": 5}, "mag2", {Handoff.BETWEEN_INTERFACES}),
        # nobody says which interface: 2, or 3 with the same technology
        ({"link_layer": None}, {"link_layer": None}, "mag2", {Handoff.BETWEEN_INTERFACES, Handoff.BETWEEN_GATEWAYS}),
        ({"link_layer": None}, {"link_layer": None, "technology": 5}, "mag2", {Handoff.BETWEEN_INTERFACES}),
        ({}, {"link_layer": None}, "mag2", {Handoff.BETWEEN_INTERFACES}),
        # the same MAG and technology
        ({}, {"link_layer": _OTHER}, "mag1", set(_ALL)),
        ({}, {"link_layer": None}, "mag1", set(_ALL)),
        ({"link_layer": None}, {"link_layer": None, "technology": 5}, "mag1", {Handoff.BETWEEN_INTERFACES}),
    ],
)
def test_5_4_1_1_step_5_all_prefixes_match_and_one_of_four_conditions_holds(
    first: dict[str, object], asked: dict[str, object], source: str, indicators: set[int], handoff: int
) -> None:
    """Text: "if any one or more of these below stated conditions are true, the request MUST be considered as a request
    for updating that Binding Cache entry"; 6.: "For all other cases ... a new mobility session" - which cannot have
    prefixes that another session has."""
    domain, entry = _domain(**first)
    answer = domain.ask(request(domain, *entry.prefixes, handoff=handoff, **asked), source)  # type: ignore[arg-type]
    assert answer is not None
    assert answer.status == (0 if handoff in indicators else Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX)
    assert domain.entries() == (entry,)


# --- 5.4.1.2 with a link-layer identifier -----------------------------------------------------------------------------


@pytest.mark.parametrize("handoff", _ALL)
def test_5_4_1_2_steps_1_and_2_node_technology_and_identifier_match(handoff: int) -> None:
    """Text: "MUST verify if there is an existing Binding Cache entry ..."; "If there exists a Binding Cache entry
    (matching MN-Identifier, Access Technology Type (ATT), and MN-LL-Identifier), the request MUST be considered as a
    request for updating that Binding Cache entry"."""
    domain, entry = _domain()
    domain.ask(request(domain, handoff=handoff), "mag2")
    assert domain.entries() == (entry,)
    assert entry.gateway == gateway(2)


@pytest.mark.parametrize("asked", [{"link_layer": _OTHER}, {"technology": 3}])
@pytest.mark.parametrize("handoff", _ALL)
def test_5_4_1_2_another_interface_by_indicator(handoff: int, asked: dict[str, object]) -> None:
    """Text: 3.: "is set to a value of 2 ... If there exists only one such entry (matching the MN-Identifier), the
    request MUST be considered as a request for updating"; 5.: "For all other cases, the message MUST be considered as a
    request for creating a new mobility session" (4 waits first, in vain here)."""
    domain, entry = _domain()
    assert _sessions_after(domain, handoff=handoff, **asked) == (1 if handoff == Handoff.BETWEEN_INTERFACES else 2)
    assert (entry.gateway == gateway(2)) is (handoff == Handoff.BETWEEN_INTERFACES)


@pytest.mark.parametrize("handoff", [Handoff.BETWEEN_INTERFACES, Handoff.UNKNOWN])
def test_5_4_1_2_of_two_sessions_nobody_knows_which_one_moves(handoff: Handoff) -> None:
    """Text: "MUST verify if there exists one and only one Binding Cache entry": there are two, so a third begins, at
    once."""
    domain, _ = _domain()
    domain.ask(request(domain, link_layer=_OTHER, handoff=Handoff.NEW_INTERFACE), "mag2")
    domain.run(SECOND)
    answer = domain.ask(request(domain, link_layer=HOSTS["mn8"], handoff=handoff), "mag2")
    assert answer is not None
    assert len(domain.entries()) == 3


def test_5_4_1_2_step_4_the_deregistration_comes_in_time_and_the_session_goes_on() -> None:
    """Text: "SHOULD wait until the existing Binding Cache entry is de-registered by the previously serving mobile
    access gateway, before the request can be considered as a request for updating that Binding Cache entry"."""
    domain, entry = _domain()
    assert domain.ask(request(domain, link_layer=_OTHER, sequence=5), "mag2") is None
    domain.run(1400 * MILLISECOND)
    assert answers(domain, "mag2") == []
    domain.ask(request(domain, *entry.prefixes, lifetime=0))
    (answer,) = answers(domain, "mag2")
    assert (answer.status, answer.sequence, prefixes_of(answer)) == (0, 5, list(entry.prefixes))
    domain.run(60 * SECOND)
    assert domain.entries() == (entry,)
    assert (entry.gateway, entry.link_layer, entry.waiting) == (gateway(2), _OTHER, False)


def test_5_4_1_2_step_4_the_deregistration_does_not_come_and_a_new_session_begins() -> None:
    """Text: "if there is no de-registration message that is received within MaxDelayBeforeNewBCEAssign amount of time,
    ... MUST consider the request as a request for creating a new mobility session"."""
    domain, entry = _domain()
    domain.ask(request(domain, link_layer=_OTHER, sequence=5), "mag2")
    domain.run(1500 * MILLISECOND - 1)
    assert answers(domain, "mag2") == []
    domain.run(1)
    (answer,) = answers(domain, "mag2")
    assert (answer.status, answer.sequence) == (0, 5)
    assert not {*prefixes_of(answer)} & {*entry.prefixes}
    assert entry.gateway == gateway(1)


def test_5_4_1_2_step_4_a_repeated_request_does_not_wait_from_the_beginning() -> None:
    """The MAG repeats it after a second; the latest sequence number is answered."""
    domain, _ = _domain()
    domain.ask(request(domain, link_layer=_OTHER, sequence=5), "mag2")
    domain.run(SECOND)
    domain.ask(request(domain, link_layer=_OTHER, sequence=6), "mag2")
    domain.run(500 * MILLISECOND)
    (answer,) = answers(domain, "mag2")
    assert answer.sequence == 6
    assert len(domain.entries()) == 2
    domain.run(10 * SECOND)
    assert len(answers(domain, "mag2")) == 1


def test_5_4_1_2_step_4_the_other_session_ends_meanwhile() -> None:
    domain, _ = _domain(lifetime=4 * SECOND)
    domain.run(SECOND)
    domain.ask(request(domain, link_layer=_OTHER), "mag2")
    domain.run(SECOND)
    (answer,) = answers(domain, "mag2")
    assert answer.status == 0
    assert domain.entry().link_layer == _OTHER


def test_5_4_1_2_step_4_the_other_session_was_deregistered_before() -> None:
    """There is nothing to wait for."""
    domain, entry = _domain()
    domain.ask(request(domain, *entry.prefixes, lifetime=0))
    domain.run(SECOND)
    answer = domain.ask(request(domain, link_layer=_OTHER), "mag2")
    assert answer is not None
    assert prefixes_of(answer) == list(entry.prefixes)


def test_5_4_1_2_step_4_who_does_not_want_to_wait_need_not() -> None:
    """Text: "MAY also choose to create a new mobility session without waiting ..., and this should be configurable"."""
    domain = ProxyDomain(lma={"max_delay_before_new_bce_assign": 0})
    domain.ask(request(domain))
    domain.run(SECOND)
    assert domain.ask(request(domain, link_layer=_OTHER), "mag2") is not None
    assert len(domain.entries()) == 2


def test_requests_that_wait_are_bounded_by_the_nodes_that_there_are() -> None:
    domain, _ = _domain()
    for number in range(10, 90):
        domain.run(MILLISECOND)
        domain.ask(request(domain, link_layer=HOSTS[f"mn{number}"]), f"mag{1 + number % 2}")
    assert len(domain.lma._pending) == 1


# --- 5.4.1.3 with the node alone --------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("handoff", _ALL)
def test_5_4_1_3_nothing_but_the_node_by_indicator(handoff: int, zero: bool) -> None:
    """Text: 1.: "MUST verify if there exists one and only one Binding Cache entry"; 2.: "2 ... or ... 3 ..., then the
    request MUST be considered as a request for updating"; 4.: "For all other cases ... a new mobility session"; an
    identifier of zeros is none."""
    domain, entry = _domain(link_layer=None)
    more = (MobileNodeLinkLayerIdentifier(bytes(6)),) if zero else ()
    updating = handoff in (Handoff.BETWEEN_INTERFACES, Handoff.BETWEEN_GATEWAYS)
    assert _sessions_after(domain, link_layer=None, handoff=handoff, more=more) == (1 if updating else 2)
    assert (entry.gateway == gateway(2)) is updating


def test_5_4_1_3_step_3_waits_for_the_deregistration() -> None:
    """Text: "SHOULD wait until the existing Binding Cache entry is de-registered"; "if there is no de-registration ...
    MUST consider the request as a request for creating a new mobility session" (see the test before)."""
    domain, entry = _domain(link_layer=None)
    assert domain.ask(request(domain, link_layer=None), "mag2") is None
    domain.run(SECOND)
    domain.ask(request(domain, *entry.prefixes, link_layer=None, lifetime=0))
    (answer,) = answers(domain, "mag2")
    assert prefixes_of(answer) == list(entry.prefixes)
    assert domain.entries() == (entry,)


def test_5_4_1_3_of_two_sessions_nobody_knows_which_one_moves() -> None:
    domain, _ = _domain()
    domain.ask(request(domain, link_layer=_OTHER, handoff=Handoff.NEW_INTERFACE), "mag2")
    domain.run(SECOND)
    domain.ask(request(domain, link_layer=None, handoff=Handoff.BETWEEN_GATEWAYS), "mag2")
    assert len(domain.entries()) == 3


# --- de-registrations of nothing --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        {"prefixes": (home(70),)},
        {"link_layer": _OTHER, "handoff": Handoff.NEW_INTERFACE},
        {"link_layer": None, "handoff": Handoff.NEW_INTERFACE},
        {"host": "mn2"},
    ],
)
def test_5_4_1_a_deregistration_of_no_session_is_ignored(asked: dict[str, object]) -> None:
    """Text, in all three: "if the received Proxy Binding Update message has the lifetime value of zero and if the
    request cannot be associated with any existing mobility session, the message MUST be silently ignored"."""
    domain, entry = _domain()
    prefixes = asked.pop("prefixes", ())
    assert domain.ask(request(domain, *prefixes, lifetime=0, **asked)) is None  # type: ignore[misc, arg-type]
    assert not entry.waiting
    assert len(domain.lma.cache) == 1


def test_a_deregistration_without_prefixes_is_about_the_only_session() -> None:
    """Of a MAG whose registration was not answered yet: it does not know the prefixes."""
    domain, entry = _domain(link_layer=None, more=(LinkLocalAddress(bytes(16)),))
    assert domain.ask(request(domain, link_layer=None, lifetime=0)) is not None
    assert entry.waiting
