"""Is the daemon alive, in the sense that it does its work? Supervisors ask (sd_notify, ``/health``, ``show health``).

Healthy means: the event loop turns in time, and no engine waits long to be told that its time has come. What the daemon
waits for elsewhere (a shared store, a peer) is no reason to start it again, and is told apart.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import time
from collections.abc import Callable, Sequence

from sojourn.daemon.roles import Role
from sojourn.wire.units import SECOND

TICK = 0.25
"""Seconds between two looks at how late the loop is."""
LATE = 5.0
"""Seconds that the loop, or an engine's timer, may be late; a daemon that is later does not do its work."""
STATUS_EVERY = 10.0
"""Seconds between two words about what there is, for ``systemctl status``."""


class Health:
    """Of one daemon: looks after its event loop from `start` on, and feeds the watchdog of systemd, if there is one.

    `status` says in a few words what there is to tell, `also` what else is waited for; `feeding`: every so many seconds
    the watchdog wants to hear.
    """

    def __init__(
        self,
        roles: Sequence[Role],
        status: Callable[[], str],
        feeding: float | None = None,
        *,
        also: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._roles = roles
        self._also = also
        self._status = status
        self._feeding = watchdog_interval() if feeding is None else feeding
        self._task: asyncio.Task[None] | None = None
        self._due = math.inf
        """When the next look is; while nobody looks, none is late."""
        self._worst = 0.0
        self._recent = 0.0
        """The worst lateness of the last ticks, which fades away."""

    def start(self) -> None:
        """Begin to look."""
        self._due = time.monotonic() + TICK
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
        self._due = math.inf

    def lateness(self) -> float:
        """How late the loop was at worst since this was asked before, in seconds."""
        worst, self._worst = max(self._worst, time.monotonic() - self._due), 0.0
        return max(worst, 0.0)

    def problems(self) -> tuple[str, ...]:
        """Why the daemon does not do its work; empty: it does."""
        found = []
        late = max(self._recent, time.monotonic() - self._due)
        if late > LATE:
            found.append(f"the event loop was {late:.1f} s late")
        for role in self._roles:
            overdue = role.host.driver.late() / SECOND
            if overdue > LATE:
                found.append(f"{role.name}: a timer is {overdue:.1f} s overdue")
        return tuple(found)

    def waits(self) -> tuple[str, ...]:
        """What the daemon waits for, and need not be started again for."""
        stores = (f"{role.name}: the store" for role in self._roles if role.host.driver.awaits_store)
        return (*stores, *self._also())

    async def _run(self) -> None:
        fed = told = float("-inf")
        while True:
            now = time.monotonic()
            if self._feeding and now - fed >= self._feeding and not self.problems():
                notify("WATCHDOG=1")
                fed = now
            if now - told >= STATUS_EVERY:
                notify(f"STATUS={self._status()}")
                told = now
            self._due = now + TICK
            await asyncio.sleep(TICK)
            late = time.monotonic() - self._due
            self._worst = max(self._worst, late)
            self._recent = max(late, self._recent / 2)


def watchdog_interval() -> float | None:
    """Every so many seconds systemd's watchdog wants to be fed, a third of its patience; None: there is none for us."""
    try:
        microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
        ours = int(os.environ.get("WATCHDOG_PID", os.getpid())) == os.getpid()
    except ValueError:
        return None
    return microseconds / 3e6 if ours and microseconds > 0 else None


def notify(*lines: str) -> None:
    """Tell systemd, where it listens (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        address = "\0" + path[1:] if path.startswith("@") else path
        notifier.setblocking(False)
        try:
            notifier.sendto("\n".join(lines).encode(), address)
        except OSError:
            return  # nobody listens
