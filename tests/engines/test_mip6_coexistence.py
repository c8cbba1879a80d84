"""A mobile node among networks that offer other things: none of them, and no dead home agent, breaks plain access."""

from __future__ import annotations

import pytest

from sojourn.core.mobile_effects import EnsureHomeAddress
from sojourn.engines.configuration import FIXED_LINK_LOCAL
from sojourn.wire import BindingUpdate
from sojourn.wire.units import SECOND
from support.mip6 import Roaming


def preferred(world: Roaming) -> bool:
    """Whether new connections use the home address."""
    said = world.asked(EnsureHomeAddress, "mn")[-1]
    assert isinstance(said, EnsureHomeAddress)
    return said.preferred


def test_new_connections_use_the_home_address_once_it_is_registered() -> None:
    world = Roaming()
    world.attach("f1", settle=SECOND // 2)
    assert world.bound() is None
    assert not preferred(world)
    world.run(2 * SECOND)
    assert world.bound() is not None
    assert preferred(world)


def test_without_an_answer_of_the_home_agent_they_do_not() -> None:
    world = Roaming()
    world.lose = lambda source, destination, message: isinstance(message, BindingUpdate)
    world.attach("f1", settle=60 * SECOND)
    assert not preferred(world)
    world.lose = lambda source, destination, message: False
    world.run(60 * SECOND)
    assert preferred(world)


def test_a_home_agent_that_dies_is_done_without_while_the_binding_lasts() -> None:
    world = Roaming()
    world.attach("f1")
    assert preferred(world)
    world.lose = lambda source, destination, message: destination == "ha"
    world.roam("f2", settle=10 * SECOND)
    assert world.entry.bound(world.now)
    assert not preferred(world)
    world.lose = lambda source, destination, message: False
    world.run(40 * SECOND)
    assert preferred(world)


def test_in_a_fast_network_nothing_flickers() -> None:
    world = Roaming()
    world.attach("f1")
    world.clear()
    world.roam("f2")
    assert [effect for effect in world.asked(EnsureHomeAddress, "mn") if not preferred(world)] == []
    assert all(getattr(effect, "preferred", False) for effect in world.asked(EnsureHomeAddress, "mn"))


@pytest.mark.parametrize("leaves", [False, True])
def test_mobility_is_left_to_a_network_that_keeps_addresses_if_told_so(leaves: bool) -> None:
    world = Roaming(leave_to_network=leaves)
    world.networks["f1"].router = FIXED_LINK_LOCAL
    world.attach("f1")
    assert world.bound() == world.networks["f1"].care_of
    assert preferred(world) is not leaves
    world.roam("f2")
    assert preferred(world)
    world.roam("f1")
    assert preferred(world) is not leaves
