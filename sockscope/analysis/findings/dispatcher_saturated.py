"""The thread that reads for all has no time left, while its workers wait for requests."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case, percent, thread
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class DispatcherSaturated:
    id = "dispatcher-saturated"
    title = "The dispatcher is saturated while its workers wait for requests"
    needs: tuple[str, ...] = ("read", "data-ready", "write", "wait")

    def look(self, case: Case) -> Iterator[Diagnosis]:
        server, limits = case.server, case.thresholds
        if "dispatch" not in server.model or not server.readers:
            return
        front = max(server.readers, key=case.load)
        behind = [worker for worker in case.serving if worker.id != front.id]
        if not case.saturated(front):
            return
        each = case.in_flight() / len(behind) if behind else 0.0
        # where the dispatcher writes the replies too, requests in flight wait for itself: ask the CPU time
        idle = sum(worker.cpu_ns for worker in behind) < limits.slack / 2 * case.window_ns * len(behind)
        if each >= limits.slack and not (front in server.writers and idle):
            return
        rate = case.per_second(front.reads)
        yield diagnosis(
            self,
            "warning",
            case.name,
            f"{thread(front)} reads for all and is at work {percent(case.load(front))} of the time "
            f"({formatting.count(rate)} reads a second, {formatting.duration(front.busy_ns / max(front.reads, 1))} "
            "each); bytes "
            f"wait {formatting.duration(case.felt(front))} for it (p90). Its workers have {each:.2f} requests "
            "each at a time.",
            {
                "dispatcher_load": round(case.load(front), 3),
                "requests_per_worker": round(each, 3),
                "reads_per_second": round(rate, 1),
                "wait_p90_ms": round(case.felt(front) / 1e6, 3),
                "workers": len(behind),
            },
            (
                "Give the work of reading and parsing to more threads: several dispatchers, each with a "
                "socket of its "
                "own (SO_REUSEPORT).",
                "Let the workers write the replies, if the dispatcher does.",
                "Fewer, larger requests a connection (batches) cost the dispatcher less.",
            ),
            weight=case.load(front),
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
