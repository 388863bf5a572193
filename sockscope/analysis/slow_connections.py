"""The connections that waited longest for the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sockscope import formatting
from sockscope.analysis.server import Server
from sockscope.analysis.signal_requirements import is_traced
from sockscope.analysis.work_distribution import get_connections, main_readers
from sockscope.model.snapshot import Snapshot

Records = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class SlowConnection:
    """One connection: queue wait, data wait of the first read, and time to the first reply, in ns."""

    remote: str
    acceptor: str
    reader: str
    queue_ns: int
    data_ns: int
    service_ns: int

    @property
    def total_ns(self) -> int:
        return self.queue_ns + self.data_ns + self.service_ns

    @property
    def words(self) -> str:
        """Return ``queue 5.58 s, data 148 ms, reply 253 ms``: the steps that took time."""
        steps = (("queue", self.queue_ns), ("data", self.data_ns), ("reply", self.service_ns))
        return ", ".join(f"{what} {formatting.duration(ns)}" for what, ns in steps if ns)

    @property
    def path(self) -> str:
        """Return the acceptor, and the reader if it is another thread."""
        read = "" if self.reader in ("", self.acceptor) else f", read by {self.reader}"
        return f"accepted by {self.acceptor}{read}"


def find_slow_connections(snapshot: Snapshot, server: Server, number: int) -> tuple[SlowConnection, ...]:
    """Return the ``number`` slowest connections, slowest first; time spent by the client does not count."""
    records = get_connections(snapshot, server.group)
    queue, data, service = get_waits(records)
    total = queue + data + service
    order = largest(total, number)
    order = order[total[order] > 0]
    readers = main_readers(snapshot, records[order])
    return tuple(
        SlowConnection(
            formatting.endpoint(records["remote"][index].tobytes(), int(records["remote_port"][index])),
            thread_name(snapshot, int(records["acceptor"][index])),
            thread_name(snapshot, int(reader)) if is_traced(snapshot, "readers") else "",
            int(queue[index]),
            int(data[index]),
            int(service[index]),
        )
        for index, reader in zip(order, readers, strict=True)
    )


def get_waits(records: Records) -> tuple[Records, Records, Records]:
    """Return queue wait, first data wait and first reply time of each connection, in ns."""
    accepted, first_data = records["accepted_ns"], records["first_data_ns"]
    # data that arrived in the queue waits for a reader only from accept on
    readable = np.where((accepted > 0) & (first_data > 0), np.maximum(first_data, accepted), 0)
    return (
        elapsed(records["established_ns"], accepted),
        elapsed(readable, records["first_read_ns"]),
        elapsed(records["first_read_ns"], records["first_write_ns"]),
    )


def largest(total: Records, number: int) -> Records:
    """Return the indices of the ``number`` largest values, largest first."""
    order = np.argpartition(-total, number)[:number] if len(total) > number else np.arange(len(total))
    return order[np.argsort(-total[order], kind="stable")]


def elapsed(earlier: Records, later: Records) -> Records:
    """Return ns from one time to a later one; 0 where either has not happened."""
    both = (earlier > 0) & (later > earlier)
    return np.where(both, later.astype(np.int64) - earlier.astype(np.int64), 0)


def thread_name(snapshot: Snapshot, number: int) -> str:
    """Return the name and id of a thread."""
    worker = snapshot.workers.get(number)
    return f"{worker.comm} {worker.number}" if worker else "unknown thread"
