"""Options of one scenario, as ``--hosts 10``: taken out of the words of the command line, whose rest is refused.

Every function takes one out of `extra`, and raises a ValueError that names it and what was expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Choice = TypeVar("Choice", bound=str)


def number(extra: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    """``--NAME 7``."""
    text = extra.pop(name, str(default))
    if not text.isdigit() or not least <= int(text) <= most:
        raise ValueError(f'--{name}: expected a number from {least} to {most}, found "{text}"')
    return int(text)


def choice(extra: dict[str, str], name: str, choices: Sequence[Choice]) -> Choice:
    """One of `choices`, the first where nothing is said."""
    text = extra.pop(name, choices[0])
    for one in choices:
        if one == text:
            return one
    raise ValueError(f'--{name}: expected {", ".join(choices[:-1])} or {choices[-1]}, found "{text}"')


def switch(extra: dict[str, str], name: str) -> bool:
    """``--NAME``, or ``--NAME yes``; off where nothing is said."""
    return extra.pop(name, "no").lower() not in ("", "no", "false", "0")
