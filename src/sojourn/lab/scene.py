"""What scenarios of one extension share: a lab, hosts with addresses, streams between them, phases, a report.

A scene is a function of a `Scene`; it does and measures what its extension is for, and answers with the report.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from sojourn.lab.conduct import conduct
from sojourn.lab.interruption import BrokeOff
from sojourn.lab.kernel_state import host_addresses
from sojourn.lab.lab import Lab, Node
from sojourn.lab.measure import Window, loss, milliseconds
from sojourn.lab.measure_signalling import packet_socket
from sojourn.lab.namespaces import NetworkNamespace
from sojourn.lab.registry import ScenarioOptions
from sojourn.lab.report import Report, Verdict
from sojourn.lab.topology import Topology, load
from sojourn.lab.traffic import Direction, FlowRecord, Traffic
from sojourn.wire.addresses import text
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

_PATIENCE = 20.0
"""Seconds for what must happen soon: addresses, registrations."""
_SETTLING = 0.3
"""Seconds after a change in which nothing is measured."""
_PATIENT = 10 * SECOND
STREAM_RATE = 100
_IPV6_IN_IPV6 = 41
_OUTGOING = 4
"""Of packet(7): a packet that this machine sends."""
_ETHERNET = 14
_FRAME = 128
"""Octets of a frame that are looked at."""


class SceneFailed(BrokeOff):
    """Something that had to happen did not; the text says what."""


@dataclass(slots=True)
class Phase:
    """A stretch of the run in which nothing changes."""

    name: str
    window: Window
    crossings: dict[str, int] = field(default_factory=dict)
    """Packets on the core links of each access router, in and out."""


@dataclass(slots=True)
class Measured:
    """One direction of a stream in one phase."""

    delay: float
    """Median, one way, in milliseconds."""
    sent: int
    lost: int


@dataclass(slots=True)
class Scene:
    """A lab that is up, and what runs in it."""

    lab: Lab
    traffic: Traffic
    options: ScenarioOptions
    phases: list[Phase] = field(default_factory=list)
    _records: dict[str, FlowRecord] = field(default_factory=dict)
    _said: str = ""

    @property
    def topology(self) -> Topology:
        return self.lab.topology

    def say(self, words: str) -> None:
        """A line for people, and a comment in the captures."""
        self._said = words
        self.lab.mark(words)
        if not self.options.json:
            print(words, flush=True)

    def until(self, what: str, question: Callable[[], bool]) -> None:
        """Wait until it is so. Raises `SceneFailed`."""
        deadline = time.monotonic() + _PATIENCE
        while not question():
            if time.monotonic() > deadline:
                raise SceneFailed(f"{what}: not within {_PATIENCE:g} s")
            time.sleep(0.02)

    def address(self, host: str, within: str = "2001:db8:f1") -> str:
        """The address that `host` uses for something new, as soon as it has one that begins so."""

        def found() -> list[str]:
            usable = [one for one in host_addresses(self.lab.nodes[host].namespace) if not one.deprecated]
            return [one.address for one in usable if not one.tentative and one.address.startswith(within)]

        self.until(f"{host} has an address", lambda: bool(found()))
        return found()[0]

    def rows(self, node: str, topic: str) -> list[dict[str, Any]]:
        """What a daemon shows."""
        with self.lab.client(node) as client:
            return client.show(topic, plain=True)

    def command(self, node: str, verb: str, /, **arguments: str) -> None:
        """Tell a daemon something."""
        with self.lab.client(node) as client:
            client.command(verb, arguments)

    def ip(self, node: str, *words: str) -> None:
        """``ip -6 WORDS`` at a node. Raises `SceneFailed`."""
        command = ["ip", "-6", *words]
        if self.lab.nodes[node].spawn(command).wait() != 0:
            raise SceneFailed(f"{node}: {' '.join(command)} failed")

    def happens(self, words: str, act: Callable[[], object]) -> Instant:
        """Say so, and do it. The time before it; the phase that follows may have the same name."""
        self.say(words)
        at = time.monotonic_ns()
        act()
        return at

    def phase(self, name: str, seconds: float = 2.0) -> None:
        """Let things run; what is sent meanwhile is measured under this name, which is said unless it was just now."""
        if name != self._said:
            self.say(name)
        time.sleep(_SETTLING)
        before, since = self._core_packets(), time.monotonic_ns()
        time.sleep(seconds)
        until, after = time.monotonic_ns(), self._core_packets()
        self.phases.append(Phase(name, Window(since, until), {node: after[node] - before[node] for node in after}))
        time.sleep(_SETTLING)

    def _core_packets(self) -> dict[str, int]:
        return {name: _counted(self.lab.nodes[name]) for name in self.topology.access_routers}

    def finish(self) -> Mapping[str, FlowRecord]:
        """All flows end; their records by name."""
        if not self._records:
            found = self.traffic.finish(self.options.output / "traffic.jsonl")
            self._records = {record.flow: record for record in found}
        return self._records

    def window(self, phase: str) -> Window:
        """When the phase of that name was."""
        return next(known.window for known in self.phases if known.name == phase)

    def measured(self, direction: Direction, phase: str) -> Measured:
        """What became of the packets that were sent in a phase."""
        window = self.window(phase)
        pairs = zip(direction.sent, direction.received, strict=True)
        delays = [received - sent for sent, received in pairs if received and window.start <= sent < window.end]
        found = loss(direction, window)
        return Measured(milliseconds(statistics.median(delays or [0])), found.sent, found.lost)


Play: TypeAlias = Callable[[Scene], Report]


def run(
    options: ScenarioOptions,
    topology: str | Topology,
    play: Play,
    capture: str = "signalling",
    patience: Duration = _PATIENT,
) -> int:
    """The exit status of a scenario that has no options of its own; see `perform`."""
    built = load(topology) if isinstance(topology, str) else topology
    return conduct(built.name, options, lambda: perform(options, built, play, capture, patience))


def perform(
    options: ScenarioOptions,
    topology: Topology,
    play: Play,
    capture: str = "signalling",
    patience: Duration = _PATIENT,
) -> Report:
    """Build the lab, play, take it down. Raises `SceneFailed`, TrafficError, DaemonFailed, OSError.

    `patience`: whoever waits for an answer over TCP gives up after this time.
    """
    with Lab(topology, options.output, capture=capture) as lab:
        ends = (*topology.hosts, *topology.of_kind("server", "cn"))
        places = {name: lab.nodes[name].namespace.descriptor for name in ends}
        with Traffic(places, patience=patience, status_every=1000 * MILLISECOND) as traffic:
            return play(Scene(lab, traffic, options))


class TunnelMonitor:
    """Hears what each of `namespaces` sends in tunnels (IPv6 in IPv6), until closed."""

    def __init__(self, namespaces: Mapping[str, NetworkNamespace]) -> None:
        self._sockets = {name: one.call(lambda: packet_socket(_IPV6_IN_IPV6)) for name, one in namespaces.items()}
        self._found: Counter[tuple[str, str, str]] = Counter()

    def ends(self) -> Counter[tuple[str, str, str]]:
        """Packets so far by node, near and far end; what the kernel's queue did not hold is not counted."""
        for name, heard in self._sockets.items():
            with suppress(BlockingIOError):
                while True:
                    frame, (interface, _, direction, _, _) = heard.recvfrom(_FRAME)
                    if direction == _OUTGOING and interface.startswith("to-"):
                        near, far = frame[_ETHERNET + 8 : _ETHERNET + 24], frame[_ETHERNET + 24 : _ETHERNET + 40]
                        self._found[name, text(near), text(far)] += 1
        return self._found

    def __enter__(self) -> TunnelMonitor:
        return self

    def __exit__(self, *_: object) -> None:
        for heard in self._sockets.values():
            heard.close()


def _counted(node: Node) -> int:
    """Packets in and out on its core links: the kernel's own counters."""
    lines = node.namespace.call(lambda: Path("/proc/thread-self/net/dev").read_text()).splitlines()
    columns = [line.split() for line in lines if line.strip().startswith("to-")]
    return sum(int(column[2]) + int(column[10]) for column in columns)


def holds(name: str, measured: object, required: str, right: bool) -> Verdict:
    """A verdict on anything that can be written."""
    return Verdict(name, str(measured), required, right)
