"""The documentation of a kind of file, made from its layout."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

from pydantic import BaseModel

from sojourn.files.sections import Layout, describe_field, written


def json_schema(layout: Layout, title: str) -> dict[str, Any]:
    """The JSON Schema of the file, for editors that complete and check."""
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, **layout.root.model_json_schema(), "title": title}


def markdown(layout: Layout) -> str:
    """Every table of the file with every key."""
    return "\n".join(
        _table("At the top" if model is layout.root else f"`{name}`", model) for name, model in layout.tables
    )


def _table(title: str, model: type[BaseModel]) -> str:
    lines = [
        f"## {title}",
        "",
        cleandoc(model.__doc__ or ""),
        "",
        "| key | default | value | what for |",
        "|---|---|---|---|",
    ]
    for key, field in model.model_fields.items():
        what, example = describe_field(field)
        if example is None and field.annotation is not None:
            continue  # a table, which has a section of its own
        what = what.split(" as ")[0]
        default = "must be there" if field.is_required() else _default(field.default)
        value = f"{what}, as `{written(example)}`" if field.is_required() else what
        lines.append(f"| `{key}` | {default} | {value} | {field.description} |")
    return "\n".join([*lines, ""])


def _default(value: object) -> str:
    return "absent" if value in ("", None, {}) else f"`{written(value)}`"
