"""How long things took, over time: one column a tick, one line a bucket, brighter is more."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from rich.style import Style
from textual.reactive import reactive

from sockscope import units
from sockscope.model.histogram import EDGES, percentile
from sockscope.tui.drawn import Drawn
from sockscope.tui.lines import Line

Array = np.ndarray[Any, np.dtype[Any]]
_SHADES = " ░▒▓█"

#: kind → title, and what a measurement is.
KINDS: tuple[tuple[str, str, str], ...] = (
    ("queue_wait", "Wait in the accept queue", "connection accepted: established until accepted"),
    ("data_wait", "Wait of data for its reader", "read: bytes readable until a thread read them"),
    ("stall", "Loop stalls", "turn of an event loop: time between two waits"),
)


class Spectrogram(Drawn):
    """Two buckets share a cell as half blocks, so that the whole range fits 24 lines."""

    DEFAULT_ROWS: ClassVar[int] = 12
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
            head.add(f"   each is one {each}", style("muted"))
        if self.moment is None or not self.moment.history.ticks:
            return [head, Line().add("  the first tick is still to come", style("muted"))]
        cells = max(width - 12, 10)
        counts = self.moment.history.spectrum(kind, self.ids, cells)
        if not counts.sum():
            return [head, Line().add("  nothing was measured in this time", style("muted"))]
        body = height - 4
        low, high, group = _range(counts, body * 2)
        grouped = np.add.reduceat(counts[:, low:high], np.arange(0, high - low, group), axis=1)
        levels = np.log1p(grouped) / np.log1p(grouped.max())
        lines = [head]
        rows = -(-grouped.shape[1] // 2)
        for row in reversed(range(rows)):
            lines.append(self._row(levels, row, cells, low, group))
        lines.append(self._axis(cells, grouped.max(), len(counts)))
        lines.append(self._percentiles(counts))
        return lines

    def _row(self, levels: Array, row: int, cells: int, low: int, group: int) -> Line:
        style = self.palette.style
        edge = float(EDGES[min(low + 2 * row * group, len(EDGES) - 2)])
        line = Line().fit(units.duration(edge) if row % 2 == 0 else "", 9, style("muted"), right=True)
        line.add(" ┤" if row % 2 == 0 else " │", style("faint")).add(" " * (cells - len(levels)))
        lower = levels[:, 2 * row]
        upper = levels[:, 2 * row + 1] if 2 * row + 1 < levels.shape[1] else np.zeros(len(levels))
        if self.colourless:
            both = np.maximum(lower, upper)
            return line.add("".join(_SHADES[_step(value, 5)] for value in both), style("text"))
        for up, down in zip(upper, lower, strict=True):
            line.add("▀", _halves(self, up, down))
        return line

    def _axis(self, cells: int, most: float, ticks: int) -> Line:
        style, ramp = self.palette.style, self.palette.ramp
        assert self.moment is not None
        seconds = float(self.moment.history.seconds[-ticks:].sum())
        line = Line().to(11 + max(cells - ticks, 0)).add(f"{seconds:.0f} s ago", style("muted"))
        scale = len(ramp) // 3 + 16
        if line.width < 11 + cells - scale - 6:
            line.to(11 + cells - scale - 6).add("1 ", style("muted"))
            if self.colourless:
                line.add(_SHADES[1:], style("text"))
            else:
                for step in range(2, len(ramp), 3):
                    line.add(" ", ramp[step])
            line.add(f" {units.count(most)} a tick", style("muted"))
        return line.to(11 + cells - 3).add("now", style("muted"))

    def _percentiles(self, counts: Array) -> Line:
        style = self.palette.style
        total = counts.sum(axis=0)
        line = Line().add("           ")
        for name, fraction in (("half within", 0.5), ("99 % within", 0.99), ("all within", 1.0)):
            line.add(f"{name} ", style("muted")).add(
                units.duration(percentile(total, fraction)), style("bold text")
            ).add("   ")
        return line.add(f"{units.count(float(total.sum()))} measured", style("muted"))


def _range(counts: Array, most: int) -> tuple[int, int, int]:
    """First and last bucket worth showing, and how many to put into one line's half."""
    used = np.flatnonzero(counts.sum(axis=0))
    low, high = max(int(used[0]) - 2, 0), min(int(used[-1]) + 3, counts.shape[1])
    group = max(1, -(-(high - low) // max(most, 2)))
    return low, high, group


def _step(value: float, steps: int) -> int:
    return 0 if value <= 0 else min(1 + int(value * (steps - 1)), steps - 1)


def _halves(widget: Spectrogram, upper: float, lower: float) -> Style:
    ramp = widget.palette.ramp_colours
    first, second = _step(upper, len(ramp)), _step(lower, len(ramp))
    return _half_style(ramp[first], ramp[second])


def _half_style(front: str, back: str) -> Style:
    key = (front, back)
    found = _HALVES.get(key)
    if found is None:
        found = _HALVES[key] = Style(color=front, bgcolor=back)
    return found


_HALVES: dict[tuple[str, str], Style] = {}
