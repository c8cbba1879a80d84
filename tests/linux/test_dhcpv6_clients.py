"""Hosts that ask by DHCPv6, with the clients of the distribution: they keep over a roam what they were given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dhcp_clients import Dhclient, addresses
from domain_of_daemons import Domain, domain, until

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


def configured(network: Domain, settings: str) -> Domain:
    """All daemons run, the routers with `settings`."""
    for router in ("ar1", "ar2"):
        network.daemons[router].edit("[[maar.peers]]", settings + "[[maar.peers]]")
    network.start()
    return network


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
        network.roam(2)
        until(
            "the node is at ar2",
            lambda: any(row["presence"] == "served" for row in network.daemons["ar2"].show("sessions")),
        )
        assert network.answers(first) == 3
        second = network.address("2001:db8:a200:")  # told with the next renewal, by the other router
        assert network.answers(second) == 3
        preferred = {item["local"]: item["preferred_life_time"] for item in addresses(network.host)}
        assert preferred[first] == 0 < preferred[second]
        assert network.answers(first) == 3
    finally:
        client.stop()
