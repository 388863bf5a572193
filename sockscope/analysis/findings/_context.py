"""One server and all that its detectors ask about it, worked out once."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sockscope import formatting
from sockscope.analysis.by_column import ByColumn
from sockscope.analysis.findings._connection_waits import Waits
from sockscope.analysis.frame import Frame, Group, Server
from sockscope.analysis.thresholds import Thresholds
from sockscope.analysis.work_distribution import (
    Figures,
    accepting_sharers,
    away_ns,
    busy_ns,
    connections_of,
    figures_of,
    main_readers,
    serving_sharers,
)
from sockscope.model.histogram import EDGES, percentile
from sockscope.model.snapshot import Listener, Snapshot, Worker
from sockscope.records.batch import HostCounters
from sockscope.records.layout import ConnectionFlag, WorkerFlag

Records = np.ndarray[Any, np.dtype[Any]]

#: Something that happened this often, or in this part of the time, is no accident.
AGAIN = 3
PART_OF_TIME = 0.2


@dataclass(frozen=True)
class Case:
    """A server in its frame.  Every figure is of this server alone unless its name says otherwise."""

    frame: Frame
    server: Server
    thresholds: Thresholds

    @property
    def snapshot(self) -> Snapshot:
        return self.frame.snapshot

    @property
    def group(self) -> Group:
        return self.server.group

    @property
    def name(self) -> str:
        """The server as a finding's subject."""
        return f"{self.server.comm} on {self.group.name}" if self.server.comm else self.group.name

    @cached_property
    def figures(self) -> Figures:
        return figures_of(self.snapshot, self.server)

    @cached_property
    def accepting(self) -> tuple[Worker, ...]:
        return accepting_sharers(self.snapshot, self.server)

    @cached_property
    def serving(self) -> tuple[Worker, ...]:
        return serving_sharers(self.snapshot, self.server)

    @cached_property
    def listeners(self) -> tuple[Listener, ...]:
        """Those that are open."""
        return tuple(listener for listener in self.group.listeners if not listener.closed_ns)

    @cached_property
    def host(self) -> HostCounters | None:
        return next((host for host in self.snapshot.hosts if host.netns == self.group.netns), None)

    @cached_property
    def connections(self) -> Records:
        return connections_of(self.snapshot, self.group)

    @cached_property
    def columns(self) -> ByColumn:
        """Those of ``connections``."""
        return ByColumn(self.connections)

    @cached_property
    def readers(self) -> Records:
        """Who read each connection most (0: nobody), in the order of ``connections``."""
        return main_readers(self.snapshot, self.connections)

    @cached_property
    def window_ns(self) -> int:
        """From the first thing that happened to the last: idle time before and after says nothing."""
        connections, snapshot = self.columns, self.snapshot
        if not len(connections):
            return 0
        waiting = (connections["flags"] & int(ConnectionFlag.CLOSED)) == 0
        last = int(connections["touched_ns"].max())
        if (waiting & (connections["accepted_ns"] == 0)).any():
            last = snapshot.time_ns
        births = connections["established_ns"][connections["established_ns"] > 0]
        before = (connections["flags"] & int(ConnectionFlag.OPEN_BEFORE)).any()
        kept = snapshot.closed_total <= int((~waiting).sum())
        first = int(births.min()) if len(births) and not before and kept else snapshot.started_ns
        away = any(away_ns(worker, snapshot.time_ns) for worker in self.server.readers)
        return max((snapshot.time_ns if away else last) - max(first, snapshot.started_ns), 0)

    @cached_property
    def long_enough(self) -> bool:
        """Whether there was traffic for long enough to call a thread busy or idle."""
        return self.window_ns >= self.thresholds.window_ns

    @cached_property
    def enough(self) -> bool:
        """Whether there were connections enough to say who got how many."""
        return self.server.connections >= self.thresholds.fewest

    @cached_property
    def queue_waits(self) -> Waits:
        """Established → accepted; who still waits has waited until now."""
        rows, now = self.columns, self.snapshot.time_ns
        born = rows["established_ns"] > 0
        waiting = (rows["accepted_ns"] == 0) & (rows["ending_ns"] == 0)
        chosen = born & ((rows["accepted_ns"] > 0) | waiting)
        ends = np.where(rows["accepted_ns"] > 0, rows["accepted_ns"], now).astype(np.int64)
        waited = ends - rows["established_ns"].astype(np.int64)
        return self._waits(waited, ends, rows["accepted_ns"] > 0).of(chosen)

    @cached_property
    def queue_waits_by_listener(self) -> Mapping[int, Waits]:
        """The same, by the listener's id; listeners without any are not in it."""
        return self.queue_waits.by_listener()

    @cached_property
    def main_acceptors(self) -> Mapping[int, int]:
        """Who accepted most of each listener's connections (of equals the smallest id), by the listener's id."""
        rows = self.columns
        acceptors = rows["acceptor"]
        pairs = rows["listener"].astype(np.uint64) << np.uint64(32) | acceptors
        numbers, counts = np.unique(pairs[acceptors > 0], return_counts=True)
        upwards = numbers[np.lexsort((~numbers, counts))]  # so that the last of a listener's is the one
        return {int(pair) >> 32: int(pair) & 0xFFFFFFFF for pair in upwards}

    @cached_property
    def data_waits(self) -> Waits:
        """The longest readable → read of each connection, without the time in the accept queue."""
        rows, now = self.columns, self.snapshot.time_ns
        accepted = rows["accepted_ns"].astype(np.int64)
        data, read = rows["first_data_ns"].astype(np.int64), rows["first_read_ns"].astype(np.int64)
        first = np.where((read > 0) & (data > 0), read - np.maximum(data, accepted), 0)
        longest = rows["data_wait_max_ns"].astype(np.int64)
        with_queue = np.where((read > 0) & (data > 0), read - data, 0)
        waited = np.where(longest > with_queue + 1000, longest, np.maximum(first, 0))
        unread = (rows["readable_ns"] > 0) & (rows["ending_ns"] == 0) & (accepted > 0)
        since = np.maximum(rows["readable_ns"].astype(np.int64), accepted)
        waited = np.maximum(waited, np.where(unread, now - since, 0))
        # when a later wait than the first one ended is not known: about when the record last changed
        ends = np.where(longest > with_queue + 1000, rows["touched_ns"].astype(np.int64), read)
        return self._waits(waited, np.where(unread, now, ends), ~unread).of((read > 0) | unread)

    def _waits(self, ns: Records, ends: Records, over: Records) -> Waits:
        rows = self.columns
        return Waits(np.maximum(ns, 0), ends, rows["listener"], rows["acceptor"], self.readers, over)

    def lasting(self, waits: Waits, least_ns: int) -> bool:
        """Whether waits of ``least_ns`` or more came again and again, or took a good part of the time.

        One hiccup (a paused machine, a burst) is not a property of the server.
        """
        number, together = waits.episodes(least_ns)
        return number >= AGAIN or together >= PART_OF_TIME * max(self.window_ns, self.thresholds.window_ns)

    def load(self, worker: Worker) -> float:
        """The part of the window that a thread was at work, 0 to 1."""
        if not self.window_ns:
            return 0.0
        spent = busy_ns(worker, self.snapshot.time_ns)
        if not worker.waits:
            # it never waits for sockets: the time it uses is all that is known
            spent = worker.cpu_ns
        return min(spent / self.window_ns, 1.0)

    def loads(self, workers: Iterable[Worker]) -> list[float]:
        return [self.load(worker) for worker in workers]

    def felt(self, worker: Worker) -> float:
        """p90 of what connections waited for this thread, in the queue or with bytes to read."""
        counts = worker.queue_wait.astype(np.int64) + worker.data_wait.astype(np.int64)
        told = percentile(counts, 0.9)
        return 0.0 if np.isnan(told) else told

    def saturated(self, worker: Worker) -> bool:
        """Busy nearly all the time, with connections that wait for it."""
        limits = self.thresholds
        return self.long_enough and self.load(worker) >= limits.busy and self.felt(worker) >= limits.felt_ns

    def in_flight(self) -> float:
        """Requests read and not yet answered, on average (J. Little, 1961: rate times time)."""
        if not self.window_ns:
            return 0.0
        counts = sum(
            (worker.answer.astype(np.int64) for worker in self.server.writers), np.zeros(1, np.int64)
        )
        if len(counts) == 1:
            return 0.0
        middles = np.minimum((EDGES[:-1] + EDGES[1:]) / 2, EDGES[-2])
        return float((counts * middles).sum() / self.window_ns)

    def burns(self, worker: Worker, peers: Iterable[Worker]) -> bool:
        """Whether it uses far more CPU a reply than its peers do at the median."""
        theirs = [cpu_each(peer) for peer in peers if peer.id != worker.id]
        usual = statistics.median(theirs) if theirs else 0.0
        return cpu_each(worker) >= self.thresholds.straggler * usual > 0

    def per_second(self, number: float) -> float:
        return number * 1e9 / self.window_ns if self.window_ns else 0.0

    def takes_turns(self, worker: Worker) -> bool:
        """Whether this acceptor's waits end by timeout again and again: it waits for a lock or its turn."""
        ended = worker.waits - bool(worker.flags & WorkerFlag.IN_WAIT)
        timeouts = ended - worker.wakeups
        return timeouts >= 3 and timeouts / max(ended, 1) >= self.thresholds.lock_turns


def cpu_each(worker: Worker) -> float:
    """Nanoseconds of CPU a reply."""
    return worker.cpu_ns / max(worker.writes, 1)


def thread(worker: Worker) -> str:
    """A thread as a person finds it in ps."""
    name = worker.comm or "thread"
    if worker.pid == worker.tid:
        return f"{name} (process {worker.pid})"
    return f"{name} (thread {worker.tid} of process {worker.pid})"


def percent(part: float) -> str:
    return f"{100 * part:.0f} %"


def shares(values: Iterable[float]) -> str:
    """``349, 17, 4, 0``: the largest first, at most eight."""
    ordered = sorted(values, reverse=True)
    text = ", ".join(formatting.count(value) for value in ordered[:8])
    return f"{text}, …" if len(ordered) > 8 else text


def skew_evidence(name: str, figure: Any) -> Mapping[str, float | int | str]:
    """The figures of a fairness, as evidence."""
    fair = figure.fairness if hasattr(figure, "fairness") else figure
    return {
        name: shares(fair.values),
        "sharers": len(fair.values),
        "max_over_mean": round(fair.max_over_mean, 3),
        "cv": round(fair.cv, 4),
        "noise_cv": round(fair.noise_cv, 4),
        "p_value": float(f"{fair.p_value:.3g}"),
    }
