"""The rows of the table of connections, taken from the records."""

from __future__ import annotations

from typing import Any

import numpy as np

from sockscope import formatting
from sockscope.analysis.frame import Frame
from sockscope.model.connection_io import is_exact
from sockscope.records.layout import ConnectionFlag
from sockscope.tui.columns import TableColumn, traced_keys
from sockscope.tui.filters import Key, Mask
from sockscope.tui.labels import thread_label

Array = np.ndarray[Any, np.dtype[Any]]

COLUMNS: tuple[TableColumn, ...] = (
    TableColumn("peer", "From", 17, grows=True),
    TableColumn("state", "State", 6),
    TableColumn("acceptor", "Accepted by", 12, grows=True, thread=True),
    TableColumn("reader", "Read by", 12, grows=True, thread=True),
    TableColumn("exact", "Exact", 6),  # beside subject, and on the screen at 80 columns
    TableColumn("wait", "In queue", 9, right=True),
    TableColumn("data", "Data wait", 10, right=True),
    TableColumn("answer", "Answered", 9, right=True),
    TableColumn("reads", "Reads", 7, right=True),
    TableColumn("in", "In", 7, right=True),
    TableColumn("out", "Out", 7, right=True),
    TableColumn("age", "Age", 8, right=True),
    TableColumn("listener", "To", 6, right=True),
)

KEYS: tuple[Key, ...] = (
    Key("port", "number", "port of the server"),
    Key("peer", "text", "address and port of the client"),
    Key("acceptor", "text", "name or id of the acceptor"),
    Key("reader", "text", "name or id of a reader"),
    Key("writer", "text", "name or id of a writer"),
    Key("thread", "text", "name or id of acceptor, reader or writer"),
    Key("pid", "number", "process of the acceptor"),
    Key("state", "text", "queued, open or closed"),
    Key("wait", "duration", "time in the accept queue (so far, if waiting)"),
    Key("data", "duration", "longest time from readable to read"),
    Key("age", "duration", "from established to closed, or until now"),
    Key("reads", "number", "how many reads"),
    Key("in", "number", "bytes read"),
    Key("out", "number", "bytes written"),
    Key("handed", "text", "yes: read by another thread than the acceptor"),
    Key("exact", "text", "yes: observed completely"),
)
_STATES = ("queued", "open", "closed")
_STYLES = {"queued": "warning", "open": "good", "closed": "muted"}


class ConnectionRows:
    """The connections of a snapshot, or those that ``only`` selects."""

    def __init__(self, frame: Frame, only: Mask | None = None) -> None:
        self._frame = frame
        self.records = frame.snapshot.connections if only is None else frame.snapshot.connections[only]
        self._now = np.int64(frame.snapshot.time_ns)
        self._signed = {name: self.records[name].astype(np.int64) for name in _TIMES}
        self._cache: dict[str, Array] = {}

    @property
    def keys(self) -> tuple[Key, ...]:
        return traced_keys(KEYS, COLUMNS, self._frame.snapshot)

    def __len__(self) -> int:
        return len(self.records)

    def identities(self) -> Array:
        return self.records["id"]

    def numbers(self, key: str) -> Array:
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = self._numbers(key)
        return found

    def contains(self, key: str, word: str) -> Mask:
        if key == "":
            chosen = self.contains("thread", word) | self.contains("peer", word)
            return chosen | np.isin(self.states(), [i for i, name in enumerate(_STATES) if word in name])
        if key == "state":
            return np.isin(
                self.states(), [index for index, name in enumerate(_STATES) if name.startswith(word)]
            )
        if key == "handed":
            handed = (
                (self._reader() > 0)
                & (self.records["acceptor"] > 0)
                & (self._reader() != self.records["acceptor"])
            )
            return np.asarray(handed == word.startswith("y"))
        if key == "exact":
            return np.asarray(is_exact(self.records) == word.startswith("y"))
        if key == "peer":
            return self._peers_with(word)
        return self._threads_with(key, word)

    def order(self, column: str) -> Array:
        if column == "peer":
            return self.records["id"]
        if column == "state":
            return -self.states()
        if column == "exact":
            return np.asarray(is_exact(self.records))
        if column == "acceptor":
            return self.records["acceptor"]
        if column == "reader":
            return self._reader()
        if column == "listener":
            return self.numbers("port")
        return np.nan_to_num(self.numbers(column), nan=-1.0)

    def cell(self, row: int, column: str) -> tuple[str, str]:
        record = self.records[row]
        if column == "peer":
            return formatting.endpoint(record["remote"].tobytes(), int(record["remote_port"])), "text"
        if column == "state":
            word = _STATES[int(self.states()[row])]
            return word, _STYLES[word]
        if column == "listener":
            return f":{int(record['local_port'])}", "muted"
        if column == "acceptor":
            return thread_label(self._frame, int(record["acceptor"])), "acceptor"
        if column == "reader":
            more = "+" if self.records["io"]["reads"][row, 0] and self.records["io"]["reads"][row, 1] else ""
            return thread_label(self._frame, int(self._reader()[row])) + more, "reader"
        if column == "exact":
            return ("yes", "muted") if bool(is_exact(self.records[row : row + 1])[0]) else ("no", "warning")
        value = float(self.numbers(column)[row])
        if np.isnan(value):
            return "–", "faint"
        if column == "reads":
            return formatting.count(value), "text"
        if column in ("in", "out"):
            return formatting.size(value), "text"
        late = column in ("wait", "data") and value >= 10e6
        return formatting.duration(value), "warning" if late else "text"

    def states(self) -> Array:
        found = self._cache.get("states")
        if found is None:
            closed = (self.records["flags"] & int(ConnectionFlag.CLOSED)) != 0
            waits = (self.records["accepted_ns"] == 0) & (self.records["acceptor"] == 0) & ~closed
            waits &= (self.records["flags"] & int(ConnectionFlag.OPEN_BEFORE)) == 0
            found = self._cache["states"] = np.where(closed, 2, np.where(waits, 0, 1))
        return found

    def _numbers(self, key: str) -> Array:
        times, records = self._signed, self.records
        nothing = np.nan
        if key == "port":
            return records["local_port"].astype(float)
        if key == "pid":
            return self._by_worker(
                {number: worker.pid for number, worker in self._frame.snapshot.workers.items()}
            )
        if key == "wait":
            until = np.where(
                times["accepted_ns"] > 0, times["accepted_ns"], np.where(self.states() == 0, self._now, 0)
            )
            known = (times["established_ns"] > 0) & (until > 0)
            return np.where(known, until - times["established_ns"], nothing)
        if key == "data":
            since = np.where(times["readable_ns"] > 0, self._now - times["readable_ns"], 0)
            since = np.where(self.states() == 2, 0, np.maximum(since, 0))
            waited = np.maximum(times["data_wait_max_ns"], since)
            return np.where((times["first_data_ns"] > 0) | (waited > 0), waited, nothing)
        if key == "answer":
            known = (times["first_write_ns"] > 0) & (times["first_read_ns"] > 0)
            return np.where(known, times["first_write_ns"] - times["first_read_ns"], nothing)
        if key == "age":
            until = np.where(times["closed_ns"] > 0, times["closed_ns"], self._now)
            return np.where(times["established_ns"] > 0, until - times["established_ns"], nothing)
        name = {"reads": "reads", "in": "bytes_read", "out": "bytes_written"}[key]
        return np.asarray(records["io"][name].sum(axis=1), np.float64)

    def _reader(self) -> Array:
        found = self._cache.get("reader")
        if found is None:
            io = self.records["io"]
            slot = (io["reads"][:, 1] > io["reads"][:, 0]).astype(np.intp)
            rows = np.arange(len(io))
            found = np.where(io["reads"][rows, slot] > 0, io["worker"][rows, slot], 0).astype(np.int64)
            self._cache["reader"] = found
        return found

    def _threads_with(self, key: str, word: str) -> Mask:
        workers = self._frame.snapshot.workers
        fitting = [number for number in workers if word in thread_label(self._frame, number).lower()]
        chosen = np.zeros(len(self), bool)
        if key in ("acceptor", "thread"):
            chosen |= np.isin(self.records["acceptor"], fitting)
        for deed, role in (("reads", "reader"), ("writes", "writer")):
            if key in (role, "thread"):
                io = self.records["io"]
                chosen |= (np.isin(io["worker"], fitting) & (io[deed] > 0)).any(axis=1)
                connection_io = self._frame.snapshot.connection_io
                more = connection_io[np.isin(connection_io["worker"], fitting) & (connection_io[deed] > 0)][
                    "connection"
                ]
                chosen |= np.isin(self.records["id"], more)
        return chosen

    def _peers_with(self, word: str) -> Mask:
        """Match addresses; each distinct one is formatted once."""
        if not len(self):
            return np.zeros(0, bool)
        raw = np.ascontiguousarray(self.records["remote"]).view("V16").ravel()
        distinct, which = np.unique(raw, return_inverse=True)
        texts = [formatting.address(bytes(address)) for address in distinct]
        host, colon, port = word.rpartition(":")
        if colon and port.isdigit() and not word.endswith("::"):
            fits = np.array([host.strip("[]") in text for text in texts])
            return np.asarray(fits[which] & (self.records["remote_port"] == int(port)))
        chosen = np.array([word in text for text in texts])[which]
        if word.isdigit():
            chosen = chosen | (self.records["remote_port"] == int(word))
        return np.asarray(chosen)

    def _by_worker(self, values: dict[int, int]) -> Array:
        acceptors, which = np.unique(self.records["acceptor"], return_inverse=True)
        return np.array([float(values.get(int(number), np.nan)) for number in acceptors])[which]


_TIMES = (
    "established_ns", "accepted_ns", "first_data_ns", "first_read_ns", "first_write_ns", "closed_ns", "readable_ns",
    "data_wait_max_ns",
)  # fmt: skip
