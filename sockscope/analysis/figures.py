"""How evenly a server's workers share each kind of work: six figures that diverge in practice.

Accepts may be even while reads are not (a few heavy clients), open connections skewed while
accepts are even (some live long), CPU skewed while all of these are even (one slow worker).

Who shares?  Those that play the role, and idle threads of the same kind: same name (numbers
aside), same place in the process tree, asleep in the same system call as one that plays the role.
A runtime's helper threads (resolvers, compilers, timers) sleep elsewhere or are of another shape,
and are no sharers.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sockscope.analysis.fairness import Fairness, fairness, independent_of
from sockscope.analysis.frame import Group, Server
from sockscope.model.snapshot import Snapshot, Worker
from sockscope.records.layout import ConnectionFlag, WorkerFlag

Records = np.ndarray[Any, np.dtype[Any]]

#: A worker that came later than this part of the run (or ended) had not the same chance.
_LATE = 0.2


@dataclass(frozen=True)
class Figure:
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
class Figures:
    """All figures of one server.  ``bytes`` are read and written together."""

    accepts: Figure
    open: Figure
    reads: Figure
    bytes: Figure
    busy: Figure
    cpu: Figure

    def __iter__(self) -> Iterator[Figure]:
        return iter((self.accepts, self.open, self.reads, self.bytes, self.busy, self.cpu))


def figures_of(snapshot: Snapshot, server: Server) -> Figures:
    """The figures of one server over the whole run."""
    connections = connections_of(snapshot, server.group)
    accepting = accepting_sharers(snapshot, server)
    serving = serving_sharers(snapshot, server)
    reads, octets = _work_each(snapshot, connections, serving)
    heavy_reads, heavy_bytes = _sizes(snapshot, connections)
    accepts = [float(server.group.accepts.get(worker.id, 0)) for worker in accepting]
    busy = [float(busy_ns(worker, snapshot.time_ns)) for worker in serving]
    cpu = [float(worker.cpu_ns) for worker in serving]
    independent = independent_of(heavy_reads)
    return Figures(
        accepts=Figure("accepts", accepting, fairness(accepts)),
        open=Figure("open connections", serving, fairness(open_each(snapshot, connections, serving))),
        reads=Figure("reads", serving, fairness(reads, counts=False, independent=independent)),
        bytes=Figure(
            "bytes", serving, fairness(octets, counts=False, independent=independent_of(heavy_bytes))
        ),
        busy=Figure("busy time", serving, fairness(busy, counts=False, independent=independent)),
        cpu=Figure("CPU time", serving, fairness(cpu, counts=False, independent=independent)),
    )


def accepts_over_time(snapshot: Snapshot, server: Server, parts: int = 10) -> tuple[Fairness, ...]:
    """Fairness of the accepts in each of ``parts`` equal stretches, of the connections that are kept."""
    connections = connections_of(snapshot, server.group)
    taken = connections[connections["accepted_ns"] > 0]
    sharers = accepting_sharers(snapshot, server)
    if not len(taken) or not sharers:
        return ()
    ids = np.array([worker.id for worker in sharers])
    first, last = int(taken["accepted_ns"].min()), int(taken["accepted_ns"].max())
    edges = np.linspace(first, last + 1, parts + 1)
    result = []
    for low, high in itertools.pairwise(edges):
        within = taken["acceptor"][(taken["accepted_ns"] >= low) & (taken["accepted_ns"] < high)]
        result.append(fairness([float((within == number).sum()) for number in ids]))
    return tuple(result)


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


def connections_of(snapshot: Snapshot, group: Group) -> Records:
    """The kept connections of a group, as CONNECTION records."""
    numbers = [listener.id for listener in group.listeners]
    return snapshot.connections[np.isin(snapshot.connections["listener"], numbers)]


def open_each(snapshot: Snapshot, connections: Records, workers: Sequence[Worker]) -> list[float]:
    """Connections open now, by who reads them (until somebody does: who accepted them)."""
    alive = connections[
        (connections["ending_ns"] == 0) & (connections["accepted_ns"] > 0) | _open_before(connections)
    ]
    deeds = snapshot.deeds[np.isin(snapshot.deeds["connection"], alive["id"])]
    keeper = dict(zip(alive["id"].tolist(), alive["acceptor"].tolist(), strict=True))
    for row in deeds[np.argsort(deeds["reads"], kind="stable")]:
        if row["reads"]:
            keeper[int(row["connection"])] = int(row["worker"])
    owners = list(keeper.values())
    return [float(owners.count(worker.id)) for worker in workers]


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
    # a role is shared by those that could have played it all the time
    begun = snapshot.started_ns + _LATE * snapshot.elapsed_ns
    lasting = [worker for worker in role if not worker.ended_ns and worker.first_seen_ns <= begun]
    idle = []
    for worker in snapshot.workers.values():
        if worker.ended_ns or worker.first_seen_ns > begun or worker in role:
            continue
        if any(_could_play(worker, other, processes) for other in lasting):
            idle.append(worker)
    return tuple(sorted([*lasting, *idle], key=lambda worker: (worker.pid, worker.tid)))


def _could_play(worker: Worker, other: Worker, processes: set[int]) -> bool:
    if kind_of(worker) != kind_of(other) or worker.last_wait != other.last_wait:
        return False
    if not worker.waits and not worker.flags & WorkerFlag.IN_WAIT:
        return False
    if worker.pid == other.pid:
        return True
    return worker.parent_pid == other.parent_pid and worker.pid in processes


def _holders(server: Server) -> set[int]:
    return {holding.pid for listener in server.group.listeners for holding in listener.holders}


def _open_before(connections: Records) -> Any:
    before = (connections["flags"] & int(ConnectionFlag.OPEN_BEFORE)) != 0
    return before & (connections["ending_ns"] == 0)


def _work_each(
    snapshot: Snapshot, connections: Records, workers: Sequence[Worker]
) -> tuple[list[float], list[float]]:
    """Reads and bytes of each worker: of this group's connections when all are kept, else of all its work.

    A thread that answers what another read counts its writes as reads: its part of the requests.
    """
    if _all_kept(snapshot):
        deeds = snapshot.deeds[np.isin(snapshot.deeds["connection"], connections["id"])]
        rows = [deeds[deeds["worker"] == worker.id] for worker in workers]
        reads = [int(mine["reads"].sum()) for mine in rows]
        writes = [int(mine["writes"].sum()) for mine in rows]
        octets = [float(mine["bytes_read"].sum() + mine["bytes_written"].sum()) for mine in rows]
    else:
        reads = [worker.reads for worker in workers]
        writes = [worker.writes for worker in workers]
        octets = [float(worker.bytes_read + worker.bytes_written) for worker in workers]
    requests = reads if any(reads) else writes
    return [float(number) for number in requests], octets


def _sizes(snapshot: Snapshot, connections: Records) -> tuple[list[float], list[float]]:
    """Reads and bytes of each kept connection."""
    deeds = snapshot.deeds[np.isin(snapshot.deeds["connection"], connections["id"])]
    if not len(deeds):
        return [], []
    _, where = np.unique(deeds["connection"], return_inverse=True)
    reads = np.bincount(where, weights=deeds["reads"])
    octets = np.bincount(where, weights=deeds["bytes_read"] + deeds["bytes_written"])
    return reads.tolist(), octets.tolist()


def _all_kept(snapshot: Snapshot) -> bool:
    closed = int(((snapshot.connections["flags"] & int(ConnectionFlag.CLOSED)) != 0).sum())
    return snapshot.closed_total <= closed
