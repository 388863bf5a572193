"""View 1: whether work is shared fairly."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.reactive import reactive

from sockscope.tui.data_source import FrameContext
from sockscope.tui.labels import find_server
from sockscope.tui.messages import ServerChosen
from sockscope.tui.views.base import View
from sockscope.tui.widgets.flow import FlowMap
from sockscope.tui.widgets.gauges import Gauges
from sockscope.tui.widgets.heatmap import METRICS, HeatMap
from sockscope.tui.widgets.spectrogram import Spectrogram
from sockscope.tui.widgets.verdicts import Verdicts


class OverviewView(View):
    title = "Overview"
    switches = True
    help = (
        ("First lines", "One a server: its address, its model, whether the work is shared fairly, its worst finding. "
         "With several servers, up and down choose the one that the rest is about."),
        ("The drawing", "The path of a connection: clients, accept queue, acceptors, readers, workers. Numbers on "
         "arrows are a second's; the bar beside a queue is how full it is, beside a thread how busy."),
        ("Workers over time", "One line a thread, now at the right. m switches: accepts, reads, answers, bytes, busy time, queue "
         "wait, data wait. The bar is its share since the start among those that share this work, ┊ the fair share, the "
         "lighter band random variation; an unfair bar has another colour. Tab goes there, Enter opens the thread."),
        ("Accept queues", "Length of the accept queue and its limit."),
        ("Why?", "2 listeners, 3 workers, 4 connections, 5 findings, 6 waits over time."),
    )  # fmt: skip
    server: reactive[str] = reactive("")

    def compose(self) -> ComposeResult:
        yield Verdicts(id="verdicts")
        yield FlowMap(id="flow")
        yield HeatMap(id="heat")
        yield Gauges(id="gauges")
        yield Spectrogram(id="waits")

    def show(self, context: FrameContext) -> None:
        if not self.server or all(item.group.name != self.server for item in context.frame.servers):
            chosen = find_server(context.frame, self.server)
            self.server = chosen.group.name if chosen else ""
        for widget in self._parts():
            widget.context = context
        waits = self.query_one(Spectrogram)
        self._narrow_waits()
        self._arrange()
        if waits.display:
            waits.context = context

    def watch_server(self, name: str) -> None:
        for widget in self._parts():
            widget.server = name
        self._narrow_waits()

    def on_resize(self) -> None:
        self._arrange()

    def _parts(self) -> tuple[Verdicts, FlowMap, HeatMap, Gauges]:
        return (
            self.query_one(Verdicts),
            self.query_one(FlowMap),
            self.query_one(HeatMap),
            self.query_one(Gauges),
        )

    def _narrow_waits(self) -> None:
        server = find_server(self.context.frame, self.server) if self.context else None
        waits = self.query_one(Spectrogram)
        waits.ids = tuple(worker.id for worker in server.workers) if server else None
        waits.who = server.group.name if server else "all workers"

    def _arrange(self) -> None:
        """Give each part the lines that it needs, and the rest to the waits over time."""
        if self.context is None or not self.size.height:
            return
        verdicts, flow, heat, gauges = self._parts()
        width, room = self.size.width, self.size.height
        spare = 3 if room >= 28 else 0
        gauges.most = 4 if spare else 2
        room -= verdicts.wanted_height(width) + gauges.wanted_height(width) + spare
        drawn = min(flow.wanted_height(width), max(room // 3, 5))
        shown = max(min(heat.wanted_height(width), room - drawn), 3)
        left = room - drawn - shown - 1
        if left < 9:
            drawn = min(flow.wanted_height(width), drawn + left + 1)
        for widget, height in ((flow, drawn), (heat, shown)):
            if widget.styles.height is None or widget.styles.height.value != height:
                widget.styles.height = height
        self.set_class(not spare, "tight")
        self.query_one(Spectrogram).display = left >= 9

    def start_focus(self) -> None:
        self.query_one(Verdicts).focus()

    def on_server_chosen(self, message: ServerChosen) -> None:
        self.server = message.name

    def next_choice(self) -> None:
        heat = self.query_one(HeatMap)
        heat.metric = (heat.shown + 1) % len(METRICS)
        self.query_one(Spectrogram).kind = (
            1 if METRICS[heat.metric].series in ("data_wait", "reads", "answers", "bytes") else 0
        )
