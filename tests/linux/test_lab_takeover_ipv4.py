"""An anchor that leased an IPv4 address goes dark: its partner takes that pool over too, and connections go on."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from sojourn.lab.ipv4 import add_address, route_ipv4
from sojourn.lab.lab import Lab
from sojourn.lab.stock_hosts import Connection, EchoServer, StockHost, missing, until
from sojourn.lab.topology import load

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(missing()), reason="no DHCP client of the distribution"),
]

SERVER = IPv4Address("192.0.2.1")
POOLS = {f"ar{number}": IPv4Network(f"10.{number}.0.0/24") for number in range(1, 5)}
PATIENCE = 20.0


def stand_in(lab: Lab) -> str:
    with lab.client("ar3") as client:
        rows = client.show("peers", plain=True)
    return str(next(row["stand_in"] for row in rows if row["address"] == lab.topology.address("ar1")))


def announced(lab: Lab) -> list[str]:
    """What the network leads to the partner of the pool of ar1."""
    core = lab.nodes["core"].spawn(["ip", "-4", "route"], stdout=subprocess.PIPE)
    lines = core.communicate()[0].decode().splitlines()
    halves = [str(half) for half in POOLS["ar1"].subnets()]
    return [line for line in lines if any(half in line for half in halves)]


def begun(host: StockHost) -> Connection:
    """As soon as it has an address and a way."""
    found: list[Connection] = []

    def tried() -> bool:
        with suppress(OSError):
            found.append(host.connect(SERVER))
        return bool(found)

    assert until(tried, PATIENCE)
    return found[0]


def works(connection: Connection) -> bool:
    return until(lambda: connection.works(2.0), PATIENCE)


def test_connections_from_an_ipv4_address_outlive_its_anchor(tmp_path: Path) -> None:
    topology = load("takeover")
    nodes = dict(topology.nodes)
    for name, network in POOLS.items():
        nodes[name] = nodes[name].model_copy(update={"settings": {"ipv4_pool": str(network)}})
    shorter = {**topology.maar, "liveness": {"interval": "250ms", "misses": 3, "hold": "1s"}}
    with ExitStack() as opened:
        lab = opened.enter_context(Lab(topology.model_copy(update={"nodes": nodes, "maar": shorter}), tmp_path))
        networks = {**POOLS, "server": IPv4Network(SERVER)}
        route_ipv4(lab, networks)
        server = lab.nodes["server"]
        add_address(server.namespace, server.ends["to-core"].index, str(SERVER), 32)
        opened.enter_context(EchoServer(server.namespace, [SERVER]))
        host = StockHost(lab, "mn1", tmp_path / "dhcp", asks="-4")
        opened.callback(host.close)
        host.enter("ar1")
        connection = begun(host)
        opened.callback(connection.close)
        assert connection.source in POOLS["ar1"]
        assert works(connection)
        host.roam("ar2")
        assert works(connection)

        lab.darken("ar1")
        assert until(lambda: stand_in(lab) == "holding", PATIENCE)
        assert announced(lab)
        assert works(connection), "its partner leads it on"
        host.roam("ar4")
        assert works(connection), "and follows it"

        lab.lighten("ar1")
        route_ipv4(lab, networks)  # its links took them along
        lab.start_daemon("ar1")
        assert until(lambda: stand_in(lab) == "ready", PATIENCE)
        assert works(connection), "its anchor has it again"
        assert until(lambda: not announced(lab), PATIENCE)
        again = begun(host)
        opened.callback(again.close)
        assert again.source == connection.source, "it is the same lease"
        assert works(again)
