"""Write a recording as a timeline for Perfetto (ui.perfetto.dev) and chrome://tracing: JSON trace events.

Each thread has a track with a slice for each accept, first read and first reply, and an arrow through the
three of a connection.  With recorded events there is a slice for each operation (timeline_detail.py).
Waits are slices that may overlap: queue waits next to the listener, data waits and reply times next to the
process.  Lengths of accept queues are counters.

The format: "Trace Event Format", Google, 2016.  Times are microseconds since tracing began.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sockscope import formatting
from sockscope.analysis.frame import Frame
from sockscope.export.timeline_detail import Detail
from sockscope.model.connection_io import get_roles
from sockscope.model.history import HistoryView
from sockscope.model.snapshot import Snapshot
from sockscope.records.batch import Records

Event = dict[str, Any]
#: The first and the last moment, in nanoseconds of the recording's clock.
Window = tuple[int, int]
ALWAYS: Window = (0, 2**64 - 1)

#: A listening socket is shown as a process; its number is one that no process has.
_SOCKETS = 5_000_000
#: Length of a slice for a moment, in microseconds; shorter where the thread's next moment is nearer.
_MOMENT = 1.0


@dataclass(frozen=True)
class Moment:
    """Something that a thread did to a connection."""

    ts: float
    pid: int
    tid: int
    name: str
    connection: int
    phase: str
    arguments: dict[str, Any]


def render(
    frame: Frame,
    history: HistoryView | None,
    limit: int,
    connection_io: Iterable[Records] | None = None,
    window: Window = ALWAYS,
) -> Iterator[str]:
    """The document in parts.

    :param limit: the most connections, the first of the window
    :param window: only what began between these two moments
    :param connection_io: EVENT records; None or empty when events were not recorded
    """
    yield '{"displayTimeUnit":"ns","otherData":'
    yield json.dumps({"host": frame.meta.host, "kernel": frame.meta.kernel, "target": frame.meta.target})
    yield ',"traceEvents":[\n'
    for number, event in enumerate(events(frame, history, limit, connection_io, window)):
        yield (",\n" if number else "") + json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    yield "\n]}\n"


def events(
    frame: Frame,
    history: HistoryView | None,
    limit: int,
    connection_io: Iterable[Records] | None = None,
    window: Window = ALWAYS,
) -> Iterator[Event]:
    """Every event; what bears a name first."""
    snapshot = frame.snapshot
    yield from _names(snapshot)
    if history is not None:
        yield from _counters(snapshot, history)
    moments: list[Moment] = []
    for event in _connections(snapshot, limit, window):
        if isinstance(event, Moment):
            moments.append(event)
        else:
            yield event
    if connection_io is None:
        yield from _slices(moments)
    else:
        yield from Detail(snapshot).draw(connection_io)


def _names(snapshot: Snapshot) -> Iterator[Event]:
    for worker in snapshot.workers.values():
        yield _meta("thread_name", worker.pid, worker.tid, worker.comm)
    for pid in {worker.pid for worker in snapshot.workers.values()}:
        process = snapshot.processes.get(pid)
        main = next((one.comm for one in snapshot.workers.values() if one.pid == pid), "")
        yield _meta("process_name", pid, pid, process.comm if process else main)
    for listener in snapshot.listeners:
        name = f"socket {listener.inode} on {listener.address}:{listener.port}"
        yield _meta("process_name", _SOCKETS + listener.id, 0, name)


def _meta(kind: str, pid: int, tid: int, name: str) -> Event:
    return {"ph": "M", "name": kind, "pid": pid, "tid": tid, "args": {"name": name}}


def _counters(snapshot: Snapshot, history: HistoryView) -> Iterator[Event]:
    for listener in snapshot.listeners:
        pid = _SOCKETS + listener.id
        lengths = history.listener("queue", [listener.id])[0]
        drops = np.cumsum(history.listener("drops", [listener.id])[0])
        for time_ns, length, dropped in zip(history.times_ns, lengths, drops, strict=True):
            ts = _micro(int(time_ns) - snapshot.started_ns)
            yield {
                "ph": "C",
                "name": "accept queue",
                "pid": pid,
                "tid": 0,
                "ts": ts,
                "args": {"waiting": int(length)},
            }
            yield {
                "ph": "C",
                "name": "dropped",
                "pid": pid,
                "tid": 0,
                "ts": ts,
                "args": {"in all": int(dropped)},
            }


def _connections(snapshot: Snapshot, limit: int, window: Window) -> Iterator[Event | Moment]:
    records = snapshot.connections
    began = np.where(records["established_ns"] > 0, records["established_ns"], records["accepted_ns"])
    inside = np.flatnonzero((began >= window[0]) & (began <= window[1]))
    first = inside[np.argsort(began[inside], kind="stable")[:limit]]
    records, roles = records[first], get_roles(records, snapshot.connection_io)[first]
    for record, flow in zip(records, roles, strict=True):
        number = int(record["id"])
        established, accepted, data, read, answered = (
            int(record[name]) - snapshot.started_ns if record[name] else None
            for name in ("established_ns", "accepted_ns", "first_data_ns", "first_read_ns", "first_write_ns")
        )
        remote = formatting.endpoint(record["remote"].tobytes(), int(record["remote_port"]))
        facts = {"remote": remote, "connection": number}
        listener = int(record["listener"])
        if established is not None and accepted is not None and listener:
            yield from _wait("in the queue", _SOCKETS + listener, number, established, accepted, facts)
        steps = (
            ("accept", accepted, int(record["acceptor"]), "s"),
            ("first read", read, int(flow["reader"]), "t"),
            ("first answer", answered, int(flow["writer"]), "f"),
        )
        seen = [
            (name, at, snapshot.workers[who])
            for name, at, who, _ in steps
            if at is not None and at >= 0 and who in snapshot.workers
        ]
        for place, (name, at, worker) in enumerate(seen):
            phase = "" if len(seen) == 1 else "s" if not place else "f" if place == len(seen) - 1 else "t"
            yield Moment(_micro(at), worker.pid, worker.tid, name, number, phase, facts)
            if name == "first read" and data is not None:
                yield from _wait("for a reader", worker.pid, number, max(data, accepted or data), at, facts)
            if name == "first answer" and read is not None:
                yield from _wait("for the answer", worker.pid, number, read, at, facts)


def _wait(name: str, pid: int, number: int, begin: int, end: int, facts: dict[str, Any]) -> Iterator[Event]:
    if end <= begin or begin < 0:
        return
    shared = {"name": name, "cat": name, "pid": pid, "tid": pid, "id": f"{number:#x}"}
    yield {**shared, "ph": "b", "ts": _micro(begin), "args": facts}
    yield {**shared, "ph": "e", "ts": _micro(end)}


def _slices(moments: list[Moment]) -> Iterator[Event]:
    """Slices that do not overlap on a thread's track, and the arrows between them."""
    moments.sort(key=lambda moment: (moment.pid, moment.tid, moment.ts))
    free = 0.0
    for index, moment in enumerate(moments):
        following = moments[index + 1] if index + 1 < len(moments) else None
        track = (moment.pid, moment.tid)
        if not index or (moments[index - 1].pid, moments[index - 1].tid) != track:
            free = 0.0
        # two moments in one nanosecond stand one after the other
        ts = max(moment.ts, free)
        room = following.ts - ts if following and (following.pid, following.tid) == track else _MOMENT
        length = round(min(_MOMENT, max(room, 0.001)), 3)
        free = round(ts + length, 3)
        where = {"pid": moment.pid, "tid": moment.tid, "ts": ts}
        yield {
            "ph": "X",
            "name": moment.name,
            "cat": "connection",
            "dur": length,
            "args": moment.arguments,
            **where,
        }
        if moment.phase:
            arrow = {
                "ph": moment.phase,
                "name": "connection",
                "cat": "connection",
                "id": moment.connection,
                **where,
            }
            yield {**arrow, "bp": "e"} if moment.phase == "f" else arrow


def _micro(ns: int) -> float:
    return round(ns / 1000, 3)
