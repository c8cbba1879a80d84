"""Running a program in a node of a lab that is up, as if it had been started here.

``exec`` lends it our own standard streams. ``shell`` gives it a terminal of its own (a pty), of which ours shows
the other side, as ssh does: then job control, line editing and full-screen programs work.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sojourn.lab.sessions import Session

_BLOCK = 65536
_WINDOW = 8
_CONTROL = ("SOJOURN_SOCKET", "SOJOURN_NODE")


def _environment() -> dict[str, str]:
    """Ours, without what the node has of its own, and with this ``sojourn`` on the path."""
    environment = {key: value for key, value in os.environ.items() if key not in _CONTROL}
    own = Path(sys.executable).parent
    path = environment.get("PATH", os.defpath).split(os.pathsep)
    if (own / "sojourn").exists() and str(own) not in path:
        environment["PATH"] = os.pathsep.join([*path, str(own)])  # at the end: whose python3 it is stays as it was
    return environment


def _prompt(node: str) -> dict[str, str]:
    """What makes a shell say where it is, whatever the user's own files make of the prompt."""
    return {
        "PS1": f"[{node}] \\$ ",
        "PROMPT_COMMAND": f'case "$PS1" in "[{node}] "*) ;; *) PS1="[{node}] $PS1" ;; esac',
    }


def execute(name: str, node: str, argv: Sequence[str]) -> int:
    """The exit status of `argv` in `node` of the lab `name`, with our standard streams. Raises SessionError.

    Ctrl-C, SIGTERM and SIGHUP go to the program; if we are killed, it is hung up.
    """
    with Session(name) as session:
        session.send(_request(node, argv, False), (0, 1, 2))
        with _passing_on(session):
            return _status(session.answer())


def shell(name: str, node: str, argv: Sequence[str]) -> int:
    """The exit status of `argv` in `node`, on a terminal of its own. Our standard input must be a terminal.

    Raises SessionError.
    """
    master, slave = os.openpty()
    _copy_size(master)
    with Session(name) as session:
        session.send(_request(node, argv, True, _prompt(node)), (slave, slave, slave))
        os.close(slave)
        before = termios.tcgetattr(0)
        tty.setraw(0, termios.TCSADRAIN)  # what was typed ahead stays
        resized = signal.signal(signal.SIGWINCH, lambda *_: _copy_size(master))
        try:
            _copy(session, master)
        finally:
            signal.signal(signal.SIGWINCH, resized)
            termios.tcsetattr(0, termios.TCSADRAIN, before)
            os.close(master)
        return _status(session.answer())


def _request(node: str, argv: Sequence[str], terminal: bool, more: Mapping[str, str] | None = None) -> dict[str, Any]:
    environment = _environment() | dict(more or {})
    return {"verb": "exec", "node": node, "argv": list(argv), "terminal": terminal, "env": environment}


def _status(answer: dict[str, Any]) -> int:
    code = int(answer["exit"])
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def _passing_on(session: Session) -> Iterator[None]:
    """Signals to us become signals to the program."""

    def pass_on(number: int, _: object) -> None:
        session.send({"signal": number})

    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.signal(number, pass_on) for number in watched}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _copy_size(master: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(_WINDOW)))


def _copy(session: Session, master: int) -> None:
    """Between our terminal and the program's, until the answer arrives or the program's side closes."""
    with selectors.DefaultSelector() as selector:
        for descriptor in (0, master, session.fileno()):
            selector.register(descriptor, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if master in ready:
                try:
                    os.write(1, os.read(master, _BLOCK))
                except OSError:  # EIO: nobody has the other side open any more
                    return
            elif session.fileno() in ready:
                return
            if 0 in ready:
                typed = os.read(0, _BLOCK)
                if not typed:
                    selector.unregister(0)
                os.write(master, typed)
