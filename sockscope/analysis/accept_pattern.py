"""Who accepts: one thread, several on one socket, or several each on its own; and whose turn is it?

Only threads and sockets that existed at the same time share: after a restart or a reload there are
two of each, one after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import inf

from sockscope.analysis.server import Group
from sockscope.analysis.signal_requirements import is_traced
from sockscope.analysis.waiter_samples import MIN_SAMPLES, sample_waiters
from sockscope.model.snapshot import Listener, Snapshot, Worker

#: An acceptor with a smaller part of what the busiest one accepted is an accident (a reload, a probe), not a
#: sharer.  Not of all that was accepted: of hundreds that share it evenly each has less.
_ACCIDENT = 0.005
#: Wake-ups for nothing, for each connection.  Measured with 2 to 8 acceptors on one socket: where one
#: is woken at a time, or one that finds nothing finds other work, 0 to 0.08; where all come, 0.44.
_IN_VAIN = 0.2
#: Accepts that found nothing, for each connection: without a loop that accepts until nothing is left
#: 0 to 0.05 was measured, with one 0.11 to 0.93.
_FEW = 0.1
#: With an accept lock 1.0 to 1.3 waiters a look were measured, two or more in 3 to 32 %, where there is little
#: to do: who lets go of the lock serves what it accepted, and only then stops watching.
_ALONE = (0.7, 1.5)
_SOMETIMES = 0.5
#: With much to do that is up to 0.97 of all acceptors, but another number at 3 to 59 % of the looks; without
#: a lock they are always all there: the number never changed.  A restart or a reload changes it a few times.
_CHANGES, _FEWEST_CHANGES = 0.015, 4
#: epoll_wait, epoll_pwait and epoll_pwait2 of x86-64 and arm64: no other call in which threads wait for
#: events has one of these numbers there.
_EPOLL_WAITS = frozenset({232, 281, 441, 22})


def accept_axis(
    snapshot: Snapshot, group: Group, by_listener: Mapping[int, Counter[int]]
) -> tuple[str, tuple[str, ...]]:
    """(``one``, ``shared``, ``reuseport`` or ``nobody``; the sentences that say so).

    :param by_listener: listener id → worker id → connections accepted
    """
    accepted = sum(by_listener.values(), Counter())
    total = sum(accepted.values())
    if not total:
        return "nobody", ()
    least = _ACCIDENT * max(accepted.values())
    real = {number for number, count in accepted.items() if count >= least}
    used = {number for number, by in by_listener.items() if real & by.keys()}
    sockets = _most_at_once(_life(listener) for listener in group.listeners if listener.id in used)
    sharers = max(
        _most_at_once(_span(snapshot.workers.get(worker)) for worker in real & by_listener[number].keys())
        for number in used
    )
    if len(real) == 1:
        return _by_one(snapshot, group, used, next(iter(real)), total)
    # sockets and threads of one moment: after reloads there are several generations of threads
    at_once = _most_at_once(_span(snapshot.workers.get(number)) for number in real)
    if sockets > 1 and (len(used) >= len(real) / 2 or sockets >= at_once / 2):
        return "reuseport", (
            f"{len(real)} threads accepted {total} connections on {len(used)} sockets of one address and port",
        )
    if sharers == 1:
        return "one", (f"{len(real)} threads, one after another, accepted {total} connections",)
    most = max(len(real & by_listener[number].keys()) for number in used)
    says = f"{most} threads accepted {total} connections on one listening socket"
    acceptors = [snapshot.workers[number] for number in real & snapshot.workers.keys()]
    apart = len({worker.pid for worker in acceptors}) == len(acceptors)
    turns = _turns(acceptors) if is_traced(snapshot, "waits", "wakeups_spurious") else ()
    return "shared", (says, *turns, *_waiting(snapshot, group, used, acceptors, apart))


def _by_one(
    snapshot: Snapshot, group: Group, used: set[int], acceptor: int, total: int
) -> tuple[str, tuple[str, ...]]:
    together = _open_together(group, used)
    if len(used) < together:
        # each has a queue of its own, even if the kernel chose one queue for all (steering, one client)
        return "reuseport", (
            f"one thread accepted {total} connections: they went to {len(used)} of {together} sockets of one "
            "address and port",
        )
    worker = snapshot.workers.get(acceptor)
    siblings = _siblings(snapshot, group, used, worker)
    if worker is not None and siblings:
        return "shared", (
            f"one process accepted all {total} connections; {siblings} more of its kind, children of the same "
            "parent, hold the listening socket too",
            *_waiting(snapshot, group, used, [worker], apart=True),
        )
    return "one", (f"one thread accepted {total} connections",)


def _turns(acceptors: list[Worker]) -> tuple[str, ...]:
    """Who is woken for a connection, and who of them comes for nothing."""
    accepts = sum(worker.accepts for worker in acceptors)
    empty = sum(worker.accepts_eagain for worker in acceptors)
    waits = sum(worker.waits for worker in acceptors)
    if not accepts:
        return ()
    if not empty and not waits:
        return ("they wait in accept itself: the kernel wakes one of them for each connection",)
    wasted = sum(worker.wakeups_spurious for worker in acceptors)
    each = f"{empty} accepts found nothing (EAGAIN), {empty / accepts:.2f} for each connection"
    if wasted >= _IN_VAIN * accepts:
        come = 1 + wasted / accepts
        return (f"{each}, and {wasted} wake-ups were for nothing: {come:.2f} come for each connection",)
    if empty <= _FEW * accepts:
        return (f"{each}: hardly ever do two come for the same",)
    return (f"{each}, but only {wasted} wake-ups were for nothing: such accepts end a burst of others",)


def _waiting(
    snapshot: Snapshot, group: Group, used: set[int], acceptors: list[Worker], apart: bool
) -> tuple[str, ...]:
    """How many wait for the listening socket at a time, which threads how often, and whether a lock keeps
    the others away.

    :param apart: whether each acceptor is a process of its own; threads may all wait in one epoll instance
    """
    listeners = [listener for listener in group.listeners if listener.id in used]
    looks = sum(listener.samples for listener in listeners)
    waiters = sum(listener.waiters for listener in listeners)
    if looks < MIN_SAMPLES or not waiters:
        return ()
    several = sum(listener.samples_several for listener in listeners) / looks
    exclusive = sum(listener.exclusive for listener in listeners) / waiters
    each = waiters / looks
    # an epoll instance watches a listener whether its thread is busy or idle: who does not is kept from it
    watching = apart and all(worker.last_wait in _EPOLL_WAITS for worker in acceptors)
    if watching and exclusive <= 0.5 and _ALONE[0] <= each <= _ALONE[1] and several <= _SOMETIMES:
        return (
            f"one at a time watches the listening socket ({looks} looks at its wait queue found two or more in "
            f"{100 * several:.0f} %): a lock lets one accept at a time",
        )
    changed = sum(listener.samples_changed for listener in listeners)
    if watching and exclusive <= 0.5 and changed >= max(_FEWEST_CHANGES, _CHANGES * looks):
        return (
            f"{each:.1f} watch the listening socket at a time, on average, and come and go (another number at "
            f"{changed} of {looks} looks), as where a lock lets one accept at a time",
        )
    woken = "one is woken" if exclusive > 0.5 else "all are woken"
    found = sample_waiters(snapshot, used)
    if not found.by_worker:
        return (f"{each:.1f} wait for the listening socket at a time; {woken} for a connection",)
    parts = [round(100 * waited.part) for waited in found.by_worker.values()]
    span = " to ".join(map(str, sorted({min(parts), max(parts)})))
    some = f", some that could not be named at {100 * found.unnamed / looks:.0f} %" * bool(found.unnamed)
    return (
        f"when a connection came, {found.at_a_time:.1f} of {len(parts)} threads waited for the socket, each at "
        f"{span} % of {looks} looks{some}; {woken}",
    )


def _most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """The largest number of spans (beginning, end) that overlap in one moment."""
    changes = sorted(change for begin, end in spans for change in ((begin, 1), (end, -1)))
    most = now = 0
    for _, change in changes:  # at the same moment an end (-1) comes before a beginning
        now += change
        most = max(most, now)
    return most


def _life(listener: Listener) -> tuple[float, float]:
    return (listener.listened_ns, listener.closed_ns or inf)


def _span(worker: Worker | None) -> tuple[float, float]:
    return (worker.start_ns, worker.ended_ns or inf) if worker else (0, inf)


def _siblings(snapshot: Snapshot, group: Group, used: set[int], acceptor: Worker | None) -> int:
    """Processes like the only acceptor's that could have accepted as well: same parent and name, the
    same socket held.  With an accept lock, or little to do, one of them may well take everything."""
    if acceptor is None:
        return 0
    owners = {held.pid for listener in group.listeners if listener.id in used for held in listener.owners}
    alike = {
        worker.pid
        for worker in snapshot.workers.values()
        if worker.pid in owners
        and worker.tid == worker.pid
        and (worker.parent_pid, worker.comm) == (acceptor.parent_pid, acceptor.comm)
    }
    return len(alike - {acceptor.pid}) if acceptor.pid in alike else 0


def _open_together(group: Group, numbers: set[int]) -> int:
    """How many of the group's sockets were open at the same time as those with these ids, these included."""
    used = [_life(listener) for listener in group.listeners if listener.id in numbers]
    return sum(
        any(begin < end and other < until for other, end in used)
        for begin, until in map(_life, group.listeners)
    )
