"""``sojourn show why``: the story of one node, in words with times."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from sojourn.cli.errors import DONE, FAILED, CommandError
from sojourn.cli.sockets import control_socket
from sojourn.telemetry.story import Pools, Sentence, Subject, in_order, tell, tell_rows
from sojourn.telemetry.story_words import Names
from sojourn.wire.addresses import address

_WIDTH = 80


def why(
    about: str, file: Path | None, socket: Path | None, node: str | None, lab: str | None, json_output: bool
) -> int:
    """Tell it. From the recordings, which outlive the daemon; else from what a running one remembers."""
    subject = Subject.of(about)
    sentences, whole = _found(subject, file, socket, node, lab, about)
    if json_output:
        print(json.dumps([sentence._asdict() for sentence in sentences], indent=2))
        return DONE if sentences else FAILED
    for sentence in sentences:
        head = f"{sentence.time[:10]} {sentence.time[11:23]} {sentence.role:<4} "
        print(textwrap.fill(head + sentence.words, _WIDTH, subsequent_indent=" " * len(head), break_on_hyphens=False))
    if not sentences:
        raise CommandError(f"nothing is recorded of {about!r}")
    if not whole:
        print("\n(the daemon keeps no recording: this is what it remembers; see the key events)")
    return DONE


def _found(
    subject: Subject, file: Path | None, socket: Path | None, node: str | None, lab: str | None, about: str
) -> tuple[list[Sentence], bool]:
    """The story, and whether it is from recordings."""
    from sojourn.control.client import ControlClient, ControlError

    recordings: dict[str, str] = {}
    names, pools = _known(file)
    rows = None
    try:
        with ControlClient(control_socket(f"show why {about}", file, socket, node, lab)) as client:
            recordings = client.ping().recordings
            named = {address(row["address"]): row["name"] for row in client.show("peers") if _is_named(row)}
            names = {**names, **named}
            rows = client.recent(plain=True)
    except (ControlError, CommandError) as error:
        if file is None:
            raise CommandError(str(error)) from None
        recordings = _recordings(file)  # the daemon is down; what it wrote is not
    stories = []
    for role, path in recordings.items():
        try:
            stories.append(tell(path, role, subject, names, pools))
        except OSError as error:
            raise CommandError(f"the recording {path} cannot be read: {error.strerror or error}") from None
    if stories:
        return list(in_order(stories)), True
    return tell_rows(rows or [], subject), False


def _known(file: Path | None) -> tuple[Names, Pools]:
    """What the file calls routers, and what they anchor; nothing where there is no file, or a wrong one."""
    from sojourn.daemon.configuration import load
    from sojourn.daemon.model import ROLES
    from sojourn.daemon.monitoring import anchors_of, names_of
    from sojourn.files.toml import ConfigurationError

    if file is None:
        return {}, ()
    try:
        known = load(file).file
    except ConfigurationError:
        return {}, ()
    names = names_of(known)
    for section in (getattr(known, role) for role in ROLES):
        if isinstance(own := getattr(section, "address", None), bytes):
            names[own] = "this router"
        for home in getattr(section, "homes", None) or ():
            if home.home_agent is not None:
                names.setdefault(home.home_agent, "the home agent")
    return names, anchors_of(known)


def _is_named(row: dict[str, object]) -> bool:
    return isinstance(row.get("address"), str) and isinstance(row.get("name"), str) and row["name"] != row["address"]


def _recordings(file: Path) -> dict[str, str]:
    from sojourn.daemon.configuration import load
    from sojourn.daemon.roles import recordings
    from sojourn.files.toml import ConfigurationError

    try:
        return recordings(load(file).file)
    except ConfigurationError as error:
        raise CommandError(str(error)) from None
