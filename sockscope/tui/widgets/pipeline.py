"""One connection as a pipeline: a box a step, the time between them on the arrows."""

from __future__ import annotations

import itertools
from typing import Any

from textual.reactive import reactive

from sockscope import units
from sockscope.tui.canvas import Canvas
from sockscope.tui.drawn import Drawn
from sockscope.tui.lines import Line, bar, fit
from sockscope.tui.steps import Step, steps_of

_WIDE = 144
_LATE_NS = 10_000_000


class Pipeline(Drawn):
    """Side by side when there is room, else one below the other."""

    record: reactive[Any] = reactive(None, always_update=True)

    def watch_record(self) -> None:
        self.redraw()

    def wanted_height(self, width: int) -> int:
        return 6 if width >= _WIDE else 12

    def draw(self, width: int, height: int) -> list[Line]:
        if self.moment is None or self.record is None:
            return []
        steps = steps_of(self.moment.frame, self.record)
        return self._across(steps, width) if width >= _WIDE else self._down(steps, width)

    def _across(self, steps: list[Step], width: int) -> list[Line]:
        style = self.palette.style
        arrow = 9
        box = (width - 2 - arrow * (len(steps) - 1)) // len(steps)
        canvas = Canvas(width, 6)
        x = 1
        for index, step in enumerate(steps):
            happened = step.at_ns > 0
            if index:
                before = steps[index - 1]
                waited = step.at_ns - before.at_ns if happened and before.at_ns else None
                words = units.duration(waited) if waited is not None else ""
                late = waited is not None and waited >= _LATE_NS and step.title != "closed"
                canvas.put(
                    x,
                    2,
                    "─" * (arrow - 1) + "▶" if happened else "╌" * (arrow - 1) + "▷",
                    style("muted" if happened else "faint"),
                )
                canvas.put(
                    x + (arrow - 1 - len(words)) // 2,
                    1,
                    words,
                    style("bold warning" if late else "bold text"),
                )
                x += arrow
            canvas.box(
                x,
                0,
                box,
                5,
                style(step.colour if happened else "faint"),
                step.title,
                style(f"bold {step.colour}" if happened else "faint"),
            )
            since = step.at_ns - steps[0].at_ns if happened else None
            canvas.put(
                x + 2,
                1,
                fit(
                    "start"
                    if index == 0 and happened
                    else f"+{units.duration(since)}"
                    if happened
                    else step.why,
                    box - 4,
                ),
                style("text" if happened else "faint"),
            )
            canvas.put(
                x + 2, 2, fit("by" if step.who not in ("–", "kernel") else "", box - 4), style("faint")
            )
            canvas.put(x + 2, 3, fit(step.who if happened else "", box - 4), style(step.colour))
            x += box
        canvas.put(
            1,
            5,
            "time between two steps is written on the arrow, time since the first in the box",
            style("faint"),
        )
        return canvas.lines()

    def _down(self, steps: list[Step], width: int) -> list[Line]:
        style, lines = self.palette.style, []
        longest = max(
            (b.at_ns - a.at_ns for a, b in itertools.pairwise(steps) if a.at_ns and b.at_ns),
            default=0,
        )
        for index, step in enumerate(steps):
            happened = step.at_ns > 0
            if index:
                before = steps[index - 1]
                waited = step.at_ns - before.at_ns if happened and before.at_ns else None
                line = Line().add("  │ ", style("faint"))
                if waited is not None:
                    late = waited >= _LATE_NS and step.title != "closed"
                    line.fit(
                        units.duration(waited), 9, style("bold warning" if late else "bold text"), right=True
                    )
                    line.add(f" {fit(step.waited, 32)} ", style("muted"))
                    line.add(
                        bar(waited / longest if longest else 0, max(width - line.width - 2, 4)),
                        style(step.colour),
                    )
                lines.append(line)
            line = Line().add("  ●" if happened else "  ○", style(step.colour if happened else "faint"))
            line.fit(f" {step.title}", 15, style(f"bold {step.colour}" if happened else "faint"))
            since = step.at_ns - steps[0].at_ns
            line.fit(
                f"+{units.duration(since)}" if happened else step.why,
                12,
                style("text" if happened else "faint"),
            )
            lines.append(line.add(step.who if happened else "", style(step.colour)))
        return lines
