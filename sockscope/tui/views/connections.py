"""View 4: all connections, queued, open and recently closed."""

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
    empty = "no connections yet"
    example = "port:443 reader:nginx wait:>10ms state:open"
    help = (
        (
            "What it shows",
            "One line per connection: queued (established, not accepted), open, or recently closed.",
        ),
        (
            "In queue",
            "Time from established to accepted; still counting for queued connections.",
        ),
        (
            "Data wait",
            "Longest time from readable to read: the reader was late.",
        ),
        ("Read by", "The thread that read most; + means that others read as well. Enter shows all."),
        (
            "Exact",
            "no: something was not observed, for example the start of a connection older than tracing.",
        ),
        (
            "Filter",
            "Terms are ANDed; ! negates. " + "; ".join(f"{key.name}: {key.help}" for key in KEYS),
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
