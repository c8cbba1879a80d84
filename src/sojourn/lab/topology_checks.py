"""Whether a topology can be a lab: names that are there, kinds that fit, links that connect, addresses that differ."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address

from sojourn.lab.topology_model import ACCESS, CELLS, HOSTS, Kind, Topology

_WITH_PARTNER: tuple[Kind, ...] = ("access-router", "lma")
_WITH_POOL: tuple[Kind, ...] = (*CELLS, "lma", "mn")
_WITH_DAEMON: tuple[Kind, ...] = (*ACCESS, "cmd", "lma", "ha", "cn", "mn")


def check(topology: Topology) -> Iterable[tuple[str, str]]:
    """Pairs of a key and what was expected there."""
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
        if node.kind not in HOSTS and (node.at is not None or node.dad != "default" or node.radios != 1):
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
            elif topology.nodes[end].kind in HOSTS:
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
