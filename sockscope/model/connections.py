"""The table of connections: open ones as they change, closed ones as long as they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sockscope.model.buffer_pool import ReusedArray
from sockscope.model.connection_ends import END_COUNT, count_ends, merge_ends
from sockscope.model.connection_io import (
    LISTENER_IO,
    ROLES,
    count_equal,
    get_connection_io,
    get_roles,
    merge_listener_io,
    sort_by_connection,
    sum_by_listener,
)
from sockscope.model.cow_table import CowTable
from sockscope.records.batch import IO_OVERFLOW
from sockscope.records.layout import CONNECTION, ConnectionFlag
from sockscope.records.structured import concat, take

Records = np.ndarray[Any, np.dtype[Any]]


class Connections:
    """Fed with records, newest last.

    :param keep: how many closed connections to keep (the latest); None keeps all
    """

    def __init__(self, keep: int | None) -> None:
        self._keep = keep
        self._open = CowTable(CONNECTION)
        self._closed: list[Records] = []
        self._kept = 0
        self._more_io = np.empty(0, IO_OVERFLOW)
        self._roles: dict[bytes, int] = {}
        self._listener_io = np.empty(0, LISTENER_IO)
        self._open_deeds: Records | None = None
        self._shown: Records | None = None
        self._shown_deeds = ReusedArray()
        self._ends = np.empty(0, END_COUNT)
        self.closed_total = 0

    def apply(self, records: Records, io_overflow: Records) -> None:
        """Take in what changed: a later record of a connection replaces the earlier one."""
        if len(io_overflow):
            self._open_deeds = None
            both = np.concatenate([self._more_io, io_overflow])
            keys = both[["connection", "worker"]]
            _, last = np.unique(keys[::-1], return_index=True)
            self._more_io = both[len(both) - 1 - last]
        if not len(records):
            return
        is_closed = (records["flags"] & int(ConnectionFlag.CLOSED)) != 0
        ids = np.ascontiguousarray(records["id"])
        changed = np.flatnonzero(~is_closed)
        if len(changed) < len(records):
            changed = changed[~np.isin(ids[changed], ids[is_closed])]
        if (ids[changed[1:]] <= ids[changed[:-1]]).any():
            _, last = np.unique(ids[changed[::-1]], return_index=True)
            changed = changed[len(changed) - 1 - last]
        self._open_deeds = self._shown = None
        self._update(records.take(changed), ids[is_closed])
        if is_closed.any():
            self._close(take(records, is_closed))

    def _update(self, changed: Records, closed: Records) -> None:
        """Open ones stay in the order of their ids: so those that changed are found and written over,
        and of a million others none is moved.

        :param changed: in the order of their ids
        :param closed: ids
        """
        ids = np.ascontiguousarray(self._open.all["id"])
        where = np.searchsorted(ids, changed["id"])
        known = where < len(ids)
        known[known] = ids[where[known]] == changed["id"][known]
        gone = np.isin(ids, closed) if len(closed) else np.zeros(len(ids), bool)
        some_gone = bool(gone.any())
        if np.count_nonzero(known) + np.count_nonzero(gone) == len(ids):
            self._open.set(changed)  # under full load nothing stands still
            return
        if some_gone or not known.all():
            left = np.flatnonzero(~gone)
            self._open.select(left, take(changed, ~known))
            if some_gone:
                where = np.searchsorted(left, where)
        self._open.write(where[known], take(changed, known))
        ids = self._open.all["id"]
        if (ids[1:] < ids[:-1]).any():
            self._open.set(self._open.all.take(np.argsort(ids, kind="stable")))

    def open(self) -> Records:
        return self._open.all

    def all(self) -> Records:
        """Closed ones that are kept, oldest first, then the open ones."""
        if self._shown is None:
            self._closed = [concat(self._closed)] if len(self._closed) > 1 else self._closed
            closed = self._closed[0] if self._closed else self._open.all[:0]
            self._shown = self._open.after(closed) if len(self._open.all) else closed
        return self._shown

    def connection_io(self, connections: Records) -> Records:
        return get_connection_io(connections, self._more_io)

    def all_connection_io(self) -> Records:
        """The deeds on all that :meth:`all` returns, in the order of the connections' ids."""
        if not self._closed:  # never written to again: what changes is found anew
            return self._open_connection_io()
        closed = (self.connection_io(records) for records in self._closed)
        return sort_by_connection(self._shown_deeds.concatenated([*closed, self._open_connection_io()]))

    def _open_connection_io(self) -> Records:
        # of a million open connections these take long to find, and three are asked for them
        if self._open_deeds is None:
            self._open_deeds = self.connection_io(self._open.all)
        return self._open_deeds

    def roles(self) -> tuple[Records, Records]:
        """(distinct flows, how many) over all connections so far, kept or not."""
        counts = dict(self._roles)
        roles, numbers = count_equal(get_roles(self._open.all, self._open_connection_io()))
        for flow, number in zip(roles, numbers, strict=True):
            key = flow.tobytes()
            counts[key] = counts.get(key, 0) + int(number)
        distinct = np.frombuffer(b"".join(counts), ROLES)
        return distinct, np.fromiter(counts.values(), np.int64, len(counts))

    def listener_io(self) -> Records:
        """What each thread did on each listener's connections, kept or not: PART rows."""
        return merge_listener_io(
            np.concatenate([self._listener_io, sum_by_listener(self._open.all, self._open_connection_io())])
        )

    def ends(self) -> Records:
        """How closed connections ended, kept or not: END_COUNT rows."""
        return self._ends

    def named(self) -> tuple[frozenset[int], frozenset[int]]:
        """The threads and the listeners that the kept connections name, by id."""
        told = [*self._closed, self._open.all]
        threads = [self._more_io["worker"], *(records["acceptor"] for records in told)]
        threads += [records["io"]["worker"].ravel() for records in told]
        listeners = [records["listener"] for records in told]
        return _ids(threads), _ids(listeners)

    def rename(self, threads: Mapping[int, int], listeners: Mapping[int, int]) -> None:
        """In what is known of connections that are not kept: id → the id to be told instead."""
        if self._roles:
            roles, counts = np.frombuffer(b"".join(self._roles), ROLES).copy(), list(self._roles.values())
            for name in ("acceptor", "reader", "writer"):
                roles[name] = _renamed(roles[name], threads)
            roles["listener"] = _renamed(roles["listener"], listeners)
            self._roles = {}
            for flow, count in zip(roles, counts, strict=True):
                self._count(flow, count)
        parts = self._listener_io.copy()
        parts["worker"] = _renamed(parts["worker"], threads)
        parts["listener"] = _renamed(parts["listener"], listeners)
        self._listener_io = merge_listener_io(parts)
        ends = self._ends.copy()
        ends["listener"] = _renamed(ends["listener"], listeners)
        self._ends = merge_ends(ends)

    def forget(self, listeners: Sequence[int]) -> None:
        """All connections of these listeners; but not that there were any."""
        if not listeners:
            return
        self._shown = None
        if self._roles:
            roles = np.frombuffer(b"".join(self._roles), ROLES)
            left = ~np.isin(roles["listener"], listeners)
            counts = list(self._roles.values())
            self._roles = {roles[at].tobytes(): counts[at] for at in np.flatnonzero(left)}
        self._listener_io = self._listener_io[~np.isin(self._listener_io["listener"], listeners)]
        self._ends = self._ends[~np.isin(self._ends["listener"], listeners)]
        gone = [np.isin(records["listener"], listeners) for records in self._closed]
        ids = [records["id"][mask] for records, mask in zip(self._closed, gone, strict=True)]
        self._closed = [take(records, ~mask) for records, mask in zip(self._closed, gone, strict=True)]
        self._kept = sum(map(len, self._closed))
        if len(self._more_io) and ids:
            self._more_io = self._more_io[~np.isin(self._more_io["connection"], np.concatenate(ids))]

    def _count(self, flow: Any, number: int) -> None:
        key = flow.tobytes()
        self._roles[key] = self._roles.get(key, 0) + number

    def _close(self, closed: Records) -> None:
        self.closed_total += len(closed)
        counted = count_ends(closed, int(ConnectionFlag.OPEN_BEFORE))
        self._ends = merge_ends(np.concatenate([self._ends, counted]))
        connection_io = self.connection_io(closed)
        self._listener_io = merge_listener_io(
            np.concatenate([self._listener_io, sum_by_listener(closed, connection_io)])
        )
        roles, numbers = count_equal(get_roles(closed, connection_io))
        for flow, number in zip(roles, numbers, strict=True):
            self._count(flow, int(number))
        self._closed.append(closed)
        self._kept += len(closed)
        while self._keep is not None and self._kept > self._keep:
            oldest = self._closed.pop(0)
            cut = min(self._kept - self._keep, len(oldest))
            self._kept -= cut
            if cut < len(oldest):
                self._closed.insert(0, oldest[cut:])
            if len(self._more_io):
                self._more_io = self._more_io[~np.isin(self._more_io["connection"], oldest["id"][:cut])]


def _ids(parts: Sequence[Records]) -> frozenset[int]:
    return frozenset(np.unique(np.concatenate(parts)).tolist())


def _renamed(ids: Records, names: Mapping[int, int]) -> Records:
    if not names:
        return ids
    old = np.array(sorted(names), ids.dtype)
    new = np.array([names[number] for number in sorted(names)], ids.dtype)
    at = np.minimum(np.searchsorted(old, ids), len(old) - 1)
    return np.where(old[at] == ids, new[at], ids)
