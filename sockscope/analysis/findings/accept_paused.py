"""Detect that accepting stops at a limit of open connections."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.findings._occupancy import (
    Records,
    Span,
    acceptance_times,
    intersection,
    length,
    merge_spans,
    open_counts,
    release_times,
)
from sockscope.analysis.work_distribution import away_ns

#: Part of the time with late connections during which the count of open connections is at its maximum.
_AT_LIMIT = 0.85
_FEWEST_LATE = 3


class AcceptPaused:
    id = "accept-paused"
    title = "Accepting stops at a connection limit"
    cause = (
        "The server stops watching its listener while a certain number of connections is open. That is a "
        "configured limit, not a lack of capacity."
    )
    effect = (
        "Further clients are connected (the kernel completes the handshake) but get no reply until "
        "another client leaves."
    )
    verify = (
        "ss -tn state established sport = :{port} shows more connections than the limit, and Recv-Q of ss "
        "-ltn sport = :{port} stays near 0."
    )
    needs: tuple[str, ...] = ()

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        waits = context.queue_waits
        late = waits.of(waits.ns >= context.thresholds.queue_wait_ns)
        if len(late) < _FEWEST_LATE or float(late.ns.max()) < context.thresholds.hang_ns:
            return
        begins, ends = acceptance_times(context), release_times(context)
        chosen = begins > 0
        times, counts = open_counts(begins[chosen], ends[chosen])
        threads = {int(number) for number in context.readers if number} | {
            int(number) for number in context.columns["acceptor"] if number
        }
        if not len(counts) or not context.snapshot.all_kept:
            return
        spans = merge_spans(late.end_ns - late.ns, late.end_ns)
        limit = int(counts.max())
        share = _time_at(times, counts, limit, spans, context.snapshot.time_ns)
        # with as many connections as threads each has one, and no thread is free to accept
        if limit <= max(len(threads), 1) or share < _AT_LIMIT or _was_away(context, float(late.ns.max())):
            return
        if max(context.loads(context.server.acceptors), default=0.0) >= context.thresholds.busy:
            return
        waiting = int((~late.over).sum())
        pid = context.server.acceptors[0].pid if context.server.acceptors else context.server.pid
        yield diagnosis(
            self,
            context,
            "critical"
            if waiting and float(late.ns.max()) >= context.thresholds.queue_wait_severe_ns
            else "warning",
            context.name,
            f"{len(late)} connections waited in the accept "
            f"queue for up to {formatting.duration(float(late.ns.max()))}, and {percent(share)} of that time exactly "
            f"{limit} were open (never more).",
            {
                "limit": limit,
                "at_limit": round(share, 3),
                "late": len(late),
                "longest_ms": round(float(late.ns.max()) / 1e6, 1),
                "waiting_now": waiting,
            },
            (
                f"Look for a limit of {limit} (or {limit} divided by the number of workers) in the server's "
                "configuration: HAProxy maxconn, Tomcat maxConnections, lighttpd server.max-connections, memcached -c, "
                "a LimitListener or semaphore in the program.",
                "Raise it if memory and descriptors allow "
                f"(`grep 'open files' /proc/{pid}/limits`), or make connections end sooner: shorter keep-alive and idle "
                "timeouts.",
            ),
            weight=min(share, 1.0),
            explains=(
                "queue-stuck",
                "listener-orphaned",
                "queue-wait-high",
                "queue-overflow",
                "queue-near-limit",
                "accept-lock-contention",
                "accept-skew-shared",
                "idle-workers",
                "open-connections-skew",
                "backlog-clamped",
                "reuseport-unused",
            ),
        )


def _time_at(times: Records, counts: Records, limit: int, spans: list[Span], now: int) -> float:
    """Return the part of some spans of time during which the count is at the limit (or 5 % below)."""
    least = limit - limit // 20
    following = np.append(times[1:], now)
    high = counts >= least
    at_limit = merge_spans(times[high], following[high])
    return length(intersection(spans, at_limit)) / max(length(spans), 1)


def _was_away(context: ServerContext, longest_ns: float) -> bool:
    """Return whether an acceptor was away from its event loop for as long as connections waited."""
    for worker in context.server.acceptors:
        if max(worker.stall_max_ns, away_ns(worker, context.snapshot.time_ns)) >= 0.5 * longest_ns:
            return True
    return False


DETECTOR = AcceptPaused()
