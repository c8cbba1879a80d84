"""RFC 6463: an LMA assigns another one to a session, at runtime."""

from __future__ import annotations

import pytest

from sojourn.core.events import HandoverExpected
from sojourn.engines.configuration import Gateway
from sojourn.engines.extension_settings import RedirectSettings, RevocationSettings
from sojourn.wire import (
    AlternateCareOfAddress,
    BindingAcknowledgement,
    BindingRevocationIndication,
    BindingUpdate,
    MobileNodeIdentifier,
    MobilityMessage,
)
from sojourn.wire.extensions.rfc6463 import Redirect, RedirectCapability
from sojourn.wire.units import MILLISECOND, SECOND
from support.pmip import HOME, HOME2, HOME3, LMA, LMA2, LMA3, ProxyDomain, gateway, request, status_of
from support.pmip_extensions import STRANGER, command, messages
from support.table import HOSTS, node

ANCHORS = (LMA2, LMA3)


def redirecting(settings: RedirectSettings = RedirectSettings(ANCHORS), **overrides: object) -> ProxyDomain:  # noqa: B008
    """``lma`` assigns ``lma2`` and ``lma3``, which know it as a MAG."""
    domain = ProxyDomain(2, anchors=3, **({"redirect_anchors": ANCHORS} | overrides))
    ends = (gateway(1), gateway(2))
    known = (Gateway(gateway(1), "mag1"), Gateway(gateway(2), "mag2"), Gateway(LMA, "rf", ends))
    for name in ("lma2", "lma3"):
        domain.reconfigure(name, gateways=known)
    domain.reconfigure("lma", redirect=settings)
    domain.clear()
    return domain


def assigned(domain: ProxyDomain, host: str = "mn1", name: str = "mag1") -> str:
    return domain.names[domain.at(name, host).lma]


def sessions(domain: ProxyDomain, name: str) -> int:
    engine = domain.members[name].engine
    return len(engine.show("bindings", domain.now))


def attached(domain: ProxyDomain, *hosts: str, name: str = "mag1") -> ProxyDomain:
    for host in hosts or ("mn1",):
        domain.attach(host, name)
    domain.run(SECOND // 5)
    return domain


def test_5_3_2_figure_3_the_messages_of_an_assignment() -> None:
    domain = attached(redirecting())
    other = assigned(domain)
    anchor = {"lma2": LMA2, "lma3": LMA3}[other]
    (one, update), (two, passed), (three, answer), (four, final) = [
        ((source, destination), message) for source, destination, message in domain.sent()
    ]
    assert [one, two, three, four] == [("mag1", "lma"), ("lma", other), (other, "lma"), ("lma", "mag1")]
    assert isinstance(update, BindingUpdate)
    assert isinstance(passed, BindingUpdate)
    assert isinstance(answer, BindingAcknowledgement)
    assert isinstance(final, BindingAcknowledgement)
    assert RedirectCapability() in update.options
    kept = tuple(option for option in update.options if not isinstance(option, RedirectCapability))
    assert passed.options == (*kept, AlternateCareOfAddress(gateway(1)))
    assert final.options == (Redirect.of(anchor), *answer.options)
    assert (final.status, final.sequence, final.lifetime) == (0, update.sequence, answer.lifetime)


@pytest.mark.parametrize("phase", ["predictive", "reactive"])
def test_5_2_packets_go_to_the_assigned_anchor_after_a_fast_handover_too(phase: str) -> None:
    """Reactive: the gateway hears the prefixes from the one before (RFC 5949), and then whose they are."""
    domain = attached(redirecting(handovers=8))
    (served,) = domain.at("mag1").anchored
    if phase == "predictive":
        domain.event("mag1", HandoverExpected(HOSTS["mn1"], gateway(2)))
        domain.run(10 * MILLISECOND)
        domain.detach("mn1", "mag1")
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    session = domain.at("mag2")
    assert session.anchored == {served: session.lma}
    assert domain.plane("mag2").state.uplinks == {served: session.lma}
    assert session.lma in ANCHORS


def test_5_2_the_session_is_with_the_other_anchor_from_then_on() -> None:
    """Packets go there, refreshes and the de-registration as well; the first LMA keeps nothing."""
    domain = attached(redirecting(lifetime=20 * SECOND))
    domain.on_probe = lambda name, probe: domain.attach("mn1", name)
    other = assigned(domain)
    anchor = {"lma2": LMA2, "lma3": LMA3}[other]
    (prefix,) = domain.at("mag1").anchored
    assert {"lma2": HOME2, "lma3": HOME3}[other].contains(prefix)
    assert domain.plane("mag1").state.uplinks == {prefix: anchor}
    assert domain.plane("lma").state.prefixes == {}
    domain.clear()
    domain.run(12 * SECOND)
    domain.detach("mn1", "mag1")
    domain.run(SECOND)
    assert {(source, destination) for source, destination, _ in domain.sent()} == {("mag1", other), (other, "mag1")}
    assert all(one.first(Redirect) is None for one in messages(domain, BindingAcknowledgement))
    assert all(one.first(RedirectCapability) is None for one in messages(domain, BindingUpdate))


def test_the_same_node_gets_the_same_anchor_elsewhere_and_its_prefix() -> None:
    domain = attached(redirecting())
    (before,) = domain.at("mag1").anchored
    other = assigned(domain)
    domain.roam("mn1", "mag1", "mag2")
    assert assigned(domain, name="mag2") == other
    assert list(domain.at("mag2").anchored) == [before]


def test_nodes_are_spread_over_the_anchors() -> None:
    hosts = [f"mn{number}" for number in range(1, 41)]
    domain = attached(redirecting(), *hosts)
    assert min(sessions(domain, "lma2"), sessions(domain, "lma3")) >= 8
    assert sessions(domain, "lma2") + sessions(domain, "lma3") == 40


def test_5_2_without_the_capability_there_is_no_redirection() -> None:
    """5.3: the LMA serves the node itself, or refuses it with 130."""
    domain = attached(redirecting(redirect_anchors=()))
    assert HOME.contains(next(iter(domain.at("mag1").anchored)))
    strict = redirecting(RedirectSettings(ANCHORS, serve=False))
    assert status_of(strict.ask(request(strict))) == 130
    assert strict.lma.cache.of(node("mn1")) == ()


def test_5_2_an_option_that_nobody_asked_for_is_ignored() -> None:
    domain = redirecting(redirect_anchors=(LMA3,))
    seen: list[MobilityMessage] = []

    def tampered(source: str, destination: str, message: MobilityMessage) -> bool:
        if isinstance(message, BindingUpdate) and source == "mag1":
            message.options = tuple(one for one in message.options if not isinstance(one, RedirectCapability))
            seen.append(message)
        if isinstance(message, BindingAcknowledgement) and destination == "mag1":
            message.options = (*message.options, Redirect.of(LMA2))
        return False

    domain.lose = tampered
    domain.mag("mag1").extensions = type(domain.mag("mag1").extensions)()
    attached(domain)
    assert seen != []
    assert assigned(domain) == "lma"


def test_a_redirection_to_a_stranger_is_not_taken() -> None:
    domain = redirecting(redirect_anchors=(LMA3,))
    domain.reconfigure("lma", redirect=RedirectSettings((LMA2,)))
    attached(domain)
    assert not domain.at("mag1").confirmed
    assert assigned(domain) == "lma"
    assert domain.reported("mag1", "redirect-refused") >= 1


def test_5_3_2_an_anchor_without_room_is_followed_by_the_next_one() -> None:
    domain = redirecting()
    hosts = [f"mn{number}" for number in range(1, 21)]
    domain.reconfigure("lma2", nodes=1)
    attached(domain, *hosts)
    assert (sessions(domain, "lma2"), sessions(domain, "lma3")) == (1, 19)
    assert domain.reported("lma", "redirect-refused") > 0


def test_5_3_2_the_last_refusal_is_the_answer() -> None:
    domain = redirecting()
    for name in ("lma2", "lma3"):
        domain.reconfigure(name, everybody=None)
    domain.clear()
    attached(domain)
    assert [one.status for one in messages(domain, BindingAcknowledgement, "lma")] == [153]
    assert len(messages(domain, BindingUpdate, "lma")) == 2
    assert messages(domain, BindingAcknowledgement, "lma")[0].first(Redirect) is None


def test_a_clock_that_is_wrong_is_the_business_of_the_gateway() -> None:
    domain = redirecting()
    domain.skew("mag1", 5 * SECOND)
    attached(domain)
    assert domain.reported("mag1", "clock-corrected") == 1
    assert domain.at("mag1").confirmed


def test_a_silent_anchor_is_avoided_and_the_next_request_goes_to_another_one() -> None:
    domain = redirecting()
    for name in ("lma2", "lma3"):
        domain.crash(name)
    attached(domain)
    (chosen,) = {destination for source, destination, _ in domain.sent() if source == "lma"}
    other = "lma3" if chosen == "lma2" else "lma2"
    domain.restart(other, store=True)
    domain.run(2 * SECOND)
    assert assigned(domain) == other
    assert domain.at("mag1").confirmed
    assert domain.reported("lma", "anchor-silent") == 1


def test_nobody_can_be_assigned() -> None:
    """5.3: 130, and nothing is kept."""
    domain = redirecting()
    for name in ("lma2", "lma3"):
        domain.crash(name)
    domain.attach("mn1", "mag1")
    domain.run(10 * SECOND)
    assert [one.status for one in messages(domain, BindingAcknowledgement, "lma")][-1] == 130
    (extension,) = domain.lma.extensions
    assert not extension._passed  # type: ignore[attr-defined]
    assert not extension._latest  # type: ignore[attr-defined]


@pytest.mark.parametrize("source", [STRANGER, LMA3, LMA2])
def test_a_forged_answer_redirects_nobody(source: bytes) -> None:
    domain = redirecting(RedirectSettings((LMA2,)))
    domain.lose = lambda sender, destination, message: sender == "lma2"
    domain.attach("mn1", "mag1")
    domain.run(10 * MILLISECOND)
    (passed,) = messages(domain, BindingUpdate, "lma")
    for sequence in (passed.sequence, passed.sequence + 1):
        if (source, sequence) != (LMA2, passed.sequence):
            domain.inject(source, "lma", BindingAcknowledgement(0, 0x20, sequence, 300 * SECOND, ()))
    domain.run(10 * MILLISECOND)
    assert messages(domain, BindingAcknowledgement, "lma") == []


def test_a_session_that_its_anchor_lost_for_good_begins_anew() -> None:
    domain = attached(redirecting(lifetime=20 * SECOND))
    domain.on_probe = lambda name, probe: domain.attach("mn1", name)
    gone = assigned(domain)
    domain.crash(gone)
    domain.run(30 * SECOND)
    assert assigned(domain) not in (gone, "lma")
    assert domain.at("mag1").confirmed


def test_a_restart_of_the_gateway_keeps_the_assigned_anchor() -> None:
    domain = attached(redirecting())
    other = assigned(domain)
    domain.restart("mag1", store=True)
    domain.run(SECOND // 5)
    assert assigned(domain) == other


def test_the_assigned_anchor_speaks_with_the_gateway_and_not_with_who_assigned_it() -> None:
    domain = redirecting(RedirectSettings((LMA2,)), revocation=RevocationSettings())
    domain.reconfigure("lma2", revocation=RevocationSettings())
    attached(domain)
    domain.clear()
    assert command(domain, "lma2", "revoke", node=node("mn1").hex())
    ((source, destination, sent), *_) = domain.sent(BindingRevocationIndication)
    assert (source, destination) == ("lma2", "mag1")
    assert sent.first(AlternateCareOfAddress) is None
    assert sent.first(MobileNodeIdentifier) is not None
    domain.run(SECOND)
    assert sessions(domain, "lma2") == 0


def test_what_is_remembered_of_assignments_is_bounded() -> None:
    domain = redirecting()
    domain.reconfigure("lma", nodes=3)
    attached(domain, *(f"mn{number}" for number in range(1, 11)))
    (extension,) = domain.lma.extensions
    assert len(extension._assigned) == 3  # type: ignore[attr-defined]
