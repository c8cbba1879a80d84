"""The figures of a running daemon, and who may read them: what its table ``[metrics]`` switches on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from ipaddress import IPv6Network
from typing import TYPE_CHECKING

from sojourn import __version__
from sojourn.daemon.health import Health
from sojourn.daemon.model import ROLES, File
from sojourn.daemon.roles import Role, StartError
from sojourn.dataplane.linux import LinuxDataplane
from sojourn.dataplane.mobile_node import MobileNodeDataplane
from sojourn.dataplane.tunnel_traffic import Traffic, TunnelTraffic
from sojourn.telemetry.figures import Figures, RoleFigures, SeatFigures
from sojourn.wire.addresses import Address, Prefix

if TYPE_CHECKING:
    from sojourn.daemon.endpoint import Endpoint


class Monitoring:
    """Of one daemon. Does nothing unless the file has a table ``[metrics]``."""

    def __init__(self, file: File, seat: Callable[[], SeatFigures | None] = lambda: None) -> None:
        self._file, self._seat = file, seat
        self._roles: Sequence[Role] = ()
        self._health: Health | None = None
        self._started = time.time()
        self._endpoint: Endpoint | None = None
        self._traffic: TunnelTraffic | None = None
        self._names = names_of(file)
        self.refusal = ""
        """Why the kernel does not count what goes through tunnels; empty: it does, or nobody asked."""

    def open(self) -> None:
        """Take the address to listen at. Raises `StartError`."""
        if self._file.metrics is None:
            return
        from sojourn.daemon.endpoint import Endpoint  # who does not measure need not wait for the library

        try:
            self._endpoint = Endpoint(self._file.metrics.listen, self.take)
        except OSError as error:
            address, port = self._file.metrics.listen
            raise StartError(f"metrics.listen: [{address}]:{port}: {error.strerror or error}") from None

    def start(self, roles: Sequence[Role], health: Health) -> None:
        """Count and answer, from now on; what an earlier life counted without need goes."""
        self._roles, self._health = roles, health
        ends = _ends(self._roles)
        if ends is not None:
            self._count(*ends)
        if self._endpoint is not None:
            self._endpoint.start()

    def _count(self, addresses: Sequence[Address], peers: Sequence[Address] | None) -> None:
        wanted = self._file.metrics is not None and self._file.metrics.tunnels
        try:
            traffic = TunnelTraffic(addresses, peers)
        except OSError as error:
            self.refusal = (error.strerror or str(error)) if wanted else ""
            return
        try:
            if wanted:
                traffic.start()
                self._traffic = traffic
            else:
                traffic.remove()
        except OSError as error:
            self.refusal = (error.strerror or str(error)) if wanted else ""
        finally:
            if self._traffic is None:
                traffic.close()

    def close(self, withdraw: bool) -> None:
        """Answer nobody any more. With `withdraw` the kernel counts no longer."""
        if self._endpoint is not None:
            self._endpoint.close()
        if self._traffic is not None:
            if withdraw:
                self._traffic.remove()
            self._traffic.close()

    # --- figures ------------------------------------------------------------------------------------------------------

    def take(self) -> Figures:
        """What there is to tell now."""
        roles = tuple(map(self._of, self._roles))
        assert self._health is not None
        problems = self._health.problems()
        lateness = self._health.lateness()
        return Figures(__version__, self._started, roles, lateness, problems, self._names, self._seat())

    def _of(self, role: Role) -> RoleFigures:
        meter, dataplane = role.meter, role.dataplane
        encapsulation, tunnels, traffic = "", 0, None
        if isinstance(dataplane, (LinuxDataplane, MobileNodeDataplane)):
            encapsulation, tunnels = dataplane.backend, len(dataplane.tunnels())
        if encapsulation:
            traffic = self._tunnelled()
        now = time.monotonic_ns()
        sessions, seconds = (0, 0.0) if meter is None else meter.running(now)
        return RoleFigures(
            role.name,
            role.host.counters(),
            role.host.signalling(),
            {} if meter is None else {kind: one.copy() for kind, one in meter.reactivity.items()},
            {} if meter is None else {kind: one.copy() for kind, one in meter.delays.items()},
            meter.durations.copy() if meter is not None and encapsulation else None,
            sessions,
            seconds,
            {} if meter is None else meter.per_user(),
            role.engine.size(),
            {} if meter is None else dict(meter.icmpv6),
            tunnels,
            encapsulation,
            traffic,
            role.host.driver.awaits_store,
            role.engine.pools_held(),
        )

    def _tunnelled(self) -> dict[Address | None, Traffic] | None:
        if self._traffic is None:
            return None
        try:
            return self._traffic.read()
        except OSError:
            return None  # somebody flushed the ruleset


def _ends(roles: Sequence[Role]) -> tuple[Sequence[Address], Sequence[Address] | None] | None:
    """Our tunnel addresses and the far ends, of the one role here that forwards; None: there is none."""
    for role in roles:
        if isinstance(role.dataplane, LinuxDataplane):
            return role.dataplane.ends
        if isinstance(role.dataplane, MobileNodeDataplane):
            return (), None
    return None


def anchors_of(file: File) -> list[tuple[IPv6Network, Address]]:
    """Which router anchors which prefixes, as far as the file says so."""
    found: list[tuple[Prefix, Address]] = []
    for section in (getattr(file, role) for role in ROLES):
        for one in (section, *(getattr(section, "peers", None) or ()), *(getattr(section, "maars", None) or ())):
            address, pool = getattr(one, "address", None), getattr(one, "pool", None)
            if isinstance(address, bytes) and isinstance(pool, Prefix):
                found.append((pool, address))
    return [(IPv6Network(str(pool)), address) for pool, address in found]


def names_of(file: File) -> dict[Address, str]:
    """Routers that the file names; the database and the anchor by what they are."""
    found: dict[Address, str] = {}
    for section in (getattr(file, role) for role in ROLES):
        for key in ("cmd", "lma"):
            if isinstance(address := getattr(section, key, None), bytes):
                found[address] = key
        for number, address in enumerate(getattr(section, "more_cmds", ()), 2):
            found[address] = f"cmd-{number}"
        for key in ("peers", "maars", "gateways", "anchors", "neighbours", "lmas"):
            for one in getattr(section, key, None) or ():
                name, address = getattr(one, "name", ""), getattr(one, "address", None)
                if name and isinstance(address, bytes):
                    found[address] = name
    return found
