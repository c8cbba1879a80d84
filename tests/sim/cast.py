"""What an episode needs to know of the roles that play in it. A new role joins by a module with one of these.

The world, the air, the happenings, the stage, the shrinking and the commands know nothing of roles. A cast says which
engines exist, how events reach them (mostly by handing `Air` and `Network` what they need), and what must be true.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from sim.air import Air, Node
from sim.flows import Flows
from sim.world import Machine, World
from sojourn.core.events import Commanded
from sojourn.wire.units import Duration

Operation: TypeAlias = tuple[str, str, dict[str, str]]
"""A machine, and a command for it."""


Commands: TypeAlias = Mapping[str, Callable[[Machine], Commanded]]
"""What an operator may say to a machine, by name."""


def _retire(machine: Machine) -> Commanded:
    counted = sorted(machine.plane.state.counters)
    return Commanded("retire", {"prefix": str(counted[0]) if counted else "::/64"})


COMMANDS: Commands = {
    "refresh": lambda machine: Commanded("refresh"),
    "retire": _retire,
    "nonsense": lambda machine: Commanded("nonsense"),
}
"""Those of network-based roles."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long it may take until everything is right."""

    calm: Duration
    """After the last trouble, until nothing can come of it any more."""
    settled: Duration
    """After the last fault, with nodes that stay and show themselves."""
    quiet: Duration
    """Until nothing is left of earlier places, either."""
    stays: Duration
    """And for so long it has to stay right."""
    idle: Duration
    """After the last packet."""
    empty: Duration
    """After the last node left."""


class Truth(Protocol):
    """What must be true of the roles. Each answer is a list of faults as sentences; none is good news."""

    def now(self, calm: bool) -> list[str]:
        """What must never be true, and is; `calm`: nothing went wrong for a while."""
        ...

    def passing(self, calm: bool) -> set[str]:
        """What may be true for a moment only, and is."""
        ...

    def settled(self) -> list[str]:
        """What may not be true any more of nodes that stay where they are, and is."""
        ...

    def quiet(self) -> list[str]:
        """What may not be true any more when also the traces of those who left had time to go, and is."""
        ...

    def idle(self) -> list[str]:
        """The same, after nobody sent anything for a while."""
        ...

    def empty(self) -> list[str]:
        """The same, after all nodes have been gone for a while."""
        ...


class Cast(Protocol):
    """The roles of one episode on their machines, drawn from a seed."""

    name: str
    world: World
    air: Air
    """How nodes move and are noticed. Nodes with an engine of their own get a subclass that tells their machine."""
    flows: Flows
    truth: Truth
    places: tuple[str, ...]
    """Machines with access links."""
    centres: tuple[str, ...]
    """Machines that others ask: databases, anchors."""
    patience: Patience
    temper: str
    """What kind of happenings the seed asks for: a key of `sim.script.TEMPERS`."""
    besides: Mapping[str, int]
    """What else happens in this episode, with its weight, as in `sim.script.TEMPERS`."""
    commands: Commands
    failures: tuple[str, ...]
    """What may fail that is no machine; asked only if `besides` has a weight for "fail"."""
    attacks: tuple[str, ...]
    """What strangers may try; none where it is not played."""

    def start(self) -> None:
        """Everything is switched on."""
        ...

    def moved(self, node: Node) -> None:
        """A node came to a place, or left one."""
        ...

    def operations(self, dice: random.Random) -> Operation:
        """What an operator may do; asked only if `besides` has a weight for "command"."""
        ...

    def spelled(self, machine: Machine, verb: str, arguments: dict[str, str]) -> dict[str, str]:
        """The arguments of a command that is given now, with what nobody knew when it was drawn."""
        ...

    def forgot(self, machine: Machine) -> None:
        """A machine begins without what it knew."""
        ...

    def fail(self, what: str, luck: int, for_: Duration) -> None:
        """One of `failures` happens."""
        ...

    def repair(self) -> None:
        """All that failed works again."""
        ...

    def attack(self, verb: str, luck: int) -> None:
        """A stranger tries one of `attacks`."""
        ...

    def settings(self) -> str:
        """What the seed chose, in a line for people."""
        ...


class NoOrders:
    """A cast in which nothing happens besides its temper, and operators give its `commands` only."""

    besides: Mapping[str, int] = {}
    failures: tuple[str, ...] = ()

    def fail(self, what: str, luck: int, for_: Duration) -> None:
        """See `Cast`."""
        raise NotImplementedError

    def repair(self) -> None:
        """See `Cast`."""

    def operations(self, dice: random.Random) -> Operation:
        """See `Cast`."""
        raise NotImplementedError

    def spelled(self, machine: Machine, verb: str, arguments: dict[str, str]) -> dict[str, str]:
        """See `Cast`."""
        return arguments
