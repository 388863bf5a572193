"""The report as one self-contained HTML file: no network access, no script.

This module turns a frame into the texts and figures of the page; ``templates/report.html`` lays them out.
Charts are inline SVG (``charts/``), each with a text alternative and a table of its numbers.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sockscope import formatting
from sockscope.analysis.frame import Finding, Frame
from sockscope.analysis.server import Server
from sockscope.analysis.severity import SEVERITIES
from sockscope.analysis.signal_requirements import NOT_TRACED
from sockscope.model.history import HistoryView
from sockscope.report.html.charts.svg import need_matplotlib
from sockscope.report.html.components import Cell, FindingSection, Table
from sockscope.report.html.environment import render_template
from sockscope.report.html.server import ServerSection, build_server_section
from sockscope.report.wording import describe_accepts, describe_exactness, describe_overhead

#: Servers with a section of their own, and those with a row in the summary.
_SECTIONS, _LISTED = 6, 100

#: Style and words.
Badge = tuple[str, str]


@dataclass(frozen=True)
class HealthSection:
    """How far the report can be trusted: losses, limitations, overhead."""

    lost: Table | None
    exactness: str
    limitations: Table | None
    notes: tuple[str, ...]
    overhead: str
    command: str


@dataclass(frozen=True)
class ReportPage:
    """Everything that ``report.html`` shows."""

    lead: str
    badges: tuple[Badge, ...]
    findings: tuple[FindingSection, ...]
    servers: Table | None
    servers_unlisted: int
    sections: tuple[ServerSection, ...]
    servers_without_section: int
    health: HealthSection


def render(frame: Frame, history: HistoryView | None = None) -> str:
    """Return the whole page.

    :param history: time series of the recording; without it the page has no charts over time
    :raises SockscopeError: if matplotlib is not installed
    """
    need_matplotlib()
    title = f"{frame.meta.target} on {frame.meta.host}"
    return render_template("report.html", title=title, page=_build_page(frame, history))


def _build_page(frame: Frame, history: HistoryView | None) -> ReportPage:
    busiest = _busiest_servers(frame)
    return ReportPage(
        lead=_lead(frame),
        badges=tuple(
            severity_badges(
                (finding.severity for finding in frame.findings),
                connections=frame.snapshot.connections_total,
            )
        ),
        findings=tuple(_finding_section(finding) for finding in frame.findings),
        servers=_server_table(frame, frozenset(busiest)) if frame.servers else None,
        servers_unlisted=max(len(frame.servers) - _LISTED, 0),
        sections=tuple(
            build_server_section(frame.reports[frame.servers[index].group.name], history, f"s{index}")
            for index in busiest
        ),
        servers_without_section=len(frame.servers) - len(busiest),
        health=_health_section(frame),
    )


def _lead(frame: Frame) -> str:
    meta, snapshot = frame.meta, frame.snapshot
    started = time.gmtime((meta.started_ns + meta.monotonic_offset_ns) / 1e9)
    lost = sum(number for _, number in snapshot.health.lost)
    losses = f"{formatting.count(lost)} records lost (see health)" if lost else "nothing lost"
    return (
        f"Traced for {formatting.duration(snapshot.elapsed_ns)} from {time.strftime('%Y-%m-%d %H:%M:%S UTC', started)}, "
        f"Linux {meta.kernel}, {meta.cpus} CPUs. {formatting.count(snapshot.connections_total)} connections, "
        f"{losses}. Recorded by sockscope {meta.version}."
    )


def _busiest_servers(frame: Frame) -> list[int]:
    """Return the indices of the servers with most connections, in the order of all servers."""
    busiest = sorted(range(len(frame.servers)), key=lambda index: -frame.servers[index].connections)
    return sorted(busiest[:_SECTIONS])


def severity_badges(severities: Iterable[str], *, connections: int) -> Iterator[Badge]:
    """Yield a badge per severity with the number of its findings, or one that says there are none.

    :param severities: of each finding
    :param connections: how many were recorded
    """
    counts = Counter(severities)
    for severity in reversed(SEVERITIES):
        if counts[severity]:
            yield severity, f"{counts[severity]} {severity}"
    if not counts:
        yield ("good", "no findings") if connections else ("info", "no connections")


def _server_table(frame: Frame, with_section: frozenset[int]) -> Table:
    return Table(
        "Servers",
        ("server", "model", "accepts", "connections", "queue wait p99", "data wait p99", "dropped"),
        tuple(
            _server_row(frame, server, f"#s{index}" if index in with_section else "")
            for index, server in enumerate(frame.servers[:_LISTED])
        ),
        numeric_from=3,
    )


def _server_row(frame: Frame, server: Server, link: str) -> tuple[str | Cell, ...]:
    group = server.group
    waits = (frame.queue_wait[group.name], frame.data_wait[group.name])
    return (
        Cell(f"{group.name} {server.comm}", link=link),
        Cell(server.model, strong=True),
        describe_accepts(group.fairness) if server.connections else "–",
        formatting.count(server.connections),
        *(formatting.duration(wait.p99) if wait.samples else "–" for wait in waits),
        formatting.count(sum(listener.drops for listener in group.listeners)),
    )


def _finding_section(finding: Finding) -> FindingSection:
    return FindingSection(
        id=finding.id,
        severity=finding.severity,
        title=finding.title,
        where=finding.subject,
        explanation=finding.explanation,
        cause=finding.cause,
        effect=finding.effect,
        remedy=finding.remedy,
        verify=finding.verify,
        evidence=", ".join(f"{name} {_format_value(value)}" for name, value in finding.evidence.items()),
    )


def _format_value(value: float | int | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.4g}"


def _health_section(frame: Frame) -> HealthSection:
    health = frame.snapshot.health
    lost = tuple((kind, formatting.count(number)) for kind, number in health.lost)
    limited = tuple(
        (signal.name, signal.method or NOT_TRACED, signal.limitations)
        for signal in frame.meta.signals
        if signal.limitations
    )
    return HealthSection(
        lost=Table("Lost records", ("kind", "number"), lost) if lost else None,
        exactness=describe_exactness(frame),
        limitations=Table(
            "Signals with limitations", ("signal", "attach method", "limitation"), limited, numeric_from=3
        )
        if limited
        else None,
        notes=tuple(health.notes),
        overhead=describe_overhead(frame),
        command=frame.meta.command,
    )
