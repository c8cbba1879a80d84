"""A file as it was parsed, for checks that pass over what is missing or unreadable: the model complains about that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic_core import PydanticCustomError

T = TypeVar("T")


def table(value: object) -> Mapping[str, Any]:
    """A table; what is none is an empty one."""
    return value if isinstance(value, dict) else {}


def tables(value: object) -> list[Mapping[str, Any]]:
    """A list of tables."""
    return [table(item) for item in value] if isinstance(value, list) else []


def readable(parse: Callable[[object], T], value: object) -> T | None:
    """The value, or None where the model complains anyway."""
    try:
        return parse(value)
    except PydanticCustomError:
        return None
