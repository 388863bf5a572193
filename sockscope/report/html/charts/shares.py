"""Chart of shares: each thread's or socket's, the fair share, and the band of random hashing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sockscope.analysis.fairness import Fairness
from sockscope.report.html.charts.svg import Drawn, colour, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BARS = 16
_WIDTH = 440


def shares(name: str, title: str, labels: Sequence[str], judged: Fairness) -> Drawn:
    """Return a bar per sharer, a line at the fair share, and the band of 95 % of shares under random hashing."""
    order = sorted(range(len(labels)), key=lambda index: -judged.values[index])
    shown = order if len(order) <= _BARS else [*order[: _BARS - 4], *order[-3:]]
    names = [labels[index] for index in shown]
    parts = [100 * judged.shares[index] for index in shown]
    if len(shown) < len(order):
        names.insert(-3, f"… {len(order) - len(shown)} between")
        parts.insert(-3, float("nan"))
    fair, low, high = band(judged)
    alt = f"{title}: {judged.words}; the largest share is {max(parts):.1f} %, the fair share {fair:.1f} %" + (
        f", random hashing gives {low:.1f} to {high:.1f} %" if not math.isnan(low) else ""
    )

    def paint(figure: Figure, axes: Axes) -> None:
        rows = range(len(names))
        if not math.isnan(low):
            axes.axvspan(low, high, color=colour("band"), linewidth=0, zorder=0)
        axes.axvline(fair, color=colour("fair"), linestyle=(0, (4, 2)), linewidth=1.3, zorder=3)
        odd = judged.judgement == "skewed"
        tints = [colour("warning") if odd and part >= 1.25 * fair else colour("accent") for part in parts]
        axes.barh(rows, parts, height=0.66, color=tints, zorder=2)
        most = max([*(part for part in parts if not math.isnan(part)), fair, 0 if math.isnan(high) else high])
        for row, part in zip(rows, parts, strict=True):
            if not math.isnan(part):
                axes.text(most * 1.17, row, f"{part:.1f} %", va="center", ha="right", fontsize=11, zorder=4)
        axes.set_yticks(rows, names)
        axes.tick_params(axis="y", length=0, labelcolor=colour("ink"))
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(0, most * 1.17)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
        axes.grid(axis="x")

    return draw(name, _WIDTH, 44 + 21 * len(names), alt, paint)


def band(judged: Fairness) -> tuple[float, float, float]:
    """Return the fair share and the limits of 95 % of shares under random hashing, in percent.

    The limits are NaN where they are unknown.
    """
    fair = 100 / len(judged.values)
    if math.isnan(judged.noise_cv):
        return fair, math.nan, math.nan
    return fair, max(fair * (1 - 1.96 * judged.noise_cv), 0.0), fair * (1 + 1.96 * judged.noise_cv)
