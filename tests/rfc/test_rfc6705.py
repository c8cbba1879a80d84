"""Localized routing (RFC 6705): between two nodes of one LMA, at one MAG or at two."""

from __future__ import annotations

import itertools

import pytest

from sojourn.core.effects import EnsureShortcut, ProbeNode, WithdrawShortcut
from sojourn.core.events import Commanded, LinkChanged, NodeSeen, Sighting
from sojourn.engines.localized import End, ends_of, options_of
from sojourn.engines.way_settings import LocalizedRoutingOfLma, LocalizedRoutingOfMag
from sojourn.wire import BindingError, MobilityMessage
from sojourn.wire.addresses import Address, Prefix, address, prefix
from sojourn.wire.extensions.rfc6705 import (
    LocalizedRoutingAcknowledgment,
    LocalizedRoutingInitiation,
    MagIpv6Address,
)
from sojourn.wire.units import MILLISECOND, SECOND
from support.pmip import LMA, ProxyDomain, gateway, home
from support.table import node

PAIR = (node("mn1"), node("mn2"))
STRANGER = address("2001:db8:bad::1")
WAIT, RETRIES = 3 * SECOND, 3


def localized(
    gateways: int = 3,
    pairs: tuple[tuple[bytes, bytes], ...] = (PAIR,),
    mag: LocalizedRoutingOfMag | None = None,
    **lma: object,
) -> ProxyDomain:
    """A domain in which mn1 and mn2 shall meet; every gateway exchanges packets with every other."""
    addresses = tuple(gateway(number) for number in range(1, gateways + 1))
    return ProxyDomain(
        gateways,
        lma={"localized_routing": LocalizedRoutingOfLma(pairs, **lma)},  # type: ignore[arg-type]
        localized_routing=mag or LocalizedRoutingOfMag(addresses),
    )


def lively(domain: ProxyDomain) -> ProxyDomain:
    """Its nodes answer when they are asked for a sign of life."""

    def answer(name: str, probe: ProbeNode) -> None:
        domain.later(MILLISECOND, name, NodeSeen(probe.interface, probe.link_layer, Sighting.NEIGHBOUR))

    domain.on_probe = answer
    return domain


def attached(domain: ProxyDomain, one: str = "mag1", other: str = "mag1") -> ProxyDomain:
    domain.attach("mn1", one)
    domain.run(SECOND)
    domain.attach("mn2", other)
    domain.run(SECOND)
    return domain


def shortcuts(domain: ProxyDomain, name: str) -> dict[tuple[Prefix, Prefix], Address | None]:
    return domain.plane(name).state.shortcuts


def initiations(domain: ProxyDomain) -> list[tuple[str, LocalizedRoutingInitiation]]:
    """Those sent, with the gateway that they went to."""
    found = [(to, message) for _, to, message in domain.sent(LocalizedRoutingInitiation)]
    return [(to, message) for to, message in found if isinstance(message, LocalizedRoutingInitiation)]


def answers(domain: ProxyDomain) -> list[LocalizedRoutingAcknowledgment]:
    return [message for _, _, message in domain.sent() if isinstance(message, LocalizedRoutingAcknowledgment)]


def statuses(domain: ProxyDomain) -> list[int]:
    return [answer.status for answer in answers(domain)]


def ask(domain: ProxyDomain, message: MobilityMessage, source: Address = LMA, name: str = "mag1") -> list[int]:
    """The statuses that `name` answers `message` with."""
    domain.clear()
    domain.inject(source, name, message)
    return statuses(domain)


def initiation(
    *ends: End, remote: Address | None = None, sequence: int = 40_000, lifetime: int = 60 * SECOND
) -> LocalizedRoutingInitiation:
    return LocalizedRoutingInitiation(sequence, lifetime, options_of(ends, remote))


HOME1, HOME2 = home(0), home(1)
END1, END2 = End(PAIR[0], (HOME1,)), End(PAIR[1], (HOME2,))


# --- one gateway (5) ------------------------------------------------------------------------------------------------


def test_3_2_the_lma_initiates_when_both_nodes_are_anchored_to_it() -> None:
    domain = localized()
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    assert initiations(domain) == []
    domain.attach("mn2", "mag1")
    domain.run(SECOND)
    assert [to for to, _ in initiations(domain)] == ["mag1"]


def test_5_A11_one_initiation_with_both_nodes_and_entries_for_both_directions() -> None:  # noqa: N802
    """Text: "it MUST contain the MN-Identifier (MN-ID) and the Home Network Prefix (HNP) ... for each of the MNs"."""
    domain = attached(localized())
    ((_, message),) = initiations(domain)
    assert ends_of(message) == (END1, END2)
    assert message.first(MagIpv6Address) is None
    assert message.lifetime == 120 * SECOND
    assert shortcuts(domain, "mag1") == {(HOME1, HOME2): None, (HOME2, HOME1): None}


def test_5_and_10_2_the_answer_has_the_tuples_in_the_same_order() -> None:
    domain = attached(localized())
    ((_, message),) = initiations(domain)
    (answer,) = answers(domain)
    assert (answer.sequence, answer.flags, answer.status) == (message.sequence, 0, 0)
    assert answer.lifetime == message.lifetime
    assert ends_of(answer) == ends_of(message)


def test_5_the_lma_remembers_that_localized_routing_is_in_progress() -> None:
    """Text: "When Status code is 0, the LMA sets a flag in the BCE corresponding to the HNPs"."""
    domain = attached(localized())
    assert [row["localized"] for row in domain.lma.show("bindings", domain.now)] == [1, 1]
    assert [row["localized"] for row in domain.mag("mag1").show("sessions", domain.now)] == [1, 1]


def test_5_a_gateway_without_the_flag_does_not_allow_it() -> None:
    """Text: "MUST reject the LRI"; here by not knowing the message, as RFC 6275 9.2 has it."""
    domain = localized()
    domain.reconfigure("mag1", localized_routing=None)
    attached(domain)
    domain.run(30 * SECOND)
    assert answers(domain) == []
    assert domain.sent(BindingError)
    assert shortcuts(domain, "mag1") == {}


def test_5_a_node_that_is_not_attached_is_told_as_such() -> None:
    domain = attached(localized(pairs=()), "mag1", "mag2")
    assert ask(domain, initiation(END1, END2)) == [129]
    (answer,) = answers(domain)
    assert ends_of(answer) == (END1,)  # "only those [MN-ID, HNP] tuples for which local forwarding is supported"
    assert answer.lifetime == 0
    assert shortcuts(domain, "mag1") == {}


def test_5_a_node_that_left_is_reached_by_way_of_the_lma_again() -> None:
    """Text: "the MAG MUST fall back to using the BUL entry"."""
    domain = attached(localized())
    domain.detach("mn2", "mag1")
    assert shortcuts(domain, "mag1") == {}


def test_5_entries_are_asserted_again_when_the_link_comes_back() -> None:
    domain = attached(localized())
    domain.clear()
    domain.event("mag1", LinkChanged("acc0", False))
    domain.event("mag1", LinkChanged("acc0", True))
    assert {(e.source, e.destination) for _, _, e in domain.effects if isinstance(e, EnsureShortcut)} == {
        (HOME1, HOME2),
        (HOME2, HOME1),
    }


# --- two gateways (6) -----------------------------------------------------------------------------------------------


def test_6_A21_each_gateway_is_told_of_the_other_one() -> None:  # noqa: N802
    """Text: "each LRI message MUST contain the IP address of the counterpart MAG"."""
    domain = attached(localized(), "mag1", "mag2")
    (first, told1), (second, told2) = initiations(domain)
    assert {first, second} == {"mag1", "mag2"}
    remotes = {to: message.all(MagIpv6Address)[0].address for to, message in ((first, told1), (second, told2))}
    assert remotes == {"mag1": gateway(2), "mag2": gateway(1)}
    assert shortcuts(domain, "mag1") == {(HOME1, HOME2): gateway(2)}
    assert shortcuts(domain, "mag2") == {(HOME2, HOME1): gateway(1)}


def test_6_one_gateway_that_declines_leaves_the_other_direction() -> None:
    domain = localized()
    domain.reconfigure("mag2", localized_routing=LocalizedRoutingOfMag(()))
    attached(domain, "mag1", "mag2")
    assert sorted(statuses(domain)) == [0, 128]
    assert shortcuts(domain, "mag1") == {(HOME1, HOME2): gateway(2)}
    assert shortcuts(domain, "mag2") == {}


def test_5_1_a_handover_turns_one_gateway_into_two() -> None:
    """Text: "The LMA MUST hence initiate LR at nMAG and update the LR state of pMAG ... will resemble Scenario A21"."""
    domain = attached(localized())
    domain.clear()
    domain.roam("mn2", "mag1", "mag2", settle=SECOND)
    assert shortcuts(domain, "mag1") == {(HOME1, HOME2): gateway(2)}
    assert shortcuts(domain, "mag2") == {(HOME2, HOME1): gateway(1)}


def test_6_1_a_handover_replaces_the_gateway_of_the_counterpart() -> None:
    """Text: "MUST then initiate LR at nMAG1 and update the LR state of MAG2 to use nMAG1 instead of MAG1"."""
    domain = attached(localized(), "mag1", "mag2")
    domain.roam("mn1", "mag1", "mag3", settle=SECOND)
    assert shortcuts(domain, "mag1") == {}
    assert shortcuts(domain, "mag2") == {(HOME2, HOME1): gateway(3)}
    assert shortcuts(domain, "mag3") == {(HOME1, HOME2): gateway(2)}


def test_6_1_a_handover_that_the_old_gateway_did_not_notice() -> None:
    domain = attached(localized(), "mag1", "mag2")
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    assert shortcuts(domain, "mag2") == {(HOME1, HOME2): None, (HOME2, HOME1): None}
    assert shortcuts(domain, "mag1") == {}


def test_6_1_nothing_is_sent_to_where_a_node_is_no_more() -> None:
    """As soon as the LMA knows that mn1 left, the gateway of mn2 sends its packets to the LMA again."""
    domain = attached(localized(), "mag1", "mag2")
    domain.clear()
    domain.detach("mn1", "mag1")
    domain.run(SECOND // 10)
    assert [(to, message.lifetime) for to, message in initiations(domain)] == [("mag1", 0), ("mag2", 0)]
    assert shortcuts(domain, "mag2") == {}


# --- lifetime (4) and repetition (10.1) -----------------------------------------------------------------------------


def test_4_localized_routing_ends_with_its_lifetime() -> None:
    domain = attached(localized())
    domain.lose = lambda source, destination, message: isinstance(message, LocalizedRoutingInitiation)
    domain.run(119 * SECOND)
    assert shortcuts(domain, "mag1") != {}
    domain.run(2 * SECOND)
    assert shortcuts(domain, "mag1") == {}


def test_4_it_goes_on_as_long_as_both_nodes_are_there() -> None:
    domain = lively(attached(localized()))
    for _ in range(10):
        domain.run(60 * SECOND)
        assert shortcuts(domain, "mag1") != {}
    sequences = [message.sequence for _, message in initiations(domain)]
    assert sequences == [*range(sequences[0], sequences[0] + len(sequences))]


def test_4_the_initiator_ends_it_with_a_lifetime_of_zero() -> None:
    """Text: "it MUST do so by sending a new LRI message with the lifetime set to zero"."""
    domain = attached(localized(pairs=()))
    words = {"node": PAIR[0].hex(), "other": PAIR[1].hex()}
    domain.event("lma", Commanded("localize", words))
    domain.run(SECOND)
    assert shortcuts(domain, "mag1") != {}
    domain.clear()
    domain.event("lma", Commanded("delocalize", words))
    domain.run(SECOND)
    assert [message.lifetime for _, message in initiations(domain)] == [0]
    assert shortcuts(domain, "mag1") == {}
    domain.clear()
    domain.roam("mn1", "mag1", "mag2", settle=SECOND)
    assert initiations(domain) == []


def test_10_1_an_initiation_is_repeated_lri_retries_times() -> None:
    domain = localized()
    domain.lose = lambda source, destination, message: isinstance(message, LocalizedRoutingAcknowledgment)
    attached(domain)
    domain.run((RETRIES + 2) * WAIT)
    moments = [now for now, _, _, message in domain.messages if isinstance(message, LocalizedRoutingInitiation)]
    assert len(moments) == 1 + RETRIES
    assert {later - earlier for earlier, later in itertools.pairwise(moments)} == {WAIT}
    assert len({message.sequence for _, message in initiations(domain)}) == 1
    assert domain.reported("lma", "localized-routing-unanswered") == 1


def test_10_1_a_node_that_has_not_quite_come_is_asked_for_again() -> None:
    """The initiation may overtake the answer to the registration: status 129, and LRA_WAIT_TIME later it is there."""
    domain = localized()
    lost: list[MobilityMessage] = []

    def lose_first_answer(source: str, destination: str, message: MobilityMessage) -> bool:
        late = type(message).__name__ == "BindingAcknowledgement" and len(lost) < 1 and domain.now > SECOND
        if late:
            lost.append(message)
        return late

    domain.lose = lose_first_answer
    attached(domain)
    domain.run(2 * WAIT)
    assert statuses(domain) == [129, 0]
    assert shortcuts(domain, "mag1") != {}


def test_10_1_an_older_initiation_that_comes_late_changes_nothing() -> None:
    domain = attached(localized(pairs=()))
    assert ask(domain, initiation(END1, END2, sequence=101, lifetime=0)) == [0]
    assert ask(domain, initiation(END1, END2, sequence=102)) == [0]
    assert ask(domain, initiation(END1, END2, sequence=103, lifetime=0)) == [0]
    assert ask(domain, initiation(END1, END2, sequence=102)) == [128]
    assert shortcuts(domain, "mag1") == {}


def test_10_1_an_infinite_lifetime_has_no_end() -> None:
    domain = lively(attached(localized(pairs=())))
    assert ask(domain, initiation(END1, END2, lifetime=0xFFFF * SECOND)) == [0]
    domain.run(100_000 * SECOND)
    assert shortcuts(domain, "mag1") != {}


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [STRANGER, gateway(2)])
def test_13_only_an_lma_of_this_gateway_may_ask(source: Address) -> None:
    domain = attached(localized(pairs=()))
    assert ask(domain, initiation(END1, END2), source) == []
    assert shortcuts(domain, "mag1") == {}
    assert domain.reported("mag1", "localized-routing-unexpected") == 1


def test_13_an_answer_of_somebody_else_is_passed_over() -> None:
    domain = localized()
    domain.lose = lambda source, destination, message: isinstance(message, LocalizedRoutingAcknowledgment)
    attached(domain)
    ((_, message),) = initiations(domain)
    forged = LocalizedRoutingAcknowledgment(message.sequence, 0, 0, message.lifetime, message.options)
    for source in (STRANGER, gateway(2)):
        domain.inject(source, "lma", forged)
    assert [row["localized"] for row in domain.lma.show("bindings", domain.now)] == [0, 0]
    assert domain.reported("lma", "localized-routing-refused") == 1
    assert domain.reported("lma", "localized-routing-unexpected") == 1


def test_7_an_initiation_at_the_lma_is_not_allowed() -> None:
    """Two LMAs: "Each LMA MUST respond to the LRI message with an LRA message"; a stranger is not answered."""
    domain = attached(localized(pairs=()))
    assert ask(domain, initiation(END1), gateway(1), "lma") == [128]
    assert ask(domain, initiation(END1), STRANGER, "lma") == []


@pytest.mark.parametrize(
    ("ends", "remote", "status"),
    [
        ((), None, 128),
        ((END1,), gateway(2), 128),
        ((END1, END1), None, 128),
        ((END1, End(PAIR[1], ())), None, 128),
        ((END1, END2, End(node("mn3"), (home(2),))), None, 128),
        ((End(node("mn3"), (HOME1,)), END2), None, 129),
        ((End(PAIR[0], (HOME1, home(7))), END2), None, 129),
        ((END1, END2), STRANGER, 128),
        ((END1, END2), gateway(1), 128),
        ((END1, End(node("mn9"), (prefix("2000::/3"),))), gateway(2), 128),
        ((END1, End(node("mn9"), (prefix("fe80::/64"),))), gateway(2), 128),
    ],
)
def test_5_what_makes_no_sense_is_declined(ends: tuple[End, ...], remote: Address | None, status: int) -> None:
    domain = attached(localized(pairs=()))
    assert ask(domain, initiation(*ends, remote=remote)) == [status]
    assert shortcuts(domain, "mag1") == {}


def test_5_pairs_are_bounded_at_both_ends() -> None:
    domain = attached(localized(pairs=(), most=1, mag=LocalizedRoutingOfMag((gateway(2),), most=1)))
    for number in range(3, 6):
        domain.event("lma", Commanded("localize", {"node": PAIR[0].hex(), "other": node(f"mn{number}").hex()}))
    assert domain.reported("lma", "command-unknown") + domain.reported("lma", "command-refused") == 2
    for number in range(3, 6):
        other = End(node(f"mn{number}"), (prefix(f"2001:db8:f0ff:{number}::/64"),))
        ask(domain, initiation(END1, other, remote=gateway(2), sequence=number))
    assert len(shortcuts(domain, "mag1")) == 1


def test_4_nothing_is_left_of_pairs_that_ended() -> None:
    domain = attached(localized(pairs=()))
    assert ask(domain, initiation(END1, END2)) == [0]
    domain.detach("mn1", "mag1")
    domain.detach("mn2", "mag1")
    domain.run(60 * SECOND)
    (extension,) = domain.mag("mag1").extensions
    assert not extension._entries  # type: ignore[attr-defined]
    assert not extension._of_session  # type: ignore[attr-defined]
    withdrawn = [effect for _, _, effect in domain.effects if isinstance(effect, WithdrawShortcut)]
    assert len(withdrawn) == 2
