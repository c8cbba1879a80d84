"""What is asked of every machine after every step, whatever its role: its ledgers, and how often it sends."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable

from sim.world import Machine, World
from sojourn.wire import BindingUpdate, MobileNodeIdentifier, MobileNodeLinkLayerIdentifier
from sojourn.wire.mobility import MobilityMessage
from sojourn.wire.units import SECOND, Instant

_UPDATE_RATE = 3
"""MAX_UPDATE_RATE (RFC 6275 12, RFC 8885 3.6)."""
_SECOND = SECOND * 99 // 100
"""By a clock that runs a little too fast."""


def _identifier(update: BindingUpdate) -> bytes | None:
    """A node, or one of its interfaces."""
    option, interface = update.first(MobileNodeIdentifier), update.first(MobileNodeLinkLayerIdentifier)
    if option is None:
        return None
    return option.identifier if interface is None else option.identifier + interface.identifier


class Examiner:
    """`examine` tells what is wrong with a machine; it is asked again only when something happened there."""

    def __init__(
        self,
        world: World,
        examine: Callable[[Machine], Iterable[str]],
        subject: Callable[[BindingUpdate], bytes | None] = _identifier,
        passing_on: Collection[str] = (),
    ) -> None:
        """`subject`: the node that an update is about; None: its rate is not looked at; `passing_on`: machines that
        only pass on what several others ask."""
        self._world, self._examine, self._subject, self._passing_on = world, examine, subject, passing_on
        self._updates: dict[tuple[str, bytes, str], deque[Instant]] = defaultdict(lambda: deque(maxlen=_UPDATE_RATE))
        self._too_fast: list[str] = []
        self._examined: dict[str, tuple[object, int]] = {}
        world.network.on_sent.append(self._on_sent)

    def faults(self) -> list[str]:
        """What is wrong with the machines that are awake."""
        faults = list(self._too_fast)
        for machine in self._world.machines.values():
            if machine.driver is None or machine.paused:
                continue
            mark = (machine.driver, sum(machine.driver.counters.values()))
            if self._examined.get(machine.name) != mark:
                self._examined[machine.name] = mark
                faults += [f"{machine.name}: {fault}" for fault in self._examine(machine)]
        return faults

    def _on_sent(self, sender: str, receiver: str, message: MobilityMessage) -> None:
        subject = self._subject(message) if isinstance(message, BindingUpdate) else None
        if subject is None or sender in self._passing_on:
            return
        life = f"{sender} {self._world.machines[sender].lives}"  # nobody remembers what an earlier life sent
        recent = self._updates[life, subject, receiver]
        now = self._world.now
        if len(recent) == _UPDATE_RATE and now - recent[0] < _SECOND:
            self._too_fast.append(f"{sender} sends {receiver} more than 3 updates a second about one node")
        recent.append(now)
