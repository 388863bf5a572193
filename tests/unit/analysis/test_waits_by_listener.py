"""What is worked out for all listeners in one go is what a look at each of them alone gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sockscope.analysis.analyse import analyse
from sockscope.analysis.findings._connection_waits import Waits
from sockscope.analysis.findings._context import ServerContext
from sockscope.analysis.thresholds import Thresholds
from sockscope.model.state import State
from tests.synthetic import Scenario, SyntheticSource

_ROWS = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9), st.booleans()), max_size=40)


def _waits(rows: list[tuple[int, int, bool]]) -> Waits:
    listener, ns = (np.array([row[column] for row in rows], np.int64) for column in (0, 1))
    over = np.array([row[2] for row in rows], bool)
    number = np.arange(len(rows))
    return Waits(ns, number, listener, number, number, over)


@given(_ROWS)
def test_waits_by_listener_are_those_that_a_look_for_each_listener_finds(
    rows: list[tuple[int, int, bool]],
) -> None:
    waits = _waits(rows)
    found = waits.by_listener()
    assert set(found) == {listener for listener, _, _ in rows}
    for listener, mine in found.items():
        alone = waits.of(waits.listener == listener)
        for name in ("ns", "end_ns", "listener", "acceptor", "reader", "over"):
            assert getattr(mine, name).tolist() == getattr(alone, name).tolist()


def _case() -> ServerContext:
    source, state = SyntheticSource(Scenario("reuseport", 5, rate=3000, imbalance=0.5)), State(500)
    for batch in source.batches(3):
        state.apply(batch)
    frame = analyse(source.meta, state.snapshot())
    return ServerContext(frame, frame.servers[0], Thresholds())


def test_main_acceptors_equal_a_count_per_listener() -> None:
    case = _case()
    rows: Any = case.connections.copy()
    rows["acceptor"] = np.random.default_rng(1).integers(0, 4, len(rows))  # nobody, and three that are close
    few = rows[:40]
    few["listener"] = 1 + np.arange(40) // 5 % 4  # few enough for equals
    for chosen in (rows, few):
        case.__dict__["connections"] = chosen
        for derived in ("columns", "main_acceptors"):
            case.__dict__.pop(derived, None)
        for listener in range(1, 7):
            took = chosen["acceptor"][(chosen["listener"] == listener) & (chosen["acceptor"] > 0)]
            numbers, counts = np.unique(took, return_counts=True)
            alone = int(numbers[counts.argmax()]) if len(took) else None
            assert case.main_acceptors.get(listener) == alone
