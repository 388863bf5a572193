"""View 6: waits over time."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.reactive import reactive

from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.data_source import FrameContext
from sockscope.tui.labels import worker_label
from sockscope.tui.text_line import Line
from sockscope.tui.views.base import View
from sockscope.tui.widgets.spectrogram import KINDS, Spectrogram


class Choice(BaseWidget):
    """The line that names the wait and the worker, and the key to change it."""

    kind: reactive[int] = reactive(0)

    def watch_kind(self) -> None:
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        style, line = self.palette.style, Line().add(" m", self.palette.style("accent")).add(" ")
        for index, (_, title, _) in enumerate(KINDS):
            words = (
                title
                if width >= 100
                else title.split(" of ")[0].replace("Queue wait", "Queue wait").replace("Wait", "Data wait")
            )
            line.add(f" {words} ", style("reverse accent" if index == self.kind else "muted")).add(" ")
        return [line.add("  ← →", style("accent")).add(" one worker, or all", style("muted"))]


class LatencyView(View, can_focus=True):
    title = "Latency"
    switches = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l,down,j", "other(1)", "Next worker", show=False),
        Binding("left,h,up,k", "other(-1)", "Previous worker", show=False),
    ]
    help = (
        ("What it shows", "Each column is a tick, now at the right; each line a range of durations, longer ones above. "
         "The brighter a cell, the more were measured; the scale is below."),
        ("m", "Switches between queue wait, data wait and loop stalls."),
        ("← →", "One worker after another, or all of them together."),
        ("How to read it", "A bright band low down is good. A second band higher up is a group that waits: look which "
         "worker it comes from. A column that reaches up is a moment at which everything waited: a stall."),
    )  # fmt: skip
    chosen: reactive[int | None] = reactive(None)

    def compose(self) -> ComposeResult:
        yield Choice(id="latency-choice")
        yield Spectrogram(id="spectrogram")

    def show(self, context: FrameContext) -> None:
        self.query_one(Spectrogram).context = context

    def start_focus(self) -> None:
        self.focus()

    def next_choice(self) -> None:
        chart = self.query_one(Spectrogram)
        chart.kind = self.query_one(Choice).kind = (chart.kind + 1) % len(KINDS)

    def action_other(self, step: int) -> None:
        if self.context is None:
            return
        workers = self.context.frame.snapshot.workers
        ids = sorted(
            (number for number, worker in workers.items() if worker.did_something),
            key=lambda n: (workers[n].pid, workers[n].tid),
        )
        places: list[int | None] = [None, *ids]
        at = places.index(self.chosen) if self.chosen in places else 0
        self.chosen = places[(at + step) % len(places)]

    def watch_chosen(self, chosen: int | None) -> None:
        chart = self.query_one(Spectrogram)
        chart.ids = None if chosen is None else (chosen,)
        worker = (
            self.context.frame.snapshot.workers.get(chosen) if self.context and chosen is not None else None
        )
        chart.who = worker_label(worker) if worker else "all workers"
