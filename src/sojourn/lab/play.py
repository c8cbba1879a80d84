"""What ``sojourn lab run FILE`` does: build the lab, play its ``[roam]`` script, say what happened, leave nothing."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import Any

from sojourn.lab.kernel_state import host_addresses
from sojourn.lab.lab import Lab
from sojourn.lab.plain import PlainRouters
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.topology import Roam, Topology
from sojourn.wire.units import MILLISECOND, SECOND

_SETTLE = 2.0
"""Seconds after the last step in which hosts may still get their addresses."""


def play(topology: Topology, options: ScenarioOptions) -> int:
    """Exit status 0 when the script was played and every daemon lived; inside the sandbox.

    Raises OSError, DaemonFailed.
    """
    steps: list[dict[str, Any]] = []
    with ExitStack() as opened:
        lab = opened.enter_context(Lab(topology, options.output, capture="signalling"))
        if not lab.mobility:
            opened.enter_context(PlainRouters(lab))
        if not options.json:
            _introduce(lab)
        start = time.monotonic()
        for step in topology.roam:
            time.sleep(step.after / SECOND)
            steps.append(_step(lab, step, time.monotonic() - start))
            if not options.json:
                print(_line(steps[-1]), flush=True)
        time.sleep(_SETTLE)
        lab.check()
        report = {
            "topology": topology.name,
            "output": str(options.output),
            "steps": steps,
            "nodes": lab.status(),
        }
    (options.output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        _conclude(report)
    return 0


def _introduce(lab: Lab) -> None:
    print(f"{lab.topology.name}: {len(lab.nodes)} nodes up")
    for report in lab.links:
        a, b = report.between
        asked, found = report.delay / MILLISECOND, report.measured / MILLISECOND
        print(f"  {a} - {b}: {asked:g} ms asked, {found:.2f} ms measured ({report.means})")


def _step(lab: Lab, step: Roam, at: float) -> dict[str, Any]:
    lab.mark(f"{step.host} roams to {step.to}")
    if step.to == "-":
        times = lab.air.detach(step.host, notice=step.notice, carrier=step.carrier)
    else:
        times = lab.air.roam(step.host, step.to, outage=step.outage / SECOND, notice=step.notice, carrier=step.carrier)
    addresses = [a.address for a in host_addresses(lab.nodes[step.host].namespace) if not a.deprecated]
    return {
        "at": round(at, 3),
        "host": step.host,
        "from": times.source,
        "to": times.target,
        "had": addresses,
    }


def _line(step: dict[str, Any]) -> str:
    addresses = ", ".join(step["had"]) or "no address yet"
    return f"  {step['at']:6.1f} s  {step['host']}: {step['from'] or '-'} -> {step['to'] or '-'} ({addresses})"


def _conclude(report: dict[str, Any]) -> None:
    for row in report["nodes"]:
        if row["kind"] == "host":
            print(f"{row['node']} is at {row['at'] or '-'}:")
            for address in row["addresses"]:
                print(f"  {address['address']}{' (deprecated)' if address['deprecated'] else ''}")
    print(f"report, captures, logs and events: {report['output']}")
