"""The screen of one worker: its work, waits and hand-offs."""

from __future__ import annotations

import numpy as np
from textual.app import ComposeResult

from sockscope.tui.data_source import FrameContext
from sockscope.tui.rows.connections import COLUMNS, ConnectionRows
from sockscope.tui.screens.base import FrameScreen
from sockscope.tui.table import Table
from sockscope.tui.text_line import Line
from sockscope.tui.themes import Palette
from sockscope.tui.widgets.key_line import KeyLine
from sockscope.tui.widgets.text_panel import TextPanel
from sockscope.tui.worker_text import charts, facts


class WorkerScreen(FrameScreen):
    heading = "One worker"
    help = (
        ("What it shows", "What this thread did since the start, and its last seconds; then four histograms: each line is "
         "a range of durations, its bar how often."),
        ("Loop stalls", "Time between two waits in the event loop. All other connections of the thread wait as long."),
        ("Connections", "Connections that it accepted or reads. Enter opens one; s sorts."),
    )  # fmt: skip

    def __init__(self, worker: int) -> None:
        super().__init__()
        self.worker = worker

    def compose(self) -> ComposeResult:
        yield from self.top()
        yield TextPanel(self._facts, id="facts")
        yield TextPanel(self._charts, id="charts")
        yield Table(COLUMNS, "wait", empty="no listed connections", id="connections-table")
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(Table).focus()

    def show(self, context: FrameContext) -> None:
        for sheet in self.query(TextPanel):
            sheet.context = context
        snapshot = context.frame.snapshot
        records = snapshot.connections
        io = records["io"]
        own = (records["acceptor"] == self.worker) | (io["worker"] == self.worker).any(axis=1)
        more = snapshot.connection_io[snapshot.connection_io["worker"] == self.worker]["connection"]
        self.query_one(Table).show(ConnectionRows(context.frame, own | np.isin(records["id"], more)))

    def _facts(self, context: FrameContext, palette: Palette, width: int, height: int) -> list[Line]:
        return facts(context, self.worker, palette, width)

    def _charts(self, context: FrameContext, palette: Palette, width: int, height: int) -> list[Line]:
        return charts(context, self.worker, palette, width, height)
