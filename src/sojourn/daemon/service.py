"""What the daemon answers over its control socket."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sojourn import __version__
from sojourn.control.protocol import Pong
from sojourn.core.effects import Report
from sojourn.core.events import Commanded, Event, LinkChanged
from sojourn.daemon.acquaintances import Acquaintances
from sojourn.daemon.health import Health
from sojourn.daemon.roles import Role
from sojourn.daemon.selftest import OK, REPAIRED, SKIPPED, Selftest, owners, selected
from sojourn.host.notes import is_beat
from sojourn.telemetry.identifiers import Identifiers
from sojourn.telemetry.rows import row_of
from sojourn.wire.addresses import Address
from sojourn.wire.units import SECOND, Instant

TOPICS = ("sessions", "bindings", "routes", "peers", "groups", "handovers")
HEALTH = "health"
"""What is wrong with the daemon itself, for supervisors."""
_REFUSALS = frozenset({"command-unknown", "command-refused"})
_REPORTED = (LinkChanged,)
"""Events that the engine reports under the same name, so that people would read them twice."""
_VERB_MAX = 64
_ARGUMENTS_MAX = 16


class Service:
    """Answers from the roles' tables. See `sojourn.control.server.Handler`."""

    def __init__(
        self,
        name: str,
        roles: Sequence[Role],
        identifier_key: str,
        orders: Mapping[str, Callable[[], Sequence[Report]]] | None = None,
        *,
        health: Health | None = None,
        routers: Mapping[str, Sequence[Address]] | None = None,
        told: Callable[[str, Report], None] | None = None,
    ) -> None:
        """`orders` are commands for the daemon as a whole, which no role hears of. `routers`: whom each role speaks
        with, where it forwards nothing itself. `told` hears of what a selftest found.
        """
        self._name = name
        self._orders = orders or {}
        self._roles = roles
        self._hashed = Identifiers(identifier_key)
        self._plain = Identifiers(plain=True)
        self._health = health or Health(roles, str)
        self._routers = routers or {}
        self._told = told
        self._acquaintances = Acquaintances()
        self._testing = asyncio.Lock()
        self._started = time.monotonic()
        self._reports: list[Report] | None = None
        """Where reports are collected while a command is carried out."""

    def status(self) -> Pong:
        """Who this is."""
        names = [role.name for role in self._roles]
        detail = {role.name: type(role.dataplane).__name__ for role in self._roles}
        recorders = {role.name: role.host.recorder for role in self._roles}
        recordings = {name: os.path.abspath(one.path) for name, one in recorders.items() if one is not None}
        uptime = round(time.monotonic() - self._started, 3)
        return Pong(self._name, __version__, names, os.getpid(), uptime, detail, recordings)

    def show(self, topic: str, plain: bool) -> list[dict[str, Any]]:
        """A table; with several roles each row says whose it is."""
        if topic == HEALTH:
            problems = [{"healthy": False, "what": problem} for problem in self._health.problems()]
            waits = [{"healthy": True, "what": f"waits for {what}"} for what in self._health.waits()]
            return [*problems, *waits] or [{"healthy": True, "what": "the daemon does its work"}]
        if topic not in TOPICS:
            raise ValueError(f"there is no table {topic!r}; there are {', '.join((*TOPICS, HEALTH))}")
        identifiers = self._plain if plain else self._hashed
        now = time.monotonic_ns()
        found = []
        for role in self._roles:
            rows = role.dataplane.show() if topic == "routes" else role.engine.show(topic, now)
            owner = {"of": role.name} if len(self._roles) > 1 else {}
            found += [owner | identifiers.row(row) for row in rows]
        return found

    def counters(self) -> dict[str, int]:
        """All counters, with role and part in front: ``maar:socket:unknown-source``."""
        return {
            f"{role.name}:{name}": count for role in self._roles for name, count in sorted(role.host.counters().items())
        }

    def recent(self, plain: bool) -> list[dict[str, Any]]:
        """The latest events and reports of all roles, oldest first."""
        happened = [
            (instant, role.name, item)
            for role in self._roles
            for instant, item in role.host.driver.recent
            if self.worth_telling(item)
        ]
        happened.sort(key=lambda entry: entry[0])
        return [self.row(role, item, plain, instant) for instant, role, item in happened]

    def worth_telling(self, item: Event | Report) -> bool:
        """Whether nothing else tells the same, and it says something."""
        return not isinstance(item, _REPORTED) and not is_beat(item)

    def row(self, role: str, item: Event | Report, plain: bool, instant: Instant | None = None) -> dict[str, Any]:
        """An event or report, with its time: that of `instant`, or now."""
        ago = 0 if instant is None else time.monotonic_ns() - instant
        when = datetime.fromtimestamp((time.time_ns() - ago) / SECOND, UTC)
        identifiers = self._plain if plain else self._hashed
        stamp = when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"time": stamp, "role": role, **identifiers.row(row_of(item))}

    def command(self, verb: str, arguments: dict[str, str]) -> list[dict[str, Any]]:
        """Hand the command to every role. Raises ValueError when none of them takes it."""
        if len(verb) > _VERB_MAX or len(arguments) > _ARGUMENTS_MAX:
            raise ValueError("the command is too long")
        if (order := self._orders.get(verb)) is not None:
            if arguments:
                raise ValueError(f"{verb} takes no arguments")
            return [self.row("daemon", report, plain=False) for report in order()]
        taken = False
        said = []
        for role in self._roles:
            self._reports = []
            role.host.driver.dispatch([Commanded(verb, arguments)])
            reports, self._reports = self._reports, None
            taken |= not any(report.name in _REFUSALS for report in reports)
            said += [self.row(role.name, report, plain=False) for report in reports]
        if not taken:
            raise ValueError(f"the command {verb!r} with {arguments} was not taken; see: sojourn show events")
        return said

    async def selftest(self, target: str, repair: bool, plain: bool) -> list[dict[str, Any]]:
        """Test the ways of packets, one test at a time. Raises ValueError when there is no such node or prefix."""
        identifiers = self._plain if plain else self._hashed
        found: list[dict[str, Any]] = []
        async with self._testing:
            tests = []
            for role in self._roles:
                whose = owners(role)
                wanted = selected(target, whose, self._hashed)
                if target and not any(map(wanted, whose)):
                    continue
                tests.append(
                    Selftest(role, self._acquaintances, wanted, self._routers.get(role.name, ()), owners=whose)
                )
            if not tests:
                raise ValueError(f"there is no session of {target!r} here; see: sojourn show sessions")
            for test in tests:
                owner = {"of": test.role.name} if len(self._roles) > 1 else {}
                rows = await test.run(repair)
                found += [owner | identifiers.row(row) for row in rows]
                for row in rows:
                    if self._told is not None and row["result"] not in (OK, SKIPPED):
                        self._told(test.role.name, _found(row))
        return found

    def collect(self, item: Event | Report) -> None:
        """Reports that come while a command is carried out are its answer; an event may show a host's address."""
        self._acquaintances.take(item)
        if self._reports is not None and isinstance(item, Report):
            self._reports.append(item)


def _found(row: Mapping[str, Any]) -> Report:
    """What a selftest found wrong, or put right, for the log."""
    known = ("node", "prefix", "check", "result", "place", "detail")
    name = "selftest-repaired" if row["result"] == REPAIRED else "selftest-failed"
    return Report(name, {key: row[key] for key in known if row.get(key) is not None})
