"""A mobile node whose daemon ends goes on with its tunnels: its next life reads what this one wrote down."""

from __future__ import annotations

import random

import pytest

from sojourn.core.effects import DeleteBinding, StoreBinding
from sojourn.core.events import ClockStepped, EffectFailed, IcmpErrorReceived
from sojourn.core.mobile_effects import EnsureCareOfRoute, EnsureHomeBlock, WithdrawRouteOptimisation
from sojourn.engines.cn import CorrespondentNode
from sojourn.wire import MOBILITY_HEADER, BindingAcknowledgement, HomeTestInit
from sojourn.wire.units import HOUR, MILLISECOND, MINUTE, SECOND, Duration
from support.mip6 import EPOCH, Roaming
from support.mip6_messages import CN, HOA
from support.mip6_watch import optimised, updates


def records(world: Roaming, who: str = "mn") -> list[tuple[bytes, bytes]]:
    """What is in the store of the mobile node, or of another one."""
    kept: dict[bytes, bytes] = {}
    for _, name, effect in world.effects:
        if name == who and isinstance(effect, StoreBinding):
            kept[effect.key] = effect.record
        elif name == who and isinstance(effect, DeleteBinding):
            kept.pop(effect.key, None)
    return list(kept.items())


def begins_again(world: Roaming, after: Duration = 0) -> None:
    """The node's daemon dies, it loses its link, and so long after the next life begins with what the store has."""
    kept = records(world)
    world.detach()
    world.run(after)
    world.start("mn", kept)


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
    begins_again(world)
    world.attach("f2")
    assert world.bound() == world.networks["f2"].care_of
    assert world.to_home() == world.from_home() == "tunnel"


def test_at_home_the_binding_is_ended_and_the_record_goes() -> None:
    world = away()
    begins_again(world)
    world.attach("home", settle=5 * SECOND)
    assert world.bound() is None
    assert world.to_home() == world.from_home() == "home"
    assert records(world) == []


def test_a_record_that_is_too_old_is_none() -> None:
    world = away()
    begins_again(world, 1 * HOUR)
    assert world.from_home() == "lost"
    assert records(world) == []


def test_the_tunnel_of_an_earlier_life_ends_with_its_binding_where_there_is_no_link() -> None:
    world = away()
    begins_again(world)
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


# --- direct ways ------------------------------------------------------------------------------------------------------


def direct(**settings: object) -> Roaming:
    world = optimised(keeps=True, **settings)
    assert world.uplink() == world.downlink() == "direct"
    return world


def test_direct_ways_stay_over_a_restart_and_are_registered_again() -> None:
    """A correspondent node goes on sending directly, whatever becomes of the daemon."""
    world = direct()
    kept = records(world)
    assert sorted(len(key) for key, _ in kept) == [16, 32]
    world.clear()
    world.start("mn", kept)
    assert world.uplink() == world.downlink() == "direct"
    world.attach("f1")
    assert len(updates(world, CN)) == 1
    assert world.uplink() == world.downlink() == "direct"
    assert world.asked(WithdrawRouteOptimisation, "mn") == []


def test_a_correspondent_node_hears_where_the_node_went_while_its_daemon_was_dead() -> None:
    """It would send to the old care-of address until its binding ends, minutes later."""
    world = direct()
    begins_again(world)
    world.attach("f2")
    assert world.uplink() == world.downlink() == "direct"
    assert world.routes[HOA] == world.networks["f2"].care_of


def test_a_correspondent_node_hears_that_the_node_went_home_while_its_daemon_was_dead() -> None:
    world = direct()
    begins_again(world)
    world.attach("home", settle=5 * SECOND)
    assert world.routes == {}
    assert world.downlink() == "home"
    assert records(world) == []


def test_an_update_whose_answer_was_never_heard_is_made_up_for() -> None:
    """Killed between its Binding Update and the answer: the correspondent node may have the binding."""
    world = away()
    world.lose = lambda source, _destination, message: source == "cn" and isinstance(message, BindingAcknowledgement)
    world.downlink()
    world.run(300 * MILLISECOND)
    assert world.routes[HOA] == world.networks["f1"].care_of
    kept = records(world)
    world.lose = lambda _source, _destination, _message: False
    world.detach()
    world.start("mn", kept)
    assert world.host.direct == {}
    world.attach("f2")
    assert world.uplink() == world.downlink() == "direct"


def test_a_correspondent_node_that_forgot_is_found_out_after_a_restart() -> None:
    """Both daemons died, and only one remembers: its packets go by the home agent until there is a binding world."""
    world = direct()
    kept = records(world)
    world.start("cn")
    world.start("mn", kept)
    assert world.uplink() == "lost"  # and its sender is told (Binding Error)
    world.run(1 * SECOND)
    assert (HOA, CN) not in world.host.direct
    world.attach("f1")
    assert world.uplink() == world.downlink() == "direct"


@pytest.mark.parametrize("seed", range(4))
def test_what_a_disk_changed_of_a_direct_way_is_not_believed(seed: int) -> None:
    source = random.Random(seed)
    world = direct()
    kept = dict(records(world))
    key = HOA + CN
    octets = kept.pop(key)
    for _ in range(200):
        changed = bytearray(octets)
        changed[source.randrange(len(changed))] = source.randrange(256)
        world.start("mn", [*kept.items(), (key, bytes(changed[: source.randrange(len(changed))]))])
        world.start("mn", [*kept.items(), (source.randbytes(32), octets), (source.randbytes(33), octets)])
        assert world.from_home() == "tunnel"


def test_a_direct_way_that_is_over_is_not_taken_up() -> None:
    world = direct()
    begins_again(world, 1 * HOUR)
    assert world.host.direct == {}
    assert records(world) == []


def test_a_correspondent_node_knows_its_bindings_after_a_restart() -> None:
    world = direct()
    kept = records(world, "cn")
    assert [key for key, _ in kept] == [HOA]
    world.start("cn", kept)
    assert world.uplink() == world.downlink() == "direct"
    world.roam("f2")
    assert world.uplink() == world.downlink() == "direct"
    assert world.routes[HOA] == world.networks["f2"].care_of


def two_links() -> Roaming:
    world = Roaming(keeps=True, several=True)
    world.attach("f1")
    world.attach("f2", "lte0")
    world.downlink()
    world.run(2 * SECOND)
    assert world.uplink() == world.downlink() == "direct"
    assert len(world.also[HOA]) == 1
    return world


def test_several_care_of_addresses_are_known_after_a_restart_of_the_correspondent_node() -> None:
    """With what their updates were numbered (RFC 5648)."""
    world = two_links()
    before = world.engines["cn"]
    assert isinstance(before, CorrespondentNode)
    world.start("cn", records(world, "cn"))
    after = world.engines["cn"]
    assert isinstance(after, CorrespondentNode)
    for name in ("care_of", "ways", "ends", "sequences", "sequence", "flows"):
        assert getattr(after.cache[HOA], name) == getattr(before.cache[HOA], name), name
    world.detach()
    world.run(2 * SECOND)
    assert world.uplink() == world.downlink() == "direct"


def test_several_direct_ways_stay_over_a_restart_of_the_mobile_node() -> None:
    world = two_links()
    world.start("mn", records(world))
    assert world.uplink() == world.downlink() == "direct"
    world.attach("f1")
    world.attach("f2", "lte0")
    assert world.uplink() == world.downlink() == "direct"
    assert len(world.also[HOA]) == 1


def test_bindings_of_a_correspondent_node_end_when_they_would_have() -> None:
    world = direct()
    kept = records(world, "cn")
    world.detach()
    world.run(1 * MINUTE)
    world.start("cn", kept)
    assert HOA in world.routes
    world.run(10 * MINUTE)
    assert HOA not in world.routes
    assert records(world, "cn") == []
    world.start("cn", kept)
    assert world.routes == {}


def test_an_update_of_before_a_restart_is_not_taken_again() -> None:
    """Its nonces are not known any more, so that nobody can replay it (RFC 6275 5.2.8)."""
    world = direct()
    (update,) = updates(world, CN)
    kept = records(world, "cn")
    world.roam("f2")
    world.start("cn", kept)
    world.clear()
    world._transmit("mn", update)
    world.run(1 * SECOND)
    assert world.asked(EnsureCareOfRoute, "cn") == []


@pytest.mark.parametrize("seed", range(4))
def test_what_a_disk_changed_of_a_binding_is_not_believed_or_harmless(seed: int) -> None:
    source = random.Random(seed)
    world = direct()
    ((key, octets),) = records(world, "cn")
    for _ in range(200):
        changed = bytearray(octets)
        changed[source.randrange(len(changed))] = source.randrange(256)
        world.start("cn", [(key, bytes(changed[: source.randrange(len(changed))]))])
        assert world.routes == {}
        world.start("cn", [(key, bytes(changed))])
        world.start("cn", [(source.randbytes(9), octets)])


@pytest.mark.parametrize("who", ["mn", "cn"])
def test_what_a_disk_refused_is_stored_a_moment_later(who: str) -> None:
    world = direct()
    kept = dict(records(world, who))
    for key, record in kept.items():
        world.clear()
        world.tell(who, EffectFailed(StoreBinding(key, record), 28, "no space left"))
        world.run(2 * SECOND)
        assert [stored.key for stored in world.asked(StoreBinding, who)] == [key]


@pytest.mark.parametrize("who", ["mn", "cn"])
def test_records_follow_a_clock_that_was_set(who: str) -> None:
    """They say until when they are true by the wall clock."""
    world = direct()
    before = dict(records(world, who))
    world.tell(who, ClockStepped(EPOCH - 1 * HOUR))
    after = dict(records(world, who))
    assert before.keys() == after.keys()
    assert all(before[key] != after[key] for key in before)


@pytest.mark.parametrize("seconds", [3, 40])
def test_a_correspondent_node_that_was_dead_during_a_move_hears_of_it_when_it_is_back(seconds: int) -> None:
    """It goes on sending to the old care-of address; called one that cannot, it would for as long as its binding."""
    world = direct()
    kept = records(world, "cn")
    world.detach()
    world.lose = lambda _source, destination, _message: destination == "cn"
    world.attach("f2", settle=200 * MILLISECOND)
    world.tell("mn", IcmpErrorReceived(4, 1, CN, MOBILITY_HEADER))
    world.run(seconds * SECOND)
    world.start("cn", kept)
    world.lose = lambda _source, _destination, _message: False
    world.run(40 * SECOND)
    assert world.routes[HOA] == world.networks["f2"].care_of
    assert world.uplink() == world.downlink() == "direct"


def test_one_that_never_had_a_binding_is_believed_that_it_cannot() -> None:
    world = away()
    world.lose = lambda _source, destination, _message: destination == "cn"
    world.downlink()
    world.tell("mn", IcmpErrorReceived(4, 1, CN, MOBILITY_HEADER))
    world.clear()
    world.run(5 * MINUTE)
    assert world.sent(HomeTestInit, "mn") == []
