"""Python's search for cycles, set for a process that keeps a hundred thousand sessions.

Engines make no cycles: what they let go of is freed at once by counting references. With Python's own settings a
search begins after 700 new objects, and one of all objects each time that a quarter more of them are there, which takes
a fifth of the time of a registration and, with a million bindings, stops the role for more than a second.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 20_000
"""New objects before a search among them."""
_OLDER = 20
_ALL = 1_000
"""Searches of one generation before one of the next: all objects once in 400 million."""


@contextmanager
def not_searched() -> Iterator[None]:
    """While a million bindings are read, none of them becomes garbage: searches would take most of the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def search_less() -> None:
    """To be called once, when what the process begins with is there: that is not searched again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, _OLDER, _ALL)


def settled() -> None:
    """Whatever there is now stays and is not searched again, which costs next to nothing to say."""
    gc.freeze()
