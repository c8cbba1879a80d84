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
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sojourn.lab.topology_checks import check
from sojourn.lab.topology_model import HOSTS, Kind, Link, Node, Roam, Setting, Topology

__all__ = [
    "Kind",
    "Link",
    "Node",
    "Roam",
    "Setting",
    "Topology",
    "TopologyError",
    "builtin_topologies",
    "load",
    "parse",
    "star",
]

_NAME = re.compile(r"[a-z][a-z0-9-]{0,11}")
_NICE_INDEXES = 15


class TopologyError(ValueError):
    """The file cannot be a lab; `problems` are pairs of key and what was expected."""

    def __init__(self, source: str, problems: Iterable[tuple[str, str]]) -> None:
        self.source = source
        self.problems = list(problems)
        super().__init__(
            "\n".join(f"{source}: {key}: {text}" if key else f"{source}: {text}" for key, text in self.problems)
        )


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
    return _built(document, source)


def star(
    name: str,
    nodes: Mapping[str, str | Mapping[str, object]],
    delay: str = "0ms",
    *,
    delays: Mapping[str, str] | None = None,
    **more: object,
) -> Topology:
    """`nodes` around a router ``core`` with a link of this `delay` to each, but for hosts, and for those in `delays`.

    Nodes are given as in a file, and so are the other tables (`more`). Raises TopologyError.
    """
    linked = [one for one, node in nodes.items() if (node if isinstance(node, str) else node["kind"]) not in HOSTS]
    links = dict.fromkeys(linked, delay) | dict(delays or {})
    return _built({"name": name, "nodes": {"core": "router", **nodes}, "links": {"core": links}, **more}, name)


def _built(document: dict[str, Any], source: str) -> Topology:
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
    problems = list(check(topology))
    if problems:
        raise TopologyError(source, problems)
    return topology


# --- short forms ------------------------------------------------------------------------------------------------------


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


# --- addresses that nobody gave ---------------------------------------------------------------------------------------


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
