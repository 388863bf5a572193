"""All workers are busy all the time: there is more work than they can do."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis

#: Requests read and not answered, over the workers: from here on they queue for a worker.
_QUEUED = 1.5


class WorkersSaturated:
    id = "workers-saturated"
    title = "All workers are saturated"
    needs: tuple[str, ...] = ("read", "data-ready", "write", "wait")

    def look(self, case: Case) -> Iterator[Diagnosis]:
        crowd, limits = case.serving, case.thresholds
        if len(crowd) < 2 or not case.enough or not case.long_enough:
            return
        if "dispatch" in case.server.model:
            yield from self._behind_dispatcher(case)
            return
        if not all(case.saturated(worker) for worker in crowd):
            return
        least, felt = min(case.loads(crowd)), min(case.felt(worker) for worker in crowd)
        cpus = case.frame.meta.cpus
        cpu = sum(worker.cpu_ns for worker in crowd) / case.window_ns
        yield diagnosis(
            self,
            "warning" if felt >= 4 * limits.felt_ns else "notice",
            case.name,
            f"All {len(crowd)} workers are at work {percent(least)} of the time or more, and connections wait"
            f" {formatting.duration(felt)} or more for each of them (p90). Together they use {cpu:.1f} of {cpus}"
            " CPUs.",
            {
                "workers": len(crowd),
                "least_load": round(least, 3),
                "wait_p90_ms": round(felt / 1e6, 3),
                "cpus_used": round(cpu, 2),
                "cpus": cpus,
            },
            (
                (
                    "Where CPUs are free, run more workers; where they are not, make requests cheaper or add"
                    " machines."
                ),
                (
                    "If workers wait for something else (a database, a disk), more workers or asynchronous"
                    " calls help, more CPUs do not."
                ),
            ),
            weight=0.4 * least,  # what makes one worker slow is the better answer
            threads=tuple(worker.id for worker in crowd),
            explains=_EXPLAINS,
        )

    def _behind_dispatcher(self, case: Case) -> Iterator[Diagnosis]:
        limits = case.thresholds
        front = max(case.loads(case.server.readers), default=0.0)
        readers = {worker.id for worker in case.server.readers}
        workers = [worker for worker in case.serving if worker.id not in readers]
        if not workers or front >= limits.busy:
            return
        each = case.in_flight() / len(workers)
        if each < _QUEUED:
            return
        yield diagnosis(
            self,
            "warning" if each >= 2 * _QUEUED else "notice",
            case.name,
            f"{each:.1f} requests for each of {len(workers)} workers are read and not answered at any moment:"
            f" all but one of them wait for the worker. The dispatcher is at work {percent(front)} of the"
            " time.",
            {
                "workers": len(workers),
                "requests_per_worker": round(each, 2),
                "dispatcher_load": round(front, 3),
                "cpus": case.frame.meta.cpus,
            },
            (
                (
                    "Add workers while there are free CPUs (or as many as needed, if they wait for something"
                    " else)."
                ),
                (
                    "Otherwise make requests cheaper, or refuse work early: bound the queue between"
                    " dispatcher and workers."
                ),
            ),
            weight=0.4 * min(each / 10, 1),
            explains=_EXPLAINS,
        )


_EXPLAINS = (
    "queue-wait-high",
    "reader-late",
    "queue-near-limit",
    "queue-overflow",
    "backlog-clamped",
    "loop-stall",
    "member-stalled",
)


DETECTOR = WorkersSaturated()
