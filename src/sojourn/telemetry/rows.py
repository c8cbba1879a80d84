"""Events and reports as rows: for ``sojourn show events`` and the log."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from sojourn.core.effects import Report
from sojourn.core.events import DhcpReceived, EffectFailed, Event, MessageReceived
from sojourn.wire.addresses import Prefix, link_layer_text, text

ADDRESS_OCTETS = 16
LINK_LAYER_OCTETS = 6


def row_of(item: Event | Report) -> dict[str, Any]:
    """What happened, in a word (``event``), and its details as text and numbers. Identifiers are in plain."""
    match item:
        case Report(name, detail):
            return {"event": name} | dict(detail) | {"event": name}  # the first one, and nobody else's
        case MessageReceived(message, source, _):
            return {"event": "message", "message": type(message).__name__, "source": text(source)}
        case DhcpReceived(interface, link_layer, source, _, payload):  # what it says is full of identifiers
            told = {"interface": interface, "link_layer": link_layer_text(link_layer), "source": text(source)}
            return {"event": "dhcp-received", **told, "octets": len(payload)}
        case EffectFailed(effect, error, reason):
            return {
                "event": "effect-failed",
                "effect": type(effect).__name__,
                "error": error,
                "reason": reason,
            }
        case _:
            return {"event": hyphenated(type(item).__name__), **_details(item)}


def _details(item: object) -> dict[str, Any]:
    assert is_dataclass(item)
    pairs = ((field.name, _plain(getattr(item, field.name))) for field in fields(item))
    return {name: value for name, value in pairs if value not in (None, "")}


def _plain(value: object) -> Any:
    match value:
        case Enum():
            return value.value
        case Prefix():
            return str(value)
        case bytes() if len(value) == ADDRESS_OCTETS:
            return text(value)
        case bytes() if len(value) == LINK_LAYER_OCTETS:
            return link_layer_text(value)
        case bytes():
            return value.hex()
        case dict():
            return {str(_plain(key)): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _:
            return value


def hyphenated(name: str) -> str:
    """The name of a class as a word with hyphens."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")
