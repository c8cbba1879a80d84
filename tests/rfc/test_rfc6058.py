"""Transient binding (RFC 6058): the LMA goes on with the previous gateway until the new one is ready."""

from __future__ import annotations

import pytest

from sojourn.core.effects import EnsureTunnel
from sojourn.core.events import Commanded, NodeSeen, Sighting
from sojourn.engines.way_settings import TransientBindingsOfLma, TransientBindingsOfMag
from sojourn.wire import BindingAcknowledgement, BindingUpdate, Handoff, Status
from sojourn.wire.addresses import address, link_layer_text
from sojourn.wire.extensions.rfc6058 import TransientBinding
from sojourn.wire.units import MILLISECOND, SECOND, Duration
from support.pmip import LMA, ProxyDomain, gateway, home, request, status_of
from support.table import HOSTS

IGNORED = int(Status.PBU_ACCEPTED_TB_IGNORED_SETTINGSMISMATCH)
LIFETIME = 2 * SECOND


def transient(
    lma: TransientBindingsOfLma | None = None, mag: TransientBindingsOfMag | None = None, gateways: int = 3
) -> ProxyDomain:
    """mn1 is at mag1, and mag2 is told that it will come."""
    domain = ProxyDomain(
        gateways,
        lma={"transient_bindings": lma or TransientBindingsOfLma()},
        transient_bindings=mag or TransientBindingsOfMag(LIFETIME),
    )
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    return domain


def prepare(domain: ProxyDomain, name: str = "mag2") -> None:
    """`name` is told, and sees the node before it leaves its previous gateway."""
    words = {"node": link_layer_text(HOSTS["mn1"]), "kind": "between-gateways"}
    domain.event(name, Commanded("make-before-break", words))
    domain.clear()
    domain.attach("mn1", name)
    domain.run(50 * MILLISECOND)


def shows_itself(domain: ProxyDomain, name: str = "mag2") -> None:
    domain.event(name, NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
    domain.run(50 * MILLISECOND)


def downlink(domain: ProxyDomain) -> bytes:
    """The far end of the tunnel to the node."""
    way = domain.plane("lma").way(home(0))
    assert isinstance(way, EnsureTunnel)
    return way.remote


def state(domain: ProxyDomain) -> object:
    (row,) = domain.lma.show("bindings", domain.now)
    return row["transient"]


def options(domain: ProxyDomain, kind: type[BindingUpdate | BindingAcknowledgement]) -> list[list[TransientBinding]]:
    """The Transient Binding options of each message of a kind, in order."""
    return [list(message.all(TransientBinding)) for _, _, message in domain.sent(kind)]


def option(lifetime: Duration = LIFETIME, late: bool = True) -> TransientBinding:
    return TransientBinding(late, lifetime)


def test_4_5_the_new_gateway_asks_and_the_lma_grants() -> None:
    domain = transient()
    prepare(domain)
    assert options(domain, BindingUpdate) == [[option()]]
    assert options(domain, BindingAcknowledgement) == [[option()]]
    assert state(domain) == "transient-l"
    assert domain.at("mag2").confirmed
    assert domain.mag("mag2").show("sessions", domain.now)[0]["transient"] is True


def test_4_4_packets_to_the_node_go_on_to_the_previous_gateway() -> None:
    domain = transient()
    prepare(domain)
    assert domain.entry().gateway == gateway(2)
    assert downlink(domain) == gateway(1)
    assert domain.plane("mag1").state.uplinks == domain.plane("mag2").state.uplinks == {home(0): LMA}


def test_4_6_2_the_way_is_switched_when_the_new_gateway_says_so() -> None:
    """Text: "the nMAG sends a PBU message without the Transient Binding option"; here as the node shows itself."""
    domain = transient()
    prepare(domain)
    domain.clear()
    shows_itself(domain)
    assert options(domain, BindingUpdate) == options(domain, BindingAcknowledgement) == [[]]
    assert downlink(domain) == gateway(2)
    assert state(domain) == "active"
    assert domain.mag("mag2").show("sessions", domain.now)[0]["transient"] is False


def test_4_3_1_somebody_who_knows_may_say_so() -> None:
    domain = transient()
    prepare(domain)
    domain.event("mag2", Commanded("activate", {"node": link_layer_text(HOSTS["mn1"])}))
    domain.run(50 * MILLISECOND)
    assert downlink(domain) == gateway(2)


def test_4_6_2_the_way_is_switched_when_its_time_is_over() -> None:
    domain = transient()
    prepare(domain)
    domain.run(LIFETIME - 100 * MILLISECOND)
    assert downlink(domain) == gateway(1)
    domain.run(200 * MILLISECOND)
    assert downlink(domain) == gateway(2)
    assert state(domain) == "active"


def test_4_6_2_the_way_is_switched_when_the_previous_gateway_lets_go() -> None:
    """Text: "irrespective of whether or not the transient BCE was configured to enter ... Transient-A"."""
    domain = transient(TransientBindingsOfLma(activation_state=True))
    prepare(domain)
    domain.clear()
    domain.detach("mn1", "mag1")
    domain.run(50 * MILLISECOND)
    assert [message.lifetime for _, to, message in domain.sent(BindingAcknowledgement) if to == "mag1"] == [0]  # type: ignore[attr-defined]
    assert downlink(domain) == gateway(2)
    assert state(domain) == "active"
    assert not domain.entry().waiting
    assert domain.listed("mag1") is None


def test_4_6_1_with_an_activation_state_transient_a_follows() -> None:
    domain = transient(TransientBindingsOfLma(activation_state=True, activation_delay=SECOND))
    prepare(domain)
    assert state(domain) == "transient-la"
    shows_itself(domain)
    assert (state(domain), downlink(domain)) == ("transient-a", gateway(2))
    domain.run(SECOND)
    assert (state(domain), downlink(domain)) == ("active", gateway(2))


def test_4_3_1_without_a_word_it_is_a_handover_of_rfc_5213() -> None:
    """Text: "the nMAG MUST assume that the host is incapable of this mode of operation"."""
    domain = transient()
    domain.clear()
    domain.attach("mn1", "mag2")
    domain.run(50 * MILLISECOND)
    assert options(domain, BindingUpdate) == [[]]
    assert downlink(domain) == gateway(2)


def test_4_3_1_a_word_about_a_handover_does_not_hold_for_ever() -> None:
    domain = transient()
    domain.event("mag2", Commanded("make-before-break", {"node": link_layer_text(HOSTS["mn1"])}))
    domain.run(11 * SECOND)
    domain.clear()
    domain.attach("mn1", "mag2")
    domain.run(50 * MILLISECOND)
    assert options(domain, BindingUpdate) == [[]]


def test_4_9_an_lma_that_knows_nothing_of_it() -> None:
    domain = transient()
    domain.reconfigure("lma", transient_bindings=None)
    domain.run(SECOND)
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    prepare(domain)
    assert downlink(domain) == gateway(2)
    assert domain.mag("mag2").show("sessions", domain.now)[0]["transient"] is False


# --- 4.6.1: options that are ignored, and what else comes meanwhile ---------------------------------------------------


@pytest.mark.parametrize("ignored", [option(0), option(late=False)])
def test_4_6_1_an_option_without_l_or_lifetime_is_ignored(ignored: TransientBinding) -> None:
    domain = transient()
    answer = domain.ask(request(domain, handoff=Handoff.BETWEEN_GATEWAYS, more=(ignored,)), "mag2")
    assert status_of(answer) == IGNORED
    assert downlink(domain) == gateway(2)


def test_4_6_1_the_gateway_that_serves_the_node_gets_no_transient_binding() -> None:
    domain = transient()
    answer = domain.ask(request(domain, handoff=Handoff.NOT_CHANGED, more=(option(),)), "mag1")
    assert status_of(answer) == IGNORED
    assert (state(domain), downlink(domain)) == ("active", gateway(1))


def test_4_6_1_a_second_option_of_the_new_gateway_makes_it_active() -> None:
    domain = transient()
    prepare(domain)
    answer = domain.ask(request(domain, handoff=Handoff.BETWEEN_GATEWAYS, more=(option(),)), "mag2")
    assert status_of(answer) == IGNORED
    assert (state(domain), downlink(domain)) == ("active", gateway(2))


def test_4_6_1_it_is_shorter_than_the_registration_and_than_the_lma_allows() -> None:
    """Text: "the LMA MUST reduce the lifetime of the transient BCE to a value smaller than the registration"."""
    domain = transient(TransientBindingsOfLma(lifetime_max=9 * SECOND))
    long = option(20 * SECOND)
    asked = request(domain, handoff=Handoff.BETWEEN_GATEWAYS, lifetime=8 * SECOND, more=(long,))
    answer = domain.ask(asked, "mag2")
    assert answer is not None
    assert list(answer.all(TransientBinding)) == [option(7900 * MILLISECOND)]
    domain = transient(TransientBindingsOfLma(lifetime_max=9 * SECOND))
    answer = domain.ask(request(domain, handoff=Handoff.BETWEEN_GATEWAYS, more=(long,)), "mag2")
    assert answer is not None
    assert list(answer.all(TransientBinding)) == [option(9 * SECOND)]


def test_4_6_1_a_new_session_has_no_previous_gateway() -> None:
    domain = transient()
    answer = domain.ask(request(domain, host="mn2", more=(option(),)), "mag2")
    assert status_of(answer) == IGNORED


def test_4_6_2_the_previous_gateway_may_refresh_meanwhile() -> None:
    """Text: "the LMA must approve the lifetime extension to pMAG ... and proceed with the transient BCE handover"."""
    domain = transient()
    prepare(domain)
    domain.clear()
    domain.event("mag1", Commanded("refresh"))
    domain.run(50 * MILLISECOND)
    (answer,) = [message for _, _, message in domain.sent(BindingAcknowledgement)]
    assert isinstance(answer, BindingAcknowledgement)
    assert (answer.status, answer.lifetime) == (0, 300 * SECOND)
    assert (state(domain), downlink(domain), domain.entry().gateway) == ("transient-l", gateway(1), gateway(2))


@pytest.mark.parametrize("name", ["mag1", "mag3"])
def test_4_6_2_a_further_handover_ends_it(name: str) -> None:
    """Text: "which indicates a handover ... the LMA MUST terminate the transient state", its option is ignored."""
    domain = transient()
    prepare(domain)
    domain.run(10 * MILLISECOND)
    answer = domain.ask(request(domain, handoff=Handoff.BETWEEN_GATEWAYS, more=(option(),)), name)
    assert status_of(answer) == IGNORED
    assert (state(domain), downlink(domain)) == ("active", gateway(int(name[3:])))


def test_4_9_an_answer_that_is_lost_is_asked_for_again() -> None:
    """Retransmitted, the request is from the gateway that serves the node: status 6, and the way is switched."""
    domain = transient()
    lost: list[object] = []

    def lose(source: str, destination: str, message: object) -> bool:
        first = isinstance(message, BindingAcknowledgement) and destination == "mag2" and not lost
        if first:
            lost.append(message)
        return first

    domain.lose = lose
    prepare(domain)
    domain.run(3 * SECOND)
    assert lost
    assert domain.at("mag2").confirmed
    assert (state(domain), downlink(domain)) == ("active", gateway(2))


def test_7_a_stranger_begins_no_transient_binding() -> None:
    domain = transient()
    domain.inject(address("2001:db8:bad::1"), "lma", request(domain, more=(option(),)))
    assert (state(domain), downlink(domain)) == ("active", gateway(1))


def test_nothing_is_left_of_a_session_that_ended() -> None:
    domain = transient()
    prepare(domain)
    domain.detach("mn1", "mag2")
    domain.detach("mn1", "mag1")
    domain.run(60 * SECOND)
    for role in (domain.lma, domain.mag("mag2")):
        (extension,) = role.extensions
        held = [value for value in vars(extension).values() if isinstance(value, dict | set)]
        assert not any(held)


def test_words_about_handovers_are_bounded() -> None:
    domain = transient()
    for number in range(3000):
        words = {"node": f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}"}
        domain.event("mag2", Commanded("make-before-break", words))
    (extension,) = domain.mag("mag2").extensions
    assert len(extension._told) == 1024  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "words", [{}, {"node": "nobody"}, {"node": "02:00:00:00:01:01", "kind": "new-interface"}], ids=str
)
def test_commands_that_make_no_sense_are_refused(words: dict[str, str]) -> None:
    domain = transient()
    domain.event("mag2", Commanded("make-before-break", words))
    domain.event("mag2", Commanded("activate", words))
    assert domain.reported("mag2", "command-refused") == 2


def test_4_6_what_a_third_gateway_ends_in_vain_ends_no_transient_state() -> None:
    """Its de-registration was late and ignored, but the LMA forgot that the way is to be switched some time."""
    domain = transient()
    prepare(domain)
    domain.ask(request(domain, lifetime=0), "mag3")
    assert (state(domain), downlink(domain)) == ("transient-l", gateway(1))
    domain.run(LIFETIME)
    assert (state(domain), downlink(domain)) == ("active", gateway(2))
