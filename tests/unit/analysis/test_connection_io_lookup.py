"""The I/O of some of a snapshot's connections, compared with a search through all of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sockscope.analysis.work_distribution import _io_of
from sockscope.model.state import State
from tests.synthetic import Scenario, SyntheticSource


def test_io_of_some_connections_equals_a_full_search() -> None:
    source, state = SyntheticSource(Scenario("dispatch", 3, rate=2000)), State(1000)
    for batch in source.batches(3):
        state.apply(batch)
    whole = state.snapshot()
    assert len(whole.connection_io) > len(whole.connections)
    chance = np.random.default_rng(5)
    for number in (0, 1, 40, len(whole.connections) - 1):
        rows = whole.connections[chance.permutation(len(whole.connections))[:number]]
        expected = whole.connection_io[np.isin(whole.connection_io["connection"], rows["id"])]
        assert _io_of(whole, rows).tolist() == expected.tolist()
    none = replace(whole, connection_io=whole.connection_io[:0])
    assert len(_io_of(none, whole.connections[:5])) == 0
