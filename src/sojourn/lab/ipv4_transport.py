"""Gateways that reach their LMA over IPv4, one through a NAT (RFC 5844 4): ``sojourn lab run ipv4transport``.

There is no IPv6 at all on the links of the two gateways. A host of IPv6 and one of IPv4 keep a connection each while
they roam from behind the NAT to the other gateway and back, while the NAT forgets everything, and while the daemon of
their gateway is dead. The NAT gives every flow a port of its own choice (``masquerade random``), so that nothing works
by luck.
"""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from sojourn.lab.conduct import conduct
from sojourn.lab.extensions import Step
from sojourn.lab.interruption import BrokeOff
from sojourn.lab.lab import Lab
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report, Table, Verdict
from sojourn.lab.stock_hosts import Connection, EchoServer, IpAddress, StockHost, until
from sojourn.lab.stock_hosts import missing as missing_programs
from sojourn.lab.topology import Topology, load

_PATIENCE = 15.0
_SERVER = IPv4Address("172.20.0.2")
_ADDRESSES = {
    "mag1": ("to-nat", "10.1.0.2/30", "10.1.0.1"),
    "nat": ("to-core", "203.0.113.6/30", "203.0.113.5"),
    "mag2": ("to-core", "192.0.2.2/30", "192.0.2.1"),
    "lma": ("to-core", "198.51.100.1/30", "198.51.100.2"),
    "server": ("to-core", f"{_SERVER}/30", "172.20.0.1"),
}
"""Each node's interface, address and default router."""
_ROUTERS = {
    "nat": (("to-mag1", "10.1.0.1/30"),),
    "core": (
        ("to-nat", "203.0.113.5/30"),
        ("to-mag2", "192.0.2.1/30"),
        ("to-lma", "198.51.100.2/30"),
        ("to-server", "172.20.0.1/30"),
    ),
}
_MASQUERADE = """\
table ip nat {
  chain postrouting {
    type nat hook postrouting priority 100;
    oifname "to-core" masquerade random;
  }
}
"""
_CONNTRACK_DELETE = 1 << 8 | 2
"""NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE."""
_REQUEST_AND_ACK = 5


class NoNat(BrokeOff):
    """This machine cannot play the NAT; the text says what is missing."""


@scenario("ipv4transport", "gateways reach the LMA over IPv4 alone, one through a NAT, which then forgets everything")
def ipv4transport(options: ScenarioOptions) -> int:
    """The steps as a scenario."""
    say = (lambda line: None) if options.json else print
    return conduct("ipv4transport", options, lambda: make_report(play(load("ipv4transport"), options.output, say)))


def play(topology: Topology, output: Path, say: Callable[[str], None]) -> list[Step]:
    """Build the lab, take the steps, take it down. Raises DaemonFailed, ControlError, NoNat, OSError."""
    lacking = [*missing_programs(), *(["nftables"] if shutil.which("nft") is None else [])]
    if lacking:
        raise NoNat(f"not installed: {' '.join(lacking)}; apt install {' '.join(lacking)}")
    with Lab(topology, output, capture="all", prepare=only_ipv4) as lab, ExitStack() as opened:
        servers: list[IpAddress] = [IPv6Address(topology.address("server")), _SERVER]
        opened.enter_context(EchoServer(lab.nodes["server"].namespace, servers))
        return _Steps(lab, output, say, opened).take(servers)


def only_ipv4(lab: Lab) -> None:
    """IPv4 between the routers, and no IPv6 on the links of the gateways; a NAT in front of ``mag1``."""
    for name, (interface, address, router) in _ADDRESSES.items():
        _ip(lab, name, f"address add {address} dev {interface}", f"route add default via {router}")
    for name, ends in _ROUTERS.items():
        _ip(lab, name, *(f"address add {address} dev {interface}" for interface, address in ends))
        lab.nodes[name].namespace.sysctl("net/ipv4/ip_forward", 1)
    _ip(lab, "core", "route add 10.9.0.0/16 via 198.51.100.1")
    for name in ("mag1", "mag2"):
        interface = _ADDRESSES[name][0]
        lab.nodes[name].namespace.sysctl(f"net/ipv6/conf/{interface}/disable_ipv6", 1)
        _ip(lab, name, "link set lo up", f"-6 address add {lab.topology.address(name)}/128 dev lo")
    _run_in(lab, "nat", ["nft", "-f", "-"], _MASQUERADE)


def _ip(lab: Lab, name: str, *commands: str) -> None:
    for command in commands:
        _run_in(lab, name, ["ip", *command.split()])


def _run_in(lab: Lab, name: str, command: list[str], text: str = "") -> None:
    with lab.nodes[name].namespace.entered():
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoNat(f"{' '.join(command)} at {name}: {done.stderr.strip()}")


def forget(namespace: NetworkNamespace) -> None:
    """The NAT there forgets every flow. Raises OSError."""
    with namespace.entered(), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netfilter:
        netfilter.settimeout(5.0)
        netfilter.send(struct.pack("=IHHIIBBH", 20, _CONNTRACK_DELETE, _REQUEST_AND_ACK, 1, 0, socket.AF_INET, 0, 0))
        (refused,) = struct.unpack_from("=i", netfilter.recv(4096), 16)
        if refused:
            raise OSError(-refused, "the NAT does not forget")


class _Steps:
    """One after the other."""

    def __init__(self, lab: Lab, output: Path, say: Callable[[str], None], opened: ExitStack) -> None:
        self._lab = lab
        self._say = say
        self._opened = opened
        self._steps: list[Step] = []
        directory = output / "hosts"
        self._hosts = {"six": StockHost(lab, "six", directory), "four": StockHost(lab, "four", directory, asks="-4")}
        for host in self._hosts.values():
            opened.callback(host.close)
        self._talks: dict[str, Connection] = {}

    def take(self, servers: list[IpAddress]) -> list[Step]:
        """All of them."""
        self._arrive(servers)
        self._behind_the_nat()
        self._roam("mag2", "packets in IPv4", "ip")
        self._roam("mag1", "in UDP through the NAT", "nat")
        self._forgotten()
        self._killed()
        return self._steps

    def _arrive(self, servers: list[IpAddress]) -> None:
        for host in self._hosts.values():
            host.enter("mag1")
        for (name, host), server in zip(self._hosts.items(), servers, strict=True):
            if not until(lambda host=host: host.settled, _PATIENCE):  # type: ignore[misc]
                self._note(f"{name} gets an address", "none", holds=False)
                continue
            # What the NAT forgot is known again with the next keepalive, and the host's kernel waits longer each time.
            talk = self._talks[name] = host.connect(server, _PATIENCE)
            self._opened.callback(talk.close)
        sources = " and ".join(str(talk.source) for talk in self._talks.values())
        self._note("a host of IPv6 and one of IPv4 connect to the server", f"from {sources}", holds=self._alive())

    def _behind_the_nat(self) -> None:
        peer = self._peer("mag1")
        holds = str(peer.get("packets")).endswith("nat") and peer.get("ipv4") == "203.0.113.6"
        seen = f"at {peer.get('ipv4')}, packets: {peer.get('packets')}"
        self._note("the LMA finds the NAT in front of mag1", seen, holds=holds)

    def _roam(self, gateway: str, how: str, ending: str) -> None:
        for host in self._hosts.values():
            host.roam(gateway)
        alive = self._alive()
        packets = str(self._peer(gateway).get("packets"))
        seen = f"connections alive: {_yes(alive)}, packets: {packets}"
        self._note(f"both roam to {gateway}: {how}", seen, holds=alive and packets.endswith(ending))

    def _forgotten(self) -> None:
        """Nothing is told to anybody."""
        before = self._peer("mag1").get("packets")
        forget(self._lab.nodes["nat"].namespace)
        began = time.monotonic()
        alive = self._alive()
        took = time.monotonic() - began
        until(lambda: self._peer("mag1").get("packets") != before, _PATIENCE)
        after = self._peer("mag1").get("packets")
        seen = f"{before}, then {after}; connections alive: {_yes(alive)}, after {took:.1f} s"
        self._note("the NAT forgets everything", seen, holds=alive and after != before)

    def _killed(self) -> None:
        self._lab.stop_daemon("mag1", kill=True)
        alive = self._alive()
        self._lab.start_daemon("mag1")
        again = self._alive()
        seen = f"connections alive meanwhile: {_yes(alive)}, and after its next start: {_yes(again)}"
        self._note("the daemon of mag1 is killed", seen, holds=alive and again)

    def _alive(self) -> bool:
        return len(self._talks) == len(self._hosts) and all(talk.works(_PATIENCE) for talk in self._talks.values())

    def _peer(self, name: str) -> dict[str, Any]:
        with self._lab.client("lma") as client:
            return next(row for row in client.show("peers", plain=True) if row["name"] == name)

    def _note(self, done: str, seen: str, *, holds: bool) -> None:
        self._steps.append(Step("5844", done, seen, holds))
        self._say(f"{done}: {seen}{'' if holds else '  (NOT AS IT SHOULD BE)'}")


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def make_report(steps: list[Step]) -> Report:
    """A table for people, and what had to hold."""
    rows = [(step.done, step.seen) for step in steps]
    return Report(
        "Proxy Mobile IPv6 over IPv4 (RFC 5844 4)",
        "Two gateways reach their LMA over IPv4 alone, one of them through a NAT that picks ports at random.",
        verdicts=[Verdict(step.done, _yes(step.holds), "yes", step.holds) for step in steps],
        tables=[Table("The steps", ["what was done", "what was seen"], list(rows))],
        data={"steps": rows},
    )
