"""Does anything break where some networks manage mobility and others do not: ``sojourn lab run coexistence``.

The matrix of RFC 7333 REQ5: hosts of four kinds, nothing of ours in them, in four networks.

* A *plain* router knows nothing of mobility. A domain of Proxy Mobile IPv6 has two gateways (RFC 5213), a domain of
  distributed mobility two MAARs and a database (RFC 8885), a *mixed* one a gateway and a MAAR with one LMA, which knows
  no D flag, so that the MAAR is a gateway there.
* A cell holds when the host comes into the network, gets an address of it in its own way, talks to a server, keeps
  the conversation while it roams to the other router (a plain network has one), and can begin another one there.
* From each network the host goes on to another one, and comes back. There it has an address of that network, begins
  anew, and its old conversations end with an error that its user is told, within the time that TCP was given.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from sojourn.lab.conduct import conduct_before
from sojourn.lab.ipv4 import add_address, route_ipv4
from sojourn.lab.lab import Lab
from sojourn.lab.live import Stage, View
from sojourn.lab.plain_services import PlainServices
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict, to_json
from sojourn.lab.stock_hosts import Connection, EchoServer, IpAddress, StockHost, missing, until
from sojourn.lab.topology import Topology, load

IpNetwork: TypeAlias = IPv4Network | IPv6Network

SERVER_IPV4 = IPv4Address("198.51.100.1")
_PLAIN_IPV4 = IPv4Network("10.0.0.0/24")
VISITS = ("pmip", "plain", "pmip", "dmm", "plain", "dmm", "mixed", "plain", "mixed")
"""Every network but the plain one is left for the plain one and entered again."""
_PATIENCE = 10.0
"""Seconds until what should be there is not."""
_END_WITHIN = 6.0
"""Twice the time that a connection is given, and a little."""


@dataclass(frozen=True, slots=True)
class Network:
    """One column."""

    title: str
    routers: tuple[str, ...]
    anchors: tuple[str, ...]
    """Whose pools its addresses are of."""


NETWORKS = {
    "plain": Network("plain router", ("plain",), ("plain",)),
    "pmip": Network("PMIPv6 domain", ("mag1", "mag2"), ("lma",)),
    "dmm": Network("DMM domain", ("ar1", "ar2"), ("ar1", "ar2")),
    "mixed": Network("mixed domain", ("mix1", "mix2"), ("lma",)),
}
HOSTS = {
    "slaac": "SLAAC host",
    "dhcpv6": "DHCPv6 host",
    "ipv4": "IPv4-only host",
    "multi": "host with two links",
}


@dataclass(slots=True)
class Visit:
    """What happened to one host from when it entered a network to when it left it; empty text: as it should be."""

    host: str
    network: str
    entered: str = ""
    kept: str = ""
    begun: str = ""
    """A new conversation at the other router."""
    address: str = ""
    ended: list[str] = field(default_factory=list)
    """How the conversations from before ended, by the errors that users were told; "" is one that did not end."""

    @property
    def trouble(self) -> str:
        """What was wrong in this network."""
        return self.entered or self.kept or self.begun


@scenario("coexistence", "hosts of four kinds in plain, PMIPv6, DMM and mixed networks: nothing breaks (RFC 7333 REQ5)")
def coexistence(options: ScenarioOptions) -> int:
    """The matrix as a scenario."""
    if packages := missing():
        print(f"sojourn: coexistence needs real DHCP clients: apt install {' '.join(packages)}", file=sys.stderr)
        return 2
    return conduct_before(
        "coexistence", options, lambda view: make_report(play(load("coexistence"), options.output, view))
    )


def play(topology: Topology, output: Path, view: View, stops: Sequence[str] = VISITS) -> list[Visit]:
    """Build the networks once, and take all hosts through `stops`. Raises DaemonFailed, OSError."""
    with Lab(topology, output, capture="signalling") as lab, _equipped(lab) as servers:
        tour = _Tour(lab, output / "hosts", servers, view)
        try:
            for stop in stops:
                tour.enter(stop)
            tour.leave()
        finally:
            tour.close()
        lab.check()
        return tour.visits


@contextmanager
def _equipped(lab: Lab) -> Iterator[dict[int, IpAddress]]:
    """IPv4 beside IPv6, services of the plain router, a server; answers with its addresses by family."""
    server = lab.nodes["server"]
    networks = {
        name: IPv4Network(str(node.settings["ipv4_pool"]))
        for name, node in lab.topology.nodes.items()
        if "ipv4_pool" in node.settings
    }
    networks |= {"plain": _PLAIN_IPV4, "server": IPv4Network(SERVER_IPV4)}
    route_ipv4(lab, networks)
    add_address(server.namespace, server.ends["to-core"].index, str(SERVER_IPV4), 32)
    addresses: dict[int, IpAddress] = {6: IPv6Address(lab.topology.address("server")), 4: SERVER_IPV4}
    with PlainServices(lab, "plain", _PLAIN_IPV4), EchoServer(server.namespace, list(addresses.values())):
        yield addresses


class _Tour:
    """All hosts together, from network to network."""

    def __init__(self, lab: Lab, directory: Path, servers: dict[int, IpAddress], view: View) -> None:
        self._topology = lab.topology
        self._view = view
        view.open(Stage("Four kinds of networks", lab.topology.access_routers, "slaac", True))
        self._links = {
            "slaac": [StockHost(lab, "slaac", directory)],
            "dhcpv6": [StockHost(lab, "dhcpv6", directory, asks="-6")],
            "ipv4": [StockHost(lab, "ipv4", directory, asks="-4")],
            "multi": [StockHost(lab, "multi", directory), StockHost(lab, "multi", directory, port="multi/2")],
        }
        self._servers = {host: servers[4 if host == "ipv4" else 6] for host in HOSTS}
        self._open: dict[str, list[Connection]] = {host: [] for host in HOSTS}
        self.visits: list[Visit] = []

    def enter(self, stop: str) -> None:
        """Everybody leaves for this network, gets what it needs, talks, roams, talks on."""
        network = NETWORKS[stop]
        self._view.say(f"into the {network.title}")
        visits = {host: Visit(host, stop) for host in HOSTS}
        left = dict(self._open)
        for host, links in self._links.items():
            for number, link in enumerate(links):
                link.enter(network.routers[number % len(network.routers)])
            for connection in left[host]:
                connection.push()
        for host, visit in visits.items():
            visit.entered, self._open[host] = self._begin(host, network, visit)
            visit.ended = _endings(left[host])
        if len(network.routers) > 1:
            self._roam(network, visits)
        self.visits += visits.values()

    def _roam(self, network: Network, visits: dict[str, Visit]) -> None:
        self._view.say(f"to the other router of the {network.title}")
        for links in self._links.values():
            for number, link in enumerate(links):
                link.roam(network.routers[(number + 1) % len(network.routers)])
        for host, visit in visits.items():
            if visit.entered:
                continue
            if not all(connection.works(_PATIENCE) for connection in self._open[host]):
                visit.kept = "its conversation did not survive a roam"
            visit.begun, more = self._begin(host, network)
            self._open[host] += more

    def _begin(self, host: str, network: Network, visit: Visit | None = None) -> tuple[str, list[Connection]]:
        """What is wrong, and a conversation over each link."""
        begun: list[Connection] = []
        for link in self._links[host]:
            if not until(lambda link=link: link.settled, _PATIENCE):  # type: ignore[misc]
                return f"no address on {link.interface}", begun
            until(lambda link=link: self._try(host, link, begun), _PATIENCE)  # type: ignore[misc]
        if len(begun) < len(self._links[host]):
            return "no way to the server", begun
        foreign = [one.source for one in begun if not self._is_of(one.source, network)]
        if visit is not None:
            visit.address = str(begun[0].source)
        return (f"{foreign[0]} is of another network", begun) if foreign else ("", begun)

    def _try(self, host: str, link: StockHost, begun: list[Connection]) -> bool:
        with suppress(OSError):
            connection = link.connect(self._servers[host])
            if connection.works(2.0):
                begun.append(connection)
                return True
            connection.close()
        return False

    def _is_of(self, address: IpAddress, network: Network) -> bool:
        for anchor in network.anchors:
            node = self._topology.nodes[anchor]
            ipv4 = _PLAIN_IPV4 if anchor == "plain" else node.settings.get("ipv4_pool")
            pools: list[IpNetwork] = [node.pool] if node.pool is not None else []
            if ipv4 is not None:
                pools.append(IPv4Network(str(ipv4)))
            if any(address.version == pool.version and address in pool for pool in pools):
                return True
        return False

    def leave(self) -> None:
        """Whatever is still open is closed."""
        for connections in self._open.values():
            for connection in connections:
                connection.close()

    def close(self) -> None:
        """The hosts' own programs end."""
        with ExitStack() as stack:
            for links in self._links.values():
                for link in links:
                    stack.callback(link.close)


def _endings(connections: list[Connection]) -> list[str]:
    found = [connection.ending(_END_WITHIN) for connection in connections]
    for connection in connections:
        connection.close()
    return found


# --- what came of it ----------------------------------------------------------------------------------


def make_report(visits: Sequence[Visit]) -> Report:
    """The matrix, and what became of hosts that went on."""
    rows = [(HOSTS[host], *(_cell(visits, host, stop) for stop in NETWORKS)) for host in HOSTS]
    matrix = Table("Hosts in networks", ["", *(network.title for network in NETWORKS.values())], list(rows), _NOTE)
    verdicts = []
    for host, title in HOSTS.items():
        for stop, network in NETWORKS.items():
            found = _cell(visits, host, stop)
            wanted = "yes, kept" if len(network.routers) > 1 else "yes"
            verdicts.append(Verdict(f"{title}, {network.title}", found, wanted, found == wanted))
    moves = [_move(visits, source, target) for source, target in _moves(visits)]
    table = Table(
        "From network to network", ("", "new address", "new flows", "old flows ended"), [one[0] for one in moves]
    )
    verdicts.append(_moved(moves))
    return Report(
        "Mobility management beside networks without it",
        "Hosts of four kinds, stock Linux with the distribution's DHCP client, in networks of four kinds.",
        verdicts=verdicts,
        tables=[matrix, table],
        conditions=[
            ("into another network", "the host forgets addresses, routes and leases, as a network manager does"),
            ("to the other router of a network", "20 ms without link; the host is not told"),
            (
                "old flows",
                "TCP gives up 2 s after the last acknowledgement (TCP_USER_TIMEOUT); the user is told an error",
            ),
        ],
        data={"visits": to_json(list(visits))},
    )


_NOTE = (
    "yes: an address of the network, and a conversation with a server. kept: it went on while the host roamed to the "
    "other router, where the host began another one. The host with two links does all of this over each."
)


def _cell(visits: Sequence[Visit], host: str, stop: str) -> str:
    found = [visit for visit in visits if (visit.host, visit.network) == (host, stop)]
    if not found:
        return "not tried"
    trouble = next((visit.trouble for visit in found if visit.trouble), "")
    return trouble or ("yes, kept" if len(NETWORKS[stop].routers) > 1 else "yes")


def _moves(visits: Sequence[Visit]) -> list[tuple[list[Visit], list[Visit]]]:
    """Pairs of stays, one after the other, each with a visit of each host."""
    stays = [list(visits[index : index + len(HOSTS)]) for index in range(0, len(visits), len(HOSTS))]
    return list(pairwise(stays))


def _move(visits: Sequence[Visit], before: list[Visit], after: list[Visit]) -> tuple[tuple[str, ...], bool]:
    """A row, and whether all of it is right."""
    came = [(old, new) for old, new in zip(before, after, strict=True) if not old.entered]
    fresh = sum(bool(new.address) and new.address != old.address for old, new in came)
    talking = sum(not new.entered for _, new in came)
    endings = [ending for _, new in came for ending in new.ended]
    ended = sum(map(bool, endings))
    title = f"{NETWORKS[before[0].network].title} to {NETWORKS[after[0].network].title}"
    row = (title, f"{fresh} of {len(came)}", f"{talking} of {len(came)}", f"{ended} of {len(endings)}")
    return row, (fresh, talking, ended) == (len(came), len(came), len(endings)) and bool(came)


def _moved(moves: list[tuple[tuple[str, ...], bool]]) -> Verdict:
    right = sum(holds for _, holds in moves)
    measured, required = f"{right} of {len(moves)} moves", f"{len(moves)} of {len(moves)} moves"
    return Verdict("new addresses and flows, old flows ended", measured, required, right == len(moves))
