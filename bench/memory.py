"""How much memory CMD, MAAR, LMA and MAG need per mobile node. Run it as

    python bench/memory.py [NODES] [SESSIONS]

The CMD gets real updates, decoded from octets, one node a millisecond: every node attaches and moves twice, so that it
has two previous MAARs. Measured with tracemalloc, which counts what Python allocates; the goal is at most 2 KiB per
node at 100,000 nodes. What a store, a socket or the kernel need is not in it.

The LMA gets a registration for each of SESSIONS nodes (default NODES) and assigns a prefix; the goal is 2 GiB for a
million.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sojourn.core.events import MessageReceived, NodeSeen, Sighting
from sojourn.engines.configuration import (
    CmdConfiguration,
    Gateway,
    LmaConfiguration,
    Maar,
    MaarConfiguration,
    MagConfiguration,
)
from sojourn.engines.lma import LocalMobilityAnchor
from sojourn.engines.maar import MobilityAnchorAccessRouter
from sojourn.engines.mag import MobileAccessGateway
from sojourn.engines.mobility_database import CentralMobilityDatabase
from sojourn.engines.registration import ACKNOWLEDGED_DMM, PROXY, PROXY_DMM
from sojourn.wire import (
    AccessTechnologyType,
    BindingAcknowledgement,
    BindingAcknowledgementFlags,
    BindingUpdate,
    Handoff,
    HandoffIndicator,
    HomeNetworkPrefix,
    MobileNodeIdentifier,
    MobileNodeLinkLayerIdentifier,
    MobilityMessage,
    Timestamp,
    decode,
    encode,
)
from sojourn.wire.addresses import ANY, Address, Prefix, address, prefix
from sojourn.wire.units import MILLISECOND, SECOND, ticks

GOAL = 2048
GOAL_OF_SESSIONS = (2 << 30) // 1_000_000
CMD = address("2001:db8:c::1")
EPOCH = 1_790_000_000 * SECOND


def router(number: int) -> Address:
    return address(f"2001:db8:a{number}::1")


def pool(number: int) -> Prefix:
    return prefix(f"2001:db8:{number:x}000::/36")


def host(number: int) -> bytes:
    return b"\x02" + number.to_bytes(5, "big")


def measured(work: Callable[[], object], nodes: int) -> float:
    """Octets per node that `work` leaves allocated."""
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    kept = work()
    gc.collect()
    octets = (tracemalloc.get_traced_memory()[0] - before) / nodes
    del kept
    return octets


class Database:
    """A CMD with three MAARs that do what they should."""

    def __init__(self, nodes: int) -> None:
        maars = tuple(Maar(router(number), pool(number), f"ar{number}") for number in (1, 2, 3))
        self.nodes = nodes
        self.engine = CentralMobilityDatabase(
            CmdConfiguration(CMD, maars, pace_rate=1_000_000, pace_burst=1000, nodes=nodes), EPOCH
        )
        self.now = 0
        self.engine.restore([], 0)

    def visit(self, number: int, nodes: int) -> None:
        """The first `nodes` attach at MAAR `number`; whoever is told of it answers."""
        for index in (*range(nodes), 0):
            if len(self.engine._requests._recent) and index == 0:
                self.rest()
            self.now += MILLISECOND
            options = (
                MobileNodeIdentifier(5, host(index)),
                HomeNetworkPrefix.of(pool(number).subnet(index, 64)),
                HandoffIndicator(int(Handoff.UNKNOWN)),
                AccessTechnologyType(4),
                MobileNodeLinkLayerIdentifier(host(index)),
                Timestamp(ticks(EPOCH + self.now)),
            )
            self._hear(BindingUpdate(1, PROXY_DMM, 3600 * SECOND, options), router(number))

    def rest(self) -> None:
        """A second without news: what is remembered for the rate of updates is forgotten with the next one."""
        self.now += 2 * SECOND
        self.engine.expire(self.now)

    def _hear(self, message: MobilityMessage, source: Address) -> None:
        event = MessageReceived(decode(bytes(encode(message))), source, CMD)
        for effect in self.engine.handle(event, self.now):
            told = getattr(effect, "message", None)
            if isinstance(told, BindingUpdate):
                kept = tuple(option for option in told.options if not type(option).__name__.startswith("Access"))
                answer = BindingAcknowledgement(0, ACKNOWLEDGED_DMM, told.sequence, told.lifetime, kept)
                self._hear(answer, effect.destination)  # type: ignore[union-attr]


def router_with(engine: MobilityAnchorAccessRouter | MobileAccessGateway, nodes: int) -> object:
    """A MAAR or a MAG that serves `nodes`; CMD or LMA accept all of them."""
    engine.restore([], 0)
    now = 0
    for index in range(nodes):
        now += MILLISECOND
        for effect in engine.handle(NodeSeen("acc0", host(index), Sighting.STATION), now):
            update = getattr(effect, "message", None)
            if isinstance(update, BindingUpdate):
                answer = accepted(update, pool(2).subnet(index, 64))
                engine.handle(MessageReceived(decode(bytes(encode(answer))), CMD, router(1)), now)
    return engine


def accepted(update: BindingUpdate, given: Prefix) -> BindingAcknowledgement:
    """The answer, with a prefix where none was said."""
    options = [
        HomeNetworkPrefix.of(given) if option == HomeNetworkPrefix.of(ANY) else option for option in update.options
    ]
    flags = ACKNOWLEDGED_DMM if update.flags == PROXY_DMM else int(BindingAcknowledgementFlags.P)
    return BindingAcknowledgement(0, flags, update.sequence, update.lifetime, tuple(options))


def maar(nodes: int) -> object:
    return router_with(
        MobilityAnchorAccessRouter(
            MaarConfiguration(
                router(1), pool(1), CMD, nodes=nodes, new_nodes_per_second=1_000_000, lifetime=3600 * SECOND
            ),
            EPOCH,
        ),
        nodes,
    )


def mag(nodes: int) -> object:
    settings = MagConfiguration(router(1), CMD, nodes=nodes, new_nodes_per_second=1_000_000, lifetime=3600 * SECOND)
    return router_with(MobileAccessGateway(settings, EPOCH), nodes)


def anchor(nodes: int) -> object:
    """An LMA with one session of each of `nodes` nodes, from four MAGs."""
    gateways = tuple(Gateway(router(number)) for number in (1, 2, 3, 4))
    settings = LmaConfiguration(CMD, gateways, (pool(1),), nodes=nodes, nodes_per_gateway=nodes)
    engine = LocalMobilityAnchor(settings, EPOCH)
    engine.restore([], 0)
    for index in range(nodes):
        now = index * MILLISECOND // 10
        options = (
            MobileNodeIdentifier(5, host(index)),
            HomeNetworkPrefix.of(ANY),
            HandoffIndicator(int(Handoff.UNKNOWN)),
            AccessTechnologyType(4),
            MobileNodeLinkLayerIdentifier(host(index)),
            Timestamp(ticks(EPOCH + now)),
        )
        message = decode(bytes(encode(BindingUpdate(1, PROXY, 3600 * SECOND, options))))
        engine.handle(MessageReceived(message, router(1 + index % 4), CMD), now)
    assert len(engine.cache) == nodes
    return engine


def cmd_grows(nodes: int) -> float:
    """Prints what a node needs at a CMD, alone and with previous MAARs; the last figure."""
    database = Database(nodes)
    total = 0.0
    for number, words in ((1, "attached"), (2, "and one previous MAAR"), (3, "and two previous MAARs")):
        total += measured(lambda number=number: database.visit(number, nodes), nodes)  # type: ignore[misc]
        print(f"CMD, {words:24}{nodes:8} nodes{total:8.0f} octets{'  over the goal' if total > GOAL else ''}")
    assert len(database.engine.entries) == nodes
    assert not len(database.engine._requests)
    return total


def main() -> int:
    """Prints the figures; 1 when a node needs more than the goal at CMD or LMA."""
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    sessions = int(sys.argv[2]) if len(sys.argv) > 2 else nodes
    tracemalloc.start()
    print(f"memory per mobile node (tracemalloc); goal: at most {GOAL} octets at the CMD\n")
    total = cmd_grows(nodes)
    few = min(nodes, 10_000)
    for role, make in (("MAAR", maar), ("MAG", mag)):
        octets = measured(lambda make=make: make(few), few)  # type: ignore[misc]
        print(f"{role + ', served':29}{few:8} nodes{octets:8.0f} octets")
    each = measured(lambda: anchor(sessions), sessions)
    words = f"{each * 1e6 / (1 << 30):.2f} GiB for a million; goal: at most 2"
    print(f"{'LMA, registered':29}{sessions:8} nodes{each:8.0f} octets, {words}")
    return int(total > GOAL or each > GOAL_OF_SESSIONS)


if __name__ == "__main__":
    raise SystemExit(main())
