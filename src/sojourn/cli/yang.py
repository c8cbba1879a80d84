"""``sojourn show yang``: configuration and state as data of the YANG module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sojourn.cli.errors import DONE, WRONG_USAGE, CommandError
from sojourn.cli.sockets import control_socket


def show_yang(file: Path | None, socket: Path | None, node: str | None, lab: str | None, plain: bool) -> int:
    """The file, if one is named, and what the daemon knows, if it runs."""
    from sojourn.control.client import ControlClient, ControlError
    from sojourn.daemon.configuration import load
    from sojourn.daemon.yang import STATE, data
    from sojourn.files.toml import ConfigurationError

    written: dict[str, Any] = {}
    tables: dict[str, list[dict[str, Any]]] = {}
    if file is not None:
        try:
            written = load(file).document.data
        except ConfigurationError as error:
            raise CommandError(str(error), WRONG_USAGE) from None
    try:
        with ControlClient(control_socket("show yang", file, socket, node, lab)) as client:
            tables = {topic: client.show(topic, plain) for topic in STATE}
    except ControlError as error:
        if file is None:
            raise CommandError(str(error)) from None
    print(json.dumps(data(written, tables), indent=2))
    return DONE
