"""``sojourn check``: what is wrong with a configuration file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sojourn.cli.errors import DONE, WRONG_USAGE, CommandError


def check(
    file: Path | None = None,
    /,
    *,
    offline: Annotated[bool, Parameter(negative=())] = False,
    schema: Annotated[bool, Parameter(negative=())] = False,
    yang: Annotated[bool, Parameter(negative=())] = False,
    json_output: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Say what is wrong with a configuration file, without starting anything.

    All mistakes are told at once, each with file, line, key, what is wrong and what was expected. The exit code is 0
    for a file that can be used and 2 for one that cannot.

    Parameters
    ----------
    file:
        The configuration file (TOML).
    offline:
        Do not look whether the addresses and interfaces are those of this machine.
    schema:
        Print the JSON Schema of the file instead, for editors that complete and check while typing.
    yang:
        Print the YANG module of configuration and state instead; `sojourn show yang` has the data.
    json_output:
        Answer with JSON.
    """
    from dataclasses import asdict

    from sojourn.daemon import machine
    from sojourn.daemon.configuration import Configuration, load
    from sojourn.daemon.model import ARTICLES, ROLES
    from sojourn.daemon.reference import json_schema
    from sojourn.files.toml import ConfigurationError, Problem

    if schema:
        print(json.dumps(json_schema(), indent=2))
        return DONE
    if yang:
        from sojourn.daemon.yang import module

        print(module(), end="")
        return DONE
    if file is None:
        raise CommandError("check needs a file, for example: sojourn check /etc/sojourn/ar1.toml", WRONG_USAGE)

    configuration: Configuration | None = None
    problems: list[Problem] = []
    try:
        configuration = load(file)
        problems = [] if offline else sorted(machine.look(configuration))
    except ConfigurationError as error:
        problems = error.problems
    notes = configuration.notes if configuration else ()
    if json_output:
        print(
            json.dumps(
                {
                    "file": str(file),
                    "problems": [asdict(item) for item in problems],
                    "notes": [asdict(item) for item in notes],
                },
                indent=2,
            )
        )
    else:
        for line in [*problems, *notes]:
            print(line.text(str(file)))
        if configuration and not problems:
            roles = " and ".join(f"{ARTICLES[role]} {role}" for role in ROLES if getattr(configuration.file, role))
            print(f"{file}: {roles} that can be started" if not offline else f"{file}: {roles}, well described")
    return WRONG_USAGE if problems else DONE
