"""Detect readers that are woken for connections without data."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, percent, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class WastedWakeups:
    id = "wasted-wakeups"
    title = "Readers are woken for nothing"
    cause = "Another thread reads the data first, or the thread watches for events that it does not handle."
    effect = "CPU time is lost; clients notice it only when CPU is scarce."
    verify = "Record again: spurious wake-ups of the thread should be few."
    needs: tuple[str, ...] = ("read", "write", "wait")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        limits = context.thresholds
        for worker in context.server.readers:
            vain = min(worker.wakeups_spurious, worker.reads_eagain)
            rate = context.per_second(vain)
            if vain < 100 or vain < limits.wasted * worker.wakeups:
                continue
            costly = context.long_enough and rate >= limits.herd_rate
            yield diagnosis(
                self,
                context,
                "notice" if costly else "info",
                context.name,
                f"{thread_label(worker)} was woken {formatting.count(worker.wakeups)} times; in"
                f" {formatting.count(vain)} of them ({percent(vain / worker.wakeups)}) every read returned EAGAIN.",
                {
                    "wakeups": worker.wakeups,
                    "wakeups_for_nothing": vain,
                    "empty_reads": worker.reads_eagain,
                    "per_second": round(rate, 1),
                },
                (
                    "Let only one thread watch a connection: EPOLLONESHOT, or EPOLLEXCLUSIVE where several"
                    " share an epoll instance or a socket.",
                    "Stop watching for EPOLLOUT when everything is written.",
                ),
                weight=vain / worker.wakeups,
                threads=(worker.id,),
                explains=_SPINNING if vain >= 0.5 * worker.wakeups else (),
            )
            return


#: Symptoms of a thread that is mostly woken for nothing.
_SPINNING = ("single-saturated", "workers-saturated", "reader-late", "queue-wait-high")


DETECTOR = WastedWakeups()
