"""A mobile node whose daemon ends goes on with its tunnels: its next life reads what this one wrote down."""

from __future__ import annotations

import random

import pytest

from sojourn.core.effects import DeleteBinding, StoreBinding
from sojourn.core.mobile_effects import EnsureHomeBlock
from sojourn.wire.units import HOUR, SECOND
from support.mip6 import Roaming
from support.mip6_messages import HOA


def records(world: Roaming) -> list[tuple[bytes, bytes]]:
    """What is in the store of the mobile node."""
    kept: dict[bytes, bytes] = {}
    for _, name, effect in world.effects:
        if name == "mn" and isinstance(effect, StoreBinding):
            kept[effect.key] = effect.record
        elif name == "mn" and isinstance(effect, DeleteBinding):
            kept.pop(effect.key, None)
    return list(kept.items())


def away() -> Roaming:
    world = Roaming(keeps=True)
    world.attach("f1")
    assert world.downlink() == world.uplink() == "tunnel"
    return world


def test_the_tunnel_stays_over_a_restart_and_the_node_registers_again() -> None:
    world = away()
    kept = records(world)
    world.clear()
    world.start("mn", kept)
    assert world.to_home() == world.from_home() == "tunnel"
    assert world.asked(EnsureHomeBlock, "mn") == []
    world.attach("f1")
    assert world.entry.registered == world.networks["f1"].care_of
    assert world.asked(EnsureHomeBlock, "mn") == []


def test_it_is_led_elsewhere_when_the_node_is() -> None:
    world = away()
    kept = records(world)
    world.detach()
    world.start("mn", kept)
    world.attach("f2")
    assert world.bound() == world.networks["f2"].care_of
    assert world.to_home() == world.from_home() == "tunnel"


def test_at_home_the_binding_is_ended_and_the_record_goes() -> None:
    world = away()
    kept = records(world)
    world.detach()
    world.start("mn", kept)
    world.attach("home", settle=5 * SECOND)
    assert world.bound() is None
    assert world.to_home() == world.from_home() == "home"
    assert records(world) == []


def test_a_record_that_is_too_old_is_none() -> None:
    world = away()
    kept = records(world)
    world.detach()
    world.run(1 * HOUR)
    world.start("mn", kept)
    assert world.from_home() == "lost"
    assert records(world) == []


def test_the_tunnel_of_an_earlier_life_ends_with_its_binding_where_there_is_no_link() -> None:
    world = away()
    kept = records(world)
    world.detach()
    world.start("mn", kept)
    assert HOA in world.host.tunnels
    world.run(1 * HOUR)
    assert HOA not in world.host.tunnels
    assert HOA in world.host.blocked


@pytest.mark.parametrize("seed", range(4))
def test_what_a_disk_changed_is_not_believed(seed: int) -> None:
    source = random.Random(seed)
    world = away()
    ((key, octets),) = records(world)
    for _ in range(200):
        changed = bytearray(octets)
        changed[source.randrange(len(changed))] = source.randrange(256)
        world.start("mn", [(key, bytes(changed[: source.randrange(len(changed) + 1)]))])
        world.start("mn", [(source.randbytes(16), octets), (HOA, source.randbytes(9))])
        assert world.from_home() == "lost"


def test_of_another_home_agent_nothing_is_taken_up() -> None:
    world = away()
    ((key, octets),) = records(world)
    world.start("mn", [(key, octets.replace(world.ha_configurations["ha"].address, HOA))])
    assert world.from_home() == "lost"
