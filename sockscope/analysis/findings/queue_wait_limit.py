"""A limit that the user set: the p99 of the time in the accept queue."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class QueueWaitLimit:
    id = "queue-wait-above-limit"
    title = "Connections wait longer to be accepted than the limit allows"
    needs: tuple[str, ...] = ()

    def look(self, case: Case) -> Iterator[Diagnosis]:
        limit, waits = case.thresholds.max_queue_wait_ns, case.queue_waits
        p99 = waits.percentile(0.99)
        if not limit or len(waits) < case.thresholds.fewest or p99 <= limit:
            return
        yield diagnosis(
            self,
            "warning",
            case.name,
            f"Connections wait {formatting.duration(p99)} in the accept queue (p99 of {formatting.count(len(waits))});"
            f" the limit is {formatting.duration(limit)}.",
            {"p99_ms": round(p99 / 1e6, 3), "limit_ms": round(limit / 1e6, 3), "connections": len(waits)},
            ("The limit is yours (max-queue-wait): see the other findings for a cause, or raise it.",),
            weight=0.3,
        )


DETECTOR = QueueWaitLimit()
