"""The command ``sojourn``.

Every command lives in a module of its own that is imported when the command is used, so that ``sojourn --help`` and a
mistyped word cost nothing, and a module that cannot be imported breaks only its own command.

Exit codes: 0 done, 1 failed, 2 wrong usage or wrong configuration, 130 stopped by Ctrl-C, 141 the reader of our output
went away (a closed pipe).
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence

from cyclopts import App
from cyclopts.exceptions import CycloptsError, UnknownCommandError

from sojourn import __version__
from sojourn.cli.errors import FAILED, WRONG_USAGE, CommandError

INTERRUPTED = 130
PIPE_CLOSED = 141

_COMMANDS = {
    "demo": (
        "sojourn.cli.demo:demo",
        "Watch a host walk over three access routers while its connections live on.",
    ),
    "lab": (
        "sojourn.cli.lab:app",
        "Build networks on this machine, without root, and let hosts roam in them.",
    ),
    "run": ("sojourn.cli.run:run", "Run the roles that a configuration file names (maar, cmd)."),
    "check": (
        "sojourn.cli.check:check",
        "Say what is wrong with a configuration file, without starting anything.",
    ),
    "show": ("sojourn.cli.show:show", "Ask a running daemon what it knows and does."),
    "doctor": (
        "sojourn.cli.doctor:doctor",
        "Find out what this kernel and machine can do, and what to do about the rest.",
    ),
    "selftest": (
        "sojourn.cli.selftest:selftest",
        "Send probes along the ways of sessions, and find what the kernel lacks or kept.",
    ),
    "evaluate": (
        "sojourn.cli.evaluate:evaluate",
        "Does distributed mobility pay for your network? With the reasons, and a report to forward.",
    ),
    "sim": (
        "sojourn.cli.sim:app",
        "Run the same engines in simulated time, for any number of nodes.",
    ),
    "decode": (
        "sojourn.cli.decode:decode",
        "Tell in words what mobility signalling a capture file holds.",
    ),
    "tell": ("sojourn.cli.tell:tell", "Give a running daemon a command."),
}

_EXTRAS = {
    "results": ("networkx", "numpy", "pyarrow", "scipy", "topohub"),
    "report": ("matplotlib", "pcapng"),
    "cluster": ("dask", "distributed"),
}
"""Libraries that only some commands need, and the extra that brings them."""


def make_app() -> App:
    """The command line as an object; its commands are imported when they are used."""
    app = App(
        name="sojourn",
        help="Distributed mobility management for IPv6: connections live on while hosts and networks move.",
        help_epilogue="Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.",
        version=__version__,
        version_flags=["--version"],
        help_format="plaintext",
        result_action="return_int_as_exit_code_else_zero",
        suppress_keyboard_interrupt=False,
    )
    for name, (target, help_text) in _COMMANDS.items():
        app.command(target, name=name, help=help_text)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (default: those of the process) name; answers with the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes the standard streams once more when it ends, which would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return PIPE_CLOSED
    return code


def _run(words: list[str]) -> int:
    try:
        result = make_app()(words, exit_on_error=False, print_error=False)
    except UnknownCommandError as error:
        # Its own text lists what each command offers, for which it would import them all.
        return _complain(_unknown_command(error, words), WRONG_USAGE)
    except CycloptsError as error:
        where = " ".join(["sojourn", *(error.command_chain or ())])
        return _complain(f"{str(error).strip()} Try: {where} --help", WRONG_USAGE)
    except CommandError as error:
        return _complain(str(error), error.code)
    except ImportError as error:
        reason = error.__cause__ or error
        return _complain(f"this command cannot be loaded: {reason}{_remedy(reason)}", FAILED)
    except SystemExit as leave:
        if leave.code is None or isinstance(leave.code, int):
            return leave.code or 0
        return _complain(str(leave.code), FAILED)
    return result if isinstance(result, int) else 0


def _remedy(reason: BaseException) -> str:
    """Which extra brings the module that is missing."""
    name = (getattr(reason, "name", None) or "").partition(".")[0]
    extra = next((extra for extra, modules in _EXTRAS.items() if name in modules), None)
    return f"; install it with: pip install 'sojourn[{extra}]'" if extra else ""


def _unknown_command(error: UnknownCommandError, words: list[str]) -> str:
    if error.command_chain:  # below a command that is loaded already
        return str(error).strip()
    word = (error.unused_tokens or words)[0]
    near = difflib.get_close_matches(word, _COMMANDS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_COMMANDS)}."
    return f"there is no command {word!r}; {hint} Try: sojourn --help"


def _complain(sentence: str, code: int) -> int:
    print(f"sojourn: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
