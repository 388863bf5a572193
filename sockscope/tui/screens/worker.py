"""One worker: what it did, how long things waited for it, from whom it gets and to whom it gives."""

from __future__ import annotations

from collections import Counter

import numpy as np
from textual.app import ComposeResult
from textual.widgets import Footer

from sockscope import units
from sockscope.model.snapshot import Worker
from sockscope.tui.feed import Moment
from sockscope.tui.lines import Line
from sockscope.tui.names import name_of, roles_of, worker_name
from sockscope.tui.rows.connections import COLUMNS, ConnectionRows
from sockscope.tui.screens.base import MomentScreen
from sockscope.tui.table import Table
from sockscope.tui.themes import Palette
from sockscope.tui.widgets.distribution import distribution
from sockscope.tui.widgets.header import Header
from sockscope.tui.widgets.sheet import Sheet

_ROLES = {"L": "listened", "A": "accepts", "R": "reads", "W": "answers", "·": "is woken to work"}
_CHARTS = (
    ("queue_wait", "In the accept queue", "acceptor"),
    ("data_wait", "Data for this reader", "reader"),
    ("answer", "Read to answer", "writer"),
    ("stall", "Loop stalls", "worker"),
)


class WorkerScreen(MomentScreen):
    heading = "One worker"
    help = (
        ("What it shows", "What this thread did since the start, and its last seconds; then four histograms: each line is "
         "a range of durations, its bar how often."),
        ("Loop stalls", "Time between two waits in the event loop. What else the thread serves waits as long."),
        ("Connections", "Those that it accepted or reads. Enter opens one; s sorts."),
    )  # fmt: skip

    def __init__(self, worker: int) -> None:
        super().__init__()
        self.worker = worker

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        yield Sheet(self._facts, id="facts")
        yield Sheet(self._charts, id="charts")
        yield Table(COLUMNS, "wait", empty="it has no connection that is kept", id="connections-table")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(Table).focus()

    def show(self, moment: Moment) -> None:
        for sheet in self.query(Sheet):
            sheet.moment = moment
        snapshot = moment.frame.snapshot
        records = snapshot.connections
        io = records["io"]
        own = (records["acceptor"] == self.worker) | (io["worker"] == self.worker).any(axis=1)
        more = snapshot.deeds[snapshot.deeds["worker"] == self.worker]["connection"]
        self.query_one(Table).show(ConnectionRows(moment.frame, own | np.isin(records["id"], more)))

    def _facts(self, moment: Moment, palette: Palette, width: int, height: int) -> list[Line]:
        style = palette.style
        worker = moment.frame.snapshot.workers.get(self.worker)
        if worker is None:
            return [Line().add(" this thread is not known at this time of the recording", style("warning"))]
        letters = roles_of(moment.frame)[worker.id]
        roles = ", ".join(_ROLES[letter] for letter in letters)
        title = (
            Line()
            .add(f" {worker_name(worker)} ", style("bold text"))
            .add(f"of process {worker.pid}   {roles}", style("accent"))
        )
        if worker.ended_ns:
            title.add("   ended", style("warning"))
        lines = [title, self._numbers(moment, worker, palette), self._loop(moment, worker, palette, width)]
        return lines + self._handoffs(moment, worker, palette, width)

    def _numbers(self, moment: Moment, worker: Worker, palette: Palette) -> Line:
        rates = {
            name: float(moment.history.rates(name, [worker.id])[0])
            for name in ("accepts", "reads", "answers")
        }
        line = Line().add(" ")
        for name, number, rate in (
            ("accepted", worker.accepts, rates["accepts"]), ("reads", worker.reads, rates["reads"]),
            ("answers", worker.writes, rates["answers"]),
        ):  # fmt: skip
            _pair(line, palette, name, f"{units.count(number)} ({units.count(rate)}/s)")
        return _pair(line, palette, "read", units.size(worker.bytes_read))

    def _loop(self, moment: Moment, worker: Worker, palette: Palette, width: int) -> Line:
        busy = float(moment.history.rates("busy", [worker.id])[0]) / 1e7
        line = _pair(Line().add(" "), palette, "busy", f"{busy:.0f} %")
        _pair(
            line,
            palette,
            "wake-ups",
            f"{units.count(worker.wakeups)}, {units.share(worker.wakeups_wasted, worker.wakeups)} for nothing",
        )
        if worker.stall_max_ns:
            ago = units.duration(moment.frame.snapshot.time_ns - worker.stall_max_at_ns)
            _pair(line, palette, "longest stall", units.duration(worker.stall_max_ns))
            if width >= 100:
                line.add(f"{ago} ago", palette.style("muted"))
        return line

    def _handoffs(self, moment: Moment, worker: Worker, palette: Palette, width: int) -> list[Line]:
        frame, given, taken, woken = moment.frame, Counter[int](), Counter[int](), Counter[int]()
        for flow, count in zip(frame.snapshot.flows, frame.snapshot.flow_counts, strict=True):
            acceptor, reader = int(flow["acceptor"]), int(flow["reader"])
            if acceptor and reader and acceptor != reader:
                if acceptor == worker.id:
                    given[reader] += int(count)
                if reader == worker.id:
                    taken[acceptor] += int(count)
        by_tid = {(item.pid, item.tid): item.id for item in frame.snapshot.workers.values()}
        for wake in frame.snapshot.wakes:
            if wake.waker == worker.id:
                woken[by_tid.get((worker.pid, wake.wakee), 0)] += wake.after_read
        lines = []
        for words, counted in (
            ("gives connections to", given),
            ("gets connections from", taken),
            ("wakes with requests", woken),
        ):
            named = [(number, times) for number, times in counted.most_common() if number and times]
            if named:
                line = Line().add(f" {words} ", palette.style("muted"))
                for number, times in named:
                    text = f"{name_of(frame, number)} ×{units.count(times)}  "
                    if line.width + len(text) + 8 > width:
                        line.add("…", palette.style("muted"))
                        break
                    line.add(text, palette.style("reader"))
                lines.append(line)
        return lines or [Line().add(" no hand-off: it reads what it accepts", palette.style("muted"))]

    def _charts(self, moment: Moment, palette: Palette, width: int, height: int) -> list[Line]:
        worker = moment.frame.snapshot.workers.get(self.worker)
        if worker is None:
            return []
        chosen = [chart for chart in _CHARTS if width >= 140 or getattr(worker, chart[0]).any()][
            : 4 if width >= 140 else 3 if width >= 100 else 2
        ]
        if width < 140 and len(chosen) < 4:
            stall = _CHARTS[3]
            chosen = (
                [*chosen[:-1], stall] if worker.stall.any() and stall not in chosen and chosen else chosen
            )
        wide = width // max(len(chosen), 1)
        blocks = [
            distribution(f" {title}", getattr(worker, name), wide - 2, height, palette, colour)
            for name, title, colour in chosen
        ]
        lines = []
        for row in range(height):
            line = Line()
            for index, block in enumerate(blocks):
                line.to(index * wide)
                if row < len(block):
                    for segment in block[row].segments:
                        line.add(segment.text, segment.style)
            lines.append(line)
        return lines


def _pair(line: Line, palette: Palette, name: str, value: str) -> Line:
    return line.add(f"{name} ", palette.style("muted")).add(value, palette.style("text")).add("   ")
