"""What the fault simulation and readers found in what routers and the CMD made of messages that were late."""

from __future__ import annotations

import pytest
from test_simulation_regressions import _session, _walked

from sojourn.engines.configuration import Mode
from sojourn.engines.registration import ACKNOWLEDGED_DMM
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingUpdate,
    HandoffIndicator,
    ServingMaar,
    Status,
    Timestamp,
)
from sojourn.wire.units import HOUR, MILLISECOND, SECOND
from support.domain import CMD, Domain, node, router
from support.messages import pbu


def test_an_answer_to_something_else_leaves_no_node_unregistered_for_good() -> None:
    """One to an earlier life of the router had the number of a request of this life, which nobody repeated then."""
    domain = Domain(Mode.PROXY)
    domain.lose = lambda source, destination, message: destination == "cmd"
    domain.attach("mn1", "ar1")
    domain.run(100 * MILLISECOND)
    request = next(message for _, _, message in domain.sent(BindingUpdate))
    assert isinstance(request, BindingUpdate)
    options = tuple(HandoffIndicator(5) if isinstance(one, HandoffIndicator) else one for one in request.options)
    domain.inject(CMD, "ar1", BindingAcknowledgement(0, ACKNOWLEDGED_DMM, request.sequence, request.lifetime, options))
    domain.lose = lambda source, destination, message: False
    assert not _session(domain, "ar1").confirmed
    domain.run(31 * SECOND)
    assert _session(domain, "ar1").confirmed


def test_an_answer_to_an_earlier_life_registers_no_node_of_this_one() -> None:
    """It had the number of a request that did not arrive, which then nobody repeated for half of a lifetime."""
    domain = Domain(Mode.PROXY)
    domain.lose = lambda source, destination, message: destination == "cmd"
    domain.attach("mn1", "ar1")
    domain.run(100 * MILLISECOND)
    request = next(message for _, _, message in domain.sent(BindingUpdate))
    assert isinstance(request, BindingUpdate)
    earlier = Timestamp(_session(domain, "ar1").attached - 1000)
    options = tuple(earlier if isinstance(one, Timestamp) else one for one in request.options)
    domain.inject(CMD, "ar1", BindingAcknowledgement(0, ACKNOWLEDGED_DMM, request.sequence, request.lifetime, options))
    assert not _session(domain, "ar1").confirmed
    domain.lose = lambda source, destination, message: False
    domain.run(3 * SECOND)
    assert domain.cmd.entries[node("mn1")].serving == router(1)
    assert _session(domain, "ar1").confirmed


def test_a_late_notice_about_a_node_that_is_nowhere_brings_its_prefix_back_for_a_round_trip_only() -> None:
    """The CMD heard that it is anchored again, and said nothing: packets went to a router without it for a lifetime."""
    domain = _walked("ar1", "ar2", lifetime=20 * SECOND, idle_hold=HOUR, cmd={"warm_up": 0})
    own = domain.own("ar1", "mn1")
    late = pbu(domain, own, timestamp=_session(domain, "ar1").attached, more=(ServingMaar(router(2)),))
    domain.detach("mn1", "ar2")
    domain.run(60 * SECOND)
    assert node("mn1") not in domain.cmd.entries
    domain.inject(CMD, "ar1", late)
    domain.run(100 * MILLISECOND)
    assert domain.session("ar1", "mn1") is None
    assert domain.plane("ar1").way(own) is None


@pytest.mark.parametrize("cmds", [1, 2])
def test_a_notice_from_before_the_end_of_a_prefix_does_not_bring_it_back(cmds: int) -> None:
    """Another CMD had said it, its store was slow, and the anchor sent packets to where nobody served the prefix.

    One CMD alone knows better: it let a node go that had been elsewhere all the time, and it was cut for good (168).
    """
    domain = _walked("ar1", "ar2", cmds=cmds, idle_hold=HOUR, cmd={"warm_up": 0})
    own = domain.own("ar1", "mn1")
    attached = _session(domain, "ar1").attached
    over = pbu(domain, own, timestamp=attached + 2, lifetime=0, more=(AnchoredPrefix.of(own),))
    before = pbu(domain, own, timestamp=attached + 1, sequence=2, more=(ServingMaar(router(3)),))
    domain.inject(CMD, "ar1", over)
    domain.run(MILLISECOND)
    assert domain.plane("ar1").way(own) is None
    domain.clear()
    domain.inject(CMD, "ar1", before)
    domain.run(MILLISECOND)
    assert (domain.plane("ar1").way(own) is None) == (cmds > 1)
    (answer,) = [one for who, _, one in domain.sent(BindingAcknowledgement) if who == "ar1"]
    assert isinstance(answer, BindingAcknowledgement)
    assert (answer.status == Status.TIMESTAMP_LOWER_THAN_PREV_ACCEPTED) == (cmds > 1)


def test_a_late_copy_of_an_answer_brings_back_what_is_over_for_a_moment_only() -> None:
    """Who serves the node had it again until half of a lifetime was over; the node was told so, too."""
    domain = _walked("ar1", mode=Mode.PROXY, idle_hold=8 * SECOND, cmd={"warm_up": 0})
    domain.roam("mn1", "ar1", "ar2", SECOND)
    own = domain.own("ar1", "mn1")
    *_, answer = [message for _, to, message in domain.sent(BindingAcknowledgement) if to == "ar2"]
    domain.run(20 * SECOND)
    assert domain.plane("ar1").way(own) is None
    domain.inject(CMD, "ar2", answer)
    domain.run(4 * SECOND)
    assert own not in _session(domain, "ar2").anchored
