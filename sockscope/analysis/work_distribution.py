"""How evenly a server's workers share each kind of work: six figures that diverge in practice.

Accepts may be even while reads are not (a few heavy clients), open connections skewed while
accepts are even (some live long), CPU skewed while all of these are even (one slow worker).

Who shares?  Those that play the role, and idle threads of the same kind: same name (numbers
aside), same place in the process tree, asleep in the same system call as one that plays the role.
A runtime's helper threads (resolvers, compilers, timers) sleep elsewhere or are of another shape,
and are no sharers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sockscope.analysis.fairness import Fairness, count_independent, fairness
from sockscope.analysis.server import Group, Server
from sockscope.analysis.signal_requirements import NEEDS
from sockscope.model.connection_io import BLOCK
from sockscope.model.snapshot import Snapshot, Worker
from sockscope.records.layout import ConnectionFlag, WorkerFlag
from sockscope.records.structured import take

Records = np.ndarray[Any, np.dtype[Any]]

#: A worker that came later than this part of the run (or ended) had not the same chance.
_LATE = 0.2


@dataclass(frozen=True)
class WorkShare:
    """One kind of work: who shares it, what each has, and whether that is fair."""

    name: str
    workers: tuple[Worker, ...]
    fairness: Fairness

    @property
    def values(self) -> tuple[float, ...]:
        return self.fairness.values

    @property
    def top(self) -> Worker | None:
        """Who has most; None when nobody has anything."""
        if not self.fairness.total:
            return None
        return max(zip(self.values, self.workers, strict=True), key=lambda pair: pair[0])[1]


@dataclass(frozen=True)
class WorkDistribution:
    """All figures of one server.  ``bytes`` are read and written together.

    As a sequence: those whose signals were traced.
    """

    accepts: WorkShare
    open: WorkShare
    reads: WorkShare
    bytes: WorkShare
    busy: WorkShare
    cpu: WorkShare
    untraced: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[WorkShare]:
        figures = (self.accepts, self.open, self.reads, self.bytes, self.busy, self.cpu)
        return (figure for figure in figures if self.untraced.isdisjoint(NEEDS.get(figure.name, ())))


def get_work_distribution(snapshot: Snapshot, server: Server) -> WorkDistribution:
    """The figures of one server over the whole run."""
    connections = get_connections(snapshot, server.group)
    accepting = accepting_sharers(snapshot, server)
    serving = serving_sharers(snapshot, server)
    reads, octets = _work_each(snapshot, connections, serving)
    heavy_reads, heavy_bytes = get_sizes(snapshot, connections)
    accepts = [float(server.group.accepts.get(worker.id, 0)) for worker in accepting]
    busy = [float(busy_ns(worker, snapshot.time_ns)) for worker in serving]
    cpu = [float(worker.cpu_ns) for worker in serving]
    independent = count_independent(heavy_reads)
    return WorkDistribution(
        accepts=WorkShare("accepts", accepting, fairness(accepts)),
        open=WorkShare("open connections", serving, fairness(open_each(snapshot, connections, serving))),
        reads=WorkShare("reads", serving, fairness(reads, counts=False, independent=independent)),
        bytes=WorkShare(
            "bytes", serving, fairness(octets, counts=False, independent=count_independent(heavy_bytes))
        ),
        busy=WorkShare("busy time", serving, fairness(busy, counts=False, independent=independent)),
        cpu=WorkShare("CPU time", serving, fairness(cpu, counts=False, independent=independent)),
        untraced=snapshot.untraced,
    )


def accepting_sharers(snapshot: Snapshot, server: Server) -> tuple[Worker, ...]:
    """Acceptors, and idle threads that could have accepted."""
    return _sharers(snapshot, server, server.acceptors, _holders(server))


def serving_sharers(snapshot: Snapshot, server: Server) -> tuple[Worker, ...]:
    """Those that do the work of requests, and idle threads that could have done it.

    Where one thread reads for all (``dispatch``) these are the threads that answer, else those
    that read.
    """
    if "dispatch" in server.model:
        readers = {worker.id for worker in server.readers}
        others = tuple(worker for worker in server.writers if worker.id not in readers)
        if others:
            return _sharers(snapshot, server, others, set())
    processes = _holders(server)
    if server.handoff == "process":
        processes = processes | {worker.pid for worker in server.readers}
    return _sharers(snapshot, server, server.readers or server.acceptors, processes)


def get_connections(snapshot: Snapshot, group: Group) -> Records:
    """The kept connections of a group, as CONNECTION records."""
    mine = snapshot.by_listener.rows(listener.id for listener in group.listeners)
    # where they are all, as in most recordings, that is no copy: of a million it took a quarter of a gigabyte
    return snapshot.connections[mine] if isinstance(mine, slice) else snapshot.connections.take(mine)


def open_each(snapshot: Snapshot, connections: Records, workers: Sequence[Worker]) -> list[float]:
    """Return each worker's open connections: those that it reads, or accepted if no thread has read them."""
    taken = (connections["accepted_ns"] > 0) | _open_before(connections)
    living = (connections["ending_ns"] == 0) & taken
    alive = connections if living.all() else take(connections, living)
    readers = main_readers(snapshot, alive)
    owners = np.where(readers > 0, readers, alive["acceptor"])
    return _summed(owners, np.ones(len(owners)), workers)


def main_readers(snapshot: Snapshot, connections: Records) -> Records:
    """Return the thread that read each connection most (0: none), in the order given."""
    found: Records = np.zeros(len(connections), np.uint32)
    if not len(connections) or not len(snapshot.connection_io):
        return found
    if snapshot.first_two_did_all:  # the connection records have all I/O
        for begin in range(0, len(connections), BLOCK):
            part, io = found[begin : begin + BLOCK], connections["io"][begin : begin + BLOCK]
            first, second = io[:, 0], io[:, 1]
            part[:] = np.where(first["reads"] > 0, first["worker"], 0)
            more = (second["reads"] > 0) & (second["reads"] >= first["reads"])
            part[more] = second["worker"][more]
        return found
    order = np.argsort(connections["id"], kind="stable")
    did = _io_of(snapshot, connections)
    did = did[did["reads"] > 0]
    did = did[np.argsort(did["reads"], kind="stable")]
    # the last of those with the same connection stays: the one with most reads
    found[order[np.searchsorted(connections["id"][order], did["connection"])]] = did["worker"]
    return found


def busy_ns(worker: Worker, now_ns: int) -> int:
    """Time away from waiting, the stretch that is not over yet included."""
    return worker.busy_ns + away_ns(worker, now_ns)


def away_ns(worker: Worker, now_ns: int) -> int:
    """How long the thread has been away from waiting, up to now; 0 when it waits or has ended."""
    if worker.ended_ns or worker.flags & WorkerFlag.IN_WAIT or not worker.wait_exit_ns:
        return 0
    return max(now_ns - worker.wait_exit_ns, 0)


def kind_of(worker: Worker) -> tuple[str, bool]:
    """Threads of one kind have the same name, numbers aside, and are all main threads or all not."""
    return re.sub(r"\d+", "#", worker.comm), worker.pid == worker.tid


def _sharers(
    snapshot: Snapshot, server: Server, playing: Iterable[Worker], processes: set[int]
) -> tuple[Worker, ...]:
    role = list(playing)
    # when all are gone (the server has ended) their time was over when the last of them went
    gone = all(worker.ended_ns for worker in role)
    end = max((worker.ended_ns for worker in role), default=0) if gone else snapshot.time_ns
    late = _LATE * max(end - snapshot.started_ns, 0)
    # a role is shared by those that could have played it all the time
    begun = snapshot.started_ns + late
    lasting = [
        worker
        for worker in role
        if worker.first_seen_ns <= begun and (not worker.ended_ns or (gone and worker.ended_ns >= end - late))
    ]
    playing_ids = {worker.id for worker in role}
    patterns = {(kind_of(one), one.last_wait, one.pid, one.parent_pid) for one in lasting}
    idle = [
        worker
        for worker in snapshot.waiters
        if worker.id not in playing_ids
        and worker.first_seen_ns <= begun
        and _could_play(worker, patterns, processes)
    ]
    return tuple(sorted([*lasting, *idle], key=lambda worker: (worker.pid, worker.tid)))


_Pattern = tuple[tuple[str, bool], int, int, int]


def _could_play(worker: Worker, patterns: set[_Pattern], processes: set[int]) -> bool:
    """Whether an idle thread is one of those that play: name, system call, and process or parent."""
    alike = [pattern for pattern in patterns if pattern[:2] == (kind_of(worker), worker.last_wait)]
    same_process = any(pid == worker.pid for _, _, pid, _ in alike)
    sibling = worker.pid in processes and any(parent == worker.parent_pid for _, _, _, parent in alike)
    return same_process or sibling


def _holders(server: Server) -> set[int]:
    return {holding.pid for listener in server.group.listeners for holding in listener.owners}


def _open_before(connections: Records) -> Any:
    before = (connections["flags"] & int(ConnectionFlag.OPEN_BEFORE)) != 0
    return before & (connections["ending_ns"] == 0)


def _work_each(
    snapshot: Snapshot, connections: Records, workers: Sequence[Worker]
) -> tuple[list[float], list[float]]:
    """Reads and bytes of each worker: of this group's connections when all are kept, else of all its work.

    A thread that answers what another read counts its writes as reads: its part of the requests.
    """
    if snapshot.all_kept:
        connection_io = _io_of(snapshot, connections)
        reads = _summed(connection_io["worker"], connection_io["reads"], workers)
        writes = _summed(connection_io["worker"], connection_io["writes"], workers)
        octets = _summed(
            connection_io["worker"], connection_io["bytes_read"] + connection_io["bytes_written"], workers
        )
    else:
        reads = [float(worker.reads) for worker in workers]
        writes = [float(worker.writes) for worker in workers]
        octets = [float(worker.bytes_read + worker.bytes_written) for worker in workers]
    return (reads if any(reads) else writes), octets


def _summed(whose: Records, values: Records, workers: Sequence[Worker]) -> list[float]:
    """The sum of ``values`` for each worker."""
    if not len(whose):
        return [0.0] * len(workers)
    sums = np.bincount(whose.astype(np.int64), weights=values)
    return [float(sums[worker.id]) if worker.id < len(sums) else 0.0 for worker in workers]


def _io_of(snapshot: Snapshot, connections: Records) -> Records:
    """Return the per-thread I/O of some connections."""
    if len(connections) == len(snapshot.connections):  # a snapshot has the I/O of exactly its connections
        return snapshot.connection_io
    ids = np.sort(connections["id"])
    begins, ends = (np.searchsorted(snapshot.connection_io_ids, ids, side) for side in ("left", "right"))
    before = np.cumsum(ends - begins) - (ends - begins)  # number of I/O records of the connections before
    where = np.repeat(begins - before, ends - begins)
    return snapshot.connection_io[where + np.arange(len(where))]


def get_sizes(snapshot: Snapshot, connections: Records) -> tuple[Records, Records]:
    """Reads and bytes of each kept connection that has any."""
    connection_io = _io_of(snapshot, connections)
    if not len(connection_io):
        return np.zeros(0), np.zeros(0)
    _, where = np.unique(connection_io["connection"], return_inverse=True)
    reads = np.bincount(where, weights=connection_io["reads"])
    octets = np.bincount(where, weights=connection_io["bytes_read"] + connection_io["bytes_written"])
    return reads, octets
