"""A fleet as one HTML file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

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
from sockscope.report.html.markup import Safe, markup, table, tag
from sockscope.report.html.page import badge, coded, page

#: Services with pictures, hosts in a picture, rows in a table; of the others it is said how many.
_PICTURED, _DRAWN, _ROWS = 6, 24, 500


def render(fleet: Fleet) -> str:
    """The whole page.

    :raises SockscopeError: when matplotlib is not installed
    """
    need_matplotlib()
    return page(f"sockscope: {title(fleet)}", _body(fleet))


def _body(fleet: Fleet) -> Iterator[Safe]:
    yield tag("h1", title(fleet))
    yield tag("p", summary(fleet), ".", class_="lead")
    yield _counts(fleet)
    if len(fleet.services) > 1:
        links = [tag("a", one.name, href=f"#f{index}") for index, one in enumerate(fleet.services[:40])]
        yield tag("nav", links, aria_label="services")
    if fleet.findings:
        yield tag("h2", "Findings", id="findings")
        yield from (_finding(spotted) for spotted in fleet.findings)
    for index, service in enumerate(fleet.services):
        yield from _service(service, f"f{index}", pictured=index < _PICTURED)
    if not fleet.services:
        yield tag("p", "Nobody connected to anything.")
    yield tag("h2", "Health and comparability", id="health")
    lines = list(doubts(fleet))
    yield (
        tag("ul", [tag("li", line) for line in lines])
        if lines
        else tag(
            "p",
            badge("good", "nothing lost"),
            "All recordings are whole, of one kernel and one version of sockscope.",
        )
    )
    yield tag("p", NOTE, class_="hint")


def _counts(fleet: Fleet) -> Safe:
    counts: dict[str, int] = {}
    for spotted in fleet.findings:
        counts[spotted.finding.severity] = counts.get(spotted.finding.severity, 0) + 1
    badges = [badge(severity, f"{count} {severity}") for severity, count in counts.items()]
    return tag("p", badges or badge("good", "no findings"))


def _finding(spotted: Spotted) -> Safe:
    finding = spotted.finding
    return tag(
        "section",
        tag("h3", badge(finding.severity, finding.severity), finding.title),
        tag("p", where(spotted), " · ", tag("code", finding.id), class_="hint"),
        tag(
            "ul", [tag("li", tag("strong", name), f": {one.explanation}") for name, one in spotted.where[:3]]
        ),
        tag("p", tag("strong", "What to change"), class_="hint") if finding.remedy else "",
        tag("ul", [tag("li", coded(line)) for line in finding.remedy]) if finding.remedy else "",
        class_=f"finding {finding.severity}",
    )


def _service(service: Service, name: str, *, pictured: bool) -> Iterator[Safe]:
    yield tag("h2", service.name, id=name)
    yield tag("p", tag("strong", models(service)))
    odd = list(standing_out(service))
    if odd:
        yield tag("p", badge("warning", "stands out"), class_="hint")
        yield tag("ul", [tag("li", tag("strong", who), f": {words}") for who, words in odd[:12]])
        if len(odd) > 12:
            yield tag("p", f"{len(odd) - 12} more are marked in the table.", class_="hint")
    elif len(service.places) > 1:
        yield tag("p", badge("good", "alike"), "No host is worse than the others by more than chance.")
    if pictured and len(service.places) > 1:
        yield tag("h3", "Host by host")
        yield tag("div", list(_pictures(service, name)), class_="grid")
    yield _table(service)


def _table(service: Service) -> Safe:
    marked = {"queue_wait": 5, "data_wait": 6, "answer": 7, "dropped": 9}
    rows: list[list[Safe | str]] = []
    for place in islice(service.places, _ROWS):
        cells: list[Safe | str] = list(row(place))
        for kind, at in marked.items():
            if kind in place.stands_out:
                cells[at] = tag("span", cells[at], " ▲", class_="up")
        rows.append(cells)
    left = len(service.places) - _ROWS
    more = tag("p", f"{left} more hosts are left out.", class_="hint") if left > 0 else ""
    return markup(
        [
            table(
                f"{service.name}: each host (▲ stands out; max/mean: of accepts by thread)",
                HEAD,
                rows,
                figures=FIGURES,
            ),
            more,
        ]
    )


def _pictures(service: Service, name: str) -> Iterator[Safe]:
    for index, (kind, counts) in enumerate(service.waits.items()):
        measured = [place for place in service.places if place.waits[kind].any()]
        if measured:
            yield _picture(f"{name}-w{index}", kind, measured, percentile(counts, 0.99))
    if service.spread:
        labels = [place.name for place in service.places]
        drawn = shares(f"{name}-c", "connections by host", labels, service.spread)
        yield tag(
            "figure", tag("h4", "Connections by host"), drawn.svg,
            tag("figcaption", spread_words(service)),
        )  # fmt: skip


def _picture(name: str, kind: str, places: list[Place], together: float) -> Safe:
    order = np.argsort([-place.p(kind, 0.99) for place in places], kind="stable")
    shown = [places[int(index)] for index in order[:_DRAWN]]
    ranges = [(place.p(kind, 0.5), place.p(kind, 0.99)) for place in shown]
    odd = [kind in place.stands_out for place in shown]
    words = NAMES[kind]
    worst = f"longest on {shown[0].name}, p99 {formatting.duration(ranges[0][1])}"
    alt = f"{words} on {len(places)} hosts: {worst}; of all together {formatting.duration(together)}"
    drawn = hosts(name, [place.name for place in shown], ranges, odd, together, alt)
    left = f" {len(places) - _DRAWN} with shorter ones are left out." if len(places) > _DRAWN else ""
    return tag(
        "figure", tag("h4", words[0].upper() + words[1:]), drawn.svg,
        tag("figcaption", f"From p50 (●) to p99; dashed: p99 of all together, {formatting.duration(together)}.{left}"),
    )  # fmt: skip
