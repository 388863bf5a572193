"""Bytes lie readable on accepted connections, and nobody reads them."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.frame import Severity


class ReaderLate:
    id = "reader-late"
    title = "Requests lie unread on accepted connections"
    needs: tuple[str, ...] = ("read", "data-ready", "wait")

    def look(self, case: Case) -> Iterator[Diagnosis]:
        limits, waits = case.thresholds, case.data_waits
        p99 = waits.percentile(0.99)
        late = int((waits.ns >= limits.data_wait_ns).sum())
        if len(waits) < limits.fewest or p99 < limits.data_wait_ns or late < 3:
            return
        severe = p99 >= limits.data_wait_severe_ns or late >= 0.1 * len(waits)
        lasting = case.lasting(waits, limits.data_wait_ns)
        severity: Severity = "info" if not lasting else "warning" if severe else "notice"
        yield diagnosis(
            self,
            severity,
            case.name,
            f"On {formatting.count(late)} of {formatting.count(len(waits))} connections bytes lay readable for"
            f" {formatting.duration(limits.data_wait_ns)} or more before a thread read them (longest wait of a"
            f" connection: p50 {formatting.duration(waits.percentile(0.5))}, p99 {formatting.duration(p99)}). The"
            " server is late, not the clients.",
            {
                "p50_ms": round(waits.percentile(0.5) / 1e6, 3),
                "p99_ms": round(p99 / 1e6, 3),
                "late": late,
                "connections": len(waits),
                "reader_load": round(max(case.loads(case.server.readers), default=0.0), 3),
            },
            (
                "Use more reading threads, or take work off them.",
                "Bound how much one connection may do at a time, so that others get their turn.",
            ),
            weight=min(late / len(waits), 1),
        )


DETECTOR = ReaderLate()
