"""Detect busy workers that share fewer CPUs than they need."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class TooFewCpus:
    id = "too-few-cpus"
    title = "Busy workers share too few CPUs"
    cause = "CPU affinity, a cpuset or the machine gives the workers fewer CPUs than there are busy workers."
    effect = "Requests take longer, because workers wait for each other's CPU."
    verify = "Record again: work should take about as long as its CPU time."
    needs: tuple[str, ...] = ("read", "wait")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        limits = context.thresholds
        crowd = [
            worker
            for worker in context.serving
            if worker.cpu_ns and worker.waits and context.load(worker) >= limits.loaded
        ]
        if len(crowd) < 2 or not context.long_enough:
            return
        cpus = len({worker.last_cpu for worker in crowd})
        used = sum(worker.cpu_ns for worker in crowd) / context.window_ns
        stretched = sum(worker.busy_ns for worker in crowd) / max(sum(worker.cpu_ns for worker in crowd), 1)
        if len(crowd) <= cpus or not 0.35 * cpus <= used <= 1.05 * cpus or stretched < limits.preempted:
            return
        # workers that take turns are runnable without a CPU (0: the kernel keeps no schedstat); others merely sleep
        waited = sum(worker.cpu_wait_ns for worker in crowd)
        if 0 < waited < limits.starved * context.window_ns * len(crowd):
            return
        # could so many, free to run anywhere, have run last on so few CPUs by chance?
        if context.frame.meta.cpus ** (len(crowd) - cpus) < _UNLIKELY:
            return
        free = context.frame.meta.cpus - cpus
        yield diagnosis(
            self,
            context,
            "warning" if free else "notice",
            context.name,
            f"{len(crowd)} busy workers run on {cpus} CPU{'s' if cpus > 1 else ''} and use {used:.2f} of"
            f" {'them' if cpus > 1 else 'it'}; work takes {stretched:.1f} times its CPU time. The machine has"
            f" {formatting.count(context.frame.meta.cpus)} CPUs.",
            {
                "busy_workers": len(crowd),
                "cpus_that_run_them": cpus,
                "cpus": context.frame.meta.cpus,
                "cpus_used": round(used, 2),
                "stretched": round(stretched, 2),
            },
            (
                "Check what confines the workers: `taskset -pc PID`, cpuset.cpus and cpu.max of their cgroup.",
                f"Or run no more than {cpus} worker{'s' if cpus > 1 else ''}: more of them only take turns.",
            ),
            weight=min(1 - 1 / stretched, 1),
            explains=(
                "workers-saturated",
                "reader-late",
                "queue-wait-high",
                "loop-stall",
                "member-stalled",
                "queue-near-limit",
                "queue-overflow",
                "backlog-clamped",
                "accept-skew-shared",
                "heavy-connections",
                "single-saturated",
                "acceptor-saturated",
                "open-connections-skew",
            ),
        )


#: Odds from which that is not attributed to chance.
_UNLIKELY = 7


DETECTOR = TooFewCpus()
