"""Are requests handed to other threads, when it is the reader that writes the answers?

No socket tells: a worker finds the request in memory and leaves the answer there.  What remains
is who wakes whom, and whose CPU time passes.  A reader may also wake threads for small jobs (the
pool in which an event loop opens files and resolves names): those are helpers, not workers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sockscope.model.snapshot import Snapshot, Worker

#: Wake-ups of others per turn in which a reader read: an event loop with a helper pool that it
#: seldom needs is at 0.05, dispatchers under load with 2 to 8 workers at 0.7 to 1.8.
_HANDED_A_TURN = 0.3
#: A thread that was woken in a smaller part of the cases has another office (a runtime's collector).
_BY_CHANCE = 0.02
#: What a woken thread does each time, as a part of what the reader does for each read.  Measured,
#: each with 4 to 32 clients: a pool that reads files for an event loop 0.018 to 0.037 (9 to 28 µs
#: against 417 to 750 µs); workers that do nothing at all but take a request and give it back 0.074
#: to 0.3, and any work of their own adds to that.  The middle of the gap, as ratios go.
_WORK_A_WAKE = 0.05
#: A reader polls when it finds nothing at least as often as it finds something: 26 times as often
#: was measured under full load, more when there is less to do; a loop that sleeps at most once.
_EMPTY_A_READ = 2.0
#: CPU time of threads without any socket, against the polling reader's (which is a whole CPU's):
#: three workers that spun between requests 1.6; a runtime's collector and timers stay below 0.1.
_SPUN = 0.25


@dataclass(frozen=True)
class Handed:
    """Whether requests are handed on, and the sentence that says why (empty: nothing to say)."""

    to_workers: bool
    says: str


def requests_handed(snapshot: Snapshot, numbers: Iterable[int]) -> Handed:
    """Judge the readers with these ids, who also answer."""
    readers = {number: snapshot.workers[number] for number in numbers if number in snapshot.workers}
    woken = _by_waking(snapshot, readers)
    if woken is not None:
        return woken
    return _by_spinning(snapshot, readers)


def _by_waking(snapshot: Snapshot, readers: dict[int, Worker]) -> Handed | None:
    tids = {worker.tid for worker in readers.values()}
    wakes = [wake for wake in snapshot.wakes if wake.waker in readers and wake.wakee not in tids]
    after_read = sum(wake.after_read for wake in wakes)
    wakees = {
        (readers[wake.waker].pid, wake.wakee) for wake in wakes if wake.after_read > _BY_CHANCE * after_read
    }
    reads = sum(worker.reads for worker in readers.values())
    # a thread that polls without ever waiting has no turns: each read counts
    turns = sum(worker.bursts if worker.waits else worker.reads for worker in readers.values())
    if not turns or after_read / turns < _HANDED_A_TURN or len(wakees) < 2:
        return None
    says = (
        f"having read, the readers woke {len(wakees)} other threads of their process {after_read} times, "
        f"in {turns} turns of {reads} reads"
    )
    times = sum(wake.wakes for wake in wakes if (readers[wake.waker].pid, wake.wakee) in wakees)
    helped = sum(_cpu(worker) for worker in snapshot.workers.values() if (worker.pid, worker.tid) in wakees)
    own = sum(_cpu(worker) for worker in readers.values())
    if helped and own and helped / times < _WORK_A_WAKE * own / reads:
        return Handed(
            False,
            f"{says}; but those are helpers: {helped / times / 1e3:.0f} µs of CPU time for each wake-up, "
            f"the readers {own / reads / 1e3:.0f} µs for each read",
        )
    return Handed(True, says)


def _by_spinning(snapshot: Snapshot, readers: dict[int, Worker]) -> Handed:
    """A reader that never sleeps, and threads without sockets that were busy all the same."""
    polling = [worker for worker in readers.values() if _polls(worker)]
    pids = {worker.pid for worker in polling}
    if not polling or len(polling) < len(readers):
        return Handed(False, "")
    busy = [
        worker
        for worker in snapshot.workers.values()
        if worker.pid in pids and not worker.did_something and _cpu(worker) > 0
    ]
    spent, own = sum(_cpu(worker) for worker in busy), sum(_cpu(worker) for worker in polling)
    workers = [worker for worker in busy if _cpu(worker) >= _SPUN * spent / len(busy)]
    if not own or spent < _SPUN * own:
        return Handed(False, "")
    empty = sum(_found_nothing(worker) for worker in polling)
    return Handed(
        True,
        f"the reader polls and never sleeps ({empty} times it found nothing), and {len(workers)} threads of "
        f"its process that touch no socket used {spent / 1e6:.0f} ms of CPU time beside its "
        f"{own / 1e6:.0f} ms: they find the requests in memory",
    )


def _polls(worker: Worker) -> bool:
    if worker.wait_ns > 0.1 * (worker.wait_ns + worker.busy_ns):
        return False
    return _found_nothing(worker) >= _EMPTY_A_READ * max(worker.reads, 1)


def _found_nothing(worker: Worker) -> int:
    return worker.reads_empty + worker.accepts_empty + max(worker.waits - worker.wakeups, 0)


def _cpu(worker: Worker) -> int:
    """CPU time while it was traced; 0 when not known."""
    return worker.cpu_ns
