"""A role of the daemon: an engine in its host, made from a table of the configuration file."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from sojourn.control.locks import FileLock, Held, NamespaceLock
from sojourn.core.effects import Report, StoreEffect
from sojourn.core.engine import Engine
from sojourn.core.events import Event
from sojourn.daemon.configuration import cmd_configuration, linux_settings, maar_configuration, speaks_ipv4
from sojourn.daemon.model import Cmd, File, Maar
from sojourn.daemon.observed import Listener, Observed
from sojourn.dataplane import Dataplane, MemoryDataplane
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.host.loop import Host
from sojourn.host.recorder import Recorder
from sojourn.stores import MemoryStore, SqliteStore, Store
from sojourn.wire.addresses import Address, text

_STRANGERS = 50
"""Messages a second of routers that are not configured, which a database answers with status 154 (RFC 5213 5.3.1)."""


Lock: TypeAlias = FileLock | NamespaceLock


class StartError(Exception):
    """The daemon cannot start here and now; the text says why and what to do."""


@dataclass(frozen=True)
class Role:
    """A role that can be started."""

    name: str
    """``maar`` or ``cmd``."""
    engine: Observed
    host: Host
    dataplane: Dataplane
    keep_forwarding: bool
    fresh: bool
    """No earlier life left anything in the kernel."""
    lock: Lock

    def start(self) -> list[str]:
        """Take up what an earlier life left; answers with what was removed from the kernel. Raises `StartError`.

        A refusal leaves the kernel as it was: as before the very first start, or as the earlier life left it.
        """
        try:
            with refusals(f"{self.name}: start", "sojourn doctor says what this kernel can do"):
                return self.host.start()
        except StartError:
            self.close(withdraw=self.fresh)
            raise

    def close(self, withdraw: bool) -> None:
        """Stop. OSError from the kernel does not stop the rest from being stopped."""
        try:
            self.host.close(withdraw)
        finally:
            self.lock.close()


class RoleStore:
    """A role's share of a store that several roles may use; keys begin with the role's name."""

    def __init__(self, store: Store, role: str) -> None:
        self._store = store
        self._prefix = role.encode() + b"/"

    def load(self) -> Iterable[tuple[bytes, bytes]]:
        """See `Store.load`."""
        size = len(self._prefix)
        return [(key[size:], record) for key, record in self._store.load() if key.startswith(self._prefix)]

    def apply(self, effects: Sequence[StoreEffect]) -> None:
        """See `Store.apply`."""
        self._store.apply([replace(effect, key=self._prefix + effect.key) for effect in effects])

    def close(self) -> None:
        """Whoever opened the store closes it."""


def open_store(path: str) -> Store:
    """The journal. Raises `StartError`: also when another daemon uses it."""
    if not path:
        return MemoryStore()
    with refusals("open the store", "name a path for store that this user may write to"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return SqliteStore(path)


def make_roles(file: File, store: Store, listener: Callable[[str], Listener]) -> list[Role]:
    """The roles of `file`, not started yet. Raises `StartError`; nothing is left open then.

    `listener` makes the one who is told of a role's events and reports.
    """
    roles: list[Role] = []
    with ExitStack() as opened:
        for name, section in (("maar", file.maar), ("cmd", file.cmd)):
            if section is not None:
                role = _make(name, section, file, RoleStore(store, name), listener(name))
                opened.callback(role.close, False)
                roles.append(role)
        opened.pop_all()
    return roles


def _make(name: str, section: Maar | Cmd, file: File, store: Store, listener: Listener) -> Role:
    lock = _lock(name, section, Path(file.control).parent)
    with ExitStack() as opened:
        opened.callback(lock.close)
        recorder = _recorder(file, name)
        if recorder is not None:
            opened.callback(recorder.close)
        epoch = time.time_ns() - time.monotonic_ns()
        engine: Engine
        dataplane: Dataplane = MemoryDataplane()
        peers: frozenset[Address]
        access: tuple[str, ...] = ()
        points: tuple[tuple[str, str], ...] = ()
        ipv4 = False
        fresh = True
        strangers = 0
        if isinstance(section, Maar):
            engine = MobilityAnchorAccessRouter(maar_configuration(section), epoch)
            peers = frozenset((section.cmd, *(peer.address for peer in section.peers)))
            access = section.access
            ipv4 = speaks_ipv4(section)
            points = tuple((point.interface, point.control) for point in section.hostapd)
            if section.backend != "memory":
                settings = linux_settings(section)
                fresh = not _exists(settings.loop[0])
                with refusals("open netlink", "sojourn doctor says what this kernel can do"):
                    dataplane = LinuxDataplane(settings)
        else:
            engine = CentralMobilityDatabase(cmd_configuration(section), epoch)
            peers = frozenset(maar.address for maar in section.maars)
            strangers = _STRANGERS
        observed = Observed(engine, listener)
        with refusals(
            f"open the sockets of {text(section.address)}", "run as root, or with CAP_NET_ADMIN and CAP_NET_RAW"
        ):
            host = Host(
                observed,
                dataplane,
                store,
                address=section.address,
                peers=peers,
                access=access,
                access_points=points,
                ipv4=ipv4,
                untrusted=file.maar.access if file.maar else (),
                strangers=strangers,
                profile=section.tolerate,
                recorder=recorder,
                loop=asyncio.get_running_loop(),
            )
        opened.pop_all()
        keep = isinstance(section, Maar) and section.keep_forwarding
        return Role(name, observed, host, dataplane, keep, fresh, lock)


def _recorder(file: File, role: str) -> Recorder | None:
    """With two roles in one file, each has a recording of its own: that is what can be replayed."""
    if not file.events:
        return None
    path = f"{file.events}.{role}" if file.maar and file.cmd else file.events
    with refusals("open the recording", "name a path for events that this user may write to"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return Recorder(path, identifiers=file.identifiers)


def _exists(interface: str) -> bool:
    return any(name == interface for _, name in socket.if_nameindex())


def _lock(role: str, section: Maar | Cmd, directory: Path) -> Lock:
    """What only one daemon of this network namespace can have; the kernel takes it from one that dies.

    Two access routers in one namespace would fight over its routes; two databases at one address would both answer.
    Where the namespace itself has no lock for us, daemons whose control sockets are in one directory see each other.
    """
    who = "an access router (maar)" if role == "maar" else f"a database (cmd) at {text(section.address)}"
    place = text(section.address).replace(":", "-") if role == "cmd" else "router"
    try:
        if role == "maar":
            with suppress(OSError):
                return NamespaceLock()
        with refusals("take the lock", "name a directory for control that this user may write to"):
            return FileLock(directory / f".{role}-{place}-{os.stat('/proc/self/ns/net').st_ino}.lock")
    except Held:
        raise StartError(f"{who} is running on this machine already; stop that daemon first") from None


@contextmanager
def refusals(what: str, remedy: str) -> Iterator[None]:
    """What the kernel or a disk refuses becomes a `StartError`."""
    try:
        yield
    except PermissionError as error:
        raise StartError(f"{what}: {error.strerror or error}; {remedy}") from error
    except OSError as error:
        raise StartError(f"{what}: {error.strerror or error}") from error


def described(item: Event | Report | None) -> str:
    """For the log, when the engine failed."""
    return "nothing in particular" if item is None else repr(item)
