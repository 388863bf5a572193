"""The rows of the table of workers."""

from __future__ import annotations

from typing import Any

import numpy as np

from sockscope import formatting
from sockscope.model.snapshot import Worker
from sockscope.records.layout import WorkerFlag
from sockscope.tui.columns import TableColumn, traced_keys
from sockscope.tui.data_source import FrameContext
from sockscope.tui.filters import Key, Mask
from sockscope.tui.labels import get_role_labels, worker_label
from sockscope.tui.text_line import bar, plain

Array = np.ndarray[Any, np.dtype[Any]]

COLUMNS: tuple[TableColumn, ...] = (
    TableColumn("name", "Thread", 14, grows=True, least_first=True, thread=True),
    TableColumn("roles", "Roles", 5),
    TableColumn("accepts", "Accepts", 8, right=True),
    TableColumn("share", "Its share", 11),
    TableColumn("open", "Open", 5, right=True, figure="open connections"),
    TableColumn("reads", "Reads", 8, right=True),
    TableColumn("busy", "Busy", 5, right=True),
    TableColumn("stall", "Max stall", 9, right=True),
    TableColumn("pid", "Process", 7, right=True, least_first=True),
    TableColumn("cpu", "CPU", 5, right=True),
    TableColumn("bytes", "Bytes", 8, right=True),
    TableColumn("answers", "Answers", 8, right=True),
    TableColumn("wasted", "Wasted", 7, right=True),
    TableColumn("wakeups", "Wake-ups", 9, right=True),
    TableColumn("state", "State", 8, figure="busy"),
    TableColumn("last_cpu", "On CPU", 6, right=True),
)

KEYS: tuple[Key, ...] = (
    Key("name", "text", "thread name or id"),
    Key("pid", "number", "process"),
    Key("role", "text", "L listener, A acceptor, R reader, W writer"),
    Key("accepts", "number", "connections accepted"),
    Key("open", "number", "open connections that it reads"),
    Key("reads", "number", "reads"),
    Key("bytes", "number", "bytes read and written"),
    Key("busy", "number", "percent of the last seconds not waiting"),
    Key("cpu", "number", "percent of one CPU"),
    Key("wasted", "number", "spurious wake-ups"),
    Key("stall", "duration", "longest time between two waits"),
    Key("state", "text", "waiting, busy, stalled or ended"),
)
_STALLED_NS = 100_000_000


class WorkerRows:
    """The workers of a snapshot; ``by_process`` gives one row per process instead of per thread."""

    def __init__(self, context: FrameContext, *, by_process: bool = False) -> None:
        frame, history = context.frame, context.history
        self._now = frame.snapshot.time_ns
        self.keys = traced_keys(KEYS, COLUMNS, frame.snapshot)
        self._roles = get_role_labels(frame)
        workers = [
            worker for worker in frame.snapshot.workers.values() if worker.did_something or worker.busy_ns
        ]
        ids = [worker.id for worker in workers]
        busy, cpu = history.rates("busy", ids) / 1e9 * 100, history.rates("cpu", ids) / 1e9 * 100
        opened = _open_by_reader(frame.snapshot.connections, ids)
        self.values: dict[str, Array] = {
            "pid": _array(workers, "pid"),
            "accepts": _array(workers, "accepts"),
            "open": opened,
            "reads": _array(workers, "reads"),
            "bytes": _array(workers, "bytes_read") + _array(workers, "bytes_written"),
            "answers": _array(workers, "writes"),
            "wakeups": _array(workers, "wakeups"),
            "wasted": _array(workers, "wakeups_spurious"),
            "stall": _array(workers, "stall_max_ns"),
            "busy": busy,
            "cpu": cpu,
            "last_cpu": _array(workers, "last_cpu"),
        }
        self._names = [worker_label(worker) for worker in workers]
        self._states = [_state(worker, self._now) for worker in workers]
        self._letters = [self._roles[worker.id] for worker in workers]
        self._ids = np.array(ids, np.int64)
        if by_process:
            self._join(frame.snapshot.processes)
        self.values["share"] = self.values["accepts"]
        self._total = float(self.values["accepts"].sum())
        self._most = float(self.values["accepts"].max(initial=0))

    def __len__(self) -> int:
        return len(self._ids)

    def identities(self) -> Array:
        return self._ids

    def numbers(self, key: str) -> Array:
        return self.values[key].astype(float)

    def contains(self, key: str, word: str) -> Mask:
        texts = {
            "name": self._names,
            "role": [letters.lower() for letters in self._letters],
            "state": self._states,
        }
        if key:
            return np.array([word in text.lower() for text in texts[key]], bool)
        return np.array(
            [
                word in f"{name} {state}".lower()
                for name, state in zip(self._names, self._states, strict=True)
            ],
            bool,
        )

    def order(self, column: str) -> Array:
        if column == "name":
            return np.array(self._names)
        if column == "roles":
            return np.array(self._letters)
        if column == "state":
            return np.array(self._states)
        return self.values[column]

    def cell(self, row: int, column: str) -> tuple[str, str]:
        if column == "name":
            return self._names[row], "text"
        if column == "roles":
            return self._letters[row], "accent"
        if column == "state":
            state = self._states[row]
            return state, {"waiting": "good", "busy": "text", "stalled": "critical"}.get(state, "muted")
        value = float(self.values[column][row])
        if column == "share":
            part = value / self._total if self._total else 0.0
            scale = value / self._most if self._most else 0.0
            return f"{bar(scale, 3)} {100 * part:5.1f} %", "acceptor"
        if column in ("busy", "cpu"):
            return f"{value:.0f} %", "warning" if value >= 90 else "text"
        if column == "stall":
            return formatting.duration(value) if value else "–", "warning" if value >= _STALLED_NS else "text"
        if column == "bytes":
            return formatting.size(value), "text"
        if column in ("pid", "last_cpu"):
            return f"{value:.0f}", "muted"
        if column == "wasted":
            often = value > 0.5 * max(float(self.values["wakeups"][row]), 1) and value > 100
            return formatting.count(value), "warning" if often else "text"
        return formatting.count(value), "text" if value else "faint"

    def _join(self, processes: Any) -> None:
        """Merge threads into one row per process, with the identity of its first thread."""
        pids, first, which = np.unique(self.values["pid"], return_index=True, return_inverse=True)
        for key, values in self.values.items():
            if key in ("pid", "last_cpu"):
                self.values[key] = values[first]
            elif key == "stall":
                longest = np.zeros(len(pids))
                np.maximum.at(longest, which, values)
                self.values[key] = longest
            else:
                self.values[key] = np.bincount(which, values, len(pids))
        names, letters = [], []
        for index, pid in enumerate(pids):
            members = np.flatnonzero(which == index)
            comm = (
                processes[int(pid)].comm
                if int(pid) in processes
                else self._names[int(first[index])].rsplit(" ", 1)[0]
            )
            names.append(f"{plain(comm)} {int(pid)} ×{len(members)}")
            present = {letter for member in members for letter in self._letters[member]}
            letters.append("".join(letter for letter in "LARW" if letter in present) or "·")
        self._states = [self._states[index] for index in first]
        self._names, self._letters, self._ids = names, letters, self._ids[first]


def _array(workers: list[Worker], name: str) -> Array:
    return np.array([getattr(worker, name) for worker in workers], np.float64)


def _open_by_reader(connections: Any, ids: list[int]) -> Array:
    """Return open connections per reader (per acceptor, if not read yet)."""
    still = connections[connections["closed_ns"] == 0]
    io = still["io"]
    reader = np.where(io["reads"][:, 1] > io["reads"][:, 0], io["worker"][:, 1], io["worker"][:, 0])
    owner = np.where(reader > 0, reader, still["acceptor"]).astype(np.int64)
    counts = np.bincount(owner, minlength=max(ids, default=0) + 1)
    return counts[np.array(ids, np.intp)].astype(float)


def _state(worker: Worker, now: int) -> str:
    if worker.ended_ns:
        return "ended"
    if worker.flags & WorkerFlag.IN_WAIT:
        return "waiting"
    away = now - worker.wait_exit_ns if worker.wait_exit_ns else 0
    return "stalled" if away >= _STALLED_NS else "busy"
