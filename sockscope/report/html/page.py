"""The report as one HTML file that needs nothing else: no network, no script.

Pictures are SVG in the page (``charts/``), each with its words and its table.  Only
:mod:`sockscope.report.html.markup` makes markup, and it escapes all that it was not told is safe.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.frame import Finding, Frame
from sockscope.analysis.server import Server
from sockscope.model.history import HistoryView
from sockscope.report._health import health
from sockscope.report.html.charts.svg import need_matplotlib
from sockscope.report.html.markup import Content, Safe, markup, table, tag
from sockscope.report.html.server import server_sections
from sockscope.report.html.style import STYLE

#: Servers with pictures, and those with a line in the summary.
_PICTURED, _LISTED = 6, 100


def render(frame: Frame, history: HistoryView | None = None) -> str:
    """The whole page.

    :param history: what happened when; without it there are no pictures over time
    :raises SockscopeError: when matplotlib is not installed
    """
    need_matplotlib()
    title = f"{frame.meta.target} on {frame.meta.host}"
    return page(f"sockscope: {title}", _body(frame, history, title))


def page(title: str, body: Iterator[Safe]) -> str:
    """A whole document."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width,initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
        tag("title", title),
        tag("style", Safe(STYLE)),
    )  # fmt: skip
    return "<!doctype html>\n" + tag("html", head, tag("body", tag("main", list(body))), lang="en") + "\n"


def _body(frame: Frame, history: HistoryView | None, title: str) -> Iterator[Safe]:
    meta, snapshot = frame.meta, frame.snapshot
    begun = time.strftime(
        "%Y-%m-%d %H:%M:%S UTC", time.gmtime((meta.started_ns + meta.monotonic_offset_ns) / 1e9)
    )
    yield tag("h1", title)
    yield tag(
        "p",
        f"Traced for {formatting.duration(snapshot.elapsed_ns)} from {begun}, Linux {meta.kernel}, {meta.cpus} CPUs. "
        f"{formatting.count(snapshot.connections_total)} connections, {_losses(frame)}. Recorded by sockscope {meta.version}.",
        class_="lead",
    )
    yield from _summary(frame)
    if frame.findings:
        yield tag("h2", "Findings", id="findings")
        yield from (_finding(finding) for finding in frame.findings)
    for index in _pictured(frame):
        yield from server_sections(frame, history, frame.servers[index], f"s{index}")
    if len(frame.servers) > _PICTURED:
        yield tag(
            "p",
            f"{len(frame.servers) - _PICTURED} servers with fewer connections have no section of their own.",
        )
    yield tag("h2", "Health and exactness", id="health")
    yield from health(frame)


def _pictured(frame: Frame) -> list[int]:
    """The busiest servers, in the order of all."""
    busiest = sorted(range(len(frame.servers)), key=lambda index: -frame.servers[index].connections)
    return sorted(busiest[:_PICTURED])


def _losses(frame: Frame) -> str:
    lost = sum(number for _, number in frame.snapshot.health.lost)
    return f"{formatting.count(lost)} records lost (see health)" if lost else "nothing lost"


def _summary(frame: Frame) -> Iterator[Safe]:
    if not frame.servers:
        yield tag("p", "Nobody listened there while it was traced.")
        return
    counts = Counter(finding.severity for finding in frame.findings)
    badges = [
        badge(name, f"{counts[name]} {name}")
        for name in ("critical", "warning", "notice", "info")
        if counts[name]
    ]
    nothing = (
        badge("good", "no findings")
        if frame.snapshot.connections_total
        else badge("info", "no connection seen")
    )
    yield tag("p", badges or nothing)
    if frame.findings:
        yield tag(
            "ul", [tag("li", f"{one.subject}: ", tag("strong", one.title)) for one in frame.findings[:5]]
        )
    pictured = set(_pictured(frame))
    rows = [
        _server_row(frame, server, f"#s{index}" if index in pictured else "")
        for index, server in enumerate(frame.servers[:_LISTED])
    ]
    head = (
        "server",
        "shares its work by",
        "accepts are",
        "connections",
        "queue p99",
        "reader p99",
        "dropped",
    )
    yield table("Servers", head, rows, figures=3)
    if len(frame.servers) > _LISTED:
        yield tag("p", f"{len(frame.servers) - _LISTED} more servers are left out.", class_="hint")


def _server_row(frame: Frame, server: Server, link: str) -> list[Content]:
    group = server.group
    name = f"{group.name} {server.comm}"
    accepts = "by one thread" if group.fairness.judgement == "single_sharer" else group.fairness.words
    waits = (frame.queue_wait[group.name], frame.data_wait[group.name])
    return [
        tag("a", name, href=link) if link else name,
        tag("strong", server.model),
        accepts if server.connections else "–",
        formatting.count(server.connections),
        *(formatting.duration(wait.p99) if wait.samples else "–" for wait in waits),
        formatting.count(sum(listener.drops for listener in group.listeners)),
    ]


def badge(kind: str, words: str) -> Safe:
    """A word in a frame; ``kind`` is a severity or ``good``."""
    return tag("span", words, class_=f"badge {kind}")


def _finding(finding: Finding) -> Safe:
    evidence = ", ".join(f"{name} {_value(value)}" for name, value in finding.evidence.items())
    return tag(
        "section",
        tag("h3", badge(finding.severity, finding.severity), finding.title),
        tag("p", finding.subject, " · ", tag("code", finding.id), class_="hint"),
        tag("p", finding.explanation),
        tag("p", tag("strong", "Cause: "), *coded(finding.cause)) if finding.cause else "",
        tag("p", tag("strong", "Effect on clients: "), *coded(finding.effect)) if finding.effect else "",
        tag("p", tag("strong", "What to do"), class_="hint") if finding.remedy else "",
        tag("ul", [tag("li", coded(line)) for line in finding.remedy]) if finding.remedy else "",
        tag("p", tag("strong", "How to verify: "), *coded(finding.verify)) if finding.verify else "",
        tag("p", markup(["Evidence: ", evidence]), class_="hint") if evidence else "",
        class_=f"finding {finding.severity}",
    )


def coded(text: str) -> list[Safe]:
    """Text with what stands in backticks as code."""
    return [tag("code", part) if index % 2 else markup(part) for index, part in enumerate(text.split("`"))]


def _value(value: float | int | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.4g}"
