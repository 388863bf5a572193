"""View 5: findings, highest severity first."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from textual.app import ComposeResult

from sockscope.analysis.frame import Finding, Frame
from sockscope.analysis.severity import MEANINGS, SEVERITIES, rank
from sockscope.tui.columns import TableColumn
from sockscope.tui.data_source import FrameContext
from sockscope.tui.filters import Key, Mask
from sockscope.tui.labels import SEVERITY_COLOURS, SEVERITY_SIGNS
from sockscope.tui.text_line import plain
from sockscope.tui.views.table_view import TableView
from sockscope.tui.widgets.finding_panel import FindingPanel

Array = np.ndarray[Any, np.dtype[Any]]


def finding_key(finding: Finding) -> int:
    """Return a number for a finding that stays the same for the same subject."""
    return zlib.crc32(f"{finding.id}\0{finding.subject}".encode())


def find_finding(frame: Frame, key: int) -> Finding | None:
    return next((finding for finding in frame.findings if finding_key(finding) == key), None)


class FindingRows:
    """The findings of a frame."""

    keys = (
        Key("severity", "text", "info, notice, warning or critical"),
        Key("subject", "text", "subject"),
        Key("id", "text", "stable id"),
    )

    def __init__(self, frame: Frame) -> None:
        self._findings = frame.findings

    def __len__(self) -> int:
        return len(self._findings)

    def identities(self) -> Array:
        return np.array([finding_key(finding) for finding in self._findings], np.int64)

    def numbers(self, key: str) -> Array:
        return np.full(len(self), np.nan)

    def contains(self, key: str, word: str) -> Mask:
        def text(finding: Finding) -> str:
            return str(getattr(finding, key)) if key else f"{finding.title} {finding.subject} {finding.id}"

        return np.array([word in text(finding).lower() for finding in self._findings], bool)

    def order(self, column: str) -> Array:
        if column == "severity":
            return np.array([rank(finding.severity) for finding in self._findings])
        return np.array([getattr(finding, column) for finding in self._findings])

    def cell(self, row: int, column: str) -> tuple[str, str]:
        finding = self._findings[row]
        colour = SEVERITY_COLOURS[finding.severity]
        if column == "severity":
            return f"{SEVERITY_SIGNS[finding.severity]} {finding.severity}", f"bold {colour}"
        return plain(str(getattr(finding, column))), "text" if column == "title" else "muted"


class FindingsView(TableView):
    title = "Findings"
    columns = (
        TableColumn("title", "Finding", 36, grows=True, least_first=True),
        TableColumn("severity", "Severity", 11),
        TableColumn("subject", "Subject", 20, grows=True, least_first=True),
        TableColumn("id", "Name", 18, least_first=True),
    )
    sort = "severity"
    empty = "no findings so far; new ones appear here"
    example = "severity:critical 8080"
    help = (
        (
            "What it shows",
            "Detected faults, highest severity first. Enter shows evidence, chart and remedy.",
        ),
        ("Severity", "; ".join(f"{severity}: {MEANINGS[severity]}" for severity in reversed(SEVERITIES))),
    )

    def rows(self, context: FrameContext) -> FindingRows:
        return FindingRows(context.frame)

    def below(self) -> ComposeResult:
        yield FindingPanel(id="more", can_focus=False)

    def show_below(self, context: FrameContext) -> None:
        chosen = self.table.chosen
        self.query_one(FindingPanel).show(
            context, find_finding(context.frame, chosen) if chosen is not None else None
        )
