"""What scenarios of Mobile IPv6 share: a mobile node that changes links, and what became of that.

A scenario is a `scene.Play` on a topology with nodes of kind ``ha``, ``mn`` and ``cn`` and plain routers for foreign
links, which the lab lets advertise (`advertisers`). `Mobile` waits for registrations, moves the node, and afterwards
says of each move when the new link was usable and what followed, from the recording of the node's own daemon: all
clocks of a lab are one.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from sojourn.core.effects import Effect
from sojourn.core.events import AddressChanged, Event, Icmpv6Received, LinkChanged
from sojourn.core.mobile_effects import EnsureReverseTunnel, EnsureRouteOptimisation
from sojourn.host.recorder import load_steps
from sojourn.lab.kernel_state import host_addresses
from sojourn.lab.measure import crowding, milliseconds, percentile
from sojourn.lab.report import Verdict
from sojourn.lab.scene import Scene
from sojourn.lab.traffic import Direction
from sojourn.wire import BindingAcknowledgement
from sojourn.wire.addresses import Address, Prefix, address, text
from sojourn.wire.icmpv6 import PrefixInformation, RouterAdvertisement
from sojourn.wire.units import MILLISECOND, SECOND, Duration, Instant

OUTAGE: Duration = 20 * MILLISECOND
"""What a change between access points takes."""
SLACK: Duration = 15 * MILLISECOND
"""What everybody together may think about it."""

DAD: Duration = 1 * SECOND
"""A home agent tests a home address before its first binding (RFC 6275 10.3.1), unless it was told not to wait."""


def slack() -> Duration:
    """`SLACK` for as many programs as want to have a core of this machine at a time."""
    return int(SLACK * crowding())


def limit(name: str, measured: Duration, formula: Duration) -> Verdict:
    """A strict one: what the delays of the links imply, and `SLACK`."""
    words = f"{milliseconds(formula):.0f} ms + {milliseconds(SLACK):.0f}"
    return Verdict(name, f"{milliseconds(measured):.0f} ms", words, measured <= formula + SLACK)


@dataclass(slots=True)
class Move:
    """One change of links."""

    source: str
    target: str
    left: Instant
    first: bool
    """The home agent had no binding, and tests the home address."""
    until: Instant = 0
    """When the next one begins, or the run ends."""
    usable: Instant = 0
    """When the node had a router and an address on the new link; at home, a router."""
    reachable: Instant = 0
    """When the home agent's answer was there."""
    optimised: dict[Address, Instant] = field(default_factory=dict)
    """When packets went directly, by correspondent."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.source} to {self.target}"


class Mobile:
    """One mobile node of a scene, on its radio `radio`."""

    def __init__(self, scene: Scene, node: str, radio: int = 0) -> None:
        self.scene, self.node = scene, node
        self.home = scene.topology.address(node)
        self.agent = scene.topology.home_agent(node)
        self.moves: list[Move] = []
        self._port = node if radio == 0 else f"{node}/{radio + 1}"
        self._interface = f"wlan{radio}"

    # --- doing --------------------------------------------------------------------------------------------------------

    def row(self) -> dict[str, object]:
        """What the node's daemon shows of its home address."""
        return next(row for row in self.scene.rows(self.node, "bindings") if row["home"] == self.home)

    def wait(self, place: str) -> None:
        """Until the node is at ``home``, or ``away`` and registered. Raises `SceneFailed`."""

        def there() -> bool:
            # Addresses first: the daemon answers when all is in the kernel, and the address is not the last of it.
            addresses = host_addresses(self.scene.lab.nodes[self.node].namespace)
            row = self.row()
            if row["place"] != place:
                return False
            return any(one.address == self.home for one in addresses) if place == "home" else bool(row["registered"])

        self.scene.until(f"{self.node} is {place}", there)

    def go(self, target: str, outage: Duration = OUTAGE, wait: bool = True) -> None:
        """Change to the link of `target`; back when the home agent knows."""
        source = self.scene.lab.air.where(self._port) or "-"
        self.scene.say(f"{self.node}: {source} to {target}")
        bound = bool(self.row()["lifetime"])
        times = self.scene.lab.air.roam(self._port, target, outage=outage / SECOND, carrier=True)
        self.moves.append(Move(source, target, times.disassociated, not bound))
        if wait:
            self.wait("home" if target == self.agent else "away")

    def wait_optimised(self, correspondent: str) -> None:
        """Until packets of `correspondent` and to it go directly. Raises `SceneFailed`."""
        self.scene.until(f"{self.node} has a direct way to {correspondent}", lambda: self.optimised(correspondent))

    def optimised(self, correspondent: str) -> bool:
        """Whether they do."""
        other = self.scene.topology.address(correspondent)
        rows = self.scene.rows(self.node, "sessions")
        return any(row["correspondent"] == other and row["state"] == "bound" for row in rows)

    def connects(self, server: str, port: int = 8080) -> str:
        """The source address of a new TCP connection whose source the kernel chooses. Raises OSError."""

        def connect() -> str:
            with socket.create_connection((self.scene.topology.address(server), port), timeout=3) as made:
                return str(made.getsockname()[0])

        return self.scene.lab.nodes[self.node].namespace.call(connect)

    # --- looking back -------------------------------------------------------------------------------------------------

    @cached_property
    def steps(self) -> list[tuple[Instant, Event | Effect | None]]:
        """All that its daemon was told and asked for. The run must be over."""
        return list(load_steps(self.scene.lab.daemon(self.node).events))

    def look_back(self, ended: Instant) -> list[Move]:
        """The moves, with what followed each of them."""
        ends = [move.left for move in self.moves[1:]] + [ended]
        for move, until in zip(self.moves, ends, strict=True):
            move.until = until
            prefix = self._prefix(move.target)
            between = [(at, step) for at, step in self.steps if move.left <= at < until]
            move.usable = self._usable(between, prefix, at_home=move.target == self.agent)
            move.reachable = next(self._answers(between, move.usable), 0)
            for at, step in between:
                if isinstance(step, EnsureRouteOptimisation) and prefix.covers(step.care_of_address):
                    move.optimised.setdefault(step.correspondent, at)
        return self.moves

    def _prefix(self, router: str) -> Prefix:
        network = self.scene.topology.link_prefix(router)
        return Prefix(network.network_address.packed, network.prefixlen)

    def _usable(self, steps: list[tuple[Instant, Event | Effect | None]], prefix: Prefix, at_home: bool) -> Instant:
        """The first instant with both: the link's router was heard, and there is an address of its prefix."""
        heard = addressed = False
        for at, step in steps:
            match step:
                case LinkChanged(interface=self._interface):
                    heard = addressed = False
                case Icmpv6Received(message=RouterAdvertisement(options=options)):
                    named = [option.prefix for option in options if isinstance(option, PrefixInformation)]
                    heard |= prefix in named
                case AddressChanged(address=known, usable=True) if prefix.covers(known):
                    addressed = True
                case _:
                    pass
            if heard and (addressed or at_home):
                return at
        return 0

    def _answers(self, steps: list[tuple[Instant, Event | Effect | None]], since: Instant) -> Iterator[Instant]:
        """When Binding Acknowledgements of the home agent came."""
        agent = address(self.scene.topology.address(self.agent))
        for at, step in steps:
            acknowledged = isinstance(getattr(step, "message", None), BindingAcknowledgement)
            if at >= since and acknowledged and getattr(step, "source", b"") == agent:
                yield at

    def tunnels(self) -> list[tuple[Instant, str]]:
        """When the tunnel was led where."""
        found = [(at, step) for at, step in self.steps if isinstance(step, EnsureReverseTunnel)]
        return [(at, text(step.care_of_address)) for at, step in found]

    # --- formulas -----------------------------------------------------------------------------------------------------

    def round_trip(self, router: str, other: str) -> Duration:
        """Between the link of `router` and a node, without anybody's thinking."""
        return 2 * self.scene.topology.delay(router, other)

    def bound(self, move: Move) -> Duration:
        """How long old sessions are interrupted once the new link is usable: a round trip to the home agent."""
        told = self.scene.topology.ha
        tested = told.get("duplicate_address_detection", True)
        waits = tested and not told.get("optimistic_duplicate_address_detection", False)
        return self.round_trip(move.target, self.agent) + (DAD if move.first and waits else 0)


def interruption(direction: Direction, move: Move) -> Duration:
    """From when the new link was usable to the first packet that arrived over it; the rest of the stay if none did."""
    arrived = [at for at in direction.received if move.usable <= at < move.until]
    return min(arrived, default=move.until) - move.usable


def lost_at(direction: Direction, move: Move) -> int:
    """Packets of a stream that were lost at a move."""
    pairs = zip(direction.sent, direction.received, strict=True)
    return sum(not received for sent, received in pairs if move.left - SECOND // 2 <= sent < move.until - SECOND // 2)


def median_delay(direction: Direction, since: Instant, until: Instant) -> float:
    """Milliseconds, one way, of packets sent in that time; 0 when none arrived."""
    pairs = zip(direction.sent, direction.received, strict=True)
    delays = sorted(received - sent for sent, received in pairs if received and since <= sent < until)
    return milliseconds(delays[len(delays) // 2]) if delays else 0.0


def lateness(direction: Direction, since: Instant, until: Instant, shortest: Duration) -> Duration:
    """How late this machine is with a packet that takes `shortest`, 19 times of 20: links and programs of a lab wait
    for its processors. Next to nothing where these have nothing else to do.
    """
    pairs = zip(direction.sent, direction.received, strict=True)
    return round(percentile((max(0, at - sent - shortest) for sent, at in pairs if at and since <= sent < until), 0.95))
