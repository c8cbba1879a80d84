"""Two access routers, a database and a host in namespaces, for the tests of the daemon; built with ip(8)."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sojourn.control.client import ControlClient, ControlError
from sojourn.dataplane import nftables
from sojourn.lab.namespaces import NetworkNamespace

PATIENCE = 45.0
"""Seconds until what should become true counts as not becoming true."""
HOST = "02:00:00:00:00:01"


def until(what: str, condition: Callable[[], Any]) -> Any:
    """The first true answer of `condition`."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not within {PATIENCE} s: {what}")


class Machine:
    """A namespace with commands and daemons in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.namespace = NetworkNamespace(name)

    def run(self, command: str, check: bool = True) -> str:
        """The output of a command inside."""
        with self.namespace.entered():
            done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{self.name}: {command}: {done.stderr}"
        return done.stdout

    def kernel(self) -> dict[str, str]:
        """All that a daemon could have left in the kernel."""
        self.run("ip -6 route flush cache", check=False)
        commands = {
            "rules": "ip -6 rule",
            "routes": "ip -6 route show table all",
            "nexthops": "ip nexthop",
            "neighbours": "ip -6 neigh show nud permanent",
            "links": "ip -br link",
            "addresses": "ip -6 -br address",
            "filter": "nft list ruleset",
            "forwarding": "cat /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv4/ip_forward",
            "rules of IPv4": "ip -4 rule",
            "routes of IPv4": "ip -4 route show table all",
            "addresses of IPv4": "ip -4 -br address",
            "ARP": "cat /proc/sys/net/ipv4/conf/acc0/proxy_arp /proc/sys/net/ipv4/conf/acc0/proxy_arp_pvlan",
        }
        return {name: self.run(command, check=name != "ARP") for name, command in commands.items()}


class Daemon:
    """``sojourn run`` in a machine."""

    def __init__(self, machine: Machine, directory: Path, text: str) -> None:
        self.machine = machine
        self.file = directory / f"{machine.name}.toml"
        self.socket = str(directory / f"{machine.name}.sock")
        self.log = directory / f"{machine.name}.log"
        self.file.write_text(text.replace("DIRECTORY", str(directory)))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch()
        until(f"{self.machine.name} is ready", self._ready)

    def launch(self, command: Sequence[str] = (), preexec: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
        """Start it, or a `command` in its place."""
        with self.machine.namespace.entered(), self.log.open("ab") as log:
            argv = command or [sys.executable, "-m", "sojourn.cli.main", "run", str(self.file)]
            self.process = subprocess.Popen(argv, stderr=log, stdout=log, preexec_fn=preexec)
        return self.process

    def refusal(self, preexec: Callable[[], None] | None = None) -> tuple[int, str]:
        """The exit code and the words of a start that is refused."""
        size = self.log.stat().st_size if self.log.exists() else 0
        process = self.launch(preexec=preexec)
        code = process.wait(PATIENCE)
        self.process = None
        return code, self.log.read_text()[size:]

    def edit(self, old: str, new: str) -> None:
        """Change the file."""
        written = self.file.read_text()
        assert old in written
        self.file.write_text(written.replace(old, new))

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            with ControlClient(self.socket) as client:
                return client.ping().pid == self.process.pid
        except ControlError:
            return False

    def show(self, topic: str) -> list[dict[str, Any]]:
        """As ``sojourn show TOPIC --plain``."""
        with ControlClient(self.socket) as client:
            return client.show(topic, plain=True)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and answer with the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self.process = None
        return code


def echoes(namespace: NetworkNamespace, source: str, server: str, count: int = 1) -> int:
    """How many of `count` echo requests from an address in `namespace` are answered by `server`."""
    with namespace.entered():
        raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    answered = 0
    with raw:
        raw.settimeout(1)
        raw.bind((source, 0))
        for number in range(count):
            raw.sendto(struct.pack("!BBHHH", 128, 0, 0, 0x5052, number), (server, 0))
            answered += _answered(raw, number)
    return answered


def _answered(raw: socket.socket, number: int) -> bool:
    while True:
        try:
            octets = raw.recv(2048)
        except TimeoutError:
            return False
        if octets[:1] == b"\x81" and octets[4:8] == struct.pack("!HH", 0x5052, number):
            return True


class Domain:
    """core, cmd, ar1, ar2, the air between them, and a host."""

    def __init__(self, directory: Path) -> None:
        self.core, self.cmd = Machine("core"), Machine("cmd")
        self.routers = [Machine("ar1"), Machine("ar2")]
        self.air, self.host = Machine("air"), Machine("host")
        self._index = 100
        self.kernels_before: list[dict[str, str]] = []
        """Of the routers, where a test wants to know."""
        self._build()
        self.daemons = {
            "cmd": Daemon(self.cmd, directory, _CMD),
            "ar1": Daemon(self.routers[0], directory, _maar(1, 2)),
            "ar2": Daemon(self.routers[1], directory, _maar(2, 1)),
        }

    def _pair(self, one: Machine, name: str, other: Machine, far: str) -> None:
        """A veth pair whose ends have different numbers (else carrier comes late)."""
        self._index += 2
        where = f"/proc/{os.getpid()}/fd/{other.namespace.descriptor}"
        one.run(
            f"ip link add {name} index {self._index} type veth peer name {far} index {self._index + 1} netns {where}"
        )
        one.run(f"ip link set {name} up")
        other.run(f"ip link set {far} up")

    def _build(self) -> None:
        for machine in (self.core, self.cmd, *self.routers):  # nothing changes by itself later
            machine.namespace.sysctl("net/ipv6/conf/default/accept_dad", 0)
            machine.namespace.sysctl("net/ipv6/conf/default/router_solicitations", 0)
        self.air.namespace.sysctl("net/ipv6/conf/default/disable_ipv6", 1)
        self.host.namespace.sysctl("net/ipv6/conf/default/dad_transmits", 0)
        self.core.namespace.sysctl("net/ipv6/conf/all/forwarding", 1)
        for machine, number in ((self.cmd, "c"), *((router, f"a{i}") for i, router in enumerate(self.routers, 1))):
            self._pair(self.core, f"to-{machine.name}", machine, "core")
            self.core.run(f"ip -6 address add 2001:db8:{number}::ff/64 dev to-{machine.name} nodad")
            machine.run(f"ip -6 address add 2001:db8:{number}::1/64 dev core nodad")
            machine.run(f"ip -6 route add default via 2001:db8:{number}::ff")
        for number, router in enumerate(self.routers, 1):
            self.core.run(f"ip -6 route add 2001:db8:a{number}00::/48 via 2001:db8:a{number}::1")
            router.namespace.sysctl("net/ipv6/conf/all/forwarding", 1)
            router.run("ip link add acc0 type bridge ageing_time 30000 mcast_snooping 0")
            router.run("ip link set acc0 up")
            self._pair(router, "air", self.air, f"cell{number}p")
            router.namespace.sysctl("net/ipv6/conf/air/disable_ipv6", 1)
            router.run("ip link set air master acc0")
            self.air.run(f"ip link add cell{number} type bridge mcast_snooping 0")
            self.air.run(f"ip link set cell{number} up")
            self.air.run(f"ip link set cell{number}p master cell{number}")
        self._pair(self.air, "host", self.host, "wlan0")
        self.host.run("ip link set wlan0 address " + HOST)
        self.core.run("ip -6 address add 2001:db8:5e::1/128 dev lo nodad")

    def roam(self, number: int) -> None:
        """The host goes to access router `number`, as an access point tells its bridge."""
        for router in self.routers:
            router.run(f"bridge fdb del {HOST} dev air master", check=False)
        self._join(number)

    def _join(self, number: int) -> None:
        self.air.run(f"ip link set host master cell{number}")
        with self.air.namespace.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind((f"cell{number}p", 0))
            source = bytes.fromhex(HOST.replace(":", ""))
            update = b"\xff" * 6 + source + struct.pack("!H", 6) + b"\x00\x01\xaf\x81\x01\x00"
            raw.send(update.ljust(60, b"\0"))

    def start(self) -> None:
        """All daemons."""
        for daemon in self.daemons.values():
            daemon.launch()
        for daemon in self.daemons.values():
            until(f"{daemon.machine.name} is ready", daemon._ready)

    def answers(
        self, source: str, count: int = 3, machine: Machine | None = None, server: str = "2001:db8:5e::1"
    ) -> int:
        """How many of `count` echo requests from `source`, an address of the host or of `machine`, the core answers."""
        return echoes((machine or self.host).namespace, source, server, count)

    def address(self, prefix: str) -> str:
        """The host's usable address in `prefix`, once it has one."""

        def look() -> str:
            for link in json.loads(self.host.run("ip -6 -j address show dev wlan0")):
                for item in link["addr_info"]:
                    if item["local"].startswith(prefix) and not item.get("tentative"):
                        return str(item["local"])
            return ""

        return str(until(f"an address in {prefix}", look))

    def host_away(self) -> str:
        """The host comes to ar1 and goes on to ar2, and its prefix follows. Its address of ar1."""
        self.roam(1)
        first = self.address("2001:db8:a100:")
        self.roam(2)
        self.address("2001:db8:a200:")
        until("the old prefix follows", lambda: "2001:db8:a100::/64" in prefixes(self.daemons["ar2"]))
        return first

    def check_nothing_failed(self) -> None:
        """No kernel refused anything."""
        for name, daemon in self.daemons.items():
            lines = daemon.log.read_text().splitlines() if daemon.log.exists() else []
            assert [line for line in lines if "effect-failed" in line] == [], name

    def close(self) -> None:
        """Nothing is left."""
        for daemon in self.daemons.values():
            if daemon.process is not None:
                daemon.process.kill()
                daemon.process.wait()
        for machine in (self.core, self.cmd, *self.routers, self.air, self.host):
            machine.namespace.close()


_COMMON = """\
name = "NAME"
control = "DIRECTORY/NAME.sock"
store = "DIRECTORY/NAME.sqlite"
events = "DIRECTORY/NAME.jsonl"
log = "debug"
"""

_CMD = (
    _COMMON.replace("NAME", "cmd")
    + """
[cmd]
address = "2001:db8:c::1"
[[cmd.maars]]
name = "ar1"
address = "2001:db8:a1::1"
pool = "2001:db8:a100::/48"
[[cmd.maars]]
name = "ar2"
address = "2001:db8:a2::1"
pool = "2001:db8:a200::/48"
"""
)


def _maar(own: int, other: int) -> str:
    return (
        _COMMON.replace("NAME", f"ar{own}")
        + f"""
[maar]
address = "2001:db8:a{own}::1"
pool = "2001:db8:a{own}00::/48"
access = ["acc0"]
cmd = "2001:db8:c::1"
{"" if nftables.usable() else "counters = false"}
[[maar.peers]]
name = "ar{other}"
address = "2001:db8:a{other}::1"
"""
    )


@contextmanager
def domain(directory: Path) -> Iterator[Domain]:
    """A domain that vanishes at the end."""
    built = Domain(directory)
    try:
        yield built
    finally:
        built.close()


def prefixes(daemon: Daemon, topic: str = "bindings") -> set[str]:
    """Those that a daemon knows."""
    return {str(row["prefix"]) for row in daemon.show(topic)}


def with_a_database(world: Domain) -> Daemon:
    """ar1 has a database beside it: two roles."""
    world.routers[0].run("ip -6 address add 2001:db8:a1::c/128 dev core nodad")
    until("the kernel took it up", lambda: "local 2001:db8:a1::c" in world.routers[0].kernel()["routes"])
    both = world.daemons["ar1"]
    both.edit('cmd = "2001:db8:c::1"', 'cmd = "2001:db8:a1::c"')
    database = world.daemons["cmd"].file.read_text().split("[cmd]")[1].replace("2001:db8:c::1", "2001:db8:a1::c")
    both.file.write_text(both.file.read_text() + "[cmd]" + database)
    return both
