"""Charts of waits: their distribution, and their percentiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sockscope.model.histogram import EDGES
from sockscope.report.html.charts.svg import Drawn, colour, draw, durations

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Counts = np.ndarray[Any, np.dtype[Any]]

_WIDTH = 440
_CURVES = ("c1", "c2", "c3", "c4", "c5", "c6")
_STYLES = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1.2)),
    (0, (6, 1.5, 1.5, 1.5)),
    (0, (9, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
)


def histogram(name: str, counts: Mapping[str, Counts], alt: str) -> Drawn:
    """Return the percentage of each kind of wait per bucket."""

    def paint(figure: Figure, axes: Axes) -> None:
        edges = np.append(np.maximum(EDGES[:-1], EDGES[1] / 1.25), EDGES[-2] * 1.25)
        for index, (label, counted) in enumerate(counts.items()):
            part = 100 * counted / counted.sum()
            axes.stairs(
                part,
                edges,
                color=colour(_CURVES[index]),
                linestyle=_STYLES[index],
                linewidth=1.6,
                label=label,
            )
            axes.stairs(part, edges, fill=True, alpha=0.12, color=colour(_CURVES[index]))
        axes.set_xscale("log")
        axes.set_xlim(*_range(counts))
        axes.set_ylim(0, None)
        durations(axes.xaxis)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
        axes.set_ylabel("waits per bucket")
        axes.grid()
        figure.legend(
            frameon=False, fontsize=11, loc="outside upper left", ncols=4, handlelength=1.6, columnspacing=1.2
        )

    return draw(name, _WIDTH, 240, alt, paint)


def percentiles(name: str, counts: Mapping[str, Counts], alt: str) -> Drawn:
    """Return duration by percentile; each tick to the right is ten times rarer."""

    def paint(figure: Figure, axes: Axes) -> None:
        nines = 1.0
        for index, (label, counted) in enumerate(counts.items()):
            total = float(counted.sum())
            below = np.concatenate([[0.0], np.cumsum(counted)]) / total
            used = (below < 1 - 1.5 / total) & (below > 0)
            last = int(np.argmax(below >= 1))
            rare = np.append(-np.log10(1 - below[used]), max(np.log10(total), 1.0))
            edges = np.append(EDGES[: len(below)][used], EDGES[min(last, len(EDGES) - 2)])
            axes.plot(
                rare,
                edges,
                color=colour(_CURVES[index]),
                linestyle=_STYLES[index],
                linewidth=1.6,
                label=label,
            )
            nines = max(nines, float(rare[-1]))
        axes.set_yscale("log")
        axes.set_xlim(0, nines)
        marks = [(float(np.log10(2)), "50")]
        marks += [(float(n), f"{100 - 10.0 ** (2 - n):.{max(n - 2, 0)}f}") for n in range(1, int(nines) + 1)]
        axes.set_xticks([position for position, _ in marks], [f"p{text}" for _, text in marks])
        durations(axes.yaxis)
        axes.grid()
        axes.set_xlabel("percentile")
        figure.legend(
            frameon=False, fontsize=11, loc="outside upper left", ncols=4, handlelength=1.6, columnspacing=1.2
        )

    return draw(name, _WIDTH, 240, alt, paint)


def _range(counts: Mapping[str, Counts]) -> tuple[float, float]:
    used = np.flatnonzero(sum(counts.values()))
    low, high = float(EDGES[used[0]]), float(EDGES[min(used[-1] + 1, len(EDGES) - 2)])
    return max(low, float(EDGES[1]) / 1.25) / 1.1, max(high, low * 4) * 1.1
