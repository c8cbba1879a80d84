"""RFC 5142: a home agent sends its nodes to another one of the link, and gives them time for that (5.2, 6.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.core.effects import EnsureTunnel
from sojourn.core.events import Commanded, MessageReceived
from sojourn.core.mobile_effects import EnsureHomeBlock, EnsureProxyNeighbour, WithdrawProxyNeighbour
from sojourn.engines.mip6_configuration import HomeNode
from sojourn.wire import BindingAcknowledgement, BindingRefreshAdvice, BindingUpdate, MobilityMessage, Status
from sojourn.wire.addresses import text
from sojourn.wire.extensions.rfc5142 import HomeAgentSwitch
from sojourn.wire.units import MILLISECOND, MINUTE, SECOND
from support.mip6 import Roaming
from support.mip6_messages import COA, COA2, HA, HOA, ask, home_agent
from support.mip6_watch import away

OTHER = "2001:db8:4000::2"


def switch(net: Roaming) -> None:
    net.clear()
    net.tell("ha", Commanded("switch", {"to": OTHER}))


def settled(net: Roaming) -> tuple[object, ...]:
    """Who has a binding, who answers on the home link, and how packets go."""
    defends = {name: HOA in net.defended[name] for name in ("ha", "ha2")}
    return net.bound("ha"), net.bound("ha2"), defends, net.to_home(), net.from_home()


THERE = (None, COA, {"ha": False, "ha2": True}, "tunnel", "tunnel")


def test_6_1_with_time_to_spare_the_node_is_reached_at_any_moment() -> None:
    net = away(home_agents=2)
    switch(net)
    for _ in range(2500):  # Duplicate Address Detection of the other one takes a second of these
        net.run(MILLISECOND)
        assert net.to_home() == "tunnel"
        assert net.from_home() == "tunnel"
    assert settled(net) == THERE
    assert not net.asked(EnsureHomeBlock, "mn")
    assert len(net.sent(HomeAgentSwitch)) == 1
    net.roam("f2")
    assert (net.bound("ha"), net.bound("ha2")) == (None, COA2)
    assert not [sent for sent in net.sent(BindingUpdate)[2:] if sent.destination == HA]


def test_6_1_without_advice_the_node_leaves_at_once() -> None:
    net = away(home_agents=2, profile=HomeNode(HOA), home={"association": None})
    net.clear()
    net.tell("mn", MessageReceived(HomeAgentSwitch((net.second,)), HA, COA, None, HOA))
    (sent,) = net.sent(BindingUpdate)
    assert (sent.destination, sent.message.lifetime) == (HA, 0)  # type: ignore[attr-defined]
    net.run(3 * SECOND)
    assert settled(net) == THERE


def test_5_1_the_link_is_not_answered_while_the_next_one_asks_and_is_again_when_the_node_stays() -> None:
    bench = home_agent()
    ask(bench)
    bench.forget()
    bench.tell(Commanded("switch", {"to": OTHER}))
    assert bench.asked(WithdrawProxyNeighbour) == [WithdrawProxyNeighbour("home0", HOA)]
    bench.run(6 * SECOND)
    assert bench.asked(EnsureProxyNeighbour) == [EnsureProxyNeighbour("home0", HOA)]
    first, second = (sent.message for sent in bench.sent(HomeAgentSwitch))
    advice = first.first(BindingRefreshAdvice)
    assert advice is not None
    assert advice.interval >= 4 * SECOND
    assert second.first(BindingRefreshAdvice) is None


def test_5_1_without_another_home_agent_there_is_no_time_to_spare() -> None:
    bench = home_agent()
    ask(bench)
    bench.tell(Commanded("switch"))
    (sent,) = bench.sent(HomeAgentSwitch)
    assert sent.message.first(BindingRefreshAdvice) is None
    assert not bench.asked(WithdrawProxyNeighbour)


def test_5_3_who_stays_keeps_its_binding_and_gets_no_longer_one() -> None:
    bench = home_agent()
    ask(bench)
    ends = bench.now + 400 * SECOND
    bench.tell(Commanded("switch", {"to": OTHER}))
    bench.run(14 * SECOND)
    assert ask(bench, 2) == Status.ACCEPTED  # it is asked again, with shorter pauses
    ends = bench.now + 400 * SECOND
    bench.run(2 * SECOND)
    bench.forget()
    assert ask(bench, 3) == Status.ADMINISTRATIVELY_PROHIBITED
    assert bench.reported("update-refused") == 1
    assert ask(bench, 4, COA2) == Status.ACCEPTED  # served where it is, as long as before
    assert bench.asked(EnsureTunnel)[-1].remote == COA2
    (answer,) = [sent.message for sent in bench.sent(BindingAcknowledgement) if sent.message.status == 0]  # type: ignore[attr-defined]
    assert ends - 4 * SECOND < bench.now + answer.lifetime <= ends  # type: ignore[attr-defined]
    bench.run(400 * SECOND)
    assert bench.engine.show("bindings", bench.now) == []
    assert ask(bench, 5) == Status.ACCEPTED


def lost_to(name: str, source: str, destination: str, message: MobilityMessage) -> bool:
    return name in (source, destination) and isinstance(message, BindingUpdate | BindingAcknowledgement)


def test_6_1_a_next_one_that_is_silent_is_waited_for_with_the_old_one() -> None:
    net = away(home_agents=2)
    net.lose = lambda *about: lost_to("ha2", *about)
    switch(net)
    for _ in range(49):
        net.run(100 * MILLISECOND)
        assert (net.to_home(), net.from_home()) == ("tunnel", "tunnel")
    net.lose = lambda *about: False
    net.run(20 * SECOND)  # told again, without time to spare
    assert settled(net) == THERE


def test_6_1_the_time_that_was_given_ends() -> None:
    net = away(home_agents=2)
    net.lose = lambda source, destination, message: (
        lost_to("ha2", source, destination, message)
        or (isinstance(message, HomeAgentSwitch) and message.first(BindingRefreshAdvice) is None)
    )
    switch(net)
    net.run(9 * SECOND)
    assert net.bound("ha") is None


def test_6_1_a_next_one_that_refuses_is_asked_again_when_the_old_one_is_left() -> None:
    """Somebody answers for the home address on the link: a home agent that knows nothing of all this."""
    net = away(home_agents=2)
    net.defended["elsewhere"].add(HOA)
    switch(net)
    net.run(1050 * MILLISECOND)
    net.defended["elsewhere"].clear()
    net.run(4 * SECOND)
    assert settled(net) == THERE


@pytest.mark.parametrize("after", [1, 15, 25, 500, 1011, 1015, 1025, 1035, 1500])
@pytest.mark.parametrize("optimistic", [False, True])
def test_6_1_a_move_in_between_leaves_one_binding(after: int, optimistic: bool) -> None:
    net = away(home_agents=2, ha={"optimistic_duplicate_address_detection": optimistic})
    switch(net)
    net.run(after * MILLISECOND)
    net.roam("f2", settle=20 * SECOND)
    bound = [net.bound(name) for name in ("ha", "ha2")]
    assert bound == [None, COA2]
    assert (net.to_home(), net.from_home()) == ("tunnel", "tunnel")


@pytest.mark.parametrize("after", [1, 15, 25, 500, 1011, 1015, 1025, 1035, 1500])
def test_6_1_who_returns_home_in_between_leaves_no_binding(after: int) -> None:
    net = away(home_agents=2)
    switch(net)
    net.run(after * MILLISECOND)
    net.roam("home", settle=20 * SECOND)
    assert settled(net) == (None, None, {"ha": False, "ha2": False}, "home", "home")


def test_6_1_who_is_nowhere_in_between_deletes_the_old_binding_later() -> None:
    net = away(home_agents=2)
    net.lose = lambda source, destination, message: (
        destination == "ha" and isinstance(message, BindingUpdate) and message.lifetime == 0
    )
    switch(net)
    net.run(1200 * MILLISECOND)
    assert (net.bound("ha"), net.bound("ha2")) == (COA, COA)
    net.detach()
    net.clear()
    net.run(MINUTE)
    assert not net.sent(BindingUpdate)
    net.lose = lambda *about: False
    net.attach("f2")
    assert (net.bound("ha"), net.bound("ha2")) == (None, COA2)


def test_6_1_the_clocks_of_both_home_agents_may_differ() -> None:
    net = away(home_agents=2)
    agent = net.agent("ha2")
    agent._epoch += 20 * SECOND
    switch(net)
    for _ in range(3000):
        net.run(MILLISECOND)
        assert (net.to_home(), net.from_home()) == ("tunnel", "tunnel")
    assert settled(net) == THERE


def test_6_1_several_links_and_flows_go_with_the_node() -> None:
    net = Roaming(home_agents=2, several=True)
    net.attach("f1")
    net.attach("f2", "lte0")
    switch(net)
    net.run(3 * SECOND)
    (row,) = net.agent("ha2").show("bindings", net.now)
    assert sorted(way.split()[1] for way in row["ways"]) == sorted([text(COA), text(COA2)])  # type: ignore[union-attr]
    assert replace(net.entry).acknowledged == net.entry.ways
