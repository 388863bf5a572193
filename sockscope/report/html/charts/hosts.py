"""Chart of a wait on many hosts: p50 and p99 of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sockscope.report.html.charts.svg import Drawn, colour, draw, durations

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 440


def hosts(
    name: str,
    labels: Sequence[str],
    ranges: Sequence[tuple[float, float]],
    odd: Sequence[bool],
    together: float,
    alt: str,
) -> Drawn:
    """Return a line per host from its p50 to its p99, and a dashed line at the p99 of all hosts.

    :param ranges: p50 and p99 of each host, in nanoseconds
    :param odd: which hosts stand out
    :param together: p99 of all hosts, in nanoseconds
    """

    def paint(figure: Figure, axes: Axes) -> None:
        axes.axvline(together, color=colour("fair"), linestyle=(0, (4, 2)), linewidth=1.2, zorder=1)
        for row, ((p50, p99), marked) in enumerate(zip(ranges, odd, strict=True)):
            tint = colour("warning" if marked else "accent")
            axes.plot([p50, p99], [row, row], color=tint, linewidth=4, solid_capstyle="butt", alpha=0.55)
            axes.plot([p50], [row], color=tint, marker="o", markersize=5)
            axes.plot(
                [p99], [row], color=tint, marker="D" if marked else "|", markersize=7, markeredgewidth=2
            )
        axes.set_xscale("log")
        low = min(p50 for p50, _ in ranges)
        high = max(*(p99 for _, p99 in ranges), together)
        axes.set_xlim(max(low, 1.0) / 1.6, max(high, low * 2) * 1.6)
        durations(axes.xaxis)
        axes.set_yticks(range(len(labels)), labels)
        axes.tick_params(axis="y", length=0, labelcolor=colour("ink"))
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.grid(axis="x")

    return draw(name, _WIDTH, 44 + 21 * len(labels), alt, paint)
