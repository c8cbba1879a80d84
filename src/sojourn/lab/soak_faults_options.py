"""What a soak with faults is told: the command line of ``sojourn lab run soak-faults``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from sojourn.lab.faults import KINDS, Kind
from sojourn.lab.registry import ScenarioOptions

Domain: TypeAlias = Literal["dmm", "pmip", "mip6"]


@dataclass(frozen=True, slots=True)
class FaultSoakOptions:
    """What the command line says."""

    output: Path
    domain: Domain = "dmm"
    seconds: int = 120
    seed: int = 1
    hosts: int = 10
    routers: int = 4
    kinds: tuple[Kind, ...] = ()
    """What breaks; empty: as the cast has it."""
    partners: bool = False
    """Routers miss each other within a second, and each has a partner that takes its pool over."""
    faults: int = 0
    """End after so many; 0: when the time is over."""
    kills: int = 0
    """End when every role was killed so often; 0: when the time is over."""
    at_once: int = 1
    """Break so many things at a time, at most."""
    lifetime: int = 40
    """Of bindings, in seconds: longer than a daemon may be away on a machine that does other things as well."""
    json: bool = False
    plain: bool = False


def parsed(options: ScenarioOptions) -> FaultSoakOptions:
    """The options of the command line. Raises ValueError, which names what is wrong."""
    extra = dict(options.extra)
    domain = extra.pop("domain", "dmm")
    if domain not in get_args(Domain):
        raise ValueError(f'--domain: expected dmm, pmip or mip6, found "{domain}"')
    kinds = tuple(kind for kind in extra.pop("kinds", "").split(",") if kind)
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise ValueError(f'--kinds: expected some of {", ".join(KINDS)}, with commas between, found "{unknown[0]}"')
    result = FaultSoakOptions(
        options.output,
        domain=cast(Domain, domain),
        seconds=_number(extra.pop("seconds", "120"), "--seconds", 1, 1_000_000),
        seed=_number(extra.pop("seed", "1"), "--seed", 0, 1 << 31),
        hosts=_number(extra.pop("hosts", "10"), "--hosts", 1, 100),
        kinds=cast("tuple[Kind, ...]", kinds),
        partners=_switch(extra.pop("partners", "no"), domain),
        faults=_number(extra.pop("faults", "0"), "--faults", 0, 1_000_000),
        kills=_number(extra.pop("kills", "0"), "--kills", 0, 1_000_000),
        at_once=_number(extra.pop("at-once", "1"), "--at-once", 1, 5),
        json=options.json,
        plain=options.plain,
    )
    if extra:
        unknown_words = ", ".join(f"--{name}" for name in extra)
        known = "--seconds, --seed, --domain, --hosts, --kinds, --partners, --faults, --kills, --at-once"
        raise ValueError(f"there is no {unknown_words}; there are {known}")
    return result


def _switch(text: str, domain: str) -> bool:
    on = text.lower() not in ("", "no", "false", "0")
    if on and domain != "dmm":
        raise ValueError("--partners: anchors have partners in the domain dmm only")
    return on


def _number(text: str, name: str, least: int, most: int) -> int:
    if not text.isdigit() or not least <= int(text) <= most:
        raise ValueError(f'{name}: expected a number from {least} to {most}, found "{text}"')
    return int(text)
