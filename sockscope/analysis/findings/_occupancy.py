"""How many connections a server has open over time, and which threads serve one connection at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sockscope.analysis.findings._context import ServerContext
from sockscope.model.histogram import EDGES
from sockscope.model.snapshot import Worker
from sockscope.records.layout import ConnectionFlag

Records = np.ndarray[Any, np.dtype[Any]]
Span = tuple[int, int]

#: Part of its occupied time in which a thread may have two connections: one closes while the next is taken.
_OVERLAP = 0.05


def release_times(context: ServerContext) -> Records:
    """Return when the server closed each connection; the end of the trace for those that it has open.

    A connection that the peer has closed stays open until the server closes it too.
    """
    rows, now = context.columns, context.snapshot.time_ns
    flags = rows["flags"]
    peer_first = (flags & int(ConnectionFlag.PEER_CLOSED_FIRST)) != 0
    own = np.where(peer_first, rows["closed_ns"], rows["ending_ns"])
    return np.where(own > 0, own, now).astype(np.int64)


def acceptance_times(context: ServerContext) -> Records:
    """Return when each connection was accepted: the start of tracing for those open before, 0 for never."""
    rows = context.columns
    before = (rows["flags"] & int(ConnectionFlag.OPEN_BEFORE)) != 0
    waited = (rows["flags"] & int(ConnectionFlag.UNACCEPTED_BEFORE)) != 0
    began = np.where(before & ~waited, context.snapshot.started_ns, 0)
    return np.where(rows["accepted_ns"] > 0, rows["accepted_ns"], began).astype(np.int64)


def open_counts(begins: Records, ends: Records) -> tuple[Records, Records]:
    """Return the times at which the number of open connections changes, and the number from then on."""
    times = np.concatenate([ends, begins])
    steps = np.concatenate([np.full(len(ends), -1), np.full(len(begins), 1)])
    order = np.argsort(times, kind="stable")
    return times[order], np.cumsum(steps[order])


def merge_spans(begins: Records, ends: Records) -> list[Span]:
    """Return the union of spans, in the order of time."""
    real = ends > begins
    order = np.argsort(begins[real], kind="stable")
    begins, ends = begins[real][order], ends[real][order]
    if not len(begins):
        return []
    reached = np.maximum.accumulate(ends)
    first = np.append(True, begins[1:] > reached[:-1])
    last = np.append(first[1:], True)
    return list(zip(begins[first].tolist(), reached[last].tolist(), strict=True))


def length(spans: Iterable[Span]) -> int:
    """Return the total length of spans that do not overlap."""
    return sum(end - begin for begin, end in spans)


def intersection(first: list[Span], second: list[Span]) -> list[Span]:
    """Return the parts that two unions of spans have in common."""
    common, left, right = [], 0, 0
    while left < len(first) and right < len(second):
        begin = max(first[left][0], second[right][0])
        end = min(first[left][1], second[right][1])
        if begin < end:
            common.append((begin, end))
        if first[left][1] < second[right][1]:
            left += 1
        else:
            right += 1
    return common


def occupied_spans(context: ServerContext, worker: Worker) -> list[Span] | None:
    """Return when a thread had a connection, or None if it serves several at a time.

    A connection occupies its acceptor until another thread reads it, and then that thread.
    """
    mine = np.where(context.readers > 0, context.readers, context.columns["acceptor"]) == worker.id
    begins, ends = acceptance_times(context), release_times(context)
    chosen = mine & (begins > 0) & (ends > begins)
    begins, ends = begins[chosen], ends[chosen]
    spans = merge_spans(begins, ends)
    overlap = int((ends - begins).sum()) - length(spans)
    return None if overlap > _OVERLAP * max(length(spans), 1) else spans


def reply_time(worker: Worker) -> float:
    """Return the time that a thread spent between reading requests and writing their replies, in ns."""
    counts = worker.answer.astype(np.int64)
    middles = np.minimum((EDGES[:-1] + EDGES[1:]) / 2, EDGES[-2])
    return float((counts * middles).sum())
