"""What of a file can change while the daemon runs."""

from __future__ import annotations

from typing import TypeVar

import pytest
from pydantic import BaseModel

from sojourn.daemon.configuration import parse
from sojourn.daemon.model import ROLES, File
from sojourn.daemon.reloading import changes, concerns_roles, fixed_keys, refusal, refused, section_of

FILE = """\
control = "/run/sojourn/ar1.sock"
[maar]
address = "2001:db8:a1::1"
pool = "2001:db8:a100::/48"
access = ["acc0"]
cmd = "2001:db8:c::1"
[[maar.peers]]
address = "2001:db8:a2::1"
"""
ROUTER = """\
control = "/run/sojourn/mn.sock"
[mn]
interfaces = ["wlan0"]
[[mn.homes]]
address = "2001:db8:f::9"
home_agent = "2001:db8:f::1"
prefix = "2001:db8:f::/64"
"""
DATABASE = """\
control = "/run/sojourn/cmd.sock"
[cmd]
address = "2001:db8:c::1"
databases = ["postgresql://db1/sojourn"]
[[cmd.maars]]
address = "2001:db8:a1::1"
pool = "2001:db8:a100::/48"
"""


def file(text: str) -> File:
    return parse(text.encode(), "f.toml").file


@pytest.mark.parametrize(
    ("old", "new", "keys", "fixed"),
    [
        ("", "", [], []),
        ("control =", 'log = "debug"\ncontrol =', ["log"], []),
        ("[maar]", '[maar]\nidle_hold = "9s"\nlifetime = "40s"', ["maar.lifetime", "maar.idle_hold"], []),
        ("a2::1", "a3::1", ["maar.peers"], []),
        ("a1::1", "a9::1", ["maar.address"], ["maar.address"]),
        ('"acc0"', '"acc0", "acc1"', ["maar.access"], ["maar.access"]),
        ("ar1.sock", "ar2.sock", ["control"], ["control"]),
    ],
)
def test_keys_that_differ_and_those_that_cannot(old: str, new: str, keys: list[str], fixed: list[str]) -> None:
    before, after = file(FILE), file(FILE.replace(old, new) if old else FILE)
    found = changes(before, after)
    assert sorted(found) == sorted(keys)
    assert refused(found, before) == fixed


def test_a_role_that_comes_is_for_a_restart() -> None:
    assert changes(file(ROUTER), file(ROUTER + "[cn]\n")) == ["cn"]
    assert refused(["cn"], file(ROUTER)) == ["cn"]


def test_only_what_is_for_people_concerns_no_role() -> None:
    assert not concerns_roles(["log", "log_format", "identifiers", "identifier_key"])
    assert concerns_roles(["log", "maar.peers"])


def test_a_database_among_several_lets_nothing_go() -> None:
    """Its connections to the store belong to the role, which would have to wait for them."""
    before, after = file(DATABASE), file(DATABASE.replace("[cmd]", '[cmd]\nwarm_up = "9s"'))
    assert refused(changes(before, after), before) == ["cmd.warm_up"]


FREE = {"log", "log_format", "log_levels", "identifiers", "identifier_key"}
T = TypeVar("T", bound=BaseModel)
KEYS = [key for key in File.model_fields if key not in ROLES]
KEYS += [f"{role}.{key}" for role in ROLES for key in section_of(role).model_fields]
"""All of docs/configuration.md that stand in a table of their own; what is below one changes with it."""


def changed(key: str) -> tuple[File, File]:
    """Two files that differ in that key; what they say is nothing that a file could."""
    role, _, field = key.rpartition(".")
    if not role:
        return made(File), made(File, **{key: 1})
    section = section_of(role)
    return made(File, **{role: made(section)}), made(File, **{role: made(section, **{field: 1})})


def made(model: type[T], **values: object) -> T:
    """One of which nobody asks whether it is right."""
    return model.model_construct(**{**dict.fromkeys(model.model_fields), **values})


@pytest.mark.parametrize("key", KEYS)
def test_every_key_takes_effect_or_is_refused_with_a_sentence(key: str) -> None:
    """Of the schema, so that a new key is not forgotten: it is a change, and roles are made anew with it unless it is
    for people only; or it is one that cannot change, and the answer names it and says what to do."""
    before, after = changed(key)
    found = changes(before, after)
    assert found == [key]
    role, _, field = key.rpartition(".")
    fixed = field in fixed_keys()[role]
    assert refused(found, before) == ([key] if fixed else [])
    if fixed:
        assert refusal([key]).startswith(f"nothing was changed: {key} cannot change while the daemon runs; ")
        assert "stop it (systemctl stop) and start it again" in refusal([key])
    else:
        assert concerns_roles(found) == (key not in FREE)


def test_every_key_that_names_a_place_in_the_kernel_is_fixed() -> None:
    """A role has a few of these; that they still exist under these names is what this is about."""
    places = {"address", "access", "interface", "interfaces", "backend", "kernel", "prefixes", "databases", "pair"}
    assert {key for role in ROLES for key in fixed_keys()[role]} == places | {"ipv4_transport"}
    assert fixed_keys()[""] == ["control", "store"]
