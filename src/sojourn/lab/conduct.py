"""The whole of a scenario: its options, what it plays, what it leaves, and its exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from rich.console import Console

from sojourn.control.client import ControlError
from sojourn.lab.demo_summary import conclude
from sojourn.lab.interruption import BrokeOff, interruptible
from sojourn.lab.live import LiveView, View, make_view
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.report import Report

Own = TypeVar("Own")
"""What a scenario is told beside what all are told."""


def conduct(name: str, options: ScenarioOptions, play: Callable[[], Report]) -> int:
    """The exit status of `play`, whose report is left in the directory of the options and printed.

    A scenario takes its own options out of ``options.extra`` first; what is left there is refused. Where a run
    breaks off or is interrupted, one sentence says so.
    """
    return _conduct(name, options, lambda: (play(), None))


def conduct_with(
    name: str, options: ScenarioOptions, take: Callable[[ScenarioOptions], Own], play: Callable[[Own], Report]
) -> int:
    """The same for one with options of its own, which `take` takes out first. A ValueError of it is told, status 2."""
    try:
        own = take(options)
    except ValueError as error:
        print(f"sojourn: {name}: {error}", file=sys.stderr)
        return 2
    return conduct(name, options, lambda: play(own))


def conduct_before(name: str, options: ScenarioOptions, play: Callable[[View], Report]) -> int:
    """The same for one that shows what happens; tables are as wide as a terminal that it was shown on."""

    def watched() -> tuple[Report, Console | None]:
        console = Console()
        with closing(make_view(plain=options.plain, quiet=options.json, console=console)) as view:
            return play(view), console if isinstance(view, LiveView) else None

    return _conduct(name, options, watched)


def _conduct(name: str, options: ScenarioOptions, play: Callable[[], tuple[Report, Console | None]]) -> int:
    options.strict = options.extra.pop("strict", "") == "true" or options.strict
    if options.extra:
        words = " ".join(f"--{word}" for word in options.extra)
        print(f"sojourn: {name} does not know {words}; 'sojourn lab list' says what it takes", file=sys.stderr)
        return 2

    def run() -> int:
        options.output.mkdir(parents=True, exist_ok=True)
        try:
            report, console = play()
        except (BrokeOff, ControlError, OSError) as error:
            print(f"sojourn: {name} broke off: {error}", file=sys.stderr)
            return 1
        report.strict = options.strict
        return conclude(report, options.output, as_json=options.json, console=console)

    return interruptible(run, options.output)
