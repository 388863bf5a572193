"""What happened when: bounded series of each worker and listener, by the time of the records.

Batches hold cumulative records, so a series is made of their differences.  Counts live in arrays
that only ever grow at their end; a view is a slice of them that nothing later changes, so it costs
nothing to take and is safe in another thread.  Histograms are kept sparse, tick by tick: most
threads touch few buckets, and most of a thousand threads do nothing in half a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sockscope.model.growable_array import GrowableArray, next_capacity
from sockscope.model.histogram import EDGES
from sockscope.records.batch import Batch
from sockscope.records.layout import BUCKETS, WorkerFlag

Array = np.ndarray[Any, np.dtype[Any]]

#: Series of a worker: counts of the tick, nanoseconds for ``busy``, ``cpu`` and the three waits
#: (the tick's 99th percentile; of ``stall`` the longest).
WORKER_SERIES = (
    "accepts", "reads", "bytes", "answers", "wakeups", "wasted", "busy", "cpu", "queue_wait", "data_wait", "stall",
)  # fmt: skip
#: Series of a listener: the first three as they stood, the others counts of the tick.
LISTENER_SERIES = ("queue", "backlog", "syn_queue", "drops", "established")
HISTOGRAMS = ("queue_wait", "data_wait", "stall")
#: A column of all ticks takes some 40 kB.
KEPT_ENDED = 500
_LEVELS = 3
_COUNTERS = ("accepts", "reads", "bytes", "answers", "wakeups", "wasted")
_FRACTIONS = {"queue_wait": 0.99, "data_wait": 0.99, "stall": 1.0}


@dataclass(frozen=True)
class Spectrum:
    """One tick's histograms, sparse: ``counts[i]`` more in ``buckets[i]`` of ``workers[i]`` (ids)."""

    kinds: Array
    workers: Array
    buckets: Array
    counts: Array


@dataclass(frozen=True)
class HistoryView:
    """The series as they are at one moment; the last tick comes last.  Nothing changes it."""

    times_ns: Array
    seconds: Array
    workers: Mapping[int, int]
    listeners: Mapping[int, int]
    _worker: Array = field(repr=False)
    _listener: Array = field(repr=False)
    _spectra: tuple[Spectrum, ...] = field(repr=False)

    @property
    def ticks(self) -> int:
        return len(self.times_ns)

    def worker(self, series: str, ids: Iterable[int], ticks: int | None = None) -> Array:
        """One row a worker, one column a tick (the last ``ticks``); zeros for who is not known."""
        return _rows(self._worker, WORKER_SERIES.index(series), self.workers, list(ids), ticks)

    def listener(self, series: str, ids: Iterable[int], ticks: int | None = None) -> Array:
        """One row a listener, one column a tick."""
        return _rows(self._listener, LISTENER_SERIES.index(series), self.listeners, list(ids), ticks)

    def rates(self, series: str, ids: Iterable[int], seconds: float = 3.0) -> Array:
        """Per second, each worker, over the last ``seconds`` (at least one tick)."""
        return self._rates(self.worker(series, ids, self._last(seconds)))

    def listener_rates(self, series: str, ids: Iterable[int], seconds: float = 3.0) -> Array:
        """Per second, each listener."""
        return self._rates(self.listener(series, ids, self._last(seconds)))

    def spectrum(self, kind: str, ids: Iterable[int] | None = None, ticks: int | None = None) -> Array:
        """Counts by tick and bucket, of some workers or of all."""
        spectra = self._spectra[-ticks:] if ticks else self._spectra
        number = HISTOGRAMS.index(kind)
        wanted = None if ids is None else np.fromiter(ids, np.int64)
        found = np.zeros((len(spectra), BUCKETS))
        for index, tick in enumerate(spectra):
            chosen = tick.kinds == number
            if wanted is not None:
                chosen &= np.isin(tick.workers, wanted)
            found[index] = np.bincount(tick.buckets[chosen], tick.counts[chosen], BUCKETS)
        return found

    def _last(self, seconds: float) -> int:
        total, ticks = 0.0, 0
        for length in self.seconds[::-1]:
            total, ticks = total + float(length), ticks + 1
            if total >= seconds * 0.999:
                break
        return ticks

    def _rates(self, rows: Array) -> Array:
        length = float(self.seconds[len(self.seconds) - rows.shape[1] :].sum())
        return rows.sum(axis=1) / length if length > 0 else np.zeros(len(rows))


class History:
    """Fed with the batches that the model is fed with.

    :param ticks: how many to keep
    :param keep_ended: of how many threads that ended and listeners that were closed; none of those before them
    """

    def __init__(self, ticks: int = 300, keep_ended: int = KEPT_ENDED) -> None:
        self._keep_ended = keep_ended
        self._ended: dict[int, None] = {}
        self._closed: dict[int, None] = {}
        self._times: deque[tuple[int, float]] = deque(maxlen=ticks)
        self._spectra: deque[Spectrum] = deque(maxlen=ticks)
        self._worker = GrowableArray(ticks, len(WORKER_SERIES))
        self._listener = GrowableArray(ticks, len(LISTENER_SERIES))
        self._last_ns = 0
        self._counters = np.zeros((0, len(_COUNTERS)))
        self._busy = np.zeros((0, 4))  # busy_ns, since (0: waits), what was counted of both, 1: ended
        self._cpu = np.zeros((0, 2))  # so far, counted
        self._histograms = np.zeros((0, len(HISTOGRAMS), BUCKETS), np.int64)
        self._threads: dict[tuple[int, int], int] = {}
        self._sockets: dict[tuple[int, int], int] = {}
        self._totals = np.zeros((0, 2))  # drops, established
        self._levels = np.zeros((0, _LEVELS))

    def apply(self, batch: Batch) -> None:
        """Take in one batch.  The first is what there was before: it is no tick of its own."""
        first, seconds = not self._last_ns, (batch.time_ns - self._last_ns) / 1e9
        if not first and seconds <= 0:
            return
        self._let_go()
        self._last_ns = batch.time_ns
        series, spectrum = self._of_workers(batch)
        listeners = self._of_listeners(batch)
        ended, closed = batch.workers["ended_ns"] > 0, batch.listeners["closed_ns"] > 0
        self._ended.update(dict.fromkeys(batch.workers["id"][ended].tolist()))
        self._closed.update(dict.fromkeys(batch.listeners["id"][closed].tolist()))
        if first:
            return
        self._times.append((batch.time_ns, seconds))
        self._spectra.append(spectrum)
        self._worker.append(series)
        self._listener.append(listeners)

    def view(self) -> HistoryView:
        return HistoryView(
            times_ns=np.array([time for time, _ in self._times], np.int64),
            seconds=np.array([seconds for _, seconds in self._times]),
            workers=dict(self._worker.columns),
            listeners=dict(self._listener.columns),
            _worker=self._worker.last(len(self._times)),
            _listener=self._listener.last(len(self._times)),
            _spectra=tuple(self._spectra),
        )

    def _let_go(self) -> None:
        """Of what ended long ago; only when there is twice too much of it, since everything is moved."""
        if len(self._ended) > 2 * self._keep_ended:
            places = self._worker.drop(self._earliest(self._ended))
            room = self._worker.width
            self._counters, self._busy = (
                next_capacity(self._counters[places], room),
                next_capacity(self._busy[places], room),
            )
            self._cpu = next_capacity(self._cpu[places], room)
            self._histograms = next_capacity(self._histograms[places], room)
            self._threads = _moved(self._threads, places)
        if len(self._closed) > 2 * self._keep_ended:
            places = self._listener.drop(self._earliest(self._closed))
            room = self._listener.width
            self._totals, self._levels = (
                next_capacity(self._totals[places], room),
                next_capacity(self._levels[places], room),
            )
            self._sockets = _moved(self._sockets, places)

    def _earliest(self, ended: dict[int, None]) -> set[int]:
        """Those that are too many, taken out."""
        earliest = set(list(ended)[: len(ended) - self._keep_ended])
        for number in earliest:
            del ended[number]
        return earliest

    def _of_workers(self, batch: Batch) -> tuple[Array, Spectrum]:
        records = batch.workers
        if len(records) > 1:  # an ended worker and its last record may come together: the later counts
            _, last = np.unique(records["id"][::-1], return_index=True)
            records = records[len(records) - 1 - last]
        at = self._worker.columns_of(int(number) for number in records["id"])
        self._make_room()
        for record, column in zip(records[["pid", "tid"]], at, strict=True):
            self._threads[int(record["pid"]), int(record["tid"])] = int(column)
        series = np.zeros((len(self._counters), len(WORKER_SERIES)))
        now = np.stack(
            [
                records["accepts"], records["reads"], records["bytes_read"] + records["bytes_written"],
                records["writes"], records["wakeups"], records["wakeups_spurious"],
            ],
            axis=1,
        ).astype(float)  # fmt: skip
        series[at, : len(_COUNTERS)] = np.maximum(now - self._counters[at], 0)
        self._counters[at] = now
        series[:, WORKER_SERIES.index("busy")] = self._busy_since(batch.time_ns, records, at)
        for row in batch.threads:
            column = self._threads.get((int(row["pid"]), int(row["tid"])))
            if column is not None:
                so_far = float(row["cpu_ns"])
                if self._cpu[column, 0]:
                    series[column, WORKER_SERIES.index("cpu")] = max(so_far - self._cpu[column, 0], 0)
                self._cpu[column, 0] = so_far
        kinds, workers, buckets, counts = [], [], [], []
        for number, kind in enumerate(HISTOGRAMS):
            histogram = records[kind].astype(np.int64)
            delta = np.maximum(histogram - self._histograms[at, number], 0)
            self._histograms[at, number] = histogram
            series[at, WORKER_SERIES.index(kind)] = _percentiles(delta, _FRACTIONS[kind])
            rows, touched = np.nonzero(delta)
            kinds.append(np.full(len(rows), number, np.int8))
            workers.append(records["id"][rows].astype(np.int64))
            buckets.append(touched)
            counts.append(delta[rows, touched])
        return series, Spectrum(*(np.concatenate(parts) for parts in (kinds, workers, buckets, counts)))

    def _busy_since(self, now_ns: int, records: Array, at: Array) -> Array:
        """Busy nanoseconds of each worker, those of a stall that is not over yet included."""
        waits = (records["flags"] & int(WorkerFlag.IN_WAIT | WorkerFlag.ENDED)) != 0
        self._busy[at, 0] = records["busy_ns"]
        self._busy[at, 1] = np.where(waits, 0, records["wait_exit_ns"])
        since = self._busy[:, 1]
        so_far = self._busy[:, 0] + np.where(since > 0, np.maximum(now_ns - since, 0), 0)
        more = np.maximum(so_far - self._busy[:, 2], 0)
        self._busy[:, 2] = np.maximum(so_far, self._busy[:, 2])
        return more

    def _of_listeners(self, batch: Batch) -> Array:
        at = self._listener.columns_of(int(number) for number in batch.listeners["id"])
        room = self._listener.width
        if room > len(self._totals):
            self._totals = next_capacity(self._totals, room)
            self._levels = next_capacity(self._levels, room)
        series = np.zeros((room, len(LISTENER_SERIES)))
        series[:, :_LEVELS] = self._levels
        totals = self._totals.copy()
        for record, column in zip(batch.listeners, at, strict=True):
            self._sockets[int(record["netns"]), int(record["inode"])] = int(column)
            gone = bool(record["closed_ns"])
            series[column, 0] = 0 if gone else record["queue"]
            series[column, 1] = record["backlog"] or series[column, 1]
            totals[column] = max(totals[column, 0], record["drops"]), record["established"]
        for row in batch.queues:
            sampled = self._sockets.get((int(row["netns"]), int(row["inode"])))
            if sampled is not None:
                series[sampled, 0] = row["queue"]
                series[sampled, 1] = row["backlog"] or series[sampled, 1]
                series[sampled, 2] = row["syn_queue"]
                totals[sampled, 0] = max(totals[sampled, 0], row["drops"])
        series[:, 3:] = np.maximum(totals - self._totals, 0)
        self._totals, self._levels = totals, series[:, :_LEVELS]
        return series

    def _make_room(self) -> None:
        room = self._worker.width
        if room > len(self._counters):
            self._counters = next_capacity(self._counters, room)
            self._busy = next_capacity(self._busy, room)
            self._cpu = next_capacity(self._cpu, room)
            self._histograms = next_capacity(self._histograms, room)


def _moved(columns: dict[tuple[int, int], int], places: Array) -> dict[tuple[int, int], int]:
    """The same with new places; ``places`` tells where each column that is left was."""
    new = {int(old): column for column, old in enumerate(places)}
    return {thing: new[column] for thing, column in columns.items() if column in new}


def _rows(array: Array, series: int, columns: Mapping[int, int], ids: list[int], ticks: int | None) -> Array:
    seen = array[-ticks:] if ticks else array
    found = np.zeros((len(ids), len(seen)))
    for row, number in enumerate(ids):
        column = columns.get(number)
        if column is not None and column < seen.shape[1]:
            found[row] = seen[:, column, series]
    return found


def _percentiles(deltas: Array, fraction: float) -> Array:
    """Of each row, the upper edge of the bucket that holds the percentile; 0 for an empty row."""
    totals = deltas.sum(axis=1)
    reached = np.cumsum(deltas, axis=1) >= (fraction * totals)[:, None]
    edges = np.append(EDGES[1:-1], EDGES[-2])
    return np.where(totals > 0, edges[reached.argmax(axis=1)], 0.0)
