"""Hosts that speak IPv4 only, with clients of the distribution: they keep their address and sessions over a roam."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dhcp_clients import Dhclient, addresses
from domain_of_daemons import Domain, domain, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

SERVER = "198.51.100.1"
_POOLS = {"ar1": "10.1.0.0/24", "ar2": "10.2.0.0/24"}


def _settings(own: str, other: str) -> tuple[str, str]:
    mine = f'ipv4_pool = "{_POOLS[own]}"\ndns = ["192.0.2.53"]\ndhcp_lease = "20s"\nidle_hold = "4s"\n'
    return mine, f'ipv4_pool = "{_POOLS[other]}"\n'


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Domain]:
    """ar1 is connected to the Internet of IPv4, ar2 to that of IPv6 only. The host has no IPv6."""
    with domain(tmp_path) as built:
        for own, other in (("ar1", "ar2"), ("ar2", "ar1")):
            mine, theirs = _settings(own, other)
            daemon = built.daemons[own]
            daemon.edit("[[maar.peers]]\n", mine + "[[maar.peers]]\n" + theirs)
            built.daemons["cmd"].edit(f'name = "{own}"\n', f'name = "{own}"\nipv4_pool = "{_POOLS[own]}"\n')
        built.core.namespace.sysctl("net/ipv4/ip_forward", 1)
        built.core.run(f"ip address add {SERVER}/32 dev lo")
        built.core.run("ip address add 192.0.2.254/24 dev to-ar1")
        built.routers[0].run("ip address add 192.0.2.1/24 dev core")
        built.routers[0].run("ip route add default via 192.0.2.254")
        built.core.run(f"ip route add {_POOLS['ar1']} via 192.0.2.1")
        built.host.namespace.sysctl("net/ipv6/conf/all/disable_ipv6", 1)
        built.start()
        yield built


@contextmanager
def echo_server(network: Domain) -> Iterator[None]:
    """Whoever connects gets back what it sends."""
    with network.core.namespace.entered():
        listener = socket.create_server((SERVER, 7))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    def echo(connection: socket.socket) -> None:
        with connection:
            while octets := connection.recv(1 << 16):
                connection.sendall(octets)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def exchange(connection: socket.socket, size: int) -> None:
    """So many octets there and back, in segments as long as they may be."""
    octets = bytes(range(256)) * (size // 256)
    sender = threading.Thread(target=connection.sendall, args=(octets,))
    sender.start()
    received = bytearray()
    while len(received) < len(octets):
        part = connection.recv(1 << 16)
        assert part, "the connection ended"
        received += part
    sender.join()
    assert received == octets


def served(network: Domain, router: str) -> bool:
    return any(row["presence"] == "served" and row["confirmed"] for row in network.daemons[router].show("sessions"))


def test_a_session_of_a_host_without_ipv6_survives_a_roam(network: Domain, tmp_path: Path) -> None:
    network.roam(1)
    client = Dhclient(network.host, tmp_path, "-4")
    try:
        line = client.wait("BOUND ")
        assert "dns=192.0.2.53" in line
        assert "mask=255.255.255.0 router=10.1.0.1 mtu=1460" in line
        (address,) = [item["local"] for item in addresses(network.host, family=4)]
        assert address.startswith("10.1.0.")
        with echo_server(network):
            with network.host.namespace.entered():
                connection = socket.create_connection((SERVER, 7), timeout=10)
            with connection:
                exchange(connection, 1 << 18)
                network.roam(2)
                exchange(connection, 1 << 18)
                until("the node is at ar2", lambda: served(network, "ar2"))
                network.roam(1)
                exchange(connection, 1 << 18)
                network.roam(2)
                exchange(connection, 1 << 18)
            renewed = client.wait("RENEW ")  # by the router that did not give it
            assert f"ip={address} " in renewed
            with network.host.namespace.entered(), socket.create_connection((SERVER, 7), timeout=10) as fresh:
                assert fresh.getsockname()[0] == address
                exchange(fresh, 1 << 16)
    finally:
        client.stop()
