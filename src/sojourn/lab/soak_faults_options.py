"""What a soak with faults is told: the command line of ``sojourn lab run soak-faults``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

from sojourn.lab.faults import KINDS, Kind
from sojourn.lab.own_options import choice, number, switch
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


def taken(options: ScenarioOptions) -> FaultSoakOptions:
    """The options of the command line. Raises ValueError, which names what is wrong."""
    extra = options.extra
    domain: Domain = choice(extra, "domain", get_args(Domain))
    kinds = tuple(kind for kind in extra.pop("kinds", "").split(",") if kind)
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise ValueError(f'--kinds: expected some of {", ".join(KINDS)}, with commas between, found "{unknown[0]}"')
    partners = switch(extra, "partners")
    if partners and domain != "dmm":
        raise ValueError("--partners: anchors have partners in the domain dmm only")
    return FaultSoakOptions(
        options.output,
        domain=domain,
        seconds=number(extra, "seconds", 120, 1, 1_000_000),
        seed=number(extra, "seed", 1, 0, 1 << 31),
        hosts=number(extra, "hosts", 10, 1, 100),
        kinds=cast("tuple[Kind, ...]", kinds),
        partners=partners,
        faults=number(extra, "faults", 0, 0, 1_000_000),
        kills=number(extra, "kills", 0, 0, 1_000_000),
        at_once=number(extra, "at-once", 1, 1, 5),
        json=options.json,
        plain=options.plain,
    )
