"""Percentiles of durations that the kernel counted in buckets."""

from __future__ import annotations

import numpy as np

from sockscope.records.histogram import EDGES, Counts, bucket_of

__all__ = ["EDGES", "Counts", "bucket_of", "percentile"]


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
