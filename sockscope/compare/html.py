"""A comparison as an HTML page: charts side by side, measurements with their significance.

This module turns a comparison into the texts and figures of the page; ``comparison.html`` among the
templates of :mod:`sockscope.report.html` lays them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from sockscope.report.html.components import Card, Cell, Figure, Table
from sockscope.report.html.environment import render_template
from sockscope.report.wording import describe_model, label_thread

#: Recordings with charts, servers with charts, and the longest recording name that fits into a chart.
_SIDES, _WITH_CHARTS, _LONGEST = 6, 6, 14
_WORK = {"accepts": "Accepts", "reads": "Reads", "busy time": "Busy time"}


@dataclass(frozen=True)
class Side:
    """A server in one of the recordings, and the short name of that recording."""

    name: str
    recorded: Recorded
    server: Server


@dataclass(frozen=True)
class PairingSection:
    """The section of one server."""

    heading: str
    absent_in: str
    cards: tuple[Card, ...]
    measurements: Table | None
    flows: tuple[Figure, ...] = ()
    shares: tuple[tuple[str, tuple[Figure, ...]], ...] = ()
    waits: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class ComparisonPage:
    """Everything that ``comparison.html`` shows."""

    recordings: tuple[tuple[str, str], ...]
    findings: tuple[tuple[str, str], ...]
    pairings: tuple[PairingSection, ...]
    note: str


def render(comparison: Comparison, template: str = "comparison.html", **more: object) -> str:
    """Return the whole page.

    :param template: the page's layout
    :param more: values that this template needs besides
    :raises SockscopeError: if matplotlib is not installed
    """
    need_matplotlib()
    return render_template(template, title=comparison.title, page=_build_page(comparison), **more)


def _build_page(comparison: Comparison) -> ComparisonPage:
    names = _short_names(comparison)
    return ComparisonPage(
        recordings=tuple(
            (name if name == one.name else f"{name}  {one.name}", words_of(one))
            for name, one in zip(names, comparison.recorded, strict=True)
        ),
        findings=tuple((where_words(where, names), title) for title, where in findings_of(comparison)),
        pairings=tuple(
            _build_pairing(comparison, pairing, names, f"c{index}", with_charts=index < _WITH_CHARTS)
            for index, pairing in enumerate(comparison.pairings)
        ),
        note=NOTE,
    )


def _short_names(comparison: Comparison) -> list[str]:
    """Return the names of the recordings where they are short and differ, else letters."""
    short = [PurePath(one.name).stem for one in comparison.recorded]
    if len(set(short)) == len(short) and all(0 < len(name) <= _LONGEST for name in short):
        return short
    return letters_of(comparison)


def _build_pairing(
    comparison: Comparison, pairing: Pairing, names: list[str], anchor: str, *, with_charts: bool
) -> PairingSection:
    sides = [
        Side(name, recorded, server)
        for name, recorded, server in zip(names, comparison.recorded, pairing.servers, strict=True)
        if server is not None and server.connections
    ][:_SIDES]
    absent = [name for name, server in zip(names, pairing.servers, strict=True) if server is None]
    return PairingSection(
        heading=pairing.name,
        absent_in=", ".join(absent),
        cards=tuple(_build_card(side) for side in sides),
        measurements=_build_measurements(pairing, names) if pairing.measures else None,
        flows=tuple(_build_flow(side) for side in sides) if with_charts else (),
        shares=tuple(_build_shares(sides, anchor)) if with_charts else (),
        waits=tuple(_build_waits(pairing, names, anchor)) if with_charts and pairing.measures else (),
    )


def _build_card(side: Side) -> Card:
    frame, server = side.recorded.frame, side.server
    wait = frame.queue_wait[server.group.name]
    readers = f", {len(server.readers)} readers" if is_traced(frame.snapshot, "readers") else ""
    lines = [
        describe_model(server),
        f"{formatting.count(server.connections)} connections, {len(server.acceptors)} acceptors{readers}",
    ]
    if wait.samples:
        lines.append(f"queue wait p99 {formatting.duration(wait.p99)}")
    return Card(side.name, tuple(lines))


def _build_flow(side: Side) -> Figure:
    model = side.server.model
    return Figure(
        side.name if side.name == model else f"{side.name}: {model}",
        (flow(side.recorded.frame.snapshot, side.server).svg,),
        "".join(side.server.evidence[:1]),
        region=f"connection flow, {side.name}",
    )


def _build_shares(sides: Sequence[Side], anchor: str) -> Iterator[tuple[str, tuple[Figure, ...]]]:
    for index, (work, title) in enumerate(_WORK.items()):
        figures = tuple(
            _build_share(side, work, f"{anchor}-{index}-{number}") for number, side in enumerate(sides)
        )
        if any(figure.pictures for figure in figures):
            yield f"{title} by thread", figures


def _build_share(side: Side, work: str, name: str) -> Figure:
    report = side.recorded.frame.reports[side.server.group.name]
    found = next((one for one in report.distribution if one.name == work), None)
    if found is None:
        return Figure(side.name, caption=NOT_TRACED)
    fairness = found.fairness
    if not fairness.total:
        return Figure(side.name, caption="none")
    if len(found.workers) < 2:
        return Figure(side.name, caption="one thread")
    labels = [label_thread(worker) for worker in found.workers]
    return Figure(
        side.name,
        (shares(name, f"{work}, {side.name}", labels, fairness).svg,),
        f"{fairness.words}; max/mean {fairness.max_over_mean:.2f}",
    )


def _build_measurements(pairing: Pairing, names: list[str]) -> Table:
    rows = []
    for measure in pairing.measures:
        first, *others = (measure.words(value) for value in measure.values)
        row: list[str | Cell] = [measure.title, first]
        for words, change in zip(others, measure.changes, strict=True):
            style = {"higher": "up", "lower": "down"}.get(change.verdict, "") if change else ""
            row.append(Cell(words, note=change_words(change), note_style=style))
        rows.append(tuple(row))
    return Table(f"{pairing.name}: measurements, compared with {names[0]}", ("metric", *names), tuple(rows))


def _build_waits(pairing: Pairing, names: list[str], anchor: str) -> Iterator[Figure]:
    for index, (title, counts) in enumerate(pairing.waits):
        measured = {name: one for name, one in list(zip(names, counts, strict=True))[:_SIDES] if one.sum()}
        if measured:
            alt = f"{title} by percentile, in each recording; the table above has the numbers"
            drawn = waits.percentiles(f"{anchor}-w{index}", measured, alt)
            yield Figure(title[0].upper() + title[1:], (drawn.svg,))
