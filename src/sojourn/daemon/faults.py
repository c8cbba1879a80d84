"""What the searches for contradictions share: faults, and reading a file that may be wrong in other ways as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic_core import PydanticCustomError

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """A contradiction at `key`; a `note` is only worth knowing."""

    key: tuple[str | int, ...]
    wrong: str
    expected: str
    note: bool = False


def table_of(value: object) -> Mapping[str, Any]:
    """A table; an empty one where there is none."""
    return value if isinstance(value, dict) else {}


def tables(value: object) -> list[Mapping[str, Any]]:
    """A list of tables; none where there is no list."""
    return [table_of(item) for item in value] if isinstance(value, list) else []


def read(parse: Callable[[object], T], value: object) -> T | None:
    """The value, or None where the model complains anyway."""
    try:
        return parse(value)
    except PydanticCustomError:
        return None
