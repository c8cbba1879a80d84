"""``sojourn selftest``: is the way of every session in place, and is nothing left of those that are over?"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from sojourn.cli.errors import DONE, FAILED, CommandError
from sojourn.cli.show import WIDTH, print_table
from sojourn.cli.sockets import control_socket

_COLUMNS = ("of", "node", "prefix", "check", "result", "ms")
_FINE = ("ok", "skipped", "repaired", "kept")


def selftest(
    target: str = "",
    /,
    *,
    daemon: Annotated[Path | None, Parameter(name="--file")] = None,
    socket: Path | None = None,
    node: str | None = None,
    lab: str | None = None,
    repair: Annotated[bool, Parameter(negative=())] = False,
    json_output: Annotated[bool, Parameter(name="--json", negative=())] = False,
    plain: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Send probes along the ways of sessions, and compare the kernel with what it should hold.

    A running daemon sends real packets from this router along anchor, tunnel, serving router and host, and says where
    one is lost: anchor's route, tunnel, filter, serving router's route, host, or the network between; and what to do.
    What the kernel lacks, and what is left behind of sessions that are over, is found by reading it. With --file, where
    no daemon runs, the kernel must hold nothing of it. The exit code is 0 when nothing is wrong, else 1.

    Parameters
    ----------
    target:
        A node (link-layer address, name, or the hash that tables show), a prefix or an address; absent: all sessions.
    daemon:
        The configuration file that the daemon runs with (TOML).
    socket:
        The daemon's control socket.
    node:
        A node of a lab that is up, such as ar1.
    lab:
        Which lab, when several are up.
    repair:
        Put right what is wrong in this machine's kernel.
    json_output:
        Answer with JSON: a list of objects, one for each test.
    plain:
        Show identifiers of nodes as they are, not as hashes.
    """
    from sojourn.control.client import ControlClient, ControlError

    path = control_socket("selftest", daemon, socket, node, lab)
    if daemon is not None and not Path(path).exists():
        rows = _without_daemon(daemon)
    else:
        try:
            with ControlClient(path) as client:
                rows = client.selftest(target, repair=repair, plain=plain)
        except ControlError as error:
            raise CommandError(str(error)) from None
    if json_output:
        print(json.dumps(rows, indent=2))
    else:
        _print(rows)
    return DONE if all(row["result"] in _FINE for row in rows) else FAILED


def _without_daemon(file: Path) -> list[dict[str, Any]]:
    from sojourn.daemon.configuration import load
    from sojourn.daemon.remains import remains

    try:
        return remains(load(file).file)
    except OSError as error:
        raise CommandError(f"the kernel cannot be read: {error.strerror or error}") from None


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of all tests, and below it, in sentences, what is wrong and what to do."""
    print_table([{name: row.get(name) for name in _COLUMNS if name in row} for row in rows], sys.stdout)
    for row in rows:
        if row["result"] == "ok":
            continue
        whose = f"{row['prefix']}: " if row["prefix"] else "" if row["result"] == "skipped" else "everybody: "
        place = f" at: {row['place']}" if row["place"] else ""
        words = f"{whose}{row['result']}{place}: {row['detail']}"
        if row["remedy"]:
            words += f"; {row['remedy']}"
        print()
        print(textwrap.fill(words, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False))
