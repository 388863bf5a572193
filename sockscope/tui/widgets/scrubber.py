"""The time bar of a recording: position and marks of findings."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.reactive import reactive

from sockscope.analysis.severity import rank
from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.data_source import Replay
from sockscope.tui.labels import SEVERITY_COLOURS
from sockscope.tui.text_line import Line


class Scrubber(BaseWidget):
    """The bar with its marks, and the keys; a click seeks."""

    class Sought(Message):
        """Posted on a click on the bar."""

        def __init__(self, time_ns: int) -> None:
            super().__init__()
            self.time_ns = time_ns

    tick: reactive[int] = reactive(0)

    def __init__(self, replay: Replay, *, id: str) -> None:
        super().__init__(id=id)
        self.replay = replay

    def watch_tick(self) -> None:
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        style, replay = self.palette.style, self.replay
        at, end = replay.position_ns - replay.start_ns, max(replay.end_ns - replay.start_ns, 1)
        state = f" {'▶' if replay.playing else '‖'} {_clock(at)} "
        tail = f" {_clock(end)}  ×{replay.speed:g} "
        self._left, self._room = len(state), max(width - len(state) - len(tail), 4)
        room = self._room
        here = min(int(at / end * room), room - 1)
        marks: dict[int, str] = {}
        for mark in replay.marks:
            cell = min(max(int((mark.time_ns - replay.start_ns) / end * room), 0), room - 1)
            if rank(mark.severity) >= rank(marks.get(cell, "info")):
                marks[cell] = mark.severity
        line = Line().add(state, style("bold accent"))
        for cell in range(room):
            if cell == here:
                line.add("●", style("bold text"))
            elif cell in marks:
                line.add("▲", style(f"bold {SEVERITY_COLOURS[marks[cell]]}"))
            else:
                line.add("━" if cell < here else "─", style("accent" if cell < here else "faint"))
        line.add(tail, style("text"))
        return [line, self._keys(width)]

    def _keys(self, width: int) -> Line:
        style, line = self.palette.style, Line().add(" ")
        keys = [
            ("space", "play"), (", .", "step"), ("[ ]", "jump"), ("- +", "speed"), ("n N", "findings ▲"),
            ("{ }", "ends"),
        ]  # fmt: skip
        for key, words in keys:
            if line.width + len(key) + len(words) + 3 < width:
                line.add(key, style("accent")).add(f" {words}   ", style("muted"))
        return line

    def on_click(self, event: events.Click) -> None:
        if event.y == 0 and self._left <= event.x < self._left + self._room:
            part = (event.x - self._left) / max(self._room - 1, 1)
            self.post_message(
                self.Sought(round(self.replay.start_ns + part * (self.replay.end_ns - self.replay.start_ns)))
            )

    _left = 0
    _room = 1


def _clock(ns: int) -> str:
    seconds = max(ns, 0) / 1e9
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
