"""Fairness in stretches of time."""

from __future__ import annotations

import itertools

import numpy as np

from sockscope.analysis.analyse import analyse
from sockscope.analysis.fairness_over_time import Stretch, fairness_over_time
from sockscope.analysis.work_distribution import get_work_distribution
from sockscope.model.history import History
from sockscope.model.state import State
from tests.synthetic import Scenario, SyntheticSource


def _stretches(scenario: Scenario, ticks: int = 40, parts: int = 4) -> tuple[Stretch, ...]:
    source = SyntheticSource(scenario)
    state, history = State(), History()
    state.started_at(source.meta.started_ns)
    for batch in source.batches(ticks):
        state.apply(batch)
        history.apply(batch)
    frame = analyse(source.meta, state.snapshot())
    (server,) = frame.servers
    return fairness_over_time(
        history.view(), frame.snapshot, server, get_work_distribution(frame.snapshot, server), parts
    )


def test_stretches_follow_each_other_and_cover_all_ticks() -> None:
    stretches = _stretches(Scenario("reuseport"))
    assert len(stretches) == 4
    for one, next_one in itertools.pairwise(stretches):
        assert abs(next_one.begin_ns - one.end_ns) <= 1000  # seconds are kept as floats
    accepted = [stretch.fairness["accepts"].total for stretch in stretches]
    assert min(accepted) > 0
    assert max(accepted) < 2 * min(accepted)


def test_an_even_server_is_even_in_each_stretch_and_a_skewed_one_is_not() -> None:
    even = [one.fairness["accepts"].judgement for one in _stretches(Scenario("reuseport"))]
    assert set(even) <= {"even", "within_noise"}
    skewed = [one.fairness["accepts"].judgement for one in _stretches(Scenario("shared", imbalance=4.0))]
    assert skewed == ["skewed"] * 4


def test_open_connections_are_those_of_the_end_of_a_stretch() -> None:
    source = SyntheticSource(Scenario("reuseport"))
    state, history = State(), History()
    state.started_at(source.meta.started_ns)
    for batch in source.batches(40):
        state.apply(batch)
        history.apply(batch)
    frame = analyse(source.meta, state.snapshot())
    (server,) = frame.servers
    stretch = fairness_over_time(
        history.view(), frame.snapshot, server, get_work_distribution(frame.snapshot, server), 4
    )[1]
    rows = frame.snapshot.connections
    alive = (rows["accepted_ns"] > 0) & (rows["accepted_ns"] <= stretch.end_ns)
    alive &= (rows["ending_ns"] == 0) | (rows["ending_ns"] > stretch.end_ns)
    assert stretch.fairness["open connections"].total == np.count_nonzero(alive)


def test_without_a_history_there_are_no_stretches() -> None:
    assert _stretches(Scenario("reuseport"), ticks=1) == ()
