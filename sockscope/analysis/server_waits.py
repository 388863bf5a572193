"""The four kinds of waits of a server, summed over the threads that end them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sockscope.analysis.server import Server
from sockscope.model.snapshot import Worker
from sockscope.records.layout import BUCKETS

Counts = np.ndarray[Any, np.dtype[Any]]

#: Histogram of a thread → name of the wait.
NAMES = {
    "queue_wait": "queue wait",
    "data_wait": "data wait",
    "answer": "reply time",
    "stall": "loop stall",
}


def sum_waits(server: Server) -> dict[str, Counts]:
    """Return for each of :data:`NAMES` the counts by bucket (``records.histogram.EDGES``)."""
    whose: dict[str, Iterable[Worker]] = {
        "queue_wait": server.acceptors,
        "data_wait": server.readers,
        "answer": server.writers,
        "stall": server.workers,
    }
    return {kind: _sum(getattr(worker, kind) for worker in workers) for kind, workers in whose.items()}


def _sum(histograms: Iterable[Counts]) -> Counts:
    total: Counts = np.zeros(BUCKETS, np.int64)
    for counts in histograms:
        total = total + counts.astype(np.int64)
    return total
