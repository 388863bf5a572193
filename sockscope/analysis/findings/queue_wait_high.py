"""Detect connections that wait long to be accepted, when no more specific cause is known."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.severity import Severity
from sockscope.analysis.signal_requirements import is_traced


class QueueWaitHigh:
    id = "queue-wait-high"
    title = "Connections wait long to be accepted"
    cause = "No more specific cause was found; the evidence names the busiest acceptor."
    effect = "Clients see the connection established but no reply."
    verify = "Record again: p99 queue wait should be below the threshold (sockscope check --max-queue- wait)."
    needs: tuple[str, ...] = ()

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        limits, waits = context.thresholds, context.queue_waits
        p99 = waits.percentile(0.99)
        hang = int(((waits.ns >= limits.queue_wait_severe_ns) & ~waits.over).sum())
        if p99 < limits.queue_wait_ns or (len(waits) < limits.fewest and hang < 3):
            return
        late = int((waits.ns >= limits.queue_wait_ns).sum())
        fault = _fault(context)
        severe = p99 >= limits.queue_wait_severe_ns or late >= 0.1 * len(waits)
        lasting = context.lasting(waits, limits.queue_wait_ns)
        severity: Severity = "info" if not lasting else "warning" if severe else "notice"
        yield diagnosis(
            self,
            context,
            severity,
            context.name,
            f"Queue wait p50 {formatting.duration(waits.percentile(0.5))}, p99 {formatting.duration(p99)} (threshold"
            f" {formatting.duration(limits.queue_wait_ns)}); {formatting.count(late)} of"
            f" {formatting.count(len(waits))} connections waited longer. {fault}",
            {
                "p50_ms": round(waits.percentile(0.5) / 1e6, 3),
                "p99_ms": round(p99 / 1e6, 3),
                "longest_ms": round(float(waits.ns.max()) / 1e6, 3),
                "late": late,
                "waiting_now": int((~waits.over).sum()),
                "connections": len(waits),
                **_load(context),
            },
            (
                "Accept until EAGAIN at each wake-up, and accept before serving.",
                "Add acceptors (SO_REUSEPORT), or move work off the accepting threads.",
            ),
            weight=min(late / len(waits), 1),
        )


def _load(context: ServerContext) -> dict[str, float]:
    if not is_traced(context.snapshot, "waits"):
        return {}
    return {"acceptor_load": round(max(context.loads(context.server.acceptors), default=0.0), 3)}


def _fault(context: ServerContext) -> str:
    loads = context.loads(context.server.acceptors)
    if not loads:
        return "There is no acceptor."
    if not is_traced(context.snapshot, "waits"):
        return "Busy time of the acceptors was not traced."
    if min(loads) >= context.thresholds.busy:
        return f"All {len(loads)} acceptors are busy at least {percent(min(loads))} of the time."
    if max(loads) >= context.thresholds.busy:
        return (
            f"One acceptor is busy {percent(max(loads))} of the time, the least busy {percent(min(loads))}."
        )
    return f"The acceptors have free time (busy at most {percent(max(loads))}), but accept late."


DETECTOR = QueueWaitHigh()
