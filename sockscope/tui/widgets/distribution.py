"""A horizontal histogram of durations: one bar per bucket."""

from __future__ import annotations

from typing import Any

import numpy as np

from sockscope import formatting
from sockscope.model.histogram import EDGES, percentile
from sockscope.tui.text_line import Line, bar
from sockscope.tui.themes import Palette

Array = np.ndarray[Any, np.dtype[Any]]


def distribution(
    title: str, counts: Array, width: int, height: int, palette: Palette, colour: str
) -> list[Line]:
    """Return title, percentiles and at most ``height`` − 2 bars; buckets are merged until they fit."""
    style = palette.style
    total = int(counts.sum())
    lines = [Line().add(title[:width], style(f"bold {colour}"))]
    if not total:
        return [*lines, Line().add("no samples", style("muted"))]
    half, nearly = (formatting.duration(percentile(counts, fraction)) for fraction in (0.5, 0.99))
    figures = f"p50 {half}, p99 {nearly}"
    if len(figures) > width:
        figures = f"p50 {half} p99 {nearly}"
    if width - len(figures) > 14:
        figures += f", of {formatting.count(total)}"
    lines.append(Line().add(figures[:width], style("muted")))
    used = np.flatnonzero(counts)
    low, high = int(used[0]), int(used[-1]) + 1
    group = max(1, -(-(high - low) // max(height - 2, 1)))
    joined = np.add.reduceat(counts[low:high].astype(float), np.arange(0, high - low, group))
    most, room = float(joined.max()), max(width - 20, 3)
    for index, number in enumerate(joined):
        edge = float(EDGES[min(low + (index + 1) * group, len(EDGES) - 2)])
        line = Line().fit(f"≤ {formatting.duration(edge)}", 10, style("muted"), right=True).add(" ")
        line.add(bar(number / most, room) if number else " " * room, style(colour))
        lines.append(line.fit(formatting.count(number), 8, style("text" if number else "faint"), right=True))
    return lines
