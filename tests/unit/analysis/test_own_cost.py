"""The overhead of tracing, from what was timed to what is shown."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sockscope.analysis.overhead import measure_overhead
from sockscope.records.batch import Cost, Health


def _snapshot(cost: Cost) -> Any:
    return SimpleNamespace(health=Health(cost=cost))


def test_a_request_costs_what_the_probes_took_while_they_were_timed() -> None:
    # timed in one second of eight: 10 ms in 100,000 runs, 12,500 reads; the other seven had other traffic
    cost = Cost(
        probe_ns=10_000_000,
        probe_runs=100_000,
        sampled_ns=1_000_000_000,
        elapsed_ns=8_000_000_000,
        user_cpu_ns=400_000_000,
        resident_bytes=1,
        sampled_reads=12_500,
    )
    overhead = measure_overhead(_snapshot(cost))
    assert overhead is not None
    assert overhead.user_share == pytest.approx(0.05)
    assert overhead.probe_share == pytest.approx(0.01)
    assert overhead.event_ns == pytest.approx(100)
    assert overhead.request_ns == pytest.approx(800)


def test_overhead_that_was_not_timed_is_none() -> None:
    overhead = measure_overhead(_snapshot(Cost(elapsed_ns=10, user_cpu_ns=1)))
    assert overhead is not None
    assert (overhead.probe_share, overhead.event_ns, overhead.request_ns) == (None, None, None)
    assert measure_overhead(_snapshot(Cost())) is None


def test_without_a_read_there_is_no_cost_of_one() -> None:
    cost = Cost(probe_ns=5, probe_runs=1, sampled_ns=10, elapsed_ns=10)
    overhead = measure_overhead(_snapshot(cost))
    assert overhead is not None
    assert overhead.request_ns is None
