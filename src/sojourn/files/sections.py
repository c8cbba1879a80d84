"""Tables of a file as pydantic models, and what to say about their keys."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from sojourn.files.fields import Expected

Key: TypeAlias = tuple[str | int, ...]


def setting(about: str, default: Any = ..., example: object = None) -> Any:
    """A key: what it is for, its default (none: it must be there), and a better example than that of its kind."""
    return Field(default, description=about, examples=None if example is None else [example])


class Section(BaseModel):
    """A table of the file. A key that it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Layout:
    """All tables of a kind of file."""

    root: type[BaseModel]
    """What stands at the top."""
    tables: Sequence[tuple[str, type[BaseModel]]]
    """Every table by the name that it has in the file, `root` among them."""

    def suggestion(self, key: Key) -> str:
        """The key that was perhaps meant, else all that there are."""
        model = self._model_at(key[:-1])
        known = list(model.model_fields) if model else []
        near = difflib.get_close_matches(str(key[-1]), known, n=1)
        if near:
            return f"did you mean {near[0]}?"
        elsewhere = [table for table, other in self.tables if key[-1] in other.model_fields]
        if elsewhere:
            return f"it belongs into {' or '.join(elsewhere)}"
        return f"expected one of {', '.join(known)}"

    def expectation(self, key: Key) -> str:
        """What the value of `key` should be, with an example."""
        field = self.field(key)
        if field is None:
            return "something else"
        what, example = describe_field(field)
        return f"{what} (for example {written(example)})" if example is not None else what

    def field(self, key: Key) -> FieldInfo | None:
        """The field that `key` names; for an entry of a list, or of a table whose keys are the user's, the whole."""
        names = [part for part in key if isinstance(part, str)]
        while names:
            model = self._model_at(names[:-1])
            if model and (field := model.model_fields.get(names[-1])):
                return field
            names.pop()
        return None

    def exact(self, key: Key) -> FieldInfo | None:
        """The field that `key` names; None when there is no such key."""
        model = self._model_at(key[:-1])
        return model.model_fields.get(str(key[-1])) if model else None

    def _model_at(self, key: Sequence[str | int]) -> type[BaseModel] | None:
        """The table that `key` names."""
        model: type[BaseModel] | None = self.root
        field: FieldInfo | None = None
        for part in key:
            if isinstance(part, int):
                continue
            if field is not None and _named_by_user(field.annotation):
                field = None  # a name that the user gave: its table is the one that was found already
                continue
            field = model.model_fields.get(part) if model else None
            model = next(iter(_models(field.annotation)), None) if field else None
            if model is None:
                return None
        return model


def _named_by_user(annotation: Any) -> bool:
    origin = get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def describe_field(field: FieldInfo) -> tuple[str, object]:
    """What the value of a field should be, and an example."""
    kind = kind_of(field)
    if kind is None:
        return ("a list of tables", None) if "tuple" in str(field.annotation) else ("a table", None)
    return kind.what, field.examples[0] if field.examples else kind.example


def written(value: object) -> str:
    """A value as TOML has it."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_bare(str(key))} = {written(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value, default=str)


def _bare(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def kind_of(field: FieldInfo) -> Expected | None:
    """What is known of the values of a field, one that may be absent (``Kind | None``) among them."""
    members = get_args(field.annotation) if get_origin(field.annotation) in (Union, UnionType) else ()
    inner = (item for member in members for item in getattr(member, "__metadata__", ()))
    return next((item for item in (*field.metadata, *inner) if isinstance(item, Expected)), None)


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def key_text(key: Key) -> str:
    """``maar.peers[0].address``."""
    written = ""
    for part in key:
        written += f"[{part}]" if isinstance(part, int) else f"{'.' if written else ''}{part}"
    return written
