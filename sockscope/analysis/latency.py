"""Distributions of queue wait and data wait."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sockscope.analysis.server import NO_WAIT, Group, Wait
from sockscope.model.histogram import percentile
from sockscope.model.snapshot import Snapshot, Worker

Records = np.ndarray[Any, np.dtype[Any]]


def queue_waits(snapshot: Snapshot, group: Group) -> Wait:
    """Return queue wait (established → accepted) of the listed connections of a group, exactly."""
    mine = snapshot.by_listener.rows(listener.id for listener in group.listeners)
    established = snapshot.connections["established_ns"][mine]
    accepted = snapshot.connections["accepted_ns"][mine]
    both = (established > 0) & (accepted > 0)
    return exact(accepted[both].astype(np.int64) - established[both].astype(np.int64))


def data_waits(snapshot: Snapshot, group: Group, workers: Iterable[Worker]) -> Wait:
    """Return data wait (readable → read) over all reads of the workers, from the histograms of the probes."""
    counted = sum((worker.data_wait.astype(np.int64) for worker in workers), np.zeros(1, np.int64))
    mine = snapshot.by_listener.rows(listener.id for listener in group.listeners)
    longest = snapshot.connections["data_wait_max_ns"][mine]
    wait = from_histogram(counted)
    highest = float(longest.max()) if len(longest) else wait.longest
    # percentiles are interpolated inside a bucket: limit them to the exact maximum
    return (
        Wait(wait.samples, min(wait.p50, highest), min(wait.p99, highest), highest) if wait.samples else wait
    )


def exact(waited: Records) -> Wait:
    """Return percentiles of exact durations, in ns."""
    if not len(waited):
        return NO_WAIT
    p50, p99 = np.percentile(waited, [50, 99])
    return Wait(len(waited), float(p50), float(p99), float(waited.max()))


def from_histogram(counts: Records) -> Wait:
    """Return percentiles of a histogram; ``longest`` is its p100."""
    samples = int(counts.sum())
    if not samples:
        return NO_WAIT
    return Wait(samples, percentile(counts, 0.5), percentile(counts, 0.99), percentile(counts, 1.0))
