"""What the fault simulation found in direct mode (`maar_direct`), also with a CMD that is told afterwards."""

from __future__ import annotations

from test_direct import domain, right, served, walked

from sojourn.core.events import HandoverExpected, NodeSeen, Sighting
from sojourn.wire import ServingMaar
from sojourn.wire.units import MILLISECOND, SECOND
from support.domain import CMD, HOSTS, node, router
from support.messages import pbu


def test_of_two_attachments_at_the_same_instant_the_cmd_takes_the_one_that_the_routers_take() -> None:
    """It took the one that it heard of first, and told the other router; the anchor went on sending there."""
    far = 120 * MILLISECOND
    delays = {("ar4", "ar2"): far, ("ar2", "ar4"): far, ("ar3", "cmd"): far}
    each = walked(2, cmds=1, delays=delays)
    for name in ("ar3", "ar4"):
        each.maar(name).direct.neighbours = (router(2),)
    each.on_probe = lambda name, probe: (
        name == "ar3" and each.event(name, NodeSeen(probe.interface, probe.link_layer, Sighting.NEIGHBOUR))
    )
    own = each.own("ar2", "mn1")
    each.detach("mn1", "ar2")
    each.attach("mn1", "ar4")
    each.detach("mn1", "ar4")
    each.attach("mn1", "ar3")
    each.run(far + 50 * MILLISECOND)
    assert each.cmd.entries[node("mn1")].serving == router(3), "that is heard of first"
    each.run(2 * SECOND)
    assert own in each.maar("ar3").sessions[node("mn1")].anchored
    assert right(each) == []


def test_of_two_routers_that_a_node_came_to_at_one_instant_the_one_where_it_answers_serves_it() -> None:
    """It was asked for a sign of life where it was, and gave one. Meanwhile that router was told once more that the
    other one has it, and took the sign for one from before it left.
    """
    each = domain(cmds=1)
    each.on_probe = lambda name, probe: (
        name == "ar1" and each.later(5 * MILLISECOND, name, NodeSeen("acc0", HOSTS["mn1"], Sighting.NEIGHBOUR))
    )
    each.attach("mn1", "ar1")
    each.attach("mn1", "ar2")
    each.run(SECOND)
    assert served(each, "ar1") == {"ar2"}
    assert each.cmd.entries[node("mn1")].serving == router(1)
    assert right(each) == []


def test_the_cmd_hears_at_once_that_a_prefix_is_over_which_it_names() -> None:
    """It refused that prefix when its anchor gave it to another node, and told the anchor that the first one has it."""
    each = walked(1, 2, cmds=1, prefixes_per_node=1, quarantine=1 * SECOND)
    over = each.own("ar1", "mn1")
    each.roam("mn1", "ar2", "ar3", 100 * MILLISECOND)
    each.roam("mn1", "ar3", "ar3", 2 * SECOND)
    assert each.plane("ar1").way(over) is None
    assert {maar for _, maar in each.cmd.entries[node("mn1")].anchors} == {router(2), router(3)}
    each.clear()
    each.attach("mn2", "ar1")
    assert each.own("ar1", "mn2") == over
    each.run(1 * SECOND)
    assert each.own("ar1", "mn2") == over
    assert not each.reported("cmd", "update-refused")


def test_what_the_cmd_says_in_direct_mode_after_the_end_of_a_prefix_does_not_bring_it_back() -> None:
    """It follows: that the prefix is over it hears later than the anchor."""
    each = walked(1, 2, cmds=1)
    own = each.own("ar1", "mn1")
    attached = each.maar("ar2").sessions[node("mn1")].attached
    ar1 = each.maar("ar1")
    ar1._retired(ar1.sessions[node("mn1")])
    late = pbu(each, own, timestamp=attached, more=(ServingMaar(router(2)),))
    each.clear()
    each.inject(CMD, "ar1", late)
    each.run(1 * MILLISECOND)
    assert each.plane("ar1").way(own) is None
    assert each.reported("ar1", "update-refused")


def test_the_prefix_of_who_handed_the_node_over_is_not_the_first_to_go() -> None:
    """A limit was applied before that router had answered; of its prefix only the context told, without an order."""
    far = 120 * MILLISECOND
    each = domain(3, handovers=4, prefixes_per_node=1, delays={("ar2", "ar3"): far, ("ar3", "ar2"): far})
    each.attach("mn1", "ar1")
    each.run(SECOND)
    each.roam("mn1", "ar1", "ar2", 2 * SECOND)
    each.event("ar2", HandoverExpected(HOSTS["mn1"], router(3)))
    each.run(far + 20 * MILLISECOND)
    each.roam("mn1", "ar2", "ar3", 5 * SECOND)
    assert served(each, "ar3") == {"ar2"}
    assert right(each) == []
