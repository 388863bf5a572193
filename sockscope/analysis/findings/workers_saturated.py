"""Detect a server whose workers are all busy all the time."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis

#: Requests read and not answered, per worker, from which they queue for a worker.
_QUEUED = 1.5


class WorkersSaturated:
    id = "workers-saturated"
    title = "All workers are saturated"
    cause = "There is more work than the workers can do."
    effect = "Requests wait for a free worker."
    verify = "Record again: workers should be busy less than the threshold, and p90 wait should fall."
    needs: tuple[str, ...] = ("read", "data-ready", "write", "wait")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        crowd, limits = context.serving, context.thresholds
        if len(crowd) < 2 or not context.enough or not context.long_enough:
            return
        if "dispatch" in context.server.model:
            yield from self._behind_dispatcher(context)
            return
        if not all(context.saturated(worker) for worker in crowd):
            return
        least, felt = min(context.loads(crowd)), min(context.client_visible_wait(worker) for worker in crowd)
        cpus = context.frame.meta.cpus
        cpu = sum(worker.cpu_ns for worker in crowd) / context.window_ns
        yield diagnosis(
            self,
            context,
            "warning" if felt >= 4 * limits.felt_ns else "notice",
            context.name,
            f"All {len(crowd)} workers are busy at least {percent(least)} of the time, and p90 wait is at least"
            f" {formatting.duration(felt)} for each of them. Together they use {cpu:.1f} of {cpus} CPUs.",
            {
                "workers": len(crowd),
                "least_load": round(least, 3),
                "wait_p90_ms": round(felt / 1e6, 3),
                "cpus_used": round(cpu, 2),
                "cpus": cpus,
            },
            (
                "If CPUs are free, run more workers; if not, make requests cheaper or add machines.",
                "If workers wait for something else (a database, a disk), more workers or asynchronous calls"
                " help, more CPUs do not.",
            ),
            weight=0.4 * least,  # a finding about a single slow worker ranks higher
            threads=tuple(worker.id for worker in crowd),
            explains=_EXPLAINS,
        )

    def _behind_dispatcher(self, context: ServerContext) -> Iterator[Diagnosis]:
        limits = context.thresholds
        front = max(context.loads(context.server.readers), default=0.0)
        readers = {worker.id for worker in context.server.readers}
        workers = [worker for worker in context.serving if worker.id not in readers]
        if not workers or front >= limits.busy:
            return
        each = context.in_flight() / len(workers)
        if each < _QUEUED:
            return
        yield diagnosis(
            self,
            context,
            "warning" if each >= 2 * _QUEUED else "notice",
            context.name,
            f"{each:.1f} requests per worker ({len(workers)} workers) are read and not answered on average: all but one"
            f" wait for the worker. The dispatcher is busy {percent(front)} of the time.",
            {
                "workers": len(workers),
                "requests_per_worker": round(each, 2),
                "dispatcher_load": round(front, 3),
                "cpus": context.frame.meta.cpus,
            },
            (
                "Add workers while there are free CPUs, or as many as needed if they wait for something else.",
                "Otherwise make requests cheaper, or reject work early: limit the queue between dispatcher and"
                " workers.",
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
