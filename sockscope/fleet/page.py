"""A fleet as one HTML file.

This module turns a fleet into the texts and figures of the page; ``fleet.html`` among the templates of
:mod:`sockscope.report.html` lays them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sockscope import formatting
from sockscope.analysis.server_waits import NAMES
from sockscope.fleet.services import Place, Service, Spotted
from sockscope.fleet.wording import (
    FIGURES,
    HEAD,
    NOTE,
    Fleet,
    doubts,
    models,
    row,
    spread_words,
    standing_out,
    summary,
    title,
    where,
)
from sockscope.model.histogram import percentile
from sockscope.report.html.charts.hosts import hosts
from sockscope.report.html.charts.shares import shares
from sockscope.report.html.charts.svg import need_matplotlib
from sockscope.report.html.components import Cell, Figure, FindingSection, Table
from sockscope.report.html.environment import render_template
from sockscope.report.html.page import Badge, severity_badges

#: Services with charts, hosts per chart, rows per table; the page gives the number of the others.
_WITH_CHARTS, _HOSTS, _ROWS = 6, 24, 500

#: Wait or counter → its column in a service's table.
_MARKED = {"queue_wait": 5, "data_wait": 6, "answer": 7, "dropped": 9}


@dataclass(frozen=True)
class ServiceSection:
    """The section of one service."""

    anchor: str
    name: str
    models: str
    outliers: tuple[tuple[str, str], ...]
    has_several_hosts: bool
    figures: tuple[Figure, ...]
    hosts: Table
    hosts_not_shown: int


@dataclass(frozen=True)
class FleetPage:
    """Everything that ``fleet.html`` shows."""

    summary: str
    badges: tuple[Badge, ...]
    findings: tuple[FindingSection, ...]
    services: tuple[ServiceSection, ...]
    doubts: tuple[str, ...]
    note: str


def render(fleet: Fleet) -> str:
    """Return the whole page.

    :raises SockscopeError: if matplotlib is not installed
    """
    need_matplotlib()
    findings = tuple(spotted.finding for spotted in fleet.findings)
    page = FleetPage(
        summary=summary(fleet),
        badges=tuple(severity_badges((one.severity for one in findings), connections=1)),
        findings=tuple(_build_finding(spotted) for spotted in fleet.findings),
        services=tuple(
            _build_service(service, f"f{index}", with_charts=index < _WITH_CHARTS)
            for index, service in enumerate(fleet.services)
        ),
        doubts=tuple(doubts(fleet)),
        note=NOTE,
    )
    return render_template("fleet.html", title=title(fleet), page=page)


def _build_finding(spotted: Spotted) -> FindingSection:
    finding = spotted.finding
    return FindingSection(
        id=finding.id,
        severity=finding.severity,
        title=finding.title,
        where=where(spotted),
        occurrences=tuple((host, one.explanation) for host, one in spotted.where[:3]),
        remedy=tuple(finding.remedy),
    )


def _build_service(service: Service, anchor: str, *, with_charts: bool) -> ServiceSection:
    has_several_hosts = len(service.places) > 1
    return ServiceSection(
        anchor=anchor,
        name=service.name,
        models=models(service),
        outliers=tuple(standing_out(service)),
        has_several_hosts=has_several_hosts,
        figures=tuple(_build_figures(service, anchor)) if with_charts and has_several_hosts else (),
        hosts=Table(
            f"{service.name}: each host (▲ stands out; max/mean: of accepts by thread)",
            HEAD,
            tuple(_build_row(place) for place in service.places[:_ROWS]),
            numeric_from=FIGURES,
        ),
        hosts_not_shown=max(len(service.places) - _ROWS, 0),
    )


def _build_row(place: Place) -> tuple[str | Cell, ...]:
    cells: list[str | Cell] = list(row(place))
    for kind, column in _MARKED.items():
        if kind in place.stands_out:
            cells[column] = Cell(f"{cells[column]} ▲", style="up")
    return tuple(cells)


def _build_figures(service: Service, anchor: str) -> Iterator[Figure]:
    for index, (kind, counts) in enumerate(service.waits.items()):
        measured = [place for place in service.places if place.waits[kind].any()]
        if measured:
            yield _build_waits(f"{anchor}-w{index}", kind, measured, percentile(counts, 0.99))
    if service.spread:
        labels = [place.name for place in service.places]
        drawn = shares(f"{anchor}-c", "connections by host", labels, service.spread)
        yield Figure("Connections by host", (drawn.svg,), spread_words(service))


def _build_waits(name: str, kind: str, places: list[Place], overall_p99: float) -> Figure:
    order = np.argsort([-place.p(kind, 0.99) for place in places], kind="stable")
    shown = [places[int(index)] for index in order[:_HOSTS]]
    ranges = [(place.p(kind, 0.5), place.p(kind, 0.99)) for place in shown]
    marked = [kind in place.stands_out for place in shown]
    words = NAMES[kind]
    overall = formatting.duration(overall_p99)
    longest = f"longest on {shown[0].name}, p99 {formatting.duration(ranges[0][1])}"
    alt = f"{words} on {len(places)} hosts: {longest}; p99 of all hosts {overall}"
    drawn = hosts(name, [place.name for place in shown], ranges, marked, overall_p99, alt)
    left_out = len(places) - len(shown)
    more = f" {left_out} hosts with shorter waits are not shown." if left_out else ""
    return Figure(
        words[0].upper() + words[1:],
        (drawn.svg,),
        f"From p50 (●) to p99. Dashed line: p99 of all hosts, {overall}.{more}",
    )
