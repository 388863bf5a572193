"""Detect a saturated dispatcher whose workers wait for requests."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, percent, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis

#: Wait for a dispatcher over the time that it is away per read, below which it cannot be saturated.
_SHORT_WAIT = 0.1


class DispatcherSaturated:
    id = "dispatcher-saturated"
    title = "The dispatcher is saturated"
    cause = "One thread reads all requests and has no time left, while its workers wait for requests."
    effect = "Requests wait to be read although workers are idle."
    verify = (
        "Record again: the dispatcher should be busy less than the threshold, and p90 data wait should fall."
    )
    needs: tuple[str, ...] = ("read", "data-ready", "write", "wait")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        server, limits = context.server, context.thresholds
        if "dispatch" not in server.model or not server.readers:
            return
        front = max(server.readers, key=context.load)
        behind = [worker for worker in context.serving if worker.id != front.id]
        if not context.saturated(front):
            return
        # at this load requests wait about as long as those before them take: else it is away, not at work
        if context.client_visible_wait(front) < _SHORT_WAIT * front.busy_ns / max(front.reads, 1):
            return
        each = context.in_flight() / len(behind) if behind else 0.0
        # if the dispatcher writes the replies as well, requests in flight wait for itself: use CPU time instead
        idle = sum(worker.cpu_ns for worker in behind) < limits.slack / 2 * context.window_ns * len(behind)
        if each >= limits.slack and not (front in server.writers and idle):
            return
        rate = context.per_second(front.reads)
        yield diagnosis(
            self,
            context,
            "warning",
            context.name,
            f"{thread_label(front)} reads all requests and is busy {percent(context.load(front))} of the time"
            f" ({formatting.count(rate)} reads per second,"
            f" {formatting.duration(front.busy_ns / max(front.reads, 1))} each). p90 wait for it"
            f" {formatting.duration(context.client_visible_wait(front))}. Its {len(behind)} workers have"
            f" {each:.2f} requests each on average.",
            {
                "dispatcher_load": round(context.load(front), 3),
                "requests_per_worker": round(each, 3),
                "reads_per_second": round(rate, 1),
                "wait_p90_ms": round(context.client_visible_wait(front) / 1e6, 3),
                "workers": len(behind),
            },
            (
                "Use several dispatchers, each with its own listening socket (SO_REUSEPORT).",
                "If the dispatcher writes the replies, let the workers write them.",
                "Send fewer, larger requests per connection (batches).",
            ),
            weight=context.load(front),
            threads=(front.id,),
            explains=(
                "queue-wait-high",
                "reader-late",
                "queue-near-limit",
                "queue-overflow",
                "backlog-clamped",
                "idle-workers",
                "loop-stall",
            ),
        )


DETECTOR = DispatcherSaturated()
