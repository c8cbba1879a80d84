"""The configuration file and the tables of ``sojourn show`` as a YANG module (RFC 7950), and as data of it (RFC 7951).

RFC 7333 REQ6 wants management by NETCONF and YANG considered. The module is made from the model of the file
(`sojourn.daemon.model`), through its JSON Schema, so that both always say the same; a server of NETCONF or RESTCONF can
keep a file with it. What the daemon knows is `config false`. Tables of the file that occur several times are lists with
their position as key, as their order matters and nothing else in them must be unique.

``sojourn check --yang`` prints the module, ``sojourn show yang`` the data; tests let yanglint read both.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from sojourn.daemon.reference import json_schema

REVISION = "2026-11-29"
STATE = ("sessions", "bindings", "routes", "peers", "groups", "handovers")
"""Tables of ``sojourn show``."""
_LEAVES = (
    "of",
    "node",
    "link_layer",
    "presence",
    "state",
    "interface",
    "serving",
    "gateway",
    "anchor",
    "role",
    "prefix",
)
"""What rows of these tables have in common; everything else is an attribute."""
_SECRET = frozenset({"key", "identifier_key"})
"""Keys whose values stay in the file."""
_PASSWORD = re.compile(r"(?<=://)([^:/@]*):[^@]*@")
Schema = Mapping[str, Any]


@cache
def _schema() -> dict[str, Any]:
    return json_schema()


# --- the module -------------------------------------------------------------------------------------------------------


def module() -> str:
    """The text of ``sojourn.yang``."""
    schema = _schema()
    defs = schema["$defs"]
    lines = [
        "module sojourn {",
        "  yang-version 1.1;",
        '  namespace "urn:sojourn:yang:sojourn";',
        "  prefix sojourn;",
        "",
        '  organization "The sojourn authors";',
        '  contact "sojourn@localhost";',
        *_about("Distributed mobility management for IPv6: configuration and state of one daemon.", 1),
        f'  revision {REVISION} {{ description "Made from the model of the configuration file."; }}',
        "",
        "  container sojourn {",
        *_about("One daemon.", 2),
        "    container config {",
        *_about("Its configuration file.", 3),
        *_children(schema, defs, 3),
        "    }",
        "    container state {",
        "      config false;",
        *_about("What it knows, as `sojourn show` tells it.", 3),
        *(line for topic in STATE for line in _table(topic)),
        "    }",
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _children(schema: Schema, defs: Schema, depth: int) -> Iterator[str]:
    required = set(schema.get("required", ()))
    for key, inner in schema.get("properties", {}).items():
        yield from _node(key, inner, defs, depth, required=key in required)


def _node(key: str, schema: Schema, defs: Schema, depth: int, *, required: bool = False) -> Iterator[str]:
    pad, name = "  " * depth, _hyphenated(key)
    about = _about(schema.get("description", ""), depth + 1)
    kind = _known(schema)
    if "$ref" in kind:
        model = defs[kind["$ref"].rpartition("/")[2]]
        yield f"{pad}container {name} {{"
        yield f'{pad}  presence "The table is in the file.";'
        yield from about
        yield from _children(model, defs, depth + 1)
    elif "additionalProperties" in kind and kind.get("type") == "object":
        yield f"{pad}list {name} {{"
        yield f"{pad}  key name;"
        yield from about
        yield f"{pad}  leaf name {{ type string; }}"
        yield from _node("value", kind["additionalProperties"], defs, depth + 1)
    elif kind.get("type") == "array" and "$ref" in kind.get("items", {}):
        yield f"{pad}list {name} {{"
        yield f"{pad}  key index;"
        yield f"{pad}  ordered-by user;"
        yield from about
        yield f"{pad}  leaf index {{ type uint32; }}"
        yield from _children(defs[kind["items"]["$ref"].rpartition("/")[2]], defs, depth + 1)
    elif kind.get("type") == "array":
        yield f"{pad}leaf-list {name} {{"
        yield f"{pad}  type {_type(kind.get('items', {}))}"
        yield f"{pad}  ordered-by user;"
        yield from about
    else:
        yield f"{pad}leaf {name} {{"
        yield f"{pad}  type {_type(kind)}"
        if required:
            yield f"{pad}  mandatory true;"
        yield from about
    yield f"{pad}}}"


def _table(topic: str) -> Iterator[str]:
    yield f"      list {topic} {{"
    yield from _about(f"`sojourn show {topic}`.", 4)
    yield from (f"        leaf {_hyphenated(name)} {{ type string; }}" for name in _LEAVES)
    yield "        leaf-list prefixes { type string; }"
    yield "        leaf lifetime { type uint32; units seconds; }"
    yield "        list attribute {"
    yield "          key name;"
    yield from _about("What else there is to say.", 5)
    yield "          leaf name { type string; }"
    yield "          leaf value { type string; }"
    yield "        }"
    yield "      }"


def _known(schema: Schema) -> Schema:
    """Without the ways to say that it is absent; several kinds of values are one text."""
    kinds = [one for one in schema.get("anyOf", (schema,)) if one.get("type") != "null"]
    return kinds[0] if len(kinds) == 1 else {"type": "string"}


def _type(schema: Schema) -> str:
    kind = schema.get("type")
    if "enum" in schema:
        return "enumeration { " + " ".join(f'enum "{value}";' for value in schema["enum"]) + " }"
    if kind == "boolean":
        return "boolean;"
    if kind == "integer" and 0 <= schema.get("minimum", -1) <= schema.get("maximum", 1 << 32) < 1 << 32:
        return f'uint32 {{ range "{schema["minimum"]}..{schema["maximum"]}"; }}'
    return "string;"


def _about(text: str, depth: int) -> list[str]:
    """A description, folded."""
    if not text:
        return []
    pad = "  " * depth
    words = text.replace("\\", "\\\\").replace('"', '\\"')
    lines = textwrap.wrap(words, 100 - len(pad), break_long_words=False, break_on_hyphens=False)
    folded = f"\n{pad}   ".join(lines)
    return [f"{pad}description", f'{pad}  "{folded}";']


def _hyphenated(key: str) -> str:
    return key.replace("_", "-")


# --- data -------------------------------------------------------------------------------------------------------------


def data(file: Mapping[str, Any], tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """A file, as TOML has it, and tables, as the daemon tells them, as data of the module. Secrets are left out."""
    schema = _schema()
    found: dict[str, Any] = {"config": _values(file, schema, schema["$defs"])} if file else {}
    if tables:
        found["state"] = {topic: [_row(row) for row in rows] for topic, rows in tables.items() if rows}
    return {"sojourn:sojourn": found}


def _values(table: Mapping[str, Any], schema: Schema, defs: Schema) -> dict[str, Any]:
    known = schema.get("properties", {})
    return {
        _hyphenated(key): _value(value, known[key], defs)
        for key, value in table.items()
        if key in known and key not in _SECRET
    }


def _value(value: Any, schema: Schema, defs: Schema) -> Any:
    kind = _known(schema)
    if "$ref" in kind:
        return _values(value, defs[kind["$ref"].rpartition("/")[2]], defs)
    if isinstance(value, Mapping):
        inner = kind.get("additionalProperties", {})
        return [{"name": name, "value": _value(item, inner, defs)} for name, item in value.items()]
    if kind.get("type") == "array" and "$ref" in kind.get("items", {}):
        model = defs[kind["items"]["$ref"].rpartition("/")[2]]
        return [{"index": number, **_values(item, model, defs)} for number, item in enumerate(value)]
    if isinstance(value, list):
        return [_value(item, kind.get("items", {}), defs) for item in value]
    if isinstance(value, bool) or (isinstance(value, int) and _type(kind).startswith("uint32")):
        return value
    return _PASSWORD.sub(r"\1:***@", str(value))


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    rest: list[dict[str, str]] = []
    for key, value in row.items():
        if value is None:
            continue
        if key in _LEAVES:
            found[_hyphenated(key)] = str(value)
        elif key == "prefixes" and isinstance(value, list):
            found[key] = list(map(str, value))
        elif key == "lifetime" and isinstance(value, int):
            found[key] = value
        else:
            rest.append({"name": key, "value": _written(value)})
    return found | ({"attribute": rest} if rest else {})


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(_written, value)) if isinstance(value, list) else str(value)
