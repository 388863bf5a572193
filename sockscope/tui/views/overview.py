"""Screen 1: is the work spread fairly?  One look."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.reactive import reactive

from sockscope.tui.feed import Moment
from sockscope.tui.messages import ServerChosen
from sockscope.tui.names import server_named
from sockscope.tui.views.base import View
from sockscope.tui.widgets.flow import FlowMap
from sockscope.tui.widgets.gauges import Gauges
from sockscope.tui.widgets.heatmap import METRICS, HeatMap
from sockscope.tui.widgets.verdicts import Verdicts


class OverviewView(View):
    title = "Overview"
    help = (
        ("First lines", "One a server: its address, its model, whether the work is shared fairly, its worst finding. "
         "With several servers, up and down choose the one that the rest is about."),
        ("The drawing", "The way of a connection: clients, accept queue, who accepts, who reads, who works. Numbers on "
         "arrows are a second's; the bar beside a queue is how full it is, beside a thread how busy."),
        ("Workers over time", "One line a thread, now at the right. m switches: accepts, reads, bytes, busy time, queue "
         "wait, data wait. The bar is its share since the start, ┊ the fair share; a bar that chance cannot explain is "
         "coloured. Tab goes there, Enter opens the thread."),
        ("Accept queues", "Connections that nobody has accepted yet, of how many there may be."),
        ("Why?", "2 the queues and the kernel's spread, 3 the threads, 4 the connections, 5 what was found, 6 waits over time."),
    )  # fmt: skip
    server: reactive[str] = reactive("")

    def compose(self) -> ComposeResult:
        yield Verdicts(id="verdicts")
        yield FlowMap(id="flow")
        yield HeatMap(id="heat")
        yield Gauges(id="gauges")

    def show(self, moment: Moment) -> None:
        if not self.server or all(item.group.name != self.server for item in moment.frame.servers):
            chosen = server_named(moment.frame, self.server)
            self.server = chosen.group.name if chosen else ""
        for widget in (self.query_one(Verdicts), self.query_one(FlowMap), self.query_one(HeatMap), self.query_one(Gauges)):
            widget.moment = moment

    def watch_server(self, name: str) -> None:
        for widget in (self.query_one(Verdicts), self.query_one(FlowMap), self.query_one(HeatMap), self.query_one(Gauges)):
            widget.server = name

    def start_focus(self) -> None:
        self.query_one(Verdicts).focus()

    def on_server_chosen(self, message: ServerChosen) -> None:
        self.server = message.name

    def next_choice(self) -> None:
        heat = self.query_one(HeatMap)
        heat.metric = (heat.metric + 1) % len(METRICS)
