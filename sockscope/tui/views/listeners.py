"""View 2: all listeners with queues, and the distribution over SO_REUSEPORT groups."""

from __future__ import annotations

from textual.app import ComposeResult

from sockscope.tui.data_source import FrameContext
from sockscope.tui.rows.listeners import COLUMNS, KEYS, ListenerRows
from sockscope.tui.views.table_view import TableView
from sockscope.tui.widgets.groups import Groups
from sockscope.tui.widgets.timeline import Timeline


class ListenersView(TableView):
    title = "Listeners"
    columns = COLUMNS
    sort = "name"
    empty = "no listening socket matches the target yet"
    example = "port:8080 queue:>10 drops:>0 nginx"
    help = (
        ("State", "no acceptor: connections arrived and none was accepted. queue full: further ones are dropped."),
        ("Asked", "Backlog given to listen(), as far as it can be known: 128+ is 128 or more, limited by net.core.somaxconn."),
        ("Queue, limit, max", "Connections established that nobody has accepted yet, how many there may be "
         "(the least of listen()'s backlog and net.core.somaxconn), and the most seen."),
        ("Drops", "All drops of the listening socket since it was created; after an overflow clients retry after 1 s or more."),
        ("SO_REUSEPORT group", "1/4 is the first of four members. The kernel hashes each connection to one of them; the bar is what "
         "share, ┊ the fair share, the lighter band random variation (three standard deviations)."),
        ("Nobody accepts", "Connections wait in that queue until the listener is closed: often a descriptor leaked at a reload."),
        ("SYN", "SYN queue: half-open handshakes of all sockets of the address and port."),
        ("Filter", "; ".join(f"{key.name}: {key.help}" for key in KEYS)),
    )  # fmt: skip

    def compose(self) -> ComposeResult:
        yield Groups(id="groups")
        yield from super().compose()

    def below(self) -> ComposeResult:
        yield Timeline(id="timeline")

    def show(self, context: FrameContext) -> None:
        self.query_one(Groups).context = context
        super().show(context)

    def show_below(self, context: FrameContext) -> None:
        timeline = self.query_one(Timeline)
        timeline.ids = (self.table.chosen,) if self.table.chosen is not None else ()
        timeline.context = context

    def rows(self, context: FrameContext) -> ListenerRows:
        return ListenerRows(context)
