"""A running lab: a topology as network namespaces with daemons, hosts and air. Use it inside the sandbox."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sojourn.control.client import ControlClient, ControlError
from sojourn.control.protocol import ANSWER_MAX
from sojourn.dataplane.multicast import end_multicast
from sojourn.lab.advertisers import Advertisers, advertisers
from sojourn.lab.air import Air
from sojourn.lab.capture import open_tap
from sojourn.lab.daemons import Daemon, control_directory
from sojourn.lab.interior_routing import InteriorRouting
from sojourn.lab.kernel_state import KernelState, host_addresses
from sojourn.lab.links import Emulation, LinkEmulation, LinkReport
from sojourn.lab.multicast_router import MulticastRouter, multicast_routers
from sojourn.lab.network import Network
from sojourn.lab.node import Node
from sojourn.lab.topology import Topology
from sojourn.wire.addresses import link_layer_text

__all__ = ["Lab", "Node"]

_SNAP = 640
"""Octets kept of a captured frame: all of a signalling message with a dozen previous MAARs, little of a download."""
_GRACE = 2.0
_FORWARDS_WITHIN = 2.0


class Lab:
    """``with Lab(topology, output) as lab:`` builds it, starts the daemons, and leaves nothing."""

    def __init__(
        self,
        topology: Topology,
        output: Path,
        *,
        daemons: bool | None = None,
        capture: str = "",
        seed: int = 0,
        emulation: Emulation = "auto",
        verify: bool = True,
        prepare: Callable[[Lab], None] | None = None,
        clocks: bool = False,
    ) -> None:
        """`output` is the directory for logs, event records, stores and captures. Nothing is built yet.

        `daemons`: whether access routers and database run theirs; by default as the topology says
        (``mobility``). `capture`: "" for none, ``signalling``, or ``all``. `seed` is that of loss and jitter.
        `prepare` is called when the network stands, before the first daemon starts. `clocks`: the wall clocks of
        daemons can be set.
        """
        self.topology = topology
        self.output = output
        self.nodes: dict[str, Node] = {}
        self.links: list[LinkReport] = []
        """What each impaired link should do and what was measured; after `up`."""
        self._with_daemons = topology.mobility if daemons is None else daemons
        self._capture_kind = capture
        self._seed = seed
        self._emulation_kind: Emulation = emulation
        self._verify = verify
        self._prepare = prepare
        self._clocks = clocks
        self._daemons: dict[str, Daemon] = {}
        self._network: Network | None = None
        self._emulation: LinkEmulation | None = None
        self._air: Air | None = None
        self._multicast: list[MulticastRouter] = []
        self._advertisers: Advertisers | None = None
        self._routing: InteriorRouting | None = None
        self._capture: subprocess.Popen[bytes] | None = None
        self._temporary: Path | None = None

    @property
    def mobility(self) -> bool:
        """Whether access routers and database run their daemons; without, only `PlainRouters` would advertise."""
        return self._with_daemons

    @property
    def air(self) -> Air:
        """Where hosts roam; from `up` to `down`."""
        if self._air is None:
            raise RuntimeError("the lab is not up")
        return self._air

    def up(self) -> None:
        """Build the network, verify the links, start the daemons, put the hosts into their first cells.

        Raises OSError, LinkMismatch or DaemonFailed, and then leaves nothing.
        """
        try:
            self._build()
            if self._prepare is not None:
                self._prepare(self)
            self._start_capture()
            self._multicast = multicast_routers(self.topology, self.nodes)
            if self.topology.of_kind("ha"):
                self._advertisers = advertisers(self.topology, self.nodes)
            if any(node.partner is not None for node in self.topology.nodes.values()):
                self._routing = InteriorRouting(self.topology, self.nodes)
            self._start_daemons()
            for name in self.topology.hosts:
                first = self.topology.nodes[name].at
                if first is not None:
                    self.air.roam(name, first)
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Stop the daemons in order and take everything away. Calling it twice changes nothing."""
        for daemon in self._daemons.values():
            daemon.ask_to_stop()
        for daemon in self._daemons.values():
            daemon.wait_stopped()
        for name in self._daemons:  # of a daemon that was killed, this goes on
            with suppress(OSError):
                self.nodes[name].namespace.call(end_multicast)
        self._daemons.clear()
        for node in self.nodes.values():
            node.end_processes(_GRACE)
        self._stop_capture()
        if self._advertisers is not None:
            self._advertisers.close()
            self._advertisers = None
        if self._routing is not None:
            self._routing.close()
            self._routing = None
        for router in self._multicast:
            router.close()
        self._multicast.clear()
        if self._emulation is not None:
            self._emulation.close()
            self._write_counters(self._emulation)
            self._emulation = None
        if self._air is not None:
            self._air.close()
            self._air = None
        if self._network is not None:
            self._network.close()
            self._network = None
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def __enter__(self) -> Lab:
        self.up()
        return self

    def __exit__(self, *exception: object) -> None:
        self.down()

    # --- daemons
    # --------------------------------------------------------------------------------------------------

    def client(self, node: str) -> ControlClient:
        """A connection to the daemon of `node`; close it. Raises KeyError, ControlError."""
        return ControlClient(self._daemons[node].control)

    def control(self, node: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer of `node`'s daemon to one request as in `sojourn.control.protocol`, both as JSON
        objects.

        For example ``{"type": "show", "topic": "sessions"}``. Raises KeyError, OSError, ValueError.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(10.0)
            connection.connect(str(self._daemons[node].control))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer: dict[str, Any] = json.loads(lines.readline(ANSWER_MAX))
        return answer

    def stop_daemon(self, node: str, *, kill: bool = False) -> int | None:
        """Stop the daemon of `node`, in order (its exit status) or with SIGKILL (None)."""
        daemon = self._daemons[node]
        if kill:
            daemon.kill()
            return None
        daemon.ask_to_stop()
        return daemon.wait_stopped()

    def start_daemon(self, node: str) -> None:
        """Start it again with the same configuration and store; back when it is ready. Raises
        DaemonFailed."""
        daemon = self._daemons[node]
        daemon.start()
        daemon.wait_ready()

    def darken(self, node: str) -> None:
        """A whole router is gone at once, without a word: its links are down, and its daemon is dead."""
        assert self._network is not None
        self._network.set_links(node, up=False)
        self._daemons[node].kill()

    def lighten(self, node: str) -> None:
        """Its links and routes are there again, as the network would put them back; it has no daemon yet."""
        assert self._network is not None
        self._network.set_links(node, up=True)

    def restart_daemon(self, node: str) -> None:
        """What ``systemctl restart`` does to the daemon of `node`: forwarding stays for the successor. Raises
        DaemonFailed."""
        daemon = self._daemons[node]
        daemon.ask_to_leave()
        daemon.wait_stopped()
        self.start_daemon(node)

    def daemon(self, node: str) -> Daemon:
        """The daemon of `node`: its process and files. Raises KeyError."""
        return self._daemons[node]

    def check(self) -> None:
        """Raises DaemonFailed when a daemon ended by itself, OSError when the relay did."""
        for daemon in self._daemons.values():
            daemon.check()
        if self._emulation is not None and not self._emulation.alive():
            raise OSError("the relay process of the links ended")

    def announce(self, host: str, router: str) -> bool:
        """The old router is told that `host` leaves for `router`, as access points tell it (RFC 5949 4.1 (b)).

        Back when packets are forwarded there and the host may go (g); False when that is refused, or takes too long.
        """
        old = self.air.where(host)
        if old is None or old == router:
            return False
        node = link_layer_text(self.air.link_layer(host))
        with self.client(old) as client:
            try:
                client.command("handover", {"node": node, "to": self.topology.address(router)})
            except ControlError:
                return False
            deadline = time.monotonic() + _FORWARDS_WITHIN
            while time.monotonic() < deadline:
                rows = [row for row in client.show("handovers", plain=True) if row["link_layer"] == node]
                if not rows or rows[0]["phase"] == "forwarding":
                    return bool(rows)
                time.sleep(0.002)
        return False

    # --- looking
    # --------------------------------------------------------------------------------------------------

    def state(self, node: str) -> KernelState:
        """What the kernel of `node` holds now."""
        return KernelState.of(self.nodes[node].namespace)

    def mark(self, comment: str) -> None:
        """Write a comment (a handover, say) into all captures, with the next packet."""
        if self._capture is not None and self._capture.stdin is not None:
            self._capture.stdin.write(comment.replace("\n", " ").encode() + b"\n")
            self._capture.stdin.flush()

    def status(self) -> list[dict[str, Any]]:
        """One row per node: name, kind, address, and for hosts the cell and the addresses they have now."""
        rows: list[dict[str, Any]] = []
        for name, node in self.nodes.items():
            row: dict[str, Any] = {"node": name, "kind": node.kind, "address": node.address}
            if node.kind in ("host", "mn"):
                row["at"] = self.air.where(name)
                row["addresses"] = [
                    {"address": a.address, "deprecated": a.deprecated, "tentative": a.tentative}
                    for a in host_addresses(node.namespace)
                ]
            if name in self._daemons:
                process = self._daemons[name].process
                row["daemon"] = process.pid if process is not None and process.poll() is None else None
                row["control"] = str(self._daemons[name].control)
            rows.append(row)
        return rows

    # --- pieces of `up` and `down`
    # --------------------------------------------------------------------------------

    def _build(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        self._emulation = LinkEmulation(self.topology, self._emulation_kind, self._seed)
        self._network = Network(self.topology)
        self._network.build(self._emulation.relayed)
        self.nodes = self._network.nodes
        self._air = Air(self._network)
        self._emulation.start(self._network)
        if self._verify:
            self.links = self._emulation.verify(self._network)

    def _start_daemons(self) -> None:
        if not self._with_daemons:
            return
        names = self.topology.daemons
        directory, temporary = control_directory(self.output, names)
        if temporary:
            self._temporary = directory
        for name in names:
            control = directory / f"{name}.sock"
            self._daemons[name] = daemon = Daemon(self.nodes[name], self.topology, self.output, control)
            if self._clocks:
                daemon.clock = self.output / f"{name}.clock"
                daemon.set_clock(0)
            self.nodes[name].environment["SOJOURN_SOCKET"] = str(control)
            daemon.start()
        for daemon in self._daemons.values():
            daemon.wait_ready()

    def _start_capture(self) -> None:
        if not self._capture_kind:
            return
        directory = self.output / "capture"
        directory.mkdir(exist_ok=True)
        taps: list[socket.socket] = []
        files = []
        for node in self.nodes.values():
            points = []
            for interface in _points(node):
                with node.namespace.entered():
                    taps.append(open_tap(interface, self._capture_kind == "all"))
                points.append({"name": f"{node.name}:{interface}", "descriptor": taps[-1].fileno()})
            if points:
                files.append({"path": str(directory / f"{node.name}.pcapng"), "interfaces": points})
        self._capture = subprocess.Popen(
            [sys.executable, "-m", "sojourn.lab.capture"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[tap.fileno() for tap in taps],
            start_new_session=True,
        )
        for tap in taps:
            tap.close()
        assert self._capture.stdin is not None
        assert self._capture.stdout is not None
        self._capture.stdin.write(json.dumps({"snap": _SNAP, "files": files}).encode() + b"\n")
        self._capture.stdin.flush()
        if self._capture.stdout.readline() != b"ready\n":
            raise OSError("the capture process did not start; its message is above")

    def _stop_capture(self) -> None:
        process, self._capture = self._capture, None
        if process is None:
            return
        try:
            process.communicate(timeout=_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

    def _write_counters(self, emulation: LinkEmulation) -> None:
        if emulation.counters and self.output.is_dir():
            between = [
                list(link.between) for link in self.topology.links if frozenset(link.between) in emulation.relayed
            ]
            rows = [
                {"between": names, "directions": row["directions"]}
                for names, row in zip(between, emulation.counters, strict=True)
            ]
            (self.output / "links.json").write_text(json.dumps(rows, indent=1) + "\n")


def _points(node: Node) -> list[str]:
    """The interfaces of a node that are worth a capture; core routers only pass on what others show."""
    if node.kind == "router":
        return []
    return [name for name in node.ends if name != "air"]
