"""Detect dispatch: requests are handed to other threads, although the reader writes the replies.

Sockets do not show it: a worker finds the request in memory and leaves the reply there.  The remaining
evidence is when the reply is written, which threads wake which, and which threads use CPU time.

A reader that replies in the turn in which it read has handed nothing over.  A reader that serves other
connections first, and replies later, has the work done elsewhere: by the threads that it wakes or, if
these never sleep, by threads that use no socket but consume CPU time.  A reader may also wake threads for
small jobs (the pool in which an event loop opens files and resolves names): those are helpers, not workers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sockscope.model.snapshot import Snapshot, Wake, Worker

#: Wake-ups of others per turn in which a reader read: an event loop with a helper pool that it
#: seldom needs is at 0.05, dispatchers under load with 2 to 8 workers at 0.7 to 1.8, and at 0.19 on a machine
#: that is full of other work.
_HANDED_A_TURN = 0.1
#: A thread that was woken in a smaller part of the cases serves another purpose (a garbage collector).
_BY_CHANCE = 0.02
#: So often a thread counts though it is seldom the first that is woken after a read: where one client asks at a
#: time, four threads that take turns at the four pieces of each request get the same piece each time.
_OFTEN = 0.2
#: A request is handed over whole, or helped along in pieces?  Wake-ups for each answer: dispatchers are at 0.1 to
#: 2.6 (the hand-over, and the locks that the two share: in Python, releasing the interpreter's lock wakes
#: another thread) with 1 to 32 clients, quiet, on one CPU, and beside 1 to 5 busy loops; an event loop whose pool opens,
#: sizes, reads and closes a file for each request at 4.2 to 7.8 with 1 to 100 clients, quiet, on one CPU, and
#: beside 1 to 16.
_PIECES = 3.3
#: CPU time of the woken threads over the readers' from which on they are workers for sure, when a request is
#: handed over whole.  Measured with 1 to 100 clients: workers that do nothing at all but give the
#: request back 0.17 to 0.5 in C and 0.14 to 0.4 in Python, and any work of their own adds to that
#: (20 µs: 1.5); a pool that does one small job a request for an event loop 0.07 to 0.16.
_WORK = 0.165
#: The same, when they do it in pieces: 0.08 to 0.43 was measured of pools that read files; those that
#: do most of the work are above 1.
_WORK_IN_PIECES = 0.7
#: The same of threads that are rarely woken, because they always have work: 0.63 to 1.0
#: was measured of workers with 20 µs a request (least on a machine full of other work), 2.6 to 3.3 with 100 µs.
_WORK_UNWOKEN = 0.42
#: How far off the signs and the CPU times may be: on a machine that is full of other work a lock wakes
#: more often.  Within that range the more likely model is reported, as uncertain.
_PIECES_OFF, _WORK_OFF = 1.2, 1.4
#: There, workers that do nothing at all come down to 0.07 of the readers' CPU time, where pools with one
#: small job a request are.  Both are handed each request whole, and nothing that can be seen from outside
#: differs; so from here on they are workers, but that is not certain.
_WORK_AT_LEAST = 0.04
#: Part of the answers that come in a later turn than the read, from which on somebody else is at
#: work on them in between: dispatchers were measured at 0.97 to 1, servers that answer themselves
#: at 0 (Nginx, lighttpd) to 0.4 (Redis, which reads for several clients, then answers them).
_LATER = 0.5
#: A reader polls when it finds nothing at least as often as it finds something: 26 times as often
#: was measured under full load, more when there is less to do; a loop that sleeps at most once.
_EMPTY_A_READ = 2.0
#: CPU time of the threads without any socket for each answer that came later.  Not compared with
#: the reader's own, which passes whether there are requests or not.  The least that a hand-over
#: through memory costs is some 0.2 µs, a cache line there and back and the look that finds it.
_WORKED_NS = 1000.0
_UNCERTAIN = ", which leaves it uncertain whether they are helpers or workers"


@dataclass(frozen=True)
class Handed:
    """Whether requests are handed on, and the sentence that says why (empty: nothing to say).

    Not ``certain`` where workers that do next to nothing and helpers that do much look the same.
    """

    to_workers: bool
    says: str
    certain: bool = True


def requests_handed(snapshot: Snapshot, numbers: Iterable[int]) -> Handed:
    """Judge the readers with these ids, who also answer."""
    known = {number: snapshot.workers[number] for number in numbers if number in snapshot.workers}
    # of those that ended long ago nobody knows any more whom they woke
    readers = {number: worker for number, worker in known.items() if worker.threads == 1}
    if readers and all(_polls(worker) for worker in readers.values()):
        return _by_polling(snapshot, readers)
    return _by_waking(snapshot, readers)


def _by_waking(snapshot: Snapshot, readers: dict[int, Worker]) -> Handed:
    """Readers that sleep, and threads that they wake."""
    tids = {worker.tid for worker in readers.values()}
    wakes = [wake for wake in snapshot.wakes if wake.waker in readers and wake.wakee not in tids]
    after_read = sum(wake.after_read for wake in wakes)
    wakees = {
        (readers[wake.waker].pid, wake.wakee)
        for wake in wakes
        if wake.after_read > _BY_CHANCE * after_read or wake.wakes > _OFTEN * after_read > 0
    }
    reads = sum(worker.reads for worker in readers.values())
    # a thread that never waits for events has no turns: each read counts
    turns = sum(worker.read_turns if worker.waits else worker.reads for worker in readers.values())
    if not turns or after_read / turns < _HANDED_A_TURN or not wakees:
        return _without_waking(snapshot, readers, wakes)
    says = (
        f"having read, the readers woke {_threads(len(wakees))} of their process {after_read} times, "
        f"in {turns} turns of {reads} reads"
    )
    answers, later = _answers(readers.values())
    if answers and later < _LATER * answers:
        at_once = answers - later
        return Handed(False, f"{says}; but not for the answers: {at_once} of {answers} were given at once")
    times = sum(wake.wakes for wake in wakes if (readers[wake.waker].pid, wake.wakee) in wakees)
    helped = sum(worker.cpu_ns for worker in snapshot.workers.values() if (worker.pid, worker.tid) in wakees)
    own = sum(worker.cpu_ns for worker in readers.values())
    if not helped or not own:  # their CPU time is not known
        return Handed(True, says)
    share, by_answer = helped / own, times / (answers or reads)
    to_workers = share >= _least_of_workers(by_answer, _WORK_AT_LEAST)
    at_least = share >= _least_of_workers(by_answer * _PIECES_OFF, _WORK) * _WORK_OFF
    at_most = share >= _least_of_workers(by_answer / _PIECES_OFF, _WORK_AT_LEAST * _WORK_OFF) / _WORK_OFF
    if not to_workers:
        says += (
            f"; but those are helpers: woken {by_answer:.1f} times for each answer, they used {share:.0%} of "
            "the CPU time that the readers used themselves"
        )
    elif not at_least:
        says += f"; those used {share:.0%} of the CPU time that the readers used themselves"
    if at_least == at_most:
        return Handed(to_workers, says)
    return Handed(to_workers, f"{says}{_UNCERTAIN}", certain=False)


def _without_waking(snapshot: Snapshot, readers: dict[int, Worker], wakes: list[Wake]) -> Handed:
    """Detect workers that rarely sleep because they always have work.

    The evidence is that replies come in later turns, while those threads use more CPU time than expected of helpers.
    """
    times = sum(wake.wakes for wake in wakes)
    known = {(readers[wake.waker].pid, wake.wakee) for wake in wakes if wake.wakes > _BY_CHANCE * times}
    answers, later = _answers(readers.values())
    if not answers or later < _LATER * answers:
        return Handed(False, "")
    helped = sum(worker.cpu_ns for worker in snapshot.workers.values() if (worker.pid, worker.tid) in known)
    own = sum(worker.cpu_ns for worker in readers.values())
    if helped * _WORK_OFF < _WORK_UNWOKEN * own or not own:
        return Handed(False, "")
    says = (
        f"{later} of {answers} answers the readers wrote only after they had turned to others, and meanwhile "
        f"{_threads(len(known))} of their process, seldom asleep, used {helped / own:.0%} of the CPU time that "
        "the readers used themselves"
    )
    if helped < _WORK_OFF * _WORK_UNWOKEN * own:
        return Handed(helped >= _WORK_UNWOKEN * own, f"{says}{_UNCERTAIN}", certain=False)
    return Handed(True, says)


def _least_of_workers(by_answer: float, whole: float) -> float:
    """The least CPU time of woken threads, over the readers', that makes them workers.

    :param by_answer: how often they were woken for each answer
    :param whole: the answer where requests go to them whole
    """
    return _WORK_IN_PIECES if by_answer > _PIECES else whole


def _by_polling(snapshot: Snapshot, readers: dict[int, Worker]) -> Handed:
    """Readers that never sleep, whose workers may not sleep either: waking proves little."""
    answers, later = _answers(readers.values())
    pids = {worker.pid for worker in readers.values()}
    busy = [
        worker.cpu_ns
        for worker in snapshot.workers.values()
        if worker.pid in pids and not worker.did_something and worker.cpu_ns > 0
    ]
    spent = sum(busy)
    if not answers or later < _LATER * answers or spent < _WORKED_NS * later:
        return Handed(False, "")
    workers = sum(4 * cpu_ns * len(busy) >= spent for cpu_ns in busy)
    empty = sum(_found_nothing(worker) for worker in readers.values())
    return Handed(
        True,
        f"the reader polls and never sleeps ({empty} times it found nothing); {later} of {answers} answers it "
        f"wrote only after it had turned to others, and meanwhile {workers} threads of its process that touch "
        f"no socket used {spent / later / 1e3:.0f} µs of CPU time for each: they find the requests in memory",
    )


def _answers(readers: Iterable[Worker]) -> tuple[int, int]:
    """How many answers they wrote whose time is known, how many of them in a later turn than the read."""
    # a thread that neither waits for events nor gets EAGAIN is blocked in between: it has no turns
    turning = [worker for worker in readers if worker.waits or _found_nothing(worker)]
    answers = sum(int(worker.answer.sum()) for worker in turning)
    return answers, sum(worker.deferred_replies for worker in turning)


def _threads(count: int) -> str:
    return "another thread" if count == 1 else f"{count} other threads"


def _polls(worker: Worker) -> bool:
    if worker.wait_ns > 0.1 * (worker.wait_ns + worker.busy_ns):
        return False
    return _found_nothing(worker) >= _EMPTY_A_READ * max(worker.reads, 1)


def _found_nothing(worker: Worker) -> int:
    return worker.reads_eagain + worker.accepts_eagain + max(worker.waits - worker.wakeups, 0)
