"""``make sim``: as many seeds as time allows, on all cores; or one seed, with every event, message and fault."""

from __future__ import annotations

import argparse
import os
import pdb
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sim.episode import CASTS, Outcome, described, happenings_of, play, shortened
from sim.stage import Stage
from sim.trace import Trace

CHUNK = 20
"""Seeds that a process plays in one go."""
SHRUNK, SHRINK_SECONDS = 4, 60.0
"""Of so many failing seeds the short episode is looked for, for at most so long each."""


def main() -> int:
    """The exit status: 1 when anything was wrong."""
    arguments = _arguments()
    if arguments.seed is not None:
        return _replay(arguments.cast or "dmm", arguments.seed, short=arguments.shrink, debug=arguments.debug)
    casts = [arguments.cast] if arguments.cast else list(CASTS)
    first = arguments.first if arguments.first is not None else int(time.time()) % 1_000_000 * 1_000
    return _search(casts, first, arguments.seconds, arguments.jobs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one, verbosely")
    parser.add_argument("--shrink", action="store_true", help="with --seed: look for a short episode first, play that")
    parser.add_argument("--debug", action="store_true", help="with --seed: stop in pdb at the first fault")
    parser.add_argument("--cast", choices=list(CASTS), help="only these roles")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long to search")
    parser.add_argument("--first", type=int, help="the first seed; default: others at every call")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


# --- one seed -------------------------------------------------------------------------------------------------------


def _replay(name: str, seed: int, *, short: bool, debug: bool) -> int:
    cast = CASTS[name]
    short = short and bool(play(seed, cast).faults)
    happenings = shortened(seed, cast, SHRINK_SECONDS)[1] if short else happenings_of(seed, cast)
    if debug:
        players = cast(seed)
        stage = Stage(players, seed)
        Trace(stage, print)
        stage.on_fault = lambda faults: breakpoint()
        try:
            return 1 if stage.play(happenings) else 0
        except Exception:
            pdb.post_mortem()
            return 1
    outcome = play(seed, cast, happenings, watch=lambda stage: Trace(stage, print))
    if outcome.faults:
        print("\n" + described(name, seed, outcome.faults, happenings if short else None))
        return 1
    print(f"\nseed {seed} of {name}: {cast(seed).settings()}\n  nothing is wrong")
    return 0


# --- many -----------------------------------------------------------------------------------------------------------


def _search(casts: list[str], first: int, seconds: float, jobs: int) -> int:
    console = Console()
    console.print(f"{', '.join(casts)}: seeds from {first} on, for {seconds:.0f} s on {jobs} cores; Ctrl-C ends it")
    failing: dict[tuple[str, int], Outcome] = {}
    played, cpu = 0, 0.0
    with ProcessPoolExecutor(jobs) as pool, _progress(console) as progress:
        task = progress.add_task("", total=seconds, episodes=0, failing=0, rate=0.0)
        begin = time.monotonic()
        try:
            for name, outcomes, took in _played(pool, casts, first, begin + seconds, 2 * jobs):
                played, cpu = played + CHUNK, cpu + took
                for seed, outcome in outcomes.items():
                    failing[name, seed] = outcome
                    progress.console.print(f"seed {seed} of {name}: {outcome.faults[0]}", highlight=False)
                spent = min(time.monotonic() - begin, seconds)
                progress.update(task, completed=spent, episodes=played, failing=len(failing), rate=played / cpu)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
    console.print(f"{played} episodes, {played / max(cpu, 1e-9):.1f} a CPU second, {len(failing)} failing")
    for name, seed in list(failing)[:SHRUNK]:
        outcome, happenings = shortened(seed, CASTS[name], SHRINK_SECONDS)
        console.print("\n" + described(name, seed, outcome.faults, happenings), highlight=False, soft_wrap=True)
    if len(failing) > SHRUNK:
        rest = ", ".join(f"{seed} of {name}" for name, seed in list(failing)[SHRUNK:])
        console.print(f"\nalso failing: {rest}", highlight=False)
    return 1 if failing else 0


def _progress(console: Console) -> Progress:
    return Progress(
        TimeElapsedColumn(),
        BarColumn(),
        TextColumn("{task.fields[episodes]} episodes, {task.fields[rate]:.1f} a CPU second"),
        TextColumn("[red]{task.fields[failing]} failing" if console.is_terminal else "{task.fields[failing]} failing"),
        console=console,
    )


def _played(
    pool: ProcessPoolExecutor, casts: list[str], first: int, end: float, ahead: int
) -> Iterator[tuple[str, dict[int, Outcome], float]]:
    """Chunk after chunk, each cast in turn, until the time is over: the cast, what failed, and CPU seconds."""
    number = 0
    running: set[Future[tuple[str, dict[int, Outcome], float]]] = set()
    while running or time.monotonic() < end:
        while len(running) < ahead and time.monotonic() < end:
            start = first + number // len(casts) * CHUNK
            running.add(pool.submit(_chunk, casts[number % len(casts)], start))
            number += 1
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()


def _chunk(name: str, start: int) -> tuple[str, dict[int, Outcome], float]:
    begin = time.process_time()
    played = {seed: play(seed, CASTS[name]) for seed in range(start, start + CHUNK)}
    return name, {seed: outcome for seed, outcome in played.items() if outcome.faults}, time.process_time() - begin


if __name__ == "__main__":
    sys.exit(main())
