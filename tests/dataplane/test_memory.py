"""The memory backend: strict as a kernel, exact in what it removes."""

from __future__ import annotations

import errno

import pytest

from sojourn.core.effects import (
    EnsureCounter,
    EnsureDelivery,
    EnsureHold,
    EnsureLogicalInterface,
    EnsurePrefix,
    EnsureShortcut,
    EnsureTunnel,
    EnsureUplink,
    ForgetStation,
    ForwardingEffect,
    WithdrawCounter,
    WithdrawLogicalInterface,
    WithdrawPrefix,
    WithdrawShortcut,
    WithdrawSlot,
    WithdrawUplink,
)
from sojourn.dataplane.base import Dataplane
from sojourn.dataplane.memory import MemoryDataplane
from sojourn.wire.addresses import address, link_layer, prefix

NODE = link_layer("02:00:00:00:00:01")
PEER = address("2001:db8:a2::1")
HOME = prefix("2001:db8:a100:1::/64")
OTHER = prefix("2001:db8:a200:1::/64")
LOCAL = address("fe80::a2")

EVERYTHING: list[ForwardingEffect] = [
    EnsureDelivery(1, "acc0", NODE),
    EnsurePrefix(HOME, 1),
    EnsurePrefix(OTHER, 1),
    EnsureUplink(HOME, None),
    EnsureUplink(OTHER, PEER),
    EnsureShortcut(HOME, OTHER, None),
    EnsureShortcut(OTHER, HOME, PEER),
    EnsureCounter(HOME),
    EnsureLogicalInterface("acc0", LOCAL),
]


def filled() -> MemoryDataplane:
    plane = MemoryDataplane()
    for effect in EVERYTHING:
        plane.apply(effect)
    return plane


def test_is_a_dataplane() -> None:
    plane: Dataplane = MemoryDataplane()
    assert plane.show() == []


def test_one_slot_moves_all_prefixes_of_a_node() -> None:
    plane = filled()
    for way in (EnsureHold(1), EnsureTunnel(1, PEER)):
        plane.apply(way)
        assert plane.way(HOME) == way
        assert plane.way(OTHER) == way


def test_a_prefix_on_no_slot_is_refused_as_a_kernel_would() -> None:
    plane = MemoryDataplane()
    with pytest.raises(OSError, match="slot 7") as caught:
        plane.apply(EnsurePrefix(HOME, 7))
    assert caught.value.errno == errno.ENOENT
    assert plane.way(HOME) is None


def test_a_shortcut_to_nobody_who_is_here_is_refused() -> None:
    plane = filled()
    plane.apply(EnsureTunnel(1, PEER))
    with pytest.raises(OSError, match="not on an access link") as caught:
        plane.apply(EnsureShortcut(OTHER, HOME, None))
    assert caught.value.errno == errno.ENOENT


def test_withdrawing_a_slot_takes_its_prefixes_along() -> None:
    plane = filled()
    plane.apply(WithdrawSlot(1))
    assert plane.state.prefixes == {}


def test_effects_twice_are_harmless_and_withdrawals_of_nothing_too() -> None:
    plane = filled()
    once = plane.show()
    for effect in EVERYTHING:
        plane.apply(effect)
    assert plane.show() == once
    for effect in (
        WithdrawPrefix(prefix("2001:db8::/64")),
        WithdrawShortcut(prefix("2001:db8::/64"), prefix("2001:db8::/64")),
        WithdrawUplink(prefix("2001:db8::/64")),
        WithdrawCounter(prefix("2001:db8::/64")),
        WithdrawSlot(99),
        WithdrawLogicalInterface("acc9", LOCAL),
    ):
        plane.apply(effect)
    assert plane.show() == once


def test_counter_survives_being_asked_for_again() -> None:
    plane = filled()
    plane.traffic(HOME, 5)
    plane.traffic(OTHER, 5)
    plane.apply(EnsureCounter(HOME))
    assert plane.count() == {HOME: 5}
    plane.apply(WithdrawCounter(HOME))
    plane.apply(EnsureCounter(HOME))
    assert plane.count() == {HOME: 0}


def test_finish_removes_exactly_what_was_not_asked_for_again() -> None:
    plane = filled()
    plane.begin()
    assert plane.way(OTHER) == EnsureDelivery(1, "acc0", NODE)
    for effect in (EnsureDelivery(1, "acc0", NODE), EnsurePrefix(HOME, 1), EnsureUplink(HOME, None)):
        plane.apply(effect)
    removed = plane.finish()
    assert len(removed) == 6  # OTHER twice, the shortcuts, the counter, the identity
    assert list(plane.state.prefixes) == [HOME]
    assert list(plane.state.uplinks) == [HOME]
    assert plane.finish() == []


def test_trouble_is_raised_and_nothing_changes() -> None:
    plane = filled()
    plane.trouble = lambda effect: OSError(errno.ENOMEM, "no memory") if isinstance(effect, EnsureTunnel) else None
    with pytest.raises(OSError, match="no memory"):
        plane.apply(EnsureTunnel(1, PEER))
    assert plane.way(HOME) == EnsureDelivery(1, "acc0", NODE)


def test_effects_of_a_state_make_the_same_state() -> None:
    plane, copy = filled(), MemoryDataplane()
    for effect in plane.state.effects():
        copy.apply(effect)
    assert copy.state == plane.state


def test_remembered_orders_are_bounded() -> None:
    plane = MemoryDataplane()
    for _ in range(200):
        plane.apply(ForgetStation("acc0", NODE))
    assert len(plane.forgotten) == 64


def test_close_leaves_nothing() -> None:
    plane = filled()
    plane.close()
    assert plane.show() == []
