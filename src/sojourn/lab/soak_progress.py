"""How far a soak is: a bar on a terminal, lines elsewhere, nothing for machines."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

_REST = 28
"""Columns of the bar, the numbers before the words, and the time after them."""


class Progress(Protocol):
    """What a run tells of itself while it lasts; a context that gives the terminal back."""

    def begin(self, heading: str, total: int, every: int = 10) -> None:
        """The run starts; it is over when `total` is reached. Where there is no bar, a line for `every` so many."""
        ...

    def say(self, line: str) -> None:
        """Something happened."""
        ...

    def advance(self, done: int, words: str) -> None:
        """So much is done; `words` follow the numbers: what is counted, and what there is to say."""
        ...

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class SilentProgress:
    """Shows nothing."""

    def begin(self, heading: str, total: int, every: int = 10) -> None:
        """Nothing to show."""

    def say(self, line: str) -> None:
        """Nothing to say."""

    def advance(self, done: int, words: str) -> None:
        """Nothing to count."""

    def __enter__(self) -> SilentProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return


class PlainProgress(SilentProgress):
    """A line for each thing, and now and then one that says how far it is."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._total = self._every = self._told = 0

    def begin(self, heading: str, total: int, every: int = 10) -> None:
        """The heading."""
        self._total, self._every, self._told = total, every, 0
        self.say(heading)

    def say(self, line: str) -> None:
        """The line."""
        self._stream.write(line + "\n")
        self._stream.flush()

    def advance(self, done: int, words: str) -> None:
        """Now and then."""
        if done - self._told >= self._every or (done >= self._total > self._told):
            self._told = done
            self.say(f"{done} of {self._total} {words}")


class BarProgress(SilentProgress):
    """A bar that goes away at the end, with the lines above it."""

    def __init__(self, console: Console) -> None:
        columns = (
            BarColumn(10), MofNCompleteColumn(),
            TextColumn("{task.fields[words]}"), TimeRemainingColumn(compact=True),
        )  # fmt: skip
        self._bar = Bar(*columns, console=console, transient=True)
        self._task: TaskID | None = None

    def begin(self, heading: str, total: int, every: int = 10) -> None:
        """The heading, and an empty bar."""
        self._bar.start()
        self.say(heading)
        self._task = self._bar.add_task("", total=total, words="")

    def say(self, line: str) -> None:
        """The line, above the bar."""
        self._bar.console.print(line, highlight=False)

    def advance(self, done: int, words: str) -> None:
        """The bar grows."""
        if self._task is not None:
            room = self._bar.console.width - _REST
            cut = words if len(words) <= room else words[: room - 1] + "…"
            self._bar.update(self._task, completed=done, words=cut)

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
