"""``sojourn tell``: something for a running daemon to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sojourn.cli.errors import DONE, WRONG_USAGE, CommandError
from sojourn.cli.show import print_rows
from sojourn.cli.sockets import control_socket


def tell(
    verb: str,
    /,
    *arguments: str,
    daemon: Annotated[Path | None, Parameter(name="--file")] = None,
    socket: Path | None = None,
    node: str | None = None,
    lab: str | None = None,
    json_output: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Give a running daemon a command.

    Parameters
    ----------
    verb:
        What is to be done. Any daemon: reload (the file is read again); leave (stop, and leave forwarding to the next
        start). Routers of a distributed domain: refresh; retire node= or prefix=; drain [hold=SECONDS] [to=partner]
        [off=yes]. Gateways: refresh; detach node=; handoff node= kind=; revoke [lma=]. LMAs: revoke node= [prefix=]
        [trigger=], or gateway=, or realm= [gateway=]; notify reason= with node= or gateway=; renumber node= or pool=
        [mode=]; quality node= dscp= and rates. Home agents: switch [to=] [node=]; revoke node= [trigger=]
        [identifiers=]; experiment node= data=; prefix prefix= preferred= valid=. Mobile nodes: register; avoid
        interface=; use interface=.
    arguments:
        As name=value. Nodes are named by link-layer address, by name, or in hexadecimal.
    daemon:
        The configuration file that the daemon runs with (TOML).
    socket:
        The daemon's control socket.
    node:
        A node of a lab that is up, such as lma.
    lab:
        Which lab, when several are up.
    json_output:
        Answer with JSON: what the daemon reported.
    """
    from sojourn.control.client import ControlClient, ControlError

    told: dict[str, str] = {}
    for argument in arguments:
        name, separator, value = argument.partition("=")
        if not separator or not name or name in told:
            raise CommandError(f"{argument!r} is not an argument; expected name=value, each name once", WRONG_USAGE)
        told[name] = value
    path = control_socket(f"tell {verb}", daemon, socket, node, lab)
    try:
        with ControlClient(path) as client:
            rows = client.command(verb, told)
    except ControlError as error:
        raise CommandError(str(error)) from None
    print_rows(rows, rows if json_output else None)
    return DONE
