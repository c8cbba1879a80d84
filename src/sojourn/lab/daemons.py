"""The daemons of a lab: a configuration file each, ``sojourn run FILE`` inside the node, and when they are
ready."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from sojourn.control.client import ControlClient, ControlError
from sojourn.dataplane import nftables
from sojourn.files.sections import written
from sojourn.lab.interruption import BrokeOff
from sojourn.lab.node import Node
from sojourn.lab.promptness import make_prompt
from sojourn.lab.topology import Setting, Topology
from sojourn.lab.wall_clock import set_wrong
from sojourn.wire.units import Duration

_READY_WITHIN = 60.0
_STOP_WITHIN = 10.0
METRICS = "[::1]:9478"
"""Where daemons answer readers of their figures, each in its own node."""
_SOCKET_PATH_MAX = 100
"""Octets; the kernel's limit for the path of a Unix socket is 107."""


class DaemonFailed(BrokeOff):
    """A daemon did not start, did not become ready, or ended by itself; the text holds its last words."""


class Daemon:
    """The daemon of one node."""

    def __init__(self, node: Node, topology: Topology, output: Path, control: Path) -> None:
        self.node = node
        self.control = control
        self.log = output / "log" / f"{node.name}.log"
        self.events = output / "events" / f"{node.name}.jsonl"
        self.store = output / "store" / f"{node.name}.sqlite"
        self.file = output / "config" / f"{node.name}.toml"
        self.clock: Path | None = None
        """The file that says by how much its wall clock is wrong; None: it is right."""
        self.process: subprocess.Popen[bytes] | None = None
        for path in (self.log, self.events, self.store, self.file):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._forget_earlier_runs()
        self.file.write_text(configuration(topology, node.name, self._places()))

    def _places(self) -> dict[str, Setting]:
        """What is at the top of its file."""
        return {
            "name": self.node.name,
            "control": str(self.control),
            "store": str(self.store.absolute()),
            "events": str(self.events.absolute()),
            "identifiers": "plain",  # nobody's privacy is at stake in a lab, and only plain recordings replay
        }

    def _forget_earlier_runs(self) -> None:
        for old in (self.log, self.events, self.control, *self.store.parent.glob(self.store.name + "*")):
            old.unlink(missing_ok=True)

    def start(self) -> None:
        """Start it; `wait_ready` says when it serves."""
        wrong = [] if self.clock is None else ["sojourn.lab.wall_clock", str(self.clock)]
        command = [sys.executable, "-m", *wrong, "sojourn.cli.main", "run", str(self.file)]
        with self.log.open("ab") as log:
            self.process = self.node.spawn(command, stdout=log, stderr=log)
        make_prompt(self.process.pid)

    def set_clock(self, wrong: Duration) -> None:
        """Its wall clock is wrong by so much from now on. It must have been in the hands of the lab from its start."""
        if self.clock is None:
            raise RuntimeError(f"nobody may set the clock of {self.node.name}")
        set_wrong(self.clock, wrong)

    def wait_ready(self) -> None:
        """Back when it answers on its control socket. Raises DaemonFailed."""
        deadline = time.monotonic() + _READY_WITHIN
        while time.monotonic() < deadline:
            self.check()
            try:
                with ControlClient(self.control, timeout=1.0) as client:
                    client.ping()
                return
            except ControlError:
                time.sleep(0.01)
        raise DaemonFailed(f"the daemon of {self.node.name} is not ready after {_READY_WITHIN:g} s{self._last_words()}")

    def check(self) -> None:
        """Raises DaemonFailed when it ended by itself."""
        if self.process is not None and (code := self.process.poll()) is not None:
            raise DaemonFailed(f"the daemon of {self.node.name} ended with status {code}{self._last_words()}")

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    def ask_to_stop(self) -> None:
        """SIGTERM; `wait_stopped` follows."""
        if self.running:
            assert self.process is not None
            self.process.terminate()

    def ask_to_leave(self) -> None:
        """SIGUSR1 and SIGTERM, as our unit does when systemd restarts it; `wait_stopped` follows."""
        if self.running:
            assert self.process is not None
            self.process.send_signal(signal.SIGUSR1)
            self.process.terminate()

    def wait_stopped(self) -> int | None:
        """Its exit status; one that does not stop in time is killed. None: it was not running."""
        process, self.process = self.process, None
        if process is None:
            return None
        try:
            return process.wait(_STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self) -> None:
        """SIGKILL: it gets no chance to put anything in order."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-5:]
        return ": " + " | ".join(lines) if lines else f" (its log {self.log} is empty)"


def control_directory(output: Path, names: list[str]) -> tuple[Path, bool]:
    """Where the control sockets go, and whether it must be removed afterwards.

    In the output directory when its path is short enough for a Unix socket, else in a temporary one.
    """
    directory = output.absolute() / "control"
    longest = max((len(name) for name in names), default=0) + len("/.sock")
    if len(str(directory).encode()) + longest <= _SOCKET_PATH_MAX:
        directory.mkdir(parents=True, exist_ok=True)
        return directory, False
    return Path(tempfile.mkdtemp(prefix="sojourn-lab-")), True


# --- configuration ----------------------------------------------------------------------------------------------


def configuration(topology: Topology, name: str, top: Mapping[str, Setting]) -> str:
    """The text of the file of `name`'s daemon: `top`, what the topology implies, and over it what that says."""
    section, table, lists = _ROLES[topology.nodes[name].kind](topology, name)
    if section in _FORWARDING and not nftables.usable():
        table["counters"] = False  # no prefix is found idle then
    if section in _ACCESS and topology.multicast is not None:
        table["multicast.upstream"] = f"to-{topology.path(name, topology.multicast)[1]}"
    given: Mapping[str, Setting] = getattr(topology, section)
    text = _toml(top, section, {**table, **given, **topology.nodes[name].settings}, lists)
    text += "\n[cn]\n" if topology.nodes[name].correspondent else ""
    return text + (f'\n[metrics]\nlisten = "{METRICS}"\n' if topology.metrics else "")


Tables: TypeAlias = dict[str, list[dict[str, Setting]]]
"""The lists of tables in a section, by their keys."""


def _maar(topology: Topology, name: str) -> tuple[str, dict[str, Setting], Tables]:
    database = topology.of_kind("cmd") or topology.of_kind("lma")
    table: dict[str, Setting] = {
        "address": topology.address(name),
        "pool": str(topology.nodes[name].pool),
        "access": ["acc0"],
        "mode": topology.mode,
        "mtu": topology.mtu,
    }
    if database:  # in direct mode there need not be one
        table["cmd"] = topology.address(database[0])
    if len(topology.of_kind("cmd")) > 1:
        table["more_cmds"] = [topology.address(other) for other in database[1:]]
    partner = topology.nodes[name].partner
    if partner is not None:
        table["partner"] = topology.address(partner)
    others = [other for other in topology.of_kind("access-router") if other != name]
    return "maar", table, {"peers": [_with_partner(topology, other) for other in others]}


def _cmd(topology: Topology, name: str) -> tuple[str, dict[str, Setting], Tables]:
    table: dict[str, Setting] = {"address": topology.address(name), "mode": topology.mode}
    return "cmd", table, {"maars": [_with_pool(topology, maar) for maar in topology.of_kind("access-router")]}


def _mag(topology: Topology, name: str) -> tuple[str, dict[str, Setting], Tables]:
    table: dict[str, Setting] = {
        "address": topology.address(name),
        "lma": topology.address(topology.of_kind("lma")[0]),
        "access": ["acc0"],
        "visitors": str(topology.nodes[name].pool),
        "mtu": topology.mtu,
    }
    others = [other for other in topology.of_kind("mag") if other != name]
    return "mag", table, {"neighbours": [{"name": other, "address": topology.address(other)} for other in others]}


def _lma(topology: Topology, name: str) -> tuple[str, dict[str, Setting], Tables]:
    table: dict[str, Setting] = {
        "address": topology.address(name),
        "pools": [str(topology.nodes[name].pool)],
        "mtu": topology.mtu,
    }
    partner = topology.nodes[name].partner
    if partner is not None:
        table["pair"] = {"own": topology.address(name), "partner": topology.address(partner)}
    gateways: list[dict[str, Setting]] = [
        {"name": gateway, "address": topology.address(gateway)} for gateway in topology.access_routers
    ]
    return "lma", table, {"gateways": gateways}


def _ha(topology: Topology, name: str) -> tuple[str, dict[str, Setting], Tables]:
    table: dict[str, Setting] = {
        "address": topology.address(name),
        "interface": "acc0",
        "prefixes": [str(topology.link_prefix(name))],
        "mtu": topology.mtu,
    }
    nodes: list[dict[str, Setting]] = [
        {
            "home_address": topology.address(node),
            "association": association(topology, node),
            "prefixes": _network_behind(topology, node),
        }
        for node in topology.of_kind("mn")
        if topology.home_agent(node) in (name, topology.nodes[name].link)
    ]
    return "ha", table, {"nodes": nodes}


def _mn(topology: Topology, name: str) -> tuple[str, dict[str, Setting], Tables]:
    agent = topology.home_agent(name)
    links = [f"wlan{radio}" for radio in range(topology.nodes[name].radios)]
    table: dict[str, Setting] = {"interfaces": [*links], "mtu": topology.mtu}
    home: dict[str, Setting] = {
        "address": topology.address(name),
        "prefix": str(topology.link_prefix(agent)),
        "home_agent": topology.address(agent),
        "association": association(topology, name),
    }
    if name in topology.mobile_routers:
        pool = topology.nodes[name].pool
        assert pool is not None
        told: dict[str, Setting] = {"networks": _network_behind(topology, name)}
        asked: dict[str, Setting] = {"implicit": True, "delegated_length": pool.prefixlen}
        home |= {"router": True, **(asked if topology.nodes[name].delegated else told)}
    return "mn", table, {"homes": [home]}


def _network_behind(topology: Topology, name: str) -> list[Setting]:
    """Of a mobile router; nothing is behind other nodes."""
    pool = topology.nodes[name].pool
    return [] if pool is None else [str(pool)]


def _cn(topology: Topology, name: str) -> tuple[str, dict[str, Setting], Tables]:
    return "cn", {"mtu": topology.mtu}, {}


def association(topology: Topology, node: str) -> dict[str, Setting]:
    """A key that only a lab could have: made of the name of the node."""
    number = topology.of_kind("mn").index(node)
    return {"spi": 1000 + number, "key": hashlib.sha256(f"lab {node}".encode()).hexdigest()[:32]}


_FORWARDING, _ACCESS = ("maar", "mag", "lma", "ha"), ("maar", "mag")
_ROLES = {"access-router": _maar, "cmd": _cmd, "mag": _mag, "lma": _lma, "ha": _ha, "mn": _mn, "cn": _cn}


def _with_pool(topology: Topology, name: str) -> dict[str, Setting]:
    row: dict[str, Setting] = {"name": name, "address": topology.address(name), "pool": str(topology.nodes[name].pool)}
    ipv4 = topology.nodes[name].settings.get("ipv4_pool")
    return row if ipv4 is None else {**row, "ipv4_pool": ipv4}


def _with_partner(topology: Topology, name: str) -> dict[str, Setting]:
    partner = topology.nodes[name].partner
    row = _with_pool(topology, name)
    return row if partner is None else {**row, "partner": topology.address(partner)}


def _toml(top: Mapping[str, Setting], section: str, table: Mapping[str, Setting], lists: Tables) -> str:
    lines = [f"{name} = {written(value)}" for name, value in top.items()]
    lines += ["", f"[{section}]", *(f"{name} = {written(value)}" for name, value in table.items())]
    for key, rows in lists.items():
        for row in rows if key not in table else ():
            lines += ["", f"[[{section}.{key}]]", *(f"{name} = {written(value)}" for name, value in row.items())]
    return "\n".join(lines) + "\n"
