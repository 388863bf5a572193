"""Durations in the kernel's buckets: four an octave from 1 µs to 69 s (probes/records.h)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sockscope.records.layout import BUCKETS, FIRST_OCTAVE

Counts = np.ndarray[Any, np.dtype[Any]]


def _edges() -> Counts:
    inner = np.arange(BUCKETS - 1)
    octave, quarter = FIRST_OCTAVE + inner // 4, inner % 4
    starts = (4 + quarter) * 2.0 ** (octave - 2)
    return np.concatenate([[0.0], starts, [np.inf]])


#: Bucket ``i`` covers [EDGES[i], EDGES[i + 1]) nanoseconds.
EDGES: Counts = _edges()


def bucket_of(ns: int) -> int:
    """The bucket of a duration; what ``bucket_of`` in probes/state.bpf.c computes."""
    return int(np.searchsorted(EDGES, ns, side="right")) - 1


def percentile(counts: Counts, fraction: float) -> float:
    """The duration below which ``fraction`` of the counted lie, interpolated inside its bucket.

    NaN when nothing was counted.  A bucket is at most 25 % wide, so is the error.
    """
    total = int(counts.sum())
    if not total:
        return float("nan")
    wanted = fraction * total
    cumulative = np.cumsum(counts)
    index = int(np.searchsorted(cumulative, wanted, side="left"))
    index = min(index, len(counts) - 1)
    low, high = float(EDGES[index]), float(EDGES[index + 1])
    if not np.isfinite(high):
        return low
    before = float(cumulative[index - 1]) if index else 0.0
    inside = (wanted - before) / float(counts[index]) if counts[index] else 0.0
    return low + (high - low) * min(max(inside, 0.0), 1.0)
