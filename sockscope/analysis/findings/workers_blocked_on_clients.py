"""Detect workers that serve one connection at a time and wait for their clients."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, percent, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.findings._occupancy import (
    Span,
    acceptance_times,
    intersection,
    length,
    merge_spans,
    occupied_spans,
    release_times,
    reply_time,
)
from sockscope.model.snapshot import Worker

#: Part of the time with late connections during which each worker has a connection.
_OCCUPIED = 0.8
#: Part of its occupied time that a worker works on requests: above it, the requests are what takes long.
_WORKING = 0.5
_FEWEST_LATE = 3


class WorkersBlockedOnClients:
    id = "workers-blocked-on-clients"
    title = "All workers are blocked on clients"
    cause = "Every worker serves one connection at a time and waits for a client that sends nothing."
    effect = "Other clients wait in the accept queue although the workers do nothing."
    verify = "ss -ltn sport = :{port} shows Recv-Q near 0 while idle clients are connected."
    needs: tuple[str, ...] = ("read", "write")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        waits = context.queue_waits
        late = waits.of(waits.ns >= context.thresholds.queue_wait_ns)
        if len(late) < _FEWEST_LATE or float(late.ns.max()) < context.thresholds.hang_ns:
            return
        queued = merge_spans(late.end_ns - late.ns, late.end_ns)
        workers = _acceptors(context)
        occupied: dict[int, list[Span]] = {}
        for worker in workers:
            spans = occupied_spans(context, worker)
            if spans is None or length(intersection(queued, spans)) < _OCCUPIED * length(queued):
                return
            occupied[worker.id] = spans
        working = sum(reply_time(worker) for worker in workers)
        total = sum(length(spans) for spans in occupied.values())
        if not workers or not total or working >= _WORKING * total:
            return
        silent, idle = _client_times(context, [worker.id for worker in workers])
        kind = (
            "that have sent no request yet" if silent >= idle else "that are idle after a reply (keep-alive)"
        )
        waiting = int((~late.over).sum())
        longest = float(late.ns.max())
        first = workers[0]
        yield diagnosis(
            self,
            context,
            "critical" if longest >= context.thresholds.queue_wait_severe_ns else "warning",
            context.name,
            f"All {len(workers)} workers (such as {thread_label(first)}) serve one connection at a time. While {len(late)} "
            f"connections waited up to {formatting.duration(longest)} to be accepted, each worker had a connection, and "
            f"only {percent(min(working / total, 1.0))} of that time went into requests. The rest was spent in waiting "
            f"for clients, mostly for connections {kind}.",
            {
                "workers": len(workers),
                "late": len(late),
                "longest_ms": round(longest / 1e6, 1),
                "waiting_now": waiting,
                "working": round(min(working / total, 1.0), 3),
                "no_request_s": round(silent / 1e9, 2),
                "keepalive_idle_s": round(idle / 1e9, 2),
            },
            (
                "Put a buffering proxy in front (Nginx, HAProxy in HTTP mode): it holds slow and idle clients and hands "
                "on complete requests.",
                "Or use workers that serve many connections: threads or an event loop (gunicorn -k gthread, Apache's "
                "event MPM, Python's ThreadingHTTPServer).",
                "Shorten the timeouts for reading a request and for keep-alive, or switch keep-alive off.",
            ),
            weight=1 - min(working / total, 1.0),
            explains=(
                "queue-stuck",
                "listener-orphaned",
                "accept-paused",
                "queue-wait-high",
                "queue-overflow",
                "queue-near-limit",
                "backlog-clamped",
                "workers-saturated",
                "single-saturated",
                "acceptor-saturated",
                "loop-stall",
                "straggler",
                "idle-workers",
                "accept-skew-shared",
                "accept-lock-contention",
                "reuseport-unused",
                "client-slow",
                "open-connections-skew",
                "heavy-connections",
                "reader-late",
            ),
        )


def _acceptors(context: ServerContext) -> list[Worker]:
    """Return the threads that accepted or could have: those that hold connections from before included."""
    known = {
        worker.id: worker for worker in (*context.accepting, *context.serving, *context.server.acceptors)
    }
    return [worker for _, worker in sorted(known.items()) if not worker.ended_ns]


def _client_times(context: ServerContext, workers: list[int]) -> tuple[int, int]:
    """Return how long connections held these workers before a first request, and idle after a reply, in ns."""
    rows = context.columns
    owners = np.where(context.readers > 0, context.readers, rows["acceptor"])
    begins, ends = acceptance_times(context), release_times(context)
    mine = np.isin(owners, workers) & (begins > 0)
    unread = mine & (rows["first_read_ns"] == 0)
    replied = mine & (rows["first_write_ns"] > 0) & (rows["unanswered_ns"] == 0)
    before = mine & (rows["first_read_ns"] > 0)
    read_at = np.maximum(rows["first_read_ns"].astype(np.int64), begins)
    silent = int((ends - begins)[unread].sum() + (read_at - begins)[before].sum())
    written = np.maximum(rows["first_write_ns"].astype(np.int64), begins)
    return silent, int(np.maximum(ends - written, 0)[replied].sum())


DETECTOR = WorkersBlockedOnClients()
