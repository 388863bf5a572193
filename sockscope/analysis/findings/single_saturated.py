"""Detect a single-threaded server that has no time left."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, percent, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class SingleSaturated:
    id = "single-saturated"
    title = "The only worker thread is saturated"
    cause = "One thread accepts, reads and replies alone, and has no time left."
    effect = "Every connection waits for that thread."
    verify = "Record again: the thread should be busy less than the threshold, and p90 wait should fall."
    needs: tuple[str, ...] = ("read", "data-ready", "wait")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        server = context.server
        if server.model != "single" or len(context.serving) > 1 or not server.readers:
            return
        worker = server.readers[0]
        if not context.saturated(worker):
            return
        load, felt = context.load(worker), context.client_visible_wait(worker)
        rate = context.per_second(worker.reads)
        yield diagnosis(
            self,
            context,
            "warning" if felt >= 4 * context.thresholds.felt_ns else "notice",
            context.name,
            f"{thread_label(worker)} is busy {percent(load)} of the time ({formatting.count(rate)} reads per second,"
            f" {formatting.duration(worker.busy_ns / max(worker.reads, 1))} each). p90 wait for it"
            f" {formatting.duration(felt)}. It uses one of {context.frame.meta.cpus} CPUs.",
            {
                "load": round(load, 3),
                "wait_p90_ms": round(felt / 1e6, 3),
                "reads_per_second": round(rate, 1),
                "cpus": context.frame.meta.cpus,
            },
            (
                "Run several such processes on one port: SO_REUSEPORT, with a socket bound in each.",
                "Or hand connections to more threads, or long work to a thread pool.",
                "For many small requests, let clients send several at once (pipelining, batches).",
            ),
            weight=load,
            threads=(worker.id,),
            explains=(
                "queue-wait-high",
                "reader-late",
                "queue-near-limit",
                "queue-overflow",
                "backlog-clamped",
                "loop-stall",
            ),
        )


DETECTOR = SingleSaturated()
