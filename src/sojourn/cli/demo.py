"""``sojourn demo``: the built-in walk, live in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

Switch = Annotated[bool, Parameter(negative=())]


def demo(
    *,
    mode: Literal["proxy", "relay", "locator", "direct"] = "proxy",
    output: Path = Path("sojourn-demo"),
    json: Switch = False,
    plain: Switch = False,
    compare: bool = True,
    buffer: Switch = False,
    root: Switch = False,
    seed: Annotated[int, Parameter(help="Of the losses and jitter on emulated links.")] = 0,
) -> int:
    """Watch a stock host walk over three access routers while its connections live on.

    Needs no root and changes nothing on this machine but the output directory. Takes a good minute.

    Parameters
    ----------
    mode
        How the central database brings the routers together (RFC 8885 3.2 to 3.4).
    output
        Directory for the report.
    json
        Print the report as JSON and nothing else.
    plain
        Lines of text instead of the live view.
    compare
        Walk once more without mobility, under the same conditions, and show what becomes of the sessions then.
    buffer
        Let routers keep a host's packets while it is between two of them.
    root
        Make namespaces as root, for kernels that forbid user namespaces.
    """
    from sojourn.cli.sandboxed import claim_output, in_sandbox
    from sojourn.lab.demo import DemoOptions, run_demo

    claim_output(output)
    options = DemoOptions(output.absolute(), mode, json, plain, seed, buffer, compare=compare)
    return in_sandbox(lambda: run_demo(options), root)
