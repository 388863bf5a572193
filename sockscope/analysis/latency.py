"""How long connections waited: in the accept queue, and for a reader."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sockscope.analysis.server import Group, Wait
from sockscope.model.histogram import percentile
from sockscope.model.snapshot import Snapshot, Worker

Records = np.ndarray[Any, np.dtype[Any]]


def queue_waits(snapshot: Snapshot, group: Group) -> Wait:
    """Established → accepted, of the group's connections that are kept, exactly."""
    mine = snapshot.by_listener.rows(listener.id for listener in group.listeners)
    established = snapshot.connections["established_ns"][mine]
    accepted = snapshot.connections["accepted_ns"][mine]
    both = (established > 0) & (accepted > 0)
    return exact(accepted[both].astype(np.int64) - established[both].astype(np.int64))


def data_waits(snapshot: Snapshot, group: Group, workers: Iterable[Worker]) -> Wait:
    """Bytes readable → read, over all reads of the workers, from the kernel's histograms."""
    counted = sum((worker.data_wait.astype(np.int64) for worker in workers), np.zeros(1, np.int64))
    mine = snapshot.by_listener.rows(listener.id for listener in group.listeners)
    longest = snapshot.connections["data_wait_max_ns"][mine]
    wait = from_histogram(counted)
    highest = float(longest.max()) if len(longest) else wait.longest
    # a percentile is interpolated inside its bucket: never beyond what was measured exactly
    return (
        Wait(wait.samples, min(wait.p50, highest), min(wait.p99, highest), highest) if wait.samples else wait
    )


def exact(waited: Records) -> Wait:
    """Percentiles of measured durations."""
    if not len(waited):
        return Wait(0, float("nan"), float("nan"), float("nan"))
    p50, p99 = np.percentile(waited, [50, 99])
    return Wait(len(waited), float(p50), float(p99), float(waited.max()))


def from_histogram(counts: Records) -> Wait:
    """Percentiles from the kernel's buckets; ``longest`` is the p100 of the buckets."""
    samples = int(counts.sum())
    if not samples:
        return Wait(0, float("nan"), float("nan"), float("nan"))
    return Wait(samples, percentile(counts, 0.5), percentile(counts, 0.99), percentile(counts, 1.0))
