"""The nouns of a topology: nodes, the links between them, roaming hosts; what is the case follows from them.

Whether it can be built is the business of `topology_checks`; files and defaults are that of `topology`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, field_validator, model_validator

from sojourn.lab.quantities import DurationField, RateField, ShareField
from sojourn.lab.shortest import Graph, shortest_path
from sojourn.wire.units import Duration

Kind = Literal["router", "access-router", "mag", "plain", "cmd", "lma", "ha", "server", "cn", "host", "mn"]
Setting = JsonValue
"""A value in the configuration of a daemon, which may be a list or a table."""

ACCESS: tuple[Kind, ...] = ("access-router", "mag")
CELLS: tuple[Kind, ...] = (*ACCESS, "plain", "ha")
HOSTS: tuple[Kind, ...] = ("host", "mn")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _address(value: object) -> IPv6Address:
    try:
        return IPv6Address(value if isinstance(value, str | IPv6Address) else "")
    except ValueError:
        raise ValueError('expected an IPv6 address such as "2001:db8:a1::1"') from None


def _pool(value: object) -> IPv6Network:
    try:
        network = IPv6Network(value if isinstance(value, str | IPv6Network) else "")
    except ValueError as error:
        detail = "host bits are set in it" if "host bits" in str(error) else "that is not one"
        raise ValueError(f'expected an IPv6 prefix such as "2001:db8:a100::/48"; {detail}') from None
    if network.prefixlen > 64:
        raise ValueError("expected a prefix of 64 bits at most: every node gets a /64 of it")
    return network


AddressField = Annotated[IPv6Address, BeforeValidator(_address)]
PoolField = Annotated[IPv6Network, BeforeValidator(_pool)]


class Node(_Strict):
    """One network namespace of the lab."""

    kind: Kind
    address: AddressField | None = None
    """Global address; every node but a host has one, given or by default. Hosts make theirs (SLAAC); that of a mobile
    node is its home address."""
    pool: PoolField | None = None
    """Access routers and LMAs only: nodes get /64s of this; from a MAG only nodes without mobility service do. The
    first of it is the prefix on the link of a plain router, a home agent, and a mobile router: its network."""
    at: str | None = None
    """Hosts only: the access router in whose cell the host starts; None: nowhere."""
    dad: Literal["default", "optimistic", "off"] = "default"
    """Hosts only: duplicate address detection. ``default`` is what a stock Linux host does."""
    radios: Annotated[int, Field(ge=1, le=3)] = 1
    """Hosts only: links to the air, ``wlan0`` and so on."""
    home: str | None = None
    """Mobile nodes only: their home agent; by default the first one."""
    link: str | None = None
    """Home agents only: another one, before it in the file, whose home link and nodes are theirs together."""
    correspondent: bool = False
    """Mobile nodes only: they are correspondent nodes, too."""
    delegated: bool = False
    """Mobile routers only: they are not told their pool, but ask for it (RFC 6276)."""
    partner: str | None = None
    """MAARs: another one, which takes the pool over while this one is gone (``[maar] liveness``). LMAs: another one,
    for the same address and pools, those of ``[lma]`` (``[lma.pair]``)."""
    settings: Mapping[str, Setting] = Field(default_factory=dict)
    """Configuration of this node's daemon, over that of ``[maar]``, ``[cmd]`` and so on."""


class Link(_Strict):
    """A line between two nodes; the figures hold in each direction."""

    between: tuple[str, str]
    delay: DurationField = 0
    jitter: DurationField = 0
    """Each packet's delay is uniform in ``delay`` plus or minus this; the order is kept."""
    loss: ShareField = 0.0
    rate: RateField | None = None
    mtu: int | None = Field(default=None, ge=1280, le=65535)

    @model_validator(mode="after")
    def _consistent(self) -> Link:
        if self.jitter > self.delay:
            raise ValueError("expected a jitter of at most the delay")
        if self.loss > 0.9:
            raise ValueError("expected a loss of at most 90%: leave the link out instead")
        return self

    @property
    def relayed(self) -> bool:
        """Whether packets must be delayed or lost on purpose."""
        return self.delay > 0 or self.loss > 0


class Roam(_Strict):
    """One step of the roaming script."""

    host: str
    to: str
    """An access router, or ``-``: out of every cell."""
    after: DurationField
    """Since the step before, or since the start."""
    outage: DurationField = 0
    """Between leaving the old cell and joining the new one."""
    notice: bool = True
    """Whether the old router sees the host leave."""
    carrier: bool = False
    """Whether the host's link goes down and up."""


class Topology(_Strict):
    """A lab, checked and complete: every address is filled in, every link names nodes that exist."""

    name: str
    description: str = ""
    mode: Literal["proxy", "relay", "locator", "direct"] = "proxy"
    mtu: int = Field(default=1500, ge=1280, le=65535)
    """Of every link that does not say otherwise."""
    mobility: bool = True
    """False: access routers advertise nothing of ours; no daemon runs (for comparison)."""
    metrics: bool = False
    """Every daemon shows its figures at ``http://[::1]:9478/metrics``, inside its node."""
    multicast: str | None = None
    """A server: routers pass on what it sends to groups, to whoever joins, and access routers are MLD proxies."""
    nodes: Mapping[str, Node]
    links: tuple[Link, ...]
    maar: Mapping[str, Setting] = Field(default_factory=dict)
    """Over the defaults in the ``[maar]`` table of every access router's daemon."""
    cmd: Mapping[str, Setting] = Field(default_factory=dict)
    mag: Mapping[str, Setting] = Field(default_factory=dict)
    lma: Mapping[str, Setting] = Field(default_factory=dict)
    ha: Mapping[str, Setting] = Field(default_factory=dict)
    mn: Mapping[str, Setting] = Field(default_factory=dict)
    cn: Mapping[str, Setting] = Field(default_factory=dict)
    roam: tuple[Roam, ...] = ()

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", name):
            raise ValueError("expected a name of lower-case letters, digits and hyphens, 32 at most")
        return name

    @property
    def hosts(self) -> list[str]:
        """Names of the hosts, mobile nodes among them, in the file's order."""
        return self.of_kind(*HOSTS)

    @property
    def cells(self) -> list[str]:
        """Names of the routers that hosts can be at, in the file's order."""
        return [name for name, node in self.nodes.items() if self._has_cell(name, node)]

    def _has_cell(self, name: str, node: Node) -> bool:
        return (node.kind in CELLS and node.link is None) or name in self.mobile_routers

    @property
    def mobile_routers(self) -> list[str]:
        """Names of the mobile nodes with a network behind them, in the file's order."""
        return [name for name in self.of_kind("mn") if self.nodes[name].pool is not None]

    @property
    def access_routers(self) -> list[str]:
        """Names of the access routers, MAARs and MAGs, in the file's order."""
        return self.of_kind(*ACCESS)

    @property
    def daemons(self) -> list[str]:
        """Names of the nodes with a daemon: whom others register with first."""
        return [*self.of_kind("cmd", "lma"), *self.access_routers, *self.of_kind("ha", "cn"), *self.of_kind("mn")]

    def of_kind(self, *kinds: Kind) -> list[str]:
        """Names of the nodes of these kinds, in the file's order."""
        return [name for name, node in self.nodes.items() if node.kind in kinds]

    def address(self, name: str) -> str:
        """Text of the address of a node that is not a host. Raises KeyError."""
        address = self.nodes[name].address
        if address is None:
            raise KeyError(f"{name} is a host: it makes its own addresses")
        return str(address)

    def home_agent(self, name: str) -> str:
        """The home agent of a mobile node."""
        return self.nodes[name].home or self.of_kind("ha")[0]

    def link_prefix(self, name: str) -> IPv6Network:
        """The prefix on the link of a plain router or home agent. Raises KeyError for a node without a pool."""
        pool = self.nodes[self.nodes[name].link or name].pool
        if pool is None:
            raise KeyError(f"{name} has no pool")
        return IPv6Network((pool.network_address, 64))

    def graph(self) -> Graph:
        """Neighbours of each node that is not a host, with the one-way delay of the link."""
        graph: Graph = {name: {} for name, node in self.nodes.items() if node.kind not in HOSTS}
        for link in self.links:
            a, b = link.between
            graph[a][b] = graph[b][a] = link.delay
        return graph

    def path(self, source: str, destination: str) -> list[str]:
        """The nodes that a packet passes, both ends included, as the static routes lead it."""
        return shortest_path(self.graph(), source, destination)

    def delay(self, source: str, destination: str) -> Duration:
        """One-way delay along `path`, without jitter and queues."""
        graph = self.graph()
        path = shortest_path(graph, source, destination)
        return sum(graph[a][b] for a, b in pairwise(path))
