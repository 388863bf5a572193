"""One server on the page: verdict, way of the connections, shares, times, waits, slow connections."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from sockscope import formatting
from sockscope.analysis.fairness import Fairness
from sockscope.analysis.frame import Frame
from sockscope.analysis.server import Server, Wait
from sockscope.analysis.server_io import WorkerIo
from sockscope.analysis.server_waits import NAMES, Counts
from sockscope.analysis.signal_requirements import NOT_TRACED, is_traced
from sockscope.analysis.slow_connections import SlowConnection
from sockscope.model.histogram import percentile
from sockscope.model.history import HistoryView
from sockscope.model.snapshot import Worker
from sockscope.report.html.charts import waits
from sockscope.report.html.charts.flow import flow
from sockscope.report.html.charts.shares import band, shares
from sockscope.report.html.charts.svg import Drawn
from sockscope.report.html.markup import Safe, behind, table, tag
from sockscope.report.html.over_time import over_time
from sockscope.report.wording import WORKS_FOR_OTHERS, describe_model, format_busy, format_waiting

_ROWS = 100
_SLOW = 10


def server_sections(frame: Frame, history: HistoryView | None, server: Server, name: str) -> Iterator[Safe]:
    """
    :param name: unique on the page; ids begin with it
    """
    snapshot = frame.snapshot
    yield tag("h2", f"{server.group.name} {server.comm}", id=name)
    yield tag("p", tag("strong", describe_model(server)), f" · pid {server.pid}")
    if server.evidence:
        yield tag("ul", [tag("li", sentence) for sentence in server.evidence])
    yield _cards(frame, server)
    if not server.connections:
        yield tag("p", "Nobody connected.")
        return
    yield tag("h3", "The way of the connections")
    picture = flow(snapshot, server)
    yield _figure(
        "",
        picture,
        "Heights are parts of all connections; queues show the most that waited in them, of their limit.",
        scrolls=True,
    )
    yield behind("Who did what, as a table", _workers(frame, server))
    yield from _shares(frame, server, name)
    if history is not None and history.ticks > 1:
        yield from over_time(frame, history, server, name)
    yield from _waits(frame, server, name)
    yield from _slow(frame.reports[server.group.name].slow_connections(_SLOW))


def _cards(frame: Frame, server: Server) -> Safe:
    group = server.group
    drops = sum(listener.drops for listener in group.listeners)
    longest = max((listener.queue_max for listener in group.listeners), default=0)
    limit = max((listener.backlog for listener in group.listeners), default=0)
    facts = [
        (formatting.count(server.connections), "connections"),
        (_p99(frame.queue_wait[group.name]), "queue wait, p99"),
        (
            _p99(frame.data_wait[group.name]) if is_traced(frame.snapshot, "data_wait") else NOT_TRACED,
            "data wait, p99",
        ),
        (f"{longest:,} / {limit:,}", "longest queue / limit"),
        (formatting.count(drops), "dropped"),
        ("one thread" if group.fairness.judgement == "single_sharer" else group.fairness.words, "accepts"),
    ]
    return tag(
        "div",
        [tag("div", tag("b", value), tag("span", what), class_="card") for value, what in facts],
        class_="cards",
    )


def _p99(wait: Wait) -> str:
    return formatting.duration(wait.p99) if wait.samples else "not measured"


def _figure(
    title: str, drawn: Drawn | Sequence[Drawn], words: str, *more: Safe, scrolls: bool = False
) -> Safe:
    pictures = [drawn.svg] if isinstance(drawn, Drawn) else [one.svg for one in drawn]
    body = (
        tag("div", pictures, class_="scroll", tabindex="0", role="region", aria_label="picture")
        if scrolls
        else pictures
    )
    further = tag("span", " Push it sideways to see all.", class_="sideways") if scrolls else ""
    return tag("figure", tag("h4", title) if title else "", body, tag("figcaption", words, further), *more)


def label(worker: Worker) -> str:
    """A thread by its name and id."""
    return f"{worker.comm} {worker.number}"


#: Heading → the figure behind it, and its cell for a thread and what it did for the server.
_COLUMNS: dict[str, tuple[str, Callable[[Worker, WorkerIo], str]]] = {
    "reads": ("reads", lambda worker, done: formatting.count(done.reads)),
    "bytes read": ("bytes_read", lambda worker, done: formatting.size(done.bytes_read)),
    "writes": ("writes", lambda worker, done: formatting.count(done.writes)),
    "bytes written": ("bytes_written", lambda worker, done: formatting.size(done.bytes_written)),
    "busy": ("busy_ns", lambda worker, done: format_busy(worker)),
    "longest stall": (
        "stall_max_ns",
        lambda worker, done: formatting.duration(worker.stall_max_ns) if worker.stall_max_ns else "–",
    ),
}


def _workers(frame: Frame, server: Server) -> Safe:
    accepts = server.group.accepts
    report = frame.reports[server.group.name]
    done, active = report.io, report.active
    shown = {head: cell for head, (figure, cell) in _COLUMNS.items() if report.is_traced(figure)}
    waited = report.waiters
    if waited.is_sufficient:
        shown["waited for the listener"] = lambda worker, _: format_waiting(waited, worker)
    head = ("thread", "pid", "tid", "accepts", *shown)
    rows = [
        (
            worker.comm, str(worker.pid), str(worker.tid), formatting.count(accepts.get(worker.id, 0)),
            *(cell(worker, done[worker.id]) for cell in shown.values()),
        )
        for worker in islice(active, _ROWS)
    ]  # fmt: skip
    more = f"{len(active) - _ROWS} more threads are left out." if len(active) > _ROWS else ""
    idle = report.idle_count
    still = f"{idle} threads of its processes touched no connection." if idle else ""
    others = WORKS_FOR_OTHERS if report.works_for_others else ""
    hint = " ".join(filter(None, (more, still, others)))
    return tag("div", table("What each thread did", head, rows), tag("p", hint, class_="hint"))


def _shares(frame: Frame, server: Server, name: str) -> Iterator[Safe]:
    parts: list[tuple[str, list[str], Fairness]] = [
        (figure.name, [label(worker) for worker in figure.workers], figure.fairness)
        for figure in frame.reports[server.group.name].distribution
    ]
    group = server.group
    if len(group.listeners) > 1:
        rivals = [one for one in group.listeners if not one.closed_ns] or list(group.listeners)
        parts.insert(
            0, ("connections by listening socket", [f"socket {one.inode}" for one in rivals], group.spread)
        )
    shared = [part for part in parts if len(part[1]) > 1 and part[2].total]
    if not shared:
        return
    yield tag("h3", "Is the work shared fairly?")
    yield tag(
        "p", "Dashed: a fair share. Grey: where 95 % of shares lie if only chance decides, as it does when the kernel "
        "hashes; a bar outside of it, and more than a quarter above its fair share, is marked.", class_="hint",
    )  # fmt: skip
    yield tag("div", [_share(f"{name}-h{index}", *part) for index, part in enumerate(shared)], class_="grid")


def _share(name: str, what: str, labels: list[str], judged: Fairness) -> Safe:
    fair, low, high = band(judged)
    words = f"{judged.words}; max/mean {judged.max_over_mean:.2f}, Jain {judged.jain:.3f}"
    if not math.isnan(judged.p_value):
        words += ", p < 0.001" if judged.p_value < 0.001 else f", p = {judged.p_value:.3f}"
    rows = [
        (who, formatting.count(value), f"{100 * part:.2f} %")
        for who, value, part in zip(labels, judged.values, judged.shares, strict=True)
    ]
    rows += [("fair share", "", f"{fair:.2f} %")]
    if not math.isnan(low):
        rows += [("by chance alone (95 %)", "", f"{low:.2f} to {high:.2f} %")]
    return _figure(
        what[0].upper() + what[1:], shares(name, what, labels, judged), words,
        behind("Table", table(what, ("who", "amount", "share"), [*rows[:_ROWS], *rows[max(len(rows) - 2, _ROWS) :]])),
    )  # fmt: skip


def _waits(frame: Frame, server: Server, name: str) -> Iterator[Safe]:
    counted = {
        NAMES[kind]: counts for kind, counts in frame.reports[server.group.name].waits.items() if counts.any()
    }
    if not counted:
        return
    exactly = {
        NAMES["queue_wait"]: frame.queue_wait[server.group.name],
        NAMES["data_wait"]: frame.data_wait[server.group.name],
    }
    rows = [
        (
            words,
            formatting.count(int(counts.sum())),
            *(formatting.duration(ns) for ns in _percentiles(counts, exactly.get(words))),
        )
        for words, counts in counted.items()
    ]
    tail = table(
        "Waits: percentiles, exact to a quarter of each",
        ("wait", "measured", "p50", "p90", "p99", "p99.9", "longest"),
        rows,
    )
    alt = "; ".join(f"{row[0]}: p50 {row[2]}, p99 {row[4]}" for row in rows)
    yield tag("h3", "How long was waited?")
    yield tag(
        "div",
        _figure("How often how long", waits.histogram(f"{name}-w0", counted, f"Distribution of waits. {alt}"), "A curve that leans to the right waits longer; both axes begin at what was seen."),
        _figure("Tails", waits.percentiles(f"{name}-w1", counted, f"Waits by percentile. {alt}"), "Each mark to the right is ten times rarer."),
        class_="grid",
    )  # fmt: skip
    yield tail


def _percentiles(counts: Counts, exactly: Wait | None) -> Iterator[float]:
    """The longest as it was measured, if it is known for all that were counted; nothing beyond it."""
    known = exactly is not None and exactly.samples == counts.sum()
    longest = exactly.longest if exactly and known else percentile(counts, 1.0)
    yield from (min(percentile(counts, part), longest) for part in (0.5, 0.9, 0.99, 0.999))
    yield longest


def _slow(found: Sequence[SlowConnection]) -> Iterator[Safe]:
    if not found:
        return
    yield tag("h3", "The connections that waited longest")
    yield tag(
        "p", "From the handshake to the first answer, without the time that the client took:",
        tag("i", class_="q"), "in the queue", tag("i", class_="d"), "for a reader", tag("i", class_="s"), "for the answer", class_="hint key",
    )  # fmt: skip
    longest = max(one.total_ns for one in found)
    yield tag("div", [_pipe(one, longest) for one in found], class_="pipes")


def _pipe(one: SlowConnection, longest: int) -> Safe:
    steps = (("q", one.queue_ns), ("d", one.data_ns), ("s", one.service_ns))
    bars = [tag("i", class_=kind, style=f"width:{100 * ns / longest:.2f}%") for kind, ns in steps if ns]
    return tag(
        "div", tag("strong", formatting.duration(one.total_ns)), f"  {one.remote}, {one.path}",
        tag("div", bars, class_="bar", role="img", aria_label=one.words), tag("span", one.words, class_="hint"), class_="pipe",
    )  # fmt: skip
