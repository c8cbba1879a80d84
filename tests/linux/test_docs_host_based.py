"""docs/host-based.md is a laptop and its home: its blocks are run in namespaces, and the laptop leaves home."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from domain_of_daemons import Daemon, Machine, echoes, until

from sojourn.lab import kea
from sojourn.lab.advertisers import Advertiser, Advertisers
from sojourn.wire.addresses import link_layer, prefix

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

PAGE = (Path(__file__).parents[2] / "docs" / "host-based.md").read_text()
BLOCKS = re.findall(r"^```(\w+)((?: \w+)*)\n(.*?)^```", PAGE, re.S | re.M)
LAPTOP = "02:00:00:00:00:01"
HOME, PEER = "2001:db8:1::b0", "2001:db8:5::1"
NAMES = ("agent", "visited", "peer", "laptop", "internet", "air", "bus", "rider")
BUS, LATER = "02:00:00:00:00:02", "agent with the bus"
RIDER, PASSENGER = "02:00:00:00:00:03", "2001:db8:b05:0:0:ff:fe00:3"
NOT_HERE = {"apt"}
"""What changes the machine itself."""


def blocks(kind: str, where: str) -> list[str]:
    return [text for found, there, text in BLOCKS if (found, there.strip()) == (kind, where)]


def commands(where: str) -> list[str]:
    text = "".join(blocks("console", where))
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


class Network:
    """Cables, an air with two cells, the internet between them; all else is what the page says."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.machines = {name: Machine(name) for name in NAMES}
        (directory / "run").mkdir()
        self._index = 100
        internet, air, laptop = (self.machines[name] for name in ("internet", "air", "laptop"))
        for name, own, behind in (("agent", "fe80::1", "2001:db8:1::/64"), ("visited", "fe80::2", "2001:db8:2::/64")):
            router = self.machines[name]
            self._pair(router, "uplink", internet, name)
            self._pair(router, "lan0", air, f"{name}p")
            air.run(f"ip link add cell-{name} type bridge mcast_snooping 0")
            air.run(f"ip link set cell-{name} up")
            air.run(f"ip link set {name}p master cell-{name}")
            internet.run(f"ip -6 address add fe80::ff/64 dev {name} nodad")
            internet.run(f"ip -6 route add {behind} via {own} dev {name}")
        internet.run("ip -6 route add 2001:db8:b05::/56 via fe80::1 dev agent")
        self._pair(self.machines["peer"], "eth0", internet, "peer")
        self._pair(laptop, "wlan0", air, "laptop")
        laptop.run(f"ip link set wlan0 address {LAPTOP}")
        laptop.run("ip link set wlan0 down")
        self._pair(self.machines["bus"], "wlan0", air, "bus")
        self.machines["bus"].run("ip link set wlan0 down")
        self.machines["bus"].run(f"ip link set wlan0 address {BUS}")
        self._pair(self.machines["bus"], "lan0", self.machines["rider"], "eth0")
        self.machines["rider"].run(f"ip link set eth0 address {RIDER}")
        internet.run("sysctl -q -w net.ipv6.conf.all.forwarding=1")
        internet.run("ip -6 address add 2001:db8:5::ff/64 dev peer nodad")
        for line in (
            "ip -6 address add 2001:db8:2::1/64 dev lan0 nodad",
            "ip -6 address add fe80::2/64 dev uplink nodad",
            "ip -6 route add default via fe80::ff dev uplink",
            "sysctl -q -w net.ipv6.conf.all.forwarding=1",
        ):
            self.machines["visited"].run(line)
        self.machines["peer"].run(f"ip -6 address add {PEER}/64 dev eth0 nodad")
        self.machines["peer"].run("ip -6 route add default via 2001:db8:5::ff")
        self.daemons = {
            name: Daemon(self.machines[name], directory, self._here(blocks("toml", name)[0]))
            for name in ("agent", "laptop", "peer", "bus")
        }
        self.advertisers = Advertisers(
            {name: self._advertiser(name, where) for name, where in (("agent", 1), ("visited", 2))}
        )

    def _advertiser(self, name: str, number: int | str) -> Advertiser:
        """In the place of radvd."""
        described = json.loads(self.machines[name].run("ip -j link show lan0"))[0]
        address = link_layer(described["address"])
        home = prefix(f"2001:db8:{number}::/64")
        return Advertiser(self.machines[name].namespace, described["ifindex"], address, home, name == "agent")

    def advertise_on_the_bus(self) -> Advertisers:
        return Advertisers({"bus": self._advertiser("bus", "b05")})

    def start_kea(self) -> subprocess.Popen[bytes]:
        """As systemd would, and with files of its own elsewhere."""
        program = kea.installed()
        assert program is not None, "contrib/install-tools installs kea-dhcp6-server"
        file = self.directory / "kea.json"
        file.write_text(blocks("json", LATER)[0])
        places = dict.fromkeys(("KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR"), str(self.directory))
        with self.machines["agent"].namespace.entered():
            return subprocess.Popen([program, "-c", str(file)], env={**os.environ, **places}, stdout=subprocess.DEVNULL)

    def _pair(self, one: Machine, name: str, other: Machine, other_name: str) -> None:
        self._index += 2
        link = f"ip link add {name} index {self._index} type veth peer name {other_name} index {self._index + 1}"
        namespace = f"/proc/self/fd/{other.namespace.descriptor}"
        with one.namespace.entered():
            command = [*link.split(), "netns", namespace]
            subprocess.run(command, check=True, pass_fds=[other.namespace.descriptor])
        one.run(f"ip link set {name} up")
        other.run(f"ip link set {other_name} up")

    def _here(self, text: str) -> str:
        for place in ("/etc/sojourn", "/run/sojourn", "/var/lib/sojourn"):
            text = text.replace(place, str(self.directory))
        return text

    def set_up(self, name: str) -> None:
        for line in "".join(blocks("sh", name)).splitlines():
            self.machines[name.split()[0]].run(line)

    def do(self, name: str, command: str) -> str:
        """One line of the page, as it stands; what systemd would do is done with the daemon."""
        words = shlex.split(command)
        if words[0] == "systemctl":
            daemon = self.daemons[words[-1].removeprefix("sojourn@")]
            if words[1] == "reload":
                assert daemon.process is not None
                daemon.process.send_signal(signal.SIGHUP)
            else:
                assert words[1:3] == ["enable", "--now"]
                daemon.start()
            return ""
        here = self._here(command)
        if words[0] == "sojourn":
            here = here.replace("sojourn", f"{sys.executable} -m sojourn.cli.main", 1)
        with self.machines[name].namespace.entered():
            done = subprocess.run(
                ["sh", "-c", f"umask 077; {here}"], env={**os.environ}, capture_output=True, text=True, check=False
            )
        assert done.returncode == 0, f"{name}: {command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def attach(self, name: str, who: str = "laptop") -> None:
        air = self.machines["air"]
        air.run(f"ip link set {who} down")
        air.run(f"ip link set {who} master cell-{name}")
        air.run(f"ip link set {who} up")

    def place(self) -> tuple[str, bool]:
        (row,) = self.daemons["laptop"].show("bindings")
        return row["place"], row["registered"]

    def rider_answers(self) -> bool:
        """Once it has an address that it may use."""
        try:
            return echoes(self.machines["rider"].namespace, PASSENGER, PEER) == 1
        except OSError:
            return False

    def answers(self) -> bool:
        return echoes(self.machines["laptop"].namespace, HOME, PEER) == 1


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    network = Network(tmp_path)
    try:
        yield network
    finally:
        network.advertisers.close()
        for daemon in network.daemons.values():
            if daemon.process is not None:
                daemon.process.kill()
                daemon.process.wait()


def test_the_laptop_of_the_page_keeps_its_address(network: Network) -> None:
    for name in ("agent", "laptop"):
        network.set_up(name)
    before = {name: network.machines[name].kernel() for name in network.daemons}
    network.attach("agent")
    for name in ("agent", "laptop", "peer"):
        for command in commands(name):
            network.do(name, command)
    until("the laptop is at home", lambda: network.place() == ("home", False))
    until("the peer answers at home", network.answers)
    network.attach("visited")
    until("the laptop is registered", lambda: network.place() == ("away", True))
    until("the peer answers abroad", network.answers)
    until("the way is direct", lambda: network.daemons["peer"].show("bindings"))
    said = {name: [network.do(name, command) for command in commands(f"{name} abroad")] for name in ("agent", "laptop")}
    assert "2001:db8:2:" in said["agent"][0]
    assert "away" in said["laptop"][0]
    assert "bound" in said["laptop"][1]
    assert "direct" in said["laptop"][2]
    until("the peer answers directly", network.answers)
    network.attach("agent")
    until("the laptop is at home again", lambda: network.place() == ("home", False))
    until("the peer answers at home again", network.answers)
    for name in ("agent", "laptop", "peer"):
        daemon = network.daemons[name]
        assert daemon.stop() == 0
        after = network.machines[name].kernel()
        assert [after[kind] for kind in ("rules", "filter")] == [before[name][kind] for kind in ("rules", "filter")]


def test_the_bus_of_the_page_takes_its_network_along(network: Network) -> None:
    """With the prefix that Kea delegates; it moves from one router of the visited network's to another place there."""
    agent = network.daemons["agent"]
    network.set_up("agent")
    for command in commands("agent"):
        network.do("agent", command)
    network.set_up(LATER)
    key, *others = commands(LATER)
    network.do("agent", key)
    agent.file.write_text(agent.file.read_text() + network._here(blocks("toml", LATER)[0]))
    for command in others:
        network.do("agent", command)
    kea_process = network.start_kea()
    try:
        network.set_up("bus")
        network.attach("visited", "bus")
        for command in commands("bus"):
            network.do("bus", command)
        bus = network.daemons["bus"]
        until("a prefix was delegated", lambda: bus.show("bindings")[0]["networks"] == ["2001:db8:b05::/56"])
        shown, _ = [network.do("bus", command) for command in commands("bus with a prefix")]
        assert "2001:db8:b05::/56" in shown
        advertisers = network.advertise_on_the_bus()
        try:
            until("the rider reaches the peer", network.rider_answers)
            network.machines["air"].run("ip link set bus nomaster")
            network.attach("visited", "bus")
            until("and again", network.rider_answers)
        finally:
            advertisers.close()
    finally:
        kea_process.kill()
        kea_process.wait()
    assert bus.stop() == 0
    assert agent.stop() == 0


def test_every_other_command_of_the_page_is_one_that_a_test_cannot_run_here() -> None:
    rest = commands("")
    assert {command for command in rest if command.split()[0] not in NOT_HERE} == {"sojourn doctor"}
