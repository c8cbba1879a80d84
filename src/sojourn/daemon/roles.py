"""A role of the daemon: an engine in its host, made from a table of the configuration file."""

from __future__ import annotations

import asyncio
import os
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
from sojourn.daemon.configuration import (
    anchors_of,
    cmd_configuration,
    linux_settings,
    lma_configuration,
    maar_configuration,
    mag_configuration,
    neighbours_of,
    speaks_ipv4,
)
from sojourn.daemon.configuration_mobile import KeyUnusable
from sojourn.daemon.mobile_roles import MobileSection, dataplane_of, engine_of, senses_of
from sojourn.daemon.model import ROLES, File
from sojourn.daemon.model_cmd import Cmd, CmdMaar
from sojourn.daemon.model_lma import Lma, LmaGateway
from sojourn.daemon.model_maar import Maar
from sojourn.daemon.model_mag import Mag
from sojourn.daemon.model_mobile import Cn, Ha, Mn
from sojourn.daemon.model_parts import Peer
from sojourn.daemon.observed import Listener, Observed
from sojourn.dataplane import Dataplane, MemoryDataplane
from sojourn.dataplane.host_plane import HostPlane
from sojourn.dataplane.linux import LinuxDataplane, LinuxSettings
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.maar_direct import access_router
from sojourn.engines.mag import MobileAccessGateway
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.host.loop import Host
from sojourn.host.mobile import MobileHost
from sojourn.host.recorder import Recorder, kept_key
from sojourn.host.tunnel_ends import TunnelEnds
from sojourn.stores import LeasedStore, MemoryStore, SharedStore, SqliteStore, Store
from sojourn.telemetry.meter import Meter
from sojourn.wire.addresses import Address, text

_METRIC = 1_000_000
"""Of what the first holder of an LMA's address announces; of later ones lower, so that the network follows these."""
_STRANGERS = 50
"""Messages a second of routers that are not configured, which a database answers with status 154 (RFC 5213 5.3.1)."""


Lock: TypeAlias = FileLock | NamespaceLock
Section: TypeAlias = Maar | Cmd | Mag | Lma


class StartError(Exception):
    """The daemon cannot start here and now; the text says why and what to do."""


@dataclass(frozen=True)
class Role:
    """A role that can be started."""

    name: str
    """The name of its table in the file."""
    engine: Observed
    host: Host | MobileHost
    dataplane: Dataplane
    keep_forwarding: bool
    fresh: bool
    """No earlier life left anything in the kernel."""
    lock: Lock
    meter: Meter | None = None
    """Measures, where somebody wants to know."""
    address: Address | None = None
    """Its own one, of a router."""

    def start(self) -> list[str]:
        """Take up what an earlier life left; answers with what was removed from the kernel. Raises `StartError`.

        A refusal leaves the kernel as it was: as before the very first start, or as the earlier life left it.
        """
        try:
            with refusals(f"{self.name}: start", "sojourn doctor says what this kernel can do"):
                removed = self.host.start()
                if isinstance(self.dataplane, LinuxDataplane):
                    self.dataplane.announce()
                return removed
        except StartError:
            with suppress(OSError):
                self.close(withdraw=self.fresh)
            raise

    def close(self, withdraw: bool) -> None:
        """Stop. OSError from the kernel does not stop the rest from being stopped."""
        try:
            self.host.close(withdraw)
        finally:
            self.lock.close()


def start_all(roles: Sequence[Role], started: Callable[[Role, list[str]], None]) -> None:
    """Start one after the other; `started` is told of each, with what was removed from the kernel.

    Raises `StartError`; then nothing is left open, and the kernel is as it was: what an earlier life left stays, and of
    a role that found nothing nothing is left.
    """
    waiting, running = list(roles), list[Role]()
    try:
        while waiting:
            role = waiting.pop(0)
            started(role, role.start())
            running.append(role)
    except StartError:
        for role in reversed(running):
            with suppress(OSError):
                role.close(withdraw=role.fresh)
        for role in waiting:
            with suppress(OSError):
                role.close(withdraw=False)
        raise


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


async def open_shared(databases: Sequence[str]) -> SharedStore:
    """What this database shares with others. Raises `StartError`."""
    try:
        from sojourn.stores.postgres import PostgresStore
    except ImportError:
        raise StartError("cmd.databases: asyncpg is not here; install sojourn[postgres]") from None
    with refusals("open the store", "see cmd.databases"):
        return await PostgresStore.open(databases)


@dataclass(frozen=True)
class Elsewhere:
    """What roles have with other machines."""

    shared: SharedStore | None = None
    """The store of a ``cmd``, if it has one with others."""
    leased: LeasedStore | None = None
    """That of an ``lma`` with ``databases``, while it holds the lease; without, that role is not there."""
    epoch: int = 0
    """Of that lease."""

    def store_of(self, role: str) -> SharedStore | LeasedStore | None:
        """None: the journal."""
        return {"cmd": self.shared, "lma": self.leased}.get(role)

    def lacks(self, role: str, section: object) -> bool:
        """Whether that role is another machine's now."""
        return isinstance(section, Lma) and bool(section.databases) and self.leased is None


def make_roles(
    file: File, store: Store, listener: Callable[[str], Listener], elsewhere: Elsewhere = Elsewhere()
) -> list[Role]:
    """The roles of `file`, not started yet. Raises `StartError`; nothing is left open then.

    `listener` makes the one who is told of a role's events and reports.
    """
    roles: list[Role] = []
    ends = TunnelEnds()
    with ExitStack() as opened:
        for name in ROLES:
            section: Section | MobileSection | None = getattr(file, name)
            if section is not None and not elsewhere.lacks(name, section):
                kept, told = RoleStore(store, name), listener(name)
                if isinstance(section, Mn | Ha | Cn):
                    role = _make_mobile(name, section, file, kept, told, ends)
                else:
                    role = _make(name, section, file, elsewhere.store_of(name) or kept, told, elsewhere.epoch)
                opened.callback(role.close, False)
                roles.append(role)
        opened.pop_all()
    return roles


@dataclass(frozen=True)
class _Parts:
    """What a table of the file asks for."""

    engine: Engine
    peers: frozenset[Address]
    """Whose messages are taken."""
    forwarding: LinuxSettings | None = None
    """None: this role forwards nothing, or only pretends to."""
    access: tuple[str, ...] = ()
    points: tuple[tuple[str, str, str], ...] = ()
    """Access interfaces with the control sockets of their hostapds, and monitor interfaces of their radios."""
    transport: tuple[Address, frozenset[Address]] | None = None
    """Our IPv4 address, and whose messages are taken over IPv4."""
    dhcp_relay: tuple[Address, Address] | None = None
    """Our IPv4 address, and that of the DHCP server."""
    ipv4: bool = False
    """Nodes are heard in IPv4 too."""
    strangers: int = 0
    """Messages a second of others that are taken, so that they can be refused."""


def _parts(section: Section) -> _Parts:
    epoch = time.time_ns() - time.monotonic_ns()
    forwarding = None if isinstance(section, Cmd) or section.backend == "memory" else linux_settings(section)
    match section:
        case Maar():
            maar = access_router(maar_configuration(section), epoch)
            databases = (section.cmd, *section.more_cmds) if section.cmd else ()
            peers = frozenset((*databases, *(peer.address for peer in section.peers)))
            return _Parts(maar, peers, forwarding, section.access, _points(section), ipv4=speaks_ipv4(section))
        case Mag():
            mag = MobileAccessGateway(mag_configuration(section), epoch)
            known = frozenset((*anchors_of(section), *neighbours_of(section)))
            over = section.ipv4_transport
            transport = None if over is None else (over.address, frozenset((over.lma,)))
            relay = None if section.dhcp_relay is None else (section.dhcp_relay.address, section.dhcp_relay.server)
            return _Parts(mag, known, forwarding, section.access, _points(section), transport, relay, section.ipv4)
        case Lma():
            lma = LocalMobilityAnchor(lma_configuration(section), epoch)
            others = section.redirect.anchors if section.redirect is not None else ()
            peers = frozenset((*(gateway.address for gateway in section.gateways), *others))
            transport = None
            if section.ipv4_transport is not None:
                ends = frozenset(one.nat or one.ipv4 for one in section.ipv4_transport.gateways)
                transport = section.ipv4_transport.address, ends
            return _Parts(lma, peers, forwarding, transport=transport, strangers=_STRANGERS)
        case Cmd():
            cmd = CentralMobilityDatabase(cmd_configuration(section), epoch)
            return _Parts(cmd, frozenset(maar.address for maar in section.maars), strangers=_STRANGERS)


def _points(section: Maar | Mag) -> tuple[tuple[str, str, str], ...]:
    return tuple((point.interface, point.control, point.monitor or "") for point in section.hostapd)


def _make(
    name: str, section: Section, file: File, store: Store | SharedStore | LeasedStore, listener: Listener, epoch: int
) -> Role:
    lock = _lock(name, section, Path(file.control).parent)
    with ExitStack() as opened:
        opened.callback(lock.close)
        recorder = _recorder(file, name)
        if recorder is not None:
            opened.callback(recorder.close)
        parts = _parts(section)
        dataplane: Dataplane = MemoryDataplane()
        fresh = True
        if parts.forwarding is not None:
            with refusals("open netlink", "sojourn doctor says what this kernel can do"):
                metric = max(_METRIC - epoch, 1)
                dataplane = LinuxDataplane(replace(parts.forwarding, announced_metric=metric))
                fresh = dataplane.untouched()
        alone = not isinstance(store, SharedStore)
        observed = Observed(parts.engine, listener, reports=alone)
        with refusals(
            f"open the sockets of {text(section.address)}", "run as root, or with CAP_NET_ADMIN and CAP_NET_RAW"
        ):
            host = Host(
                observed,
                dataplane,
                store,
                address=section.address,
                peers=parts.peers,
                access=parts.access,
                access_points=parts.points,
                ipv4=parts.ipv4,
                transport=parts.transport,
                dhcp_relay=parts.dhcp_relay,
                untrusted=access_interfaces(file),
                strangers=parts.strangers,
                profile=section.tolerate,
                profiles=tolerated(section),
                recorder=recorder,
                told=None if alone else listener,
                meter=(meter := _meter(file)),
                arriving=isinstance(section, Lma) and section.pair is not None,
                store_required=file.store_required,
                loop=asyncio.get_running_loop(),
            )
        opened.pop_all()
        keep = not isinstance(section, Cmd) and section.keep_forwarding
        return Role(name, observed, host, dataplane, keep, fresh, lock, meter, section.address)


def _make_mobile(
    name: str, section: MobileSection, file: File, store: Store, listener: Listener, ends: TunnelEnds
) -> Role:
    with ExitStack() as opened:
        lock = _lock_of_host(name, section, file)
        opened.callback(lock.close)
        recorder = _recorder(file, name)
        if recorder is not None:
            opened.callback(recorder.close)
        remedy = "run as root, or with CAP_NET_ADMIN and CAP_NET_RAW"
        with refusals(f"{name}: open netlink", remedy):
            dataplane = dataplane_of(section)
            fresh = not isinstance(dataplane, LinuxDataplane | HostPlane) or dataplane.untouched()
        try:
            engine = engine_of(section, file, time.time_ns() - time.monotonic_ns(), dataplane.optimised)
        except KeyUnusable as error:
            raise StartError(f"{name}: {error}") from None
        observed = Observed(engine, listener)
        with refusals(f"{name}: open sockets", remedy):
            senses = senses_of(section, file)
            loop = asyncio.get_running_loop()
            meter = _meter(file)
            host = MobileHost(
                observed,
                dataplane,
                store,
                senses,
                recorder=recorder,
                loop=loop,
                ends=ends,
                meter=meter,
                store_required=file.store_required,
            )
        opened.pop_all()
        address = section.address if isinstance(section, Ha) else None
        return Role(name, observed, host, dataplane, section.keep_forwarding, fresh, lock, meter, address)


def _meter(file: File) -> Meter | None:
    return None if file.metrics is None else Meter()


def tolerated(section: Section) -> dict[Address, str]:
    """Whom to understand in which way, where that is said of one peer."""
    match section:
        case Maar():
            peers: Iterable[Peer | CmdMaar | LmaGateway] = section.peers
        case Cmd():
            peers = section.maars
        case Lma():
            peers = section.gateways
        case Mag():
            peers = ()
    return {peer.address: peer.tolerate for peer in peers if peer.tolerate is not None}


def access_interfaces(file: File) -> tuple[str, ...]:
    """Interfaces with nodes on them, of any role: no router speaks there."""
    return tuple(name for section in (file.maar, file.mag) if section is not None for name in section.access)


def recordings(file: File) -> dict[str, str]:
    """Where each role of the file records what happens; none: nothing is recorded."""
    roles = [name for name in ROLES if getattr(file, name) is not None] if file.events else []
    return {role: f"{file.events}.{role}" if len(roles) > 1 else file.events for role in roles}


def _recorder(file: File, role: str) -> Recorder | None:
    """With two roles in one file, each has a recording of its own: that is what can be replayed."""
    path = recordings(file).get(role)
    if path is None:
        return None
    with refusals("open the recording", "name a path for events that this user may write to"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        key = kept_key(path, file.identifier_key) if file.identifiers == "hashed" else None
        return Recorder(path, identifiers=file.identifiers, key=key)


def _lock_of_host(role: str, section: MobileSection, file: File) -> Lock:
    """As `_lock`; a correspondent node stands beside a mobile node."""
    who = "another correspondent node" if isinstance(section, Cn) else "a role that forwards"
    return _taken(who, role if isinstance(section, Cn) else "", Path(file.control).parent)


def _lock(role: str, section: Section, directory: Path) -> Lock:
    """What only one daemon of this network namespace can have; the kernel takes it from one that dies.

    Two roles that forward in one namespace would fight over its routes; two databases at one address would both answer.
    Where the namespace itself has no lock for us, daemons whose control sockets are in one directory see each other.
    """
    database = role == "cmd"
    who = f"a database (cmd) at {text(section.address)}" if database else "a role that forwards (maar, mag or lma)"
    return _taken(who, f"cmd-{text(section.address).replace(':', '-')}" if database else "", directory)


def _taken(who: str, place: str, directory: Path) -> Lock:
    """Of the namespace, or, with a `place`, a file of that name. Raises `StartError`."""
    try:
        if not place:
            with suppress(OSError):
                return NamespaceLock()
        with refusals("take the lock", "name a directory for control that this user may write to"):
            return FileLock(directory / f".{place or 'maar-router'}-{os.stat('/proc/self/ns/net').st_ino}.lock")
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
