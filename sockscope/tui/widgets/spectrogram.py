"""Durations over time: one column per tick, one line per bucket, brighter is more."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from rich.style import Style
from textual.reactive import reactive

from sockscope import formatting
from sockscope.analysis.signal_requirements import NOT_TRACED, is_traced
from sockscope.model.histogram import EDGES, percentile
from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.text_line import Line, cells_each

Array = np.ndarray[Any, np.dtype[Any]]
_SHADES = " ░▒▓█"

#: kind → title, and what a measurement is.
KINDS: tuple[tuple[str, str, str], ...] = (
    ("queue_wait", "Queue wait", "established until accepted"),
    ("data_wait", "Data wait", "readable until read"),
    ("stall", "Loop stalls", "time between two waits of an event loop"),
)


class Spectrogram(BaseWidget):
    """A spectrogram; two buckets share a cell as half blocks, so that the range fits 24 lines."""

    kind: reactive[int] = reactive(0)
    ids: reactive[tuple[int, ...] | None] = reactive(None)
    who: reactive[str] = reactive("all workers")

    def watch_kind(self) -> None:
        self.redraw()

    watch_ids = watch_who = watch_kind

    def draw(self, width: int, height: int) -> list[Line]:
        style = self.palette.style
        kind, title, each = KINDS[self.kind]
        head = Line().add(f" {title}", style("bold text")).add(f" of {self.who}", style("bold accent"))
        if width - head.width > len(each) + 12:
            head.add(f"   one sample: {each}", style("muted"))
        if self.context is None or not self.context.history.ticks:
            return [head, Line().add("  the first tick is still to come", style("muted"))]
        if not is_traced(self.context.frame.snapshot, kind):
            return [head, Line().add(f"  {NOT_TRACED}", style("warning"))]
        cells = max(width - 12, 10)
        counts = self.context.history.spectrum(kind, self.ids, cells)
        if not counts.sum():
            return [head, Line().add("  nothing was measured in this time", style("muted"))]
        body = height - 3
        low, high, group = _range(counts, body * 2)
        grouped = np.add.reduceat(counts[:, low:high], np.arange(0, high - low, group), axis=1)
        levels = np.log1p(grouped) / np.log1p(grouped.max())
        tall = max(body * 2 // grouped.shape[1], 1)  # half cells of one range
        levels = np.repeat(levels, cells_each(len(levels), cells), axis=0).repeat(tall, axis=1)
        rows = -(-levels.shape[1] // 2)
        buckets = [low + 2 * row // tall * group for row in range(rows)]
        lines = [head, *(self._row(levels, row, cells, buckets[row]) for row in reversed(range(rows)))]
        lines.append(self._axis(cells, len(levels), len(counts)))
        lines.append(self._figures(counts, float(grouped.max()), width))
        return lines

    def _row(self, levels: Array, row: int, cells: int, bucket: int) -> Line:
        style = self.palette.style
        edge = float(EDGES[min(bucket, len(EDGES) - 2)])
        line = Line().fit(formatting.duration(edge) if row % 2 == 0 else "", 9, style("muted"), right=True)
        line.add(" ┤" if row % 2 == 0 else " │", style("faint")).add(" " * (cells - len(levels)))
        lower = levels[:, 2 * row]
        upper = levels[:, 2 * row + 1] if 2 * row + 1 < levels.shape[1] else np.zeros(len(levels))
        if self.colourless:
            both = np.maximum(lower, upper)
            return line.add("".join(_SHADES[_step(value, 5)] for value in both), style("text"))
        ramp = self.palette.ramp_colours
        steps = [
            (_step(up, len(ramp)), _step(down, len(ramp))) for up, down in zip(upper, lower, strict=True)
        ]
        for (up, down), run in itertools.groupby(steps):
            line.add("▀" * sum(1 for _ in run), _half_style(ramp[up], ramp[down]))
        return line

    def _axis(self, cells: int, drawn: int, ticks: int) -> Line:
        style = self.palette.style
        assert self.context is not None
        seconds = float(self.context.history.seconds[-ticks:].sum())
        line = Line().to(11 + cells - drawn).add(f"{seconds:.0f} s ago", style("muted"))
        return line.to(11 + cells - 3).add("now", style("muted"))

    def _figures(self, counts: Array, most: float, width: int) -> Line:
        """Return percentiles of what is shown, and the colour scale at the right."""
        style, ramp = self.palette.style, self.palette.ramp
        total = counts.sum(axis=0)
        line = Line().add(" ")
        for name, fraction in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            line.add(f"{name} ", style("muted")).add(
                formatting.duration(percentile(total, fraction)), style("bold text")
            ).add("  ")
        line.add(f"of {formatting.count(float(total.sum()))}", style("muted"))
        most_words = f" {formatting.count(most)} per tick"
        if line.width + 14 + len(most_words) < width:
            line.to(width - 11 - len(most_words)).add("1 ", style("muted"))
            if self.colourless:
                line.add(f" {_SHADES[1:]}   ", style("text"))
            else:
                for step in range(2, len(ramp), 3):
                    line.add(" ", ramp[step])
            line.add(most_words, style("muted"))
        return line


def _range(counts: Array, most: int) -> tuple[int, int, int]:
    """Return first and last bucket to show, and the number of buckets per half line."""
    used = np.flatnonzero(counts.sum(axis=0))
    low, high = max(int(used[0]) - 2, 0), min(int(used[-1]) + 3, counts.shape[1])
    group = max(1, -(-(high - low) // max(most, 2)))
    return low, high, group


def _step(value: float, steps: int) -> int:
    return 0 if value <= 0 else min(1 + int(value * (steps - 1)), steps - 1)


def _half_style(front: str, back: str) -> Style:
    key = (front, back)
    found = _HALVES.get(key)
    if found is None:
        found = _HALVES[key] = Style(color=front, bgcolor=back)
    return found


_HALVES: dict[tuple[str, str], Style] = {}
