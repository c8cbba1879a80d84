"""The picture of a soak with faults: what was broken when, what was lost, and how much memory the daemons took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sojourn.lab.faults import Fault, Kind
from sojourn.lab.report_timeline import LOST, PALETTE
from sojourn.lab.soak_excuses import Lost
from sojourn.lab.traffic import FlowRecord
from sojourn.lab.vitals import RIPE, Look
from sojourn.wire.units import SECOND, Instant

_COLOURS: dict[Kind, str] = {"kill": LOST, "freeze": PALETTE[0], "clock": PALETTE[3], "refuse": PALETTE[5]}
_LINKS = PALETTE[1]
_BUCKETS = 300
"""Of the time axis, for what was lost."""


def draw_soak(
    path: Path,
    title: str,
    nodes: Sequence[str],
    faults: Sequence[Fault],
    streams: Sequence[FlowRecord],
    lost: Sequence[Lost],
    looks: Sequence[Look],
    began: Instant,
    ended: Instant,
) -> None:
    """Draw into `path`, a PNG. Needs matplotlib."""
    import matplotlib.pyplot as plt

    figure, (broken, packets, memory) = plt.subplots(
        3, 1, sharex=True, figsize=(11, 3.6 + 0.22 * len(nodes)),
        gridspec_kw={"height_ratios": [max(1.0, 0.16 * len(nodes)), 1, 1], "hspace": 0.16},
    )  # fmt: skip
    _draw_faults(broken, nodes, faults, began)
    _draw_lost(packets, streams, lost, began, ended)
    _draw_memory(memory, nodes, looks, began)
    for axis in (broken, packets, memory):
        axis.spines[["top", "right"]].set_visible(False)
        handles, _ = axis.get_legend_handles_labels()
        if handles:
            axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    memory.set_xlabel("seconds")
    memory.set_xlim(0, (ended - began) / SECOND)
    broken.set_title(title, loc="left", fontsize=12, pad=10)
    figure.savefig(path, dpi=110, bbox_inches="tight", facecolor="white")
    plt.close(figure)


def _draw_faults(axis: Any, nodes: Sequence[str], faults: Sequence[Fault], began: Instant) -> None:
    """A bar for each, in the line of its node; those of hosts without a daemon have none."""
    named: set[str] = set()
    for fault in faults:
        if fault.node not in nodes:
            continue
        words = fault.kind if fault.of_daemon else "link"
        axis.barh(
            nodes.index(fault.node), (fault.healed - fault.began) / SECOND, left=(fault.began - began) / SECOND,
            height=0.8, color=_COLOURS.get(fault.kind, _LINKS), label=None if words in named else words,
        )  # fmt: skip
        named.add(words)
    axis.set_yticks(range(len(nodes)), nodes, fontsize=8)
    axis.set_ylim(len(nodes) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)


def _draw_lost(axis: Any, streams: Sequence[FlowRecord], lost: Sequence[Lost], began: Instant, ended: Instant) -> None:
    """Of all judged streams together, and a mark for each burst without an excuse."""
    width = max((ended - began) // _BUCKETS, 1)
    count = Counter(
        (sent - began) // width
        for record in streams
        for way in (record.up, record.down)
        for sent, received in zip(way.sent, way.received, strict=True)
        if not received and began <= sent < ended
    )
    places = sorted(count)
    axis.bar(
        [place * width / SECOND for place in places], [count[place] for place in places], width=width / SECOND,
        align="edge", color="#999999", label="with an excuse",
    )  # fmt: skip
    if lost:
        axis.plot(
            [(one.first - began) / SECOND for one in lost], [one.packets for one in lost], "o", color=LOST,
            markersize=4, label="without",
        )  # fmt: skip
    axis.set_ylabel("packets lost")
    axis.set_ylim(bottom=0)


def _draw_memory(axis: Any, nodes: Sequence[str], looks: Sequence[Look], began: Instant) -> None:
    """Of lives that are old enough; a new life begins a new line."""
    for index, node in enumerate(nodes):
        times: list[float] = []
        megabytes: list[float] = []
        pid = 0
        for look in looks:
            if look.node != node or look.age < RIPE or look.at < began:
                continue
            if look.pid != pid and times:
                times.append(float("nan"))
                megabytes.append(float("nan"))
            pid = look.pid
            times.append((look.at - began) / SECOND)
            megabytes.append(look.memory / 1e6)
        axis.plot(times, megabytes, "-o", markersize=1.5, linewidth=1, color=PALETTE[index % len(PALETTE)], label=node)
    axis.set_ylabel("memory, MB")
    axis.set_ylim(0, 1.25 * max(axis.get_ylim()[1], 1.0))
