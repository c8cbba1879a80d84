"""Numbers and circumstances as people read them."""

from __future__ import annotations

import math

from sojourn.evaluation.estimate import Estimate
from sojourn.evaluation.study import Study


def number(value: float, digits: int = 3) -> str:
    """Three significant digits, with thousands apart: ``0.0431``, ``12.3``, ``1,230``; ``-`` where there is none."""
    if math.isnan(value):
        return "-"
    if value == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    return f"{rounded:,.{max(places, 0)}f}"


def compact(value: float) -> str:
    """At most seven characters: ``12.3``, ``1,230``, ``12.3k``, ``4.56M``."""
    for limit, unit, letter in ((1e4, 1.0, ""), (1e6, 1e3, "k")):
        if not abs(value) >= limit:
            return number(value / unit) + letter
    return f"{number(value / 1e6)}M"


def exact(value: float) -> str:
    """The same without zeros behind the point: ``2``, ``0.5``."""
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: float) -> str:
    """``12 %``; ``0.4 %`` below one."""
    if 0 < share < 0.0005:
        return "under 0.1 %"
    return f"{100 * share:.1f} %" if 0 < share < 0.0995 else f"{100 * share:.0f} %"


def time(seconds: float) -> str:
    """Seconds in the unit that suits."""
    for limit, unit, name in ((90, 1, "s"), (3599, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{exact(seconds / unit)} {name}"
    return f"{exact(seconds / 86_400)} d"


def rate(mbit: float) -> str:
    """Mbit/s in the unit that suits."""
    for limit, unit, name in ((1.0, 0.001, "kbit/s"), (1000.0, 1.0, "Mbit/s")):
        if mbit < limit:
            return f"{number(mbit / unit)} {name}"
    return f"{number(mbit / 1000)} Gbit/s"


_INVISIBLE = 5e-4


def interval(estimate: Estimate) -> str:
    """The mean with its 95 % interval: ``12.3 ± 0.4``; without one that is too narrow to see."""
    if math.isnan(estimate.half) or estimate.half < _INVISIBLE * abs(estimate.mean):
        return number(estimate.mean)
    return f"{number(estimate.mean)} ± {number(estimate.half, 2)}"


def circumstances(study: Study) -> str:
    """Parameters, runs and seeds of a study in one sentence, for captions."""
    behaviour, runs = study.behaviour, len(study.runs)
    seeds = f"seeds {', '.join(map(str, study.seeds))}" if runs > 1 else f"seed {study.seeds[0]}"
    return (
        f"{study.name}: {len(study.topology.places)} places, {study.nodes:,} nodes for {time(study.window)}, dwell "
        f"time {time(behaviour.dwell)}, sessions of {time(behaviour.session)} every {time(behaviour.inter_arrival)}, "
        f"central node at {study.place(study.assumptions.central)} ({study.placement}); {runs} "
        f"run{'s' if runs > 1 else ''}, {seeds}."
    )


def confidence(study: Study, what: str) -> str:
    """What the bands or bars of a picture are."""
    return f" {what}: 95 % confidence over the runs." if len(study.runs) > 1 else ""
