"""Both halves of a domain are active: ``sojourn lab run cmd-partition``.

Two CMDs over one PostgreSQL server, two routers beside each. The network is cut between the halves, and both CMDs still
reach the store: hosts move within their half as if nothing was wrong; one that crosses has a new address at once, and
its old session when the network is whole. Then the network is cut again, and one CMD does not reach the store either:
its half goes on forwarding, hosts that move there have new addresses at once, and registrations wait and complete.
In the end everybody, and the store, is of one mind. Routers miss the database of the other half (`liveness`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from sojourn.engines.database_entry import BindingCacheEntry
from sojourn.lab.conduct import conduct
from sojourn.lab.gate import Gate
from sojourn.lab.outages import PATIENCE, Binding, Happened, Walk, cut
from sojourn.lab.postgres import Partition, partitions
from sojourn.lab.registry import ScenarioOptions, scenario
from sojourn.lab.report import Report
from sojourn.lab.scene import Scene, holds, perform
from sojourn.lab.topology import Topology, load
from sojourn.wire.addresses import link_layer_text, text

HALVES = (("ar1", "ar2", "cmd1"), ("ar3", "ar4", "cmd2"))


@scenario(
    "cmd-partition", "a domain is cut in two with a database in each half, over one store; then one lacks that too"
)
def cmd_partition(options: ScenarioOptions) -> int:
    """The scenario."""
    return conduct("cmd-partition", options, lambda: play(options))


class Halves(Walk):
    """A walk whose databases are asked through their store: each knows only what it was asked about."""

    def __init__(self, scene: Scene, store: Partition) -> None:
        self.store = store
        self._names = {scene.topology.address(name): name for name in scene.topology.access_routers}
        super().__init__(scene)

    def known(self) -> Iterator[tuple[str, set[Binding]]]:
        found: set[Binding] = set()
        lines = self.store.primary.sql("SELECT encode(key, 'hex'), encode(record, 'hex') FROM binding").splitlines()
        for line in lines:
            key, _, record = line.partition("|")
            node = bytes.fromhex(key)
            entry = BindingCacheEntry.restored(node, bytes.fromhex(record), 0)
            serving = self._names[text(entry.serving)]
            who = link_layer_text(node[-6:])
            found |= {(who, str(prefix), self._names[text(maar)], serving) for prefix, maar in entry.anchors}
        yield "the store", found


def play(options: ScenarioOptions) -> Report:
    """The whole run. Raises `DatabaseFailed`, `SceneFailed`, TrafficError, DaemonFailed, OSError."""
    with partitions(1) as (store,), Gate(store.primary.directory.parent / "gate", store.primary.directory) as gate:
        topology = _topology(load("cmd-partition"), store, gate)
        return perform(options, topology, lambda scene: _play(scene, store, gate), patience=PATIENCE)


def _topology(topology: Topology, store: Partition, gate: Gate) -> Topology:
    """Where the databases find their store: that of the first half through the gate."""
    behind = store.primary.source()
    through = behind.replace(str(store.primary.directory), str(gate.directory))
    nodes = dict(topology.nodes)
    for name, source in (("cmd1", through), ("cmd2", behind)):
        nodes[name] = nodes[name].model_copy(update={"settings": {"databases": [source]}})
    return topology.model_copy(update={"nodes": nodes, "cmd": {}})


def _play(scene: Scene, store: Partition, gate: Gate, dwell: float = 1.5) -> Report:
    walk = Halves(scene, store)
    with cut(scene, *_between(*HALVES), *_between(*reversed(HALVES))):
        walk.stay("cut in two: nobody moves", dwell)
        walk.settle(walk.move("cut in two: hosts move within their half", "mn1", "mn3"))
        crossing = walk.move("cut in two: a host crosses", "mn2")
        time.sleep(dwell)
    _settle_late(walk, crossing)
    walk.settle(walk.move("whole again: it goes back", "mn2", to="ar2"))
    with cut(scene, *_between(*HALVES), *_between(*reversed(HALVES))):
        gate.shut()
        walk.stay("a half without the store: nobody moves", dwell)
        waiting = walk.move("a half without the store: a host moves", "mn5")
        time.sleep(dwell)
        gate.open()
        _settle_late(walk, waiting)  # by its own CMD, the network is cut still
    walk.stay("whole again: nobody moves", dwell)
    wrong = walk.disagreements()
    ((_, known),) = walk.known()
    nodes, hosts = {node for node, *_ in known}, len(scene.topology.hosts)
    report = walk.report(
        "Both halves of a domain are active",
        "Two databases over one store, two routers beside each; the halves do not reach each other.",
    )
    words = f"{len(nodes)}{''.join(f'; {one}' for one in wrong)}"
    report.verdicts.append(
        holds("hosts in the store, each where it is", words, str(hosts), len(nodes) == hosts and not wrong)
    )
    return report


def _between(some: tuple[str, ...], others: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(one, other) for one in some for other in others]


def _settle_late(walk: Walk, happened: Happened) -> None:
    """What was not heard is said again after at most as long again as nobody heard it."""
    back = time.monotonic_ns()
    happened.unasked = back - happened.at
    walk.settle(happened, back)
