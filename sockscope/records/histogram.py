"""The scale of the kernel's histograms: four buckets an octave from 1 µs to 69 s (probes/records.h)."""

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
    """The bucket of a duration; what ``histogram_bucket`` in probes/maps.bpf.c computes."""
    return int(np.searchsorted(EDGES, ns, side="right")) - 1
