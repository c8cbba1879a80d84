"""What happens in an episode, drawn from its seed: a list of `sim.happenings`, each followed by some time.

A temper says how often what happens. Nodes always roam; the rest is what the episode is about, because an
episode in which everything fails at once proves little about any one thing.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from sim.air import INTERFACES
from sim.cast import Cast
from sim.happenings import (
    Attack,
    Begin,
    Boot,
    Cut,
    Die,
    Drift,
    End,
    Expect,
    Fail,
    Happening,
    Late,
    Leave,
    LinkFails,
    Operate,
    Pause,
    Refuse,
    Roam,
    Show,
    Step,
    Storm,
)
from sojourn.wire.units import HOUR, MILLISECOND, SECOND, Duration

EVENTS = 200
"""Happenings in an episode."""
_NODES = {"roam": 12, "leave": 1, "show": 3, "begin": 5, "end": 1}
_STRANGERS = {"attack": 3}
_PACES: dict[str, tuple[Duration, ...]] = {
    "hasty": (0, 0, 1 * MILLISECOND, 5 * MILLISECOND, 50 * MILLISECOND, 200 * MILLISECOND),
    "brisk": (0, 5 * MILLISECOND, 200 * MILLISECOND, 1 * SECOND, 3 * SECOND),
    "easy": (200 * MILLISECOND, 1 * SECOND, 4 * SECOND, 15 * SECOND),
}
TEMPERS: dict[str, dict[str, int]] = {
    "calm": {},
    "lossy": {"storm": 3},
    "cut": {"cut": 3, "storm": 1},
    "mortal": {"die": 2, "boot": 2, "pause": 1, "storm": 1},
    "stubborn": {"refuse": 2, "link": 1, "storm": 1, "die": 1, "boot": 1},
    "untimely": {"step": 2, "drift": 1, "late": 1, "storm": 1, "die": 1, "boot": 2},
    "all": {
        "storm": 1, "cut": 1, "die": 2, "boot": 2, "pause": 1, "refuse": 1, "link": 1, "step": 1, "drift": 1,
        "late": 1, "operate": 1,
    },
}  # fmt: skip
"""What happens besides the life of the nodes, with its weight."""


class Script:
    """Draws the happenings of one seed for a cast."""

    def __init__(self, seed: int, cast: Cast) -> None:
        self._dice = random.Random(f"script {seed}")
        self._nodes = tuple(cast.air.nodes)
        self._places = cast.places
        self._machines = (*cast.places, *cast.centres, *cast.centres)
        self._temper = {**TEMPERS[cast.temper], **cast.besides}
        self._operations = cast.operations
        self._links = (1, 1) if cast.air.dedicated else (9, 1)
        self._said: Expect | None = None
        """What was said last of where a node will go."""
        self._commands, self._attacks = tuple(cast.commands), cast.attacks
        self._failures = cast.failures

    def write(self, events: int = EVENTS) -> list[Happening]:
        """So many happenings."""
        weights = {**_NODES, **self._temper, **(_STRANGERS if self._attacks else {})}
        kinds = self._dice.choices(list(weights), list(weights.values()), k=events)
        happenings: list[Happening] = []
        while len(happenings) < events:  # stretches of a pace of their own
            pace = _PACES[self._dice.choice(list(_PACES))]
            for kind in kinds[len(happenings) :][: self._dice.randint(10, 60)]:
                draw: Callable[[Duration], Happening] = getattr(self, f"_{kind}")
                happenings.append(draw(self._dice.choice(pace)))
        return happenings

    # --- nodes ----------------------------------------------------------------------------------------------------

    def _node(self) -> str:
        return self._dice.choice(self._nodes)

    def _place(self) -> str:
        return self._dice.choice(self._places)

    def _interface(self) -> str:
        return self._dice.choices(INTERFACES, self._links)[0]

    def _roam(self, then: Duration) -> Happening:
        dice = self._dice
        sighting = dice.choices(("station", "neighbour", "router-solicitation", "multicast-listener"), (7, 1, 1, 1))[0]
        gap = dice.choice((0, 0, 0, 1 * MILLISECOND, 50 * MILLISECOND, 3 * SECOND))
        said, self._said = self._said, None
        if said is not None and dice.random() < 0.8:
            node, place = said.node, said.place
        else:
            node, place = self._node(), self._place()
        return Roam(node, place, self._interface(), sighting, dice.random() < 0.8, gap, then)

    def _leave(self, then: Duration) -> Happening:
        return Leave(self._node(), self._dice.random() < 0.8, then)

    def _show(self, then: Duration) -> Happening:
        return Show(self._node(), self._dice.choice(("neighbour", "router-solicitation")), then)

    def _late(self, then: Duration) -> Happening:
        return Late(self._node(), self._place(), self._interface(), then)

    def _expect(self, then: Duration) -> Happening:
        self._said = Expect(self._node(), self._place(), then)
        return self._said

    def _begin(self, then: Duration) -> Happening:
        return Begin(self._node(), then)

    def _end(self, then: Duration) -> Happening:
        return End(self._node(), then)

    # --- machines -------------------------------------------------------------------------------------------------

    def _machine(self) -> str:
        return self._dice.choice(self._machines)

    def _for(self) -> Duration:
        return self._dice.choice((300 * MILLISECOND, 2 * SECOND, 8 * SECOND, 40 * SECOND))

    def _die(self, then: Duration) -> Happening:
        return Die(self._machine(), self._dice.choice((0, 0, 1, 3, 8, 20)), self._dice.random() < 0.2, then)

    def _boot(self, then: Duration) -> Happening:
        return Boot(self._machine(), self._dice.random() < 0.7, then)

    def _pause(self, then: Duration) -> Happening:
        return Pause(self._machine(), self._for(), then)

    def _refuse(self, then: Duration) -> Happening:
        what = self._dice.choice(("kernel", "kernel", "disk", "access"))
        return Refuse(self._machine(), what, self._dice.choice((1, 2, 3, 7)), self._for(), then)

    def _link(self, then: Duration) -> Happening:
        return LinkFails(self._place(), self._interface(), self._for(), then)

    def _step(self, then: Duration) -> Happening:
        by = self._dice.choice((200 * MILLISECOND, 2 * SECOND, 90 * SECOND, 1 * HOUR, 30 * HOUR))
        return Step(self._machine(), by * self._dice.choice((1, -1)), then)

    def _drift(self, then: Duration) -> Happening:
        return Drift(self._machine(), self._dice.choice((-5_000, -200, 0, 200, 5_000)), then)

    def _operate(self, then: Duration) -> Happening:
        return Operate(self._machine(), self._dice.choice(self._commands), (), then)

    def _command(self, then: Duration) -> Happening:
        machine, verb, arguments = self._operations(self._dice)
        return Operate(machine, verb, tuple(arguments.items()), then)

    def _fail(self, then: Duration) -> Happening:
        dice = self._dice
        for_ = dice.choice((300 * MILLISECOND, 1 * SECOND, 4 * SECOND, 12 * SECOND))
        return Fail(dice.choice(self._failures), dice.randrange(1 << 16), for_, then)

    def _attack(self, then: Duration) -> Happening:
        return Attack(self._dice.choice(self._attacks), self._dice.randrange(1 << 16), then)

    # --- the network ----------------------------------------------------------------------------------------------

    def _storm(self, then: Duration) -> Happening:
        dice = self._dice
        if dice.random() < 0.3:
            return Storm(0.0, 0.0, 0, then)
        jitter = dice.choice((0, 5 * MILLISECOND, 300 * MILLISECOND, 3 * SECOND))
        return Storm(dice.choice((0.0, 0.05, 0.3, 0.7)), dice.choice((0.0, 0.1, 0.5)), jitter, then)

    def _cut(self, then: Duration) -> Happening:
        machines = [*self._places, *dict.fromkeys(self._machines[len(self._places) :])]
        self._dice.shuffle(machines)
        border = self._dice.randint(1, len(machines) - 1)
        here, there = tuple(machines[:border]), tuple(machines[border:])
        return Cut(here, there, self._dice.random() < 0.7, self._for(), then)
