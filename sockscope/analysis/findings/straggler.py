"""One worker takes longer than its peers for the same work."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.findings._context import Case, cpu_each, thread
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.model.histogram import percentile
from sockscope.model.snapshot import Worker

_FEWEST = 30
_SAME = 2.0


class Straggler:
    id = "straggler"
    title = "One worker is slower than its peers at the same work"
    needs: tuple[str, ...] = ("read", "write")

    def look(self, case: Case) -> Iterator[Diagnosis]:
        limits = case.thresholds
        crowd = [worker for worker in case.serving if int(worker.answer.sum()) >= _FEWEST]
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
            spent, theirs = cpu_each(worker), statistics.median(cpu_each(other) for other in peers)
            why = "It waits (a lock, a disk)"
            if case.burns(worker, peers):
                why = "It burns CPU"
            elif worker.cpu_wait_ns > worker.cpu_ns:
                why = "It is ready to run and waits for a CPU"
            yield diagnosis(
                self,
                "warning",
                f"{case.name}, {thread(worker)}",
                f"{thread(worker)} answers in {formatting.duration(mine)} (p50), its {len(peers)} peers in "
                f"{formatting.duration(usual)}: {mine / max(usual, 1):.1f} times slower with requests of the "
                "same size. "
                f"{why}: {formatting.duration(spent)} of CPU a request against {formatting.duration(theirs)}.",
                {
                    "answer_p50_ms": round(mine / 1e6, 3),
                    "peers_p50_ms": round(usual / 1e6, 3),
                    "ratio": round(mine / max(usual, 1), 2),
                    "cpu_per_request_us": round(spent / 1e3, 1),
                    "peers_cpu_per_request_us": round(theirs / 1e3, 1),
                    "requests": int(worker.answer.sum()),
                    "thread": thread(worker),
                },
                (
                    f"Compare it with a peer: `perf top -t {worker.tid}`, its CPU (`taskset -p "
                    f"{worker.tid}`), its "
                    f"niceness and cgroup, its memory node (`numastat -p {worker.pid}`).",
                    "Restarting that worker alone shows whether its state (a cache, a leak) is to blame.",
                    "Until then let it take less: a shared queue, or steering by load, feeds a slow worker "
                    "less.",
                ),
                weight=min(1 - usual / max(mine, 1), 1),
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
