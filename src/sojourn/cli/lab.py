"""``sojourn lab``: networks on this machine, without root, in which hosts roam.

``run`` and ``list`` are for scenarios that begin and end by themselves; ``up``, ``roam``, ``exec``, ``shell``,
``status`` and ``down`` for a lab that stays up and is walked by hand.
"""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import App, Parameter

from sojourn.cli.errors import DONE, WRONG_USAGE, CommandError
from sojourn.cli.lab_status import print_status, waits_for_address
from sojourn.cli.sandboxed import claim_output, in_sandbox

app = App(
    name="lab",
    help="Build networks on this machine, without root, and let hosts roam in them.",
    help_format="plaintext",
    result_action="return_int_as_exit_code_else_zero",
)

T = TypeVar("T")
Json = Annotated[bool, Parameter(name="--json", negative=())]
Name = Annotated[str | None, Parameter(name="--name")]
Switch = Annotated[bool, Parameter(negative=())]
_ADDRESS_WITHIN = 3.0
"""Seconds in which a host that is attached has its first address; duplicate address detection takes one."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


@app.command(name="list")
def list_scenarios(*, json_output: Json = False) -> int:
    """Say which scenarios and topologies come with sojourn.

    Parameters
    ----------
    json_output:
        Answer with JSON.
    """
    from sojourn.lab.registry import scenarios
    from sojourn.lab.topology import builtin_topologies

    found = scenarios()
    topologies = builtin_topologies()
    if json_output:
        answer = {
            "scenarios": {name: entry.description for name, entry in found.items()},
            "topologies": topologies,
        }
        print(json.dumps(answer, indent=2))
        return DONE
    print("scenarios, for: sojourn lab run NAME")
    for name, entry in found.items():
        _print_entry(name, entry.description)
    print("topologies, for: sojourn lab up NAME")
    for name, description in topologies.items():
        _print_entry(name, description)
    return DONE


def _print_entry(name: str, description: str) -> None:
    begin = f"  {name:<14} "
    indent = " " * len(begin)
    print(textwrap.fill(description, 80, initial_indent=begin, subsequent_indent=indent, break_on_hyphens=False))


@app.command
def run(
    scenario: str,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    json_output: Json = False,
    plain: Switch = False,
    buffer: Switch = False,
    strict: Switch = False,
    root: Switch = False,
    **extra: str,
) -> int:
    """Run a scenario, or play the script of a topology file, and write a report.

    Parameters
    ----------
    scenario:
        A name from ``sojourn lab list``, or a topology file (TOML).
    output:
        Directory for report, captures, logs and events. Default: sojourn-SCENARIO-TIME here.
    json_output:
        Print one JSON document and nothing else.
    plain:
        No live view, even on a terminal.
    buffer:
        Scenarios walk and soak: routers keep the packets of a host that is between two of them.
    strict:
        Scenarios laptop, bus, flows and drain: fail by limits that a machine keeps that has nothing else to do.
    root:
        Make namespaces as root, for kernels that forbid user namespaces.
    extra:
        Options of the scenario itself, such as --hosts 10.
    """
    from sojourn.lab.registry import ScenarioOptions, scenarios

    known = scenarios()
    extra |= {"buffer": "true"} if buffer else {}
    extra |= {"strict": "true"} if strict else {}
    name = Path(scenario).stem if scenario.endswith(".toml") else scenario
    directory = output or Path(f"sojourn-{name}-{time.strftime('%Y%m%d-%H%M%S')}")
    options = ScenarioOptions(directory, json_output, plain, {key: str(value) for key, value in extra.items()})
    if scenario in known:
        function = known[scenario].function
        claim_output(directory)
        return in_sandbox(lambda: function(options), root)
    topology = _topology(scenario, [*known])
    if extra:
        wrong = ", ".join(f"--{key.replace('_', '-')}" for key in extra)
        raise CommandError(f"a topology file takes no {wrong}", WRONG_USAGE)
    claim_output(directory)

    def played() -> int:
        from sojourn.lab.play import play

        return play(topology, options)

    return in_sandbox(played, root)


@app.command
def up(
    topology: str = "walk",
    /,
    *,
    name: Name = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    capture: Literal["none", "signalling", "all"] = "signalling",
    daemons: bool = True,
    root: Switch = False,
    json_output: Json = False,
) -> int:
    """Build a network that stays up in the background.

    Parameters
    ----------
    topology:
        A topology file (TOML), or the name of a built-in one.
    name:
        What to call it; several may be up. Default: the name in the topology.
    output:
        Directory for captures, logs and events. Default: sojourn-lab-NAME here.
    capture:
        What to capture at access routers, database, servers and hosts.
    daemons:
        Run the mobility daemons; without, the access routers are plain ones that advertise a prefix each.
    root:
        Make namespaces as root, for kernels that forbid user namespaces.
    json_output:
        Answer with JSON.
    """
    from sojourn.lab import sessions

    checked = _topology(topology, [])
    chosen = name or checked.name
    if not _NAME.fullmatch(chosen):
        expected = "a plain word of letters, digits, dots, dashes and underscores, 32 at most"
        raise CommandError(f'--name: expected {expected}, found "{chosen}"', WRONG_USAGE)
    source = str(Path(topology).absolute()) if Path(topology).exists() else topology
    directory = (output or Path(f"sojourn-lab-{chosen}")).absolute()

    def begin() -> dict[str, Any]:
        place = sessions.runtime_directory() / chosen
        specification = sessions.Specification(
            chosen,
            str(place),
            source,
            str(directory),
            None if daemons else False,
            "" if capture == "none" else capture,
            root,
        )
        if chosen in sessions.running():
            raise sessions.SessionError(f'a lab "{chosen}" is up already; take it down or choose another --name')
        for other in sessions.running():
            if sessions.ask(other, {"verb": "status"})["output"] == str(directory):
                raise CommandError(f'the lab "{other}" writes to {directory}; name another directory with --output')
        claim_output(directory)
        sessions.start(specification)
        return _with_addresses(chosen)

    status_now = _asking(begin)
    if json_output:
        print(json.dumps(status_now, indent=2))
    else:
        print_status(status_now)
    return DONE


@app.command
def roam(
    node: str,
    router: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    outage: str = "0",
    carrier: Switch = False,
    notice: bool = True,
    announce: Switch = False,
    name: Name = None,
    json_output: Json = False,
) -> int:
    """Move a host of a lab that is up into the cell of another access router.

    Parameters
    ----------
    node:
        The host.
    router:
        The access router; "-" for no cell at all.
    outage:
        How long the host is nowhere in between, such as 50ms.
    carrier:
        The host's link goes down and up.
    notice:
        The old router sees the host leave.
    announce:
        The old router is told before, and the host goes when the new one is ready (fast handover, RFC 5949).
    name:
        Which lab, when several are up.
    json_output:
        Answer with JSON.
    """
    from sojourn.lab.quantities import duration

    try:
        nanoseconds = duration(float(outage) if outage.replace(".", "", 1).isdigit() else outage)
    except ValueError as error:
        raise CommandError(f"--outage: {error}", WRONG_USAGE) from None
    request = {
        "verb": "roam",
        "host": node,
        "router": router,
        "outage": nanoseconds / 1e9,
        "carrier": carrier,
        "notice": notice,
        "announce": announce,
    }
    answer = _ask(name, request)
    if json_output:
        print(json.dumps({key: value for key, value in answer.items() if key != "ok"}))
    elif not answer["moved"]:
        print(f"{node}: at {router} already" if router != "-" else f"{node}: in no cell already")
    else:
        print(f"{answer['host']}: {answer['from'] or '-'} -> {answer['to'] or '-'} in {answer['took_ms']} ms")
    return DONE


@app.command(name="exec")
def execute(
    node: str,
    /,
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    name: Name = None,
) -> int:
    """Run a command inside a node of a lab that is up, with our standard streams and its exit status.

    Parameters
    ----------
    node:
        Any node of the lab.
    command:
        The command and its arguments, after "--".
    name:
        Which lab, when several are up.
    """
    from sojourn.lab import sessions, terminal

    if not command:
        raise CommandError("expected a command, as in: sojourn lab exec NODE -- COMMAND", WRONG_USAGE)
    return _asking(lambda: terminal.execute(sessions.choose(name), node, command))


@app.command
def shell(node: str, /, *, name: Name = None) -> int:
    """Open a shell inside a node of a lab that is up.

    Parameters
    ----------
    node:
        Any node of the lab.
    name:
        Which lab, when several are up.
    """
    from sojourn.lab import sessions, terminal

    program = os.environ.get("SHELL") or "/bin/sh"
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _asking(lambda: terminal.execute(sessions.choose(name), node, [program]))
    return _asking(lambda: terminal.shell(sessions.choose(name), node, [program]))


@app.command
def status(*, name: Name = None, json_output: Json = False) -> int:
    """Say which labs are up, and where hosts and daemons are.

    Parameters
    ----------
    name:
        One lab only.
    json_output:
        Answer with JSON.
    """
    from sojourn.lab import sessions

    def look() -> list[dict[str, Any]]:
        names = [sessions.choose(name)] if name else sessions.running()
        return [sessions.ask(each, {"verb": "status"}) for each in names]

    labs = _asking(look)
    if json_output:
        print(json.dumps(labs, indent=2))
        return DONE
    for index, lab in enumerate(labs):
        if index:
            print()
        print_status(lab)
    if not labs:
        print("no lab is up")
    return DONE


@app.command
def down(
    *,
    name: Name = None,
    every: Annotated[bool, Parameter(name="--all", negative=())] = False,
    json_output: Json = False,
) -> int:
    """Take a lab down; nothing of it is left but its output directory.

    Parameters
    ----------
    name:
        Which lab, when several are up.
    every:
        All of them.
    json_output:
        Answer with JSON.
    """
    from sojourn.lab import sessions

    def end() -> list[str]:
        names = sessions.running() if every else [sessions.choose(name)]
        for each in names:
            sessions.down(each)
        return names

    names = _asking(end)
    if json_output:
        print(json.dumps({"down": names}))
    else:
        print(f"down: {', '.join(names)}" if names else "no lab is up")
    return DONE


def _with_addresses(name: str) -> dict[str, Any]:
    """The status of a lab that has just come up, when its attached hosts have addresses or have had time enough."""
    from sojourn.lab import sessions

    deadline = time.monotonic() + _ADDRESS_WITHIN
    while True:
        status_now = sessions.ask(name, {"verb": "status"})
        if time.monotonic() > deadline or not any(map(waits_for_address, status_now["nodes"])):
            return status_now
        time.sleep(0.1)


def _topology(source: str, scenarios: list[str]) -> Any:
    from sojourn.lab.topology import TopologyError, load

    try:
        return load(source)
    except TopologyError as error:
        hint = f"\nscenarios: {', '.join(scenarios)}" if scenarios and not source.endswith(".toml") else ""
        raise CommandError(f"{error}{hint}", WRONG_USAGE) from None
    except OSError as error:
        raise CommandError(f"{source}: {error.strerror}", WRONG_USAGE) from None


def _ask(name: str | None, request: dict[str, Any]) -> dict[str, Any]:
    from sojourn.lab import sessions

    return _asking(lambda: sessions.ask(sessions.choose(name), request))


def _asking(action: Callable[[], T]) -> T:
    from sojourn.lab.sessions import SessionError

    try:
        return action()
    except SessionError as error:
        raise CommandError(str(error)) from None
