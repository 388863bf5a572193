"""Detect a saturated acceptor whose readers are idle."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, percent, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class AcceptorSaturated:
    id = "acceptor-saturated"
    title = "The acceptor is saturated"
    cause = (
        "One thread accepts all connections and has no time left, while the threads that it feeds are idle."
    )
    effect = "Connections wait in the accept queue although readers have free time."
    verify = "Record again: the acceptor should be busy less than the threshold and p90 wait should fall."
    needs: tuple[str, ...] = ("read", "data-ready", "wait")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        server, limits = context.server, context.thresholds
        if "handoff" not in server.model or not server.acceptors:
            return
        front = max(server.acceptors, key=context.load)
        behind = [worker for worker in context.serving if worker.id != front.id]
        if not behind or not context.saturated(front):
            return
        mean = sum(context.loads(behind)) / len(behind)
        if mean >= limits.slack:
            return
        rate = context.per_second(front.accepts)
        yield diagnosis(
            self,
            context,
            "warning",
            context.name,
            f"{thread_label(front)} is busy {percent(context.load(front))} of the time accepting"
            f" {formatting.count(rate)} connections per second. p90 wait for it"
            f" {formatting.duration(context.client_visible_wait(front))}. Its {len(behind)} readers are busy"
            f" {percent(mean)} on average.",
            {
                "acceptor_load": round(context.load(front), 3),
                "reader_load": round(mean, 3),
                "accepts_per_second": round(rate, 1),
                "wait_p90_ms": round(context.client_visible_wait(front) / 1e6, 3),
            },
            (
                "Use several acceptors: let each reader accept from its own socket (SO_REUSEPORT).",
                "Hand off to the less loaded of two random readers instead of searching all of them under a lock.",
                "Let clients reuse connections (keep-alive).",
            ),
            weight=context.load(front),
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
