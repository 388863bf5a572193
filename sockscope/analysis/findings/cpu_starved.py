"""Workers are ready to run, and the CPUs run something else."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.model.snapshot import Worker


class CpuStarved:
    id = "cpu-starved"
    title = "Others use the CPU that the workers wait for"
    needs: tuple[str, ...] = ("read", "data-ready", "write", "wait")

    def look(self, case: Case) -> Iterator[Diagnosis]:
        limits = case.thresholds
        starved = [
            worker
            for worker in {one.id: one for one in (*case.serving, *case.server.readers)}.values()
            if case.long_enough
            and _waited(case, worker) >= limits.starved
            # one that burns more than its peers is slow for that reason: see straggler
            and not case.burns(worker, case.serving)
        ]
        if not starved:
            return
        hungriest = max(starved, key=lambda worker: worker.cpu_wait_ns)
        cpus = len({worker.last_cpu for worker in starved})
        used = sum(worker.cpu_ns for worker in case.snapshot.workers.values()) / case.window_ns
        if used >= _OWN * cpus:  # they wait for each other: too-few-cpus tells that
            return
        felt = max(case.felt(worker) for worker in starved)
        if felt < limits.felt_ns:  # a busy machine, and nobody waits for it
            return
        waited = _waited(case, hungriest)
        yield diagnosis(
            self,
            "warning" if felt >= 2 * limits.felt_ns else "notice",
            case.name,
            f"{len(starved)} of its threads are ready to run and have no CPU for up to {percent(waited)} of the "
            f"time ({hungriest.comm or 'thread'} {hungriest.tid} waited {formatting.duration(hungriest.cpu_wait_ns)} "
            f"for {formatting.duration(hungriest.cpu_ns)} of CPU). All traced threads together use {used:.2f} CPUs: "
            "what else runs there is not this server.",
            {
                "threads": len(starved),
                "waited_for_cpu": round(waited, 3),
                "waited_for_cpu_ms": round(hungriest.cpu_wait_ns / 1e6, 1),
                "cpus_used": round(used, 2),
                "wait_p90_ms": round(felt / 1e6, 3),
            },
            (
                "See who else runs: `top -H`, and for virtual machines the column st (steal).",
                "See whether a limit holds it back: cpu.stat of its cgroup (nr_throttled), cpu.weight, `taskset "
                f"-pc {hungriest.pid}`, its niceness.",
                "Give the server CPUs of its own (cpuset, CPUAffinity= in its unit), or a larger weight.",
            ),
            weight=min(waited, 1.0),
            threads=tuple(worker.id for worker in starved),
            explains=(
                "straggler",
                "workers-saturated",
                "single-saturated",
                "acceptor-saturated",
                "dispatcher-saturated",
                "loop-stall",
                "reader-late",
                "queue-wait-high",
                "member-stalled",
                "queue-near-limit",
                "queue-overflow",
                "backlog-clamped",
                "accept-lock-contention",
            ),
        )


def _waited(case: Case, worker: Worker) -> float:
    """The part of the window that it was ready and had no CPU, when that is most of its time awake."""
    if not case.window_ns or worker.cpu_wait_ns < worker.cpu_ns * _MUCH:
        return 0.0
    return worker.cpu_wait_ns / case.window_ns


#: Ready without a CPU this much of the time that it ran: a busy machine's usual share is below.
_MUCH = 0.6
#: From this part of the CPUs that run them on, it is their own work that they wait for.
_OWN = 0.75


DETECTOR = CpuStarved()
