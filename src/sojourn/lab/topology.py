"""What a lab consists of: a TOML file, checked before anything is built.

A whole topology with three access routers is short, because every address has a default:

    name = "walk"
    [nodes]
    core = "router"
    ar1 = "access-router"
    cmd = "cmd"
    server = "server"
    mn = { kind = "host", at = "ar1" }
    [links]
    core.ar1 = "5ms"
    core.cmd = { delay = "10ms", loss = "1%" }
    core.server = "5ms"

An access router is a MAAR (``access-router``, of a domain with a ``cmd``) or a gateway of Proxy Mobile IPv6 (``mag``,
of a domain with an ``lma``); MAARs without a ``cmd`` register with the ``lma`` as gateways do. A ``plain`` router has a
cell and knows nothing of mobility. In Mobile IPv6 a home agent (``ha``) has a cell, which is the home link, a mobile
node (``mn``) is a host with a daemon, and a correspondent node (``cn``) a server with one. A mobile node with a pool is
a mobile router, and has a cell for those who ride along. Links are between all but
hosts, which have no link but the air, where they roam. Every mistake is reported at once, with file, key and what was
expected (`TopologyError`).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from sojourn.lab.quantities import DurationField, RateField, ShareField
from sojourn.lab.shortest import Graph, shortest_path
from sojourn.wire.units import Duration

Kind = Literal["router", "access-router", "mag", "plain", "cmd", "lma", "ha", "server", "cn", "host", "mn"]
Setting = JsonValue
"""A value in the configuration of a daemon, which may be a list or a table."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,11}")
_NICE_INDEXES = 15
_ACCESS: tuple[Kind, ...] = ("access-router", "mag")
_CELLS: tuple[Kind, ...] = (*_ACCESS, "plain", "ha")
_HOSTS: tuple[Kind, ...] = ("host", "mn")
_WITH_PARTNER: tuple[Kind, ...] = ("access-router", "lma")
_WITH_POOL: tuple[Kind, ...] = (*_CELLS, "lma", "mn")
_WITH_DAEMON: tuple[Kind, ...] = (*_ACCESS, "cmd", "lma", "ha", "cn", "mn")


class TopologyError(ValueError):
    """The file cannot be a lab; `problems` are pairs of key and what was expected."""

    def __init__(self, source: str, problems: Iterable[tuple[str, str]]) -> None:
        self.source = source
        self.problems = list(problems)
        super().__init__(
            "\n".join(f"{source}: {key}: {text}" if key else f"{source}: {text}" for key, text in self.problems)
        )


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
        return self.of_kind(*_HOSTS)

    @property
    def cells(self) -> list[str]:
        """Names of the routers that hosts can be at, in the file's order."""
        return [name for name, node in self.nodes.items() if self._has_cell(name, node)]

    def _has_cell(self, name: str, node: Node) -> bool:
        return (node.kind in _CELLS and node.link is None) or name in self.mobile_routers

    @property
    def mobile_routers(self) -> list[str]:
        """Names of the mobile nodes with a network behind them, in the file's order."""
        return [name for name in self.of_kind("mn") if self.nodes[name].pool is not None]

    @property
    def access_routers(self) -> list[str]:
        """Names of the access routers, MAARs and MAGs, in the file's order."""
        return self.of_kind(*_ACCESS)

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
        graph: Graph = {name: {} for name, node in self.nodes.items() if node.kind not in _HOSTS}
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


def load(source: Path | str) -> Topology:
    """The topology in a file, or the built-in one of that name. Raises TopologyError, OSError."""
    path = Path(source)
    if path.suffix == ".toml" or path.exists():
        return parse(path.read_text(), str(source))
    builtin = resources.files("sojourn.lab") / "scenarios" / f"{source}.toml"
    if not builtin.is_file():
        known = ", ".join(sorted(builtin_topologies())) or "none"
        raise TopologyError(str(source), [("", f"expected a file or a built-in topology ({known})")])
    return parse(builtin.read_text(), f"{source} (built in)")


def builtin_topologies() -> dict[str, str]:
    """Name and one-line description of each topology that comes with the package."""
    found: dict[str, str] = {}
    for entry in (resources.files("sojourn.lab") / "scenarios").iterdir():
        if entry.name.endswith(".toml"):
            found[entry.name.removesuffix(".toml")] = str(tomllib.loads(entry.read_text()).get("description", ""))
    return dict(sorted(found.items()))


def parse(text: str, source: str = "topology") -> Topology:
    """The topology in TOML `text`; `source` names it in messages. Raises TopologyError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TopologyError(source, [("", f"not TOML: {error}")]) from None
    document.setdefault("name", re.sub(r"[^a-z0-9-]", "-", Path(source).stem.lower()) or "lab")
    problems: list[tuple[str, str]] = []
    document["nodes"] = _normal_nodes(document.get("nodes"), problems)
    document["links"] = _normal_links(document.get("links", []), problems)
    document["roam"] = _normal_roam(document.get("roam", []), problems)
    if problems:
        raise TopologyError(source, problems)
    _fill_addresses(document["nodes"])
    try:
        topology = Topology.model_validate(document)
    except ValidationError as error:
        raise TopologyError(source, _problems(error, document["links"])) from None
    problems = list(_check(topology))
    if problems:
        raise TopologyError(source, problems)
    return topology


# --- short forms
# --------------------------------------------------------------------------------------------------


def _normal_nodes(table: object, problems: list[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """``ar1 = "access-router"`` means ``ar1 = { kind = "access-router" }``."""
    if not isinstance(table, dict) or not table:
        problems.append(("nodes", 'expected a table such as ar1 = "access-router"'))
        return {}
    nodes: dict[str, dict[str, Any]] = {}
    for name, value in table.items():
        if not _NAME.fullmatch(name):
            problems.append((f"nodes.{name}", "expected a name of lower-case letters, digits and hyphens, 12 at most"))
        if not isinstance(value, str | dict):
            problems.append((f"nodes.{name}", "expected a kind or a table with one"))
            continue
        nodes[name] = {"kind": value} if isinstance(value, str) else dict(value)
    return nodes


def _normal_links(value: object, problems: list[tuple[str, str]]) -> list[object]:
    """``[links] a.b = "5ms"`` and ``a.b = {...}`` become the entries of ``[[links]]``."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        problems.append(("links", 'expected a table such as core.ar1 = "5ms", or [[links]]'))
        return []
    links: list[object] = []
    for a, others in value.items():
        if not isinstance(others, dict):
            problems.append((f"links.{a}", f'expected the other end in the key, as in {a}.ar1 = "5ms"'))
            continue
        for b, figures in others.items():
            links.append({"between": (a, b)} | (figures if isinstance(figures, dict) else {"delay": figures}))
    return links


def _normal_roam(value: object, problems: list[tuple[str, str]]) -> list[object]:
    """``[roam] every = "5s", mn = ["ar2", "ar3"]`` becomes the steps of ``[[roam]]``, hosts in turn."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        problems.append(("roam", 'expected a table such as mn = ["ar2", "ar3"], or [[roam]]'))
        return []
    shared = {key: value[key] for key in ("outage", "notice", "carrier") if key in value}
    walks = {key: walk for key, walk in value.items() if key not in (*shared, "every")}
    for host, walk in walks.items():
        if not isinstance(walk, list) or not all(isinstance(stop, str) for stop in walk):
            problems.append((f"roam.{host}", "expected a list of access routers"))
            return []
    steps: list[object] = []
    for turn in range(max((len(walk) for walk in walks.values()), default=0)):
        pause = value.get("every", "5s")
        for host, walk in walks.items():
            if turn < len(walk):
                steps.append({"host": host, "to": walk[turn], "after": pause} | shared)
                pause = 0
    return steps


# --- addresses that nobody gave
# -----------------------------------------------------------------------------------


def _fill_addresses(nodes: dict[str, dict[str, Any]]) -> None:
    counts: dict[object, int] = {}
    for node in nodes.values():
        kind = node.get("kind")
        index = counts[kind] = counts.get(kind, 0) + 1 if isinstance(kind, str) else 0
        if kind == "access-router":
            node.setdefault("address", _router_address(index, 0xA0, 0x2000))
            node.setdefault("pool", _router_pool(index, 0xA000, 0x1000))
        elif kind == "mag":
            node.setdefault("address", _router_address(index, 0xB0, 0x4000))
            node.setdefault("pool", _router_pool(index, 0xB000, 0x3000))
        elif kind == "plain":
            node.setdefault("address", _router_address(index, 0xD0, 0x6000))
            node.setdefault("pool", _router_pool(index, 0xD000, 0x7000))
        elif kind == "lma":
            node.setdefault("address", f"2001:db8:f::{index:x}")
            node.setdefault("pool", _router_pool(index, 0xF000, 0x5000))
        elif kind == "ha" and "link" in node:
            pool = nodes.get(str(node["link"]), {}).get("pool", "::/48")
            node.setdefault("address", f"{str(pool).partition('/')[0]}{index:x}")
        elif kind == "ha":
            node.setdefault("pool", _router_pool(index, 0x1000, 0x8000))
            node.setdefault("address", str(node["pool"]).partition("/")[0] + "1")
        elif kind == "cmd":
            node.setdefault("address", f"2001:db8:c::{index:x}")
        elif kind == "server":
            node.setdefault("address", f"2001:db8:5:{index:x}::1")
        elif kind == "cn":
            node.setdefault("address", f"2001:db8:6:{index:x}::1")
        elif kind == "router":
            node.setdefault("address", f"2001:db8:e:{index:x}::1")

    _fill_home_addresses(nodes)


def _fill_home_addresses(nodes: dict[str, dict[str, Any]]) -> None:
    """The n-th mobile node is at ``::b0:n`` at home."""
    agents = [name for name, node in nodes.items() if node.get("kind") == "ha"]
    mobile = [node for node in nodes.values() if node.get("kind") == "mn"]
    for number, node in enumerate(mobile, 1):
        home = nodes.get(str(node.get("home", agents[0] if agents else "")), {})
        if "pool" in home:
            node.setdefault("address", str(home["pool"]).partition("/")[0] + f"b0:{number:x}")


def _router_address(index: int, nice: int, others: int) -> str:
    group = nice + index if index <= _NICE_INDEXES else others + index
    return f"2001:db8:{group:x}::1"


def _router_pool(index: int, nice: int, others: int) -> str:
    group = nice + 0x100 * index if index <= _NICE_INDEXES else others + index
    return f"2001:db8:{group:x}::/48"


# --- checks over the whole
# ----------------------------------------------------------------------------------------


def _check(topology: Topology) -> Iterable[tuple[str, str]]:
    yield from _check_nodes(topology)
    broken = list(_check_links(topology))
    yield from broken
    if not broken:
        yield from _check_connected(topology)
    yield from _check_addresses(topology)
    yield from _check_roam(topology)
    if topology.multicast is not None and topology.multicast not in topology.of_kind("server"):
        yield "multicast", f'expected a server ({", ".join(topology.of_kind("server"))}), found "{topology.multicast}"'


def _check_nodes(topology: Topology) -> Iterable[tuple[str, str]]:
    for name, node in topology.nodes.items():
        key = f"nodes.{name}"
        if node.kind == "host" and node.address is not None:
            yield f"{key}.address", "expected none: a host makes its own addresses"
        if node.kind not in _HOSTS and (node.at is not None or node.dad != "default" or node.radios != 1):
            yield key, 'expected "at", "dad" and "radios" on hosts only'
        if node.kind != "mn" and (node.home is not None or node.correspondent):
            yield key, 'expected "home" and "correspondent" on nodes of kind "mn" only'
        agents = topology.of_kind("ha")
        if node.kind == "mn" and (not agents or (node.home is not None and node.home not in agents)):
            yield f"{key}.home", f'expected a node of kind "ha" ({", ".join(agents) or "there is none"})'
        if node.delegated and name not in topology.mobile_routers:
            yield f"{key}.delegated", "expected on mobile nodes with a pool only"
        if node.link is not None and (node.kind != "ha" or node.pool is not None or not _is_before(topology, name)):
            yield f"{key}.link", 'expected on nodes of kind "ha" without a pool, and another one before'
        if node.partner is not None and (node.kind, node.partner) not in _partners(topology, name):
            yield f"{key}.partner", 'expected on nodes of kind "access-router" or "lma", and another one of these'
        if node.kind not in _WITH_POOL and node.pool is not None:
            yield f"{key}.pool", "expected on access routers and LMAs only"
        if node.kind not in _WITH_DAEMON and node.settings:
            yield f"{key}.settings", "expected on nodes with a daemon only"
        if node.at is not None and node.at not in topology.cells:
            yield f"{key}.at", _expected_access_router(topology, node.at)
    if topology.mobility:
        yield from _check_anchors(topology)


def _partners(topology: Topology, name: str) -> list[tuple[str, str]]:
    kind = topology.nodes[name].kind
    return [(kind, other) for other in topology.of_kind(kind) if other != name] if kind in _WITH_PARTNER else []


def _is_before(topology: Topology, name: str) -> bool:
    agents = topology.of_kind("ha")
    link = topology.nodes[name].link
    return link in agents[: agents.index(name)] and topology.nodes[link].link is None


def _check_anchors(topology: Topology) -> Iterable[tuple[str, str]]:
    """Whom access routers register with: MAARs with one database, MAGs with the first LMA."""
    databases, anchors = topology.of_kind("cmd"), topology.of_kind("lma")
    alone = "databases" not in topology.cmd
    needed = topology.mode != "direct"
    if topology.of_kind("access-router") and (
        (needed and not databases and not anchors) or (len(databases) > 1 and alone)
    ):
        yield "nodes", f'expected exactly one node of kind "cmd", or "databases" in [cmd], found {len(databases)}'
    if topology.of_kind("mag") and not anchors:
        yield "nodes", 'expected a node of kind "lma", where those of kind "mag" register'


def _expected_access_router(topology: Topology, found: str) -> str:
    known = ", ".join(topology.cells) or "there is none"
    return f'expected an access router ({known}), found "{found}"'


def _check_links(topology: Topology) -> Iterable[tuple[str, str]]:
    seen: set[frozenset[str]] = set()
    for link in topology.links:
        a, b = link.between
        key = f"links.{a}.{b}"
        for end in link.between:
            if end not in topology.nodes:
                yield key, f'expected the names of two nodes, found "{end}"'
            elif topology.nodes[end].kind in _HOSTS:
                yield key, f'"{end}" is a host: it has no link but the air; give it at = "ROUTER"'
        if a == b:
            yield key, "expected two different nodes"
        if frozenset(link.between) in seen:
            yield key, "expected one link between two nodes, found a second one"
        seen.add(frozenset(link.between))


def _check_connected(topology: Topology) -> Iterable[tuple[str, str]]:
    graph = topology.graph()
    if not graph:
        return
    start = next(iter(graph))
    reached, border = {start}, [start]
    while border:
        border = sorted({b for a in border for b in graph[a]} - reached)
        reached.update(border)
    for name in graph:
        if name not in reached:
            yield "links", f'expected every node to be reachable; nothing leads from "{start}" to "{name}"'


def _check_addresses(topology: Topology) -> Iterable[tuple[str, str]]:
    owners: dict[IPv6Address, str] = {}
    for name, node in topology.nodes.items():
        if node.address is not None and (other := owners.setdefault(node.address, name)) != name:
            yield f"nodes.{name}.address", f'{node.address} is the address of "{other}" already'
    pools = [(name, node.pool) for name, node in topology.nodes.items() if node.pool is not None]
    for index, (name, pool) in enumerate(pools):
        for other, earlier in pools[:index]:
            if pool.overlaps(earlier) and not _behind(topology, name, other) and not _behind(topology, other, name):
                yield f"nodes.{name}.pool", f'{pool} overlaps {earlier}, the pool of "{other}"'
        for address, owner in owners.items():
            node = topology.nodes[owner]
            at_home = node.kind == "mn" or (node.kind == "ha" and name in (owner, node.link))
            if address in pool and not at_home:
                yield f"nodes.{owner}.address", f'{address} lies in {pool}, the pool of "{name}"'


def _behind(topology: Topology, name: str, other: str) -> bool:
    """The network of a mobile router may be a part of what leads to its home agent."""
    if name not in topology.mobile_routers or topology.home_agent(name) != other:
        return False
    pool, home = topology.nodes[name].pool, topology.nodes[other].pool
    assert pool is not None
    assert home is not None
    return pool.subnet_of(home) and not pool.overlaps(topology.link_prefix(other))


def _check_roam(topology: Topology) -> Iterable[tuple[str, str]]:
    for index, step in enumerate(topology.roam):
        if step.host not in topology.hosts:
            yield f"roam.{index}.host", f'expected a host ({", ".join(topology.hosts)}), found "{step.host}"'
        if step.to != "-" and step.to not in topology.cells:
            yield f"roam.{index}.to", _expected_access_router(topology, step.to)


def _problems(error: ValidationError, links: list[object]) -> list[tuple[str, str]]:
    """What pydantic found, in our words; links go by the names of their ends."""
    problems = []
    for problem in error.errors(include_url=False):
        where = [str(part) for part in problem["loc"]]
        if where[0] == "links" and len(where) > 1:
            link = links[int(where[1])]
            between = link.get("between") if isinstance(link, dict) else None
            if isinstance(between, tuple):
                where[1:2] = between
        key = ".".join(where)
        text = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            text = "unknown key"
        elif problem["type"] == "missing":
            text = "expected, but missing"
        elif problem["type"] == "literal_error":
            text = f"expected {problem['ctx']['expected']}, found {problem['input']!r}"
        problems.append((key, text))
    return problems
