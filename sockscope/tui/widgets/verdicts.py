"""One verdict line per server: model, fairness, waits, most severe finding."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.reactive import reactive

from sockscope import formatting
from sockscope.analysis.findings import all_evaluated
from sockscope.analysis.frame import Finding, Frame
from sockscope.analysis.server import Server
from sockscope.analysis.severity import rank
from sockscope.analysis.signal_requirements import NOT_TRACED, is_traced
from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.data_source import FrameContext
from sockscope.tui.labels import SEVERITY_COLOURS, SEVERITY_SIGNS, model_label
from sockscope.tui.messages import ServerChosen
from sockscope.tui.text_line import Line, fit, plain

_MOST = 5


class Verdicts(BaseWidget, can_focus=True):
    """The servers; the selected one is marked, Up and Down select."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Next server", show=False),
        Binding("up,k", "move(-1)", "Previous server", show=False),
    ]
    server: reactive[str] = reactive("")

    def watch_server(self) -> None:
        self.redraw()

    def wanted_height(self, width: int) -> int:
        servers = len(self.context.frame.servers) if self.context else 0
        return min(servers, _MOST) + 2 if servers else 1

    def draw(self, width: int, height: int) -> list[Line]:
        style = self.palette.style
        if self.context is None:
            return [Line().add(" waiting for the first tick …", style("muted"))]
        frame = self.context.frame
        servers = self._shown(frame)
        if not servers:
            return [
                Line().add(
                    " no listening socket matches the target yet; one that appears is shown at once",
                    style("muted"),
                )
            ]
        lines = [self._line(frame, server, width) for server in servers]
        chosen = next((item for item in servers if item.group.name == self.server), servers[0])
        lines += [self._why(frame, chosen, width), self._worst(frame, chosen, width)]
        return lines

    def action_move(self, step: int) -> None:
        if self.context is None or not self.context.frame.servers:
            return
        names = [server.group.name for server in self._order(self.context.frame)]
        at = names.index(self.server) if self.server in names else 0
        self.post_message(ServerChosen(names[min(max(at + step, 0), len(names) - 1)]))

    def on_click(self, event: events.Click) -> None:
        if self.context:
            servers = self._shown(self.context.frame)
            if event.y < len(servers):
                self.post_message(ServerChosen(servers[event.y].group.name))

    def _order(self, frame: Frame) -> list[Server]:
        return sorted(frame.servers, key=lambda server: -server.connections)

    def _shown(self, frame: Frame) -> list[Server]:
        servers = self._order(frame)
        at = next((index for index, item in enumerate(servers) if item.group.name == self.server), 0)
        first = max(0, min(at - _MOST + 1, len(servers) - _MOST)) if at >= _MOST else 0
        return servers[first : first + _MOST]

    def _line(self, frame: Frame, server: Server, width: int) -> Line:
        style, line = self.palette.style, Line()
        here = len(frame.servers) > 1 and server.group.name == self.server
        line.add("▶" if here else " ", style("bold accent"))
        wide = width >= 100
        line.fit(server.group.name, 20 if wide else 15, style("bold text")).add(" ")
        line.fit(plain(server.comm), 14 if wide else 10, style("text"))
        line.fit(
            server.model, 17 if wide else 10, style("bold accent" if server.model != "unknown" else "muted")
        ).add(" ")
        assert self.context is not None
        sign, words, colour = judgement(self.context, server)
        line.add(f"{sign} {words}", style(colour))
        parts = []
        for words, waits in (("queue wait", frame.queue_wait), ("data wait", frame.data_wait)):
            wait = waits.get(server.group.name)
            if wait is not None and wait.samples:
                parts += [(f"  {words} p99 ", style("muted")), (formatting.duration(wait.p99), style("text"))]
        while parts and line.width + 2 + sum(len(text) for text, _ in parts) > width:
            parts = parts[:-2]
        return line.end(width, *parts, (" ", None)) if parts else line

    def _why(self, frame: Frame, server: Server, width: int) -> Line:
        text = server.why if server.model == "unknown" else model_label(server)
        if server.model != "unknown":
            text = f"{server.model}: {text}, seen on {formatting.count(server.connections)} connections"
        return Line().add(f"  {fit(text, max(width - 3, 0))}", self.palette.style("muted"))

    def _worst(self, frame: Frame, server: Server, width: int) -> Line:
        style = self.palette.style
        finding = worst_finding(frame, server)
        if finding is None or finding.severity == "info":
            partly = "" if all_evaluated(frame.snapshot.untraced) else " in the traced signals"
            return Line().add(f"  nothing found wrong{partly}", style("muted"))
        colour = SEVERITY_COLOURS[finding.severity]
        line = Line().add(
            f"  {SEVERITY_SIGNS[finding.severity]} {plain(finding.title)[: max(width - 24, 0)]}",
            style(f"bold {colour}"),
        )
        others = sum(item.severity != "info" for item in frame.findings) - 1
        more = f"  and {others} more:" if others > 0 else "  more:"
        return line.add(more, style("muted")).add(" 5", style("accent"))


def judgement(context: FrameContext, server: Server) -> tuple[str, str, str]:
    """Return sign, words and colour for how fairly work is shared among the readers."""
    figures = context.distribution(server)
    serving = len(server.acceptors) <= 1 and server.model != "single"
    if serving and not is_traced(context.frame.snapshot, "reads"):
        return "?", f"reads were {NOT_TRACED}", "muted"
    fair = figures.reads.fairness if serving else figures.accepts.fairness
    words = fair.words
    if fair.judgement == "single_sharer":
        return "○", "only one thread" if server.model != "unknown" else words, "muted"
    if fair.judgement == "skewed":
        return "✗", f"skewed: the busiest has {fair.max_over_mean:.1f}× its share", "critical"
    if fair.judgement == "insufficient_data":
        return "?", words, "muted"
    return "✓", "shared evenly" if fair.judgement == "even" else words, "good"


def worst_finding(frame: Frame, server: Server) -> Finding | None:
    """Return the most severe finding about a server."""
    about = [
        finding for finding in frame.findings
        if server.group.name in finding.subject or len(frame.servers) == 1
    ]  # fmt: skip
    return max(about, key=lambda finding: rank(finding.severity), default=None)
