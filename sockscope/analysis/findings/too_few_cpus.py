"""More workers want to run than there are CPUs that run them."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class TooFewCpus:
    id = "too-few-cpus"
    title = "Workers wait for each other's CPU"
    needs: tuple[str, ...] = ("read", "wait")

    def look(self, case: Case) -> Iterator[Diagnosis]:
        limits = case.thresholds
        crowd = [
            worker
            for worker in case.serving
            if worker.cpu_ns and worker.waits and case.load(worker) >= limits.loaded
        ]
        if len(crowd) < 2 or not case.long_enough:
            return
        cpus = len({worker.last_cpu for worker in crowd})
        used = sum(worker.cpu_ns for worker in crowd) / case.window_ns
        stretched = sum(worker.busy_ns for worker in crowd) / max(sum(worker.cpu_ns for worker in crowd), 1)
        if len(crowd) <= cpus or not 0.35 * cpus <= used <= 1.05 * cpus or stretched < limits.preempted:
            return
        # were they free to run anywhere, would so many have last run on so few by chance?
        if case.frame.meta.cpus ** (len(crowd) - cpus) < _UNLIKELY:
            return
        free = case.frame.meta.cpus - cpus
        yield diagnosis(
            self,
            "warning" if free else "notice",
            case.name,
            f"{len(crowd)} busy workers run on {cpus} CPU{'s' if cpus > 1 else ''} and use {used:.2f} of "
            f"{'them' if cpus > 1 else 'it'}; a piece of work takes {stretched:.1f} times as long as the "
            "CPU time that "
            f"it needs. The machine has {formatting.count(case.frame.meta.cpus)} CPUs.",
            {
                "busy_workers": len(crowd),
                "cpus_that_run_them": cpus,
                "cpus": case.frame.meta.cpus,
                "cpus_used": round(used, 2),
                "stretched": round(stretched, 2),
            },
            (
                "See who confines them: `taskset -pc PID`, cpuset.cpus and cpu.max of their cgroup; give "
                "them more.",
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


#: One in so many is not taken for chance.
_UNLIKELY = 7


DETECTOR = TooFewCpus()
