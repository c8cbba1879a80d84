"""What can go wrong in a domain, done on purpose to a lab that runs, and undone.

A fault is a kind, a node and how long it lasts. Daemons are killed (and started again when it is over) or frozen; their
clocks are wrong, or their disk takes nothing; links go down, pass nothing in one direction, or lose packets. A
direction is dead where it ends: an nf_tables chain at the very first hook of the interface drops what arrives, and
neighbour discovery with it, which is what a transceiver does that hears nothing any more. Of a host it is dead at the
other end, in the air.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sojourn.lab.lab import Lab
from sojourn.lab.rtnetlink import End
from sojourn.lab.topology import Topology
from sojourn.wire.units import HOUR, SECOND, Duration, Instant

Kind = Literal["kill", "freeze", "cut", "deaf", "mute", "loss", "clock", "refuse"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_OF_DAEMONS = frozenset({"kill", "freeze", "clock", "refuse"})
_WORDS: Mapping[Kind, str] = {
    "kill": "the daemon of {} is killed",
    "freeze": "the daemon of {} stands still",
    "cut": "the link of {} is down",
    "deaf": "{} hears nothing by its link",
    "mute": "nobody hears {} by its link",
    "loss": "the link of {} loses a fifth",
    "clock": "the clock of {} is wrong",
    "refuse": "the disk of {} takes nothing",
}
_TABLE = "sojourn-fault"
_BOTH = ("deaf", "mute")
_LOSS = 20
"""Of a hundred packets, in each direction."""
_WRONG: tuple[Duration, ...] = (HOUR, -HOUR, 3 * SECOND, -3 * SECOND)
"""By how much clocks are wrong, in turn."""
_TRIED_AGAIN = 1.2
"""Seconds until a daemon has stored what its disk refused: it tries every second."""


@dataclass(slots=True)
class Fault:
    """One thing that went wrong."""

    kind: Kind
    node: str
    began: Instant = 0
    healed: Instant = 0
    """When everything was repaired; for a daemon: when it answered again."""

    @property
    def of_daemon(self) -> bool:
        """Whether only a process was hurt, or misled: then nothing that is forwarded may be lost."""
        return self.kind in _OF_DAEMONS

    @property
    def words(self) -> str:
        """For people."""
        return _WORDS[self.kind].format(self.node)


class Faults:
    """Breaks and mends what `lab` consists of. Raises OSError where this machine cannot."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.done: list[Fault] = []
        """All that began, in order."""
        self._lasting: list[Fault] = []

    def begin(self, kind: Kind, node: str) -> Fault:
        """From now on it is broken."""
        fault = Fault(kind, node, time.monotonic_ns())
        self.done.append(fault)
        self._lasting.append(fault)
        self._lab.mark(fault.words)
        match kind:
            case "kill":
                self._lab.stop_daemon(node, kill=True)
            case "freeze":
                self._signal(node, signal.SIGSTOP)
            case "clock":
                self._lab.daemon(node).set_clock(_WRONG[len(self.done) % len(_WRONG)])
            case "refuse":
                self._limit(node, full=True)
            case "cut":
                self._drop(node, *_BOTH)
            case "deaf":
                self._drop(node, "deaf")
            case "mute":
                self._drop(node, "mute")
            case "loss":
                self._drop(node, *_BOTH, condition=f"numgen random mod 100 < {_LOSS}")
        return fault

    def heal(self, *faults: Fault) -> None:
        """All is whole again; daemons start at the same time. Raises DaemonFailed when one does not come back."""
        for fault in faults:
            if fault.kind == "kill":
                self._lab.daemon(fault.node).start()
        for fault in faults:
            self._heal(fault)

    def _heal(self, fault: Fault) -> None:
        node = fault.node
        match fault.kind:
            case "kill":
                self._lab.daemon(node).wait_ready()
            case "freeze":
                self._signal(node, signal.SIGCONT)
            case "clock":
                self._lab.daemon(node).set_clock(0)
            case "refuse":
                self._limit(node, full=False)
                time.sleep(_TRIED_AGAIN)
            case _:
                for end in {end.namespace.descriptor: end for end, _ in self._ends(node).values()}.values():
                    _nft(end, f"add table netdev {_TABLE}-{node}\ndelete table netdev {_TABLE}-{node}")
        fault.healed = time.monotonic_ns()
        self._lasting.remove(fault)
        self._lab.mark(f"mended: {fault.words}")

    def heal_all(self) -> None:
        """Nothing is broken any more."""
        self.heal(*self._lasting)

    # --- how ----------------------------------------------------------------------------------------------------------

    def _signal(self, node: str, number: signal.Signals) -> None:
        process = self._lab.daemon(node).process
        if process is not None and process.poll() is None:
            os.kill(process.pid, number)

    def _limit(self, node: str, full: bool) -> None:
        """Whatever the daemon writes into a file is refused (EFBIG), its journal as well as its log."""
        process = self._lab.daemon(node).process
        if process is not None and process.poll() is None:
            _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0 if full else hard, hard))

    def _ends(self, node: str) -> dict[str, tuple[End, str]]:
        """Where, and at which hook, what a node hears and what it says can be dropped."""
        if node in self._lab.topology.hosts:
            port = self._lab.air.port(node)
            return {"deaf": (port, "egress"), "mute": (port, "ingress")}
        ends = self._lab.nodes[node].ends
        near = next(end for name, end in ends.items() if name.startswith("to-"))
        far = self._lab.nodes[near.name.removeprefix("to-")].ends[f"to-{node}"]
        return {"deaf": (near, "ingress"), "mute": (far, "ingress")}

    def _drop(self, node: str, *ways: str, condition: str = "") -> None:
        for way in ways:
            end, hook = self._ends(node)[way]
            filtered = f'type filter hook {hook} device "{end.name}" priority -500'
            _nft(end, f"table netdev {_TABLE}-{node} {{\nchain {way} {{\n{filtered}\n{condition} drop\n}}\n}}")


def _nft(end: End, text: str) -> None:
    with end.namespace.entered():
        done = subprocess.run(["nft", "-f", "-"], input=text.encode(), capture_output=True, check=False)
    if done.returncode:
        raise OSError(f"nft in {end.namespace.name}: {done.stderr.decode(errors='replace').strip()}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is broken how often: kinds with their weights, for each node that they may hit."""

    choices: Sequence[tuple[Kind, str]]
    weights: Sequence[float]

    @classmethod
    def of(cls, topology: Topology, kinds: Mapping[Kind, float]) -> Plan:
        """Every role with a daemon is hit as often as every other one, however many nodes have it."""
        roles: dict[str, list[str]] = {}
        for name in topology.daemons:
            roles.setdefault(topology.nodes[name].kind, []).append(name)
        found = [
            (kind, name, weight / len(names))
            for kind, weight in kinds.items()
            if weight
            for names in roles.values()
            for name in names
        ]
        return cls([(kind, name) for kind, name, _ in found], [weight for _, _, weight in found])

    def draw(self, dice: random.Random) -> tuple[Kind, str]:
        """What is broken next."""
        return dice.choices(self.choices, self.weights)[0]
