"""What tracing costs, from what was timed to what is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sockscope.analysis.own_cost import own_cost
from sockscope.records.batch import Cost, Health


def _snapshot(cost: Cost, *reads: int) -> Any:
    workers = {number: SimpleNamespace(reads=count) for number, count in enumerate(reads)}
    return SimpleNamespace(health=Health(cost=cost), workers=workers)


def test_a_request_costs_the_share_of_the_timed_moments_over_all_reads() -> None:
    # timed in one second of eight: 10 ms in 100,000 runs; 8 seconds brought 100,000 reads
    cost = Cost(
        probe_ns=10_000_000,
        probe_runs=100_000,
        sampled_ns=1_000_000_000,
        elapsed_ns=8_000_000_000,
        user_cpu_ns=400_000_000,
        resident_bytes=1,
    )
    told = own_cost(_snapshot(cost, 60_000, 40_000))
    assert told is not None
    assert told.user_share == pytest.approx(0.05)
    assert told.probe_share == pytest.approx(0.01)
    assert told.event_ns == pytest.approx(100)
    assert told.request_ns == pytest.approx(800)


def test_what_was_not_timed_is_not_told() -> None:
    told = own_cost(_snapshot(Cost(elapsed_ns=10, user_cpu_ns=1), 5))
    assert told is not None
    assert (told.probe_share, told.event_ns, told.request_ns) == (None, None, None)
    assert own_cost(_snapshot(Cost(), 5)) is None


def test_without_a_read_there_is_no_cost_of_one() -> None:
    cost = Cost(probe_ns=5, probe_runs=1, sampled_ns=10, elapsed_ns=10)
    told = own_cost(_snapshot(cost))
    assert told is not None
    assert told.request_ns is None
