"""A random walk: nodes roam while messages get lost and machines die; then it gets quiet and all must be right.

A seed decides everything. The truth about where a node is lives here; the engines have to find it out.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from sojourn.core.effects import ProbeNode
from sojourn.core.events import NodeDetached, NodeSeen, Sighting
from sojourn.engines.configuration import Mode
from sojourn.wire.units import MILLISECOND, SECOND, Duration
from support import checkers
from support.dhcp import WalkingClient
from support.domain import HOSTS, Domain

LIFETIME = 20 * SECOND
IDLE_HOLD = 8 * SECOND


class Walk:
    """One seed."""

    def __init__(self, seed: int, maars: int = 4, hosts: int = 3, *, dhcp: bool = False) -> None:
        self.dice = random.Random(seed)
        self.names = [f"ar{number}" for number in range(1, maars + 1)]
        delays: dict[tuple[str, str], Duration] = {}
        for name in [*self.names, "cmd"]:
            for other in self.names:
                delays[name, other] = self.dice.choice([300_000, 2 * MILLISECOND, 10 * MILLISECOND])
        self.domain = Domain(
            self.dice.choice(list(Mode)),
            maars,
            delays,
            cmd={"warm_up": 2 * LIFETIME, "prefixes_per_node": self.dice.choice([2, 8]), "lifetime_max": LIFETIME},
            lifetime=LIFETIME,
            idle_hold=IDLE_HOLD,
            quarantine=5 * SECOND,
            buffer=self.dice.random() < 0.5,
            **({"dhcp": True, "dhcp_lease": 40 * SECOND} if dhcp else {}),  # type: ignore[arg-type]
        )
        self.clients = [WalkingClient(self.domain, f"mn{number}") for number in range(1, hosts + 1)] if dhcp else []
        self.places: dict[str, str | None] = {f"mn{number}": None for number in range(1, hosts + 1)}
        self.loss = self.dice.choice([0.0, 0.05, 0.3])
        self.domain.lose = lambda source, destination, message: self.dice.random() < self.loss
        self.domain.repeat = lambda: self.dice.random() < self.loss / 3
        self.domain.jitter = lambda: self.dice.choice([0, 0, 0, 5 * MILLISECOND, 300 * MILLISECOND]) if self.loss else 0
        self.domain.on_probe = self._on_probe
        self.faults: list[str] = []
        self.log: list[str] = []
        self._answers: list[tuple[str, str]] = []

    # --- what can happen ------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One event and some time."""
        kinds = [self._roam, self._leave, self._sign, self._machine, self._traffic, self._dhcp]
        happening: Callable[[], None] = self.dice.choices(kinds, [12, 1, 3, 2, 2, 12 if self.clients else 0])[0]
        happening()
        self.pass_time(self.dice.choice([0, 5 * MILLISECOND, 200 * MILLISECOND, 1 * SECOND, 6 * SECOND]))
        if checkers.loops(
            self.domain
        ):  # while two routers pass a prefix on that a third one has given to somebody else
            self.pass_time(2 * SECOND)
            self.faults += checkers.loops(self.domain)

    def pass_time(self, duration: Duration) -> None:
        """Time passes; nodes that are asked for a sign of life answer a little later."""
        end = self.domain.now + duration
        while True:
            answers, self._answers = self._answers, []
            for host, name in answers:
                if self.places[host] == name:
                    self.domain.event(name, NodeSeen("acc0", HOSTS[host], Sighting.NEIGHBOUR))
            self.domain.run(min(2 * SECOND, end - self.domain.now))
            if self.domain.now >= end and not self._answers:
                return

    def _roam(self) -> None:
        host = self.dice.choice(list(self.places))
        old, new = self.places[host], self.dice.choice(self.names)
        self._note(f"{host} {old} -> {new}")
        if old is not None:
            self._depart(host, old)
            if self.dice.random() < 0.5:
                self.pass_time(self.dice.choice([1 * MILLISECOND, 50 * MILLISECOND, 3 * SECOND]))
        self.places[host] = new
        self.domain.attach(host, new)

    def _leave(self) -> None:
        host = self.dice.choice(list(self.places))
        place = self.places[host]
        if place is not None:
            self._note(f"{host} leaves {place}")
            self._depart(host, place)

    def _depart(self, host: str, place: str) -> None:
        """It is gone; a link tells so most of the time."""
        self.places[host] = None
        if self.dice.random() < 0.8:
            self.domain.event(place, NodeDetached("acc0", HOSTS[host]))

    def _sign(self) -> None:
        for host, place in self.places.items():
            if place is not None:
                sighting = self.dice.choice([Sighting.NEIGHBOUR, Sighting.ROUTER_SOLICITATION])
                self.domain.event(place, NodeSeen("acc0", HOSTS[host], sighting))

    def _machine(self) -> None:
        name = self.dice.choice([*self.names, "cmd", "cmd"])
        if self.domain.members[name].alive:
            self._note(f"{name} dies")
            self.domain.crash(name)
        else:
            self.restart(name)

    def restart(self, name: str) -> None:
        """A new life, usually with the store; a router sees at once who is on its links."""
        store = self.dice.random() < 0.7
        self._note(f"{name} restarts {'with' if store else 'without'} store")
        self.domain.restart(name, store=store)
        for host, place in self.places.items():
            if place == name:
                self.domain.event(name, NodeSeen("acc0", HOSTS[host], Sighting.STATION))

    def _dhcp(self) -> None:
        """A host asks for something, or goes on with what it has."""
        client = self.dice.choice(self.clients)
        place = self.places[client.host]
        if place is not None and self.domain.members[place].alive:
            self._note(f"{client.host} {client.step(place, self.dice)}")

    def _traffic(self) -> None:
        for name in self.names:
            plane = self.domain.plane(name)
            for prefix in plane.state.counters:
                plane.traffic(prefix)

    def _on_probe(self, name: str, probe: ProbeNode) -> None:
        for host, place in self.places.items():
            if place == name and HOSTS[host] == probe.link_layer:
                self._answers.append((host, name))

    def _note(self, words: str) -> None:
        self.log.append(f"{self.domain.now / SECOND:.3f} {words}")

    # --- how it ends ----------------------------------------------------------------------------------------------

    def settle(self) -> list[str]:
        """Everything works again; what is wrong afterwards is a fault."""
        self.loss = 0.0
        for name, member in self.domain.members.items():
            if not member.alive:
                self.restart(name)
        for _ in range(30):
            self._sign()
            self._traffic()
            for client in self.clients:
                client.renew(self.places[client.host])
            self.pass_time(3 * SECOND)
        self._let_answers_come()
        self.faults += [fault for client in self.clients for fault in client.faults(self.places[client.host])]
        faults = self.faults + checkers.owners(self.domain) + checkers.latest_wins(self.domain, self.places)
        return faults + checkers.loops(self.domain) + checkers.routes_equal_bindings(self.domain)

    def retire(self) -> list[str]:
        """Nobody sends anything but signs of life: every node is left with the prefix of its own place."""
        for _ in range(10 if not self.clients else 30):  # what is leased and not renewed any more ends too
            self._sign()
            self.pass_time(3 * SECOND)
        self._let_answers_come()
        kept = [entry for entry in self.domain.cmd.entries.values() if entry.previous()]
        faults = [f"{entry.node.hex()} keeps {len(entry.previous())} idle prefixes" for entry in kept]
        return faults + checkers.routes_equal_bindings(self.domain)

    def _let_answers_come(self) -> None:
        """A refresh that is on its way at this moment is no fault."""
        for _ in range(20):
            if not any(checkers.waiting(member) for member in self.domain.members.values()):
                return
            self.pass_time(20 * MILLISECOND)

    def depart(self) -> list[str]:
        """All nodes go."""
        for host, place in self.places.items():
            if place is not None:
                self._depart(host, place)
        for _ in range(16):
            self.pass_time(10 * SECOND)
        return checkers.nothing_left(self.domain)
