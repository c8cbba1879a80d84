"""What commands share that build networks or leave files: the sandbox, and a directory that may be written to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from sojourn.cli.errors import WRONG_USAGE, CommandError


def claim_output(directory: Path) -> None:
    """Make the directory for results, or say why it cannot be this one. Raises CommandError."""
    from sojourn.lab.outputs import OutputRefused, claim

    try:
        claim(directory)
    except OutputRefused as refusal:
        raise CommandError(str(refusal), WRONG_USAGE) from None


def in_sandbox(main: Callable[[], int], root: bool = False) -> int:
    """The exit status of `main` in namespaces of its own, its failures as sentences. Raises CommandError."""
    from sojourn.lab.namespaces import SandboxUnavailable, sandbox

    def guarded() -> int:
        from sojourn.lab.daemons import DaemonFailed

        try:
            return main()
        except (OSError, DaemonFailed) as error:
            print(f"sojourn: {_sentence(error)}", file=sys.stderr)
            return 1
        except CommandError as error:
            print(f"sojourn: {error}", file=sys.stderr)
            return error.code

    try:
        return sandbox(guarded, root=root)
    except SandboxUnavailable as error:
        raise CommandError(
            f"{error.strerror}; run as root with --root, or allow user namespaces (sojourn doctor says how)"
        ) from None


def _sentence(error: Exception) -> str:
    """What went wrong, and what to do where a file is the reason."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}; name another directory with --output if it is in this one"
    return str(error)
