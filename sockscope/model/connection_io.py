"""Who did what on which connection: one row for each thread on each connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sockscope.records.batch import IO_OVERFLOW
from sockscope.records.layout import INLINE_IO, ConnectionFlag
from sockscope.records.structured import concat

Records = np.ndarray[Any, np.dtype[Any]]

#: A thread's deeds on a connection: the same columns, wherever the kernel kept them.
CONNECTION_IO = IO_OVERFLOW

#: A connection's part in its server's way of working.  ``reader`` and ``writer`` are the threads
#: that read and wrote most often (0: nobody did); ``readers`` and ``writers`` count them all.
ROLES = np.dtype(
    [
        ("listener", "<u4"),
        ("acceptor", "<u4"),
        ("reader", "<u4"),
        ("writer", "<u4"),
        ("readers", "<u2"),
        ("writers", "<u2"),
    ]
)

#: What one thread did on all connections of one listener.
LISTENER_IO = np.dtype(
    [
        ("listener", "<u4"),
        ("worker", "<u4"),
        ("reads", "<u8"),
        ("bytes_read", "<u8"),
        ("writes", "<u8"),
        ("bytes_written", "<u8"),
    ]
)


#: So many records of a connection stay in a CPU's cache while one field after another is taken from them.
BLOCK = 2048
_SUMS = ("reads", "bytes_read", "writes", "bytes_written")
#: Pairs of listener and thread that are counted one by one, beside as many as there are deeds.
_FEW = 65536
#: A double holds every whole number up to here, and so each sum on the way there.
_EXACT = 2.0**52


def get_connection_io(connections: Records, io_overflow: Records) -> Records:
    """All deeds on the given connections, in the order of the connections' ids.

    :param connections: CONNECTION records
    :param io_overflow: IO_OVERFLOW rows; those of other connections are left out
    """
    parts = [_inline_io(connections, slot) for slot in range(INLINE_IO)]
    if len(io_overflow):
        parts.append(io_overflow[np.isin(io_overflow["connection"], connections["id"])])
    some = [rows for rows in parts if len(rows)]
    return sort_by_connection(some[0] if len(some) == 1 else concat(parts))


def _inline_io(connections: Records, slot: int) -> Records:
    """The deeds that stand in the records themselves, block by block: each is looked at once for each field."""
    rows, filled = np.empty(len(connections), CONNECTION_IO), 0
    for begin in range(0, len(connections), BLOCK):
        block = connections[begin : begin + BLOCK]
        io, ids = block["io"][:, slot], block["id"]
        used = io["worker"] > 0
        if not used.all():
            io, ids = io[used], ids[used]
        part = rows[filled : filled + len(io)]
        part["connection"] = ids
        for name in ("worker", *_SUMS):
            part[name] = io[name]
        filled += len(io)
    return rows[:filled]


def sort_by_connection(connection_io: Records) -> Records:
    """In the order of the connections' ids; what is in order already is not copied."""
    numbers = connection_io["connection"]
    if (numbers[1:] >= numbers[:-1]).all():
        return connection_io
    return connection_io.take(np.argsort(numbers, kind="stable"))


def get_roles(connections: Records, connection_io: Records) -> Records:
    """For each connection, in the order given, its FLOW."""
    roles = np.zeros(len(connections), ROLES)
    roles["listener"], roles["acceptor"] = connections["listener"], connections["acceptor"]
    if not len(connection_io):
        return roles
    place = _index_of(connections, connection_io)
    for verb, main, number in (("reads", "reader", "readers"), ("writes", "writer", "writers")):
        did = np.flatnonzero(connection_io[verb])
        where = place[did]
        starts = _runs(where)
        counts = np.diff(starts, append=len(where))
        several = np.repeat(counts > 1, counts)
        if several.any():
            # most often one thread does it all; only where several did they need putting in order
            some = did[several]
            order = np.lexsort(
                (-connection_io[verb][some].astype(np.int64), connection_io["connection"][some])
            )
            did[several] = some[order]
        first = where[starts]
        roles[main][first] = connection_io["worker"][did[starts]]
        roles[number][first] = np.minimum(counts, 65535)
    return roles


def _index_of(connections: Records, connection_io: Records) -> Records:
    """For each deed, the index of its connection; deeds are in the order of the connections' ids."""
    ids = np.ascontiguousarray(connections["id"])
    order = None if (ids[1:] >= ids[:-1]).all() else np.argsort(ids, kind="stable")
    wanted = connection_io["connection"]
    if order is None and len(wanted) == len(ids) and (wanted == ids).all():
        return np.arange(len(ids))
    found: Records = np.searchsorted(ids, wanted, sorter=order)
    return found if order is None else order[found]


def _runs(values: Records) -> Records:
    """Where runs of equal values begin."""
    if not len(values):
        return np.empty(0, np.intp)
    return np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])


def sum_by_listener(connections: Records, connection_io: Records) -> Records:
    """Deeds added up by listener and thread, as PART rows.

    :param deeds: of these connections
    """
    listener = np.ascontiguousarray(connections["listener"])[_index_of(connections, connection_io)]
    counted = _sum_without_sorting(listener, connection_io)
    if counted is not None:
        return counted
    rows = np.zeros(len(connection_io), LISTENER_IO)
    rows["listener"] = listener
    for name in ("worker", *_SUMS):
        rows[name] = connection_io[name]
    return merge_listener_io(rows)


def _sum_without_sorting(listener: Records, connection_io: Records) -> Records | None:
    """The same without putting anything in order, where there are few listeners and threads.

    None where there are not, or where sums are so large that a double would not hold them exactly.
    """
    if not len(connection_io):
        return None
    worker = connection_io["worker"].astype(np.int64)
    width = int(worker.max()) + 1
    if (int(listener.max()) + 1) * width > _FEW + len(connection_io):
        return None
    pair = listener * np.int64(width) + worker
    present = np.flatnonzero(np.bincount(pair))
    rows = np.zeros(len(present), LISTENER_IO)
    rows["listener"], rows["worker"] = np.divmod(present, width)
    for name in _SUMS:
        column = np.ascontiguousarray(connection_io[name])
        if float(column.sum(dtype=np.float64)) >= _EXACT:
            return None
        rows[name] = np.bincount(pair, weights=column)[present]
    return rows


def merge_listener_io(parts: Records) -> Records:
    """PART rows with those of the same listener and thread put together."""
    if not len(parts):
        return parts
    order, starts = _group_equal(parts, ("listener", "worker"))
    first = parts[order[starts]]
    total = np.zeros(len(first), LISTENER_IO)
    total["listener"], total["worker"] = first["listener"], first["worker"]
    for name in _SUMS:
        total[name] = np.add.reduceat(parts[name][order], starts)
    return total


def count_equal(roles: Records) -> tuple[Records, Records]:
    """Equal flows put together: (distinct flows, how many of each)."""
    if not len(roles):
        return roles, np.empty(0, np.int64)
    order, starts = _group_equal(roles, ROLES.names or ())
    return roles[order[starts]], np.diff(starts, append=len(roles))


def _group_equal(rows: Records, names: Sequence[str]) -> tuple[Records, Records]:
    """An order that puts rows with equal fields side by side, and where in it each run of them begins.

    Records themselves are slow to sort, and so is field after field: the fields go into one number.
    """
    bits = [int(rows[name].max()).bit_length() for name in names]
    if sum(bits) > 64:
        order = np.lexsort([rows[name] for name in names])
        differs = [np.flatnonzero(np.diff(rows[name][order].astype(np.int64))) + 1 for name in names]
        return order, np.unique(np.concatenate([[0], *differs]))
    key: Records = np.zeros(len(rows), np.uint64)
    for name, width in zip(names, bits, strict=True):
        key = key << np.uint64(width) | rows[name]
    # numbers of 16 bits are sorted by counting
    order = np.argsort(key.astype(np.uint16) if sum(bits) <= 16 else key, kind="stable")
    return order, _runs(key[order])


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
