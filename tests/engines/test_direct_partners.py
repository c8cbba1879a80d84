"""Direct mode without a CMD where anchors die: their partners take the pools over, and give them back.

What `test_survival` says of a domain with a CMD is true of this one; then what only this one has.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import test_survival as survival
from test_survival import GONE, dark, leads

from sojourn.core.events import NodeSeen, Sighting
from sojourn.engines.configuration import Mode
from sojourn.engines.stand_in import Given
from sojourn.wire import BindingUpdate
from sojourn.wire.addresses import Prefix
from sojourn.wire.units import MILLISECOND, SECOND
from support.domain import HOSTS, Domain, node, router

_SIGN = NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR)
_away = partial(survival.away, mode=Mode.DIRECT, cmds=0)


@pytest.mark.parametrize(
    "promise",
    [
        survival.test_at_most_ten_messages_a_second_between_two_neighbours,
        survival.test_the_nodes_of_a_dead_anchor_are_told_and_nothing_leads_there,
        survival.test_an_anchor_that_was_only_cut_off_is_the_anchor_again,
        partial(survival.test_the_partner_takes_the_pool_over_and_gives_it_back, whole=True),
        partial(survival.test_the_partner_takes_the_pool_over_and_gives_it_back, whole=False),
        survival.test_who_is_attached_where_only_the_daemon_died_is_reached_by_way_of_the_partner,
        survival.test_a_node_that_moves_while_the_partner_holds_its_prefix,
        partial(survival.test_a_node_that_moved_meanwhile_is_where_it_is_when_the_anchor_is_back, store=True),
        partial(survival.test_a_node_that_moved_meanwhile_is_where_it_is_when_the_anchor_is_back, store=False),
        survival.test_a_partner_that_is_itself_cut_off_takes_nothing,
        survival.test_an_anchor_that_only_its_partner_does_not_hear_loses_no_session_and_no_prefix,
        survival.test_an_anchor_that_comes_and_goes_does_not_make_the_pool_flap,
        survival.test_a_partner_that_restarts_while_it_holds_a_pool_goes_on_holding_it,
        survival.test_anchor_and_partner_are_both_gone,
        survival.test_a_router_that_did_not_hear_the_word_still_finds_the_partner,
        survival.test_a_drained_pool_is_with_the_partner_before_its_anchor_stops,
        survival.test_a_drain_to_the_partner_that_is_called_off_gives_the_pool_back,
        survival.test_a_node_that_comes_to_the_partner_before_that_holds_the_pool_keeps_its_prefix,
        survival.test_of_a_node_that_came_to_the_partner_itself_no_counter_stays,
    ],
)
def test_without_a_cmd_it_is_as_with_one(promise: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survival, "away", _away)
    promise()


def _with_another() -> tuple[Domain, Prefix]:
    """mn2 is at ar1 itself; its prefix."""
    each, _ = _away()
    each.attach("mn2", "ar1")
    each.run(1 * SECOND)
    return each, each.own("ar1", "mn2")


def test_a_node_of_the_dead_router_itself_comes_to_another_one() -> None:
    """Nobody but its anchor served it: what that told its partner is known there."""
    each, own = _with_another()
    dark(each, "ar1")
    each.run(GONE)
    each.attach("mn2", "ar4")
    each.run(1 * SECOND)
    assert leads(each, own) == ["ar3", "ar4"]
    assert each.plane("ar4").state.uplinks[own] == router(3)


def test_a_node_that_moves_before_anybody_knows_that_its_anchor_is_dead() -> None:
    """What was named waits for the word of the partner."""
    each, own = _away()
    dark(each, "ar1")
    each.roam("mn1", "ar2", "ar4")
    assert leads(each, own) == ["dark"]
    each.run(GONE)
    assert leads(each, own) == ["ar3", "ar4"]
    assert not each.maar("ar4").direct.named


def test_who_serves_and_lost_its_memory_hears_it_from_the_partner() -> None:
    each, own = _away()
    dark(each, "ar1")
    each.run(GONE)
    each.restart("ar2", store=False)
    each.attach("mn1", "ar2")
    each.run(1 * SECOND)
    assert leads(each, own) == ["ar3", "ar2"]


def test_a_node_that_is_named_and_comes_to_the_partner_itself() -> None:
    each, own = _away()
    dark(each, "ar1")
    each.roam("mn1", "ar2", "ar3")
    each.run(GONE)
    assert leads(each, own) == ["ar3"]


def test_a_node_that_comes_from_the_router_that_dies_to_its_partner() -> None:
    """Found by the simulation: what its anchor had told it the partner said to others only."""
    each, own = _with_another()
    dark(each, "ar1")
    each.attach("mn2", "ar3")
    each.run(GONE)
    assert leads(each, own) == ["ar3"]
    each.attach("mn3", "ar3")
    each.run(1 * SECOND)
    assert len(each.maar("ar3").sessions[node("mn3")].anchored) == 0


def test_a_node_that_comes_to_the_partner_when_that_holds_the_pool() -> None:
    each, own = _with_another()
    dark(each, "ar1")
    each.run(GONE)
    each.attach("mn2", "ar3")
    each.run(100 * MILLISECOND)
    assert leads(each, own) == ["ar3"]
    assert not each.reported("ar3", "effect-failed"), "nothing leads to a node before there is a way to it"


def test_the_partner_remembers_what_its_anchor_told_it_and_not_for_ever() -> None:
    each = Domain(Mode.DIRECT, 3, cmds=0, partners={"ar1": "ar3"})
    each.on_probe = lambda name, probe: each.later(
        MILLISECOND, name, NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR)
    )
    each.attach("mn1", "ar1")
    each.run(600 * SECOND)
    given = each.maar("ar3").survival.standing[router(1)].given  # type: ignore[union-attr]
    assert given.nodes == {node("mn1"): {each.own("ar1", "mn1")}}
    each.on_probe = lambda name, probe: None
    each.detach("mn1", "ar1")
    each.run(3000 * SECOND)
    assert not given.nodes
    assert not given.prefixes


def test_who_has_a_partner_tells_it_once_and_with_each_refresh() -> None:
    """Two messages for half a lifetime and node, and none more at an attachment where all are asked anyway."""
    each = Domain(Mode.DIRECT, 4, cmds=0, partners={"ar1": "ar3"})
    each.on_probe = lambda name, probe: each.later(
        MILLISECOND, name, NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR)
    )
    each.attach("mn1", "ar1")
    each.run(1 * SECOND)
    told = each.sent(BindingUpdate)
    assert len(told) == 3
    each.clear()
    each.run(each.maar_configurations["ar1"].lifetime)
    assert [one[:2] for one in each.sent(BindingUpdate)] == [("ar1", "ar3")] * 2


def test_the_prefix_of_a_dead_anchor_is_not_the_first_to_go_for_that() -> None:
    """Found by the simulation: a dead anchor does not say when it served last, so its prefix counted as the oldest."""
    each = Domain(Mode.DIRECT, 5, cmds=0, partners={"ar1": "ar3"}, prefixes_per_node=2)
    each.attach("mn1", "ar2")
    each.run(1 * SECOND)
    each.roam("mn1", "ar2", "ar1")
    each.run(1 * SECOND)
    first, second = each.own("ar2", "mn1"), each.own("ar1", "mn1")
    dark(each, "ar1")
    each.run(GONE)
    each.attach("mn1", "ar4")
    each.run(1 * SECOND)
    assert list(each.maar("ar4").sessions[node("mn1")].anchored) == [first, second]
    third = each.own("ar4", "mn1")
    each.roam("mn1", "ar4", "ar5")
    each.run(1 * SECOND)
    assert list(each.maar("ar5").sessions[node("mn1")].anchored) == [second, third]
    assert leads(each, second) == ["ar3", "ar5"]


def test_what_an_anchor_said_late_of_what_it_gave_to_a_node_ends_nothing_however_often_it_says_so() -> None:
    """The first late word about the one prefix of a node made its partner forget which was the latest."""
    given, earlier, later = Given(), Prefix(bytes([32, 1]) + bytes(14), 64), Prefix(bytes([32, 2]) + bytes(14), 64)
    given.tell(node("mn1"), [later], 10, SECOND, 9)
    given.tell(node("mn1"), [later], 5, SECOND, 9)
    given.tell(node("mn1"), [earlier], 5, SECOND, 9)
    assert later in given.prefixes
    given.tell(node("mn1"), [later], 10, SECOND, 9)
    assert earlier not in given.prefixes
