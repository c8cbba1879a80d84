"""The place of this machine among those that may be the LMA at one address (``lma.databases``, ``[lma.pair]``).

The engine (`sojourn.engines.anchor_pair`) in its host: questions to the store are tasks, the other machine is heard at
an address of our own. Being the LMA, and being it no longer, is the daemon's: `Office`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, assert_never

from sojourn.core.effects import Report, SendMessage
from sojourn.core.events import Commanded
from sojourn.daemon.model_lma import Lma
from sojourn.daemon.roles import StartError, refusals
from sojourn.engines.anchor_pair import (
    ACTIVE,
    AnchorPair,
    Claim,
    Forget,
    Lease,
    LeaseSeen,
    Look,
    PairEffect,
    PairEvent,
    Question,
    Renew,
    Retire,
    Serve,
)
from sojourn.engines.liveness_settings import LivenessSettings
from sojourn.host.loop import LoopTimer
from sojourn.host.sockets import MobilitySocket
from sojourn.stores import LeasedStore, StoreError
from sojourn.telemetry.figures import SeatFigures
from sojourn.wire.addresses import text
from sojourn.wire.units import SECOND

PATIENCE = 30.0
"""Seconds that the store may take to answer at the start."""
_LAST_WORD = 1.0
"""Seconds that the last word to the store, and whoever follows us, may take."""
_POLL, _ARRIVAL = 0.02, 0.2
"""Seconds between two looks at who follows us, and until it forwards: less than a beat."""
_LOOKS = 6
"""At a lease that somebody of our name has, an interval apart each: that long at most."""
_MACHINE = Path("/etc/machine-id")


class NameTakenError(StartError):
    """Another process that runs holds the lease under our name."""

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(f"{wrong}; {remedy}")
        self.wrong, self.remedy = wrong, remedy


class Office(Protocol):
    """The daemon, as one that can be the LMA."""

    def take_office(self, store: LeasedStore, epoch: int) -> None:
        """Be it, with what is in `store`."""
        ...

    def leave_office(self) -> None:
        """Be it no longer: nothing of it stays here."""
        ...

    def tidy(self) -> None:
        """We are not: what an earlier life left in the kernel goes."""
        ...

    def tell(self, report: Report) -> None:
        """For people."""
        ...


class Seat:
    """Of the LMA that `section` describes, on the machine called `name`."""

    def __init__(self, section: Lma, name: str, office: Office) -> None:
        """Raises `StartError`: also where asyncpg is missing."""
        try:
            from sojourn.stores.leased_postgres import Database, LeasedPostgres
        except ImportError:
            raise StartError("lma.databases: asyncpg is not here; install sojourn[postgres]") from None
        pair = section.pair
        self._section, self._office = section, office
        self._name = text(pair.own) if pair else f"{name}@{_machine()}"
        self._holder = f"{self._name} {secrets.token_hex(4)}"
        """Another one in each life: of two processes that were given one name the store gives the lease to one."""
        self._serving, self._taken, self._retired = False, 0, 0
        self._connect = partial(Database, section.databases, section.address, self._holder)
        self._read = LeasedPostgres.open
        self._database, self._spare = self._connect(), self._connect()
        """For the lease, and to look who has it: a connection that is there already when bindings are to be read."""
        settings = LivenessSettings(pair.interval, pair.misses) if pair else LivenessSettings()
        self._beat = settings.interval / SECOND
        own, partner = (pair.own, pair.partner) if pair else (section.address, None)
        self._engine = AnchorPair(own, partner, settings, int(time.time()))
        loop = self._loop = asyncio.get_running_loop()
        self._timer = LoopTimer(loop, self._wake)
        self._socket: MobilitySocket | None = None
        if pair:
            with refusals(f"open a socket of {text(own)}", "run as root, or with CAP_NET_ADMIN and CAP_NET_RAW"):
                self._socket = MobilitySocket(own, peers={pair.partner})
        self._question: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._tidy = False

    async def start(self) -> None:
        """Find out whose the address is. Raises `StartError` when the store does not answer, or `NameTakenError`."""
        database = self._database
        try:
            await asyncio.wait_for(asyncio.gather(database.look(), self._spare.look()), PATIENCE)
            namesake = await asyncio.wait_for(self._is_renewed_by_a_namesake(), PATIENCE)
        except StoreError as error:
            self.discard()
            raise StartError(f"open the store: {error.strerror}") from error
        except TimeoutError:
            self.discard()
            remedy = "start it, or name one that runs in lma.databases"
            raise StartError(f"open the store: {database.name}: {database.trouble}; {remedy}") from None
        if namesake:
            self.discard()
            wrong = f"another daemon that runs is called so, and holds the lease of {text(self._section.address)} there"
            remedy = (
                "give each machine that shares lma.databases a name of its own, and a machine-id"
                " (systemd-machine-id-setup), if it is a copy of another one"
            )
            raise NameTakenError(wrong, remedy)
        if self._socket is not None:
            self._loop.add_reader(self._socket.fileno(), self._on_messages)
        self._carry_out(self._engine.start(time.monotonic_ns()))

    async def _is_renewed_by_a_namesake(self) -> bool:
        """Whether somebody who lives has the lease under our name.

        An earlier life of ours renews it no more, though its last word may arrive late: so it has to change twice. One
        that left it to us made it last long. Of a pair each has its name, an address, for itself: no other machine of
        the network has that. What is not seen here, as that other process hangs or waits for the lease too, the engine
        gets on with: it takes nothing from a namesake, and reports `name-taken`.
        """
        if self._section.pair is not None:
            return False
        seen: set[datetime] = set()
        for number in range(_LOOKS):
            row = await self._database.renewal()
            if row is None or not self._is_namesake(row[0]) or not 0 < row[2] <= self._engine.lasting:
                return False
            seen.add(row[1])
            if len(seen) > 2 or (number > 1 and len(seen) == 1):
                break
            await asyncio.sleep(self._beat)
        return len(seen) > 2

    def _is_namesake(self, holder: str) -> bool:
        return holder != self._holder and _who(holder) == self._name

    def figures(self) -> SeatFigures:
        """For whoever measures."""
        engine = self._engine
        seen = 0 if engine.lease is None else engine.lease.epoch
        epoch = engine.epoch if engine.standing is ACTIVE else seen
        alive = engine.accompanied if self._section.pair else None
        return SeatFigures(self._section.address, self._serving, epoch, self._taken, self._retired, alive)

    def waits(self) -> tuple[str, ...]:
        """What there is to wait for, for people."""
        lease, found = self._engine.lease, []
        if self._engine.standing is not ACTIVE:
            where = ""
            if lease is not None and lease.holder and not self._engine.is_ours(lease):
                where = f", which is at {_who(lease.holder)}"
            found.append(f"lma: the lease of {text(self._section.address)}{where}")
        if trouble := self._database.trouble or self._spare.trouble:
            found.append(f"lma: the store {self._database.name} ({trouble})")
        return tuple(found)

    async def close(self, *, leaving: bool) -> None:
        """Say that we go, or (`leaving`) that a successor follows. Who goes waits for the other one, a second at most:
        packets come here until that one is there, and are forwarded as long as nothing is withdrawn.
        """
        hands_over = self._engine.standing is ACTIVE and self._engine.accompanied and not leaving
        self._carry_out(self._engine.handle(Commanded("leave" if leaving else "stop"), time.monotonic_ns()))
        with suppress(TimeoutError, StoreError):
            async with asyncio.timeout(_LAST_WORD):
                if self._question is not None:
                    await asyncio.wait({self._question})
                while hands_over and not await self._is_taken():
                    await asyncio.sleep(_POLL)
                if hands_over:
                    await asyncio.sleep(_ARRIVAL)
        self.discard()

    async def _is_taken(self) -> bool:
        """Whether somebody else has the lease."""
        row = await self._database.look()
        return row is not None and row[0] not in ("", self._holder)

    def discard(self) -> None:
        """Without a word."""
        self._timer.arm(None)
        for task in (self._question, self._opening):
            if task is not None:
                task.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        self._database.close()
        self._spare.close()

    # --- events -------------------------------------------------------------------------------------------------------

    def _on_messages(self) -> None:
        assert self._socket is not None
        for event in self._socket.events():
            self._handle(event)

    def _handle(self, event: PairEvent) -> None:
        self._carry_out(self._engine.handle(event, time.monotonic_ns()))

    def _wake(self) -> None:
        self._carry_out(self._engine.expire(time.monotonic_ns()))

    def _on_lost(self) -> None:
        self._carry_out(self._engine.lost(time.monotonic_ns()))

    # --- effects ------------------------------------------------------------------------------------------------------

    def _carry_out(self, effects: Sequence[PairEffect]) -> None:
        for effect in effects:
            match effect:
                case SendMessage(message, source, destination):
                    if self._socket is not None:
                        self._socket.send(message, source, destination)
                case Report():
                    self._office.tell(effect)
                case Look() | Claim() | Renew():
                    self._question = self._spawn(self._ask(effect))
                case Forget():
                    if self._question is not None:
                        self._question.cancel()
                case Serve(epoch):
                    self._opening = self._spawn(self._open(epoch))
                case Retire():
                    self._serving = False
                    self._retired += 1
                    if self._opening is not None:
                        self._opening.cancel()
                    self._office.leave_office()
                case _:
                    raise AssertionError(f"an engine of leases asks for {effect}")
        self._timer.arm(self._engine.deadline())

    async def _ask(self, question: Question) -> None:
        database = self._database
        while True:
            try:
                match question:
                    case Look():
                        row = await self._spare.look()
                    case Claim(known, lasting):
                        row = await database.claim(known, lasting)
                    case Renew(epoch, lasting):
                        row = await database.renew(epoch, lasting)
                    case _:
                        assert_never(question)
                break
            except StoreError as error:  # somebody changed roles or rights; that can be put right
                self._office.tell(Report("store-refuses", {"reason": error.strerror or str(error)}))
                await asyncio.sleep(1.0)
        lease = None
        if row is not None:
            holder, epoch, valid = row
            lease = Lease(holder, epoch, holder == self._holder, valid, self._is_namesake(holder))
        self._handle(LeaseSeen(lease))
        if not self._tidy:
            self._tidy = True
            if self._engine.lease is None or not self._engine.is_ours(self._engine.lease):
                self._office.tidy()

    async def _open(self, epoch: int) -> None:
        begun = time.monotonic_ns()
        database, self._spare = self._spare, self._connect()
        try:
            store = await self._read(database, epoch, self._on_lost)
        except BaseException:
            database.close()
            raise
        self._office.take_office(store, epoch)
        self._serving = True
        self._taken += 1
        took = (time.monotonic_ns() - begun) * 1000 // SECOND
        self._office.tell(Report("anchor-serving", {"address": text(self._section.address), "milliseconds": took}))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "a task of the lease failed", "exception": error})


def _who(holder: str) -> str:
    """Without the part that is another one in each life; the first version had none."""
    return holder.rpartition(" ")[0] or holder


def _machine() -> str:
    """Tells machines apart that have one name."""
    try:
        return _MACHINE.read_text()[:8]
    except OSError:
        return "machine"
