"""What tracing costs, from what was timed to what is told."""

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
    told = measure_overhead(_snapshot(cost))
    assert told is not None
    assert told.user_share == pytest.approx(0.05)
    assert told.probe_share == pytest.approx(0.01)
    assert told.event_ns == pytest.approx(100)
    assert told.request_ns == pytest.approx(800)


def test_what_was_not_timed_is_not_told() -> None:
    told = measure_overhead(_snapshot(Cost(elapsed_ns=10, user_cpu_ns=1)))
    assert told is not None
    assert (told.probe_share, told.event_ns, told.request_ns) == (None, None, None)
    assert measure_overhead(_snapshot(Cost())) is None


def test_without_a_read_there_is_no_cost_of_one() -> None:
    cost = Cost(probe_ns=5, probe_runs=1, sampled_ns=10, elapsed_ns=10)
    told = measure_overhead(_snapshot(cost))
    assert told is not None
    assert told.request_ns is None
