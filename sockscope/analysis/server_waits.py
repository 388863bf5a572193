"""The four waits of a server, added up over the threads whose part it is to end them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sockscope.analysis.server import Server
from sockscope.model.snapshot import Worker
from sockscope.records.layout import BUCKETS

Counts = np.ndarray[Any, np.dtype[Any]]

#: Histogram of a thread → in words what was waited for.
WORDS = {
    "queue_wait": "in the queue",
    "data_wait": "for a reader",
    "answer": "for an answer",
    "stall": "loop away",
}


def sum_waits(server: Server) -> dict[str, Counts]:
    """For each of :data:`WORDS` the counts by bucket (``records.histogram.EDGES``)."""
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
