"""``sojourn evaluate``: does distributed mobility pay for my network?"""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from sojourn.cli.errors import DONE, WRONG_USAGE, CommandError
from sojourn.cli.sandboxed import claim_output

if TYPE_CHECKING:
    from sojourn.evaluation.fidelity import LabRun
    from sojourn.evaluation.inputs import Inputs
    from sojourn.evaluation.study import Study

Switch = Annotated[bool, Parameter(negative=())]


def evaluate(
    path: Path,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    json: Switch = False,
    simulation: Annotated[bool, Parameter(name="--simulation", negative="--no-simulation")] = True,
    nodes: int | None = None,
    seeds: int | None = None,
    lab: Path | None = None,
) -> int:
    """Compare a central anchor with distributed mobility for your network, with the reasons.

    Takes the topology, the moves and the sessions of a scenario (docs/simulating.md), counts what each way of managing
    mobility costs for them, runs sojourn's engines over the same moves, and leaves a report to forward: report.html,
    with pictures. docs/evaluating.md says how to read it. Takes less than a minute for examples/campus.

    Parameters
    ----------
    path:
        A scenario (TOML), or a folder with a scenario.toml.
    output:
        Directory for the report. Default: sojourn-evaluate-NAME here.
    json:
        Print the report as JSON and nothing else.
    simulation:
        Run the engines as well. Without them the figures come from counts and formulas alone.
    nodes:
        Look at so many nodes; figures are scaled up to the population.
    seeds:
        Independent runs, for confidence intervals.
    lab:
        The report.json of a `sojourn lab run soak`: what links and hosts add, and a picture of simulator against lab.
    """
    for name, value in (("--nodes", nodes), ("--seeds", seeds)):
        if value is not None and value < 1:
            raise CommandError(f"{name} {value} is nothing to look at; give a number of 1 or more", WRONG_USAGE)
    inputs = _inputs(path, nodes, seeds, simulation)
    directory = output or Path(f"sojourn-evaluate-{inputs.name}")
    claim_output(directory)
    study = _survey(inputs, _lab(lab), directory, quiet=json)
    if json:
        from sojourn.evaluation.report import document

        print(json_module.dumps(document(study), indent=1))
    else:
        _print(study, directory)
    return DONE


def _inputs(path: Path, nodes: int | None, seeds: int | None, simulation: bool) -> Inputs:
    from sojourn.files.toml import ConfigurationError

    try:
        from sojourn.evaluation import adapter
    except ModuleNotFoundError as error:
        needed = f"evaluate needs {error.name}, which is not installed. Try: pip install 'sojourn[sim,report]'"
        raise CommandError(needed) from None
    try:
        return adapter.inputs(path, nodes, seeds, simulation)
    except ConfigurationError as error:
        raise CommandError(str(error), WRONG_USAGE) from None


def _lab(file: Path | None) -> LabRun | None:
    from sojourn.evaluation.fidelity import LabReportError, load

    try:
        return None if file is None else load(file)
    except LabReportError as error:
        raise CommandError(str(error), WRONG_USAGE) from None


def _survey(inputs: Inputs, lab: LabRun | None, directory: Path, *, quiet: bool) -> Study:
    """Find out, and leave pictures and report; progress on the error stream."""
    from sojourn.evaluation.inputs import EnginesFailed
    from sojourn.evaluation.models.mobility import NoSteadyState
    from sojourn.evaluation.report import pictures, write
    from sojourn.evaluation.survey import survey
    from sojourn.files.toml import ConfigurationError

    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty(),
    ) as bar:  # fmt: skip
        task = bar.add_task("topology and scenario", total=None)

        def progress(step: str, done: int, total: int) -> None:
            bar.update(task, description=step, completed=done, total=total + 1)  # one more: the pictures

        try:
            study = survey(inputs, progress, lab)
        except (NoSteadyState, ConfigurationError) as error:
            raise CommandError(str(error), WRONG_USAGE) from None
        except EnginesFailed as error:
            raise CommandError(f"{error}; --no-simulation evaluates without the engines") from None
        bar.update(task, description="pictures and report")
        write(study, pictures(study, directory), directory)
    return study


def _print(study: Study, directory: Path) -> None:
    from sojourn.evaluation.findings import Sign, answer, findings
    from sojourn.evaluation.report import question
    from sojourn.evaluation.tables import comparison, validity
    from sojourn.lab.demo_summary import print_table, print_trimmed

    colours = {Sign.GAINS: "green", Sign.LOSES: "red", Sign.SAME: "bold", Sign.NOTE: "bold"}
    found = findings(study)

    def printing(console: Console) -> None:
        console.print(Text(question(study), "bold"))
        console.print(Text(answer(found)))
        for table in (comparison(study), validity(study)):
            print_table(console, table)
        console.print()
        for one in found:
            console.print(Text.assemble("* ", (f"{one.heading}: ", colours[one.sign]), one.sentence))
        console.print()
        console.print(Text(f"report: {directory / 'report.html'}"), soft_wrap=True)

    print_trimmed(Console(width=80, highlight=False), printing)
