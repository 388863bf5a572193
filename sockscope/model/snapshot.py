"""The state of everything at one moment, frozen: what analysis, reports and screens read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from sockscope.model.by_listener import ByListener
from sockscope.model.connection_ends import END_COUNT
from sockscope.model.connection_io import LISTENER_IO
from sockscope.records.batch import Health, HostCounters, Process
from sockscope.records.layout import ConnectionFlag, WorkerFlag

Records = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class SocketOwner:
    """A process that holds a listening socket, and under which descriptors."""

    pid: int
    descriptors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket.  Queue lengths are connections; ``backlog`` is the limit in force.

    ``samples`` counts arrivals at which its wait queue was looked at (one in 16), ``samples_several`` those
    at which two or more entries were in it, ``samples_changed`` those at which another number of entries
    was in it than at the look before, ``waiters`` and ``exclusive`` add up these entries (epoll
    instances that watch it, threads in accept or poll), and how many of them are woken one at a time.
    ``sockets`` is more than 1 where closed ones were put together (model/past.py).
    """

    id: int
    inode: int
    netns: int
    address: str
    port: int
    family: int
    reuseport: bool
    v6only: bool
    backlog: int
    queue: int
    queue_max: int
    drops: int
    syn_queue: int
    established: int
    accepted: int
    listened_ns: int
    listened_by: int
    closed_ns: int
    owners: tuple[SocketOwner, ...] = ()
    samples: int = 0
    samples_several: int = 0
    samples_changed: int = 0
    waiters: int = 0
    exclusive: int = 0
    sockets: int = 1
    mptcp: bool = False
    defer_accept: bool = False


@dataclass(frozen=True, slots=True)
class Worker:
    """One thread.  Counts are since tracing began (or since the thread did); times nanoseconds.

    ``threads`` is more than 1 where threads that have ended were put together (model/past.py).
    """

    id: int
    pid: int
    tid: int
    parent_pid: int
    comm: str
    start_ns: int
    first_seen_ns: int
    ended_ns: int
    flags: WorkerFlag
    last_wait: int
    cgroup: int
    accepts: int
    accepts_eagain: int
    accepts_failed: int
    reads: int
    bytes_read: int
    reads_eagain: int
    eof_reads: int
    writes: int
    bytes_written: int
    waits: int
    wakeups: int
    wakeups_spurious: int
    read_turns: int
    deferred_replies: int
    wait_ns: int
    busy_ns: int
    stall_max_ns: int
    stall_max_at_ns: int
    wait_enter_ns: int
    wait_exit_ns: int
    queue_wait: Records = field(repr=False, compare=False)
    data_wait: Records = field(repr=False, compare=False)
    answer: Records = field(repr=False, compare=False)
    stall: Records = field(repr=False, compare=False)
    cpu_ns: int = 0
    cpu_wait_ns: int = 0  # ready to run, and no CPU was free
    last_cpu: int = 0
    cpu_before_ns: int = 0
    cpu_wait_before_ns: int = 0
    threads: int = 1

    @property
    def number(self) -> str:
        """What tells it from others of its name: its tid, or how many it stands for."""
        return str(self.tid) if self.threads == 1 else f"({self.threads} ended)"

    @property
    def did_something(self) -> bool:
        return bool(self.accepts or self.accepts_eagain or self.reads or self.writes)


@dataclass(frozen=True, slots=True)
class Wake:
    """How often a worker (by id) woke another thread of its process (by tid)."""

    waker: int
    wakee: int
    wakes: int
    after_read: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """At how many of a listener's ``samples`` a worker (both by id) waited for it; worker 0: some that could
    not be named."""

    listener: int
    worker: int
    samples: int


@dataclass(frozen=True, slots=True)
class AcceptError:
    """How often accept() on a listener failed for a worker (both by id) with an errno, when first and last.

    Listener 0: a socket that is not traced.
    """

    listener: int
    worker: int
    error: int
    count: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True)
class Snapshot:
    """Everything known at ``time_ns``.

    ``connections`` holds all open ones and those closed ones that are kept, as CONNECTION records;
    ``deeds`` who did what on them.  ``flows`` and ``flow_counts`` cover *all* connections since the
    start, kept or not; so do ``listener_io``, what each thread did for each listener (LISTENER_IO rows).  Threads and
    listeners that ended long ago may have been put together, and what was at addresses where nobody
    listens any more forgotten, but for ``connections_total``.
    ``ends`` counts closed connections by listener, end and whether they were answered, kept or not.
    ``untraced`` names the signals that were not traced: what needs them is not known, and is not 0.
    """

    time_ns: int
    started_ns: int
    listeners: tuple[Listener, ...]
    workers: Mapping[int, Worker]
    connections: Records
    connection_io: Records
    roles: Records
    role_counts: Records
    closed_total: int
    listener_io: Records = field(default_factory=lambda: np.empty(0, LISTENER_IO))
    wakes: tuple[Wake, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    accept_errors: tuple[AcceptError, ...] = ()
    ends: Records = field(default_factory=lambda: np.empty(0, END_COUNT))
    processes: Mapping[int, Process] = field(default_factory=dict)
    hosts: tuple[HostCounters, ...] = ()
    health: Health = field(default_factory=Health)
    untraced: frozenset[str] = frozenset()

    @property
    def elapsed_ns(self) -> int:
        return max(self.time_ns - self.started_ns, 0)

    # Asked for once a server, of which a busy day has hundreds, with tens of thousands of threads.

    @cached_property
    def connections_total(self) -> int:
        """All there were since the start, kept or not."""
        closed = np.count_nonzero(self.connections["flags"] & int(ConnectionFlag.CLOSED))
        return self.closed_total + len(self.connections) - int(closed)

    @cached_property
    def waiters(self) -> tuple[Worker, ...]:
        """The threads that have not ended and ever waited for events."""
        return tuple(
            worker
            for worker in self.workers.values()
            if not worker.ended_ns and (worker.waits or worker.flags & WorkerFlag.IN_WAIT)
        )

    @cached_property
    def parents(self) -> Mapping[int, int]:
        """Process → the one that began it."""
        return {worker.pid: worker.parent_pid for worker in self.workers.values()}

    @cached_property
    def first_two_did_all(self) -> bool:
        """Whether nobody beyond the first two threads of any of ``connections`` did anything on it."""
        return bool(np.count_nonzero(self.connections["io"]["worker"]) == len(self.connection_io))

    @cached_property
    def all_kept(self) -> bool:
        """Whether no closed connection is missing from ``connections``."""
        return self.connections_total <= len(self.connections)

    @cached_property
    def by_listener(self) -> ByListener:
        """Where the ``connections`` of each listener are."""
        return ByListener(np.ascontiguousarray(self.connections["listener"]))

    @cached_property
    def connection_io_ids(self) -> Records:
        """The connection's id of each of ``deeds``, upwards, by itself: it is searched for each server."""
        return np.ascontiguousarray(self.connection_io["connection"])

    @cached_property
    def roles_by_listener(self) -> ByListener:
        return ByListener(np.ascontiguousarray(self.roles["listener"]))
