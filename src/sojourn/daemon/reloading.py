"""What of a file can change while the daemon runs, and what cannot.

A reload hands forwarding over as a restart does, only faster: the roles let go, forwarding stays in the kernel, and new
ones with the new file take it up from there and from the store. So nearly every key can change. Those that say where
forwarding is cannot, as what was made there must be taken away by whoever made it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from pydantic import BaseModel

from sojourn.daemon.model import ROLES, File

_AT_THE_TOP = frozenset({"control", "store"})
_OF_A_ROLE = frozenset(
    {
        "address",
        "access",
        "interface",
        "interfaces",
        "backend",
        "kernel",
        "prefixes",
        "databases",
        "ipv4_transport",
        "pair",
    }
)
_FREE = frozenset({"log", "log_format", "log_levels", "identifiers", "identifier_key"})
"""What no role is told."""


def changes(old: File, new: File) -> list[str]:
    """The keys whose values differ, as ``maar.idle_hold``; a role that came or went is one key."""
    found = []
    for key in File.model_fields:
        one, other = getattr(old, key), getattr(new, key)
        if one == other:
            continue
        if key in ROLES and one is not None and other is not None:
            fields = type(one).model_fields
            found += [f"{key}.{field}" for field in fields if getattr(one, field) != getattr(other, field)]
        else:
            found.append(key)
    return found


def concerns_roles(keys: Iterable[str]) -> bool:
    """Whether a role must know."""
    return any(key not in _FREE for key in keys)


def refused(keys: Iterable[str], file: File) -> list[str]:
    """Of the keys of `changes`, those that a running daemon cannot change."""
    shared = any(section is not None and section.databases for section in (file.cmd, file.lma))
    return [key for key in keys if _is_fixed(key) or (shared and key not in _FREE)]


def refusal(fixed: Iterable[str]) -> str:
    """The sentence that says so, with what to do. A restart would leave forwarding where the old file has it."""
    return (
        f"nothing was changed: {', '.join(fixed)} cannot change while the daemon runs; "
        "change the rest alone, or stop it (systemctl stop) and start it again"
    )


def fixed_keys() -> dict[str, list[str]]:
    """All such keys, by table; those at the top of the file under an empty name."""
    found = {"": [key for key in File.model_fields if key in _AT_THE_TOP]}
    for role in ROLES:
        found[role] = [key for key in section_of(role).model_fields if key in _OF_A_ROLE]
    return found


def section_of(role: str) -> type[BaseModel]:
    """The model of a role's table."""
    annotation = get_args(File.model_fields[role].annotation)
    section: type[BaseModel] = next(one for one in annotation if issubclass(one, BaseModel))
    return section


def _is_fixed(key: str) -> bool:
    role, _, field = key.partition(".")
    return key in _AT_THE_TOP or (role in ROLES and (not field or field in _OF_A_ROLE))
