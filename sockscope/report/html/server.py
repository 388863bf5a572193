"""The section of one server: verdict, connection flow, shares, waits, slow connections."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from sockscope import formatting
from sockscope.analysis.fairness import Fairness, Judgement
from sockscope.analysis.server import Wait
from sockscope.analysis.server_io import WorkerIo
from sockscope.analysis.server_report import ServerReport
from sockscope.analysis.server_waits import NAMES, Counts
from sockscope.analysis.signal_requirements import NOT_TRACED
from sockscope.analysis.slow_connections import SlowConnection
from sockscope.model.histogram import percentile
from sockscope.model.history import HistoryView
from sockscope.model.snapshot import Worker
from sockscope.report.html.charts import waits
from sockscope.report.html.charts.flow import flow
from sockscope.report.html.charts.shares import band, shares
from sockscope.report.html.components import Card, Figure, Table
from sockscope.report.html.over_time import build_charts_over_time
from sockscope.report.wording import (
    WORKS_FOR_OTHERS,
    describe_model,
    format_busy,
    format_waiting,
    label_thread,
)

_ROWS = 100
_SLOWEST = 10


#: The judgement of the accepts in a word or two; the charts give the details.
_ACCEPTS: dict[Judgement, str] = {
    "single_sharer": "one thread",
    "insufficient_data": "too few",
    "even": "even",
    "within_noise": "even",
    "skewed": "skewed",
}


@dataclass(frozen=True)
class SlowConnectionBar:
    """One of the slowest connections, and its steps as parts of the slowest one's time."""

    total: str
    connection: str
    steps: str
    bars: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class ServerSection:
    """Everything that ``server.html`` shows."""

    anchor: str
    heading: str
    verdict: str
    pid: int
    evidence: tuple[str, ...]
    cards: tuple[Card, ...]
    flow: Figure | None = None
    threads: Table | None = None
    threads_note: str = ""
    shares: tuple[Figure, ...] = ()
    over_time: tuple[Figure, ...] = ()
    waits: tuple[Figure, ...] = ()
    percentiles: Table | None = None
    slowest: tuple[SlowConnectionBar, ...] = ()


def build_server_section(report: ServerReport, history: HistoryView | None, anchor: str) -> ServerSection:
    """Return the texts, tables and charts of one server.

    :param anchor: unique on the page; ids of the section begin with it
    """
    head = _build_head(report, anchor)
    if not report.server.connections:
        return head
    threads, threads_note = _build_threads(report)
    wait_figures, wait_percentiles = _build_waits(report, anchor)
    over_time = (
        build_charts_over_time(report, history, anchor) if history is not None and history.ticks > 1 else ()
    )
    return replace(
        head,
        flow=Figure(
            "",
            (flow(report.snapshot, report.server).svg,),
            "Heights are shares of all connections. Each queue shows its longest length and its limit.",
            region="connection flow",
        ),
        threads=threads,
        threads_note=threads_note,
        shares=tuple(_build_shares(report, anchor)),
        over_time=tuple(over_time),
        waits=wait_figures,
        percentiles=wait_percentiles,
        slowest=tuple(_build_slowest(report.slow_connections(_SLOWEST))),
    )


def _build_head(report: ServerReport, anchor: str) -> ServerSection:
    server = report.server
    return ServerSection(
        anchor=anchor,
        heading=f"{server.group.name} {server.comm}",
        verdict=describe_model(server),
        pid=server.pid,
        evidence=tuple(server.evidence),
        cards=tuple(_build_cards(report)),
    )


def _build_cards(report: ServerReport) -> Iterator[Card]:
    server, group = report.server, report.server.group
    drops = sum(listener.drops for listener in group.listeners)
    longest = max((listener.queue_max for listener in group.listeners), default=0)
    limit = max((listener.backlog for listener in group.listeners), default=0)
    data_wait = NOT_TRACED if report.data_wait is None else _p99(report.data_wait)
    yield Card(formatting.count(server.connections), ("connections",))
    yield Card(_p99(report.queue_wait), ("queue wait, p99",))
    yield Card(data_wait, ("data wait, p99",))
    yield Card(f"{longest:,} / {limit:,}", ("longest queue / limit",))
    yield Card(formatting.count(drops), ("dropped",))
    yield Card(_ACCEPTS[group.fairness.judgement], ("accepts",))


def _p99(wait: Wait) -> str:
    return formatting.duration(wait.p99) if wait.samples else "not measured"


#: Heading → the metric that the column needs, and its cell for a thread and its I/O for the server.
_COLUMNS: dict[str, tuple[str, Callable[[Worker, WorkerIo], str]]] = {
    "reads": ("reads", lambda worker, io: formatting.count(io.reads)),
    "bytes read": ("bytes_read", lambda worker, io: formatting.size(io.bytes_read)),
    "writes": ("writes", lambda worker, io: formatting.count(io.writes)),
    "bytes written": ("bytes_written", lambda worker, io: formatting.size(io.bytes_written)),
    "busy": ("busy_ns", lambda worker, io: format_busy(worker)),
    "longest stall": (
        "stall_max_ns",
        lambda worker, io: formatting.duration(worker.stall_max_ns) if worker.stall_max_ns else "–",
    ),
}


def _build_threads(report: ServerReport) -> tuple[Table, str]:
    """Return the table of threads, and a note about those that it leaves out."""
    accepts = report.server.group.accepts
    columns = {head: cell for head, (metric, cell) in _COLUMNS.items() if report.is_traced(metric)}
    if report.waiters.is_sufficient:
        columns["waiting for the listener"] = lambda worker, _: format_waiting(report.waiters, worker)
    rows = tuple(
        (
            worker.comm,
            str(worker.pid),
            str(worker.tid),
            formatting.count(accepts.get(worker.id, 0)),
            *(cell(worker, report.io[worker.id]) for cell in columns.values()),
        )
        for worker in islice(report.active, _ROWS)
    )
    notes = []
    if len(report.active) > _ROWS:
        notes.append(f"{len(report.active) - _ROWS} more threads are not shown.")
    if report.idle_count:
        notes.append(f"{report.idle_count} threads of the server's processes handled no connection.")
    if report.works_for_others:
        notes.append(WORKS_FOR_OTHERS)
    return Table("Work per thread", ("thread", "pid", "tid", "accepts", *columns), rows), " ".join(notes)


def _build_shares(report: ServerReport, anchor: str) -> Iterator[Figure]:
    group = report.server.group
    parts: list[tuple[str, list[str], Fairness]] = [
        (work.name, [label_thread(worker) for worker in work.workers], work.fairness)
        for work in report.distribution
    ]
    if len(group.listeners) > 1:
        members = [one for one in group.listeners if not one.closed_ns] or list(group.listeners)
        sockets = [f"socket {one.inode}" for one in members]
        parts.insert(0, ("connections by listening socket", sockets, group.spread))
    shared = [part for part in parts if len(part[1]) > 1 and part[2].total]
    for index, (work, labels, fairness) in enumerate(shared):
        yield _build_share(f"{anchor}-h{index}", work, labels, fairness)


def _build_share(name: str, work: str, labels: list[str], fairness: Fairness) -> Figure:
    fair, low, high = band(fairness)
    caption = f"{fairness.words}; max/mean {fairness.max_over_mean:.2f}, Jain {fairness.jain:.3f}"
    if not math.isnan(fairness.p_value):
        caption += ", p < 0.001" if fairness.p_value < 0.001 else f", p = {fairness.p_value:.3f}"
    rows = [
        (label, formatting.count(value), f"{100 * share:.2f} %")
        for label, value, share in zip(labels, fairness.values, fairness.shares, strict=True)
    ][:_ROWS]
    rows.append(("fair share", "", f"{fair:.2f} %"))
    if not math.isnan(low):
        rows.append(("random hashing (95 %)", "", f"{low:.2f} to {high:.2f} %"))
    return Figure(
        work[0].upper() + work[1:],
        (shares(name, work, labels, fairness).svg,),
        caption,
        Table(work, ("thread or socket", "amount", "share"), tuple(rows)),
    )


def _build_waits(report: ServerReport, anchor: str) -> tuple[tuple[Figure, ...], Table | None]:
    """Return the charts of the waits, and the table of their percentiles."""
    measured = {NAMES[kind]: counts for kind, counts in report.waits.items() if counts.any()}
    if not measured:
        return (), None
    exact: dict[str, Wait | None] = {
        NAMES["queue_wait"]: report.queue_wait,
        NAMES["data_wait"]: report.data_wait,
    }
    rows = tuple(
        (
            words,
            formatting.count(int(counts.sum())),
            *(formatting.duration(ns) for ns in _percentiles(counts, exact.get(words))),
        )
        for words, counts in measured.items()
    )
    alt = "; ".join(f"{row[0]}: p50 {row[2]}, p99 {row[4]}" for row in rows)
    figures = (
        Figure(
            "Distribution",
            (waits.histogram(f"{anchor}-w0", measured, f"Distribution of waits. {alt}").svg,),
            "Percentage of waits per bucket. The axes begin at the shortest wait that was measured.",
        ),
        Figure(
            "Tail latency",
            (waits.percentiles(f"{anchor}-w1", measured, f"Waits by percentile. {alt}").svg,),
            "Each tick to the right is ten times rarer.",
        ),
    )
    table = Table(
        "Percentiles of the waits (error at most a quarter of the value)",
        ("wait", "samples", "p50", "p90", "p99", "p99.9", "longest"),
        rows,
    )
    return figures, table


def _percentiles(counts: Counts, exact: Wait | None) -> Iterator[float]:
    """Yield p50, p90, p99, p99.9 and the longest wait.

    The longest is the measured value if it is known for all samples; no percentile exceeds it.
    """
    is_known = exact is not None and exact.samples == counts.sum()
    longest = exact.longest if exact and is_known else percentile(counts, 1.0)
    yield from (min(percentile(counts, part), longest) for part in (0.5, 0.9, 0.99, 0.999))
    yield longest


def _build_slowest(found: Sequence[SlowConnection]) -> Iterator[SlowConnectionBar]:
    longest = max((one.total_ns for one in found), default=0)
    for one in found:
        steps = (("q", one.queue_ns), ("d", one.data_ns), ("s", one.service_ns))
        yield SlowConnectionBar(
            formatting.duration(one.total_ns),
            f"{one.remote}, {one.path}",
            one.words,
            tuple((style, 100 * ns / longest) for style, ns in steps if ns),
        )
