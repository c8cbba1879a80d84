"""docs/network-based.md is a network: its blocks are run in three namespaces, and a host roams there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from domain_of_daemons import HOST, Daemon, Domain, Machine, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

PAGE = (Path(__file__).parents[2] / "docs" / "network-based.md").read_text()
BLOCKS = re.findall(r"^```(\w+)(?: (\w+))?\n(.*?)^```", PAGE, re.S | re.M)
ROUTERS = ("anchor", "west", "east")
NOT_HERE = {"apt", "cp", "systemctl status"}
"""What changes the machine itself; tests/linux/test_debian_package.py does it on a copy of one."""
HOME = "2001:db8:f0"
SERVER = "2001:db8:5e::1"


def blocks(kind: str, machine: str) -> list[str]:
    return [text for found, where, text in BLOCKS if (found, where) == (kind, machine)]


def commands(machine: str) -> list[str]:
    text = "".join(blocks("console", machine))
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


class Network(Domain):
    """Cables, an air, a host, a server behind the anchor; all else is what the page says."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._index = 100
        self.anchor, *self.routers = self.machines = [Machine(name) for name in ROUTERS]
        self.core, self.air, self.host = Machine("server"), Machine("air"), Machine("host")
        self.host.namespace.sysctl("net/ipv6/conf/default/dad_transmits", 0)
        self.air.namespace.sysctl("net/ipv6/conf/default/disable_ipv6", 1)
        for number, router in enumerate(self.routers, 1):
            self._pair(self.anchor, f"to-{router.name}", router, "to-anchor")
            self._pair(router, "wlan0", self.air, f"cell{number}p")
            self.air.run(f"ip link add cell{number} type bridge mcast_snooping 0")
            self.air.run(f"ip link set cell{number} up")
            self.air.run(f"ip link set cell{number}p master cell{number}")
        self._pair(self.air, "host", self.host, "wlan0")
        self.host.run(f"ip link set wlan0 address {HOST}")
        self._pair(self.anchor, "uplink", self.core, "uplink")
        self.anchor.run("ip -6 address add 2001:db8:5e::2/64 dev uplink nodad")
        self.core.run(f"ip -6 address add {SERVER}/64 dev uplink nodad")
        self.core.run("ip -6 route add default via 2001:db8:5e::2")
        self.daemons = {
            machine.name: Daemon(machine, directory, self._here(blocks("toml", machine.name)[0]))
            for machine in self.machines
        }

    def _here(self, text: str) -> str:
        places = {"/etc/sojourn": "", "/run/sojourn": "", "/var/lib/sojourn": ""}
        for place in places:
            text = text.replace(place, str(self.directory))
        return text

    def set_up(self) -> None:
        for machine in self.machines:
            for line in "".join(blocks("sh", machine.name)).splitlines():
                machine.run(line)

    def do(self, machine: Machine, command: str) -> str:
        """One line of the page, as it stands; what systemd would do is done with the daemon."""
        words = shlex.split(command)
        if words[0] == "systemctl":
            daemon = self.daemons[words[-1].removeprefix("sojourn@")]
            if words[1] in ("restart", "disable"):
                assert daemon.stop() == 0
            if words[1] in ("restart", "enable"):
                daemon.start()
            return ""
        assert words[0] == "sojourn", command
        environment = {**os.environ, "SOJOURN_SOCKET": self.daemons[machine.name].socket}
        argv = [sys.executable, "-m", "sojourn.cli.main", *shlex.split(self._here(command))[1:]]
        with machine.namespace.entered():
            done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{machine.name}: {command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def roam(self, number: int) -> None:
        for router in self.routers:
            router.run(f"bridge fdb del {HOST} dev wlan0 master", check=False)
        self._join(number)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    network = Network(tmp_path)
    try:
        yield network
    finally:
        for daemon in network.daemons.values():
            if daemon.process is not None:
                daemon.process.kill()
                daemon.process.wait()


def test_the_three_routers_of_the_page_carry_a_host(network: Network) -> None:
    network.set_up()
    ready = [machine.kernel() for machine in network.machines]
    lines = {machine.name: commands(machine.name) for machine in network.machines}
    for machine in network.machines:  # section 4
        for command in lines[machine.name][:2]:
            network.do(machine, command)
    network.roam(1)
    address = network.address(HOME)
    assert until("the server answers", lambda: network.answers(address, 1, server=SERVER))
    network.roam(2)
    until("east has it", lambda: network.daemons["east"].show("sessions"))
    assert until("the server answers at east", lambda: network.answers(address, 1, server=SERVER))
    assert network.address(HOME) == address
    network.roam(1)
    until("west has it", lambda: network.daemons["west"].show("sessions"))
    said = {
        command: network.do(machine, command)
        for machine in network.machines
        for command in lines[machine.name][2:]
        if "disable" not in command
    }
    assert address.rsplit(":", 4)[0] in said["sojourn show bindings --plain"]
    assert json.loads(said["sojourn show counters --json"])["lma:socket:received"] > 0
    assert until("it is served after a restart", lambda: network.answers(address, 1, server=SERVER))
    for machine in reversed(network.machines):
        network.do(machine, next(line for line in lines[machine.name] if "disable" in line))
    after = [machine.kernel() for machine in network.machines]
    ours = ("rules", "nexthops", "filter")
    assert [[one[kind] for kind in ours] for one in after] == [[one[kind] for kind in ours] for one in ready]


def test_every_other_command_of_the_page_is_one_that_a_test_cannot_run_here() -> None:
    rest = commands("")
    assert {command for command in rest if not any(command.startswith(word) for word in NOT_HERE)} == {"sojourn doctor"}


def test_the_counters_and_events_of_the_page_exist() -> None:
    """Names that nobody counts any more would mislead whoever watches."""
    rows = re.findall(r"^\| (`.*?) \| (?:counters|events) \|", PAGE, re.M)
    assert len(rows) > 5
    names = {name for row in rows for name in re.findall(r"`(?:[a-z]+:)?([a-z-]+)`", row)}
    sources = Path(__file__).parents[2] / "src" / "sojourn"
    code = "".join(path.read_text() for path in sources.rglob("*.py") if path.parent.name in ("host", "engines"))
    assert {name for name in names if f'"{name}"' not in code} == set()
