"""A walk while it happens: on a terminal a picture that moves, elsewhere a line for each thing that happened.

`Stage` is what there is to see; whoever runs the walk and the traffic keeps it true. The views only read it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sojourn.lab.traffic import Happening
from sojourn.wire.units import MILLISECOND, SECOND, Instant

COLOURS = ("bright_blue", "yellow", "green", "magenta", "cyan")
_QUIET = 300 * MILLISECOND
"""A session that heard nothing for so long shows it."""
_LOG_LINES = 5
_SESSIONS = 7
_BORDER = 2
_MAP_LINES = 8
_MAP_WIDTH = 76
_ECHO = 2
"""Columns that stay free: the terminal's own ``^C`` must not begin a new line, or the picture would not go away."""
"""Columns from which on the map has room beside the prefixes."""
_LEAST_WIDTH, _LEAST_LINES = 46, 9
"""Of a picture; where there is less, one line must do."""


@dataclass(slots=True)
class SeenPrefix:
    """A prefix as the host and the network have it."""

    prefix: str
    anchor: str
    state: str
    """``preferred``, ``deprecated``, ``retired``."""


@dataclass(slots=True)
class Session:
    """A flow as the live view shows it."""

    title: str
    anchor: str
    kind: str
    progress: Mapping[str, Any] = field(default_factory=dict)
    outcome: str = ""
    """Empty while it runs."""


@dataclass(slots=True)
class Stage:
    """All that a view shows."""

    title: str
    routers: Sequence[str]
    host: str
    mobility: bool
    registry: str = "cmd"
    """Where routers register hosts, if they do."""
    began: Instant = field(default_factory=time.monotonic_ns)
    at: str | None = None
    phase: str = ""
    prefixes: dict[str, SeenPrefix] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    log: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=_LOG_LINES))

    def seconds(self) -> float:
        """Since the beginning."""
        return (time.monotonic_ns() - self.began) / SECOND

    def colour(self, router: str) -> str:
        """The colour of a router and of all that it anchors."""
        return COLOURS[self.routers.index(router) % len(COLOURS)] if router in self.routers else "white"

    def take_prefix(self, prefix: str, anchor: str, state: str) -> bool:
        """A prefix has a new state; False when that is nothing new.

        A router that takes its advertisement back makes the host deprecate what retired: that stays retired.
        """
        before = self.prefixes.get(prefix)
        if before is not None and (before.state == state or (before.state, state) == ("retired", "deprecated")):
            return False
        self.prefixes[prefix] = SeenPrefix(prefix, anchor, state)
        return True

    def take(self, happening: Happening) -> None:
        """What the traffic process says of the sessions."""
        if happening["event"] == "status":
            for flow, progress in happening["flows"].items():
                if flow in self.sessions:
                    self.sessions[flow].progress = progress
        elif happening["event"] == "ended" and happening["flow"] in self.sessions:
            session = self.sessions[happening["flow"]]
            whole = happening["kind"] == "download" and happening["intact"]
            given_up = happening["outcome"] == "timeout"
            session.outcome = "checksum right" if whole else "given up" if given_up else happening["outcome"]


class View(Protocol):
    """How a walk is shown."""

    def open(self, stage: Stage) -> None:
        """From now on show this stage."""
        ...

    def say(self, line: str) -> None:
        """Something happened."""
        ...

    def close(self) -> None:
        """Show no more."""
        ...


class SilentView:
    """Shows nothing."""

    def open(self, stage: Stage) -> None:
        """Nothing to show."""

    def say(self, line: str) -> None:
        """Nothing to say."""

    def close(self) -> None:
        """Nothing to end."""


class PlainView:
    """Lines of text, for files, pipes and people who asked for them."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._stage: Stage | None = None
        self._writing = threading.Lock()

    def open(self, stage: Stage) -> None:
        """A heading."""
        self._stage = stage
        self._write(stage.title)

    def say(self, line: str) -> None:
        """Seconds since the beginning, and what happened."""
        seconds = self._stage.seconds() if self._stage else 0.0
        self._write(f"{seconds:7.2f} s  {line}")

    def close(self) -> None:
        """Nothing is left to end."""

    def _write(self, line: str) -> None:
        """Whole lines: the walk and the reader of the traffic both have something to say."""
        with self._writing:
            self._stream.write(line + "\n")
            self._stream.flush()


class LiveView:
    """The whole stage, redrawn a few times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._stage: Stage | None = None

    def open(self, stage: Stage) -> None:
        """Start drawing, or go on with another stage."""
        self._stage = stage
        if self._live is None:
            self._live = Live(get_renderable=self._draw, console=self._console, refresh_per_second=8, transient=True)
            self._live.start()

    def say(self, line: str) -> None:
        """The latest lines stay in view."""
        if self._stage is not None:
            self._stage.log.append((self._stage.seconds(), line))

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def __enter__(self) -> LiveView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _draw(self) -> RenderableType:
        return draw(self._stage, *self._console.size) if self._stage is not None else Text("")


def draw(stage: Stage, width: int = 80, height: int = 24) -> RenderableType:
    """The stage as one picture that fits into a terminal of this size, with a line to spare for the cursor.

    What does not fit is left out: first the latest events, then the map, at last all but one line.
    """
    width, lines = min(80, width - _ECHO), height - 1
    here = f"{stage.host} at {stage.at or '-'}"
    if width < _LEAST_WIDTH or lines < _LEAST_LINES:
        return Text(f"{stage.seconds():.0f} s  {here}  {stage.phase}", no_wrap=True, overflow="ellipsis")
    narrow = width < _MAP_WIDTH
    sessions = list(stage.sessions.values())
    prefixes = list(stage.prefixes.values())
    left = lines - _BORDER - 1 - 1 - min(len(sessions), _SESSIONS)  # a line between the parts, a heading
    with_map = not narrow and left >= _MAP_LINES
    left -= max(_MAP_LINES if with_map else 0, 1 + len(prefixes))
    shown = _SESSIONS if left >= 0 else max(1, min(len(sessions), _SESSIONS) + left)
    top: RenderableType = _prefixes(stage)
    if with_map:
        grid = Table.grid(expand=True)
        grid.add_column(ratio=4)
        grid.add_column(ratio=5)
        grid.add_row(_map(stage), top)
        top = grid
    parts = [top, Text(""), _sessions(sessions[-shown:], stage, narrow)]
    if left > 1:
        parts.append(_log(stage, min(left - 1, _LOG_LINES)))
    subtitle = f"{stage.seconds():.0f} s  {stage.phase}" if with_map else f"{stage.seconds():.0f} s  {here}"
    return Panel(Group(*parts), title=stage.title, subtitle=subtitle, width=width, border_style="dim")


def _map(stage: Stage) -> Text:
    """Server and database above, the core, the access routers, and the host under one of them."""
    width = 10
    picture = Text()
    picture.append(
        "server".center(width * 3 // 2) + (stage.registry if stage.mobility else "").center(width * 3 // 2) + "\n"
    )
    picture.append("\\".center(width * 3 // 2) + ("/" if stage.mobility else "").center(width * 3 // 2) + "\n", "dim")
    picture.append("core".center(width * 3) + "\n")
    picture.append("/".center(width) + "|".center(width) + "\\".center(width) + "\n", "dim")
    for router in stage.routers:
        style = f"bold {stage.colour(router)}" + (" reverse" if router == stage.at else "")
        name = f" {router} "
        left = (width - len(name)) // 2
        picture.append(" " * left).append(name, style).append(" " * (width - left - len(name)))
    picture.append("\n")
    for router in stage.routers:
        here = router == stage.at
        picture.append(("((o))" if here else "").center(width), stage.colour(router) if here else "")
    picture.append("\n")
    for router in stage.routers:
        picture.append((stage.host if router == stage.at else "").center(width), "bold")
    return picture


def _prefixes(stage: Stage) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="dim")
    for title in ("prefix of the host", "state", "way"):
        table.add_column(title, no_wrap=True)
    for seen in list(stage.prefixes.values()):
        colour = stage.colour(seen.anchor)
        style = {"preferred": f"bold {colour}", "retired": "dim strike"}.get(seen.state, colour)
        table.add_row(Text(seen.prefix, style), Text(seen.state, style), Text(_way(stage, seen), style))
    return table


def _way(stage: Stage, seen: SeenPrefix) -> str:
    if seen.state == "retired":
        return ""
    if seen.anchor == stage.at:
        return f"{seen.anchor}, plain"
    if not stage.mobility:
        return f"ends at {seen.anchor}"
    return f"{seen.anchor} => {stage.at or '?'}"


def _sessions(sessions: Sequence[Session], stage: Stage, narrow: bool) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_edge=False, header_style="dim", expand=True)
    table.add_column("session", no_wrap=True, width=10 if narrow else 14)
    if not narrow:
        table.add_column("anchor", no_wrap=True, width=6)
    table.add_column("progress", no_wrap=True, ratio=3)
    table.add_column("", no_wrap=True, ratio=2)
    for session in sessions:
        silent = int(session.progress.get("silent", 0))
        quiet = not session.outcome and silent > _QUIET
        state = session.outcome or (f"silent for {silent / SECOND:.1f} s" if quiet else "alive")
        good = session.outcome.startswith(("complete", "stopped", "checksum")) or not (session.outcome or quiet)
        anchor = () if narrow else (Text(session.anchor, stage.colour(session.anchor)),)
        style = "green" if good else "bold red"
        table.add_row(session.title, *anchor, progress_text(session, narrow), Text(state, style))
    return table


def progress_text(session: Session, narrow: bool = False) -> str:
    """What a session achieved so far, in a few words; fewer where it is `narrow`."""
    progress = session.progress
    if not progress:
        return ""
    if session.kind == "download":
        share = progress["received"] / max(1, progress["octets"])
        bar = 10 if narrow else 20
        return f"{'█' * int(bar * share):<{bar}} {100 * share:3.0f} %"
    up, down = progress["up"], progress["down"]
    if session.kind == "exchange":
        trip = progress.get("round_trip", 0) / MILLISECOND
        return f"{up['arrived']} lines, " + ("" if narrow else "last back in ") + f"{trip:.0f} ms"
    # What is on the way is not lost: so few packets are not worth a word.
    missing = [max(0, one["sent"] - one["arrived"] - 3) for one in (down, up)]
    packets = "" if narrow else " packets"
    return f"{down['arrived']}/{up['arrived']}{packets}, lost {missing[0]}/{missing[1]}"


def _log(stage: Stage, count: int) -> Text:
    """An empty line and the latest `count` events, always as many lines."""
    lines = Text(no_wrap=True, overflow="ellipsis")
    latest = list(stage.log)[-count:]
    for seconds, line in latest:
        lines.append(f"\n{seconds:6.1f}  ", "dim").append(line)
    return lines.append("\n" * (count - len(latest)))


def make_view(*, plain: bool, quiet: bool, console: Console | None = None) -> View:
    """The live view on a terminal that can do it; lines of text elsewhere or when asked for; or nothing."""
    console = console or Console()
    if quiet:
        return SilentView()
    if plain or not console.is_terminal or console.is_dumb_terminal:
        return PlainView()
    return LiveView(console)
