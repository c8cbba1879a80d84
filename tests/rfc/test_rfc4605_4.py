"""RFC 4605, MLD proxying: one listener upstream for all below; and what RFC 6224 adds when listeners move."""

from __future__ import annotations

from sojourn.core.effects import EnsureMembership, EnsureMulticastRoute, WithdrawMembership, WithdrawMulticastRoute
from sojourn.wire.units import SECOND
from support.listeners import S1, S2, SSM, G, H, Table, block, is_ex, is_in, to_ex, to_in


def _joins(table: Table) -> list[object]:
    return [effect for effect in table.effects if isinstance(effect, EnsureMembership | WithdrawMembership)]


def test_4_1_the_first_listener_joins_and_the_last_leaves() -> None:
    """Router of the protocol on the links below, one host of it on the link above."""
    table = Table()
    table.attach("a", "b")
    table.attach("c", interface="acc1")
    table.say("a", to_ex(G))
    table.say("b", to_ex(G))
    table.say("c", to_ex(G), interface="acc1")
    assert _joins(table) == [EnsureMembership(G, True, ())]
    table.say("a", to_in(G))
    table.say("c", to_in(G), interface="acc1")
    assert len(_joins(table)) == 1
    table.say("b", to_in(G))
    assert _joins(table)[1:] == [WithdrawMembership(G)]
    assert [report.name for report in table.reports] == ["group-joined", "group-left"]


def test_4_1_subscriptions_are_merged_over_links_and_listeners() -> None:
    """The membership database is merged as RFC 3810 4.2 merges the wishes of sockets."""
    table = Table()
    table.attach("a", "b")
    table.attach("c", interface="acc1")
    table.say("a", is_in(G, S1))
    assert table.upstream[G] == (False, frozenset({S1}))
    table.say("b", is_in(G, S2))
    assert table.upstream[G] == (False, frozenset({S1, S2}))
    table.say("c", is_ex(G, S1, S2), interface="acc1")
    assert table.upstream[G] == (True, frozenset())
    table.say("b", block(G, S2))
    assert table.upstream[G] == (True, frozenset({S2}))
    table.say("a", to_in(G))
    assert table.upstream[G] == (True, frozenset({S1, S2}))


def test_4_1_nothing_is_sent_upstream_when_nothing_changes_there() -> None:
    table = Table()
    table.attach("a", "b")
    table.say("a", is_ex(G))
    table.effects.clear()
    table.say("b", is_in(G, S1))
    assert _joins(table) == []


def test_4_2_packets_go_to_the_links_with_listeners_and_to_no_others() -> None:
    table = Table()
    table.attach("a")
    table.attach("c", interface="acc1")
    table.say("a", is_ex(G))
    table.say("c", is_ex(H), interface="acc1")
    assert (table.goes_to(G, S1), table.goes_to(H, S1)) == (("acc0",), ("acc1",))
    table.say("c", is_ex(G), interface="acc1")
    assert table.goes_to(G, S1) == ("acc0", "acc1")


def test_4_2_a_second_listener_on_a_link_changes_nothing_in_the_kernel() -> None:
    """One copy for all listeners of a link."""
    table = Table()
    table.attach("a", "b")
    table.say("a", is_ex(G))
    table.effects.clear()
    table.say("b", is_ex(G))
    assert table.effects == []


def test_4_2_a_source_that_one_link_does_not_want_has_a_way_of_its_own() -> None:
    table = Table()
    table.attach("a")
    table.attach("c", interface="acc1")
    table.say("a", is_ex(G))
    table.say("c", is_ex(G, S1), interface="acc1")
    assert table.routes == {(G, None): ("acc0", "acc1"), (G, S1): ("acc0",)}
    table.effects.clear()
    table.say("a", is_ex(G, S1))
    assert EnsureMulticastRoute(G, S1, ()) in table.effects
    table.say("c", is_ex(G), interface="acc1")
    table.say("a", is_ex(G))
    assert WithdrawMulticastRoute(G, S1) in table.effects
    assert table.routes == {(G, None): ("acc0", "acc1")}


def test_6224_6_what_a_node_listened_to_ends_when_it_departs() -> None:
    """ "... carefully procure automatic multicast state extinction on the departure of MNs"."""
    table = Table()
    table.attach("a", "b")
    table.say("a", is_ex(G), is_ex(H), is_in(SSM, S1))
    table.say("b", is_ex(H))
    table.depart("a")
    assert set(table.upstream) == {H}
    assert table.routes == {(H, None): ("acc0",)}
    table.depart("a")  # it is not known any more
    assert set(table.upstream) == {H}


def test_6224_4_2_a_node_on_another_link_of_ours_takes_its_groups_along_when_it_says_so() -> None:
    table = Table()
    table.attach("a")
    table.say("a", is_ex(G))
    table.queries.clear()
    table.attach("a", interface="acc1")
    assert table.routes == {}
    assert [query.interface for _, query in table.queries] == ["acc1"]
    table.say("a", is_ex(G), interface="acc1")
    assert table.goes_to(G, S1) == ("acc1",)


def test_a_node_that_attaches_again_where_it_is_loses_nothing() -> None:
    table = Table()
    table.attach("a")
    table.say("a", is_ex(G))
    table.effects.clear()
    table.attach("a")
    assert [type(effect).__name__ for effect in table.effects] == ["QueryListeners"]


def test_what_the_kernel_refused_is_asked_for_again_as_long_as_somebody_listens() -> None:
    table = Table()
    table.attach("a")
    table.say("a", is_ex(G))
    table.effects.clear()
    table.proxy.failed(EnsureMembership(G, True, ()), table.now)
    table.run(SECOND)
    assert table.effects == [EnsureMulticastRoute(G, None, ("acc0",)), EnsureMembership(G, True, ())]
    table.proxy.failed(EnsureMulticastRoute(G, None, ("acc0",)), table.now)
    table.depart("a")
    table.effects.clear()
    table.run(2 * SECOND)
    assert table.effects == []


def test_what_the_kernel_forgot_with_a_link_is_put_back() -> None:
    table = Table()
    table.attach("a")
    table.say("a", is_in(G, S1))
    for interface in ("core0", "acc0"):
        table.effects.clear()
        table.proxy.link_up(interface, table.now)
        assert EnsureMulticastRoute(G, S1, ("acc0",)) in table.effects
        assert EnsureMembership(G, False, (S1,)) in table.effects
    table.effects.clear()
    table.proxy.link_up("eth7", table.now)
    assert table.effects == []
