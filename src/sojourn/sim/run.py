"""One simulation, from a workload to its results: cut into shards, over the cores of this machine.

Nodes that have nothing to do with each other (`sojourn.sim.world.independent`) are simulated in shards, one after the
other in each process, so that memory is bounded however many there are; the result does not depend on the cut. What is
done stays done: a simulation that was interrupted goes on with the same output directory.
"""

from __future__ import annotations

import gc
import os
import pickle
import resource
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sojourn.sim.executor import LocalExecutor
from sojourn.sim.figures import Figures, Reckoning, Rows
from sojourn.sim.itinerary import understand
from sojourn.sim.protocol import ProtocolSettings, WireMode
from sojourn.sim.results import Directory, Shard, fingerprint
from sojourn.sim.summary import Summary, summary
from sojourn.sim.topology import Topology
from sojourn.sim.workload import BLOCK, Workload
from sojourn.sim.world import World, central_place, independent
from sojourn.wire.units import Duration

NODES = 10_000
"""In a shard, at most."""
_NODES_OF_A_ROUTER = 7
"""That are simulated together, at most."""
RECORDS = 2_000_000
"""The same for rows of the stream, where that is known beforehand."""
_ATTEMPTS = 2
_ROUNDS = 4
"""Shards for each process, where there are enough nodes: so that all end at about the same time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a simulation is."""

    share: float
    """Of the work, from 0 to 1."""
    shards: int
    """That are done."""
    planned: int


@dataclass(frozen=True, slots=True)
class Job:
    """What is the same for all shards."""

    topology: Topology
    workload: Workload
    settings: ProtocolSettings
    seed: int
    wire: WireMode
    warm_up: Duration


@dataclass(frozen=True, slots=True)
class Part:
    """One shard for another process."""

    job: str
    """The file with the `Job`."""
    shard: Shard
    output: str | None
    rows: bool


def simulate(
    topology: Topology,
    workload: Workload,
    settings: ProtocolSettings,
    output: Path | None = None,
    *,
    seed: int,
    jobs: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    wire: WireMode = "off",
    warm_up: Duration = 0,
    rows: bool = True,
    resume: bool = True,
    shard_nodes: int | None = None,
) -> Summary:
    """Simulate all nodes of `workload`; `seed` is for the network's own randomness, as the workload has drawn its.

    `output` is the directory for results (`sojourn.sim.results`), None for none; `rows` asks for a row for each
    handover there. `jobs` processes work at a time, as many as there are processors when None; `shard_nodes` is rounded
    up to whole blocks. `progress` is told now and then. Shards that fail twice are listed in the summary (``failed``).
    Raises `NotOurs` for an output directory with something else in it, or with results unless `resume`.
    """
    job = Job(topology, workload, settings, seed, wire, warm_up)
    jobs = jobs or len(os.sched_getaffinity(0))
    shards = cut(workload, jobs, shard_nodes) if independent(topology, settings) else [(0, workload.nodes)]
    directory = None
    if output is not None:
        told = (settings, wire, warm_up, seed if settings.loss else None)
        directory = Directory(output)
        shards = directory.claim(fingerprint(topology, workload, *told), shards, resume=resume)
    watcher = _Watcher(progress, len(shards))
    if jobs == 1 or len(shards) == 1:
        runner = _here(job, shards, directory, rows, watcher)
    else:
        runner = _elsewhere(job, shards, directory, rows, min(jobs, len(shards)), watcher)
    whole, failed = Figures(), []
    for shard, outcome in runner:
        if isinstance(outcome, Figures):
            whole.join(outcome)
        else:
            failed.append({"first": shard[0], "last": shard[1] - 1, "reason": outcome})
    found = summary(
        whole,
        topology,
        settings,
        seed=seed,
        wire=wire,
        warm_up=warm_up,
        duration=workload.duration,
        shards=len(shards),
        failed=failed,
    )
    if directory is not None:
        directory.summarize(found)
    return found


def cut(workload: Workload, jobs: int, nodes: int | None = None) -> list[Shard]:
    """The shards: whole blocks, not too large, and some for each process."""
    if nodes is None:
        records = getattr(workload, "records", 0.0)
        most = min(NODES, int(RECORDS / records)) if records else NODES
        nodes = min(most, -(-workload.nodes // (_ROUNDS * jobs)))
    size = max(-(-nodes // BLOCK), 1) * BLOCK
    return [(first, min(first + size, workload.nodes)) for first in range(0, workload.nodes, size)]


class _Watcher:
    """Knows how far the simulation is, and says so."""

    def __init__(self, progress: Callable[[Progress], None] | None, planned: int) -> None:
        self._progress = progress
        self._planned = planned
        self._done = 0

    def within(self, share: float) -> None:
        """Of one more shard `share` is done."""
        if self._progress is not None:
            self._progress(Progress((self._done + share) / self._planned, self._done, self._planned))

    def one_more(self) -> None:
        """A shard is done."""
        self._done += 1
        self.within(0.0)


Outcome = tuple[Shard, Figures | str]
"""Of a shard: its figures, or why there are none."""


def _here(
    job: Job, shards: list[Shard], directory: Directory | None, rows: bool, watcher: _Watcher
) -> Iterator[Outcome]:
    """All in this process."""
    for shard in shards:
        yield shard, _attempt(job, shard, directory, rows, watcher)
        watcher.one_more()


def _attempt(job: Job, shard: Shard, directory: Directory | None, rows: bool, watcher: _Watcher) -> Figures | str:
    reason = ""
    if directory is not None and (before := directory.done(shard)) is not None:
        return before
    for _ in range(_ATTEMPTS):
        try:
            figures, table = one_shard(job, shard, watcher.within)
            if directory is not None:
                directory.keep(shard, figures, table if rows else None)
            return figures
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if directory is not None:
                directory.explain(shard, traceback.format_exc())
    return reason


def _elsewhere(
    job: Job, shards: list[Shard], directory: Directory | None, rows: bool, jobs: int, watcher: _Watcher
) -> Iterator[Outcome]:
    """Each in a process of its own, so many at a time."""
    with tempfile.TemporaryDirectory(prefix="sojourn-sim-") as folder:
        file = Path(folder) / "job"
        file.write_bytes(pickle.dumps(job))
        executor: LocalExecutor[Part] = LocalExecutor(perform, jobs)
        tried: Counter[Shard] = Counter()
        try:
            for shard in shards:
                before = None if directory is None else directory.done(shard)
                if before is None:
                    tried[shard] = 0
                    executor.start(Part(str(file), shard, str(directory.path) if directory else None, rows))
                else:
                    yield shard, before
                    watcher.one_more()
            while tried:
                outcome = executor.next()
                shard = outcome.argument.shard
                tried[shard] += 1
                if outcome.failure and directory is not None:
                    directory.explain(shard, outcome.details)
                if outcome.failure and tried[shard] < _ATTEMPTS:
                    executor.start(outcome.argument)
                    continue
                del tried[shard]
                yield shard, outcome.failure or outcome.result
                watcher.one_more()
        finally:
            executor.close()


@lru_cache(maxsize=1)
def _job(file: str) -> Job:
    return pickle.loads(Path(file).read_bytes())  # type: ignore[no-any-return]


def perform(part: Part) -> Figures:
    """What another process does."""
    figures, rows = one_shard(_job(part.job), part.shard)
    if part.output is not None:
        Directory(Path(part.output)).keep(part.shard, figures, rows if part.rows else None)
    return figures


def one_shard(job: Job, shard: Shard, within: Callable[[float], None] | None = None) -> tuple[Figures, Rows | None]:
    """Simulate some nodes; `within` is told which share is done. Rows: only with mobility."""
    begin = time.process_time_ns()
    figures, rows = Figures(), []
    batches = _batches(job, shard)
    with _without_collector():
        for number, batch in enumerate(batches):

            def progress(share: float, number: int = number) -> None:
                if within is not None:
                    within((number + share) / len(batches))

            found, table = _one_batch(job, batch, progress)
            figures.join(found)
            rows += table
    figures.cpu = time.process_time_ns() - begin
    figures.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return figures, Rows.joined(rows) if rows else None


def _batches(job: Job, shard: Shard) -> list[Shard]:
    """Parts of a shard for which one world each is made: small enough for the caches of a processor.

    But not so small that most of the time goes into making routers.
    """
    first, last = shard
    if not independent(job.topology, job.settings):
        return [shard]
    size = -(-_NODES_OF_A_ROUTER * len(job.topology.attachable()) // BLOCK) * BLOCK
    return [(at, min(at + size, last)) for at in range(first, last, size)]


def _one_batch(job: Job, batch: Shard, progress: Callable[[float], None]) -> tuple[Figures, list[Rows]]:
    end = job.workload.duration
    stream = job.workload.shard(*batch)
    home = central_place(job.topology, job.settings) if job.settings.has_one_anchor else None
    itinerary = understand(stream, end, job.settings.idle_hold, home)
    mobility = job.settings.mode != "none"
    reckoning = Reckoning(
        itinerary,
        job.topology,
        warm_up=job.warm_up,
        end=end,
        mobility=mobility,
        central=home is not None,
        direct=job.settings.mode == "mipv6" and job.settings.route_optimisation,
    )
    reckoning.nodes(stream, batch[1] - batch[0])
    reckoning.sessions()
    reckoning.anchors()
    if not mobility:
        return reckoning.figures, []
    world = World(job.topology, job.settings, itinerary, seed=job.seed, wire=job.wire, warm_up=job.warm_up)
    world.run(end, lambda now: progress(now / end))
    rows = reckoning.engines(world.ledger, world.seen)
    if job.settings.mode == "mipv6" and job.settings.anchors:
        reckoning.figures.unregistered = 0  # there is nobody to register with
    if world.outages is not None:
        reckoning.figures.outages = world.outages.figures
    reckoning.figures.alarms, reckoning.figures.holds = world.alarms, world.holds
    del world
    gc.collect()  # roles and engines know each other
    return reckoning.figures, [rows]


@contextmanager
def _without_collector() -> Iterator[None]:
    """What is made lives until its end; looking for cycles in it takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()
        gc.collect()
