"""The picture of a walk: what of each flow arrived when, with the moves and the anchors.

One lane for every flow, in the order in which they began. A stream shows every packet as a thin line,
above for those to the host and below for those from it, and a lost one in red; an exchange shows how
long each line took to come back; a download shows its rate. The band on top says where the host was. All
colours are told apart by people who see colours differently (Okabe and Ito).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sojourn.lab.measure import delivered
from sojourn.lab.traffic import Direction, FlowRecord
from sojourn.wire.units import MILLISECOND, SECOND, Instant

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#F0E442")
LOST = "#D55E00"
_BUCKET = 100 * MILLISECOND
_MOST_LANES = 14


@dataclass(frozen=True, slots=True)
class Stay:
    """The host was at a router."""

    router: str
    start: Instant
    end: Instant


@dataclass(frozen=True, slots=True)
class Lane:
    """One flow of the picture."""

    record: FlowRecord
    title: str
    anchor: str


def draw_timeline(path: Path, title: str, stays: Sequence[Stay], lanes: Sequence[Lane], routers: Sequence[str]) -> None:
    """Draw into `path`, a PNG. Needs matplotlib."""
    import matplotlib.pyplot as plt

    lanes = [lane for lane in lanes if lane.record.first_sent][:_MOST_LANES]
    colours = {router: PALETTE[index % len(PALETTE)] for index, router in enumerate(routers)}
    start = stays[0].start
    heights = [0.5, *(1.0 for _ in lanes)]
    figure, axes = plt.subplots(
        len(lanes) + 1, 1, sharex=True, figsize=(11, 1.2 + 0.92 * len(lanes)), squeeze=False,
        gridspec_kw={"height_ratios": heights, "hspace": 0.16},
    )  # fmt: skip
    rows = [row[0] for row in axes]
    _draw_stays(rows[0], stays, colours, start)
    for axis, lane in zip(rows[1:], lanes, strict=True):
        _draw_lane(axis, lane, colours.get(lane.anchor, "#555555"), start)
        for stay in stays[1:]:
            axis.axvline((stay.start - start) / SECOND, color="#333333", linewidth=0.8, linestyle=(0, (3, 2)))
    rows[-1].set_xlabel("seconds")
    rows[-1].set_xlim(0, (stays[-1].end - start) / SECOND)
    rows[0].set_title(title, loc="left", fontsize=12, pad=10)
    figure.savefig(path, dpi=110, bbox_inches="tight", facecolor="white")
    plt.close(figure)


def _draw_stays(axis: Any, stays: Sequence[Stay], colours: dict[str, str], start: Instant) -> None:
    for stay in stays:
        begin, end = (stay.start - start) / SECOND, (stay.end - start) / SECOND
        axis.barh(0, end - begin, left=begin, height=1, color=colours[stay.router], edgecolor="white")
        axis.text((begin + end) / 2, 0, f"at {stay.router}", ha="center", va="center", fontsize=9, color="white")
    axis.set_ylim(-0.5, 0.5)
    _plain(axis)


def _draw_lane(axis: Any, lane: Lane, colour: str, start: Instant) -> None:
    record = lane.record
    if record.kind == "stream":
        note = _draw_stream(axis, record, colour, start)
    elif record.kind == "exchange":
        note = _draw_exchange(axis, record, colour, start)
    else:
        note = _draw_download(axis, record, colour, start)
    if record.outcome not in ("complete", "running", "stopped"):
        axis.axvline((record.ended - start) / SECOND, color=LOST, linewidth=2)
        note += f", {record.outcome}"
    label = f"{lane.title}\nvia {lane.anchor}"
    axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8.5, color=colour, labelpad=8)
    axis.text(1.005, 0.5, note, transform=axis.transAxes, ha="left", va="center", fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(axis="x", length=0)


def _draw_stream(axis: Any, record: FlowRecord, colour: str, start: Instant) -> str:
    lost = 0
    for direction, low, high in ((record.down, 0.06, 1.0), (record.up, -1.0, -0.06)):
        came = [(at - start) / SECOND for at, received in _packets(direction) if received]
        gone = [(at - start) / SECOND for at, received in _packets(direction) if not received]
        lost += len(gone)
        axis.vlines(came, low, high, color=colour, linewidth=0.35, alpha=0.55)
        axis.vlines(gone, low, high, color=LOST, linewidth=1.6)
    axis.set_ylim(-1.1, 1.1)
    axis.set_yticks([-0.5, 0.5], ["up", "down"], fontsize=7)
    sent = len(record.down.sent) + len(record.up.sent)
    return f"{lost} of {sent}\npackets lost"


def _packets(direction: Direction) -> list[tuple[Instant, Instant]]:
    return list(zip(direction.sent, direction.received, strict=True))


def _draw_exchange(axis: Any, record: FlowRecord, colour: str, start: Instant) -> str:
    pairs = [(at, came) for at, came in _packets(record.up) if came]
    times = [(at - start) / SECOND for at, _ in pairs]
    took = [(came - at) / MILLISECOND for at, came in pairs]
    axis.vlines(times, 0, took, color=colour, linewidth=0.8)
    axis.plot(times, took, ".", color=colour, markersize=2.5)
    axis.set_ylim(0, max(took, default=1) * 1.15)
    axis.tick_params(axis="y", labelsize=7)
    axis.text(0.004, 0.93, "ms", transform=axis.transAxes, fontsize=7, va="top")
    return f"longest {max(took, default=0):.0f} ms"


def _draw_download(axis: Any, record: FlowRecord, colour: str, start: Instant) -> str:
    rates = delivered(record, _BUCKET)
    times = [(at - start) / SECOND for at, _ in rates]
    axis.fill_between(times, [rate / 1000 for _, rate in rates], step="post", color=colour, alpha=0.6, linewidth=0)
    axis.set_ylim(0, 1.15 * max((rate / 1000 for _, rate in rates), default=1))
    axis.tick_params(axis="y", labelsize=7)
    axis.text(0.004, 0.93, "kB/s", transform=axis.transAxes, fontsize=7, va="top")
    total = record.arrivals[-1][1] if record.arrivals else 0
    state = "checksum right" if record.intact else f"of {record.octets / 1e6:.1f} MB"
    return f"{total / 1e6:.1f} MB\n{state}"


def _plain(axis: Any) -> None:
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.tick_params(axis="x", length=0)
