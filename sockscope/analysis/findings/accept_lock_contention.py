"""Detect acceptors that take turns by a lock while connections wait."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class AcceptLockContention:
    id = "accept-lock-contention"
    title = "Connections wait for an accept lock"
    cause = (
        "The acceptors take turns by a lock or a timer, so idle acceptors do not watch the listening socket."
    )
    effect = "Connections wait in the accept queue although a worker could accept them."
    verify = (
        "Record again under the same load: p99 queue wait should fall below the threshold (sockscope "
        "compare)."
    )
    needs: tuple[str, ...] = ("wait",)

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        limits, crowd = context.thresholds, context.accepting
        # a lock protects one socket that several threads wait for; a group needs none
        used = sum(number > 0 for number in context.group.per_listener.values())
        if used > 1 or len(crowd) < 2 or not context.enough or not context.long_enough:
            return
        turns = [worker for worker in crowd if context.uses_accept_lock(worker)]
        if len(turns) < len(crowd) / 2:
            return
        p90, p99 = context.queue_waits.percentile(0.9), context.queue_waits.percentile(0.99)
        asleep = 1 - min(context.loads(crowd))
        # a sleeping thread that watches a shared socket is woken at once: these do not watch it
        late = p99 >= limits.queue_wait_ns and context.lasting(context.queue_waits, limits.queue_wait_ns // 2)
        if asleep < 0.3 or not late:
            return
        timeouts = sum(worker.waits - worker.wakeups for worker in turns)
        yield diagnosis(
            self,
            context,
            "warning" if p99 >= limits.queue_wait_severe_ns else "notice",
            context.name,
            f"{len(crowd)} acceptors take turns: {formatting.count(timeouts)} of their waits ended by timeout."
            f" p99 queue wait {formatting.duration(p99)} (threshold {formatting.duration(limits.queue_wait_ns)})"
            f" although the least busy acceptor sleeps {percent(asleep)} of the time.",
            {
                "acceptors": len(crowd),
                "timeouts": timeouts,
                "queue_wait_p90_ms": round(p90 / 1e6, 3),
                "queue_wait_p99_ms": round(p99 / 1e6, 3),
                "idlest_asleep": round(asleep, 3),
            },
            (
                "Disable the accept lock (for Nginx: accept_mutex off) and use EPOLLEXCLUSIVE, or SO_REUSEPORT"
                " with one listening socket per worker.",
                "If the lock is needed, shorten the interval at which a worker retries it.",
            ),
            weight=0.7,
            explains=("queue-wait-high", "idle-workers", "accept-skew-shared", "reader-late"),
        )


DETECTOR = AcceptLockContention()
