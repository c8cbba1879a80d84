"""The directory that a run leaves its results in: never one with somebody else's files in it.

What sojourn made carries a marker, so that the next run may write over it, as over ``sojourn-demo``.
"""

from __future__ import annotations

from pathlib import Path

MARKER = ".sojourn-output"
_MARKED = "Results of sojourn; the next run into this directory writes over them.\n"


class OutputRefused(Exception):
    """The directory cannot be used; the text is for people."""


def claim(directory: Path) -> None:
    """Make `directory`, or take one that is empty or an earlier output of ours. Raises OutputRefused."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / MARKER).exists() and any(directory.iterdir()):
            raise OutputRefused(
                f"{directory} holds files that are not results of sojourn, which would be mixed up with them; "
                "name an empty or a new directory with --output"
            )
        (directory / MARKER).write_text(_MARKED)
    except FileExistsError:
        raise OutputRefused(f"{directory} is a file; name a directory with --output") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputRefused(
            f"the output directory {directory} cannot be written: {reason}; name another one with --output"
        ) from None
