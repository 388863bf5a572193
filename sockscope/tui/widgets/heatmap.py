"""A heat map of workers over time, with the share of each worker."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from textual import events
from textual.binding import Binding, BindingType
from textual.reactive import reactive

from sockscope import formatting
from sockscope.analysis.fairness import Fairness
from sockscope.analysis.server import Server
from sockscope.analysis.signal_requirements import NOT_TRACED, is_traced
from sockscope.analysis.work_distribution import WorkShare
from sockscope.model.snapshot import Worker
from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.labels import find_server, worker_label
from sockscope.tui.messages import RowOpened
from sockscope.tui.text_line import Line, bar, cells_each

Array = np.ndarray[Any, np.dtype[Any]]
_SHADES = " ░▒▓█"
_SHARES = 24


@dataclass(frozen=True)
class Metric:
    """A metric of the heat map; durations have no shares."""

    series: str
    title: str
    unit: str
    #: whose shares stand beside it, when not those of the series
    figure: str = ""

    @property
    def name(self) -> str:
        return self.figure or self.series

    @property
    def shared(self) -> bool:
        return self.unit != "duration"

    def words(self, per_second: float) -> str:
        if self.unit == "duration":
            return formatting.duration(per_second)
        if self.unit == "bytes":
            return f"{formatting.size(per_second)}/s"
        if self.unit == "busy":
            return f"{per_second / 1e7:.0f} %"
        return f"{formatting.count(per_second)}/s"


METRICS: tuple[Metric, ...] = (
    Metric("accepts", "connections accepted", "number"),
    Metric("reads", "reads", "number"),
    Metric("answers", "replies written", "number"),
    Metric("bytes", "bytes read and written", "bytes"),
    Metric("busy", "busy time", "busy"),
    Metric("queue_wait", "queue wait (p99)", "duration"),
    Metric("data_wait", "data wait (p99)", "duration"),
)
#: What ``m`` does not come to, but findings are proved with.
PROOFS: tuple[Metric, ...] = (
    Metric("wasted", "spurious wake-ups", "number"),
    Metric("cpu", "CPU time", "busy"),
    Metric("accepts", "connections accepted, and readers of open ones", "number", figure="open"),
)


class HeatMap(BaseWidget, can_focus=True):
    """A heat map with one line per worker; ``m`` switches the metric."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("enter", "open", "Open worker", show=False),
    ]
    server: reactive[str] = reactive("")
    #: whether ``m`` goes through what can be shown
    switches: reactive[bool] = reactive(True)
    #: an index into METRICS and PROOFS, or None: what the server's model shares
    metric: reactive[int | None] = reactive(None)
    cursor: reactive[int] = reactive(0)

    def watch_server(self) -> None:
        self.redraw()

    watch_metric = watch_cursor = watch_server

    @property
    def shown(self) -> int:
        """Return the server that is shown."""
        if self.metric is not None:
            return self.metric
        server, _ = self._workers()
        model = server.model if server else ""
        return 2 if "dispatch" in model else 1 if model == "handoff" else 0

    def draw(self, width: int, height: int) -> list[Line]:
        style, metric = self.palette.style, (*METRICS, *PROOFS)[self.shown]
        server, workers = self._workers()
        if not workers or self.context is None:
            return [
                Line().add(f" Workers over time: {metric.title}", style("bold text")),
                Line().add("  no thread has accepted or read a connection yet", style("muted")),
            ]
        if not is_traced(self.context.frame.snapshot, metric.series):
            title = self._title(metric, server, [], width, len(workers), len(workers))
            return [title, Line().add(f"  {NOT_TRACED}", style("warning"))]
        names = min(max(len(worker_label(worker)) for worker in workers) + 2, 20)
        shares = _SHARES + 9 if width >= 100 else 16 if width >= 70 else 0
        cells = max(width - names - shares - 11, 8)
        ids = [worker.id for worker in workers]
        history = self.context.history
        values = history.worker(metric.series, ids, cells)
        seconds = history.seconds[len(history.seconds) - values.shape[1] :]
        per_second = values if metric.unit == "duration" else values / np.maximum(seconds, 1e-9)
        top = float(np.max(per_second, initial=0.0)) or 1.0
        first = max(0, min(self.cursor - (height - 3), len(workers) - (height - 2)))
        shown = range(first, min(first + max(height - 2, 1), len(workers)))
        lines = [self._title(metric, server, ids, width, len(shown), len(workers))]
        latest = history.rates(metric.series, ids) if metric.shared else _latest(per_second)
        figure = self._figure(metric, server)
        fair = figure.fairness if figure else None
        totals = (
            {worker.id: value for worker, value in zip(figure.workers, figure.values, strict=True)}
            if figure
            else {}
        )
        for row in shown:
            line = Line()
            here = self.has_focus and row == self.cursor
            line.fit(f" {worker_label(workers[row])}", names, style("bold accent" if here else "text"))
            self._heat(line, per_second[row], top, cells, metric)
            line.fit(metric.words(float(latest[row])), 10, style("text"), right=True)
            if fair is not None and shares and workers[row].id in totals:
                line.add(" ")
                self._share(line, totals[workers[row].id], fair, shares)
            lines.append(line)
        lines.append(self._axis(names, cells, seconds, top, metric, fair, width))
        return lines

    def wanted_height(self, width: int) -> int:
        return max(len(self._workers()[1]), 1) + 2

    def action_move(self, step: int) -> None:
        _, workers = self._workers()
        self.cursor = min(max(self.cursor + step, 0), max(len(workers) - 1, 0))

    def action_open(self) -> None:
        _, workers = self._workers()
        if self.cursor < len(workers):
            self.post_message(RowOpened("workers", workers[self.cursor].id))

    def on_click(self, event: events.Click) -> None:
        _, workers = self._workers()
        row = event.y - 1
        if 0 <= row < len(workers):
            self.cursor = row
            if event.chain > 1:
                self.action_open()

    def on_focus(self) -> None:
        self.redraw()

    on_blur = on_focus

    def _workers(self) -> tuple[Server | None, list[Worker]]:
        server = find_server(self.context.frame, self.server) if self.context else None
        if server is None:
            return None, []
        sharers = (
            {
                item.id
                for figure in (
                    self.context.distribution(server).accepts,
                    self.context.distribution(server).reads,
                )
                for item in figure.workers
            }
            if self.context
            else set()
        )
        shown = (item for item in server.workers if item.did_something or item.id in sharers)
        return server, sorted(shown, key=lambda item: (item.pid, item.tid))

    def _figure(self, metric: Metric, server: Server | None) -> WorkShare | None:
        """Return the share of this kind of work; None for a metric without shares."""
        if server is None or self.context is None or not metric.shared or metric.name == "wasted":
            return None
        figures = self.context.distribution(server)
        own = ("accepts", "open", "bytes", "busy", "cpu")
        return getattr(figures, metric.name) if metric.name in own else figures.reads

    def _title(
        self, metric: Metric, server: Server | None, ids: list[int], width: int, shown: int, of: int
    ) -> Line:
        style = self.palette.style
        line = Line().add(" Workers over time: ", style("bold text")).add(metric.title, style("bold accent"))
        if self.switches:
            line.add("  m", style("accent")).add(" switches", style("muted"))
        if shown < of:
            line.add(f"  {shown} of {of}", style("muted"))
        if metric.shared and width >= 100:
            line.end(
                width,
                ("share since the start  ┊ fair  ", style("muted")),
                ("  ", style("text on raised")),
                (" noise ", style("muted")),
            )
        return line

    def _heat(self, line: Line, values: Array, top: float, cells: int, metric: Metric) -> None:
        ramp, style = self.palette.ramp, self.palette.style
        values = np.repeat(values, cells_each(len(values), cells))
        line.add(" " * (cells - len(values)))
        if metric.unit == "duration":
            scaled = np.log1p(values / 1e3) / math.log1p(top / 1e3)
        else:
            scaled = values / top
        if self.colourless:
            line.add("".join(_SHADES[min(int(value * 4.99), 4)] for value in scaled), style("text"))
            return
        steps = np.clip(np.ceil(scaled * (len(ramp) - 1)), 0, len(ramp) - 1).astype(int)
        start = 0
        for index in range(1, len(steps) + 1):
            if index == len(steps) or steps[index] != steps[start]:
                line.add(" " * (index - start), ramp[steps[start]])
                start = index

    def _share(self, line: Line, total: float, fair: Fairness, width: int) -> None:
        """Return a bar with the fair share marked, coloured if it is beyond random variation."""
        style = self.palette.style
        room = width - 8
        part = total / fair.total if fair.total else 0.0
        mean = 1 / len(fair.values)
        full = max(max(fair.shares, default=0.0), 2 * mean)
        noise = 3 * mean * fair.noise_cv if fair.noise_cv == fair.noise_cv else 0.0
        beyond = fair.judgement == "skewed" and abs(part - mean) > max(noise, mean * 0.25)
        text = bar(part / full, room)
        mark = min(int(mean / full * room), room - 1)
        colour = "warning" if beyond and len(fair.values) > 1 else "acceptor"
        low, high = int((mean - noise) / full * room), int((mean + noise) / full * room)
        for index, sign in enumerate(text):
            back = " on raised" if noise and low <= index <= high else ""
            if index == mark:
                line.add("┊" if sign == " " else "╏", style(f"bold text{back}"))
            else:
                line.add(sign, style(f"{colour}{back}"))
        line.fit(f"{100 * part:.1f} %", 7, style(colour if beyond else "text"), right=True).add(" ")

    def _axis(
        self,
        names: int,
        cells: int,
        seconds: Array,
        top: float,
        metric: Metric,
        fair: Fairness | None,
        width: int,
    ) -> Line:
        style, ramp = self.palette.style, self.palette.ramp
        span = f"{float(seconds.sum()):.0f} s ago"
        drawn = len(seconds) * cells_each(len(seconds), cells)
        line = Line().to(names + max(cells - drawn, 0))
        line.add(span if drawn > len(span) + 4 else "", style("muted"))
        line.to(names + cells - 3).add("now", style("muted"))
        line.add("  0 ", style("muted"))
        if self.colourless:
            line.add(_SHADES[1:], style("text"))
        else:
            for step in range(0, len(ramp), 4):
                line.add(" ", ramp[step])
        line.add(f" {metric.words(top)}", style("muted"))
        if fair is not None and fair.judgement != "single_sharer" and width >= 100:
            words = fair.words
            line.end(width, (f"{words} ", style("critical" if fair.judgement == "skewed" else "good")))
        return line


def _latest(values: Array) -> Array:
    return values[:, -1] if values.shape[1] else np.zeros(len(values))
