"""Connections wait long to be accepted, and nothing more precise is known than who kept them waiting."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.frame import Severity
from sockscope.analysis.signal_requirements import is_traced


class QueueWaitHigh:
    id = "queue-wait-high"
    title = "Connections wait long to be accepted"
    needs: tuple[str, ...] = ()

    def look(self, case: Case) -> Iterator[Diagnosis]:
        limits, waits = case.thresholds, case.queue_waits
        p99 = waits.percentile(0.99)
        hang = int(((waits.ns >= limits.queue_wait_severe_ns) & ~waits.over).sum())
        if p99 < limits.queue_wait_ns or (len(waits) < limits.fewest and hang < 3):
            return
        late = int((waits.ns >= limits.queue_wait_ns).sum())
        fault = _fault(case)
        severe = p99 >= limits.queue_wait_severe_ns or late >= 0.1 * len(waits)
        lasting = case.lasting(waits, limits.queue_wait_ns)
        severity: Severity = "info" if not lasting else "warning" if severe else "notice"
        yield diagnosis(
            self,
            severity,
            case.name,
            f"Connections wait {formatting.duration(waits.percentile(0.5))} (p50) and {formatting.duration(p99)} (p99)"
            f" between the end of the handshake and accept(); {formatting.count(late)} of"
            f" {formatting.count(len(waits))} wait {formatting.duration(limits.queue_wait_ns)} or more. {fault}",
            {
                "p50_ms": round(waits.percentile(0.5) / 1e6, 3),
                "p99_ms": round(p99 / 1e6, 3),
                "longest_ms": round(float(waits.ns.max()) / 1e6, 3),
                "late": late,
                "waiting_now": int((~waits.over).sum()),
                "connections": len(waits),
                **_load(case),
            },
            (
                "Take all that waits at each wake-up (accept4 until EAGAIN), and accept before serving.",
                "Add acceptors (SO_REUSEPORT), or move work off the accepting threads.",
            ),
            weight=min(late / len(waits), 1),
        )


def _load(case: Case) -> dict[str, float]:
    if not is_traced(case.snapshot, "waits"):
        return {}
    return {"acceptor_load": round(max(case.loads(case.server.acceptors), default=0.0), 3)}


def _fault(case: Case) -> str:
    loads = case.loads(case.server.acceptors)
    if not loads:
        return "Nobody accepts."
    if not is_traced(case.snapshot, "waits"):
        return f"Whether {'they are' if len(loads) > 1 else 'the acceptor is'} busy was not traced."
    if min(loads) >= case.thresholds.busy:
        return f"All {len(loads)} acceptors are busy ({percent(min(loads))} of the time or more)."
    if max(loads) >= case.thresholds.busy:
        return f"One acceptor is busy {percent(max(loads))} of the time, the idlest {percent(min(loads))}."
    return f"The acceptors are not short of time (busy {percent(max(loads))} at most): they come late."


DETECTOR = QueueWaitHigh()
