"""The screen of one finding."""

from __future__ import annotations

from textual.app import ComposeResult

from sockscope.analysis.frame import Finding
from sockscope.tui.data_source import FrameContext
from sockscope.tui.screens.base import FrameScreen
from sockscope.tui.views.findings import find_finding
from sockscope.tui.widgets.finding_panel import FindingPanel
from sockscope.tui.widgets.key_line import KeyLine


class FindingScreen(FrameScreen):
    heading = "One finding"
    help = (
        (
            "What it shows",
            "Explanation, evidence, chart and remedy.",
        ),
        (
            "Still true?",
            "A finding that is no longer detected is marked and shown as it was last.",
        ),
    )

    def __init__(self, key: int, finding: Finding) -> None:
        super().__init__()
        self._key, self._finding = key, finding

    def compose(self) -> ComposeResult:
        yield from self.top()
        yield FindingPanel(id="finding", can_focus=True)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(FindingPanel).focus()

    def show(self, context: FrameContext) -> None:
        found = find_finding(context.frame, self._key)
        self._finding = found or self._finding
        self.query_one(FindingPanel).show(context, self._finding, passed=found is None)
