"""The text of one finding, and the chart that shows it."""

from __future__ import annotations

import math

from sockscope import formatting
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
    "listener-orphaned": ("timeline", "queue"),
    "queue-stuck": ("timeline", "queue"),
    "accept-paused": ("timeline", "queue"),
    "accept-failing": ("heat", "accepts"),
    "workers-blocked-on-clients": ("heat", "reads"),
    "connections-lost-in-queue": ("timeline", "queue"),
    "closed-unanswered": ("heat", "accepts"),
    "close-wait-leak": ("heat", "open"),
}
_SCALES = {"_ns": 1.0, "_us": 1e3, "_ms": 1e6}
#: Endings of names whose value is a part of one.
_PARTS = ("load", "part", "fill", "crossed", "asleep", "share")
_EVIDENCE_WIDTH = 38
_TEXT_WIDTH = 110


def text(finding: Finding, palette: Palette, width: int, *, passed: bool = False) -> list[Line]:
    """Return the lines of title, explanation, cause, effect and evidence."""
    style, colour = palette.style, SEVERITY_COLOURS[finding.severity]
    head = Line().add(f" {SEVERITY_SIGNS[finding.severity]} {finding.severity} ", style(f"bold {colour}"))
    head.add(plain(finding.title), style("bold text"))
    if passed:
        head.add("  (no longer detected)", style("muted"))
    about = f"   {plain(finding.id)}, about {plain(finding.subject)}"
    lines = [head, Line().add(about, style("muted"))]
    room = min(width - 3, _TEXT_WIDTH)
    lines += [Line().add(f" {part}", style("text")) for part in wrap(plain(finding.explanation), room)]
    for name, words in (("Cause", finding.cause), ("Effect", finding.effect)):
        for index, part in enumerate(wrap(f"{name}: {plain(words)}", room) if words else ()):
            line = Line()
            if index == 0:
                line.add(f" {name}:", style("bold text"))
                part = part[len(name) + 1 :]
                lines.append(line.add(part, style("text")))
            else:
                lines.append(line.add(f" {part}", style("text")))
    return [*lines, Line(), *_evidence(finding, palette, width)]


def remedy(finding: Finding, palette: Palette, width: int) -> list[Line]:
    """Return the lines of the remedy and how to verify it."""
    style = palette.style
    lines = [Line().add(" What to do", style("bold good"))]
    for number, step in enumerate(finding.remedy, 1):
        for index, part in enumerate(wrap(plain(step), min(width - 6, _TEXT_WIDTH))):
            begin = f" {number}. " if not index else "    "
            lines.append(Line().add(begin, style("good")).add(part, style("text")))
    if finding.verify:
        lines.append(Line().add(" How to verify", style("bold good")))
        lines += [
            Line().add(f"    {part}", style("text"))
            for part in wrap(plain(finding.verify), min(width - 6, _TEXT_WIDTH))
        ]
    return lines


def chart_for(finding: Finding) -> tuple[str, str]:
    """Return the chart that shows the finding, and its series."""
    return CHARTS.get(finding.id, ("heat", "accepts"))


def format_value(name: str, value: float | int | str) -> str:
    """Format one value of the evidence; the suffix of its name is its unit."""
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
    """Return names and values in as many columns as fit; long ones get lines of their own."""
    style = palette.style
    pairs = [(plain(_label(name)), format_value(name, value)) for name, value in finding.evidence.items()]
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
    if also := finding.explains:
        lines.append(Line().add("   explains ", style("muted")).add(", ".join(also), style("bold text")))
    return [*lines, Line()]


def _label(name: str) -> str:
    return (name[:-3] if name[-3:] in _SCALES else name).replace("_", " ")
