"""Keys of the configuration file that set a field of the engines: they have that field's default."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from pydantic import Field

from sojourn.files.fields import duration_text
from sojourn.wire.addresses import link_layer_text, text


def _default(configuration: type, name: str) -> Any:
    """The engines' own default for `name`, as it is written in a file."""
    field = next(field for field in fields(configuration) if field.name == name)
    assert field.default is not MISSING
    match field.type:
        case "Duration":
            return duration_text(field.default)
        case "Address":
            return text(field.default)
        case "LinkLayer":
            return link_layer_text(field.default)
        case _:
            return getattr(field.default, "value", field.default)


def as_the_engine(configuration: type, name: str, about: str, example: object = None) -> Any:
    """A key that sets a field of the engines' configuration: its default is the field's."""
    examples = None if example is None else [example]
    return Field(_default(configuration, name), validate_default=True, description=about, examples=examples)
