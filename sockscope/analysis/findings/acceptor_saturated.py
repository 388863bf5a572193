"""The thread that accepts for all has no time left, while those that it feeds wait for work."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case, percent, thread
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class AcceptorSaturated:
    id = "acceptor-saturated"
    title = "The acceptor is saturated while readers wait for work"
    needs: tuple[str, ...] = ("read", "data-ready", "wait")

    def look(self, case: Case) -> Iterator[Diagnosis]:
        server, limits = case.server, case.thresholds
        if "handoff" not in server.model or not server.acceptors:
            return
        front = max(server.acceptors, key=case.load)
        behind = [worker for worker in case.serving if worker.id != front.id]
        if not behind or not case.saturated(front):
            return
        mean = sum(case.loads(behind)) / len(behind)
        if mean >= limits.slack:
            return
        rate = case.per_second(front.accepts)
        yield diagnosis(
            self,
            "warning",
            case.name,
            f"{thread(front)} is at work {percent(case.load(front))} of the time accepting "
            f"{formatting.count(rate)} "
            f"connections a second, which wait {formatting.duration(case.felt(front))} for it (p90); the "
            f"{len(behind)} "
            f"readers that it feeds are at work {percent(mean)}.",
            {
                "acceptor_load": round(case.load(front), 3),
                "reader_load": round(mean, 3),
                "accepts_per_second": round(rate, 1),
                "wait_p90_ms": round(case.felt(front) / 1e6, 3),
            },
            (
                "Use several acceptors: let the readers accept themselves from sockets of their own "
                "(SO_REUSEPORT).",
                "Hand off to the lesser loaded of two random readers, with no lock around all of them.",
                "Let clients keep their connections open.",
            ),
            weight=case.load(front),
            threads=(front.id,),
            explains=(
                "queue-wait-high",
                "queue-near-limit",
                "queue-overflow",
                "backlog-clamped",
                "idle-workers",
                "loop-stall",
            ),
        )


DETECTOR = AcceptorSaturated()
