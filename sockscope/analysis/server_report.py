"""Everything that reports and screens show of one server: computed here, formatted there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sockscope.analysis.fairness_over_time import Stretch, fairness_over_time
from sockscope.analysis.server import Server, Wait
from sockscope.analysis.server_io import ServerIo
from sockscope.analysis.server_waits import sum_waits
from sockscope.analysis.signal_requirements import is_traced
from sockscope.analysis.slow_connections import SlowConnection, find_slow_connections
from sockscope.analysis.waiter_samples import WaiterSamples, sample_waiters
from sockscope.analysis.work_distribution import (
    WorkDistribution,
    WorkShare,
    get_connections,
    get_work_distribution,
    open_each,
)
from sockscope.model.history import HistoryView
from sockscope.model.snapshot import Snapshot, Worker

Counts = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class ServerReport:
    """One server of a frame; every value is computed on first use and kept.

    :param snapshot: the snapshot of the frame
    :param server: the verdict on the server
    :param queue_wait: established → accepted
    :param data_wait: readable → read; None if that was not traced
    """

    snapshot: Snapshot
    server: Server
    queue_wait: Wait
    data_wait: Wait | None

    def is_traced(self, *what: str) -> bool:
        """Return whether the signals behind these metrics were traced."""
        return is_traced(self.snapshot, *what)

    @cached_property
    def distribution(self) -> WorkDistribution:
        """Return how the workers share each kind of work."""
        return get_work_distribution(self.snapshot, self.server)

    @cached_property
    def shared(self) -> tuple[WorkShare, ...]:
        """Return the kinds of work that several workers share."""
        return tuple(share for share in self.distribution if len(share.workers) > 1 and share.fairness.total)

    @cached_property
    def io(self) -> ServerIo:
        """Return worker id → reads and writes on connections of this server."""
        return ServerIo(self.snapshot, self.server)

    @cached_property
    def waiters(self) -> WaiterSamples:
        """Return which threads waited for the listeners, by samples at arrivals."""
        return sample_waiters(self.snapshot, {listener.id for listener in self.server.group.listeners})

    @cached_property
    def active(self) -> tuple[Worker, ...]:
        """Return the workers that did something for this server: most accepts first, then most reads."""
        accepts, io = self.server.group.accepts, self.io
        workers = [
            worker
            for worker in self.server.workers
            if accepts.get(worker.id)
            or io[worker.id].reads
            or io[worker.id].writes
            or worker.id in self.waiters.by_worker
        ]
        workers.sort(key=lambda worker: (-accepts.get(worker.id, 0), -io[worker.id].reads, worker.tid))
        return tuple(workers)

    @cached_property
    def idle_count(self) -> int:
        """Return the number of threads of its processes that did nothing for this server."""
        return len(self.server.workers) - len(self.active)

    @cached_property
    def works_for_others(self) -> bool:
        """Return whether an active worker read more than this server's connections account for."""
        return self.io.is_less_than_all(self.active)

    @cached_property
    def waits(self) -> Mapping[str, Counts]:
        """Return kind of wait → histogram (``records.histogram.EDGES``) over the threads that end it."""
        return sum_waits(self.server)

    @cached_property
    def open_connections(self) -> float:
        """Return the number of accepted connections that are open."""
        mine = get_connections(self.snapshot, self.server.group)
        return sum(open_each(self.snapshot, mine, list(self.snapshot.workers.values())))

    def slow_connections(self, number: int) -> tuple[SlowConnection, ...]:
        """Return the ``number`` connections that waited longest for the server, longest first."""
        return find_slow_connections(self.snapshot, self.server, number)

    def fairness_over_time(self, history: HistoryView | None) -> tuple[Stretch, ...]:
        """Return the fairness in equal stretches of the recording; empty without a history."""
        if history is None:
            return ()
        return fairness_over_time(history, self.snapshot, self.server, self.distribution)
