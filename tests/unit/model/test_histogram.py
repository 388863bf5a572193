"""The kernel's buckets: the same scale on both sides, and percentiles within a bucket's width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockscope.model.histogram import EDGES, bucket_of, percentile
from sockscope.records.layout import BUCKETS, FIRST_OCTAVE, LAST_OCTAVE


def _as_the_probes_do(ns: int) -> int:
    """histogram_bucket in probes/maps.bpf.c, word for word."""
    if ns >> LAST_OCTAVE:
        return BUCKETS - 1
    if not ns >> FIRST_OCTAVE:
        return 0
    octave = ns.bit_length() - 1
    return 1 + (octave - FIRST_OCTAVE) * 4 + ((ns >> (octave - 2)) & 3)


@given(st.integers(0, 2**40))
def test_a_duration_falls_into_the_bucket_that_the_probes_choose(ns: int) -> None:
    bucket = bucket_of(ns)
    assert bucket == _as_the_probes_do(ns)
    assert EDGES[bucket] <= ns < EDGES[bucket + 1]


def test_the_edges_are_those_of_the_header() -> None:
    assert len(EDGES) == BUCKETS + 1
    assert (EDGES[0], EDGES[1], EDGES[-2]) == (0, 2**FIRST_OCTAVE, 2**LAST_OCTAVE)


@given(st.lists(st.integers(1024, 2**35), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_off_by_at_most_a_buckets_width(durations: list[int], fraction: float) -> None:
    counts = np.bincount([bucket_of(ns) for ns in durations], minlength=BUCKETS)
    true = sorted(durations)[max(int(np.ceil(fraction * len(durations))) - 1, 0)]
    assert percentile(counts, fraction) == pytest.approx(true, rel=0.2501)


def test_nothing_counted_has_no_percentile() -> None:
    assert np.isnan(percentile(np.zeros(BUCKETS, np.uint32), 0.5))
