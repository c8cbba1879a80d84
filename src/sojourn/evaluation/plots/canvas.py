"""Drawing: the only module that imports matplotlib, and what all pictures have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sojourn.evaluation.ways import Way

Axes = Any
"""Of matplotlib, which is not typed here."""

COLOURS: dict[Way, str] = {  # Okabe and Ito, told apart by people who see colours differently
    Way.CENTRAL: "#D55E00",
    Way.RELAY: "#CC79A7",
    Way.PROXY: "#0072B2",
    Way.LOCATOR: "#56B4E9",
    Way.DIRECT: "#009E73",
    Way.RELOCATION: "#E69F00",
    Way.HOST: "#000000",
}
DASHES: dict[Way, Any] = {
    Way.CENTRAL: "-",
    Way.RELAY: (0, (5, 1.5)),
    Way.PROXY: "-",
    Way.LOCATOR: (0, (1.2, 1.2)),
    Way.DIRECT: (0, (6, 1.5, 1.2, 1.5)),
    Way.RELOCATION: (0, (3, 1, 1, 1, 1, 1)),
    Way.HOST: (0, (2, 2)),
}
"""For people who print in black."""
GREY = "#6b7280"
SEQUENCE = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
"""For what is not a way."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One drawn picture."""

    name: str
    title: str
    caption: str
    svg: Path
    png: Path


def drawn(
    directory: Path,
    name: str,
    title: str,
    caption: str,
    draw: Callable[[Sequence[Axes]], None],
    *,
    panels: Sequence[float] = (1.0,),
    size: tuple[float, float] = (8.2, 4.2),
) -> Picture:
    """`draw` gets the axes of the panels, whose relative widths are given; the picture is left in `directory`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    settings = {
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "svg.hashsalt": name,  # the same run leaves the same file
    }
    with plt.rc_context(settings):
        figure, axes = plt.subplots(
            1,
            len(panels),
            figsize=size,
            squeeze=False,
            layout="constrained",
            gridspec_kw={"width_ratios": list(panels)},
        )
        draw(list(axes[0]))
        files = [directory / f"{name}.{ending}" for ending in ("svg", "png")]
        figure.savefig(files[0], facecolor="white", metadata={"Date": None})
        figure.savefig(files[1], facecolor="white", dpi=130)
        plt.close(figure)
    return Picture(name, title, caption, *files)


def available() -> bool:
    """Whether matplotlib is installed; without it a report has tables only."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True


def plain_ticks(axis: Any, values: Sequence[float]) -> None:
    """Ticks of a logarithmic axis at these values, as people write them."""
    axis.set_ticks(values, [f"{value:,g}" for value in values])
    axis.set_minor_locator(_no_ticks())


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def legend_beside(axes: Axes, **options: Any) -> None:
    """A legend right of the panel, where no line can run through it."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, **options)
