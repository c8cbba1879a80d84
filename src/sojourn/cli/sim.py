"""``sojourn sim``: the engines of the daemon in simulated time."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from sojourn.cli.errors import DONE, FAILED, WRONG_USAGE, CommandError

if TYPE_CHECKING:
    from sojourn.sim.run import Progress as HowFar
    from sojourn.sim.scenario import Scenario

app = App(
    name="sim",
    help="Run the same engines in simulated time, for any number of nodes.",
    help_format="plaintext",
    result_action="return_int_as_exit_code_else_zero",
)
app.command(
    "sojourn.cli.sim_sweep:sweep",
    name="sweep",
    help="Simulate a scenario with all combinations of the values in its table [sweep.grid], each with all seeds.",
)

Switch = Annotated[bool, Parameter(negative=())]
_WIDTH = 80


@app.command
def run(
    file: Path,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    jobs: int | None = None,
    resume: Switch = False,
    rows: Annotated[bool, Parameter(negative="--no-rows")] = True,
    json_output: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Simulate a scenario once: every attachment of every node, with all messages that it causes.

    Leaves summary.json and one row for each handover (Parquet with the extra "results") in a directory. Ctrl-C loses
    only the parts that are being simulated: the same command with --resume goes on. Exit code 1 when a part failed.

    Parameters
    ----------
    file:
        The scenario (TOML), or a folder with a scenario.toml; see docs/simulating.md.
    output:
        The directory for results. Default: sojourn-sim-NAME here.
    jobs:
        Processes at a time; as many as this machine has processors when absent.
    resume:
        Go on where an earlier run into the same directory stopped.
    rows:
        Keep one row for each handover.
    json_output:
        Answer with the summary as JSON.
    """
    from sojourn.sim.results import NotOurs
    from sojourn.sim.run import simulate

    if jobs is not None and jobs < 1:
        raise CommandError("--jobs: expected a number from 1 on", WRONG_USAGE)
    scenario, workload = _load(file)
    directory = output or Path(f"sojourn-sim-{scenario.name}")
    try:
        with _progress(scenario.name) as progress:
            summary = simulate(
                scenario.topology(),
                workload,
                scenario.settings,
                directory,
                seed=scenario.seed,
                jobs=jobs,
                progress=progress,
                wire=scenario.wire,
                warm_up=scenario.warm_up,
                rows=rows,
                resume=resume,
            )
    except NotOurs as refusal:
        raise CommandError(str(refusal), WRONG_USAGE) from None
    except KeyboardInterrupt:
        print(f"stopped; what is done is in {directory}, go on with --resume", file=sys.stderr)
        raise
    repairs = (*scenario.topology().repairs, *workload.repairs)
    if json_output:
        print(
            json.dumps({"scenario": scenario.name, "output": str(directory), "repairs": repairs, **summary}, indent=1)
        )
    else:
        _tell(scenario.name, summary, repairs, directory)
    return FAILED if summary["failed"] else DONE


def _load(file: Path) -> tuple[Scenario, Any]:
    """The scenario and its workload. Raises CommandError."""
    from sojourn.files.toml import ConfigurationError

    try:
        from sojourn.sim.scenario import load
    except ModuleNotFoundError as error:
        needed = f"sim needs {error.name}, which is not installed. Try: pip install 'sojourn[sim]'"
        raise CommandError(needed) from None
    try:
        scenario = load(file, grid=False)
        return scenario, scenario.workload(scenario.topology())
    except ConfigurationError as error:
        raise CommandError(str(error), WRONG_USAGE) from None


@contextmanager
def _progress(name: str) -> Iterator[Callable[[HowFar], None]]:
    """A bar for a person, nothing otherwise."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("part {task.fields[part]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        row = bar.add_task(name, total=1.0, part="")

        def tell(progress: HowFar) -> None:
            part = f"{min(progress.shards + 1, progress.planned)} of {progress.planned}"
            bar.update(row, completed=progress.share, part=part)

        yield tell


# --- the summary for people -------------------------------------------------------------------------------------------


def _tell(name: str, summary: Mapping[str, Any], repairs: tuple[str, ...], directory: Path) -> None:
    from rich.console import Console

    console = Console(width=_WIDTH, highlight=False, markup=False)
    console.print(
        f"{name}: {summary['mode']}, {summary['nodes']} nodes at {summary['places']} places, seed {summary['seed']}"
    )
    console.print(_latencies(summary))
    console.print(_counts(summary))
    if failures := summary.get("failures"):
        console.print(_failures(failures))
    for repair in repairs:
        console.print(f"mended: {repair}")
    for failed in summary["failed"]:
        console.print(f"nodes {failed['first']} to {failed['last']} failed: {failed['reason']}")
    console.print(f"event log {summary['log']}; everything is in {directory}")


def _table(*columns: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=_WIDTH)
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


_QUANTILES = ("mean", "p50", "p95", "p99", "most")
_DISTRIBUTIONS = {
    "new_prefix_ms": "new prefix announced, ms",
    "registration_ms": "registration confirmed, ms",
    "old_prefix_ms": "old prefix restored, ms",
    "contacted": "previous routers told",
    "anchors_at_handover": "old prefixes in use",
    "messages_per_handover": "messages for it",
    "octets_per_handover": "octets for it",
}


def _latencies(summary: Mapping[str, Any]) -> Any:
    """What a handover takes."""
    table = _table(f"of {summary['handovers']} handovers", *_QUANTILES)
    for key, title in _DISTRIBUTIONS.items():
        if summary[key]["count"]:
            table.add_row(title, *(_number(summary[key][quantile]) for quantile in _QUANTILES))
    return table


def _counts(summary: Mapping[str, Any]) -> Any:
    """The rest."""
    signalling, sessions, speed = summary["signalling"], summary["sessions"], summary["speed"]
    rows = {
        "messages a second, all together": signalling["messages_per_s"],
        "messages a handover, with retirement and upkeep": signalling["messages_per_handover"],
        "octets a second": signalling["octets_per_s"],
        "old prefixes in use, of a node at any time": summary["anchors"],
        "share of session time in tunnels": sessions["tunnelled_share"],
        "one way from the correspondent, directly, ms": sessions["direct_ms"]["mean"],
        "the same by way of the anchor, ms": sessions["actual_ms"]["mean"],
        "sessions": sessions["begun"],
        "sessions broken by a move": sessions["broken"],
        "events": speed["events"],
        "events in a second of processor time": speed["events_per_cpu_s"],
        "seconds of processor time": speed["cpu_s"],
        "most memory of a process, MiB": speed["peak_mib"],
    }
    return _list(f"in {summary['seconds']:.0f} s after the warm-up", rows)


def _failures(failures: Mapping[str, Any]) -> Any:
    """What came of routers that died."""
    rows = {
        "sessions whose anchor died": failures["sessions"],
        "of these lost": failures["lost"],
        "the others stood still, mean, s": failures["silence_s"]["mean"],
        "at most, s": failures["silence_s"]["most"],
        "sessions of nodes at the dead router": failures["sessions_there"],
        "of these lost (there)": failures["lost_there"],
        "the others stood still (there), mean, s": failures["silence_there_s"]["mean"],
        "pools taken over by partners": failures["takeovers"],
        "messages about who is there": failures["messages"],
    }
    return _list(f"{failures['deaths']} routers died", rows)


def _list(heading: str, rows: Mapping[str, float | None]) -> Any:
    """A number a line, where there is one."""
    table = _table(heading, "")
    for title, value in rows.items():
        if value is not None:
            table.add_row(title, _number(value))
    return table


def _number(value: float | None) -> str:
    """Four digits, or as many as a whole number has."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 1000 or value == int(value) else f"{value:.4g}"
