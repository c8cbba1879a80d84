"""Hosts that speak IPv4 only, with clients of the distribution: they keep their address and sessions over a roam."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dhcp_clients import Dhclient, Dhcpcd, addresses
from domain_of_daemons import Domain, domain, until

from sojourn.wire.checksum import ones_complement_sum
from sojourn.wire.dhcpv4 import Code, DhcpType, Dhcpv4Message

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

SERVER = "198.51.100.1"
_ETH_P_ARP = 0x0806
_IP_MTU_DISCOVER, _IP_MTU, _IP_PMTUDISC_DONT, _IP_PMTUDISC_DO = 10, 14, 0, 2
_POOLS = {"ar1": "10.1.0.0/24", "ar2": "10.2.0.0/24"}


def _settings(own: str, other: str) -> tuple[str, str]:
    mine = f'ipv4_pool = "{_POOLS[own]}"\ndns = ["192.0.2.53"]\ndhcp_lease = "20s"\nidle_hold = "4s"\n'
    return mine, f'ipv4_pool = "{_POOLS[other]}"\n'


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Domain]:
    """ar1 is connected to the Internet of IPv4, ar2 to that of IPv6 only. The host has no IPv6."""
    with prepared(tmp_path) as built:
        built.kernels_before = [router.kernel() for router in built.routers]
        built.start()
        yield built
        built.check_nothing_failed()


@contextmanager
def prepared(tmp_path: Path) -> Iterator[Domain]:
    """No daemon runs yet."""
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


@contextmanager
def bound(network: Domain, tmp_path: Path, router: int = 1) -> Iterator[tuple[Dhclient, str]]:
    """The host at a router, with a client that got an address."""
    network.roam(router)
    client = Dhclient(network.host, tmp_path, "-4")
    try:
        client.wait("BOUND ")
        (address,) = [str(item["local"]) for item in addresses(network.host, family=4)]
        yield client, address
    finally:
        client.stop()


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


def connect(network: Domain) -> socket.socket:
    with network.host.namespace.entered():
        return socket.create_connection((SERVER, 7), timeout=10)


def test_a_session_of_a_host_without_ipv6_survives_a_roam(network: Domain, tmp_path: Path) -> None:
    with bound(network, tmp_path) as (client, address), echo_server(network):
        line = client.wait("BOUND ")
        assert "dns=192.0.2.53" in line
        assert "mask=255.255.255.0 router=10.1.0.1 mtu=1460" in line
        assert address.startswith("10.1.0.")
        assert address in network.routers[0].run("nft list ruleset")  # nft(8) can read what we write
        with connect(network) as connection:
            exchange(connection, 1 << 18)
            for router in (2, 1, 2):
                network.roam(router)
                exchange(connection, 1 << 18)
        until("the node is at ar2", lambda: served(network, "ar2"))
        renewed = client.wait("RENEW ")  # by the router that did not give it
        assert f"ip={address} " in renewed
        with connect(network) as fresh:
            assert fresh.getsockname()[0] == address
            exchange(fresh, 1 << 16)


def test_a_killed_router_loses_no_session_and_a_stopped_one_leaves_nothing(network: Domain, tmp_path: Path) -> None:
    before = network.kernels_before[1]
    with bound(network, tmp_path) as (_, _), echo_server(network), connect(network) as connection:
        network.roam(2)
        exchange(connection, 1 << 16)
        until("the node is at ar2", lambda: served(network, "ar2"))
        for router in ("ar1", "ar2"):
            network.daemons[router].stop(signal.SIGKILL)
            exchange(connection, 1 << 16)
            network.daemons[router].start()
            exchange(connection, 1 << 16)
        network.daemons["ar2"].stop()
        left = network.routers[1].kernel()
        assert {name: lines for name, lines in left.items() if lines != before[name]} == {}


def test_datagrams_too_big_for_the_tunnel_are_answered_or_divided(network: Domain, tmp_path: Path) -> None:
    with bound(network, tmp_path) as (_, address):
        network.roam(2)
        until("the node is at ar2", lambda: served(network, "ar2"))
        with network.host.namespace.entered():
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with network.core.namespace.entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with receiver, sender:
            receiver.bind((address, 4000))
            receiver.settimeout(5)
            sender.bind((SERVER, 0))
            sender.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)
            sender.sendto(bytes(1472), (address, 4000))
            assert len(receiver.recv(2000)) == 1472  # in two packets
            sender.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
            sender.connect((address, 4000))
            sender.send(bytes(1472))
            until("the path is known to be narrow", lambda: sender.getsockopt(socket.IPPROTO_IP, _IP_MTU) == 1460)
            assert sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EMSGSIZE
            sender.send(bytes(1432))
            assert len(receiver.recv(2000)) == 1432


def test_nobody_sends_from_an_address_that_is_not_its_own(network: Domain, tmp_path: Path) -> None:
    with bound(network, tmp_path) as (_, address):
        with network.core.namespace.entered():
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with receiver:
            receiver.bind((SERVER, 4000))
            receiver.settimeout(1)
            for source in ("10.1.0.77", "10.2.0.5", "192.0.2.77", "10.1.0.1", address):
                if source != address:
                    network.host.run(f"ip address add {source}/32 dev lo")
                with network.host.namespace.entered():
                    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                with sender:
                    sender.bind((source, 0))
                    sender.sendto(source.encode(), (SERVER, 4000))
            assert receiver.recv(100) == address.encode()  # the first that arrives is the last one sent


def test_a_flood_of_clients_keeps_no_host_from_its_address(network: Domain, tmp_path: Path) -> None:
    network.roam(1)
    with network.air.namespace.entered():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        raw.bind(("cell1p", 0))
    stop = threading.Event()

    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # the daemon has its share of the machine only

    def flood() -> None:
        for number in range(60_000):
            if stop.wait(0.0005 * busy):
                return
            raw.send(_discover(number))

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        with bound(network, tmp_path) as (_, address):
            assert address.startswith("10.1.0.")
    finally:
        stop.set()
        flooding.join()
        raw.close()
    assert len(network.daemons["ar1"].show("sessions")) <= 10_000


def _discover(number: int) -> bytes:
    """A frame in which an invented host asks for an address."""
    mac = b"\x06\0" + number.to_bytes(4, "big")
    payload = Dhcpv4Message(1, number, mac, {Code.MESSAGE_TYPE: bytes((DhcpType.DISCOVER,))}).encode()
    udp = struct.pack("!HHHH", 68, 67, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    header = header[:10] + ones_complement_sum(header).to_bytes(2, "big") + header[12:]
    return b"\xff" * 6 + mac + b"\x08\x00" + header + udp


@pytest.mark.parametrize("router", [1, 2])
def test_dhcpcd_is_served_too(network: Domain, tmp_path: Path, router: int) -> None:
    """It probes with ARP whether somebody has the address already: nobody may answer for it."""
    network.roam(router)
    with Dhcpcd(network.host, tmp_path, "-4"), echo_server(network):
        (item,) = until("an address", lambda: addresses(network.host, family=4))
        assert item["local"].startswith(f"10.{router}.0.")
        if router == 1:  # the other one has no way to the server
            with connect(network) as connection:
                exchange(connection, 1 << 16)


def test_a_quiet_host_without_ipv6_is_asked_by_arp_whether_it_is_there(tmp_path: Path) -> None:
    with prepared(tmp_path) as network:
        network.daemons["ar1"].edit("[[maar.peers]]", 'lifetime = "4s"\n[[maar.peers]]')
        network.start()
        with bound(network, tmp_path), network.host.namespace.entered():
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            raw.bind(("wlan0", _ETH_P_ARP))
            with raw:
                raw.settimeout(10)
                question = raw.recv(100)
                while question[:6] != raw.getsockname()[4] or question[28:32] != bytes(4):  # from no address, to it
                    question = raw.recv(100)
        network.daemons["ar1"].log.write_text("")
        until("a registration after that", lambda: "BindingAcknowledgement" in network.daemons["ar1"].log.read_text())
        assert served(network, "ar1")


def test_where_the_kernel_would_drop_ipv4_out_of_tunnels_the_daemon_says_so(tmp_path: Path) -> None:
    with prepared(tmp_path) as network:
        network.routers[0].namespace.sysctl("net/ipv4/conf/all/rp_filter", 1)
        code, words = network.daemons["ar1"].refusal()
        assert code == 2
        assert "maar.ipv4_pool: net.ipv4.conf.*.rp_filter makes the kernel drop what comes out of tunnels" in words
        network.routers[1].namespace.sysctl("net/ipv4/conf/all/rp_filter", 2)
        code, words = network.daemons["ar2"].refusal()
        assert (code, "or a default route" in words) == (2, True)
