"""Draw each operation on its thread's track: the additions of ``record --events`` to a timeline.

A thread's track alternates between ``wait`` and ``at work``.  Operations are slices of at most 1 µs within
``at work``, because only their end is known.  Arrows connect accept, reads and reply of a request, and a
wake-up with the next operation of the woken thread.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import numpy as np

from sockscope import formatting
from sockscope.model.snapshot import Snapshot
from sockscope.records.batch import Records
from sockscope.records.layout import EventKind

Event = dict[str, Any]

#: Length of a slice for a moment, in nanoseconds; shorter where the thread's next moment is nearer.
MOMENT_NS = 1000
#: Arrows of wake-ups have numbers of their own.
_WAKES = 1 << 40


class _Track:
    """The state of a thread's track: what is not drawn yet."""

    __slots__ = ("free_ns", "operation", "pid", "tid", "wait", "work_ns")

    def __init__(self, pid: int, tid: int) -> None:
        self.pid, self.tid = pid, tid
        self.operation: tuple[int, str, Event, list[Event]] | None = None
        self.wait: tuple[int, int] | None = None  # since when, in which system call
        self.work_ns = 0  # since when at work; 0: not known
        self.free_ns = 0  # where the next operation may begin

    def slice(self, name: str, category: str, start_ns: int, end_ns: int, facts: Event) -> Event:
        length = round(max(end_ns - start_ns, 1) / 1000, 3)
        where = {"pid": self.pid, "tid": self.tid, "ts": start_ns / 1000}
        return {"ph": "X", "name": name, "cat": category, "dur": length, "args": facts, **where}

    def close_operation(self, until_ns: int | None) -> Iterator[Event]:
        """Yield the operation that is not drawn yet, with its arrows."""
        if self.operation is None:
            return
        at, name, facts, arrows = self.operation
        self.operation = None
        end = at + MOMENT_NS if until_ns is None else max(min(at + MOMENT_NS, until_ns), at + 1)
        self.free_ns = end
        yield self.slice(name, "operation", at, end, facts)
        for arrow in arrows:
            yield {**arrow, "pid": self.pid, "tid": self.tid, "ts": at / 1000}


class Detail:
    """Events in the order in which each thread's came, turned into slices and arrows."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._started_ns = snapshot.started_ns
        self._tracks = {number: _Track(worker.pid, worker.tid) for number, worker in snapshot.workers.items()}
        connections = snapshot.connections
        order = np.argsort(connections["id"], kind="stable")
        self._ids, self._connections, self._order = connections["id"][order], connections, order
        self._remotes: dict[int, str] = {}
        self._roles: dict[int, int] = {}  # connection → its arrow under way
        self._woken: dict[tuple[int, int], int] = {}  # thread → the arrow that shall land there
        self._numbers, self._wakes = count(1), count(_WAKES)
        self._last_ns = 0

    def draw(self, chunks: Iterable[Records]) -> Iterator[Event]:
        """Yield the slices and arrows of all events."""
        fields = ("time_ns", "connection", "worker", "result", "about", "kind")
        for chunk in chunks:
            for time_ns, *operation in zip(*(chunk[name].tolist() for name in fields), strict=True):
                yield from self._one(time_ns - self._started_ns, *operation)
        for track in self._tracks.values():
            yield from track.close_operation(None)
            if track.wait:
                yield track.slice("wait", "wait", track.wait[0], self._last_ns, {"not over": True})
            elif track.work_ns:
                end = max(self._last_ns, track.free_ns)
                yield track.slice("at work", "work", track.work_ns, end, {"not over": True})

    def _one(self, at: int, number: int, worker: int, result: int, about: int, kind: int) -> Iterator[Event]:
        self._last_ns = max(self._last_ns, at)
        track = self._tracks.get(worker)
        if track is None:  # its record was lost, and that was counted
            track = self._tracks[worker] = _Track(0, worker)
        yield from track.close_operation(at)
        at = max(at, track.free_ns)  # two in one nanosecond stand one after the other
        if kind == EventKind.WAIT:
            if track.work_ns:
                yield track.slice("at work", "work", track.work_ns, at, {})
            track.wait, track.work_ns, track.free_ns = (at, about), 0, at + 1
            return
        if kind == EventKind.WOKEN:
            if track.wait:
                yield track.slice("wait", "wait", track.wait[0], at, {"events": result, "call": about})
            track.wait, track.work_ns = None, at
            # one nanosecond later, that the arrow surely lands in the work and not in the wait
            yield from self._landing(track, (at + 1) / 1000)
            track.free_ns = at + 2
            return
        facts: Event = {}
        if number:
            facts = {"connection": number, "remote": self._remote(number)}
        if result and kind != EventKind.WAKE:
            facts["bytes" if result > 0 else "error"] = (
                result if result > 0 else errno.errorcode.get(-result, str(-result))
            )
        arrows = self._arrows(kind, number, result, about, track)
        if kind == EventKind.WAKE:
            facts = {"thread": about}
        arrows.extend(self._landing(track, None))
        track.operation = at, _name(kind, result, about), facts, arrows

    def _arrows(self, kind: int, number: int, result: int, about: int, track: _Track) -> list[Event]:
        """Return the arrows that begin at, pass through or end at an operation."""
        if kind == EventKind.WAKE:
            arrow = self._woken[track.pid, about] = next(self._wakes)
            return [{"ph": "s", "name": "wake", "cat": "wake", "id": arrow}]
        if not number:
            return []
        if kind == EventKind.ACCEPT and result == 0 and number not in self._roles:
            phase, flow = "s", self._roles.setdefault(number, next(self._numbers))
        elif kind == EventKind.RECEIVE and result > 0 and not about:
            phase = "t" if number in self._roles else "s"
            flow = self._roles.setdefault(number, next(self._numbers))
        elif kind == EventKind.SEND and result > 0 and number in self._roles:
            phase, flow = "f", self._roles.pop(number)
        else:
            return []
        arrow_event: Event = {"ph": phase, "name": "request", "cat": "request", "id": flow}
        return [{**arrow_event, "bp": "e"} if phase == "f" else arrow_event]

    def _landing(self, track: _Track, ts: float | None) -> Iterator[Event]:
        arrow = self._woken.pop((track.pid, track.tid), None)
        if arrow is not None:
            event: Event = {"ph": "f", "name": "wake", "cat": "wake", "id": arrow, "bp": "e"}
            yield event if ts is None else {**event, "pid": track.pid, "tid": track.tid, "ts": ts}

    def _remote(self, number: int) -> str:
        known = self._remotes.get(number)
        if known is None:
            place = int(np.searchsorted(self._ids, number))
            known = ""
            if place < len(self._ids) and self._ids[place] == number:
                record = self._connections[self._order[place]]
                known = formatting.endpoint(record["remote"].tobytes(), int(record["remote_port"]))
            self._remotes[number] = known
        return known


def _name(kind: int, result: int, about: int) -> str:
    if kind == EventKind.ACCEPT:
        return (
            "accept" if result == 0 else "nothing to accept" if result == -errno.EAGAIN else "accept failed"
        )
    if kind == EventKind.RECEIVE:
        if result > 0:
            return "peek" if about else "read"
        return (
            "end of stream"
            if result == 0
            else "nothing to read"
            if result == -errno.EAGAIN
            else "read failed"
        )
    if kind == EventKind.SEND:
        return "answer" if result > 0 else "no room to write" if result == -errno.EAGAIN else "write failed"
    return "wake"
