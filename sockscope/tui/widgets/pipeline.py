"""One connection as a pipeline: a box per step, times on the arrows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from textual.reactive import reactive

from sockscope import formatting
from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.canvas import Canvas
from sockscope.tui.connection_timeline import NOT_YET, Step, build_steps
from sockscope.tui.text_line import Line, bar, fit
from sockscope.tui.themes import Palette

_ALL_IN_A_ROW = 150
_TWO_ROWS = 70
_LATE_NS = 10_000_000
_ARROW = 11
_BOX = 4
_WORDS = 34


#: What it means that most of the time went there, by who ended the wait.
_MEANS = {
    "accent": "Mostly waiting for the client: nothing had been sent.",
    "acceptor": "Mostly queue wait: no thread accepted it.",
    "reader": "Mostly data wait: the reader was busy with something else.",
    "writer": "Mostly reply time: work between reading and replying.",
}


@dataclass(frozen=True)
class Between:
    """The time between two steps: ``ns`` is None if one did not happen, the time so far if ``pending``."""

    ns: int | None
    words: str
    colour: str
    late: bool
    pending: bool = False


class Pipeline(BaseWidget):
    """Boxes in one row or two, depending on space; a list in very narrow terminals."""

    record: reactive[Any] = reactive(None, always_update=True)
    #: whether to show the times below
    full: reactive[bool] = reactive(True)

    def watch_record(self) -> None:
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        if self.context is None or self.record is None:
            return []
        steps = build_steps(self.context.frame, self.record)
        now = self.context.frame.snapshot.time_ns
        waits = [_between(before, after, now) for before, after in itertools.pairwise(steps)]
        bars = _bars(waits, self.palette, width)
        if width < _TWO_ROWS:
            return _listed(steps, self.palette) + (bars if self.full else [])
        rows = 1 if width >= _ALL_IN_A_ROW else 2
        canvas = Canvas(width, _BOX if rows == 1 else 2 * _BOX + 1)
        _Drawing(canvas, self.palette, steps, waits, rows).draw()
        return canvas.lines() + ([Line(), *bars] if self.full else [])


class _Drawing:
    """Draws the boxes of one connection on a canvas."""

    def __init__(
        self, canvas: Canvas, palette: Palette, steps: list[Step], waits: list[Between], rows: int
    ) -> None:
        self._canvas, self._palette, self._steps, self._waits = canvas, palette, steps, waits
        self._each = -(-len(steps) // rows)
        self._left, right = (1, 0) if rows == 1 else (5, 3)
        room = canvas.width - self._left - right - _ARROW * (self._each - 1)
        self._box = room // self._each

    def draw(self) -> None:
        for index, step in enumerate(self._steps):
            row, place = divmod(index, self._each)
            x, y = self._left + place * (self._box + _ARROW), row * (_BOX + 1)
            if place:
                self._arrow(x - _ARROW, y + 2, self._waits[index - 1])
            elif row:
                self._turn(y, self._waits[index - 1])
            self._draw_box(x, y, step, first=index == 0)

    def _draw_box(self, x: int, y: int, step: Step, *, first: bool) -> None:
        style, happened = self._palette.style, step.at_ns > 0
        colour, inner = step.colour if happened else "faint", self._box - 4
        words = "start" if first else f"+{formatting.duration(step.at_ns - self._steps[0].at_ns)}"
        self._canvas.box(x, y, self._box, _BOX, style(colour), step.title, style(f"bold {colour}"))
        self._canvas.put(
            x + 2, y + 1, fit(words if happened else step.why, inner), style("text" if happened else "muted")
        )
        self._canvas.put(x + 2, y + 2, fit(step.who if happened else "", inner), style(colour))

    def _arrow(self, x: int, y: int, wait: Between) -> None:
        canvas, (line, words, head) = self._canvas, self._parts(wait)
        canvas.put(x, y, line * (_ARROW - 1) + head, self._line_style(wait))
        canvas.put(x + (_ARROW - 1 - len(words)) // 2, y - 1, words, self._word_style(wait))

    def _turn(self, y: int, wait: Between) -> None:
        """Draw the line from the end of the upper row to the start of this one."""
        canvas, style = self._canvas, self._line_style(wait)
        line, words, head = self._parts(wait)
        end = self._left + self._each * self._box + (self._each - 1) * _ARROW
        canvas.put(end, y - 3, line + "╮", style)
        canvas.put(end + 1, y - 2, "│", style)
        canvas.put(2, y - 1, "╭" + line * (end - 2) + "╯", style)
        canvas.column(2, y, y + 1, "│", style)
        canvas.put(2, y + 2, "╰" + line + head, style)
        said = f" {words} {wait.words} " if words else ""
        canvas.put(max((end - len(said)) // 2, 4), y - 1, said, self._word_style(wait))

    def _parts(self, wait: Between) -> tuple[str, str, str]:
        words = formatting.duration(wait.ns) if wait.ns is not None else ""
        return ("╌", words, "▷") if wait.ns is None or wait.pending else ("─", words, "▶")

    def _line_style(self, wait: Between) -> Any:
        return self._palette.style("faint" if wait.ns is None else "muted")

    def _word_style(self, wait: Between) -> Any:
        return self._palette.style("bold warning" if wait.late else "bold text")


def _between(before: Step, after: Step, now: int) -> Between:
    pending = bool(before.at_ns) and after.why == NOT_YET and not after.at_ns
    if not before.at_ns or not (after.at_ns or pending):
        return Between(None, after.waited, after.colour, False)
    ns = (after.at_ns or now) - before.at_ns
    words = f"{after.waited}, so far" if pending else after.waited
    return Between(ns, words, after.colour, ns >= _LATE_NS and after.title != "closed", pending)


def _bars(waits: list[Between], palette: Palette, width: int) -> list[Line]:
    """Return the times between the steps as bars on one scale."""
    style = palette.style
    known = [wait for wait in waits if wait.ns is not None]
    if not known:
        return []
    whole, longest = sum(wait.ns or 0 for wait in known), max(wait.ns or 0 for wait in known)
    words = max(_WORDS, *(len(wait.words) + 1 for wait in known))
    lines = [Line().add(" Time per step", style("bold text"))]
    for wait in known:
        line = Line().fit(
            formatting.duration(wait.ns), 10, style("bold warning" if wait.late else "bold text"), right=True
        )
        line.fit(formatting.share(wait.ns or 0, whole), 8, style("muted"), right=True).add("  ")
        line.fit(wait.words, words, style("muted"))
        part = (wait.ns or 0) / longest if longest else 0.0
        lines.append(line.add(bar(part, max(width - line.width - 2, 4)), style(wait.colour)))
    worst = max(
        (wait for wait in known if wait.colour in _MEANS), key=lambda wait: wait.ns or 0, default=None
    )
    if worst is not None:
        lines.append(Line().add(f" {fit(_MEANS[worst.colour], width - 2).rstrip()}", style("text")))
    return lines


def _listed(steps: list[Step], palette: Palette) -> list[Line]:
    style, lines = palette.style, []
    for step in steps:
        happened = step.at_ns > 0
        line = Line().add(" ●" if happened else " ○", style(step.colour if happened else "faint"))
        line.fit(f" {step.title}", 14, style(f"bold {step.colour}" if happened else "faint"))
        since = f"+{formatting.duration(step.at_ns - steps[0].at_ns)}"
        line.fit(since if happened else step.why, 11, style("text" if happened else "muted"))
        lines.append(line.add(step.who if happened else "", style(step.colour)))
    return lines
