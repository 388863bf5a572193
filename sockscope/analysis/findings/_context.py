"""One server with everything that detectors need to know about it, computed once."""

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
from sockscope.analysis.frame import Frame
from sockscope.analysis.server import Group, Server
from sockscope.analysis.thresholds import Thresholds
from sockscope.analysis.work_distribution import (
    WorkDistribution,
    accepting_sharers,
    away_ns,
    busy_ns,
    get_connections,
    get_work_distribution,
    main_readers,
    serving_sharers,
)
from sockscope.model.histogram import EDGES, percentile
from sockscope.model.snapshot import Listener, Snapshot, Worker
from sockscope.records.batch import HostCounters
from sockscope.records.layout import ConnectionFlag, WorkerFlag

Records = np.ndarray[Any, np.dtype[Any]]

#: A fault that occurred this often, or in this part of the time, is not an accident.
AGAIN = 3
PART_OF_TIME = 0.2
#: epoll_wait, epoll_pwait and epoll_pwait2 of x86-64 and arm64.
_EPOLL_WAITS = frozenset({232, 281, 441, 22})


@dataclass(frozen=True)
class ServerContext:
    """A server in its frame; all values are of this server alone unless the name says otherwise."""

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
        """Return the server as the subject of a finding."""
        return f"{self.server.comm} on {self.group.name}" if self.server.comm else self.group.name

    @cached_property
    def figures(self) -> WorkDistribution:
        return get_work_distribution(self.snapshot, self.server)

    @cached_property
    def accepting(self) -> tuple[Worker, ...]:
        return accepting_sharers(self.snapshot, self.server)

    @cached_property
    def serving(self) -> tuple[Worker, ...]:
        return serving_sharers(self.snapshot, self.server)

    @cached_property
    def listeners(self) -> tuple[Listener, ...]:
        """Return the open listeners of the group."""
        return tuple(listener for listener in self.group.listeners if not listener.closed_ns)

    @cached_property
    def host(self) -> HostCounters | None:
        return next((host for host in self.snapshot.hosts if host.netns == self.group.netns), None)

    @cached_property
    def connections(self) -> Records:
        return get_connections(self.snapshot, self.group)

    @cached_property
    def columns(self) -> ByColumn:
        """Return the columns of :attr:`connections`."""
        return ByColumn(self.connections)

    @cached_property
    def readers(self) -> Records:
        """Return the main reader of each connection (0: none), in the order of :attr:`connections`."""
        return main_readers(self.snapshot, self.connections)

    @cached_property
    def window_ns(self) -> int:
        """Return the time from the first to the last activity, in ns; idle time before and after is left out."""
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
        """Return whether the window is long enough to judge a thread as busy or idle."""
        return self.window_ns >= self.thresholds.window_ns

    @cached_property
    def enough(self) -> bool:
        """Return whether there were enough connections to judge shares."""
        return self.server.connections >= self.thresholds.fewest

    @cached_property
    def queue_waits(self) -> Waits:
        """Return the queue waits (established → accepted); of waiting connections the time until now.

        Connections that were queued when tracing started have waited at least since then.
        """
        rows, now = self.columns, self.snapshot.time_ns
        before = (rows["flags"] & int(ConnectionFlag.UNACCEPTED_BEFORE)) != 0
        begins = np.where(
            (rows["established_ns"] == 0) & before, self.snapshot.started_ns, rows["established_ns"]
        )
        born = begins > 0
        waiting = (rows["accepted_ns"] == 0) & (rows["ending_ns"] == 0)
        chosen = born & ((rows["accepted_ns"] > 0) | waiting)
        ends = np.where(rows["accepted_ns"] > 0, rows["accepted_ns"], now).astype(np.int64)
        waited = ends - begins.astype(np.int64)
        return self._waits(waited, ends, rows["accepted_ns"] > 0).of(chosen)

    @cached_property
    def queue_waits_by_listener(self) -> Mapping[int, Waits]:
        """Return listener id → queue waits; listeners without any are left out."""
        return self.queue_waits.by_listener()

    @cached_property
    def main_acceptors(self) -> Mapping[int, int]:
        """Return listener id → worker id of the main acceptor (the smallest id of equals)."""
        rows = self.columns
        acceptors = rows["acceptor"]
        pairs = rows["listener"].astype(np.uint64) << np.uint64(32) | acceptors
        numbers, counts = np.unique(pairs[acceptors > 0], return_counts=True)
        upwards = numbers[np.lexsort((~numbers, counts))]  # the last one of each listener wins
        return {int(pair) >> 32: int(pair) & 0xFFFFFFFF for pair in upwards}

    @cached_property
    def data_waits(self) -> Waits:
        """Return the longest data wait (readable → read) of each connection, without its queue wait."""
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
        # when later waits ended is not recorded: use the time of the last change
        ends = np.where(longest > with_queue + 1000, rows["touched_ns"].astype(np.int64), read)
        return self._waits(waited, np.where(unread, now, ends), ~unread).of((read > 0) | unread)

    def _waits(self, ns: Records, ends: Records, over: Records) -> Waits:
        rows = self.columns
        return Waits(np.maximum(ns, 0), ends, rows["listener"], rows["acceptor"], self.readers, over)

    def lasting(self, waits: Waits, least_ns: int) -> bool:
        """Return whether waits of ``least_ns`` or more were frequent or took a large part of the time.

        A single hiccup (a paused machine, a burst) is not a property of the server.
        """
        number, together = waits.episodes(least_ns)
        return number >= AGAIN or together >= PART_OF_TIME * max(self.window_ns, self.thresholds.window_ns)

    def load(self, worker: Worker) -> float:
        """Return the part of the window that a thread was busy, 0 to 1."""
        if not self.window_ns:
            return 0.0
        spent = busy_ns(worker, self.snapshot.time_ns)
        if not worker.waits:
            # it never waits for sockets: only its CPU time is known
            spent = worker.cpu_ns
        return min(spent / self.window_ns, 1.0)

    def loads(self, workers: Iterable[Worker]) -> list[float]:
        return [self.load(worker) for worker in workers]

    def client_visible_wait(self, worker: Worker) -> float:
        """Return p90 of the waits for this thread (queue wait and data wait), in ns."""
        counts = worker.queue_wait.astype(np.int64) + worker.data_wait.astype(np.int64)
        p90 = percentile(counts, 0.9)
        return 0.0 if np.isnan(p90) else p90

    def saturated(self, worker: Worker) -> bool:
        """Return whether a thread is busy nearly all the time while connections wait for it."""
        limits = self.thresholds
        waited = self.client_visible_wait(worker)
        if not (self.long_enough and self.load(worker) >= limits.busy and waited >= limits.felt_ns):
            return False
        return self._occupied(worker) >= limits.busy

    def _occupied(self, worker: Worker) -> float:
        """Return the part of the window in which a thread had a connection; 1 if it serves several at a time.

        A thread that serves one connection at a time may sleep in accept() between them, and poll only with one;
        an epoll loop waits for its listener as well.
        """
        from sockscope.analysis.findings._occupancy import length, occupied_spans

        if worker.last_wait in _EPOLL_WAITS or not self.snapshot.all_kept:
            return 1.0
        if worker.id not in {one.id for one in self.server.acceptors}:
            return 1.0
        spans = occupied_spans(self, worker)
        return 1.0 if spans is None else length(spans) / max(self.window_ns, 1)

    def in_flight(self) -> float:
        """Return the mean number of requests read and not answered (rate times time; J. Little, 1961)."""
        if not self.window_ns:
            return 0.0
        counts = sum(
            (worker.answer.astype(np.int64) for worker in self.server.writers), np.zeros(1, np.int64)
        )
        if len(counts) == 1:
            return 0.0
        middles = np.minimum((EDGES[:-1] + EDGES[1:]) / 2, EDGES[-2])
        return float((counts * middles).sum() / self.window_ns)

    def is_cpu_bound(self, worker: Worker, peers: Iterable[Worker]) -> bool:
        """Return whether a thread uses far more CPU time per reply than the median of its peers."""
        theirs = [cpu_ns_per_reply(peer) for peer in peers if peer.id != worker.id]
        usual = statistics.median(theirs) if theirs else 0.0
        return cpu_ns_per_reply(worker) >= self.thresholds.straggler * usual > 0

    @cached_property
    def interchangeable_threads(self) -> bool:
        """Return whether a runtime runs any connection on any of its threads, as Go's scheduler does.

        Shares and absences of single threads say nothing about such a server.
        """
        acceptors = self.server.acceptors
        return self.server.roaming and len(acceptors) > 1 and len({one.pid for one in acceptors}) == 1

    def per_second(self, number: float) -> float:
        return number * 1e9 / self.window_ns if self.window_ns else 0.0

    def uses_accept_lock(self, worker: Worker) -> bool:
        """Return whether the waits of an acceptor often end by timeout: it waits for a lock or its turn."""
        ended = worker.waits - bool(worker.flags & WorkerFlag.IN_WAIT)
        timeouts = ended - worker.wakeups
        return timeouts >= 3 and timeouts / max(ended, 1) >= self.thresholds.lock_turns


def cpu_ns_per_reply(worker: Worker) -> float:
    """Return the CPU time per reply, in ns."""
    return worker.cpu_ns / max(worker.writes, 1)


def thread_label(worker: Worker) -> str:
    """Return the name and ids of a thread as ps shows them."""
    name = worker.comm or "thread"
    if worker.pid == worker.tid:
        return f"{name} (process {worker.pid})"
    return f"{name} (thread {worker.tid} of process {worker.pid})"


def percent(part: float) -> str:
    return f"{100 * part:.0f} %"


def shares(values: Iterable[float]) -> str:
    """Format shares as ``349, 17, 4, 0``: the largest first, at most eight."""
    ordered = sorted(values, reverse=True)
    text = ", ".join(formatting.count(value) for value in ordered[:8])
    return f"{text}, …" if len(ordered) > 8 else text


def skew_evidence(name: str, figure: Any) -> Mapping[str, float | int | str]:
    """Return the values of a fairness as evidence."""
    fair = figure.fairness if hasattr(figure, "fairness") else figure
    return {
        name: shares(fair.values),
        "sharers": len(fair.values),
        "max_over_mean": round(fair.max_over_mean, 3),
        "cv": round(fair.cv, 4),
        "noise_cv": round(fair.noise_cv, 4),
        "p_value": float(f"{fair.p_value:.3g}"),
    }
