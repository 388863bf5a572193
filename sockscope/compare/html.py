"""A comparison as a page: pictures of each side by side, and figures with what their difference is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from sockscope import formatting
from sockscope.analysis.server import Server
from sockscope.analysis.signal_requirements import NOT_TRACED, is_traced
from sockscope.compare.model import Comparison, Pairing, Recorded, findings_of
from sockscope.compare.wording import NOTE, change_words, letters_of, where_words, words_of
from sockscope.report.html.charts import waits
from sockscope.report.html.charts.flow import flow
from sockscope.report.html.charts.shares import shares
from sockscope.report.html.charts.svg import need_matplotlib
from sockscope.report.html.markup import Content, Safe, table, tag
from sockscope.report.html.page import page
from sockscope.report.html.server import label
from sockscope.report.wording import describe_model

#: Sides with pictures, servers with pictures, and how long a name may be that stands in one.
_SIDES, _PICTURED, _LONGEST = 6, 6, 14
_SHARED = {"accepts": "Accepts", "reads": "Reads", "busy time": "Busy time"}


def render(comparison: Comparison) -> str:
    """The whole page.

    :raises SockscopeError: when matplotlib is not installed
    """
    need_matplotlib()
    return page(f"sockscope: {comparison.title}", _body(comparison))


def _body(comparison: Comparison) -> Iterator[Safe]:
    names = _names(comparison)
    yield tag("h1", comparison.title)
    yield tag(
        "ul",
        [
            tag(
                "li", tag("strong", name if name == one.name else f"{name}  {one.name}"), f": {words_of(one)}"
            )
            for name, one in zip(names, comparison.recorded, strict=True)
        ],
    )
    found = findings_of(comparison)
    if found:
        yield tag("h2", "Findings")
        yield tag(
            "ul",
            [tag("li", tag("strong", where_words(where, names)), f": {title}") for title, where in found],
        )
    for index, pairing in enumerate(comparison.pairings):
        yield from _pairing(comparison, pairing, names, f"c{index}", pictured=index < _PICTURED)
    yield tag("p", NOTE, class_="hint")


def _names(comparison: Comparison) -> list[str]:
    """Names of the recordings where they are short and differ, else letters."""
    short = [PurePath(one.name).stem for one in comparison.recorded]
    if len(set(short)) == len(short) and all(0 < len(name) <= _LONGEST for name in short):
        return short
    return letters_of(comparison)


def _pairing(
    comparison: Comparison, pairing: Pairing, names: list[str], name: str, *, pictured: bool
) -> Iterator[Safe]:
    yield tag("h2", pairing.name)
    there = [
        (who, one, server)
        for who, one, server in zip(names, comparison.recorded, pairing.servers, strict=True)
        if server is not None and server.connections
    ][:_SIDES]
    absent = [who for who, server in zip(names, pairing.servers, strict=True) if server is None]
    if absent:
        yield tag("p", f"Not there in {', '.join(absent)}.")
    yield tag("div", [_card(who, one, server) for who, one, server in there], class_="cards sides")
    if pairing.measures:
        yield _table(pairing, names)
    if pictured:
        yield tag("h3", "The way of the connections")
        yield from (_flow(who, one, server) for who, one, server in there)
        yield from _shares(there, name)
        if pairing.measures:
            yield from _curves(pairing, names, name)


def _card(who: str, one: Recorded, server: Server) -> Safe:
    wait = one.frame.queue_wait[server.group.name]
    read = f", {len(server.readers)} readers" if is_traced(one.frame.snapshot, "readers") else ""
    facts = (
        describe_model(server),
        f"{formatting.count(server.connections)} connections by {len(server.acceptors)} acceptors{read}",
        f"in the queue p99 {formatting.duration(wait.p99)}" if wait.samples else "",
    )
    return tag("div", tag("b", who), [tag("span", fact) for fact in facts if fact], class_="card")


def _flow(who: str, one: Recorded, server: Server) -> Safe:
    picture = flow(one.frame.snapshot, server)
    return tag(
        "figure", tag("h4", who if who == server.model else f"{who}: {server.model}"),
        tag("div", picture.svg, class_="scroll", tabindex="0", role="region", aria_label=f"the way of the connections, {who}"),
        tag("figcaption", *server.evidence[:1]),
    )  # fmt: skip


def _shares(there: Sequence[tuple[str, Recorded, Server]], name: str) -> Iterator[Safe]:
    for place, (work, title) in enumerate(_SHARED.items()):
        figures = []
        for side, (who, one, server) in enumerate(there):
            figure = next(
                (one for one in one.frame.reports[server.group.name].distribution if one.name == work), None
            )
            if figure is None:
                figures.append(tag("figure", tag("h4", who), tag("p", NOT_TRACED, class_="hint")))
                continue
            if len(figure.workers) < 2 or not figure.fairness.total:
                words = "one thread does it all" if figure.fairness.total else "nothing was shared"
                figures.append(tag("figure", tag("h4", who), tag("p", words, class_="hint")))
                continue
            threads = [label(worker) for worker in figure.workers]
            drawn = shares(f"{name}-{place}-{side}", f"{work}, {who}", threads, figure.fairness)
            words = f"{figure.fairness.words}; max/mean {figure.fairness.max_over_mean:.2f}"
            figures.append(tag("figure", tag("h4", who), drawn.svg, tag("figcaption", words)))
        if any("<svg" in figure for figure in figures):
            yield tag("h3", f"{title} by thread")
            yield tag("div", figures, class_="grid")


def _table(pairing: Pairing, names: list[str]) -> Safe:
    head = ["figure", *names]
    rows: list[list[Content]] = []
    for measure in pairing.measures:
        first, *others = (measure.words(value) for value in measure.values)
        row: list[Content] = [measure.title, first]
        for words, change in zip(others, measure.changes, strict=True):
            kind = {"higher": "up", "lower": "down"}.get(change.verdict) if change else None
            row.append([words, tag("span", change_words(change), class_=f"sub {kind or ''}".strip())])
        rows.append(row)
    return table(f"{pairing.name}: figures, and what they are against those of {names[0]}", head, rows)


def _curves(pairing: Pairing, names: list[str], name: str) -> Iterator[Safe]:
    pictures = []
    for index, (title, counts) in enumerate(pairing.waits):
        shown = {who: one for who, one in list(zip(names, counts, strict=True))[:_SIDES] if one.sum()}
        if shown:
            alt = f"{title} by percentile, in each recording; the figures are in the table above"
            drawn = waits.percentiles(f"{name}-w{index}", shown, alt)
            pictures.append(tag("figure", tag("h4", title[0].upper() + title[1:]), drawn.svg))
    if pictures:
        yield tag("h3", "How long was waited?")
        yield tag("div", pictures, class_="grid")
