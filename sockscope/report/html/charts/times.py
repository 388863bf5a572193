"""Charts over time: workers as a heat map, queues and drops as lines and bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sockscope.report.html.charts.svg import Drawn, colour, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, np.dtype[Any]]

WIDE, NARROW = 900, 400
#: One hue of increasing opacity: legible on white, on black and in grey.
HEAT = (0.88, 0.42, 0.05)
_CURVES = ("c1", "c2", "c3", "c4")


def heat(name: str, width: int, labels: Sequence[str], values: Array, ends_s: Array, alt: str) -> Drawn:
    """Return a heat map with a row per worker and a column per tick; ``values`` are 0 to 1."""
    from matplotlib.colors import LinearSegmentedColormap

    ramp = LinearSegmentedColormap.from_list("heat", [(*HEAT, 0.03), (*HEAT, 1.0)])

    def paint(figure: Figure, axes: Axes) -> None:
        axes.imshow(
            np.clip(values, 0, 1),
            aspect="auto",
            cmap=ramp,
            vmin=0,
            vmax=1,
            interpolation="none",
            extent=(_start(ends_s), float(ends_s[-1]), len(labels) - 0.5, -0.5),
        )
        axes.set_yticks(range(len(labels)), labels)
        axes.tick_params(axis="y", length=0, labelcolor=colour("ink"))
        _time_axis(axes)

    return draw(name, width, 46 + 20 * len(labels), alt, paint, _kind(width))


def queues(
    name: str,
    width: int,
    labels: Sequence[str],
    lengths: Array,
    limit: float,
    drops: Array,
    ends_s: Array,
    alt: str,
) -> Drawn:
    """Return lengths of accept queues with their limit, and below them drops per second."""
    from matplotlib.ticker import MaxNLocator

    def paint(figure: Figure, axes: Axes) -> None:
        dropped = drops.sum() > 0
        if dropped:
            axes.remove()
            axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
            below.bar(
                ends_s,
                drops,
                width=np.diff(ends_s, prepend=_start(ends_s)) * -0.9,
                align="edge",
                color=colour("critical"),
            )
            below.set_ylabel("drops / s")
            below.grid(axis="y")
            _time_axis(below)
            axes.tick_params(axis="x", labelbottom=False)
        else:
            _time_axis(axes)
        most = max(float(lengths.max(initial=0)), 1.0)
        for index, (label, row) in enumerate(zip(labels, lengths, strict=True)):
            axes.plot(ends_s, row, color=colour(_CURVES[index % 4]), linewidth=1.5, label=label)
        if limit and limit <= most * 2.5:
            axes.axhline(limit, color=colour("critical"), linestyle=(0, (4, 2)), linewidth=1.2)
            axes.annotate(
                f"limit {limit:,.0f}",
                (1, limit),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                fontsize=11,
            )
            most = max(most, limit)
        elif limit:
            axes.annotate(
                f"limit {limit:,.0f} (off scale) ↑",
                (1, 1.01),
                xycoords="axes fraction",
                ha="right",
                va="bottom",
                fontsize=11,
            )
        axes.set_ylim(0, most * 1.08)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.set_xlim(_start(ends_s), float(ends_s[-1]))
        axes.set_ylabel("connections waiting")
        axes.grid(axis="y")
        if len(labels) > 1:
            lines, names = axes.get_legend_handles_labels()
            columns = 4 if width == WIDE else 2
            figure.legend(lines, names, frameon=False, fontsize=11, loc="outside upper left", ncols=columns)

    return draw(name, width, 230 if drops.sum() > 0 else 170, alt, paint, _kind(width))


def _start(ends_s: Array) -> float:
    """Return when the first tick began."""
    return float(2 * ends_s[0] - ends_s[1]) if len(ends_s) > 1 else max(float(ends_s[0]) - 1, 0.0)


def _time_axis(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_formatter(lambda value, _: clock(value))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7))


def clock(seconds: float) -> str:
    """Return the time since tracing began: ``12 s``, ``2:05``, ``1:02:05``."""
    if seconds < 120:
        return f"{seconds:g} s"
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes}:{left:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{left:02}"


def _kind(width: int) -> str:
    return "wide" if width == WIDE else "narrow"
