"""Who plays in a soak with faults: a network with its roles, hosts with their sessions, and what excuses a loss.

The play itself (`soak_faults`) knows none of this: it lets hosts roam, breaks things and mends them, and asks the cast
what to do and what to look at. Here are the domains whose routers move hosts; `soak_mobile` has the hosts that do it
themselves.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Protocol

from sojourn.lab.air import RoamTimes
from sojourn.lab.faults import Fault, Kind
from sojourn.lab.kernel_state import configured, host_addresses
from sojourn.lab.lab import Lab
from sojourn.lab.soak_faults_options import FaultSoakOptions
from sojourn.lab.topology import Topology, star
from sojourn.lab.traffic import PROBE_SIZE, FlowRecord, Traffic
from sojourn.wire.units import MILLISECOND, Duration

RATE = 20.0
"""Packets a second each way of every stream that is judged."""
PROBE = "/probe"
"""How the name of such a stream ends."""
INTERVAL: Duration = 200 * MILLISECOND
"""Between two lines of a terminal session."""
_KEPT_STOPS = 2


@dataclass(frozen=True, slots=True)
class Stage:
    """What a cast plays on."""

    lab: Lab
    traffic: Traffic
    dice: random.Random

    def until(self, question: Callable[[], bool], seconds: float) -> bool:
        """Wait until it is so; False when it is not in that time."""
        deadline = time.monotonic() + seconds
        while not question():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


class Cast(Protocol):
    """One of them."""

    topology: Topology
    weights: Mapping[Kind, float]
    """What breaks how often, in relation to each other."""
    servers: Sequence[str]
    """Who hears the hosts."""
    watched: Sequence[str]
    """Whose kernels hold in the end, with daemons that go on, what they held before the first host came."""
    words: str
    """Its sessions, for people."""
    told: bool
    """Whether a daemon that is back tells those who need it; else they find out when they repeat what they asked."""

    def cells(self, host: str) -> Sequence[str]:
        """Where a host may be."""
        ...

    def attach(self, stage: Stage, host: str) -> None:
        """A host comes, somewhere, and begins its first sessions. Raises TrafficError."""
        ...

    def roam(self, stage: Stage, host: str, target: str) -> RoamTimes:
        """It goes elsewhere."""
        ...

    def streams(self) -> list[str]:
        """Names of the streams that must be heard when nothing is broken."""
        ...

    def lacks(self, stage: Stage, host: str) -> str:
        """What a host waits for where it is now; nothing when it has it."""
        ...

    def concerns(self, fault: Fault, record: FlowRecord) -> bool:
        """Whether a flow may lose packets because a link is broken; for a daemon, if its host moves meanwhile."""
        ...

    def leave(self, stage: Stage) -> None:
        """All sessions are over, and the hosts go."""
        ...

    def ours(self, node: str, difference: list[str]) -> list[str]:
        """What of a difference between two states of a node's kernel is not the kernel's own doing."""
        ...

    def topic(self, node: str) -> str:
        """What a daemon is to show when something is wrong."""
        ...


class _Routers:
    """Stock hosts, and routers that do it all for them."""

    weights: Mapping[Kind, float] = {
        "kill": 20, "freeze": 1, "cut": 1, "deaf": 1, "mute": 1, "loss": 1, "clock": 1, "refuse": 1,
    }  # fmt: skip
    servers: Sequence[str] = ("server",)
    words = "a terminal session from the first address, and from each of the latest two stops"
    told = True

    def __init__(self, options: FaultSoakOptions) -> None:
        self.topology = self._built(options)
        self.watched: Sequence[str] = [*self.topology.daemons, "core", "server"]
        self._stops: dict[str, list[str]] = {host: [] for host in self.topology.hosts}

    def _built(self, options: FaultSoakOptions) -> Topology:
        raise NotImplementedError

    def cells(self, host: str) -> Sequence[str]:
        """See `Cast`."""
        return self.topology.access_routers

    def attach(self, stage: Stage, host: str) -> None:
        """See `Cast`."""
        stage.traffic.watch(host)
        stage.lab.air.roam(host, stage.dice.choice(self.topology.access_routers))
        found = stage.traffic.wait("address", 60, host=host, present=True, usable=True, preferred=True)
        common = (host, found["address"], self.topology.address("server"))
        stage.traffic.stream(f"{host}{PROBE}", *common, up=RATE, down=RATE, size=PROBE_SIZE)
        stage.traffic.exchange(f"{host}/terminal", *common, interval=INTERVAL)

    def roam(self, stage: Stage, host: str, target: str) -> RoamTimes:
        """See `Cast`."""
        return stage.lab.air.roam(host, target)

    def streams(self) -> list[str]:
        """See `Cast`."""
        stops = [f"{flow}/hops" for flows in self._stops.values() for flow in flows]
        return [f"{host}{PROBE}" for host in self.topology.hosts] + stops

    def lacks(self, stage: Stage, host: str) -> str:
        """See `Cast`."""
        return ""

    def concerns(self, fault: Fault, record: FlowRecord) -> bool:
        """Any way may lead by any router."""
        return True

    def leave(self, stage: Stage) -> None:
        """See `Cast`."""
        for host in self.topology.hosts:
            stage.lab.air.detach(host)

    def ours(self, node: str, difference: list[str]) -> list[str]:
        """See `Cast`."""
        return configured(difference)

    def topic(self, node: str) -> str:
        """See `Cast`."""
        return "sessions" if node in self.topology.access_routers else "bindings"


class Distributed(_Routers):
    """MAARs and their CMD (RFC 8885): every stop gives an address, from which new sessions begin."""

    def __init__(self, options: FaultSoakOptions) -> None:
        super().__init__(options)
        self._count = 0

    def _built(self, options: FaultSoakOptions) -> Topology:
        names = [f"ar{number}" for number in range(1, options.routers + 1)]
        routers: dict[str, dict[str, object]] = {name: {"kind": "access-router"} for name in names}
        maar: dict[str, object] = {"idle_hold": "60s", "lifetime": f"{options.lifetime}s"}
        if options.partners:
            for name, partner in zip(names, [*names[1:], names[0]], strict=True):
                routers[name]["partner"] = partner
            maar["liveness"] = {"interval": "250ms", "misses": 3, "hold": "2s"}
        return _network(options, "cmd", routers, cmd={"warm_up": "1s"}, maar=maar)

    def roam(self, stage: Stage, host: str, target: str) -> RoamTimes:
        """A terminal session and a stream from the new address as soon as it is there."""
        self._count += 1
        flow = f"{host}/stop-{self._count}"
        within, server = str(self.topology.nodes[target].pool), self.topology.address("server")
        stage.traffic.greet(flow, host, server, within=within, interval=INTERVAL, rate=RATE / 4)
        stops = self._stops[host]
        stops.append(flow)
        while len(stops) > _KEPT_STOPS:
            old = stops.pop(0)
            stage.traffic.stop(old, f"{old}/hops")
        return super().roam(stage, host, target)

    def lacks(self, stage: Stage, host: str) -> str:
        """An address of the router where it is, to begin new sessions from."""
        pool = self.topology.nodes[stage.lab.air.where(host) or ""].pool
        assert pool is not None
        found = host_addresses(stage.lab.nodes[host].namespace)
        usable = any(IPv6Address(one.address) in pool for one in found if not one.deprecated and not one.tentative)
        return "" if usable else "an address"


class Proxy(_Routers):
    """MAGs and their LMA (RFC 5213)."""

    words = "a terminal session of every host"

    def _built(self, options: FaultSoakOptions) -> Topology:
        routers = {f"mag{number}": {"kind": "mag"} for number in range(1, options.routers + 1)}
        lasting = f"{options.lifetime}s"
        return _network(
            options, "lma", routers, mag={"lifetime": lasting}, lma={"min_delay_before_bce_delete": lasting}
        )


def _network(
    options: FaultSoakOptions, anchor: str, routers: Mapping[str, Mapping[str, object]], **settings: object
) -> Topology:
    """Access routers around a core, and hosts that are nowhere yet."""
    hosts = {f"h{number}": {"kind": "host", "dad": "optimistic"} for number in range(1, options.hosts + 1)}
    nodes: dict[str, str | Mapping[str, object]] = {anchor: anchor, "server": "server", **routers, **hosts}
    return star("soak-faults", nodes, "2ms", delays={anchor: "5ms"}, **settings)
