"""What a source hands over at each tick: everything downstream is fed by batches alone.

A live source and a replayed recording give the same batches, so nothing after this point knows
which of them it sees.  Arrays hold *cumulative* records (a worker's record counts from its first
moment), so a later record of the same identity replaces an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sockscope.records.layout import CONNECTION, EVENT, LISTENER, WORKER

Records = np.ndarray[Any, np.dtype[Any]]

#: Deeds of a further thread on a connection that has no free slot in its own record.
IO_OVERFLOW = np.dtype(
    [
        ("connection", "<u8"),
        ("worker", "<u4"),
        ("reads", "<u8"),
        ("bytes_read", "<u8"),
        ("writes", "<u8"),
        ("bytes_written", "<u8"),
    ]
)

#: How often a worker woke another thread of its process; ``wakee`` is a tid.
WAKE = np.dtype([("waker", "<u4"), ("wakee", "<u4"), ("wakes", "<u8"), ("after_read", "<u8")])

#: At how many of a listener's ``samples`` a worker waited for it; worker 0: those that could not be named.
WAITING = np.dtype([("listener", "<u4"), ("worker", "<u4"), ("samples", "<u8")])

#: How often accept() on a listener failed for a worker with an errno, and when first and last; listener 0: a
#: socket that is not traced.
ACCEPT_ERRORS = np.dtype(
    [
        ("listener", "<u4"),
        ("worker", "<u4"),
        ("error", "<u4"),
        ("count", "<u8"),
        ("first_ns", "<u8"),
        ("last_ns", "<u8"),
    ]
)

#: A process that holds a listening socket, under which descriptor.
OWNER = np.dtype([("netns", "<u4"), ("inode", "<u8"), ("pid", "<u4"), ("fd", "<u4")])

#: A listener's queues, as inet_diag tells them at one moment.  ``syn_queue`` counts handshakes
#: under way on its address and port (shared by the members of a group: the kernel keeps no more).
QUEUE = np.dtype(
    [
        ("netns", "<u4"),
        ("inode", "<u8"),
        ("address", "u1", 16),
        ("port", "<u2"),
        ("family", "u1"),
        ("queue", "<u4"),
        ("backlog", "<u4"),
        ("drops", "<u4"),
        ("syn_queue", "<u4"),
    ]
)

#: A thread's CPU time so far, how long it was ready to run and had no CPU (0 where the kernel keeps
#: no schedstat), and the CPU it last ran on; from /proc.
THREAD_CPU = np.dtype(
    [("pid", "<u4"), ("tid", "<u4"), ("cpu_ns", "<u8"), ("cpu_wait_ns", "<u8"), ("last_cpu", "<u2")]
)


@dataclass(frozen=True)
class Process:
    """What /proc tells of a process that holds a listener or has a worker; text is as found."""

    pid: int
    parent_pid: int
    comm: str
    command: str
    cgroup: str = ""
    container: str = ""


@dataclass(frozen=True)
class HostCounters:
    """Counters and limits of one network namespace: /proc/net/netstat and net.core.somaxconn."""

    netns: int
    listen_overflows: int
    listen_drops: int
    somaxconn: int
    syn_cookies_sent: int = 0


@dataclass(frozen=True)
class Cost:
    """What tracing costs, cumulative.  ``probe_ns`` and ``probe_runs`` cover only the moments in
    which the kernel's BPF statistics were on (``sampled_ns`` of ``elapsed_ns``), and in which threads read
    ``sampled_reads`` times."""

    probe_ns: int = 0
    probe_runs: int = 0
    sampled_ns: int = 0
    elapsed_ns: int = 0
    user_cpu_ns: int = 0
    resident_bytes: int = 0
    sampled_reads: int = 0


@dataclass(frozen=True)
class Health:
    """Whether everything that happened was recorded.  ``lost`` maps a reason to a count."""

    lost: tuple[tuple[str, int], ...] = ()
    cost: Cost = field(default_factory=Cost)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttachedSignal:
    """How a signal was got on this kernel: ``method`` is empty when it was not."""

    name: str
    method: str
    limitations: str


@dataclass(frozen=True)
class Meta:
    """What a recording is of: known when tracing starts and never changed.

    ``monotonic_offset_ns`` added to a record's time gives nanoseconds since 1970.
    """

    host: str
    kernel: str
    version: str
    target: str
    command: str
    cpus: int
    started_ns: int
    monotonic_offset_ns: int
    signals: tuple[AttachedSignal, ...]
    boot_id: str = ""


def _no(dtype: np.dtype[Any]) -> Callable[[], Records]:
    return lambda: np.empty(0, dtype)


@dataclass(frozen=True)
class Batch:
    """One tick: what changed since the last one, and samples taken at ``time_ns``."""

    time_ns: int
    connections: Records = field(default_factory=_no(CONNECTION))
    io_overflow: Records = field(default_factory=_no(IO_OVERFLOW))
    workers: Records = field(default_factory=_no(WORKER))
    listeners: Records = field(default_factory=_no(LISTENER))
    wakes: Records = field(default_factory=_no(WAKE))
    waiting: Records = field(default_factory=_no(WAITING))
    accept_errors: Records = field(default_factory=_no(ACCEPT_ERRORS))
    owners: Records = field(default_factory=_no(OWNER))
    queues: Records = field(default_factory=_no(QUEUE))
    threads: Records = field(default_factory=_no(THREAD_CPU))
    events: Records = field(default_factory=_no(EVENT))
    processes: tuple[Process, ...] = ()
    hosts: tuple[HostCounters, ...] = ()
    health: Health = field(default_factory=Health)
    final: bool = False
