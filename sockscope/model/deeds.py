"""Who did what on which connection: one row for each thread on each connection."""

from __future__ import annotations

from typing import Any

import numpy as np

from sockscope.records.batch import MORE_IO
from sockscope.records.layout import INLINE_IO, ConnectionFlag

Records = np.ndarray[Any, np.dtype[Any]]

#: A thread's deeds on a connection: the same columns, wherever the kernel kept them.
DEED = MORE_IO

#: A connection's part in its server's way of working.  ``reader`` and ``writer`` are the threads
#: that read and wrote most often (0: nobody did); ``readers`` and ``writers`` count them all.
FLOW = np.dtype(
    [
        ("listener", "<u4"),
        ("acceptor", "<u4"),
        ("reader", "<u4"),
        ("writer", "<u4"),
        ("readers", "<u2"),
        ("writers", "<u2"),
    ]
)
_FLOW_PAIRS = (("listener", "acceptor"), ("reader", "writer"), ("readers", "writers"))

#: What one thread did on all connections of one listener.
PART = np.dtype(
    [
        ("listener", "<u4"),
        ("worker", "<u4"),
        ("reads", "<u8"),
        ("bytes_read", "<u8"),
        ("writes", "<u8"),
        ("bytes_written", "<u8"),
    ]
)


def deeds_of(connections: Records, more_io: Records) -> Records:
    """All deeds on the given connections, in the order of the connections' ids.

    :param connections: CONNECTION records
    :param more_io: MORE_IO rows; those of other connections are left out
    """
    parts = []
    for slot in range(INLINE_IO):
        io = connections["io"][:, slot]
        used = io["worker"] > 0
        rows = np.empty(int(used.sum()), DEED)
        rows["connection"] = connections["id"][used]
        for name in ("worker", "reads", "bytes_read", "writes", "bytes_written"):
            rows[name] = io[name][used]
        parts.append(rows)
    if len(more_io):
        parts.append(more_io[np.isin(more_io["connection"], connections["id"])])
    return by_connection(np.concatenate(parts))


def by_connection(deeds: Records) -> Records:
    """In the order of the connections' ids; what is in order already is not copied."""
    numbers = deeds["connection"]
    if (numbers[1:] >= numbers[:-1]).all():
        return deeds
    return deeds[np.argsort(numbers, kind="stable")]


def flows_of(connections: Records, deeds: Records) -> Records:
    """For each connection, in the order given, its FLOW."""
    flows = np.zeros(len(connections), FLOW)
    flows["listener"], flows["acceptor"] = connections["listener"], connections["acceptor"]
    order = np.argsort(connections["id"], kind="stable")
    ids = connections["id"][order]
    for verb, main, number in (("reads", "reader", "readers"), ("writes", "writer", "writers")):
        did = deeds[deeds[verb] > 0]
        if not len(did):
            continue
        did = did[np.lexsort((-did[verb].astype(np.int64), did["connection"]))]
        unique, first, counts = np.unique(did["connection"], return_index=True, return_counts=True)
        where = order[np.searchsorted(ids, unique)]
        flows[main][where] = did["worker"][first]
        flows[number][where] = np.minimum(counts, 65535)
    return flows


def parts_of(connections: Records, deeds: Records) -> Records:
    """Deeds added up by listener and thread, as PART rows.

    :param deeds: of these connections
    """
    order = np.argsort(connections["id"], kind="stable")
    owner = (
        order[np.searchsorted(connections["id"], deeds["connection"], sorter=order)]
        if len(deeds)
        else order[:0]
    )
    rows = np.zeros(len(deeds), PART)
    rows["listener"] = connections["listener"][owner]
    for name in ("worker", "reads", "bytes_read", "writes", "bytes_written"):
        rows[name] = deeds[name]
    return added_up(rows)


def added_up(parts: Records) -> Records:
    """PART rows with those of the same listener and thread put together."""
    if not len(parts):
        return parts
    order, starts = _equal_ones(_pair(parts, "listener", "worker"))
    first = parts[order[starts]]
    total = np.zeros(len(first), PART)
    total["listener"], total["worker"] = first["listener"], first["worker"]
    for name in ("reads", "bytes_read", "writes", "bytes_written"):
        total[name] = np.add.reduceat(parts[name][order], starts)
    return total


def tally(flows: Records) -> tuple[Records, Records]:
    """Equal flows put together: (distinct flows, how many of each)."""
    if not len(flows):
        return flows, np.empty(0, np.int64)
    keys = [_pair(flows, *names) for names in _FLOW_PAIRS]
    order, starts = _equal_ones(*keys)
    return flows[order[starts]], np.diff(starts, append=len(flows))


def _pair(rows: Records, high: str, low: str) -> Records:
    """Two fields as one number: records themselves are slow to sort."""
    pair: Records = rows[high].astype(np.uint64) << np.uint64(32) | rows[low]
    return pair


def _equal_ones(*keys: Records) -> tuple[Records, Records]:
    """An order that puts rows with equal keys side by side, and where in it each run of them begins."""
    order = np.lexsort(keys[::-1])
    differs = np.zeros(len(order), bool)
    differs[0] = True
    for key in keys:
        differs[1:] |= np.diff(key[order]) != 0
    return order, np.flatnonzero(differs)


def is_exact(connections: Records) -> Any:
    """Whether everything about each connection was seen, from its birth on; a boolean array."""
    inexact = (
        ConnectionFlag.OPEN_BEFORE
        | ConnectionFlag.LATE
        | ConnectionFlag.IO_LOST
        | ConnectionFlag.LISTENER_GUESSED
        | ConnectionFlag.UNACCEPTED_BEFORE
        | ConnectionFlag.ACCEPT_GUESSED
        | ConnectionFlag.BEST_EFFORT
    )
    return (connections["flags"] & int(inexact)) == 0
