"""Figures as metrics of Prometheus. Nothing else of sojourn knows the library.

How many lines there are is bounded by the configuration and by constants: a node, a prefix or an address of a host is
never a label. The names are a promise: dashboards and alerts of operators are made of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from prometheus_client import GCCollector, ProcessCollector
from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder

from sojourn.dataplane.tunnel_traffic import OVERHEAD, Traffic
from sojourn.telemetry import mibs
from sojourn.telemetry.figures import Figures
from sojourn.telemetry.meter import Histogram
from sojourn.wire.addresses import UNSPECIFIED, Address, text
from sojourn.wire.mobility import MESSAGES

SECURITY = "none"
"""Of tunnels: sojourn encrypts and signs nothing itself; IPsec of the machine around them is not seen."""
OTHER, ALL = "other", "all"
"""Peers that share a line, and all of them where none has a line."""
MANY = 8
"""Users with so many sessions, or more, share a line."""


class Exposition:
    """Renders what `take` answers. To be used by a thread of its own; what `take` does may raise."""

    def __init__(self, take: Callable[[], Figures]) -> None:
        self._take = take
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked for at registration."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """What the library calls."""
        return metrics(self._take())

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page, in the format that the reader understands best, and the name of that format."""
        try:
            encoder, kind = choose_encoder(accept)
        except (TypeError, ValueError):  # the library compares versions that are none
            encoder, kind = choose_encoder("")
        return encoder(self._registry), kind


def metrics(figures: Figures) -> Iterator[Metric]:
    """Everything that there is to tell."""
    yield InfoMetricFamily("sojourn_build", "Version of the daemon.", {"version": figures.version})
    yield GaugeMetricFamily("sojourn_start_time_seconds", "When the daemon started (Unix time).", figures.started)
    yield GaugeMetricFamily(
        "sojourn_healthy", "1: the daemon does its work, 0: see /health.", int(not figures.problems)
    )
    late = "How late the event loop was at worst since the last look."
    yield GaugeMetricFamily("sojourn_loop_lateness_seconds", late, figures.lateness)
    yield from _signalling(figures)
    yield from _durations(figures)
    yield from _sessions(figures)
    yield from _tunnels(figures)
    yield from _anchors(figures)
    yield from _counters(figures)
    yield from _mibs(figures)


def _signalling(figures: Figures) -> Iterator[Metric]:
    labels = ("role", "direction", "type", "peer")
    messages = CounterMetricFamily(
        "sojourn_signalling_messages", "Mobility messages that crossed the sockets, repetitions too.", labels=labels
    )
    octets = CounterMetricFamily(
        "sojourn_signalling_octets", "Octets of these messages with their IPv6 headers.", labels=labels
    )
    answers = CounterMetricFamily(
        "sojourn_acknowledgements",
        "Binding Acknowledgements by status; from 128 on a registration was refused.",
        labels=("role", "direction", "status"),
    )
    for role in figures.roles:
        sums: Counter[tuple[str, ...]] = Counter()
        sizes: Counter[tuple[str, ...]] = Counter()
        statuses: Counter[tuple[str, ...]] = Counter()
        for flow, (count, size) in role.signalling.items():
            direction = "sent" if flow.sent else "received"
            key = (role.role, direction, message_name(flow.type, flow.proxy), _peer(figures, flow.peer))
            sums[key] += count
            sizes[key] += size
            if flow.status >= 0:
                statuses[role.role, direction, str(flow.status)] += count
        for family, counts in ((messages, sums), (octets, sizes), (answers, statuses)):
            for values, count in sorted(counts.items()):
                family.add_metric(values, count)
    yield from (messages, octets, answers)


def _durations(figures: Figures) -> Iterator[Metric]:
    reactivity = HistogramMetricFamily(
        "sojourn_protocol_reactivity_seconds",
        "From the event that shows a node to the end of its session update (RFC 7333 REQ6).",
        labels=("role", "kind"),
    )
    delay = HistogramMetricFamily(
        "sojourn_handover_delay_seconds",
        "From the same event until forwarding is there again (RFC 7333 REQ6).",
        labels=("role", "kind"),
    )
    duration = HistogramMetricFamily(
        "sojourn_session_duration_seconds", "How long sessions that are over had lasted.", labels=("role",)
    )
    for role in figures.roles:
        for kind, histogram in role.reactivity.items():
            _add(reactivity, (role.role, kind), histogram)
        for kind, histogram in role.delays.items():
            _add(delay, (role.role, kind), histogram)
        if role.durations is not None:
            _add(duration, (role.role,), role.durations)
    yield from (reactivity, delay, duration)


def _sessions(figures: Figures) -> Iterator[Metric]:
    sessions = GaugeMetricFamily("sojourn_sessions", "Prefixes that are forwarded for nodes.", labels=("role",))
    age = GaugeMetricFamily(
        "sojourn_session_age_mean_seconds", "How long these have lasted, on average.", labels=("role",)
    )
    users = GaugeMetricFamily("sojourn_users", "Nodes that have so many sessions.", labels=("role", "sessions"))
    nodes = GaugeMetricFamily("sojourn_nodes", "Nodes that the role knows.", labels=("role",))
    waits = GaugeMetricFamily("sojourn_store_awaited", "1: a shared store has not answered yet.", labels=("role",))
    for role in figures.roles:
        nodes.add_metric((role.role,), role.nodes)
        waits.add_metric((role.role,), int(role.awaits_store))
        if role.durations is None:
            continue
        sessions.add_metric((role.role,), role.sessions)
        age.add_metric((role.role,), role.session_seconds / role.sessions if role.sessions else 0.0)
        classes: Counter[int] = Counter()
        for number, count in role.users.items():
            classes[min(number, MANY)] += count
        for number in range(1, MANY + 1):
            users.add_metric((role.role, str(number) if number < MANY else f"{MANY}+"), classes[number])
    yield from (sessions, age, users, nodes, waits)


def _tunnels(figures: Figures) -> Iterator[Metric]:
    tunnels = GaugeMetricFamily(
        "sojourn_tunnels",
        "Far ends that packets of nodes are tunnelled to.",
        labels=("role", "encapsulation", "security"),
    )
    labels = ("role", "direction", "peer")
    packets = CounterMetricFamily("sojourn_tunnel_packets", "Tunnelled packets, as the kernel counts.", labels=labels)
    octets = CounterMetricFamily("sojourn_tunnel_octets", "Octets of these with their outer headers.", labels=labels)
    overhead = CounterMetricFamily("sojourn_tunnel_overhead_octets", "Octets of outer headers.", labels=labels)
    for role in figures.roles:
        if role.encapsulation:
            tunnels.add_metric((role.role, role.encapsulation, SECURITY), role.tunnels)
        for peer, traffic in sorted((role.traffic or {}).items(), key=lambda pair: pair[0] or b""):
            name = ALL if peer is None else _peer(figures, peer)
            for direction, (count, size) in zip(Traffic._fields, traffic, strict=True):
                packets.add_metric((role.role, direction, name), count)
                octets.add_metric((role.role, direction, name), size)
                overhead.add_metric((role.role, direction, name), OVERHEAD * count)
    yield from (tunnels, packets, octets, overhead)


def _anchors(figures: Figures) -> Iterator[Metric]:
    """Who is the anchor, where more than one machine can be it."""
    labels = ("anchor",)
    active = GaugeMetricFamily("sojourn_anchor_active", "1: this machine is the LMA, 0: it stands by.", labels=labels)
    epoch = GaugeMetricFamily("sojourn_anchor_epoch", "How often the LMA's lease changed hands.", labels=labels)
    alive = GaugeMetricFamily(
        "sojourn_anchor_partner_alive", "1: the other machine of the pair is heard.", labels=labels
    )
    taken = CounterMetricFamily(
        "sojourn_anchor_takeovers", "How often this machine became the LMA, its start included.", labels=labels
    )
    retired = CounterMetricFamily(
        "sojourn_anchor_retirements", "How often it found that it is the LMA no longer.", labels=labels
    )
    if (seat := figures.seat) is not None:
        label = (text(seat.anchor),)
        active.add_metric(label, int(seat.active))
        epoch.add_metric(label, seat.epoch)
        taken.add_metric(label, seat.taken)
        retired.add_metric(label, seat.retired)
        if seat.partner_alive is not None:
            alive.add_metric(label, int(seat.partner_alive))
    held = GaugeMetricFamily(
        "sojourn_pool_held",
        "1: this router holds the pool of an anchor that it is partner of.",
        labels=("role", *labels),
    )
    for role in figures.roles:
        for anchor, holds in role.pools_held.items():
            held.add_metric((role.role, _peer(figures, anchor)), int(holds))
    yield from (active, epoch, alive, taken, retired, held)


def _counters(figures: Figures) -> Iterator[Metric]:
    events = CounterMetricFamily(
        "sojourn_events",
        "All that the daemon counts, as `sojourn show counters` tells it.",
        labels=("role", "part", "name"),
    )
    for role in figures.roles:
        for name, count in role.counters.items():
            part, _, rest = name.partition(":")
            events.add_metric((role.role, part, rest), count)
    yield events


def _mibs(figures: Figures) -> Iterator[Metric]:
    found: dict[str, CounterMetricFamily] = {}
    for role in figures.roles:
        for one, value in mibs.values(role):
            if one.name not in found:
                found[one.name] = CounterMetricFamily(one.name, mibs.help_text(one), labels=("role",))
            found[one.name].add_metric((role.role,), value)
    yield from found.values()


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], histogram: Histogram) -> None:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*histogram.bounds, None), histogram.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound is None else str(bound), float(total)))
    family.add_metric(labels, buckets, histogram.sum)


def _peer(figures: Figures, peer: Address) -> str:
    if peer == UNSPECIFIED:
        return OTHER
    return figures.names.get(peer) or text(peer)


@lru_cache(maxsize=512)
def message_name(number: int, proxy: bool) -> str:
    """``proxy-binding-update``: the message of that MH Type, as the RFCs call it."""
    try:
        name = MESSAGES[number].__name__
    except KeyError:
        return f"type-{number}"
    return ("proxy-" if proxy else "") + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
