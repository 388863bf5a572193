"""What is said of one finding: what it means, the numbers behind it, what to do; and which chart proves it."""

from __future__ import annotations

import math

from sockscope import formatting
from sockscope.analysis.findings import explained
from sockscope.analysis.frame import Finding
from sockscope.tui.labels import SEVERITY_COLOURS, SEVERITY_SIGNS
from sockscope.tui.text_line import Line, plain, wrap
from sockscope.tui.themes import Palette

#: Finding → (chart, what of it).  A test holds it against the list of findings.
CHARTS: dict[str, tuple[str, str]] = {
    "member-orphaned": ("timeline", "queue"),
    "reuseport-unused": ("flow", ""),
    "straggler": ("heat", "busy"),
    "too-few-cpus": ("heat", "cpu"),
    "cpu-starved": ("heat", "cpu"),
    "member-stalled": ("heat", "queue_wait"),
    "loop-stall": ("spectrogram", "stall"),
    "accept-lock-contention": ("spectrogram", "queue_wait"),
    "accept-skew-shared": ("heat", "accepts"),
    "accept-skew-reuseport": ("heat", "accepts"),
    "heavy-connections": ("heat", "bytes"),
    "open-connections-skew": ("heat", "open"),
    "acceptor-saturated": ("heat", "busy"),
    "dispatcher-saturated": ("heat", "busy"),
    "single-saturated": ("heat", "busy"),
    "workers-saturated": ("heat", "busy"),
    "backlog-clamped": ("timeline", "queue"),
    "queue-overflow": ("timeline", "queue"),
    "syn-queue-pressure": ("timeline", "syn_queue"),
    "thundering-herd": ("heat", "wasted"),
    "wasted-wakeups": ("heat", "wasted"),
    "queue-wait-high": ("spectrogram", "queue_wait"),
    "reader-late": ("spectrogram", "data_wait"),
    "queue-near-limit": ("timeline", "queue"),
    "queue-wait-above-limit": ("spectrogram", "queue_wait"),
    "share-above-limit": ("heat", "accepts"),
    "idle-workers": ("heat", "reads"),
    "handoff-across-cpus": ("flow", ""),
    "client-slow": ("heat", "reads"),
}
_SCALES = {"_ns": 1.0, "_us": 1e3, "_ms": 1e6}
#: Endings of names whose value is a part of one.
_PARTS = ("load", "part", "fill", "crossed", "asleep", "share")
_EVIDENCE_WIDTH = 38
_TEXT_WIDTH = 110


def text(finding: Finding, palette: Palette, width: int, *, passed: bool = False) -> list[Line]:
    """Title, meaning and evidence."""
    style, colour = palette.style, SEVERITY_COLOURS[finding.severity]
    head = Line().add(f" {SEVERITY_SIGNS[finding.severity]} {finding.severity} ", style(f"bold {colour}"))
    head.add(plain(finding.title), style("bold text"))
    if passed:
        head.add("  (passed: the numbers no longer say so)", style("muted"))
    about = f"   {plain(finding.id)}, about {plain(finding.subject)}"
    lines = [head, Line().add(about, style("muted"))]
    meaning = wrap(plain(finding.explanation), min(width - 3, _TEXT_WIDTH))
    lines += [Line().add(f" {part}", style("text")) for part in meaning]
    return [*lines, Line(), *_evidence(finding, palette, width)]


def remedy(finding: Finding, palette: Palette, width: int) -> list[Line]:
    """What an expert would do, step by step."""
    style = palette.style
    lines = [Line().add(" What to do", style("bold good"))]
    for number, step in enumerate(finding.remedy, 1):
        for index, part in enumerate(wrap(plain(step), min(width - 6, _TEXT_WIDTH))):
            begin = f" {number}. " if not index else "    "
            lines.append(Line().add(begin, style("good")).add(part, style("text")))
    return lines


def chart_for(finding: Finding) -> tuple[str, str]:
    """Which chart shows it, and what of it."""
    return CHARTS.get(finding.id, ("heat", "accepts"))


def format_value(name: str, value: float | int | str) -> str:
    """One value of the evidence as people read it: its name tells its unit."""
    if isinstance(value, str):
        return plain(value)
    if math.isnan(value):
        return "–"
    if name[-3:] in _SCALES:
        return formatting.duration(value * _SCALES[name[-3:]])
    if name == "p_value":
        return "below 0.001" if value < 0.001 else f"{value:.2g}"
    if isinstance(value, float) and name.endswith(_PARTS) and 0 <= value <= 1:
        return f"{100 * value:.1f} %"
    return formatting.count(value) if isinstance(value, int) or value >= 1000 else f"{value:.3g}"


def _evidence(finding: Finding, palette: Palette, width: int) -> list[Line]:
    """Names and values, in as many columns as there is room for; long ones on lines of their own."""
    style = palette.style
    pairs = [
        (plain(_label(name)), format_value(name, value))
        for name, value in finding.evidence.items() if name != "explains"
    ]  # fmt: skip
    lines = [Line().add(" Evidence", style("bold text"))]
    across = max((width - 2) // _EVIDENCE_WIDTH, 1)
    short = [pair for pair in pairs if len(pair[0]) + len(pair[1]) + 4 <= _EVIDENCE_WIDTH]
    rows = -(-len(short) // across)
    for row in range(rows):
        line = Line()
        for column, (name, value) in enumerate(short[row::rows]):
            line.to(column * _EVIDENCE_WIDTH + 3).add(f"{name} ", style("muted")).add(
                value, style("bold text")
            )
        lines.append(line)
    for name, value in pairs:
        if (name, value) not in short:
            first, *rest = wrap(value, max(width - len(name) - 6, 20)) or [""]
            lines.append(Line().add(f"   {name} ", style("muted")).add(first, style("bold text")))
            lines += [Line().to(len(name) + 4).add(part, style("bold text")) for part in rest]
    if also := explained(finding):
        lines.append(
            Line().add("   and this explains ", style("muted")).add(", ".join(also), style("bold text"))
        )
    return [*lines, Line()]


def _label(name: str) -> str:
    return (name[:-3] if name[-3:] in _SCALES else name).replace("_", " ")
