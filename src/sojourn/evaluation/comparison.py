"""One run, seen by every way of managing mobility; and several runs together, with how sure their mean is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sojourn.evaluation.assumptions import Assumptions
from sojourn.evaluation.estimate import Estimate
from sojourn.evaluation.models.mobility import Behaviour, NoSteadyState
from sojourn.evaluation.replay import Floats, Replay
from sojourn.evaluation.ways import Way, distances
from sojourn.evaluation.ways.latency import Latencies, latencies
from sojourn.evaluation.ways.signalling import signalling_of
from sojourn.evaluation.ways.state import states
from sojourn.evaluation.ways.traffic import traffic
from sojourn.sim.topology import Topology

Figures = Mapping[str, float]
"""Quantities by name; `nan` where a way does not have one."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What one run shows."""

    counted: Replay
    behaviour: Behaviour
    """As it was observed: the input of the closed forms."""
    figures: Mapping[Way, Figures]
    latencies: Mapping[Way, Latencies]
    carried: Mapping[Way, Floats]
    """Mbit/s through each place, the central anchor's at its place."""
    dependent: Mapping[Way, Floats]
    """Share of session time that needs each place."""


def observe(counted: Replay) -> Behaviour:
    """Rates in the window. Raises `NoSteadyState`, with a sentence, where there is nothing that could be compared.

    Session length by the time that sessions were open for each that ended, so that those which outlast the window
    count.
    """
    hours = counted.window / 3600
    if not len(counted.handovers):
        raise NoSteadyState(
            f"no node moves in the {hours:.2g} h that are looked at: without handovers all ways of managing mobility "
            "are the same; give a longer duration, more nodes or a shorter dwell time"
        )
    if not counted.begins:
        raise NoSteadyState(
            f"no session begins in the {hours:.2g} h that are looked at, so that nothing has to survive a move; "
            "give sessions, or a flow log that overlaps with the moves in time"
        )
    if counted.ends < counted.begins / 2:
        raise NoSteadyState(
            f"of {counted.begins} sessions that began in the {hours:.2g} h that are looked at only {counted.ends} "
            "ended: open sessions and old anchors are still becoming more, and no mean would hold; "
            "give a duration of several session lengths, or shorter sessions"
        )
    open_seconds = float(counted.segments.seconds.sum())
    return Behaviour(
        dwell=counted.node_seconds / len(counted.handovers),
        session=open_seconds / counted.ends,
        inter_arrival=counted.node_seconds / counted.begins,
    )


def compare(counted: Replay, topology: Topology, assumptions: Assumptions) -> Run:
    """All ways for one run. Raises `NoSteadyState`."""
    behaviour = observe(counted)
    distance, central = distances(topology), assumptions.central
    routers = len(topology.attachable())
    delays = latencies(counted.handovers, distance, central, assumptions.wireless)
    signals = signalling_of(counted, routers, assumptions)
    state = states(counted, routers)
    flows = traffic(counted, topology, assumptions)
    figures: dict[Way, Figures] = {}
    carried, dependent = {}, {}
    for way in Way:
        latency, signal, kept, flow = delays[way], signals[way], state[way], flows[way]
        carried[way], dependent[way] = flow.carried * assumptions.session_rate, flow.dependent.copy()
        if way is Way.CENTRAL:
            carried[way][central] += flow.through_central * assumptions.session_rate
            dependent[way][central] = 1.0
        figures[way] = {
            "usable_ms": _mean(latency.usable),
            "registered_ms": _mean(latency.registered),
            "registered_p95_ms": _quantile(latency.registered, 0.95),
            "restored_ms": _mean(latency.restored),
            "restored_p50_ms": _quantile(latency.restored, 0.5),
            "restored_p95_ms": _quantile(latency.restored, 0.95),
            "restored_p99_ms": _quantile(latency.restored, 0.99),
            "drawn_messages": signal.drawn,
            "messages": signal.messages,
            "octets": signal.octets,
            "redirection_octets": signal.redirection,
            "messages_per_second": signal.per_second,
            "octets_per_second": signal.octets_per_second,
            "busiest_messages_per_second": signal.busiest,
            "anchors": kept.anchors,
            "anchors_p99": kept.anchors_p99,
            "entries": kept.entries,
            "busiest_entries": kept.busiest,
            "tunnelled": flow.tunnelled,
            "delay_ms": flow.delay,
            "added_ms": flow.added,
            "stretch": flow.stretch,
            "longer_than_central": flow.longer_than_central,
        }
    return Run(counted, behaviour, figures, delays, carried, dependent)


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan


def _quantile(values: Floats, share: float) -> float:
    return float(np.quantile(values, share)) if len(values) else math.nan


def estimates(runs: Sequence[Run]) -> dict[Way, dict[str, Estimate]]:
    """Every figure of every way over all runs; and, at the place where it is largest in the mean, what that carries
    (``busiest_mbit``), and what is lost when that on which most depends dies (``lost``)."""
    return {
        way: {
            **{name: Estimate.of([run.figures[way][name] for run in runs]) for name in runs[0].figures[way]},
            "busiest_mbit": _largest([run.carried[way] for run in runs]),
            "lost": _largest([run.dependent[way] for run in runs]),
        }
        for way in Way
    }


def _largest(places: Sequence[Floats]) -> Estimate:
    place = int(np.mean(places, axis=0).argmax())
    return Estimate.of([float(one[place]) for one in places])


def mean_behaviour(runs: Sequence[Run]) -> Behaviour:
    """Observed over all runs."""
    found = [run.behaviour for run in runs]
    return Behaviour(
        *(float(np.mean([getattr(one, name) for one in found])) for name in ("dwell", "session", "inter_arrival"))
    )
