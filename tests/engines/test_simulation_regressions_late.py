"""What the fault simulation and readers found in what routers and the CMD made of messages that were late."""

from __future__ import annotations

import pytest
from test_simulation_regressions import _session, _walked

from sojourn.core.events import BindingChanged
from sojourn.engines.configuration import Mode
from sojourn.engines.registration import ACKNOWLEDGED_DMM
from sojourn.wire import (
    AnchoredPrefix,
    BindingAcknowledgement,
    BindingUpdate,
    HandoffIndicator,
    MobilityMessage,
    PreviousMaar,
    ServingMaar,
    Status,
    Timestamp,
)
from sojourn.wire.units import HOUR, MILLISECOND, SECOND
from support import checkers
from support.domain import CMD, Domain, node, router
from support.messages import answers, pbu, updates


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


def test_what_the_database_says_unasked_does_not_end_what_it_lists_in_the_answer_that_was_lost() -> None:
    """A CMD without memory asks both anchors; the nearer one answered, and the router took the word of that, which had
    the number of its refresh, for the whole: it ended the prefix of the other one, and had no answer to wait for.
    """
    domain = _walked("ar1", "ar2", "ar3", mode=Mode.RELAY, idle_hold=HOUR)
    first, second = domain.own("ar1", "mn1"), domain.own("ar2", "mn1")
    lost: list[MobilityMessage] = []

    def lose(_: str, destination: str, message: MobilityMessage) -> bool:
        if destination == "ar3" and isinstance(message, BindingAcknowledgement) and not lost:
            lost.append(message)
            return True
        return destination == "ar1"

    domain.lose = lose
    domain.clear()
    domain.restart("cmd", store=False)
    for _ in range(200):
        domain.run(10 * MILLISECOND)
        assert set(_session(domain, "ar3").anchored) == {first, second}
    (refresh,) = lost
    said = [one for one in answers(domain, "ar3")[1:] if len(one.all(PreviousMaar)) == 1]
    assert [one.sequence for one in said] == [refresh.sequence]  # type: ignore[attr-defined]
    assert updates(domain, "ar3", "cmd")[-1].sequence != refresh.sequence  # type: ignore[attr-defined]


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


def test_an_end_that_was_none_is_taken_back_although_its_anchor_carried_it_out() -> None:
    """A CMD had said it, and the store had another one's word that the prefix lives on. What the anchor answered was
    lost, nobody waited for it any more, and the node had a prefix that nobody anchored (`cluster` 400141).
    """
    domain = _walked("ar1", "ar2", cmds=2, idle_hold=HOUR, cmd={"warm_up": 0})
    own = domain.own("ar1", "mn1")
    name = next(name for name in domain.databases if domain.members[name].engine.entries)
    cmd, kept = domain.members[name].engine, domain.store.kept[node("mn1")].record
    domain.lose = lambda source, destination, message: source == "ar1" or destination == "ar2"
    cmd._tell_retired(cmd.entries[node("mn1")], own, router(1))
    cmd._tell_retired(cmd.entries[node("mn1")], own, router(2))
    cmd._release(cmd.entries[node("mn1")])
    domain.event(name, BindingChanged(node("mn1"), b"", 0))  # what it had is nothing any more
    domain.run(10 * MILLISECOND)
    assert domain.plane("ar1").way(own) is None
    domain.lose = lambda source, destination, message: False
    domain.event(name, BindingChanged(node("mn1"), kept, HOUR))
    domain.run(2 * SECOND)
    assert _session(domain, "ar1").serving == router(2)
    assert own in _session(domain, "ar2").anchored
    assert checkers.routes_equal_bindings(domain) == []
