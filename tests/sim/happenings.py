"""What can happen in an episode, as plain values: they are printed, shrunk, replayed and pasted into tests.

Every happening makes sense in every state of the world (whoever is dead dies of nothing), so that any of them may be
left out. `then` is the time that passes afterwards. What lasts (`for_`) ends by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sojourn.wire.units import Duration


@dataclass(frozen=True, slots=True)
class Roam:
    """A node goes to a link; `told`: the one that it left noticed; `gap`: it was nowhere for so long."""

    node: str
    place: str
    interface: str = "acc0"
    sighting: str = "station"
    told: bool = True
    gap: Duration = 0
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Leave:
    """A node goes nowhere, with or without a word."""

    node: str
    told: bool = True
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Show:
    """A node gives a sign of life."""

    node: str
    sighting: str = "neighbour"
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Late:
    """A frame that a node sent somewhere else long ago is seen there now."""

    node: str
    place: str
    interface: str = "acc0"
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Expect:
    """Somebody tells the router where a node is that it is about to leave for another place."""

    node: str
    place: str
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Begin:
    """A node begins a session from the prefix that is preferred."""

    node: str
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class End:
    """A node ends its oldest session."""

    node: str
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Die:
    """A process is killed after `fuse` more things that it does; with `power` the whole machine goes, at once."""

    machine: str
    fuse: int = 0
    power: bool = False
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Boot:
    """A machine that is dead comes back, with or without what it stored."""

    machine: str
    store: bool = True
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Pause:
    """A process stands still."""

    machine: str
    for_: Duration
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Refuse:
    """Kernel, disk or access link of a machine refuse every `nth` time."""

    machine: str
    what: str
    nth: int
    for_: Duration
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class LinkFails:
    """An access link has no carrier."""

    machine: str
    interface: str
    for_: Duration
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A wall clock is set."""

    machine: str
    by: Duration
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Drift:
    """A clock runs at another rate, in parts per million."""

    machine: str
    rate: int
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Storm:
    """From now on messages are lost, repeated, and late by up to `jitter`; all zero: fine weather."""

    loss: float
    repeats: float
    jitter: Duration
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """Nothing passes from one side to the other, nor back if `both`."""

    here: tuple[str, ...]
    there: tuple[str, ...]
    both: bool
    for_: Duration
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Operate:
    """An operator gives a command, one of the cast's; with `arguments`, one of `Cast.operations`."""

    machine: str
    verb: str
    arguments: tuple[tuple[str, str], ...] = ()
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Fail:
    """Something that is no machine fails: one of the cast's `failures`."""

    what: str
    luck: int
    for_: Duration
    then: Duration = 0


@dataclass(frozen=True, slots=True)
class Attack:
    """A stranger sends something that he made up or overheard; `luck` says what exactly."""

    verb: str
    luck: int
    then: Duration = 0


Happening: TypeAlias = (
    Roam
    | Leave
    | Show
    | Expect
    | Late
    | Begin
    | End
    | Die
    | Boot
    | Pause
    | Refuse
    | LinkFails
    | Step
    | Drift
    | Storm
    | Cut
    | Operate
    | Fail
    | Attack
)
