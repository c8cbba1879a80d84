"""What can go wrong in a domain, done on purpose to a lab that runs, and undone.

A fault is a kind, a node and how long it lasts. Daemons are killed (and started again when it is over) or frozen; links
go down, pass nothing in one direction, or lose packets. A direction is dead where it ends: an nf_tables chain at the
very first hook of the interface drops what arrives, neighbour discovery with it, which is what a transceiver does that
hears nothing any more.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sojourn.lab.lab import Lab
from sojourn.lab.topology import Topology
from sojourn.wire.units import Instant

Kind = Literal["kill", "freeze", "cut", "deaf", "mute", "loss"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_OF_DAEMONS = frozenset({"kill", "freeze"})
_WORDS: Mapping[Kind, str] = {
    "kill": "the daemon of {} is killed",
    "freeze": "the daemon of {} stands still",
    "cut": "the link of {} is down",
    "deaf": "{} hears nothing from the core",
    "mute": "the core hears nothing from {}",
    "loss": "the link of {} loses a fifth",
}
_TABLE = "sojourn-fault"
_LOSS = 20
"""Of a hundred packets, in each direction."""


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
        """Whether only a process was hurt: then nothing that is forwarded may be lost."""
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
            case "cut":
                self._deafen(*self._far(node))
                self._deafen(node, self._near(node))
            case "deaf":
                self._deafen(node, self._near(node))
            case "mute":
                self._deafen(*self._far(node))
            case "loss":
                for end in ((node, self._near(node)), self._far(node)):
                    self._deafen(*end, f"numgen random mod 100 < {_LOSS}")
        return fault

    def heal(self, fault: Fault) -> None:
        """It is whole again. Raises DaemonFailed when a daemon does not come back."""
        node = fault.node
        match fault.kind:
            case "kill":
                self._lab.start_daemon(node)
            case "freeze":
                self._signal(node, signal.SIGCONT)
            case _:
                for name, _ in ((node, ""), self._far(node)):
                    self._nft(name, f"add table netdev {_TABLE}\ndelete table netdev {_TABLE}")
        fault.healed = time.monotonic_ns()
        self._lasting.remove(fault)
        self._lab.mark(f"mended: {fault.words}")

    def heal_all(self) -> None:
        """Nothing is broken any more."""
        for fault in list(self._lasting):
            self.heal(fault)

    # --- how ----------------------------------------------------------------------------------------------------------

    def _signal(self, node: str, number: signal.Signals) -> None:
        process = self._lab.daemon(node).process
        if process is not None and process.poll() is None:
            os.kill(process.pid, number)

    def _near(self, node: str) -> str:
        return next(name for name in self._lab.nodes[node].ends if name.startswith("to-"))

    def _far(self, node: str) -> tuple[str, str]:
        """The node at the other end of its link, and the interface there."""
        return self._near(node).removeprefix("to-"), f"to-{node}"

    def _deafen(self, node: str, interface: str, condition: str = "") -> None:
        hook = f'type filter hook ingress device "{interface}" priority -500'
        self._nft(node, f"table netdev {_TABLE} {{\nchain {interface} {{\n{hook}\n{condition} drop\n}}\n}}")

    def _nft(self, node: str, text: str) -> None:
        process = self._lab.nodes[node].spawn(["nft", "-f", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        _, refusal = process.communicate(text.encode())
        if process.returncode:
            raise OSError(f"nft at {node}: {refusal.decode(errors='replace').strip()}")


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
