"""Where the daemon is that a command of ours speaks with."""

from __future__ import annotations

from pathlib import Path

from sojourn.cli.errors import WRONG_USAGE, CommandError


def control_socket(words: str, daemon: Path | None, socket: Path | None, node: str | None, lab: str | None) -> str:
    """By its file, its socket, or as a node of a lab; `words` are what the user wrote. Raises `CommandError`."""
    if sum(way is not None for way in (daemon, socket, node)) > 1:
        raise CommandError("a file, --socket and --node each name a daemon; expected one of them", WRONG_USAGE)
    if lab is not None and node is None:
        raise CommandError("--lab goes with --node only", WRONG_USAGE)
    return _socket_in_lab(node, lab) if node is not None else _socket_path(words, socket, daemon)


def _socket_in_lab(node: str, lab: str | None) -> str:
    from sojourn.lab import sessions

    try:
        nodes = sessions.ask(sessions.choose(lab), {"verb": "status"})["nodes"]
    except sessions.SessionError as error:
        raise CommandError(str(error)) from None
    controls = {str(row["node"]): str(row["control"]) for row in nodes if "control" in row}
    if node not in controls:
        known = f"there is {', '.join(controls)}" if controls else "this lab runs none"
        raise CommandError(f"the lab has no daemon at {node!r}; {known}")
    return controls[node]


def _lab_hint(words: str) -> str:
    """What to ask instead where no daemon is, but a lab."""
    from sojourn.lab import sessions

    try:
        labs = sessions.running()
        for name in labs:
            nodes = sessions.ask(name, {"verb": "status"})["nodes"]
            kinds = ("access-router", "mag")
            router = next((row["node"] for row in nodes if "control" in row and row["kind"] in kinds), None)
            if router is not None:
                which = f" --lab {name}" if len(labs) > 1 else ""
                return f"a lab is up: sojourn {words} --node {router}{which}"
    except sessions.SessionError:
        pass  # labs are only a guess here
    return ""


def _socket_path(words: str, socket: Path | None, daemon: Path | None) -> str:
    from sojourn.control.client import NoDaemon, find_socket

    if socket is not None:
        return str(socket)
    if daemon is None:
        try:
            return find_socket()
        except NoDaemon as error:
            hint = _lab_hint(words)
            raise CommandError(f"no daemon is running here, but {hint}" if hint else str(error)) from None
    from sojourn.daemon.configuration import load
    from sojourn.files.toml import ConfigurationError

    try:
        return load(daemon).file.control
    except ConfigurationError as error:
        raise CommandError(str(error), WRONG_USAGE) from None
