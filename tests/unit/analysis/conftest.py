"""A small world to build frames from: listeners, workers and connections, as a kernel would report them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from sockscope.analysis.analyse import analyse
from sockscope.analysis.findings import detect_findings
from sockscope.analysis.frame import Finding, Frame
from sockscope.analysis.thresholds import Thresholds
from sockscope.model.histogram import bucket_of
from sockscope.model.state import State
from sockscope.records.batch import (
    IO_OVERFLOW,
    OWNER,
    QUEUE,
    THREAD_CPU,
    AttachedSignal,
    Batch,
    HostCounters,
    Meta,
)
from sockscope.records.layout import CONNECTION, LISTENER, WORKER, ConnectionFlag, WorkerFlag

MS = 1_000_000
S = 1_000_000_000
NETNS = 4026531840
EPOLL_WAIT, FUTEX = 232, 202


class World:
    """Everything that happened until ``seconds``.  Times of connections are given in milliseconds."""

    def __init__(self, seconds: float = 10.0, cpus: int = 8) -> None:
        self.start_ns = 100 * S
        self.end_ns = self.start_ns + round(seconds * S)
        self.cpus = cpus
        self.untraced: tuple[str, ...] = ()
        self.listeners: list[Any] = []
        self.workers: list[Any] = []
        self.connections: list[Any] = []
        self.owners: list[tuple[int, int, int, int]] = []
        self.io_overflow: list[tuple[int, int, int, int, int, int]] = []
        self.syn_queue = 0
        self.somaxconn = 4096
        self.cpu: dict[int, tuple[int, int]] = {}
        self._drops: dict[int, int] = {}
        self._explicit: set[int] = set()

    def listener(
        self,
        *,
        owners: Sequence[int] = (),
        reuseport: bool = False,
        backlog: int = 511,
        queue_max: int = 0,
        drops: int = 0,
        listened_ms: float = 0,
    ) -> int:
        row = np.zeros(1, LISTENER)[0]
        row["id"] = len(self.listeners) + 1
        row["inode"] = 5000 + int(row["id"])
        row["netns"], row["port"], row["family"], row["reuseport"] = NETNS, 80, 4, reuseport
        row["address"][10:] = (0xFF, 0xFF, 127, 0, 0, 1)
        row["backlog"], row["queue_max"], row["drops"] = backlog, queue_max, drops
        row["listened_ns"] = self.start_ns + listened_ms * MS if listened_ms else 0
        self.listeners.append(row)
        for pid in owners:
            self.owners.append((NETNS, int(row["inode"]), pid, 7))
        return int(row["id"])

    def worker(
        self,
        *,
        pid: int,
        tid: int = 0,
        parent: int = 1,
        comm: str = "worker",
        waits: int = 100,
        wakeups: int | None = None,
        last_wait: int = EPOLL_WAIT,
        load: float | None = None,
        stall_ms: float = 0,
        stalls: int = 1,
        stall_end_ms: float = 1000,
        away_ms: float = 0,
        wasted: int = 0,
        empty: int = 0,
        reads_eagain: int = 0,
        cpu: float | None = None,
        cpu_wait: float = 0,
        last_cpu: int = 0,
        flags: int = int(WorkerFlag.IN_WAIT),
    ) -> int:
        row = np.zeros(1, WORKER)[0]
        row["id"] = len(self.workers) + 1
        row["pid"], row["tid"], row["parent_pid"] = pid, tid or pid, parent
        row["comm"][: len(comm)] = list(comm.encode())
        row["first_seen_ns"] = row["start_ns"] = self.start_ns
        row["waits"], row["last_wait"] = waits, last_wait
        row["wakeups"] = waits if wakeups is None else wakeups
        row["wakeups_spurious"], row["accepts_eagain"], row["reads_eagain"] = wasted, empty, reads_eagain
        row["flags"] = flags
        if load is not None:
            row["busy_ns"] = load * (self.end_ns - self.start_ns)
            self._explicit.add(int(row["id"]))
        if stall_ms:
            row["stall_max_ns"] = stall_ms * MS
            row["stall_max_at_ns"] = self.start_ns + stall_end_ms * MS
            row["stall"][bucket_of(int(stall_ms * MS))] += stalls
        if away_ms:
            row["flags"] = 0
            row["wait_exit_ns"] = self.end_ns - away_ms * MS
        if cpu is not None:
            whole = self.end_ns - self.start_ns
            self.cpu[int(row["id"])] = (round(cpu * whole), round(cpu_wait * whole), last_cpu)
        self.workers.append(row)
        return int(row["id"])

    def serve(
        self,
        number: int,
        listener: int,
        acceptor: int,
        *,
        reader: int = 0,
        writer: int = 0,
        queue_ms: float = 0.05,
        data_ms: float = 0.05,
        service_ms: float = 0.2,
        reads: int = 1,
        read_bytes: int = 100,
        write_bytes: int = 1000,
        is_open: bool = False,
        first_data_ms: float = 0.1,
        from_ms: float = 0,
        until_ms: float = 0,
        cpus: tuple[int, int] = (0, 0),
        remote_port: int = 0,
    ) -> None:
        """``number`` connections, evenly over the time, each accepted, read and answered as given."""
        reader = reader or acceptor
        writer = writer or reader
        begin, end = self.start_ns + from_ms * MS, self.start_ns + until_ms * MS if until_ms else self.end_ns
        step = max((end - begin) * 0.95 / max(number, 1), 1)
        for index in range(number):
            row = self._connection(listener, int(begin + index * step), remote_port)
            accepted = int(row["established_ns"] + queue_ms * MS)
            row["accepted_ns"], row["acceptor"] = accepted, acceptor
            row["first_data_ns"] = accepted + first_data_ms * MS
            row["first_read_ns"] = row["first_data_ns"] + data_ms * MS
            row["data_wait_max_ns"] = data_ms * MS
            row["first_write_ns"] = row["first_read_ns"] + service_ms * MS
            row["touched_ns"] = row["first_write_ns"]
            row["accepted_cpu"], row["first_read_cpu"] = cpus
            row["io"][0] = (reads, reads * read_bytes, 0, 0, reader)
            if writer == reader:
                row["io"][0]["writes"], row["io"][0]["bytes_written"] = reads, reads * write_bytes
            else:
                row["io"][1] = (0, 0, reads, reads * write_bytes, writer)
            if not is_open:
                row["ending_ns"] = row["closed_ns"] = row["touched_ns"]
                row["flags"] = int(ConnectionFlag.CLOSED)
            self.connections.append(row)
        a, r, w = (self.workers[worker - 1] for worker in (acceptor, reader, writer))
        a["accepts"] += number
        a["queue_wait"][bucket_of(int(queue_ms * MS))] += number
        r["reads"] += number * reads
        r["bytes_read"] += number * reads * read_bytes
        r["data_wait"][bucket_of(int(data_ms * MS))] += number * reads
        w["writes"] += number * reads
        w["bytes_written"] += number * reads * write_bytes
        w["answer"][bucket_of(int(service_ms * MS))] += number * reads
        for row in (a, r):
            row["waits"] += number
            row["wakeups"] += number
        if reader not in self._explicit:
            r["busy_ns"] += number * reads * service_ms * MS
        self.listeners[listener - 1]["accepted"] += number

    def wait_unaccepted(self, number: int, listener: int, since_ms: float) -> None:
        """``number`` connections that nobody has accepted, ``since_ms`` before the end."""
        for _ in range(number):
            row = self._connection(listener, int(self.end_ns - since_ms * MS), 0)
            row["touched_ns"] = row["established_ns"]
            self.connections.append(row)

    def frame(self) -> Frame:
        queues = np.zeros(len(self.listeners), QUEUE)
        for queue, row in zip(queues, self.listeners, strict=True):
            for name in ("netns", "inode", "address", "port", "family", "backlog", "drops"):
                queue[name] = row[name]
            queue["syn_queue"] = self.syn_queue
        threads = [
            (int(row["pid"]), int(row["tid"]), *self.cpu.get(int(row["id"]), (int(row["busy_ns"]), 0, 0)))
            for row in self.workers
        ]
        before = [(pid, tid, 0, 0, 0) for pid, tid, *_ in threads]
        state = State()
        state.apply(Batch(self.start_ns, threads=np.array(before, THREAD_CPU)))
        state.apply(
            Batch(
                self.end_ns,
                connections=_stack(self.connections, CONNECTION),
                io_overflow=np.array(self.io_overflow, IO_OVERFLOW),
                workers=_stack(self.workers, WORKER),
                listeners=_stack(self.listeners, LISTENER),
                owners=np.array(self.owners, OWNER),
                queues=queues,
                threads=np.array(threads, THREAD_CPU),
                hosts=(
                    HostCounters(NETNS, sum(int(row["drops"]) for row in self.listeners), 0, self.somaxconn),
                ),
                final=True,
            )
        )
        signals = tuple(AttachedSignal(name, "", "left out") for name in self.untraced)
        meta = Meta("host", "6.18", "0", "port 80", "", self.cpus, self.start_ns, 0, signals)
        return analyse(meta, state.snapshot())

    def findings(self, **limits: Any) -> tuple[Finding, ...]:
        return detect_findings(self.frame(), Thresholds(**limits))

    def _connection(self, listener: int, established_ns: int, remote_port: int) -> Any:
        row = np.zeros(1, CONNECTION)[0]
        number = len(self.connections) + 1
        row["id"], row["listener"], row["established_ns"] = number, listener, established_ns
        row["local_port"], row["remote_port"], row["family"] = 80, remote_port or 1024 + number % 60000, 4
        row["local"][10:] = row["remote"][10:] = (0xFF, 0xFF, 127, 0, 0, 1)
        self.listeners[listener - 1]["established"] += 1
        return row


def _stack(rows: list[Any], dtype: np.dtype[Any]) -> Any:
    table = np.zeros(len(rows), dtype)
    for index, row in enumerate(rows):
        table[index] = row
    return table


@pytest.fixture
def world() -> type[World]:
    return World
