"""The daemon: one process, one event loop, the roles of one file.

Nothing is touched before the file is found right and the control socket is ours. SIGTERM and SIGINT stop in order:
nothing of ours stays in the kernel, unless the file says ``keep_forwarding``. SIGUSR1 stops for a successor: forwarding
stays as it is, as after a daemon that is killed or that fails, and the successor takes it up without a lost packet.
SIGHUP reads the file again (`sojourn.daemon.reloading`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sojourn import __version__
from sojourn.control.server import ControlServer, SocketTaken
from sojourn.core.effects import Report
from sojourn.core.events import Commanded, Event, LinkChanged
from sojourn.daemon import machine
from sojourn.daemon.anchor_seat import NameTakenError, Seat
from sojourn.daemon.configuration import Configuration, linux_settings, load
from sojourn.daemon.health import Health, notify
from sojourn.daemon.model import File
from sojourn.daemon.monitoring import Monitoring
from sojourn.daemon.observed import Listener
from sojourn.daemon.reloading import changes, concerns_roles, refusal, refused
from sojourn.daemon.roles import (
    Elsewhere,
    Role,
    StartError,
    access_interfaces,
    described,
    make_roles,
    open_shared,
    open_store,
    refusals,
    start_all,
)
from sojourn.daemon.service import Service
from sojourn.daemon.watched_store import WatchedStore
from sojourn.dataplane.correspondent import CorrespondentDataplane
from sojourn.dataplane.home_agent import HomeAgentDataplane
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.dataplane.mobile_node import MobileNodeDataplane
from sojourn.files.toml import ConfigurationError
from sojourn.host import garbage
from sojourn.host.repeats import Repeats
from sojourn.stores import LeasedStore, SharedStore, Store
from sojourn.telemetry.identifiers import Identifiers
from sojourn.telemetry.log import REFUSALS, Log

DONE, FAILED, WRONG = 0, 1, 2
"""Exit codes."""
LOOK_INTERVAL = 10.0
"""Seconds between two looks at what was refused before it became an event."""
_QUIET_REFUSALS = (
    "unknown-source", "from-access-link", "decode-errors", "rate-limited", "overflowed", "payload-proto",
    "header-length", "unknown-type", "send-errors", "checksum-errors", "home-address-refused", "routing-header-refused",
    "lines-lost", "invalid", "stations-refused", "overruns", "dump-errors", "effects-failed", "put-off",
)  # fmt: skip


def run(path: str | Path) -> int:
    """Run the daemon that the file describes until it is told to stop; answers with the exit code."""
    try:
        configuration = load(path)
        machine.demand(configuration)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return WRONG
    return asyncio.run(Daemon(configuration).main())


class Daemon:
    """What runs, from start to stop."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.file = file = configuration.file
        self.name = file.name or socket.gethostname()
        self.log = _log(self.name, file)
        self.control = ControlServer(file.control)
        self.roles: list[Role] = []
        self._service: Service | None = None
        self._health: Health
        self._monitoring: Monitoring
        self._store: Store | None = None
        self._elsewhere = Elsewhere()
        self._seat: Seat | None = None
        self._stop = asyncio.Event()
        self._leaves = False
        """Forwarding stays for a successor."""
        self._serving = False
        self._failed = False
        self._refused: dict[str, int] = {}
        self._repeats: dict[str, Repeats] = {}
        self._heard: dict[str, bool] = {}

    async def main(self) -> int:
        """Start, serve, stop."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_bug)
        for number in (signal.SIGTERM, signal.SIGINT):  # also one that comes during the start ends in an orderly stop
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGUSR1, self._on_leave)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        with ExitStack() as opened:
            try:
                self._store = self._prepare(opened)
                self._elsewhere = Elsewhere(await self._prepare_shared(opened))
                self._start()
                await self._prepare_seat()
            except (StartError, SocketTaken) as error:
                reason, code = str(error), FAILED
                if isinstance(error, NameTakenError):  # what is to be done about it is done in the file
                    problem = self.configuration.problem(("name",), error.wrong, error.remedy)
                    reason, code = problem.text(self.configuration.path), WRONG
                self.log.say("error", "not-started", reason=reason)
                await self.control.close()
                return code
            await self._serve()
        return FAILED if self._failed else DONE

    # --- start --------------------------------------------------------------------------------------------------------

    def _prepare(self, opened: ExitStack) -> Store:
        """What other daemons can take from us is ours: the control socket and the store."""
        for note in self.configuration.notes:
            self.log.say("warning", "configuration", note=note.text(self.configuration.path))
        with refusals("take the control socket", "name a path for control that this user may write to"):
            self.control.take()
        store = WatchedStore(open_store(self.file.store), self._on_store)
        opened.callback(store.close)
        return store

    async def _prepare_shared(self, opened: ExitStack) -> SharedStore | None:
        """What several databases of the domain have in common."""
        if self.file.cmd is None or not self.file.cmd.databases:
            return None
        shared = await open_shared(self.file.cmd.databases)
        opened.callback(shared.close)
        return shared

    async def _prepare_seat(self) -> None:
        """Who is the LMA, if that may be another machine. Raises `StartError`."""
        if self.file.lma is None or not self.file.lma.databases:
            return
        self._seat = Seat(self.file.lma, self.name, self)
        try:
            await self._seat.start()
        except StartError:
            self._monitoring.close(withdraw=False)
            self._close_roles()
            raise

    def _start(self) -> None:
        assert self._store is not None
        self._monitoring = Monitoring(self.file, lambda: self._seat.figures() if self._seat else None)
        self._monitoring.open()
        try:
            self.roles = make_roles(self.file, self._store, self._listener, self._elsewhere)
        except StartError:
            self._monitoring.close(withdraw=False)
            raise
        self._health = Health(self.roles, self._status, also=lambda: self._seat.waits() if self._seat else ())
        orders = {"reload": self.reload, "leave": self._leave}
        routers = {} if self.file.cmd is None else {"cmd": [maar.address for maar in self.file.cmd.maars]}
        key = self.file.identifier_key
        self._service = Service(
            self.name, self.roles, key, orders, health=self._health, routers=routers, told=self._tell
        )
        try:
            start_all(self.roles, self._say_started)
        except StartError:
            self._monitoring.close(withdraw=False)
            raise
        self._monitoring.start(self.roles, self._health)
        if self._serving:
            self._health.start()
            self.control.answer_by(self._service)
        if self._monitoring.refusal:
            remedy = "sojourn doctor says what this kernel can do"
            self.log.say("warning", "tunnels-not-counted", reason=self._monitoring.refusal, remedy=remedy)

    def _say_started(self, role: Role, removed: list[str]) -> None:
        for thing in removed:
            self.log.say("info", "removed", role=role.name, what=thing)
        if isinstance(role.dataplane, LinuxDataplane):
            self.log.say("info", "forwarding", role=role.name, backend=role.dataplane.backend)
        elif isinstance(role.dataplane, MobileNodeDataplane | CorrespondentDataplane):
            by, refusal = role.dataplane.optimised, role.dataplane.refusal
            self.log.say("info", "route-optimisation", role=role.name, **({"by": by} if by else {"refusal": refusal}))

    def _listener(self, role: str) -> Listener:
        """Who is told of what happens to a role."""

        repeats = self._repeats[role] = Repeats()

        def listen(item: Event | Report) -> None:
            if self._service is not None:
                self._service.collect(item)
            told = repeats.take(item, time.monotonic_ns()) if isinstance(item, Report) else (item,)
            for one in told:
                self._tell(role, one)
            if isinstance(item, LinkChanged) and item.up and self._serving:
                asyncio.get_running_loop().call_soon(self._reassert, role, item.interface)

        return listen

    def _tell(self, role: str, item: Event | Report) -> None:
        """The log, and whoever follows events."""
        self.log.take(item)
        service = self._service
        if service is not None and self.control.followed and service.worth_telling(item):
            self.control.tell(lambda plain: service.row(role, item, plain))

    # --- life ---------------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        assert self._service is not None
        await self.control.serve(self._service)
        self._serving = True
        self.control.answer_by(self._service)  # it may be another one by now
        looking = asyncio.create_task(self._look_at_refusals())
        roles = [role.name for role in self.roles]
        self.log.say("info", "ready", roles=roles, control=self.file.control, pid=os.getpid(), version=__version__)
        notify("READY=1", f"STATUS={self._status()}")
        self._health.start()
        garbage.search_less()
        try:
            await self._stop.wait()
        finally:
            notify("STOPPING=1")
            looking.cancel()
            self._health.stop()
            self._tell_refusals(at_last=True)
            await self.control.close()
            kept = self._failed or self._leaves or any(role.keep_forwarding for role in self.roles)
            self._monitoring.close(withdraw=not kept)
            if self._seat is not None:
                await self._leave_seat(self._seat)
            self._close_roles()

    # --- an LMA whose address may be at another machine ---------------------------------------------------------------

    def take_office(self, store: LeasedStore, epoch: int) -> None:
        """See `Office.take_office`: as a start, with what the one before stored."""
        self._change_office(Elsewhere(self._elsewhere.shared, store, epoch))

    def leave_office(self) -> None:
        """See `Office.leave_office`."""
        self._change_office(Elsewhere(self._elsewhere.shared))

    def _change_office(self, elsewhere: Elsewhere) -> None:
        if self._stop.is_set():
            return
        self._health.stop()
        self._monitoring.close(withdraw=elsewhere.leased is None)
        for role in reversed(self.roles):
            try:
                role.close(withdraw=role.name == "lma")
            except OSError as error:
                self.log.say("error", "not-withdrawn", role=role.name, reason=error.strerror or str(error))
        self.roles = []
        self._elsewhere = elsewhere
        try:
            self._start()
        except StartError as error:
            self.log.say("error", "not-started", reason=str(error))
            self.roles = []
            self._failed = True
            self._stop.set()
        notify(f"STATUS={self._status()}")

    def tidy(self) -> None:
        """See `Office.tidy`: also who was killed leaves nothing when another one is the anchor."""
        assert self.file.lma is not None
        if self.file.lma.backend == "memory":
            return
        try:
            LinuxDataplane(linux_settings(self.file.lma)).close()
        except OSError as error:
            self.log.say("error", "not-withdrawn", role="lma", reason=error.strerror or str(error))

    def tell(self, report: Report) -> None:
        """See `Office.tell`."""
        self._tell("lma", report)

    async def _leave_seat(self, seat: Seat) -> None:
        """The other machine need not wait for our silence; but after a failure of ours, nothing is said."""
        if self._failed:
            seat.discard()
        else:
            assert self.file.lma is not None
            await seat.close(leaving=self._leaves or self.file.lma.keep_forwarding)

    def _status(self) -> str:
        """A few words for ``systemctl status``."""
        words = [f"running {' and '.join(role.name for role in self.roles)}"] if self.roles else []
        words += [f"{role.engine.size()} in {role.name}" for role in self.roles]
        return "; ".join([*words, *self._health.problems(), *(f"waits for {what}" for what in self._health.waits())])

    def _close_roles(self) -> None:
        """In order, everything is taken back; after a failure of ours forwarding is left as it is."""
        for role in reversed(self.roles):
            withdraw = not self._failed and not self._leaves and not role.keep_forwarding
            try:
                role.close(withdraw)
            except OSError as error:
                self._failed = True
                self.log.say("error", "not-withdrawn", role=role.name, reason=error.strerror or str(error))
        self.log.say("info", "stopped", failed=self._failed)

    def _on_stop(self, number: int) -> None:
        self.log.say("info", "stopping", signal=signal.Signals(number).name)
        self._stop.set()

    def _on_store(self, refusal: str) -> None:
        if refusal:
            waits = "what is new is not acknowledged" if self.file.store_required else "a crash loses what is new"
            self.log.say("error", "store-refuses", reason=refusal, meanwhile=waits)
        else:
            self.log.say("info", "store-accepts", then="what was refused follows within a second")

    def _on_leave(self) -> None:
        self._leave()

    def _leave(self) -> list[Report]:
        """Stop, and leave forwarding to a successor."""
        if not self._leaves:
            for role in self.roles:
                if role.name == "maar":  # nobody is to miss it while nobody answers
                    role.host.driver.dispatch([Commanded("leave", {})])
        self._leaves = True
        self.log.say("info", "leaving", forwarding="stays as it is, for the next start")
        self._stop.set()
        return [Report("leaving", {"forwarding": "stays"})]

    # --- a new file ---------------------------------------------------------------------------------------------------

    def _on_hangup(self) -> None:
        """The recordings are opened anew, for log rotation, and the file is read again."""
        notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        for role in self.roles:
            if role.host.recorder is not None and not role.host.recorder.reopen():
                self.log.say("error", "recording-not-reopened", role=role.name, remedy="it goes on where it was")
        try:
            self.reload()
        except ValueError as error:
            for line in str(error).splitlines():
                self.log.say("error", "not-reloaded", reason=line)
        notify("READY=1")

    def reload(self) -> list[Report]:
        """Do what the file says now; answers with what changed. Raises ValueError, and then everything is as before."""
        if not self._serving:
            raise ValueError("the daemon is just starting; ask again")
        try:
            new = load(self.configuration.path)
            machine.demand(new)
        except ConfigurationError as error:
            raise ValueError(f"nothing was changed, as the file is wrong:\n{error}") from None
        keys = changes(self.file, new.file)
        if fixed := refused(keys, self.file):
            raise ValueError(refusal(fixed))
        if not keys:
            self.log.say("info", "configuration-unchanged")
            return [Report("configuration-unchanged", {})]
        if concerns_roles(keys):
            self._hand_over(new)
        else:
            self._adopt(new)
        self.log.say("info", "reloaded", changed=", ".join(keys))
        return [Report("reloaded", {"changed": ", ".join(keys)})]

    def _adopt(self, configuration: Configuration) -> None:
        self.configuration, self.file = configuration, configuration.file
        self.log.close()
        self.log = _log(self.name, self.file)

    def _hand_over(self, new: Configuration) -> None:
        """The roles let go of their forwarding, and new ones take it up. Raises ValueError: then old ones did."""
        old = self.configuration
        self._health.stop()
        self._monitoring.close(withdraw=False)
        for role in reversed(self.roles):
            role.close(withdraw=False)
        self._adopt(new)
        try:
            self._start()
        except StartError as error:
            self._adopt(old)
            try:
                self._start()
            except StartError as worse:
                self._failed = True
                self._stop.set()
                raise ValueError(f"neither the new file nor the old one can be started now: {worse}") from None
            raise ValueError(f"nothing was changed: {error}") from None

    def _reassert(self, role_name: str, interface: str) -> None:
        """An access interface, or the home link of a home agent, came back: perhaps it is another one now, without our
        addresses."""
        for role in self.roles:
            if role.name == role_name and isinstance(role.dataplane, LinuxDataplane):
                if interface not in access_interfaces(self.file) and not isinstance(role.dataplane, HomeAgentDataplane):
                    return
                try:
                    role.dataplane.reassert()
                except OSError as error:
                    self.log.say("warning", "not-reasserted", interface=interface, reason=error.strerror or str(error))

    async def _look_at_refusals(self) -> None:
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            self._tell_refusals()
            self._tell_access_points()

    def _tell_refusals(self, at_last: bool = False) -> None:
        """What was dropped before it became an event is told now and then, as a count."""
        assert self._service is not None
        for role, repeats in self._repeats.items():
            for report in repeats.due(time.monotonic_ns(), at_last):
                self._tell(role, report)
        for name, count in self._service.counters().items():
            before = self._refused.get(name, 0)
            if name.endswith(_QUIET_REFUSALS) and count > before:
                self.log.say("warning", "refused", subsystem=REFUSALS, counter=name, count=count - before)
                self._refused[name] = count

    def _tell_access_points(self) -> None:
        """Which access points are there is told when it changes; that one is not there is also told at first."""
        for role in self.roles:
            for point in role.host.access_points.points:
                if self._heard.setdefault(point.control, True) != point.heard:
                    self._heard[point.control] = point.heard
                    level, word = ("info", "heard") if point.heard else ("warning", "unreachable")
                    self.log.say(level, f"access-point-{word}", role=role.name, control=point.control)

    def _on_bug(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Nothing that a peer, a user or the kernel does leads here. Whoever supervises us starts us again."""
        error = context.get("exception")
        where = "".join(traceback.format_exception(error)) if error else context.get("message", "")
        for role in self.roles:
            self.log.say("error", "bug", role=role.name, handling=described(role.engine.handling), trace=where)
        self._failed = True
        self._stop.set()


def _log(name: str, file: File) -> Log:
    identifiers = Identifiers(file.identifier_key, plain=file.identifiers == "plain")
    levels = file.log_levels.model_dump(exclude_none=True)
    return Log(name, file.log, form=file.log_format, levels=levels, identifiers=identifiers)
