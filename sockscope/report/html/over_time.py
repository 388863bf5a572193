"""The charts of one server over time: load of its workers, length of its accept queues."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.server import Server
from sockscope.analysis.server_report import ServerReport
from sockscope.model.history import HistoryView
from sockscope.model.snapshot import Worker
from sockscope.report.html.charts.times import NARROW, WIDE, Array, clock, heat, queues
from sockscope.report.html.components import Figure, Table
from sockscope.report.wording import label_thread

_WORKERS = 32
_LINES = 4
_ROWS = 12


def build_charts_over_time(report: ServerReport, history: HistoryView, anchor: str) -> Iterator[Figure]:
    """Yield the charts; the history has at least two ticks.

    :param anchor: ids of the charts begin with it
    """
    ends = (history.times_ns - report.snapshot.started_ns) / 1e9
    workers = _build_workers(history, report.server, anchor, ends)
    if workers:
        yield workers
    yield _build_queues(history, report.server, anchor, ends)


def _build_workers(history: HistoryView, server: Server, anchor: str, ends: Array) -> Figure | None:
    active = [worker for worker in server.workers if worker.did_something]
    # series of workers that ended long ago are not kept
    known = [worker for worker in active if worker.id in history.workers]
    known.sort(key=lambda worker: -(worker.reads + worker.writes + worker.accepts))
    shown = sorted(known[:_WORKERS], key=lambda worker: (worker.pid, worker.tid))
    if not shown:
        return None
    values, title, full, is_busy = _load_of(history, shown)
    if full <= 0:
        return None
    labels = [label_thread(worker) for worker in shown]
    means = values.mean(axis=1)
    top = int(np.argmax(means))
    scale = f"{100 * full:.0f} % of the time" if is_busy else f"{formatting.count(full)} per second"
    alt = (
        f"{title}, over time. The busiest is {labels[top]}, on average {100 * means[top]:.0f} % "
        f"of the darkest colour, which is {scale}"
    )
    pictures = (heat(f"{anchor}-b{width}", width, labels, values, ends, alt).svg for width in (WIDE, NARROW))
    left_out = len(active) - len(shown)
    ended = " or ended early" if len(known) < len(active) else ""
    caption = f"{left_out} workers that did less{ended} are not shown." if left_out else ""
    rows = []
    for label, row in zip(labels, values, strict=True):
        quarters = [(quarter if quarter.size else row).mean() for quarter in np.array_split(row, 4)]
        amounts = (float(part) * full for part in (*quarters, row.max()))
        rows.append((label, *(_format_amount(amount, is_busy) for amount in amounts)))
    return Figure(
        title,
        tuple(pictures),
        caption,
        Table(
            f"{title}, mean of each quarter of the time",
            ("thread", "first", "second", "third", "fourth", "maximum"),
            tuple(rows),
        ),
        scale=scale,
    )


def _load_of(history: HistoryView, workers: list[Worker]) -> tuple[Array, str, float, bool]:
    """Return the load of each worker from 0 to 1, its title, what 1 stands for, and if it is busy time."""
    ids = [worker.id for worker in workers]
    busy = history.worker("busy", ids) / 1e9 / history.seconds
    if busy.sum() > 0:
        full = _round_up(float(np.max(busy)))
        return np.clip(busy / full, 0, 1), "Busy time per worker (not waiting for events)", full, True
    reads = (history.worker("reads", ids) + history.worker("answers", ids)) / history.seconds
    full = float(np.max(reads))
    return reads / full if full else reads, "Reads and writes per second and worker", full, False


def _format_amount(amount: float, is_busy: bool) -> str:
    return f"{100 * amount:.1f} %" if is_busy else formatting.count(amount)


def _round_up(part: float) -> float:
    """Return the next of 10, 20, 50 and 100 %."""
    return next((step for step in (0.1, 0.2, 0.5) if part <= step), 1.0)


def _build_queues(history: HistoryView, server: Server, anchor: str, ends: Array) -> Figure:
    listeners = server.group.listeners
    ids = [listener.id for listener in listeners]
    lengths, limits = history.listener("queue", ids), history.listener("backlog", ids)
    drops = history.listener("drops", ids).sum(axis=0)
    labels = [f"socket {listener.inode}" for listener in listeners]
    if len(ids) > _LINES:
        labels = [f"longest of {len(ids)} queues", "mean"]
        lengths = np.stack([lengths.max(axis=0), lengths.mean(axis=0)])
    limit = float(limits.max(initial=0))
    longest, dropped = float(lengths.max(initial=0)), float(drops.sum())
    peak = max((listener.queue_max for listener in listeners), default=0)
    alt = (
        f"Accept queues over time: longest {longest:.0f} at the sampled moments, limit {limit:.0f}; "
        f"{dropped:.0f} connections were dropped"
    )
    rate = drops / history.seconds
    pictures = (
        queues(f"{anchor}-q{width}", width, labels, lengths, limit, rate, ends, alt).svg
        for width in (WIDE, NARROW)
    )
    parts = np.array_split(np.arange(len(ends)), min(_ROWS, len(ends)))
    rows = tuple(
        (
            clock(round(float(ends[part[-1]]), 1)),
            *(f"{row[part].max():.0f}" for row in lengths),
            f"{drops[part].sum():.0f}",
        )
        for part in parts
    )
    return Figure(
        "Accept queues",
        tuple(pictures),
        f"Longest queue: {longest:.0f} at the sampled moments, {peak} at any time. "
        f"Dropped connections: {formatting.count(dropped)}.",
        Table("Longest queue per interval", ("until", *labels, "drops"), rows),
    )
