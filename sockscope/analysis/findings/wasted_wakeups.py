"""A reader is woken again and again for connections that have nothing to read."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case, percent, thread
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class WastedWakeups:
    id = "wasted-wakeups"
    title = "Readers are woken for nothing"
    needs: tuple[str, ...] = ("read", "write", "wait")

    def look(self, case: Case) -> Iterator[Diagnosis]:
        limits = case.thresholds
        for worker in case.server.readers:
            vain = min(worker.wakeups_spurious, worker.reads_eagain)
            rate = case.per_second(vain)
            if vain < 100 or vain < limits.wasted * worker.wakeups:
                continue
            costly = case.long_enough and rate >= limits.herd_rate
            yield diagnosis(
                self,
                "notice" if costly else "info",
                case.name,
                f"{thread(worker)} was woken {formatting.count(worker.wakeups)} times, and {formatting.count(vain)}"
                f" times ({percent(vain / worker.wakeups)}) every read that it tried came back with EAGAIN:"
                " another thread was faster, or events are watched that nobody waits for.",
                {
                    "wakeups": worker.wakeups,
                    "wakeups_for_nothing": vain,
                    "empty_reads": worker.reads_eagain,
                    "per_second": round(rate, 1),
                },
                (
                    (
                        "Let one thread alone watch a connection: EPOLLONESHOT or EPOLLEXCLUSIVE where"
                        " several share an epoll instance or a socket."
                    ),
                    "Stop watching for EPOLLOUT as soon as everything is written.",
                ),
                weight=vain / worker.wakeups,
                threads=(worker.id,),
                explains=_SPINNING if vain >= 0.5 * worker.wakeups else (),
            )
            return


#: A thread that is woken mostly for nothing is busy with that.
_SPINNING = ("single-saturated", "workers-saturated", "reader-late", "queue-wait-high")


DETECTOR = WastedWakeups()
