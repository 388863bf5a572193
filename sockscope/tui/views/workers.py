"""Screen 3: every thread that accepts, reads or answers."""

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
            "One line a thread that accepts, reads or answers; m puts the threads of a process together.",
        ),
        ("Roles", "L listened, A accepts, R reads, W writes answers, · is woken to work."),
        ("Busy", "Part of the last seconds spent away from epoll_wait, poll or select."),
        (
            "Max stall",
            "The longest time between two waits: whatever else the thread serves waited as long.",
        ),
        (
            "Wasted",
            "Wake-ups that found nothing to accept and nothing to read: a herd, or a race that was lost.",
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
        self.notify("one line a process" if self.by_process else "one line a thread", timeout=2)
