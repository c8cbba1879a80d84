"""Fast handovers that nobody should have asked for: refused with a code, counted, and nothing else is disturbed."""

from __future__ import annotations

from sojourn.core.events import Commanded, HandoverExpected
from sojourn.wire import HomeNetworkPrefix
from sojourn.wire.addresses import address, link_layer_text, prefix, text
from sojourn.wire.extensions.rfc5568 import HandoverAcknowledge
from sojourn.wire.extensions.rfc5568 import HandoverAcknowledgeCode as Code
from sojourn.wire.extensions.rfc5949 import LocalMobilityAnchorAddress
from sojourn.wire.units import MILLISECOND, SECOND
from support.domain import Domain, router
from support.handovers import PF, PU, answer_to, context, expected, initiate, sent, served
from support.pmip import LMA, gateway, home
from support.table import HOSTS

STRANGER = address("2001:db8:bad::1")


def test_a_stranger_gets_no_answer_and_no_state() -> None:
    domain = served()
    domain.inject(STRANGER, "mag2", initiate(*context()))
    domain.inject(STRANGER, "mag1", initiate(flags=PU))
    assert sent(domain, HandoverAcknowledge) == []
    assert domain.listed("mag2") is None
    assert domain.plane("mag1").way(home(0)).interface == "acc0"  # type: ignore[union-attr]
    assert domain.reported("mag2", "handover-refused") == 1


def test_where_fast_handovers_are_off_there_are_none() -> None:
    domain = served(handovers=0)
    expected(domain)  # an access point speaks of every roam
    assert domain.reported("mag1", "handover-refused") == 0
    domain.event("mag1", Commanded("handover", {"node": link_layer_text(HOSTS["mn1"]), "to": text(gateway(2))}))
    assert domain.reported("mag1", "handover-refused") == 1
    domain.inject(gateway(1), "mag2", initiate(*context()))
    assert domain.listed("mag2") is None
    assert sent(domain, HandoverAcknowledge) == []


def test_a_neighbour_cannot_fetch_a_node_that_is_not_here() -> None:
    domain = served()
    for flags in (PF, PU):
        code = answer_to(domain, initiate(host="mn7", flags=flags), source=2, target="mag1")
        assert code == Code.REQUESTED_CONTEXT_NOT_AVAILABLE
    assert domain.mag("mag1").handovers == {}


def test_a_node_that_is_here_is_not_announced_away() -> None:
    """mag2 says that mn1, which is at mag1, is about to come to mag1."""
    domain = served()
    assert answer_to(domain, initiate(*context()), 2, "mag1") == Code.HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED
    assert domain.plane("mag1").way(home(0)).interface == "acc0"  # type: ignore[union-attr]


def test_announcements_without_end_find_an_end() -> None:
    """Sixty nodes that never come: eight places, and these are free again soon."""
    domain = served(gateways=3)
    codes = [answer_to(domain, initiate(*context(home(number)), host=f"mn{number}")) for number in range(2, 60)]
    assert codes.count(Code.CONTEXT_TRANSFER_ACCEPTED_OR_SUCCESSFUL) == 8
    assert set(codes[8:]) == {Code.INSUFFICIENT_RESOURCES}
    assert len(domain.mag("mag2").sessions) == 8
    domain.run(2 * SECOND)
    assert domain.mag("mag2").sessions == domain.mag("mag2").handovers == {}
    assert domain.plane("mag2").state.slots == {}
    assert domain.plane("mag2").state.prefixes == {}


def test_prefixes_of_an_anchor_that_is_not_ours_are_not_taken() -> None:
    domain = served()
    foreign = (HomeNetworkPrefix.of(home(3)), LocalMobilityAnchorAddress(1, STRANGER))
    assert answer_to(domain, initiate(*foreign)) == Code.ADMINISTRATIVELY_PROHIBITED
    assert domain.mag("mag2").sessions == {}
    assert domain.plane("mag2").state.slots == {}


def test_the_prefix_of_another_node_is_not_handed_over() -> None:
    domain = served()
    domain.attach("mn2", "mag2")
    domain.run(SECOND)
    (taken,) = domain.at("mag2", "mn2").anchored
    assert answer_to(domain, initiate(*context(taken))) == Code.ADMINISTRATIVELY_PROHIBITED
    assert domain.plane("mag2").way(taken).link_layer == HOSTS["mn2"]  # type: ignore[union-attr]


def test_everything_is_not_a_prefix_for_a_node() -> None:
    domain = served()
    assert answer_to(domain, initiate(*context(prefix("2000::/3")))) == Code.ADMINISTRATIVELY_PROHIBITED


def test_an_end_marker_out_of_nowhere_ends_nothing() -> None:
    domain = served(gateways=3)
    assert answer_to(domain, initiate(code=2)) == Code.HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED
    expected(domain)
    domain.run(10 * MILLISECOND)
    third = answer_to(domain, initiate(code=2), source=3)
    assert third == Code.HANDOVER_NOT_ACCEPTED_REASON_UNSPECIFIED, "not from where packets are forwarded"
    assert list(domain.mag("mag2").handovers) != []


def test_an_answer_that_nobody_waits_for_is_counted() -> None:
    domain = served()
    options = initiate().options
    domain.inject(gateway(2), "mag1", HandoverAcknowledge(9, 0x60, 0, options))
    assert domain.reported("mag1", "handover-unexpected") == 1
    assert domain.plane("mag1").way(home(0)).interface == "acc0"  # type: ignore[union-attr]


def test_an_indication_to_a_stranger_or_of_a_stranger_is_refused() -> None:
    domain = served()
    for octets, target in ((HOSTS["mn1"], STRANGER), (HOSTS["mn1"], b"\x02" * 6), (HOSTS["mn9"], gateway(2))):
        domain.event("mag1", HandoverExpected(octets, target))
    domain.event("mag1", Commanded("handover", {"node": "nobody", "to": "nowhere"}))
    domain.event("mag1", Commanded("handover", {}))
    assert domain.reported("mag1", "handover-refused") == 3
    assert domain.reported("mag1", "command-refused") == 2
    assert domain.sent() == []


def test_a_kernel_without_queues_makes_it_an_ordinary_handover() -> None:
    domain = served()
    refusal = OSError(2, "no tbf")
    domain.plane("mag2").trouble = lambda effect: refusal if type(effect).__name__ == "EnsureQueue" else None
    expected(domain)
    domain.run(20 * MILLISECOND)
    domain.detach("mn1", "mag1")
    domain.attach("mn1", "mag2")
    domain.run(10 * SECOND)
    assert domain.plane("mag2").way(home(0)).interface == "acc0"  # type: ignore[union-attr]
    assert domain.mag("mag2").handovers == {}


def test_a_maar_takes_no_prefix_that_its_peer_does_not_anchor() -> None:
    domain = Domain(maars=2, handovers=8)
    domain.attach("mn1", "ar1")
    domain.run(SECOND)
    other = domain.session("ar1", "mn1")
    assert other is not None
    own = prefix("2001:db8:a200:7::/64")
    domain.inject(router(1), "ar2", initiate(HomeNetworkPrefix.of(own), LocalMobilityAnchorAddress(1, router(1))))
    assert domain.session("ar2", "mn1") is None
    domain.inject(router(1), "ar2", initiate(HomeNetworkPrefix.of(own), LocalMobilityAnchorAddress(1, LMA)))
    assert domain.session("ar2", "mn1") is None
