"""The effects in dictionaries: for engine tests and the simulator.

It is as strict as a kernel: what a kernel would refuse (a prefix on a slot that points nowhere) raises OSError, and
`trouble` lets a test refuse whatever it likes.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from sojourn.core.effects import (
    EnsureDelivery,
    EnsurePrefix,
    EnsureShortcut,
    ForgetStation,
    ForwardingEffect,
    WithdrawCounter,
)
from sojourn.core.engine import Row
from sojourn.dataplane.state import ForwardingState, Way
from sojourn.wire.addresses import Prefix

_LOOKED_AT = frozenset({EnsurePrefix, EnsureShortcut, WithdrawCounter, ForgetStation})
"""Effects that a kernel may refuse, or that are more than a state."""


class MemoryDataplane:
    """What should hold, holds."""

    def __init__(self, trouble: Callable[[ForwardingEffect], OSError | None] | None = None) -> None:
        """`trouble` may answer with the error that the kernel would give for an effect."""
        self.state = ForwardingState()
        self.packets: dict[Prefix, int] = {}
        """What `count` answers for counted prefixes; see `traffic`."""
        self.forgotten: list[ForgetStation] = []
        """The latest orders to forget a station, at most 64."""
        self.trouble = trouble
        self._asked: ForwardingState | None = None

    def apply(self, effect: ForwardingEffect) -> None:
        """Record `effect`. Raises OSError where `trouble` says so and for a prefix on a slot without a way."""
        error = self.trouble(effect) if self.trouble else None
        if error is not None:
            raise error
        if type(effect) in _LOOKED_AT:
            self._look_at(effect)
        self.state.record(effect)
        if self._asked is not None:
            self._asked.record(effect)

    def _look_at(self, effect: ForwardingEffect) -> None:
        match effect:
            case EnsurePrefix():
                if effect.slot not in self.state.slots:
                    raise OSError(errno.ENOENT, f"slot {effect.slot} of {effect.prefix} points nowhere")
            case EnsureShortcut(_, destination, None) if not isinstance(self.way(destination), EnsureDelivery):
                raise OSError(errno.ENOENT, f"{destination} is not on an access link here")
            case WithdrawCounter(prefix):
                self.packets.pop(prefix, None)
            case ForgetStation():
                self.forgotten = [*self.forgotten[-63:], effect]
            case _:
                pass

    def waiting(self, slot: int) -> tuple[int, int, int]:
        """Nothing: there are no packets."""
        return 0, 0, 0

    def count(self) -> dict[Prefix, int]:
        """Packets that `traffic` was told of, for every counted prefix."""
        return {prefix: self.packets.get(prefix, 0) for prefix in self.state.counters}

    def begin(self) -> None:
        """What holds stays, but counts as of an earlier life."""
        self._asked = ForwardingState()

    def finish(self) -> list[str]:
        """Remove what was not asked for since `begin`. Without `begin` nothing is removed."""
        if self._asked is None:
            return []
        surplus = self.state.surplus(self._asked)
        self._asked = None
        for effect in surplus:
            self.apply(effect)
        return [str(effect) for effect in surplus]

    def reassert(self) -> None:
        """Dictionaries do not forget."""

    def show(self) -> list[Row]:
        """What holds."""
        return self.state.rows(self.count())

    def close(self) -> None:
        """Nothing holds any more."""
        self.state = ForwardingState()
        self.packets.clear()

    def leave(self) -> None:
        """What holds stays."""

    # for tests and the simulator

    def way(self, prefix: Prefix) -> Way | None:
        """Where packets to `prefix` go: the way of its slot, or None for no special way."""
        slot = self.state.prefixes.get(prefix)
        return None if slot is None else self.state.slots[slot]

    def traffic(self, prefix: Prefix, packets: int = 1) -> None:
        """`packets` came from `prefix`: counted where a counter is."""
        if prefix in self.state.counters:
            self.packets[prefix] = self.packets.get(prefix, 0) + packets
