"""Hosts that keep their addresses themselves, in a soak with faults: Mobile IPv6 (RFC 6275).

Two home agents have half of the mobile nodes each, which roam between their home link and visited links. Each node has
a stream and a terminal session with a server that knows nothing of it, through the tunnel, and the same with a
correspondent node, directly. Every daemon may die: that of the node itself, its home agent's, its correspondent's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv6Address
from typing import Any

from sojourn.control.client import ControlError
from sojourn.lab.air import RoamTimes
from sojourn.lab.faults import Fault, Kind
from sojourn.lab.kernel_state import configured, host_addresses
from sojourn.lab.soak_casts import INTERVAL, PROBE, RATE, Stage
from sojourn.lab.soak_faults_options import FaultSoakOptions
from sojourn.lab.topology import Topology, star
from sojourn.lab.traffic import PROBE_SIZE, FlowRecord
from sojourn.wire.units import MINUTE, SECOND

AGENTS = ("home1", "home2")
CORRESPONDENTS = ("cn1", "cn2")
_DIRECT = "direct"
_OUTAGE = 0.02
"""Seconds that a change of access points takes."""
_PATIENCE = MINUTE / SECOND


class Mobile:
    """Mobile nodes, home agents and correspondent nodes."""

    weights: Mapping[Kind, float] = {
        "kill": 12, "freeze": 1, "cut": 0.5, "deaf": 0.5, "mute": 0.5, "loss": 0.5, "clock": 1, "refuse": 1,
    }  # fmt: skip
    words = "of every mobile node a stream and a terminal session through the tunnel, and one of each directly"
    told = False

    def __init__(self, options: FaultSoakOptions) -> None:
        self.topology = _network(options)
        self.servers: Sequence[str] = ("server", *CORRESPONDENTS)
        self.watched: Sequence[str] = ("core", "server", *CORRESPONDENTS, *AGENTS)

    def correspondent(self, host: str) -> str:
        """Whom it speaks with directly."""
        return CORRESPONDENTS[self.topology.hosts.index(host) // len(AGENTS) % len(CORRESPONDENTS)]

    def cells(self, host: str) -> Sequence[str]:
        """The link of its home agent, and visited ones."""
        return [self.topology.home_agent(host), *self.topology.of_kind("plain")]

    def attach(self, stage: Stage, host: str) -> None:
        """Somewhere; when its home agent knows, its sessions begin."""
        self.roam(stage, host, stage.dice.choice(self.cells(host)))
        self._arrived(stage, host)
        home = self.topology.address(host)
        for name, peer in (("", "server"), (f"/{_DIRECT}", self.correspondent(host))):
            common = (host, home, self.topology.address(peer))
            stage.traffic.stream(f"{host}{name}{PROBE}", *common, up=RATE, down=RATE, size=PROBE_SIZE)
            stage.traffic.exchange(f"{host}{name}/terminal", *common, interval=INTERVAL)

    def roam(self, stage: Stage, host: str, target: str) -> RoamTimes:
        """As stations of Wi-Fi do: the carrier goes and comes."""
        return stage.lab.air.roam(host, target, outage=_OUTAGE, carrier=True)

    def _arrived(self, stage: Stage, host: str) -> None:
        stage.until(lambda: not self.lacks(stage, host), _PATIENCE)

    def streams(self) -> list[str]:
        """Both of every node."""
        return [f"{host}{name}{PROBE}" for host in self.topology.hosts for name in ("", f"/{_DIRECT}")]

    def lacks(self, stage: Stage, host: str) -> str:
        """A registration where it is, or to be at home there; and its home address, which is not the last to come."""
        addresses = {one.address for one in host_addresses(stage.lab.nodes[host].namespace)}
        at_home = stage.lab.air.where(host) == self.topology.home_agent(host)
        row = self._binding(stage, host)
        if row.get("place") != ("home" if at_home else "away"):
            return f"to know that it is {'at home' if at_home else 'away'}"
        if self.topology.address(host) not in addresses:
            return "its home address"
        if at_home:
            return ""
        prefix = self.topology.link_prefix(stage.lab.air.where(host) or "")
        right = row["registered"] and IPv6Address(row["care_of"]) in prefix
        return "" if right else "a registration"

    def _binding(self, stage: Stage, host: str) -> dict[str, Any]:
        with suppress(ControlError), stage.lab.client(host) as client:
            return next((row for row in client.show("bindings", plain=True) if "place" in row), {})
        return {}

    def concerns(self, fault: Fault, record: FlowRecord) -> bool:
        """A node's own link, its home agent's, and for what goes directly its correspondent's."""
        direct = f"/{_DIRECT}/" in record.flow
        ways = [record.host, self.topology.home_agent(record.host)]
        return fault.node in ([*ways, self.correspondent(record.host)] if direct else ways)

    def leave(self, stage: Stage) -> None:
        """Home first, which ends all bindings, and then away from every link."""
        for host in self.topology.hosts:
            agent = self.topology.home_agent(host)
            if stage.lab.air.where(host) != agent:
                self.roam(stage, host, agent)
        for host in self.topology.hosts:
            self._arrived(stage, host)
        for host in self.topology.hosts:
            stage.lab.air.detach(host, carrier=True)

    def ours(self, node: str, difference: list[str]) -> list[str]:
        """A host's kernel keeps what routers of links told it, for as long as they said."""
        found = configured(difference)
        if node not in self.topology.hosts:
            return found
        home = f" {self.topology.address(node)}/"
        learnt = ("+ address", "+ route type 1 protocol 2", "+ route type 2 protocol 2", "+ route type 5 protocol 2")
        return [line for line in found if home in line or " dev wlan0" not in line or not line.startswith(learnt)]

    def topic(self, node: str) -> str:
        """See `Cast`."""
        return "bindings"


def _network(options: FaultSoakOptions) -> Topology:
    """Home agents, visited links and correspondents around a core, and mobile nodes that are nowhere yet."""
    nodes: dict[str, str | dict[str, object]] = {"server": "server", **dict.fromkeys(AGENTS, "ha")}
    nodes |= {f"f{number}": "plain" for number in range(1, options.routers + 1)}
    nodes |= dict.fromkeys(CORRESPONDENTS, "cn")
    for number in range(1, options.hosts + 1):
        nodes[f"mn{number}"] = {"kind": "mn", "home": AGENTS[number % len(AGENTS)], "dad": "optimistic"}
    return star(
        "soak-faults",
        nodes,
        "2ms",
        delays=dict.fromkeys(AGENTS, "5ms"),
        mn={"lifetime": f"{options.lifetime}s"},
        ha={"optimistic_duplicate_address_detection": True},
    )
