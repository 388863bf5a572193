"""Detect readable bytes that no thread reads for long."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.severity import Severity


class ReaderLate:
    id = "reader-late"
    title = "Requests wait to be read"
    cause = "The threads that read are busy with other connections."
    effect = "Clients have sent their request and wait for the server."
    verify = "Record again: p99 data wait should be below the threshold."
    needs: tuple[str, ...] = ("read", "data-ready", "wait")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        limits, waits = context.thresholds, context.data_waits
        p99 = waits.percentile(0.99)
        late = int((waits.ns >= limits.data_wait_ns).sum())
        if len(waits) < limits.fewest or p99 < limits.data_wait_ns or late < 3:
            return
        severe = p99 >= limits.data_wait_severe_ns or late >= 0.1 * len(waits)
        lasting = context.lasting(waits, limits.data_wait_ns)
        severity: Severity = "info" if not lasting else "warning" if severe else "notice"
        yield diagnosis(
            self,
            context,
            severity,
            context.name,
            f"On {formatting.count(late)} of {formatting.count(len(waits))} connections data was readable for"
            f" {formatting.duration(limits.data_wait_ns)} or more before it was read (longest data wait per"
            f" connection: p50 {formatting.duration(waits.percentile(0.5))}, p99 {formatting.duration(p99)}).",
            {
                "p50_ms": round(waits.percentile(0.5) / 1e6, 3),
                "p99_ms": round(p99 / 1e6, 3),
                "late": late,
                "connections": len(waits),
                "reader_load": round(max(context.loads(context.server.readers), default=0.0), 3),
            },
            (
                "Use more reading threads, or move work off them.",
                "Limit the work per connection and wake-up, so that other connections get their turn.",
            ),
            weight=min(late / len(waits), 1),
        )


DETECTOR = ReaderLate()
