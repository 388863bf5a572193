"""Connections in the JSON report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sockscope import formatting
from sockscope.analysis.exactness import REASONS
from sockscope.analysis.signal_requirements import is_traced
from sockscope.analysis.slow_connections import get_waits, largest
from sockscope.model.connection_io import is_exact
from sockscope.model.snapshot import Snapshot, Worker
from sockscope.records.layout import ConnectionEnd, ConnectionFlag

#: Connections that a report lists by default: a million would make a document of 600 MB.
LISTED = 10_000


def plain_connections(
    snapshot: Snapshot, workers: dict[int, Worker], most: int | None
) -> Iterator[dict[str, Any]]:
    """Yield connections as plain values, in the order they were seen.

    :param most: how many, those that waited longest; None yields all
    """
    records = snapshot.connections
    if most is not None and len(records) > most:
        records = records[np.sort(largest(np.sum(get_waits(records), axis=0), most))]
    connection_io = snapshot.connection_io
    starts = np.searchsorted(connection_io["connection"], records["id"], side="left")
    ends = np.searchsorted(connection_io["connection"], records["id"], side="right")
    inodes = {listener.id: listener.inode for listener in snapshot.listeners}
    exact = is_exact(records)
    for index, record in enumerate(records):
        mine = connection_io[starts[index] : ends[index]]
        established, accepted = int(record["established_ns"]), int(record["accepted_ns"])
        first_data, first_read = int(record["first_data_ns"]), int(record["first_read_ns"])
        flags = int(record["flags"])
        yield {
            "local": formatting.endpoint(record["local"].tobytes(), int(record["local_port"])),
            "remote": formatting.endpoint(record["remote"].tobytes(), int(record["remote_port"])),
            "listener": inodes.get(int(record["listener"])),
            "acceptor": thread(workers, int(record["acceptor"])),
            "readers": _threads(workers, mine, "reads", "bytes_read")
            if is_traced(snapshot, "readers")
            else None,
            "writers": _threads(workers, mine, "writes", "bytes_written")
            if is_traced(snapshot, "writers")
            else None,
            "queue_wait_ns": accepted - established if established and accepted else None,
            "first_read_wait_ns": max(first_read - first_data, 0) if first_data and first_read else None,
            "data_wait_max_ns": int(record["data_wait_max_ns"]) or None,
            "established_ns": established or None,
            "accepted_ns": accepted or None,
            "first_data_ns": first_data or None,
            "first_read_ns": first_read or None,
            "first_write_ns": int(record["first_write_ns"]) or None,
            "closed_ns": int(record["closed_ns"]) or None,
            "ended": ended(record),
            "answered": None
            if flags & ConnectionFlag.OPEN_BEFORE and not record["first_write_ns"]
            else bool(record["first_write_ns"]),
            "closed_by": thread(workers, int(record["closed_by"])),
            "unread_bytes": int(record["unread_bytes"]),
            "close_wait_ns": int(record["close_wait_ns"]) or None,
            "mptcp": bool(flags & ConnectionFlag.MPTCP),
            "exact": bool(exact[index]),
            "inexact": [words for flag, words in REASONS if flags & flag],
        }


def ended(record: Any) -> str:
    """Return how a connection ended: ``open``, ``unknown`` when its end was not seen, or a ConnectionEnd."""
    if not int(record["flags"]) & ConnectionFlag.CLOSED:
        return "open"
    return ConnectionEnd(int(record["ended"])).name.lower() if record["ended"] else "unknown"


def _threads(workers: dict[int, Worker], connection_io: Any, verb: str, octets: str) -> list[dict[str, Any]]:
    return [
        {**thread_or_nulls(workers, int(row["worker"])), verb: int(row[verb]), "bytes": int(row[octets])}
        for row in connection_io
        if row[verb]
    ]


def thread_or_nulls(workers: dict[int, Worker], number: int) -> dict[str, Any]:
    """Return a thread by its worker id; values are None if it is unknown."""
    worker = workers.get(number)
    return (
        {"pid": worker.pid, "tid": worker.tid, "comm": worker.comm}
        if worker
        else {"pid": None, "tid": None, "comm": ""}
    )


def thread(workers: dict[int, Worker], number: int) -> dict[str, Any] | None:
    """Return a thread by its worker id; None if there is none."""
    return thread_or_nulls(workers, number) if number in workers else None
