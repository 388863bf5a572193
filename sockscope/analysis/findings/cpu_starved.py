"""Detect workers that are runnable but get no CPU, because other processes use it."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.model.snapshot import Worker


class CpuStarved:
    id = "cpu-starved"
    title = "Workers wait for CPU used by others"
    cause = "Other processes, a cgroup limit or the hypervisor use the CPUs that the workers need."
    effect = "Requests take longer, although the workers have little to do."
    verify = "Record again: CPU wait of the workers should be a small part of their CPU time."
    needs: tuple[str, ...] = ("read", "data-ready", "write", "wait")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        limits = context.thresholds
        starved = [
            worker
            for worker in {one.id: one for one in (*context.serving, *context.server.readers)}.values()
            if context.long_enough
            and _waited(context, worker) >= limits.starved
            # a thread that uses more CPU than its peers is slow for that reason: see straggler
            and not context.is_cpu_bound(worker, context.serving)
        ]
        if not starved:
            return
        hungriest = max(starved, key=lambda worker: worker.cpu_wait_ns)
        cpus = len({worker.last_cpu for worker in starved})
        used = sum(worker.cpu_ns for worker in context.snapshot.workers.values()) / context.window_ns
        if used >= _OWN * cpus:  # they wait for each other: see too-few-cpus
            return
        felt = max(context.client_visible_wait(worker) for worker in starved)
        if felt < limits.felt_ns:  # a busy machine, but no connection waits
            return
        waited = _waited(context, hungriest)
        yield diagnosis(
            self,
            context,
            "warning" if felt >= 2 * limits.felt_ns else "notice",
            context.name,
            f"{len(starved)} workers were runnable without a CPU for up to {percent(waited)} of the time:"
            f" {hungriest.comm or 'thread'} {hungriest.tid} waited {formatting.duration(hungriest.cpu_wait_ns)}"
            f" for {formatting.duration(hungriest.cpu_ns)} of CPU time. All traced threads together use"
            f" {used:.2f} CPUs.",
            {
                "threads": len(starved),
                "waited_for_cpu": round(waited, 3),
                "waited_for_cpu_ms": round(hungriest.cpu_wait_ns / 1e6, 1),
                "cpus_used": round(used, 2),
                "wait_p90_ms": round(felt / 1e6, 3),
            },
            (
                "Find the other CPU users with `top -H`; in virtual machines check steal time (st).",
                "Check for limits: cpu.stat of the cgroup (nr_throttled), cpu.weight,"
                f" `taskset -pc {hungriest.pid}`, the nice value.",
                "Reserve CPUs for the server (cpuset, CPUAffinity= in its unit), or raise its CPU weight.",
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
                "queue-stuck",
                "queue-wait-high",
                "member-stalled",
                "queue-near-limit",
                "queue-overflow",
                "backlog-clamped",
                "accept-lock-contention",
            ),
        )


def _waited(context: ServerContext, worker: Worker) -> float:
    """Return the part of the window that it was runnable without a CPU, if that is most of its active time."""
    if not context.window_ns or worker.cpu_wait_ns < worker.cpu_ns * _MUCH:
        return 0.0
    return worker.cpu_wait_ns / context.window_ns


#: CPU wait over CPU time from which a thread counts as starved; usual values on busy machines are lower.
_MUCH = 0.6
#: Part of their CPUs used by the traced threads from which they wait for each other.
_OWN = 0.75


DETECTOR = CpuStarved()
