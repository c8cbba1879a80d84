"""What a report says, in words: made when somebody reads it, as most reports are only counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from sojourn.wire.addresses import Prefix, text

Value: TypeAlias = "str | int | bytes | Prefix | None"


class Detail(Mapping[str, "str | int"]):
    """`values` as text and numbers: the identifier of a node in hexadecimal, other octets as an address."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def __getitem__(self, key: str) -> str | int:
        value = self._values[key]
        if isinstance(value, bytes):
            return value.hex() if key == "node" else text(value)
        return value if isinstance(value, str | int) else str(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(dict(self))
