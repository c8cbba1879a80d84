"""Hosts that ask by DHCPv6, with the clients of the distribution: they keep over a roam what they were given."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from dhcp_clients import Dhclient, Dhcpcd, addresses
from domain_of_daemons import Domain, Machine, domain, echoes, until

from sojourn.lab.lab import Lab
from sojourn.lab.topology import Setting, load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

_STATEFUL = """\
dhcpv6 = "stateful"
slaac = false
dns = ["2001:db8:53::1"]
idle_hold = "8s"
"""


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Domain]:
    with domain(tmp_path) as built:
        yield built
        built.check_nothing_failed()


def configured(network: Domain, settings: str) -> Domain:
    """All daemons run, the routers with `settings`, in which N is the router's number."""
    for router in ("ar1", "ar2"):
        network.daemons[router].edit("[[maar.peers]]", settings.replace("N", router[-1]) + "[[maar.peers]]")
    network.start()
    return network


def roam(network: Domain, source: str, machine: Machine | None = None) -> None:
    """The host goes to ar2, and what was reached from `source` is reached again."""
    network.roam(2)
    until("ar2 knows", lambda: any(row["confirmed"] for row in network.daemons["ar2"].show("sessions")))
    until("ar1 knows", lambda: network.answers(source, 1, machine))
    assert network.answers(source, machine=machine) == 3


def test_a_host_without_slaac_keeps_its_address_over_a_roam(network: Domain, tmp_path: Path) -> None:
    configured(network, _STATEFUL)
    network.roam(1)
    until("a default route", lambda: "default" in network.host.run("ip -6 route"))
    assert addresses(network.host) == []  # nothing by itself: there is no A flag
    client = Dhclient(network.host, tmp_path, "-6")
    try:
        line = client.wait("BOUND6")
        assert "dns=2001:db8:53::1" in line
        first = network.address("2001:db8:a100:")
        assert network.answers(first) == 3
        roam(network, first)
        second = network.address("2001:db8:a200:")  # told with the next renewal, by the other router
        assert network.answers(second) == 3
        preferred = {item["local"]: item["preferred_life_time"] for item in addresses(network.host)}
        assert preferred[first] == 0 < preferred[second]
        assert network.answers(first) == 3
    finally:
        client.stop()


_DELEGATING = """\
dhcpv6 = "stateful"
delegated_pool = "2001:db8:aN00:8000::/49"
idle_hold = "4s"
dhcp_lease = "20s"
"""


@pytest.fixture
def behind(network: Domain) -> Iterator[Machine]:
    """A machine on a network of its own behind the host, which is its router."""
    lan = Machine("lan")
    network._pair(network.host, "lan0", lan, "eth0")
    lan.namespace.sysctl("net/ipv6/conf/all/accept_dad", 0)
    network.host.namespace.sysctl("net/ipv6/conf/all/forwarding", 1)
    network.host.namespace.sysctl("net/ipv6/conf/wlan0/accept_ra", 2)
    yield lan
    lan.namespace.close()


def test_a_network_behind_a_host_keeps_its_prefix_over_a_roam(network: Domain, behind: Machine, tmp_path: Path) -> None:
    configured(network, _DELEGATING)
    network.roam(1)
    until("a default route", lambda: "default" in network.host.run("ip -6 route"))
    client = Dhclient(network.host, tmp_path, "-6", "-P")
    try:
        line = client.wait("pd=2001:db8:a100:8")
        delegated = line.partition("pd=")[2].split()[0]
        assert delegated.endswith("/60")
        network.host.run(f"ip -6 address add {delegated.replace('/60', '1/64')} dev lan0 nodad")
        address = delegated.replace("/60", "2")
        behind.run(f"ip -6 address add {address}/64 dev eth0 nodad")
        behind.run(f"ip -6 route add default via {delegated.replace('/60', '1')}")
        until("the network behind is reached", lambda: network.answers(address, 1, behind))
        roam(network, address, behind)
        client.wait("RENEW6", times=2)  # by ar2, for longer than a lease and an idle prefix last at ar1
        assert f"pd={delegated}" in client.wait("RENEW6")
        assert network.answers(address, machine=behind) == 3
    finally:
        client.stop()


class Bus:
    """The host of a lab, as the clients know one."""

    def __init__(self, lab: Lab) -> None:
        self.namespace = lab.nodes["bus"].namespace

    def run(self, command: str) -> str:
        with self.namespace.entered():
            return subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("client", ["dhclient", "dhcpcd"])
def test_a_router_gets_by_dhcpv6_what_its_lma_delegates_and_keeps_it_at_the_next_gateway(
    client: str, tmp_path: Path
) -> None:
    """RFC 7148 5.1.3.1: IA_PD at a MAG; the one that the router goes to hears of it with the next renewal."""
    settings: dict[str, Setting] = {
        "dhcpv6": "stateful",
        "preferred_lifetime": "8s",
        "delegation": {"everybody": True},
    }
    topology = load("delegation").model_copy(update={"mag": settings})
    server = topology.address("server")
    with Lab(topology, tmp_path) as lab:
        bus = Bus(lab)

        def delegated(gateway: str) -> str:
            with lab.client(gateway) as control:
                found = [one for row in control.show("sessions", plain=True) for one in row["delegated"]]
            return found[0] if found else ""

        with contextlib.ExitStack() as stack:
            until("a default route", lambda: "default" in bus.run("ip -6 route"))
            if client == "dhclient":
                asking = Dhclient(bus, tmp_path, "-6", "-P")
                stack.callback(asking.stop)
                assert "pd=2001:db8:f101:" in asking.wait("pd=2001:db8:f101:")
            else:
                stack.enter_context(Dhcpcd(bus, tmp_path, "-6", settings="ia_pd 1\n"))
            network = until("a network at mag1", lambda: delegated("mag1"))
            assert network == "2001:db8:f101::/56"
            source = network.replace("/56", "42")
            bus.run(f"ip address add {source}/128 dev lo nodad")
            until("the network is reached at mag1", lambda: echoes(bus.namespace, source, server))
            lab.air.roam("bus", "mag2")
            assert until("a network at mag2", lambda: delegated("mag2")) == network
            until("the network is reached at mag2", lambda: echoes(bus.namespace, source, server))


def test_a_host_that_makes_its_own_address_asks_for_name_servers(network: Domain, tmp_path: Path) -> None:
    configured(network, 'dhcpv6 = "stateless"\ndns = ["2001:db8:53::1"]\n')
    network.roam(1)
    own = network.address("2001:db8:a100:")
    client = Dhclient(network.host, tmp_path, "-6", "-S")
    try:
        client.wait("dns=2001:db8:53::1")
    finally:
        client.stop()
    assert [item["local"] for item in addresses(network.host)] == [own]


def test_dhcpcd_keeps_its_address_too(network: Domain, tmp_path: Path) -> None:
    configured(network, _STATEFUL)
    network.roam(1)
    with Dhcpcd(network.host, tmp_path, "-6"):
        first = network.address("2001:db8:a100:")
        assert network.answers(first) == 3
        roam(network, first)
        second = network.address("2001:db8:a200:")
        assert network.answers(second) == 3
        assert network.answers(first) == 3
