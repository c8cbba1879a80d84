"""How far a soak is: a bar on a terminal, lines elsewhere, nothing for machines."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

_EVERY = 10


class Progress(Protocol):
    """What a run tells of itself while it lasts; a context that gives the terminal back."""

    def begin(self, heading: str, moves: int) -> None:
        """The run starts and will make so many moves."""
        ...

    def say(self, line: str) -> None:
        """Something happened."""
        ...

    def moved(self, number: int, lost: int) -> None:
        """So many moves are done, in which the probes lost so many packets."""
        ...

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class SilentProgress:
    """Shows nothing."""

    def begin(self, heading: str, moves: int) -> None:
        """Nothing to show."""

    def say(self, line: str) -> None:
        """Nothing to say."""

    def moved(self, number: int, lost: int) -> None:
        """Nothing to count."""

    def __enter__(self) -> SilentProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return


class PlainProgress(SilentProgress):
    """A line for each thing, and one for every ten moves."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._moves = 0

    def begin(self, heading: str, moves: int) -> None:
        """The heading."""
        self._moves = moves
        self.say(heading)

    def say(self, line: str) -> None:
        """The line."""
        self._stream.write(line + "\n")
        self._stream.flush()

    def moved(self, number: int, lost: int) -> None:
        """Now and then."""
        if number % _EVERY == 0 or number == self._moves:
            self.say(f"{number} of {self._moves} moves, {lost} probe packets lost in them")


class BarProgress(SilentProgress):
    """A bar that goes away at the end, with the lines above it."""

    def __init__(self, console: Console) -> None:
        columns = (
            BarColumn(20), MofNCompleteColumn(), TextColumn("moves, {task.fields[lost]} probe packets lost"),
            TimeRemainingColumn(compact=True),
        )  # fmt: skip
        self._bar = Bar(*columns, console=console, transient=True)
        self._task: TaskID | None = None

    def begin(self, heading: str, moves: int) -> None:
        """The heading, and an empty bar."""
        self._bar.start()
        self.say(heading)
        self._task = self._bar.add_task("", total=moves, lost=0)

    def say(self, line: str) -> None:
        """The line, above the bar."""
        self._bar.console.print(line, highlight=False)

    def moved(self, number: int, lost: int) -> None:
        """The bar grows."""
        if self._task is not None:
            self._bar.update(self._task, completed=number, lost=lost)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def make_progress(*, plain: bool, quiet: bool, console: Console | None = None) -> Progress:
    """The bar on a terminal that can do it; lines elsewhere or when asked for; or nothing."""
    console = console or Console()
    if quiet:
        return SilentProgress()
    if plain or not console.is_terminal or console.is_dumb_terminal:
        return PlainProgress()
    return BarProgress(console)
