"""Closed forms, the count on the real moves, and the engines side by side: how far to trust which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sojourn.evaluation.comparison import Run
from sojourn.evaluation.estimate import Estimate
from sojourn.evaluation.models import anchors, signalling
from sojourn.evaluation.models.mobility import Behaviour
from sojourn.evaluation.models.observed import Observed
from sojourn.evaluation.study import Study
from sojourn.evaluation.ways import Way
from sojourn.wire.units import SECOND


@dataclass(frozen=True, slots=True)
class Check:
    """One quantity."""

    name: str
    exponential: float
    """By the closed form for exponential times of the observed means."""
    general: float
    """By the closed form for the observed laws."""
    counted: Estimate
    engines: Estimate | None


def checks(study: Study) -> list[Check]:
    """For proxy mode, whose engines are the default."""
    behaviour = study.behaviour
    kappa, rho, mu = behaviour.kappa, behaviour.rho, behaviour.mu
    hold = study.assumptions.settings.idle_hold / SECOND
    old, left = anchors.old_anchors(kappa, rho), anchors.left_in_use(kappa, rho)
    laws = [observed(run) for run in study.runs]
    general_old = float(np.mean([one.old_anchors() for one in laws]))
    general_left = float(np.mean([one.left_in_use() for one in laws]))
    told = anchors.contacted(kappa, rho, mu, hold)
    general_told = 1 + general_old + mu * hold
    simulated = study.simulated.get(Way.PROXY, {})
    share = anchors.tunnelled_share_exponential(kappa)
    general_share = float(np.mean([one.tunnelled() for one in laws]))
    counted = _counted(study.runs)

    def check(name: str, key: str, exponential: float, general: float) -> Check:
        return Check(name, exponential, general, counted[key], simulated.get(key))

    return [
        check("traffic tunnelled", "tunnelled", share, general_share),
        check("old anchors of a node, in use", "anchors", old, general_old),
        check("prefixes in use at a handover", "in_use", old + left, general_old + general_left),
        check("routers told at a handover", "contacted", told, general_told),
        check(
            "messages per handover", "messages",
            signalling.sojourn_relay_or_proxy(told), signalling.sojourn_relay_or_proxy(general_told),
        ),
    ]  # fmt: skip


def observed(run: Run) -> Observed:
    """The laws of one run: complete sessions and stays, and those that the window cut as far as they were seen."""
    sessions, stays = run.counted.sessions, run.counted.stays
    return Observed.of(sessions.end - sessions.begin, stays.end - stays.begin, run.behaviour.inter_arrival)


def steady(behaviour: Behaviour, window: float) -> bool:
    """Whether the window is long enough for means to settle: several sessions and stays one after the other."""
    return window >= 5 * max(behaviour.session, behaviour.dwell)


def _counted(runs: Sequence[Run]) -> dict[str, Estimate]:
    moves = [run.counted.handovers for run in runs]
    return {
        "tunnelled": Estimate.of([run.counted.tunnelled for run in runs]),
        "anchors": Estimate.of([run.counted.mean_old_anchors for run in runs]),
        "in_use": Estimate.of([len(one.in_use.place) / len(one) for one in moves]),
        "contacted": Estimate.of([len(one.held.place) / len(one) for one in moves]),
        "messages": Estimate.of([run.figures[Way.PROXY]["messages"] for run in runs]),
    }
