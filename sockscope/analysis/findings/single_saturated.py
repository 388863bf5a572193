"""One thread does everything, and has no time left."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case, percent, thread
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class SingleSaturated:
    id = "single-saturated"
    title = "The one thread that does everything is saturated"
    needs: tuple[str, ...] = ("read", "data-ready", "wait")

    def look(self, case: Case) -> Iterator[Diagnosis]:
        server = case.server
        if server.model != "single" or len(case.serving) > 1 or not server.readers:
            return
        worker = server.readers[0]
        if not case.saturated(worker):
            return
        load, felt = case.load(worker), case.felt(worker)
        rate = case.per_second(worker.reads)
        yield diagnosis(
            self,
            "warning" if felt >= 4 * case.thresholds.felt_ns else "notice",
            case.name,
            f"{thread(worker)} accepts, reads and answers alone, and is at work {percent(load)} of the time "
            f"({formatting.count(rate)} reads a second, {formatting.duration(worker.busy_ns / max(worker.reads, 1))} "
            "each). "
            f"Connections wait {formatting.duration(felt)} for it (p90). {case.frame.meta.cpus} CPUs are there; "
            "it uses one.",
            {
                "load": round(load, 3),
                "wait_p90_ms": round(felt / 1e6, 3),
                "reads_per_second": round(rate, 1),
                "cpus": case.frame.meta.cpus,
            },
            (
                "Run several such processes on one port: SO_REUSEPORT, with a socket bound in each.",
                "Or hand connections to more threads, or work that takes long to a pool.",
                "If requests are many and small, let clients send more in one (pipelining, batches).",
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
