"""Detect a thread that stays away from its event loop while connections wait for it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.findings._context import AGAIN, PART_OF_TIME, ServerContext, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.severity import Severity
from sockscope.analysis.work_distribution import away_ns
from sockscope.model.histogram import EDGES, bucket_of
from sockscope.model.snapshot import Worker


class LoopStall:
    id = "loop-stall"
    title = "Blocking work on an event loop"
    cause = "The thread does work that blocks or computes for long, instead of returning to its event loop."
    effect = "Every connection of that thread waits until it returns."
    verify = "Record again: the longest stall of the thread should be below the threshold."
    needs: tuple[str, ...] = ("read", "data-ready", "write", "wait")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        if context.interchangeable_threads:
            return
        limits = context.thresholds
        worst: tuple[int, Worker, int, float] | None = None
        stalled: dict[int, int] = {}
        spans: list[tuple[int, int]] = []
        for worker in {
            item.id: item for item in (*context.server.acceptors, *context.server.readers)
        }.values():
            away = away_ns(worker, context.snapshot.time_ns)
            longest = max(worker.stall_max_ns, away)
            if longest < limits.stall_ns or not worker.waits:
                continue
            victims, waited = _victims(context, worker, longest, away)
            if not victims or not _blocks(worker, longest):
                continue
            stalled[worker.id] = _times(worker, limits.stall_ns) + (away >= limits.stall_ns)
            if stalled[worker.id] == 1:
                end = worker.stall_max_at_ns if worker.stall_max_ns > away else context.snapshot.time_ns
                spans.append((end - longest, end))
            if worst is None or longest > worst[0]:
                worst = (longest, worker, victims, waited)
        if worst is None:
            return
        longest, worker, victims, waited = worst
        # time runnable without a CPU counts as away, but the loop does not cause it
        spent = float((worker.stall * EDGES[:-1])[bucket_of(limits.stall_ns) :].sum()) - worker.cpu_wait_ns
        others = f" {len(stalled) - 1} other threads did as well." if len(stalled) > 1 else ""
        times = _moments(spans) + sum(number for number in stalled.values() if number > 1)
        yield diagnosis(
            self,
            context,
            _severity(context, longest, times, spent),
            f"{context.name}, {thread_label(worker)}",
            f"{thread_label(worker)} stayed away from its event loop for up to {formatting.duration(longest)}, and"
            f" {stalled[worker.id]} times for {formatting.duration(limits.stall_ns)} or more; {victims} of its"
            f" connections waited for it, up to {formatting.duration(waited)}.{others}",
            {
                "longest_ms": round(longest / 1e6, 3),
                "times": stalled[worker.id],
                "threads": len(stalled),
                "connections_waited": victims,
                "longest_wait_ms": round(waited / 1e6, 3),
                "thread": thread_label(worker),
            },
            (
                "Move blocking work (file and database access, DNS look-ups, compression, long computations)"
                " to a thread pool, or split it into short pieces.",
                f"To see what it does: `perf record -g -t {worker.tid} -- sleep 10`, or while it is away:"
                f" `cat /proc/{worker.pid}/task/{worker.tid}/stack`.",
            ),
            weight=min(longest / 10e9, 1),
            threads=stalled,
            explains=(
                "member-stalled",
                "queue-stuck",
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


def _severity(context: ServerContext, longest: int, times: int, spent: float) -> Severity:
    """Rate a stall: one may be an accident (a paused machine), repeated ones are a property of the server.

    :param spent: ns in stalls, without the time that the thread was runnable without a CPU
    """
    if spent <= 0 and not context.thresholds.stall_severe_ns <= longest:
        return "info"
    if longest >= context.thresholds.stall_severe_ns:
        return "warning"
    if times >= AGAIN or spent >= PART_OF_TIME * max(context.window_ns, context.thresholds.window_ns):
        return "warning" if times >= 2 * AGAIN else "notice"
    return "info"


def _moments(spans: list[tuple[int, int]]) -> int:
    """Count spans, overlapping ones once: a pause of the machine stalls all threads at once."""
    number = reached = 0
    for begin, end in sorted(spans):
        number += not number or begin > reached
        reached = max(reached, end)
    return number


def _times(worker: Worker, least: int) -> int:
    return int(worker.stall[bucket_of(least) :].sum())


def _victims(context: ServerContext, worker: Worker, longest: int, away: int) -> tuple[int, float]:
    """Return the number of connections that waited about as long as this thread was away, and the longest wait.

    A thread that blocks in accept() or read() is also away from its loop, but no connection waits for it.
    """
    least = max(context.thresholds.stall_ns, longest // 2) // 2
    late = context.data_waits.of((context.data_waits.reader == worker.id) & (context.data_waits.ns >= least))
    waits, rows = context.queue_waits, context.columns
    queued = waits.of((waits.acceptor == worker.id) & (waits.ns >= least))
    waited = [late.ns.max() if len(late) else 0, queued.ns.max() if len(queued) else 0]
    number = len(late) + len(queued)
    if away >= context.thresholds.stall_ns:
        mine = rows["listener"][rows["acceptor"] == worker.id]
        stuck = waits.of(~waits.over & np.isin(waits.listener, mine) & (waits.ns >= least))
        number += len(stuck)
        waited.append(stuck.ns.max() if len(stuck) else 0)
    return number, float(max(waited))


def _blocks(worker: Worker, longest: int) -> bool:
    """Return whether it was one long piece of work, not many short ones that were ready at once."""
    events = worker.reads + worker.accepts + worker.eof_reads
    if events < _BATCH * max(worker.wakeups, 1):
        return True
    return bool(worker.answer[bucket_of(round(0.7 * longest)) :].any())


#: Events per wake-up from which a long stretch counts as a batch of short pieces.
_BATCH = 1.7


DETECTOR = LoopStall()
