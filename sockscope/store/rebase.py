"""A stretch of a session, told as if tracing had begun with it.

Records count from the beginning of tracing.  A file of its own, one of several that a session is
cut into, shall count from its own beginning, or its shares would be those of hours that are not in
it.  So what had been counted before is taken off; and connections that were accepted before are told
like those that a tracer finds open when it starts.

Two things cannot be taken off, for only their maximum is kept: a thread's longest stall, when it lies
before the stretch (the longest in it is then told by the lower edge of its histogram's bucket), and a
connection's longest wait for its reader (0, until a longer one comes).
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from sockscope.records.batch import Batch, Cost, Health, Meta, Records
from sockscope.records.histogram import EDGES
from sockscope.records.layout import EVENT, ConnectionFlag, WorkerFlag
from sockscope.records.structured import take

Array = np.ndarray[Any, np.dtype[Any]]

_COUNTS = (
    "accepts", "accepts_eagain", "accepts_failed", "reads", "bytes_read", "reads_eagain", "eof_reads",
    "writes", "bytes_written", "waits", "wakeups", "wakeups_spurious", "read_turns", "deferred_replies",
    "queue_wait", "data_wait", "answer", "stall",
)  # fmt: skip
_OF_LISTENER = (
    "established",
    "accepted",
    "samples",
    "samples_several",
    "samples_changed",
    "waiters",
    "exclusive",
)
_IO = ("reads", "bytes_read", "writes", "bytes_written")
_BEFORE = ("established_ns", "accepted_ns", "first_data_ns", "first_read_ns", "first_write_ns")
_BEFORE_TOO = ("acceptor", "accepted_cpu", "established_cpu", "first_read_cpu")
_AWAY = int(WorkerFlag.IN_WAIT | WorkerFlag.ENDED)


class Rebaser:
    """What comes after ``base``, a batch that tells everything that is open (``whole``).

    :param meta: of the session
    :param offset_ns: the wall clock's distance from the monotonic clock, now
    """

    def __init__(self, meta: Meta, base: Batch, offset_ns: int) -> None:
        self.started_ns = base.time_ns
        self.meta = replace(meta, started_ns=base.time_ns, monotonic_offset_ns=offset_ns)
        self._connections = _Known(base.connections, ("id",))
        self._more_io = _Known(base.io_overflow, ("connection", "worker"))
        self._workers = _Known(base.workers, ("id",))
        self._listeners = _Known(base.listeners, ("id",))
        self._wakes = _Known(base.wakes, ("waker", "wakee"))
        self._waiting = _Known(base.waiting, ("listener", "worker"))
        self._accept_errors = _Known(base.accept_errors, ("listener", "worker", "error"))
        self._cpu = _Known(base.threads, ("pid", "tid"))
        self._health = base.health
        self._first = base

    def first(self) -> Batch:
        """What is there as the stretch begins."""
        base = self._first
        closed = (base.connections["flags"] & int(ConnectionFlag.CLOSED)) != 0
        begun = replace(
            base,
            connections=take(base.connections, ~closed),
            workers=base.workers[base.workers["ended_ns"] == 0],
            listeners=base.listeners[base.listeners["closed_ns"] == 0],
            events=np.empty(0, EVENT),
            final=False,
        )
        return self.of(begun)

    def of(self, batch: Batch) -> Batch:
        """``batch``, counted from the beginning of the stretch."""
        return replace(
            batch,
            connections=self._of_connections(batch.connections),
            io_overflow=_less(batch.io_overflow, self._more_io, _IO),
            workers=self._of_workers(batch.workers),
            listeners=self._of_listeners(batch.listeners),
            wakes=_less(batch.wakes, self._wakes, ("wakes", "after_read")),
            waiting=_less(batch.waiting, self._waiting, ("samples",)),
            accept_errors=self._of_accept_errors(batch.accept_errors),
            health=self._of_health(batch.health),
        )

    def _of_connections(self, records: Records) -> Records:
        at, base = self._connections.of(records)
        # a batch is stamped before it is read: some of those in it were accepted after its time
        known = at.copy()
        known[at] = base["accepted_ns"] > 0
        earlier = known | (records["accepted_ns"] > 0) & (records["accepted_ns"] < self.started_ns)
        if not earlier.any():
            return records
        records = records.copy()
        for name in (*_BEFORE, *_BEFORE_TOO):
            records[name][earlier] = 0
        records["flags"][earlier] |= int(ConnectionFlag.OPEN_BEFORE)
        then = base[known[at]]
        for name in _IO:
            # a slot is claimed once and for all: what it held belongs to the same thread
            records["io"][name][known] -= np.minimum(then["io"][name], records["io"][name][known])
        longest = records["data_wait_max_ns"]
        longest[known] = np.where(longest[known] > then["data_wait_max_ns"], longest[known], 0)
        return records

    def _of_workers(self, records: Records) -> Records:
        at, base = self._workers.of(records)
        if not at.any():
            return records
        records = records.copy()
        mine = records[at]
        for name in _COUNTS:
            mine[name] -= np.minimum(base[name], mine[name])
        away = (base["flags"] & _AWAY) == 0
        self._of_phase(mine, base, "busy_ns", "wait_exit_ns", away)
        self._of_phase(mine, base, "wait_ns", "wait_enter_ns", ~away)
        before = mine["stall_max_at_ns"] <= self.started_ns
        mine["stall_max_ns"][before] = _longest(mine["stall"][before])
        mine["stall_max_at_ns"][before] = 0
        known, spent = self._cpu.of(mine)
        mine["cpu_before_ns"][known] = np.maximum(spent["cpu_ns"], mine["cpu_before_ns"][known])
        records[at] = mine
        return records

    def _of_phase(self, mine: Records, base: Records, total: str, since: str, under_way: Array) -> None:
        """Time spent in a phase, of which one may have been under way when the stretch began."""
        begun = np.where(under_way & (base[since] > 0), base[since], self.started_ns)
        so_far = base[total] + (self.started_ns - np.minimum(begun, self.started_ns)).astype(np.uint64)
        mine[total] -= np.minimum(so_far, mine[total])
        still = (mine[since] > 0) & (mine[since] < self.started_ns)
        mine[since][still] = self.started_ns

    def _of_listeners(self, records: Records) -> Records:
        records = _less(records, self._listeners, _OF_LISTENER, keep=True)
        at, base = self._listeners.of(records)
        if at.any():
            same = records["queue_max"][at] == base["queue_max"]
            now = np.maximum(records["queue"][at], base["queue"])
            records["queue_max"][at] = np.where(same, now, records["queue_max"][at])
        return records

    def _of_accept_errors(self, records: Records) -> Records:
        records = _less(records, self._accept_errors, ("count",))
        # when the first of them was is not known if some were before
        records["first_ns"] = np.maximum(records["first_ns"], self.started_ns)
        return records

    def _of_health(self, health: Health) -> Health:
        before = dict(self._health.lost)
        lost = tuple(
            (what, count - before.get(what, 0)) for what, count in health.lost if count > before.get(what, 0)
        )
        cost = {
            field.name: max(getattr(health.cost, field.name) - getattr(self._health.cost, field.name), 0)
            for field in fields(Cost)
        }
        return replace(health, lost=lost, cost=Cost(**{**cost, "resident_bytes": health.cost.resident_bytes}))


class _Known:
    """Records to be found by their identity; the last of each counts."""

    def __init__(self, records: Records, identity: tuple[str, ...]) -> None:
        self._identity = identity
        keys = self._keys(records)
        self._sorted, where = np.unique(keys[::-1], return_index=True)
        self._records = records.take(len(records) - 1 - where)

    def of(self, records: Records) -> tuple[Array, Records]:
        """(which of ``records`` are known, and what is known of those)."""
        keys = self._keys(records)
        at = np.searchsorted(self._sorted, keys)
        there = at < len(self._sorted)
        there[there] = self._sorted[at[there]] == keys[there]
        return there, self._records.take(at[there])

    def _keys(self, records: Records) -> Array:
        """One number a record."""
        first = records[self._identity[0]].astype(np.uint64)
        if len(self._identity) == 3:  # mixed, since three ids are more than 64 bits
            first = first * np.uint64(0x9E3779B97F4A7C15)
            return (
                first
                ^ records[self._identity[1]].astype(np.uint64) << np.uint64(10)
                ^ records[self._identity[2]].astype(np.uint64)
            )
        for name in self._identity[1:]:  # 32 bits each: ids of connections do not reach that far in a run
            first = (first << np.uint64(32)) | records[name].astype(np.uint64)
        return first


def _less(records: Records, known: _Known, names: tuple[str, ...], keep: bool = False) -> Records:
    """``records`` less what was counted before; those of which nothing is left only with ``keep``."""
    at, base = known.of(records)
    records = records.copy()
    for name in names:
        records[name][at] -= np.minimum(base[name], records[name][at])
    return records if keep else records[np.any([records[name] > 0 for name in names], axis=0)]


def _longest(histograms: Array) -> Array:
    """The lower edge of the last bucket with anything in it; 0 of an empty histogram."""
    some = histograms > 0
    last = histograms.shape[1] - 1 - np.argmax(some[:, ::-1], axis=1)
    return np.where(some.any(axis=1), EDGES[last], 0).astype(np.uint64)
