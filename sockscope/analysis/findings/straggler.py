"""Detect a worker that is slower than its peers at the same work."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, cpu_ns_per_reply, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.model.histogram import percentile
from sockscope.model.snapshot import Worker

_FEWEST = 30
_SAME = 2.0


class Straggler:
    id = "straggler"
    title = "One worker is slower than its peers"
    cause = (
        "The worker waits (lock, disk), uses more CPU per request, or waits for a CPU; the evidence "
        "says which."
    )
    effect = "Connections on this worker get slow replies; the others are not affected."
    verify = "Record again: p50 reply time of this worker should be like that of its peers."
    needs: tuple[str, ...] = ("read", "write")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        limits = context.thresholds
        crowd = [worker for worker in context.serving if int(worker.answer.sum()) >= _FEWEST]
        if len(crowd) < 2:
            return
        medians = {worker.id: _answer(worker, 0.5) for worker in crowd}
        for worker in crowd:
            mine = medians[worker.id]
            usual = statistics.median(wait for number, wait in medians.items() if number != worker.id)
            if mine < limits.straggler * usual or mine - usual < limits.straggler_gap_ns:
                continue
            peers = [other for other in crowd if other.id != worker.id]
            # not a few odd requests: its quickest tenth is slower than the peers' usual one, too
            if _answer(worker, 0.1) < usual or not _same_work(worker, peers):
                continue
            if _all_wait_for_cpus(context, worker, peers) and not context.is_cpu_bound(worker, peers):
                continue
            spent, theirs = (
                cpu_ns_per_reply(worker),
                statistics.median(cpu_ns_per_reply(other) for other in peers),
            )
            why, cause = (
                "It waits (lock, disk)",
                "The worker waits for something other than a CPU: a lock, a disk.",
            )
            if context.is_cpu_bound(worker, peers):
                why, cause = "It uses more CPU", "The worker uses more CPU time per request than its peers."
            elif worker.cpu_wait_ns > worker.cpu_ns:
                why, cause = "It is runnable without a CPU", "The worker waits for a CPU."
            yield diagnosis(
                self,
                context,
                "warning",
                f"{context.name}, {thread_label(worker)}",
                f"p50 reply time of {thread_label(worker)} {formatting.duration(mine)}, of its {len(peers)} peers"
                f" {formatting.duration(usual)} ({mine / max(usual, 1):.1f} times) for requests of the same size."
                f" {why}: {formatting.duration(spent)} CPU time per request, peers {formatting.duration(theirs)}.",
                {
                    "answer_p50_ms": round(mine / 1e6, 3),
                    "peers_p50_ms": round(usual / 1e6, 3),
                    "ratio": round(mine / max(usual, 1), 2),
                    "cpu_per_request_us": round(spent / 1e3, 1),
                    "peers_cpu_per_request_us": round(theirs / 1e3, 1),
                    "requests": int(worker.answer.sum()),
                    "thread": thread_label(worker),
                },
                (
                    f"Compare it with a peer: `perf top -t {worker.tid}`, CPU affinity (`taskset -p {worker.tid}`),"
                    f" nice value, cgroup, memory node (`numastat -p {worker.pid}`).",
                    "Restart that worker alone: if it recovers, its state (a cache, a leak) is the cause.",
                    "Meanwhile, send it less traffic: use a shared queue, or steer by load.",
                ),
                weight=min(1 - usual / max(mine, 1), 1),
                cause=cause,
                threads=(worker.id,),
                explains=(
                    "member-stalled",
                    "queue-wait-high",
                    "reader-late",
                    "loop-stall",
                    "queue-near-limit",
                    "queue-overflow",
                    "backlog-clamped",
                    "open-connections-skew",
                    "accept-skew-shared",
                    "heavy-connections",
                    "workers-saturated",
                    "idle-workers",
                    "accept-lock-contention",
                ),
            )


def _all_wait_for_cpus(context: ServerContext, worker: Worker, peers: list[Worker]) -> bool:
    """Return whether the CPUs are the bottleneck: the worker and its peers are often runnable without a CPU."""
    least = context.thresholds.starved * context.window_ns
    return worker.cpu_wait_ns >= least and statistics.median(peer.cpu_wait_ns for peer in peers) >= least / 2


def _answer(worker: Worker, fraction: float) -> float:
    return percentile(worker.answer.astype(np.int64), fraction)


def _same_work(worker: Worker, peers: list[Worker]) -> bool:
    """Whether its requests and replies are about as large as those of its peers."""

    def sizes(one: Worker) -> tuple[float, float]:
        return one.bytes_read / max(one.reads, 1), one.bytes_written / max(one.writes, 1)

    for mine, theirs in zip(sizes(worker), zip(*map(sizes, peers), strict=True), strict=True):
        if mine > _SAME * max(statistics.median(theirs), 1.0):
            return False
    return True


DETECTOR = Straggler()
