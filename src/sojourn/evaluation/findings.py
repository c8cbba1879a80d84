"""What the figures mean, in plain words, for somebody who has to decide; where distribution loses as well.

Each finding has a sign: distribution gains, loses, or it makes no difference. The first two sentences of a report are
made from the signs: `answer`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sojourn.evaluation.checks import checks, observed, steady
from sojourn.evaluation.estimate import Estimate
from sojourn.evaluation.models import breakeven, delivery
from sojourn.evaluation.replay import Segments
from sojourn.evaluation.study import Study
from sojourn.evaluation.ways import Way, distances
from sojourn.evaluation.words import exact, interval, number, percent, rate, time

_MUCH_LESS = 0.5
"""A load or a loss of at most this share of the central anchor's is a gain."""
_ALIKE = 1.1
"""Quantities within 10 % of each other are the same."""
_FORMULA_OFF = 0.15


class Sign(StrEnum):
    """What distribution does to a quantity."""

    GAINS = "gains"
    LOSES = "loses"
    SAME = "even"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know."""

    topic: str
    sign: Sign
    sentence: str

    @property
    def heading(self) -> str:
        """``Delay, gains``."""
        return self.topic.capitalize() + (f", {self.sign.value}" if self.sign is not Sign.NOTE else "")


def answer(found: Sequence[Finding]) -> str:
    """The answer to the question whether distribution pays, in two or three sentences."""
    signs = {one.topic: one.sign for one in found}
    gains = [_GAINS[topic] for topic in _GAINS if signs.get(topic) is Sign.GAINS]
    losses = [_LOSSES[topic] for topic in _LOSSES if signs.get(topic) is Sign.LOSES]
    if signs.get("delay") is Sign.GAINS:
        first = "Yes: distributed mobility pays in this network. It " + _joined(gains) + "."
    elif gains:
        verb = "costs delay" if signs.get("delay") is Sign.LOSES else "makes next to no difference"
        first = f"Not for delay: distribution {verb} here. It {_joined(gains)}; whether that pays is for you to weigh."
    else:
        first = "No: distributed mobility does not pay in this network."
    return first + (f" It {_joined(losses)}." if losses else "")


_GAINS = {
    "delay": "shortens the way of packets",
    "handover": "shortens the interruption by a move",
    "load": "spares you a router that carries everything",
    "state": "spares you a router that knows every node's tunnel",
    "failure": "loses a fraction of the sessions where a central anchor would lose all",
    "signalling": "needs fewer messages",
}
_LOSSES = {
    "signalling": "costs more signalling",
    "handover": "interrupts old sessions for longer at a move",
    "state": "needs more tunnel entries in all",
}


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def findings(study: Study) -> list[Finding]:
    """All of them, the most important first."""
    return [
        _delay(study), *_edge(study), *_drift(study), _untouched(study), _handover(study), _signalling(study),
        *_break_even(study), _database(study), _load(study), _state(study), _failure(study), _relocation(study),
        _host(study), *_placement(study), *_validity(study),
    ]  # fmt: skip


# --- the way of packets -----------------------------------------------------------------------------------------------


def _saved(study: Study) -> Estimate:
    """ms that old anchors save over the central one, run by run."""
    return Estimate.of(
        [run.figures[Way.CENTRAL]["delay_ms"] - run.figures[Way.PROXY]["delay_ms"] for run in study.runs]
    )


def _delay(study: Study) -> Finding:
    saved, worth = _saved(study), study.assumptions.worthwhile
    central, old = study.mean(Way.CENTRAL, "delay_ms"), study.mean(Way.PROXY, "delay_ms")
    direct = study.mean(Way.RELOCATION, "delay_ms")
    figures = (
        f"one way {number(central)} ms through the central anchor, {number(old)} ms through old anchors, "
        f"{number(direct)} ms on the shortest path"
    )
    where = {"best": "at the best place", "worst": "at the worst place", "given": "where you put it"}[study.placement]
    anchor = f"the central anchor {where} ({study.place(study.assumptions.central)})"
    if abs(saved.mean) < worth:
        verb = f"saves only {number(saved.mean)} ms" if saved.mean >= 0 else f"costs {number(-saved.mean)} ms"
        return Finding(
            "delay",
            Sign.SAME,
            f"Against {anchor} distribution {verb} of delay: not worth it for delay. It is {figures}.",
        )
    verb, sign = ("saves", Sign.GAINS) if saved.mean > 0 else ("costs", Sign.LOSES)
    amount = interval(Estimate(abs(saved.mean), saved.half))
    return Finding("delay", sign, f"Against {anchor} distribution {verb} {amount} ms of delay: {figures}.")


def _edge(study: Study) -> Iterator[Finding]:
    """From which share of edge traffic on it would pay."""
    worth = study.assumptions.worthwhile
    central, old = (study.edge_added[study.placement, way] for way in (Way.CENTRAL, Way.PROXY))
    far, near = (float(np.mean(one) - np.mean(other)) for one, other in zip(central, old, strict=True))
    now = f"now {percent(study.edge_now)}"
    if far < worth <= near:
        share = (worth - far) / (near - far)
        sentence = f"From {percent(share)} of traffic served at the edge on ({now}) it saves {exact(worth)} ms or more."
    elif max(far, near) < worth:
        sentence = (
            f"Were all traffic served at the edge ({now}), it would save {number(near)} ms: less than the "
            f"{exact(worth)} ms that are worth it."
        )
    else:
        sentence = (
            f"It saves {number(far)} ms without and {number(near)} ms with all traffic served at the edge ({now})."
        )
    yield Finding("edge", Sign.NOTE, sentence)


def _drift(study: Study) -> Iterator[Finding]:
    """Ways through old anchors that are longer than through the central one, and when they are in the mean."""
    longer = study.mean(Way.PROXY, "longer_than_central")
    if longer < 0.005:
        return
    sentence = (
        f"For {percent(longer)} of session time the way through the old anchor is longer than through the central one: "
        "nodes that moved far from where a session began, or correspondents near the central anchor."
    )
    limit = delivery.break_even_share(_mean_distances(study), 1, 0)
    if limit is not None and 0 < limit < 1:
        sentence += (
            f" If more than {percent(limit)} of session time were tunnelled (now "
            f"{percent(study.mean(Way.PROXY, 'tunnelled'))}), the central anchor would be the shorter way in the "
            "mean."
        )
    yield Finding("drift", Sign.NOTE, sentence)


def _mean_distances(study: Study) -> delivery.Distances:
    """In ms, over all runs: old sessions for the way through anchors, all for the others."""
    distance, central = distances(study.topology), study.assumptions.central
    parts = [run.counted.segments for run in study.runs]
    whole = Segments(*(np.concatenate([getattr(one, name) for one in parts]) for name in _COLUMNS))
    away = whole.anchor != whole.serving
    old = Segments(*(getattr(whole, name)[away] for name in _COLUMNS))

    def mean(values: np.ndarray, of: Segments) -> float:
        return float(np.average(values, weights=of.seconds)) if len(values) else 0.0

    return delivery.Distances(
        correspondent_central=mean(distance[whole.peer, central], whole),
        central_access=mean(distance[central, whole.serving], whole),
        correspondent_serving=mean(distance[whole.peer, whole.serving], whole),
        correspondent_anchor=mean(distance[old.peer, old.anchor], old),
        anchor_serving=mean(distance[old.anchor, old.serving], old),
    )


_COLUMNS = ("peer", "anchor", "serving", "seconds")


def _untouched(study: Study) -> Finding:
    share = 1 - study.mean(Way.PROXY, "tunnelled")
    return Finding(
        "tunnels", Sign.NOTE,
        f"{percent(share)} of session time needs no mobility at all: without a central anchor its packets take the "
        "shortest way and no tunnel.",
    )  # fmt: skip


# --- moves ------------------------------------------------------------------------------------------------------------


def _handover(study: Study) -> Finding:
    central, proxy = (study.mean(way, "restored_ms") for way in (Way.CENTRAL, Way.PROXY))
    others = ", ".join(
        f"{way.value} {number(study.mean(way, 'restored_ms'))}" for way in (Way.LOCATOR, Way.RELAY, Way.DIRECT)
    )
    sentence = (
        f"Signalling interrupts old sessions for {number(proxy)} ms at a move in proxy mode ({others}), a central "
        f"anchor for {number(central)} ms. New sessions wait for nobody; with a central anchor they wait as long as "
        "old ones."
    )
    difference = proxy - central
    sign = Sign.SAME
    if abs(difference) >= study.assumptions.worthwhile:
        sign = Sign.LOSES if difference > 0 else Sign.GAINS
    return Finding("handover", sign, sentence)


def _signalling(study: Study) -> Finding:
    proxy, central = (study.mean(way, "messages") for way in (Way.PROXY, Way.CENTRAL))
    per_second = [study.scale * study.mean(way, "messages_per_second") for way in (Way.PROXY, Way.CENTRAL)]
    octets = [study.scale * study.mean(way, "octets_per_second") / 1000 for way in (Way.PROXY, Way.CENTRAL)]
    sentence = (
        f"sojourn in proxy mode sends {number(proxy)} messages for each handover, PMIPv6 {exact(central)}: "
        f"{number(per_second[0])} against {number(per_second[1])} messages ({number(octets[0])} against "
        f"{number(octets[1])} kB) a second for {study.population:,} nodes. Fewer than 8 are hardly possible: the "
        "router just left is always told (2 + 2), and each old prefix retires with 4."
    )
    return Finding("signalling", _sign(proxy, central), sentence)


def _sign(distributed: float, central: float) -> Sign:
    if distributed > central * _ALIKE:
        return Sign.LOSES
    return Sign.GAINS if distributed < central / _ALIKE else Sign.SAME


def _break_even(study: Study) -> Iterator[Finding]:
    """For messages as they are drawn, with session lengths and stays of the laws that were observed."""
    laws, behaviour = observed(study.runs[0]), study.behaviour
    for way, names in (
        (Way.PROXY, "As RFC 8885 draws them, proxy and relay mode"),
        (Way.DIRECT, "Routers that ask each other"),
    ):
        longer = breakeven.session_factor(laws.anchors_at_handover, way.value)
        shorter = breakeven.stay_factor(laws.anchors_at_handover, way.value)
        now = f"{names} send {number(study.mean(way, 'drawn_messages'))} messages for each handover, PMIPv6 4."
        if longer is None:
            yield Finding("break-even", Sign.NOTE, now)
            continue
        sessions = f"with sessions of more than {time(longer * behaviour.session)} (now {time(behaviour.session)})"
        stays = (
            f"with stays of less than {time(shorter * behaviour.dwell)} (now {time(behaviour.dwell)})"
            if shorter is not None
            else f"not for any dwell time, as a node has {number(behaviour.rho)} sessions at a time"
        )
        yield Finding("break-even", Sign.NOTE, f"{now} They send more {sessions}, and {stays}.")


def _database(study: Study) -> Finding:
    rate_of_all = study.scale * study.mean(Way.PROXY, "busiest_messages_per_second")
    limit = breakeven.nodes_per_core(rate_of_all / study.population, study.assumptions.message_cost / 1e6)
    return Finding(
        "database", Sign.NOTE,
        f"All signalling passes the central database, {number(rate_of_all)} messages a second, and no user packet. "
        f"At {exact(study.assumptions.message_cost)} us for a message one processor core is enough for "
        f"{number(limit)} such nodes.",
    )  # fmt: skip


# --- routers ----------------------------------------------------------------------------------------------------------


def _load(study: Study) -> Finding:
    scale = study.scale
    central, old = (scale * study.mean(way, "busiest_mbit") for way in (Way.CENTRAL, Way.PROXY))
    sign = Sign.GAINS if old <= _MUCH_LESS * central else Sign.SAME
    return Finding(
        "load", sign,
        f"A central anchor carries {rate(central)}, all there is; the busiest router with old anchors {rate(old)}, "
        f"{percent(old / central)} of it.",
    )  # fmt: skip


def _state(study: Study) -> Finding:
    names = ("entries", "busiest_entries")
    central, old = ([study.scale * study.mean(way, name) for name in names] for way in (Way.CENTRAL, Way.PROXY))
    sentence = (
        f"With old anchors the busiest router keeps {number(old[1])} tunnel entries and the whole domain "
        f"{number(old[0])}; with a central anchor it is {number(central[1])} at the anchor and {number(central[0])} "
        "in all."
    )
    sign = Sign.GAINS if old[1] <= _MUCH_LESS * central[1] else Sign.SAME
    return Finding("state", Sign.LOSES if old[0] > _ALIKE * central[0] else sign, sentence)


def _failure(study: Study) -> Finding:
    outage = study.outage
    router, later = study.mean(Way.PROXY, "lost"), outage.database[-1].mean
    return Finding(
        "failure", Sign.GAINS if router <= _MUCH_LESS else Sign.SAME,
        "When the central anchor dies, all sessions break. When the router on which most sessions depend dies "
        f"({study.place(outage.place)}), {percent(router)} do. When the database dies, none breaks at once, and "
        f"{percent(later)} are broken after {time(float(outage.seconds[-1]))}, those whose nodes moved; what is new "
        "works.",
    )  # fmt: skip


# --- other ways -------------------------------------------------------------------------------------------------------


def _relocation(study: Study) -> Finding:
    routers = len(study.topology.attachable())
    updates = study.scale * study.mean(Way.RELOCATION, "messages_per_second") / routers
    routes = study.scale * study.mean(Way.RELOCATION, "busiest_entries")
    saved = study.mean(Way.PROXY, "added_ms")
    return Finding(
        "relocation", Sign.NOTE,
        f"Moving prefixes with their nodes (RFC 8818) makes every way the shortest ({number(saved)} ms less than old "
        f"anchors), for {number(updates)} route updates a second in each of {routers} routers and {number(routes)} "
        "routes more in each.",
    )  # fmt: skip


def _host(study: Study) -> Finding:
    per_hour = 3600 / study.behaviour.dwell * study.mean(Way.HOST, "messages")
    longer = study.mean(Way.HOST, "restored_ms") - study.mean(Way.PROXY, "restored_ms")
    return Finding(
        "host", Sign.NOTE,
        f"With bindings kept by hosts, each sends and receives {number(per_hour)} messages an hour over its wireless "
        f"link, old sessions wait {number(abs(longer))} ms {'more' if longer >= 0 else 'less'} than in proxy "
        "mode, and the tunnel's 40 octets per packet are on the air for "
        f"{percent(study.mean(Way.HOST, 'tunnelled'))} of traffic. Hosts need software.",
    )  # fmt: skip


def _placement(study: Study) -> Iterator[Finding]:
    for placement in study.placements:
        if placement.rule == study.placement or placement.place == study.assumptions.central:
            continue
        saved = placement.figures[Way.CENTRAL]["delay_ms"].mean - placement.figures[Way.PROXY]["delay_ms"].mean
        wait = placement.figures[Way.CENTRAL]["restored_ms"].mean
        verb = "saves" if saved >= 0 else "costs"
        yield Finding(
            "placement", Sign.NOTE,
            f"Against a central anchor at the {placement.rule} place ({study.place(placement.place)}) distribution "
            f"{verb} {number(abs(saved))} ms of delay; a move then interrupts for {number(wait)} ms with that anchor.",
        )  # fmt: skip


def _validity(study: Study) -> Iterator[Finding]:
    """How far the closed forms hold here."""
    if not steady(study.behaviour, study.window):
        yield Finding(
            "validity", Sign.NOTE,
            f"The {time(study.window)} that were looked at are short for sessions of {time(study.behaviour.session)} "
            f"and stays of {time(study.behaviour.dwell)}: old anchors may still have been growing. A longer duration "
            "or warm-up shows.",
        )  # fmt: skip
    old = next(check for check in checks(study) if "old anchors" in check.name)
    if old.counted.mean and abs(old.exponential / old.counted.mean - 1) > _FORMULA_OFF:
        yield Finding(
            "validity", Sign.NOTE,
            f"The closed form for exponential times expects {number(old.exponential)} old anchors "
            f"({number(old.general)} with the laws observed), the moves have {number(old.counted.mean)}: times are "
            "not exponential here, or nodes come back to anchors that they still have. The tables hold what was "
            "counted.",
        )  # fmt: skip
