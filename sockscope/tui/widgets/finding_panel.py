"""One finding: text, evidence, chart and remedy."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll

from sockscope.analysis.frame import Finding
from sockscope.analysis.server import Server
from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.data_source import FrameContext
from sockscope.tui.finding_text import chart_for, remedy, text
from sockscope.tui.labels import worker_label
from sockscope.tui.text_line import Line
from sockscope.tui.themes import Palette
from sockscope.tui.widgets.flow import FlowMap
from sockscope.tui.widgets.heatmap import METRICS, PROOFS, HeatMap
from sockscope.tui.widgets.spectrogram import KINDS, Spectrogram
from sockscope.tui.widgets.text_panel import TextPanel
from sockscope.tui.widgets.timeline import Timeline

_CHARTS: dict[str, type[BaseWidget]] = {
    "timeline": Timeline, "spectrogram": Spectrogram, "heat": HeatMap, "flow": FlowMap,
}  # fmt: skip
_TALLEST = 14


class FindingPanel(VerticalScroll):
    """A panel with all charts, of which the one for the finding is visible."""

    _finding: Finding | None = None
    _passed = False

    def compose(self) -> ComposeResult:
        yield TextPanel(self._text, id="facts")
        for name, chart in _CHARTS.items():
            made = chart(id=f"proof-{name}", classes="proof")
            made.display = made.can_focus = False
            yield made
        yield TextPanel(self._remedy, id="remedy")

    def show(self, context: FrameContext, finding: Finding | None, *, passed: bool = False) -> None:
        """Show a finding.

        :param passed: whether it is no longer detected
        """
        self._finding, self._passed = finding, passed
        for sheet in self.query(TextPanel):
            sheet.give(context)
        name, what = chart_for(finding) if finding else ("", "")
        for chart in self.query(".proof").results(BaseWidget):
            chart.display = chart.id == f"proof-{name}"
            if chart.display and finding:
                self._aim(chart, what, finding, context)
                chart.context = context
                if isinstance(chart, HeatMap | FlowMap):  # the others fill what they are given
                    chart.styles.height = min(chart.wanted_height(self.size.width), _TALLEST)

    def _aim(self, chart: BaseWidget, what: str, finding: Finding, context: FrameContext) -> None:
        """Set the subject of the chart: the server of the finding, or the thread that it names."""
        server = _server_of(finding, context)
        name = server.group.name if server else ""
        if isinstance(chart, Timeline):
            listeners = server.group.listeners if server else context.frame.snapshot.listeners
            chart.series, chart.ids = what, tuple(listener.id for listener in listeners)
        elif isinstance(chart, HeatMap):
            metrics = [*METRICS, *PROOFS]
            chart.metric = next(index for index, metric in enumerate(metrics) if metric.name == what)
            chart.server, chart.switches = name, False
        elif isinstance(chart, Spectrogram):
            chart.kind = next(index for index, kind in enumerate(KINDS) if kind[0] == what)
            workers = context.frame.snapshot.workers.values()
            named = [item for item in workers if _is_about(finding, item.tid, item.comm)]
            if len(named) == 1:
                chart.ids, chart.who = (named[0].id,), worker_label(named[0])
            else:
                chart.ids = tuple(item.id for item in server.workers) if server else None
                chart.who = name or "all workers"
        elif isinstance(chart, FlowMap):
            chart.server = name

    def _text(self, context: FrameContext, palette: Palette, width: int, height: int) -> list[Line]:
        return text(self._finding, palette, width, passed=self._passed) if self._finding else []

    def _remedy(self, context: FrameContext, palette: Palette, width: int, height: int) -> list[Line]:
        return [Line(), *remedy(self._finding, palette, width)] if self._finding else []


def _is_about(finding: Finding, tid: int, comm: str) -> bool:
    """Return whether the subject of the finding names this thread."""
    words = finding.subject.replace(",", " ").replace("(", " ").replace(")", " ").split()
    return str(tid) in words and comm in finding.subject


def _server_of(finding: Finding, context: FrameContext) -> Server | None:
    return next((item for item in context.frame.servers if item.group.name in finding.subject), None)
