"""View 3: all threads that accept, read or write."""

from __future__ import annotations

from textual.app import ComposeResult

from sockscope.tui.data_source import FrameContext
from sockscope.tui.rows.workers import COLUMNS, KEYS, WorkerRows
from sockscope.tui.text_line import Line
from sockscope.tui.themes import Palette
from sockscope.tui.views.table_view import TableView
from sockscope.tui.widgets.text_panel import TextPanel
from sockscope.tui.worker_text import charts, facts


class WorkersView(TableView):
    title = "Workers"
    switches = True
    columns = COLUMNS
    sort = "accepts"
    empty = "no thread has accepted or read a connection yet"
    example = "role:r busy:>50 stall:>100ms nginx"
    help = (
        (
            "What it shows",
            "One line per thread that accepts, reads or writes; m groups threads by process.",
        ),
        ("Roles", "L listener, A acceptor, R reader, W writer, · worker woken by a reader."),
        ("Busy", "Part of the last seconds spent outside epoll_wait, poll and select."),
        (
            "Max stall",
            "Longest time between two waits: all other connections of the thread waited as long.",
        ),
        (
            "Wasted",
            "Spurious wake-ups: nothing to accept and nothing to read (a thundering herd, or a lost race).",
        ),
        ("Filter", "; ".join(f"{key.name}: {key.help}" for key in KEYS)),
    )
    by_process = False

    def rows(self, context: FrameContext) -> WorkerRows:
        return WorkerRows(context, by_process=self.by_process)

    def below(self) -> ComposeResult:
        yield TextPanel(self._more, id="more")

    def show_below(self, context: FrameContext) -> None:
        self.query_one(TextPanel).give(context)

    def _more(self, context: FrameContext, palette: Palette, width: int, height: int) -> list[Line]:
        chosen = self.table.chosen
        if chosen is None:
            return []
        lines = facts(context, chosen, palette, width)
        return [*lines, Line(), *charts(context, chosen, palette, width, height - len(lines) - 1)]

    def next_choice(self) -> None:
        self.by_process = not self.by_process
        if self.context:
            self.show(self.context)
        self.notify("one line per process" if self.by_process else "one line per thread", timeout=2)
