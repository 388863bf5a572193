"""A thread stays away from its event loop while connections wait for it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.findings._context import AGAIN, PART_OF_TIME, Case, thread
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.frame import Severity
from sockscope.analysis.work_distribution import away_ns
from sockscope.model.histogram import EDGES, bucket_of
from sockscope.model.snapshot import Worker


class LoopStall:
    id = "loop-stall"
    title = "Blocking work on an event loop"
    needs: tuple[str, ...] = ("read", "data-ready", "write", "wait")

    def look(self, case: Case) -> Iterator[Diagnosis]:
        limits = case.thresholds
        worst: tuple[int, Worker, int, float] | None = None
        stalled: dict[int, int] = {}
        spans: list[tuple[int, int]] = []
        for worker in {item.id: item for item in (*case.server.acceptors, *case.server.readers)}.values():
            away = away_ns(worker, case.snapshot.time_ns)
            longest = max(worker.stall_max_ns, away)
            if longest < limits.stall_ns or not worker.waits:
                continue
            victims, waited = _victims(case, worker, longest, away)
            if not victims or not _blocks(worker, longest):
                continue
            stalled[worker.id] = _times(worker, limits.stall_ns) + (away >= limits.stall_ns)
            if stalled[worker.id] == 1:
                end = worker.stall_max_at_ns if worker.stall_max_ns > away else case.snapshot.time_ns
                spans.append((end - longest, end))
            if worst is None or longest > worst[0]:
                worst = (longest, worker, victims, waited)
        if worst is None:
            return
        longest, worker, victims, waited = worst
        # ready to run without a CPU, it was away as well, and that is not the loop's doing
        spent = float((worker.stall * EDGES[:-1])[bucket_of(limits.stall_ns) :].sum()) - worker.cpu_wait_ns
        others = f" So did {len(stalled) - 1} others." if len(stalled) > 1 else ""
        times = _moments(spans) + sum(number for number in stalled.values() if number > 1)
        yield diagnosis(
            self,
            _severity(case, longest, times, spent),
            f"{case.name}, {thread(worker)}",
            f"{thread(worker)} stayed away from its event loop for {formatting.duration(longest)} at worst, and "
            f"{stalled[worker.id]} times for {formatting.duration(limits.stall_ns)} or more; {victims} of its "
            "connections "
            f"had to wait for that, up to {formatting.duration(waited)}.{others}",
            {
                "longest_ms": round(longest / 1e6, 3),
                "times": stalled[worker.id],
                "threads": len(stalled),
                "connections_waited": victims,
                "longest_wait_ms": round(waited / 1e6, 3),
                "thread": thread(worker),
            },
            (
                "Move what blocks (file and database access, DNS look-ups, compression, long computations) "
                "to a thread "
                "pool, or cut it into short pieces.",
                f"See what it does: `perf record -g -t {worker.tid} -- sleep 10`, or its stack while it is "
                "away: "
                f"`cat /proc/{worker.pid}/task/{worker.tid}/stack`.",
            ),
            weight=min(longest / 10e9, 1),
            threads=stalled,
            explains=(
                "member-stalled",
                "queue-wait-high",
                "reader-late",
                "queue-near-limit",
                "queue-overflow",
                "single-saturated",
                "acceptor-saturated",
                "dispatcher-saturated",
                "workers-saturated",
                "backlog-clamped",
                "idle-workers",
            ),
        )


def _severity(case: Case, longest: int, times: int, spent: float) -> Severity:
    """Once is an accident (a paused machine does the same), again and again is the server's way.

    :param spent: ns in stalls, without the time in which the thread waited for a CPU
    """
    if spent <= 0 and not case.thresholds.stall_severe_ns <= longest:
        return "info"
    if longest >= case.thresholds.stall_severe_ns:
        return "warning"
    if times >= AGAIN or spent >= PART_OF_TIME * max(case.window_ns, case.thresholds.window_ns):
        return "warning" if times >= 2 * AGAIN else "notice"
    return "info"


def _moments(spans: list[tuple[int, int]]) -> int:
    """How many there are when those that overlap count once: a pause of the machine stalls all at once."""
    number = reached = 0
    for begin, end in sorted(spans):
        number += not number or begin > reached
        reached = max(reached, end)
    return number


def _times(worker: Worker, least: int) -> int:
    return int(worker.stall[bucket_of(least) :].sum())


def _victims(case: Case, worker: Worker, longest: int, away: int) -> tuple[int, float]:
    """Connections that this thread kept waiting about as long as it was away, and the longest such wait.

    A thread that blocks in accept or read itself is away too, but nothing waits for it.
    """
    least = max(case.thresholds.stall_ns, longest // 2) // 2
    late = case.data_waits.of((case.data_waits.reader == worker.id) & (case.data_waits.ns >= least))
    waits, rows = case.queue_waits, case.columns
    queued = waits.of((waits.acceptor == worker.id) & (waits.ns >= least))
    waited = [late.ns.max() if len(late) else 0, queued.ns.max() if len(queued) else 0]
    number = len(late) + len(queued)
    if away >= case.thresholds.stall_ns:
        mine = rows["listener"][rows["acceptor"] == worker.id]
        stuck = waits.of(~waits.over & np.isin(waits.listener, mine) & (waits.ns >= least))
        number += len(stuck)
        waited.append(stuck.ns.max() if len(stuck) else 0)
    return number, float(max(waited))


def _blocks(worker: Worker, longest: int) -> bool:
    """Whether it was one long piece of work, not a great many short ones that were ready at once."""
    events = worker.reads + worker.accepts + worker.eof_reads
    if events < _BATCH * max(worker.wakeups, 1):
        return True
    return bool(worker.answer[bucket_of(round(0.7 * longest)) :].any())


#: Events per wake-up from which on a long stretch is a batch of short pieces.
_BATCH = 1.7


DETECTOR = LoopStall()
