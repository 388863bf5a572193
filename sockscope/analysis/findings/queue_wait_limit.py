"""Compare p99 queue wait with the limit given by the user."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class QueueWaitLimit:
    id = "queue-wait-above-limit"
    title = "Queue wait exceeds the limit"
    cause = "The limit was set by --max-queue-wait or max_queue_wait."
    effect = "Clients wait longer than allowed before their connection is accepted."
    verify = "Run the same check again: p99 queue wait should be within the limit."
    needs: tuple[str, ...] = ()

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        limit, waits = context.thresholds.max_queue_wait_ns, context.queue_waits
        p99 = waits.percentile(0.99)
        if not limit or len(waits) < context.thresholds.fewest or p99 <= limit:
            return
        yield diagnosis(
            self,
            context,
            "warning",
            context.name,
            f"p99 queue wait {formatting.duration(p99)} of {formatting.count(len(waits))} connections (limit"
            f" {formatting.duration(limit)}).",
            {"p99_ms": round(p99 / 1e6, 3), "limit_ms": round(limit / 1e6, 3), "connections": len(waits)},
            ("See the other findings for the cause, or raise the limit.",),
            weight=0.3,
        )


DETECTOR = QueueWaitLimit()
