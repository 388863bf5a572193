"""Screen 4: every connection, queued, open and lately closed."""

from __future__ import annotations

import numpy as np
from textual.app import ComposeResult

from sockscope.tui.data_source import FrameContext
from sockscope.tui.rows.connections import COLUMNS, KEYS, ConnectionRows
from sockscope.tui.views.table_view import TableView
from sockscope.tui.widgets.pipeline import Pipeline


class ConnectionsView(TableView):
    title = "Connections"
    columns = COLUMNS
    sort = "wait"
    empty = "no connection yet"
    example = "port:443 reader:nginx wait:>10ms state:open"
    help = (
        (
            "What it shows",
            "One line a connection: queued (established, nobody has accepted it), open, or closed lately.",
        ),
        (
            "In queue",
            "Time between the end of the handshake and accept: the server was late to accept. Still counting for those that are queued.",
        ),
        (
            "Data wait",
            "The longest time that bytes lay readable before a thread read them: the reader was late.",
        ),
        ("Read by", "The thread that read most; + says that others read too. Enter shows all of them."),
        (
            "Exact",
            "no: something was not seen, such as the beginning of a connection older than the tracing.",
        ),
        (
            "Filter",
            "Terms are joined by and; ! negates. " + "; ".join(f"{key.name}: {key.help}" for key in KEYS),
        ),
    )

    def rows(self, context: FrameContext) -> ConnectionRows:
        return ConnectionRows(context.frame)

    def below(self) -> ComposeResult:
        yield Pipeline(id="way")

    def show_below(self, context: FrameContext) -> None:
        way, chosen = self.query_one(Pipeline), self.table.chosen
        records = context.frame.snapshot.connections
        found = np.flatnonzero(records["id"] == chosen)  # none is chosen: no record has that id
        way.full = False
        way.context = context
        way.record = records[found[-1]].copy() if len(found) else None
