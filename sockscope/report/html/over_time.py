"""One server over time: how busy its workers were, how long its queues."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.frame import Frame
from sockscope.analysis.server import Server
from sockscope.model.history import HistoryView
from sockscope.model.snapshot import Worker
from sockscope.report.html.charts.times import NARROW, WIDE, Array, clock, heat, queues
from sockscope.report.html.markup import Safe, behind, table, tag

_WORKERS = 32
_LINES = 4
_ROWS = 12


def over_time(frame: Frame, history: HistoryView, server: Server, name: str) -> Iterator[Safe]:
    """Sections of the page; there are at least two ticks."""
    ends = (history.times_ns - frame.snapshot.started_ns) / 1e9
    yield tag("h3", "What happened when?")
    yield from _workers(history, server, name, ends)
    yield from _queues(history, server, name, ends)


def _workers(history: HistoryView, server: Server, name: str, ends: Array) -> Iterator[Safe]:
    active = [worker for worker in server.workers if worker.did_something]
    # of many that have ended, only the latest have series
    known = [worker for worker in active if worker.id in history.workers]
    known.sort(key=lambda worker: -(worker.reads + worker.writes + worker.accepts))
    shown = sorted(known[:_WORKERS], key=lambda worker: (worker.pid, worker.tid))
    if not shown:
        return
    values, words, full = _heat_of(history, shown)
    if full <= 0:
        return
    labels = [f"{worker.comm} {worker.number}" for worker in shown]
    means = values.mean(axis=1)
    top = int(np.argmax(means))
    scale = f"{100 * full:.0f} % of the time" if words.startswith("Busy") else formatting.count(full)
    alt = f"{words}, each worker over time; {labels[top]} has most, on average {100 * means[top]:.0f} % of the darkest, which is {scale}"
    pictures = [heat(f"{name}-b{width}", width, labels, values, ends, alt).svg for width in (WIDE, NARROW)]
    long_ago = " or ended long before others" if len(known) < len(active) else ""
    left = (
        f" {len(active) - len(shown)} workers that did less{long_ago} are left out."
        if len(active) > len(shown)
        else ""
    )
    busy = words.startswith("Busy")
    rows = [
        (
            who,
            *(
                _amount(float(part), full, busy)
                for part in (
                    *((quarter if quarter.size else row).mean() for quarter in np.array_split(row, 4)),
                    row.max(),
                )
            ),
        )
        for who, row in zip(labels, values, strict=True)
    ]
    yield tag(
        "figure", tag("h4", words), pictures,
        tag("figcaption", "0", tag("span", class_="scale", role="img", aria_label="from pale to dark"), f"{scale}.{left}"),
        behind("Table", table(f"{words}, mean of each quarter of the time", ("thread", "first", "second", "third", "fourth", "most"), rows)),
    )  # fmt: skip


def _heat_of(history: HistoryView, workers: list[Worker]) -> tuple[Array, str, float]:
    """What to show of the workers, 0 to 1, what it is, and what 1 stands for."""
    ids = [worker.id for worker in workers]
    busy = history.worker("busy", ids) / 1e9 / history.seconds
    if busy.sum() > 0:
        full = _round_up(float(np.max(busy)))
        return np.clip(busy / full, 0, 1), "Busy time (away from waiting) of each worker", full
    reads = (history.worker("reads", ids) + history.worker("answers", ids)) / history.seconds
    full = float(np.max(reads))
    return reads / full if full else reads, "Reads and writes a second of each worker", full


def _amount(part: float, full: float, busy: bool) -> str:
    return f"{100 * part * full:.1f} %" if busy else formatting.count(part * full)


def _round_up(part: float) -> float:
    """The next of 10, 20, 50 and 100 %."""
    return next((step for step in (0.1, 0.2, 0.5) if part <= step), 1.0)


def _queues(history: HistoryView, server: Server, name: str, ends: Array) -> Iterator[Safe]:
    listeners = server.group.listeners
    ids = [listener.id for listener in listeners]
    lengths, limits = history.listener("queue", ids), history.listener("backlog", ids)
    drops = history.listener("drops", ids).sum(axis=0) / history.seconds
    labels = [f"socket {listener.inode}" for listener in listeners]
    if len(ids) > _LINES:
        labels, lengths = (
            [f"longest of {len(ids)} queues", "mean"],
            np.stack([lengths.max(axis=0), lengths.mean(axis=0)]),
        )
    limit = float(limits.max(initial=0))
    longest, total = float(lengths.max(initial=0)), float((drops * history.seconds).sum())
    alt = f"Accept queues over time: at most {longest:.0f} waited, of {limit:.0f}; {total:.0f} connections were dropped"
    pictures = [
        queues(f"{name}-q{width}", width, labels, lengths, limit, drops, ends, alt).svg
        for width in (WIDE, NARROW)
    ]
    peak = max((listener.queue_max for listener in listeners), default=0)
    parts = np.array_split(np.arange(len(ends)), min(_ROWS, len(ends)))
    rows = [
        (
            clock(round(float(ends[part[-1]]), 1)),
            *(f"{row[part].max():.0f}" for row in lengths),
            f"{(drops * history.seconds)[part].sum():.0f}",
        )
        for part in parts
    ]
    yield tag(
        "figure", tag("h4", "Accept queues"), pictures,
        tag("figcaption", f"At most {longest:.0f} waited at the moments looked at, {peak} at any; {formatting.count(total)} dropped."),
        behind("Table", table("Longest queue in each stretch of time", ("until", *labels, "drops"), rows)),
    )  # fmt: skip
