"""All that a simulation found, as tables in tables for JSON, for a row of a sweep, and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sojourn.sim.figures import Figures
from sojourn.sim.ledger import Purpose
from sojourn.sim.protocol import ProtocolSettings, WireMode
from sojourn.sim.topology import Topology
from sojourn.wire.units import SECOND, Duration

Summary: TypeAlias = dict[str, Any]


def summary(
    figures: Figures,
    topology: Topology,
    settings: ProtocolSettings,
    *,
    seed: int,
    wire: WireMode,
    warm_up: Duration,
    duration: Duration,
    shards: int,
    failed: Sequence[Mapping[str, Any]] = (),
) -> Summary:
    """See the keys; times end in their unit, everything but the event log and the speed begins after the warm-up."""
    seconds = max(duration - warm_up, 1) / SECOND
    messages, octets = sum(figures.by_purpose), sum(figures.octets_by_purpose)
    events = figures.records + figures.messages - figures.lost + figures.alarms + figures.holds
    cpu = figures.cpu / SECOND
    return {
        "mode": settings.mode,
        "wire": wire,
        "seed": seed,
        "topology": topology.name,
        "places": len(topology.places),
        "nodes": figures.nodes,
        "seconds": seconds,
        "warm_up_s": warm_up / SECOND,
        "handovers": figures.handovers,
        "arrivals": figures.arrivals,
        "new_prefix_ms": figures.new_prefix.milliseconds(),
        "registration_ms": figures.registration.milliseconds(),
        "old_prefix_ms": figures.old_prefix.milliseconds(),
        "unregistered": figures.unregistered,
        "unrestored": figures.unrestored,
        "contacted": figures.contacted.table(),
        "anchors_at_handover": figures.anchors_at_handover.table(),
        "anchors": _share(figures.old_anchors, figures.attached),
        "messages_per_handover": figures.messages_per_handover.table(),
        "octets_per_handover": figures.octets_per_handover.table(),
        "signalling": {
            "messages": messages,
            "messages_per_s": messages / seconds,
            "messages_per_handover": _share(messages, figures.handovers),
            "octets": octets if octets else None,
            "octets_per_s": octets / seconds if octets else None,
            "octets_per_handover": _share(octets, figures.handovers) if octets else None,
            "lost": figures.lost,
            **{
                purpose.name.lower(): count
                for purpose, count in zip(Purpose, figures.by_purpose, strict=False)
                if purpose is not Purpose.SURVIVAL or settings.failures
            },
        },
        "sessions": {
            "begun": figures.sessions,
            "homeless": figures.homeless,
            "broken": figures.broken,
            "seconds": figures.session_time / SECOND,
            "tunnelled_share": _share(figures.tunnelled_time, figures.session_time),
            "direct_ms": figures.direct.milliseconds(),
            "actual_ms": figures.actual.milliseconds(),
            "stretch": _share(figures.actual.total, figures.direct.total),
        },
        **({"failures": _failures(figures)} if settings.failures else {}),
        "log": f"{figures.digest:016x}",
        "speed": {
            "events": events,
            "records": figures.records,
            "messages": figures.messages,
            "holds": figures.holds,
            "alarms": figures.alarms,
            "cpu_s": cpu,
            "events_per_cpu_s": events / cpu if cpu else None,
            "shards": shards,
            "peak_mib": figures.memory / 2**20,
        },
        "failed": list(failed),
        "by_place": _by_place(figures, topology, seconds),
    }


def _failures(figures: Figures) -> Summary:
    """What came of routers that died; see `sojourn.sim.outages`."""
    found = figures.outages
    return {
        "deaths": found.deaths,
        "takeovers": found.takeovers,
        "sessions": found.elsewhere,
        "lost": found.elsewhere_lost,
        "silence_s": found.elsewhere_silence.table(SECOND),
        "sessions_there": found.here,
        "lost_there": found.here_lost,
        "silence_there_s": found.here_silence.table(SECOND),
        "messages": figures.by_purpose[Purpose.SURVIVAL] if figures.by_purpose else 0,
    }


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _by_place(figures: Figures, topology: Topology, seconds: float) -> dict[str, list[Any]]:
    """Load of each place: columns of equal length."""
    return {
        "place": list(topology.places),
        "messages_per_s": [
            (sent + received) / seconds
            for sent, received in zip(figures.place_sent, figures.place_received, strict=True)
        ],
        "octets_per_s": [octets / seconds for octets in figures.place_octets],
        "anchored_session_s": [time / SECOND for time in figures.place_anchored],
        "served_session_s": [time / SECOND for time in figures.place_served],
        "tunnelled_session_s": [time / SECOND for time in figures.place_tunnelled],
        "tunnels": [time / SECOND / seconds for time in figures.place_tunnels],
    }
