"""A domain of RFC 8885 on a table: a CMD, MAARs, delays between them (see `support.table`)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from sojourn.core.engine import Engine
from sojourn.engines.configuration import CmdConfiguration, Dhcpv6, Maar, MaarConfiguration, Mode, Peer
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.maar_session import Session
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.wire.addresses import Address, Prefix, address, prefix
from sojourn.wire.units import MILLISECOND, Duration
from support.table import EPOCH, HOSTS, Member, Table, node

__all__ = ["CMD", "EPOCH", "HOSTS", "Domain", "Member", "ipv4_pool", "node", "pool", "router"]

CMD = address("2001:db8:c::1")


@cache
def router(number: int) -> Address:
    """The address of ``arN``."""
    return address(f"2001:db8:a{number}::1")


@cache
def pool(number: int) -> Prefix:
    """The pool of ``arN``."""
    return prefix(f"2001:db8:a{number}00::/48")


@cache
def ipv4_pool(number: int) -> Prefix:
    """The IPv4 addresses of ``arN``."""
    return prefix(f"10.{number}.0.0/24")


class Domain(Table):
    """``cmd``, ``ar1``, ``ar2`` ...; `cmd` are settings of the CMD, the others those of all MAARs."""

    def __init__(
        self,
        mode: Mode = Mode.PROXY,
        maars: int = 3,
        delays: dict[tuple[str, str], Duration] | None = None,
        cmd: dict[str, object] | None = None,
        dhcp: bool = False,
        **overrides: object,
    ) -> None:
        super().__init__(delays)
        self.mode = mode
        self.numbers = range(1, maars + 1)
        self.maar_configurations = {
            f"ar{n}": replace(
                MaarConfiguration(
                    router(n), pool(n), CMD, tuple(Peer(router(m), f"ar{m}") for m in self.numbers if m != n), mode
                ),
                **overrides,  # type: ignore[arg-type]
            )
            for n in self.numbers
        }
        self.cmd_configuration = replace(
            CmdConfiguration(CMD, tuple(Maar(router(n), pool(n), f"ar{n}") for n in self.numbers), mode),
            **(cmd or {}),  # type: ignore[arg-type]
        )
        if dhcp:
            self._give_pools()
        self._populate({CMD: "cmd"} | {router(n): f"ar{n}" for n in self.numbers})

    def _give_pools(self) -> None:
        """Every MAAR has IPv4 addresses and prefixes to delegate, and all know of each other's."""
        for n, (name, configuration) in zip(self.numbers, self.maar_configurations.items(), strict=True):
            peers = tuple(replace(peer, ipv4_pool=ipv4_pool(int(peer.name[2:]))) for peer in configuration.peers)
            given = {"ipv4_pool": ipv4_pool(n), "delegated_pool": pool(n).subnet(1, 49), "peers": peers}
            self.maar_configurations[name] = replace(
                configuration,
                dhcpv6=Dhcpv6.STATEFUL,
                **given,  # type: ignore[arg-type]
            )
        maars = tuple(replace(maar, ipv4_pool=ipv4_pool(int(maar.name[2:]))) for maar in self.cmd_configuration.maars)
        self.cmd_configuration = replace(self.cmd_configuration, maars=maars)

    def _engine(self, name: str) -> Engine:
        epoch = EPOCH + self.skews.get(name, 0)
        if name == "cmd":
            return CentralMobilityDatabase(self.cmd_configuration, epoch)
        return MobilityAnchorAccessRouter(self.maar_configurations[name], epoch)

    # --- looking --------------------------------------------------------------------------------------------------

    @property
    def cmd(self) -> CentralMobilityDatabase:
        engine = self.members["cmd"].engine
        assert isinstance(engine, CentralMobilityDatabase)
        return engine

    def maar(self, name: str) -> MobilityAnchorAccessRouter:
        engine = self.members[name].engine
        assert isinstance(engine, MobilityAnchorAccessRouter)
        return engine

    def session(self, name: str, host: str) -> Session | None:
        return self.maar(name).sessions.get(node(host))

    def own(self, name: str, host: str) -> Prefix:
        """The prefix that `name` anchors for `host`."""
        session = self.session(name, host)
        assert session is not None
        assert session.own is not None
        return session.own

    def replace_cmd(self, engine: Engine) -> None:
        """Something else answers at the CMD's address."""
        self.members["cmd"].engine, self.members["cmd"].deadline = engine, engine.deadline()

    def reconfigure(self, name: str, **settings: object) -> None:
        """`name` begins again, without memory, with other settings."""
        self.maar_configurations[name] = replace(self.maar_configurations[name], **settings)  # type: ignore[arg-type]
        self.restart(name, store=False)
        self.run(50 * MILLISECOND)
