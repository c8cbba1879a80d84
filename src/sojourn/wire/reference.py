"""The reference page of the wire formats, made from the declarations.

``python -m sojourn.wire.reference > docs/reference/wire.md`` writes it; a test compares.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from enum import IntFlag
from functools import cache
from types import ModuleType
from typing import Any

from sojourn.wire import fields, icmpv6, mobility
from sojourn.wire.generate import NATURAL, kinds
from sojourn.wire.names import REGISTERED, REGISTRIES, enumerations
from sojourn.wire.tlv import Family
from sojourn.wire.tolerance import ALWAYS, FAMILIES, PROFILES, Tolerance
from sojourn.wire.units import MILLISECOND, SECOND

_HEAD = """\
# Wire formats

Made from the declarations by `python -m sojourn.wire.reference`; [wire.md](../wire.md) tells how to use them. A field's
layout is its size on the wire: `u16` is an unsigned number of 16 bits, `3b` three bits, `ip6` the 16 octets of an
address, `rest` all octets to the end; a unit in parentheses says what one step of the number means. Reserved fields can
be given by name and are zero otherwise. The values of an enumeration are at the end of the page.

"""


def markdown() -> str:
    """The whole page."""
    parts = [_HEAD, "## Mobility Header messages (RFC 6275 6.1.1)\n\n"]
    parts += _messages(mobility.MESSAGES, mobility.SUBTYPED_MESSAGES)
    parts += ["## Mobility options (RFC 6275 6.2)\n\n"]
    parts += [_entry(number, cls) for number, cls in mobility.MOBILITY_OPTIONS.classes.items()]
    for family in FAMILIES.values():
        if family.classes:
            parts += [f"## Sub-options: {family.name}\n\n", *_family(family)]
    parts += ["## ICMPv6 messages\n\n", *_messages(icmpv6.MESSAGES, icmpv6.SUBTYPED_MESSAGES)]
    parts += ["## Neighbour discovery options (RFC 4861 4.6)\n\n", *_family(icmpv6.ND_OPTIONS)]
    parts += ["## Registered values\n\n", *map(_enumeration, sorted(REGISTERED))]
    parts += [_tolerances()]
    return "".join(parts).rstrip() + "\n"


def _messages(plain: Any, subtyped: Any) -> Iterator[str]:
    for number in sorted({*plain, *subtyped}):
        classes = [plain[number]] if number in plain else subtyped[number].values()
        yield from (_entry(number, cls) for cls in classes)


def _family(family: Family) -> Iterable[str]:
    return (_entry(number, cls) for number, cls in family.classes.items())


def _entry(number: int, cls: Any) -> str:
    lines = [f"### {number} {cls.__name__}\n"]
    lines += [_paragraphs(inspect.cleandoc(cls.__doc__ or ""))]
    facts = [f"`{cls.__module__}`"]
    if getattr(cls, "align", (1, 0)) != (1, 0):
        facts += [f"begins at {_alignment(cls)}"]
    lines += [", ".join(facts) + ".\n"]
    rows = [_row(cls, name, kind) for name, kind in kinds(cls).items()]
    if rows:
        lines += ["| field | layout | values | |\n| --- | --- | --- | --- |\n" + "".join(rows)]
    return "\n".join(lines) + "\n"


def _paragraphs(text: str) -> str:
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text) + "\n"


def _alignment(cls: Any) -> str:
    if cls.align == NATURAL:
        return "what the size of its tail demands (`sojourn.wire.generate.NATURAL`)"
    if callable(cls.align):
        return "what its contents demand"
    x, y = cls.align
    return f"{x}n+{y}" if y else f"{x}n"


def _row(cls: Any, name: str, kind: Any) -> str:
    named = enumerations(cls).get(name)
    told = documentation(cls).get(name, "").replace("|", "\\|").replace("\n", " ")
    told = re.sub(r"^`\w+`(, with the reserved bits as they came)?[.;] ?", "", told)
    return f"| `{name}` | {_layout(kind)} | {_values(named) if named else ''} | {told} |\n"


def _layout(kind: Any) -> str:
    match kind:
        case fields.Flag():
            return "`1b`"
        case fields.Bits(size, maximum):
            return f"`{size}b`" + (f", at most {maximum}" if maximum is not None else "")
        case fields.UInt(size, maximum):
            return f"`u{8 * size}`" + (f", at most {maximum}" if maximum is not None else "")
        case fields.SInt(size):
            return f"`s{8 * size}`"
        case fields.Scaled(size, unit):
            return f"`u{8 * size}` ({_unit(unit)})"
        case fields.Octets(size):
            return {16: "`ip6`", 4: "`ip4`"}.get(size, f"{size} octets")
        case fields.Rest() as rest:
            return "`rest`" if not rest.minimum and not rest.sizes else f"`rest`, {rest.expected()} octets"
        case fields.Repeated(size, minimum, number):
            one = f"`u{8 * size}`" if number else {16: "`ip6`"}.get(size, f"{size} octets")
            return f"{one}, any number" + (f" from {minimum}" if minimum else "")
        case fields.Tlvs(family):
            return "options" if family in ("mobility options", "neighbour discovery options") else family
        case fields.Counted():
            return "`u8` length, octets"
        case fields.InHeader():
            return "`u8` in the header"
    raise AssertionError(kind)


def _unit(unit: int) -> str:
    return f"{unit // SECOND} s" if unit % SECOND == 0 else f"{unit // MILLISECOND} ms"


def _values(named: Any) -> str:
    if issubclass(named, IntFlag):
        return ", ".join(f"`{_letter(named, flag)}` {flag.value:#x}" for flag in named)
    return f"`{named.__module__.removeprefix('sojourn.wire.').removeprefix('extensions.')}.{named.__name__}`"


def _enumeration(registry: str) -> str:
    """The values of a registry, and the enumeration that has them."""
    named = REGISTRIES[registry]
    title = _values(named).strip("`")
    lines = [f"### {title}\n\n{_paragraphs(inspect.cleandoc(named.__doc__ or ''))}\n| value | name |\n| --- | --- |\n"]
    return "".join(lines + [f"| {one.value} | `{one.name}` |\n" for one in named]) + "\n"


def _letter(named: Any, flag: Any) -> str:
    names: list[str] = [name for name, member in named.__members__.items() if member is flag]
    return min(names, key=len)


def _tolerances() -> str:
    lines = ["## What lenient decoding tolerates\n\n| tolerance | what | of whom |\n| --- | --- | --- |\n"]
    for one in Tolerance:
        lines += [f"| `{one.name}` | {one.value} | {'everybody' if one in ALWAYS else 'peers with a profile'} |\n"]
    lines += ["\nProfiles, off unless asked for:\n\n| profile | why |\n| --- | --- |\n"]
    lines += [f"| `{profile.name}` | {profile.why} |\n" for profile in PROFILES.values()]
    return "".join(lines)


@cache
def _strings(module: ModuleType) -> dict[tuple[str, str], str]:
    """The strings below annotated names in classes, which Python itself forgets."""
    found = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for first, second in zip(node.body, node.body[1:], strict=False):
            if isinstance(first, ast.AnnAssign) and isinstance(first.target, ast.Name) and _is_string(second):
                found[node.name, first.target.id] = inspect.cleandoc(second.value.value)  # type: ignore[attr-defined]
    return found


def _is_string(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def documentation(cls: Any) -> dict[str, str]:
    """What is said of the fields of a declared class."""
    strings = _strings(sys.modules[cls.__module__])
    names = [field.name for field in dataclasses.fields(cls)]
    return {name: strings[cls.__name__, name] for name in names if (cls.__name__, name) in strings}


if __name__ == "__main__":
    print(markdown(), end="")
