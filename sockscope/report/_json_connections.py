"""Connections in the JSON report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sockscope import formatting
from sockscope.analysis.signal_requirements import is_traced
from sockscope.analysis.slow_connections import get_waits, largest
from sockscope.model.connection_io import is_exact
from sockscope.model.snapshot import Snapshot, Worker
from sockscope.records.layout import ConnectionFlag

#: How many a report lists unless told otherwise: a million would make a document of 600 MB.
LISTED = 10_000

#: Flag of a connection's record → why it is not exact, in words.
WHY_INEXACT = (
    (ConnectionFlag.OPEN_BEFORE, "open before tracing began"),
    (ConnectionFlag.UNACCEPTED_BEFORE, "in the accept queue before tracing began"),
    (ConnectionFlag.LATE, "its listener was learnt when it was accepted"),
    (ConnectionFlag.IO_LOST, "more threads touched it than could be recorded"),
    (ConnectionFlag.ACCEPT_GUESSED, "its accept was not seen: taken to be by who first read or wrote"),
    (ConnectionFlag.LISTENER_GUESSED, "several listeners on its address: which one is not known"),
    (ConnectionFlag.BEST_EFFORT, "something of it went unseen, or a signal came by a way that can err"),
)


def connections_of(
    snapshot: Snapshot, workers: dict[int, Worker], most: int | None
) -> Iterator[dict[str, Any]]:
    """Each connection as plain values, in the order they were seen.

    :param most: how many, those that waited longest; None: all
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
            "readers": _did(workers, mine, "reads", "bytes_read") if is_traced(snapshot, "readers") else None,
            "writers": _did(workers, mine, "writes", "bytes_written")
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
            "exact": bool(exact[index]),
            "inexact": [words for flag, words in WHY_INEXACT if flags & flag],
        }


def _did(workers: dict[int, Worker], connection_io: Any, verb: str, octets: str) -> list[dict[str, Any]]:
    return [
        {**who(workers, int(deed["worker"])), verb: int(deed[verb]), "bytes": int(deed[octets])}
        for deed in connection_io
        if deed[verb]
    ]


def who(workers: dict[int, Worker], number: int) -> dict[str, Any]:
    """A thread by its worker's id; nulls when it is not known."""
    worker = workers.get(number)
    return (
        {"pid": worker.pid, "tid": worker.tid, "comm": worker.comm}
        if worker
        else {"pid": None, "tid": None, "comm": ""}
    )


def thread(workers: dict[int, Worker], number: int) -> dict[str, Any] | None:
    """A thread by its worker's id; None when there is none."""
    return who(workers, number) if number in workers else None
