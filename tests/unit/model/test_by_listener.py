"""Each listener's rows are found, and nobody else's."""

from __future__ import annotations

import numpy as np
import pytest

from sockscope.model.by_listener import ByListener


@pytest.mark.parametrize("highest", [1, 4, 70_000])
@pytest.mark.parametrize("count", [0, 1, 500])
def test_rows_are_those_that_a_look_through_all_finds(count: int, highest: int) -> None:
    listeners = np.random.default_rng(highest).integers(1, highest, count, np.uint32, endpoint=True)
    found = ByListener(listeners)
    some = np.unique(listeners).tolist()
    for numbers in ([], [1], [2, 1], [highest + 1], some, some[::2], [*some[:3], highest + 5]):
        rows = found.rows(iter(numbers))
        assert np.arange(count)[rows].tolist() == np.flatnonzero(np.isin(listeners, numbers)).tolist()
    assert found.rows(some) == slice(None)
