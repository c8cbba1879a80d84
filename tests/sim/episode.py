"""An episode: a seed, the cast and the happenings that it makes; played, it answers with what was wrong."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sim.cast import Cast
from sim.dmm import Dmm
from sim.happenings import Happening
from sim.script import EVENTS, Script
from sim.stage import Stage

CASTS: Mapping[str, Callable[[int], Cast]] = {"dmm": Dmm}
"""Everything that can be played, by name. A new role joins here."""


@dataclass(slots=True)
class Outcome:
    """What came of an episode."""

    faults: list[str] = field(default_factory=list)
    flows: int = 0
    excused: int = 0
    messages: int = 0
    seconds: float = 0.0
    """Of simulated time."""


def happenings_of(seed: int, cast: Callable[[int], Cast], events: int = EVENTS) -> list[Happening]:
    """What the seed lets happen."""
    return Script(seed, cast(seed)).write(events)


def play(
    seed: int,
    cast: Callable[[int], Cast] = Dmm,
    happenings: Sequence[Happening] | None = None,
    watch: Callable[[Stage], None] = lambda stage: None,
) -> Outcome:
    """Play the episode of `seed`, or other `happenings` in its place. An engine that raises is a fault, too."""
    players = cast(seed)
    if happenings is None:
        happenings = Script(seed, players).write()
    outcome = Outcome()
    stage = None
    try:
        stage = Stage(players, seed)
        watch(stage)
        outcome.faults = stage.play(happenings)
    except Exception as error:  # whatever an engine raises is what we are looking for
        where = traceback.extract_tb(error.__traceback__)[-1]
        outcome.faults = [f"{type(error).__name__}: {error} ({where.filename}:{where.lineno} in {where.name})"]
    outcome.flows, outcome.excused = players.flows.begun, players.flows.excused
    outcome.messages, outcome.seconds = players.world.network.sent, players.world.now / 1e9
    return outcome
