"""Gauges of accept queues: length, limit, maximum and drops."""

from __future__ import annotations

from textual.reactive import reactive

from sockscope import formatting
from sockscope.model.snapshot import Listener
from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.labels import find_server
from sockscope.tui.text_line import Line, bar, sparkline

_MOST = 4


class Gauges(BaseWidget):
    """The queues of one server, fullest first."""

    server: reactive[str] = reactive("")
    most: reactive[int] = reactive(_MOST)

    def watch_server(self) -> None:
        self.redraw()

    watch_most = watch_server

    def wanted_height(self, width: int) -> int:
        return 1 + max(1, len(self._listeners()[0]))

    def draw(self, width: int, height: int) -> list[Line]:
        style = self.palette.style
        chosen, others = self._listeners()
        title = Line().add(" Accept queues", style("bold text"))
        if others:
            title.add(f"  the fullest {len(chosen)} of {len(chosen) + others}, all: ", style("muted")).add(
                "2", style("accent")
            )
        if width - title.width > 54:
            title.add("  length and limit", style("muted"))
        if not chosen:
            return [title, Line().add("  none", style("muted"))]
        return [title, *(self._line(listener, width) for listener in chosen)]

    def _listeners(self) -> tuple[list[Listener], int]:
        server = find_server(self.context.frame, self.server) if self.context else None
        if server is None:
            return [], 0
        listeners = [item for item in server.group.listeners if not item.closed_ns] or list(
            server.group.listeners
        )
        if len(listeners) <= self.most:
            return listeners, 0
        fullest = sorted(listeners, key=lambda item: (-item.queue, -item.drops, -item.queue_max, item.inode))[
            : self.most
        ]
        return fullest, len(listeners) - self.most

    def _line(self, listener: Listener, width: int) -> Line:
        assert self.context is not None
        style = self.palette.style
        line = Line().fit(f"  socket {listener.inode}", 18, style("muted"))
        part = listener.queue / listener.backlog if listener.backlog else 0.0
        colour = "critical" if part >= 1 else "warning" if part >= 0.5 else "good"
        room = min(max(width - 72, 8), 30)
        line.add("▕", style("faint")).add(bar(part, room), style(colour)).add("▏", style("faint"))
        line.add(f"{listener.queue:>5}", style(f"bold {colour}")).add(
            f" of {listener.backlog}", style("muted")
        ).to(room + 35)
        line.add("max ", style("muted")).fit(str(listener.queue_max), 6, style("text"))
        line.add("dropped ", style("muted"))
        line.fit(formatting.count(listener.drops), 8, style("bold critical" if listener.drops else "text"))
        if listener.closed_ns:
            line.add("closed", style("muted"))
        elif width - line.width > 14:
            values = self.context.history.listener("queue", [listener.id], 120)[0]
            line.add(
                sparkline(
                    list(values), min(width - line.width - 2, 60), max(float(values.max(initial=0)), 4.0)
                ),
                style("accent"),
            )
        return line
