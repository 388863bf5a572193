"""One finding: what it means, the numbers, the chart that shows it, and what to do."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Footer

from sockscope import units
from sockscope.analysis.frame import Finding, Server
from sockscope.tui.feed import Moment
from sockscope.tui.lines import Line, plain, wrap
from sockscope.tui.names import SEVERITY_COLOURS, SEVERITY_SIGNS
from sockscope.tui.screens.base import MomentScreen
from sockscope.tui.themes import Palette
from sockscope.tui.views.findings import finding_of
from sockscope.tui.widgets.header import Header
from sockscope.tui.widgets.heatmap import METRICS, HeatMap
from sockscope.tui.widgets.sheet import Sheet
from sockscope.tui.widgets.spectrogram import KINDS, Spectrogram
from sockscope.tui.widgets.timeline import Timeline

#: What in a finding's name calls for which chart: (words, chart, what of it); the first that fits.
CHARTS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("overflow", "backlog", "near-limit", "orphan", "syn"), "timeline", ""),
    (("loop-stall",), "spectrogram", "stall"),
    (("queue-wait", "member-stalled"), "spectrogram", "queue_wait"),
    (("reader-late", "data-wait"), "spectrogram", "data_wait"),
    (("saturat", "straggler", "idle", "cpu"), "heat", "busy"),
    (("heavy", "client-slow"), "heat", "bytes"),
    (("share-limit", "read"), "heat", "reads"),
    ((), "heat", "accepts"),
)


class FindingScreen(MomentScreen):
    heading = "One finding"
    help = (
        (
            "What it shows",
            "What it means, the numbers behind it, the chart that shows it, and what an expert would do.",
        ),
        (
            "Still true?",
            "When the numbers no longer say so, the finding is marked as passed and shown as it was last.",
        ),
    )

    def __init__(self, key: int, finding: Finding) -> None:
        super().__init__()
        self._key, self._finding, self._passed = key, finding, False
        self.chart, self._what = chart_for(finding)

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        with VerticalScroll(id="finding", can_focus=True):
            yield Sheet(self._text, id="facts")
            yield {"timeline": Timeline, "spectrogram": Spectrogram, "heat": HeatMap}[self.chart](id="proof")
            yield Sheet(self._remedy, id="remedy")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def show(self, moment: Moment) -> None:
        found = finding_of(moment.frame, self._key)
        self._passed = found is None
        self._finding = found or self._finding
        for sheet in self.query(Sheet):
            sheet.moment = moment
        server = self._server(moment)
        for timeline in self.query(Timeline):
            listeners = server.group.listeners if server else moment.frame.snapshot.listeners
            timeline.ids = tuple(listener.id for listener in listeners)
            timeline.moment = moment
        for heat in self.query(HeatMap):
            heat.metric = next(index for index, metric in enumerate(METRICS) if metric.series == self._what)
            heat.server = server.group.name if server else ""
            heat.moment = moment
        for chart in self.query(Spectrogram):
            chart.kind = next(index for index, kind in enumerate(KINDS) if kind[0] == self._what)
            chart.moment = moment

    def _server(self, moment: Moment) -> Server | None:
        return next((item for item in moment.frame.servers if item.group.name in self._finding.subject), None)

    def _text(self, moment: Moment, palette: Palette, width: int, height: int) -> list[Line]:
        style, finding = palette.style, self._finding
        colour = SEVERITY_COLOURS[finding.severity]
        head = Line().add(f" {SEVERITY_SIGNS[finding.severity]} {finding.severity} ", style(f"bold {colour}"))
        head.add(plain(finding.title), style("bold text"))
        if self._passed:
            head.add("  (passed)", style("muted"))
        lines = [
            head,
            Line().add(f"   about {plain(finding.subject)}   {plain(finding.id)}", style("muted")),
            Line(),
        ]
        lines += [
            Line().add(f" {part}", style("text"))
            for part in wrap(plain(finding.explanation), min(width - 2, 100))
        ]
        lines += [Line(), Line().add(" Evidence", style("bold text"))]
        for name, value in finding.evidence.items():
            words = name.removesuffix("_ns").replace("_", " ")
            line = Line().fit(f"   {plain(words)}", 34, style("muted"))
            lines.append(line.add(_value(name, value), style("bold text")))
        return [*lines, Line()]

    def _remedy(self, moment: Moment, palette: Palette, width: int, height: int) -> list[Line]:
        style = palette.style
        lines = [Line(), Line().add(" What to do", style("bold good"))]
        for number, step in enumerate(self._finding.remedy, 1):
            for index, part in enumerate(wrap(plain(step), min(width - 6, 100))):
                lines.append(
                    Line()
                    .add(f" {number}. " if not index else "    ", style("good"))
                    .add(part, style("text"))
                )
        return lines


def chart_for(finding: Finding) -> tuple[str, str]:
    """Which chart shows it, and what of it."""
    name = finding.id.lower().replace("_", "-")
    return next(
        (chart, what) for words, chart, what in CHARTS if not words or any(word in name for word in words)
    )


def _value(name: str, value: float | int | str) -> str:
    if isinstance(value, str):
        return plain(value)
    if name.endswith("_ns"):
        return units.duration(value)
    if isinstance(value, int):
        return units.count(value)
    return f"{value:.3g}"
