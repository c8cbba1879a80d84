"""Defects of LMA and MAG that the fault simulation (tests/sim) found; each once, and never again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core.events import Sighting
from sojourn.core.sequence import newer
from sojourn.engines.mag_session import BindingUpdateListEntry
from sojourn.engines.registration import Refused, refusal
from sojourn.wire import BindingAcknowledgement, BindingRefreshRequest, BindingUpdate, Handoff, HandoffIndicator, Status
from sojourn.wire.units import MILLISECOND, SECOND, Duration
from support.messages import stamp
from support.pmip import LMA, ProxyDomain, gateway
from support.table import HOSTS, node


def _attached(**settings: object) -> ProxyDomain:
    """mn1 is at mag1."""
    domain = ProxyDomain(**settings)  # type: ignore[arg-type]
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.clear()
    return domain


def _deaf(domain: ProxyDomain) -> None:
    """No answer of the LMA arrives any more."""
    domain.lose = lambda source, destination, message: source == "lma"


def _hearing(domain: ProxyDomain) -> None:
    domain.lose = lambda source, destination, message: False


def _asked(domain: ProxyDomain) -> BindingUpdate:
    """What mag1 sent last."""
    updates = [message for source, _, message in domain.sent(BindingUpdate) if source == "mag1"]
    assert isinstance(updates[-1], BindingUpdate)
    return updates[-1]


def _with_a_refresh(domain: ProxyDomain) -> BindingUpdate:
    """Half of the lifetime is over, and no answer arrives."""
    domain.run(145 * SECOND)
    domain.attach("mn1", "mag1", Sighting.NEIGHBOUR)
    _deaf(domain)
    domain.run(10 * SECOND)
    refresh = _asked(domain)
    assert refresh.lifetime > 0
    return refresh


def _refused(domain: ProxyDomain, update: BindingUpdate, status: Status, sequence: int | None = None) -> None:
    """mag1 hears that `update` is refused."""
    refused = Refused(status, "", sequence)
    domain.inject(LMA, "mag1", refusal(update, refused, stamp(domain, 0), distributed=False))


# --- one session for an interface -------------------------------------------------------------------------------------


def test_a_gateway_with_an_old_store_gets_no_second_session_for_the_interface() -> None:
    """It asked for the prefixes that the node had had before; a session with others was there, and cut from then on."""
    domain = _attached()
    domain.crash("mag1")
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    domain.detach("mn1", "mag2")
    domain.run(20 * SECOND)  # the session is over
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    prefixes = domain.entry().prefixes
    domain.detach("mn1", "mag2")
    domain.restart("mag1", store=True)
    domain.attach("mn1", "mag1")
    domain.run(5 * SECOND)
    assert domain.entry().prefixes == prefixes
    assert tuple(domain.at("mag1").anchored) == prefixes


def test_prefixes_that_are_not_to_be_had_are_not_in_the_store() -> None:
    """After a restart they would have been delivered, whoever had them."""
    domain = _attached()
    refresh = _with_a_refresh(domain)
    _refused(domain, refresh, Status.NOT_AUTHORIZED_FOR_HOME_NETWORK_PREFIX)
    assert not domain.at("mag1").anchored
    record = domain.members["mag1"].store[node("mn1")]
    assert not BindingUpdateListEntry.restored(node("mn1"), record, 0).anchored


# --- sequence numbers -------------------------------------------------------------------------------------------------


def _refreshing() -> tuple[ProxyDomain, BindingUpdate]:
    """A domain without timestamps, and a refresh of mag1 whose answer was lost."""
    domain = _attached(timestamp_based_approach_in_use=False, lifetime=60 * SECOND)
    domain.run(25 * SECOND)
    domain.attach("mn1", "mag1", Sighting.NEIGHBOUR)
    _deaf(domain)
    domain.run(4 * SECOND + 30 * MILLISECOND)
    return domain, _asked(domain)


def test_the_refusal_of_a_copy_is_not_taken_for_that_of_the_registration() -> None:
    """An update was repeated, and the refusal of its copy came first: after four of these there was no service."""
    domain, update = _refreshing()
    _refused(domain, update, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, update.sequence)
    assert domain.at("mag1").corrections == 0
    _hearing(domain)
    domain.run(5 * SECOND)
    assert domain.reported("mag1", "registration-refused") == 0
    assert domain.at("mag1").expires > domain.now + 20 * SECOND


def test_refusals_that_are_late_do_not_begin_the_registration_anew() -> None:
    """The number that they told had been surpassed already, and each counted as another failure."""
    domain, update = _refreshing()
    for _ in range(5):
        _refused(domain, update, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, update.sequence - 1)
    assert domain.at("mag1").corrections == 0
    assert domain.at("mag1").confirmed


def test_the_late_refusal_of_an_earlier_registration_does_not_end_the_asking() -> None:
    """It was of another kind, so it was ignored; but what was outstanding had been given up, for ever."""
    domain = ProxyDomain(timestamp_based_approach_in_use=False)
    _deaf(domain)
    domain.attach("mn1", "mag1")
    domain.run(10 * MILLISECOND)
    update = _asked(domain)
    other = HandoffIndicator(int(Handoff.NOT_CHANGED))
    options = tuple(other if isinstance(option, HandoffIndicator) else option for option in update.options)
    _refused(domain, replace(update, options=options), Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, update.sequence + 10)
    _hearing(domain)
    domain.run(5 * SECOND)
    assert domain.at("mag1").confirmed


def test_an_answer_to_an_earlier_stay_is_not_taken_for_one_to_this_stay() -> None:
    """The numbers began again with each stay, so the late refusal of a refresh ended the registration of a newcomer."""
    domain = _attached()
    refresh = _with_a_refresh(domain)
    domain.detach("mn1", "mag1")
    domain.run(3 * SECOND)
    assert domain.listed("mag1") is None
    domain.attach("mn1", "mag1")
    domain.run(10 * MILLISECOND)
    assert newer(_asked(domain).sequence, refresh.sequence)
    for late in range(1, refresh.sequence + 1):
        domain.inject(LMA, "mag1", _answer(refresh, late))
    _hearing(domain)
    domain.run(5 * SECOND)
    assert domain.at("mag1").confirmed


def _answer(update: BindingUpdate, sequence: int) -> BindingAcknowledgement:
    return BindingAcknowledgement(int(Status.TIMESTAMP_MISMATCH), 0x20, sequence, 0, update.options)


# --- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("way", "behind"), [(120, 205), (400, 0), (400, 200), (250, -500)])
def test_a_clock_is_corrected_however_long_the_way_of_the_answer_was(way: int, behind: int) -> None:
    """The way hid the difference: too late for the LMA, the MAG found its clock to be right, and gave up."""
    delay: Duration = way * MILLISECOND
    domain = ProxyDomain(delays={("mag1", "lma"): delay})
    domain.skew("mag1", -behind * MILLISECOND)
    domain.attach("mn1", "mag1")
    domain.run(5 * SECOND)
    assert domain.at("mag1").confirmed
    assert HOSTS["mn1"] == domain.entry().link_layer


# --- nobody is claimed to be here without a sign of life --------------------------------------------------------------


def test_a_gateway_that_restarted_claims_nobody_whom_it_has_not_seen_since() -> None:
    """The anchor asked for all registrations, and the gateway told of a node that had left meanwhile: the session went
    back to where nobody was, until the node's real gateway registered it again.
    """
    domain = ProxyDomain()
    domain.attach("mn1", "mag2")
    domain.run(SECOND)
    domain.crash("mag2")
    domain.attach("mn1", "mag1")
    domain.run(SECOND)
    domain.restart("mag2", store=True)
    domain.restart("lma", store=True)
    for _ in range(50):
        domain.run(100 * MILLISECOND)
        assert domain.entry().gateway == gateway(1)


# --- an anchor that comes back ----------------------------------------------------------------------------------------


def test_nodes_that_came_while_the_anchor_was_dead_are_registered_as_soon_as_it_asks() -> None:
    """They were asked for a sign of life first, and then the request that was being repeated kept its own pace, with up
    to 32 s between two: 10 s of silence after a death of 8 s.
    """
    domain = ProxyDomain()
    domain.run(SECOND)
    domain.crash("lma")
    for host in ("mn1", "mn2", "mn3"):
        domain.attach(host, "mag1")
    domain.run(8 * SECOND)
    domain.restart("lma", store=True)
    domain.run(100 * MILLISECOND)
    assert [domain.at("mag1", host).confirmed for host in ("mn1", "mn2", "mn3")] == [True, True, True]


def test_an_anchor_that_asks_nobody_is_told_everything_as_soon_as_it_answered_once() -> None:
    """One with many sessions does not ask for all of them; each node that had come meanwhile waited for its turn."""
    domain = ProxyDomain()
    domain.run(SECOND)
    domain.crash("lma")
    for number in range(1, 4):
        domain.attach(f"mn{number}", "mag1")
        domain.run(2700 * MILLISECOND)
    domain.lose = lambda source, destination, message: isinstance(message, BindingRefreshRequest)
    domain.restart("lma", store=True)
    hosts = [domain.at("mag1", f"mn{number}") for number in range(1, 4)]
    while not any(host.confirmed for host in hosts):
        domain.run(10 * MILLISECOND)
    domain.run(50 * MILLISECOND)
    assert [host.confirmed for host in hosts] == [True, True, True]
