"""``sojourn doctor``: what this kernel and machine can do, and what to do about the rest."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from sojourn.cli.errors import DONE, FAILED
from sojourn.daemon.machine_findings import look_around
from sojourn.daemon.probes import MISSING, OK, Finding, backend_of, find_all, untried


def doctor(*, json_output: Annotated[bool, Parameter(name="--json", negative=())] = False) -> int:
    """Find out what this kernel and machine can do, and what to do about the rest.

    Everything is tried in namespaces of its own, which need no root and leave nothing behind. The exit code
    is 0 when all that sojourn needs is there, else 1.

    Parameters
    ----------
    json_output:
        Answer with JSON.
    """
    namespaces, findings = _in_sandbox()
    findings = [*look_around(), namespaces, *findings]
    backend = backend_of(findings)
    lacking = [finding for finding in findings if finding.needed and finding.state == MISSING]
    if json_output:
        answer = {"backend": backend or None, "ready": not lacking, "findings": [asdict(item) for item in findings]}
        print(json.dumps(answer, indent=2))
    else:
        _print(findings, backend, lacking)
    return FAILED if lacking else DONE


def _in_sandbox() -> tuple[Finding, list[Finding]]:
    """Whether namespaces can be made, and what was found inside."""
    import os

    from sojourn.lab.namespaces import SandboxUnavailable, sandbox

    used_for = "lab and demo without root; this command"
    remedy = "allow them (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces), or run as root"
    read, write = os.pipe()

    def inside() -> int:
        with os.fdopen(write, "w") as stream:
            json.dump([asdict(finding) for finding in find_all()], stream)
        return DONE

    try:
        code = sandbox(inside)
    except SandboxUnavailable as error:
        refusal = error.strerror or "refused"
        os.close(read)
        return Finding("namespaces", MISSING, used_for, True, refusal, remedy), untried("no namespace to try it in")
    finally:
        os.close(write)
    with os.fdopen(read) as stream:
        text = stream.read()
    if code != DONE or not text:
        return Finding("namespaces", MISSING, used_for, True, f"ended with {code}", remedy), untried("it ended early")
    return Finding("namespaces", OK, used_for, True), [Finding(**item) for item in json.loads(text)]


def _print(findings: Sequence[Finding], backend: str, lacking: Sequence[Finding]) -> None:
    from textwrap import fill

    from rich.console import Console

    from sojourn.cli.show import print_table

    rows = []
    for finding in findings:
        found = f" ({finding.detail})" if finding.detail and finding.state == OK else ""
        rows.append({"what": finding.name, "state": finding.state, "used for": finding.used_for + found})
    print_table(rows, sys.stdout)
    print()
    width = Console().width
    for finding in findings:
        if finding.state != OK and finding.remedy:
            what = f"{finding.name} ({finding.detail})" if finding.detail else finding.name
            words = f"{what}: {finding.remedy}"
            print(fill(words, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False))
    print()
    if backend:
        print(f"data plane: {backend}")
    else:
        print("data plane: none; a MAAR cannot run here (a CMD can, as it forwards nothing)")
    if lacking:
        print(f"not ready: {', '.join(finding.name for finding in lacking)}")
    else:
        print("ready: all that sojourn needs is here")
