"""Records that are copied as bytes are the same records."""

from __future__ import annotations

import numpy as np
import pytest

from sockscope.records.layout import CONNECTION, EVENT, WORKER
from sockscope.records.structured import as_void, concat, take


@pytest.mark.parametrize("kind", [CONNECTION, WORKER, EVENT, np.dtype("<u8")], ids=str)
def test_they_are_what_numpy_makes_field_by_field(kind: np.dtype) -> None:  # type: ignore[type-arg]
    octets = np.random.default_rng(1).integers(0, 256, 40 * kind.itemsize, np.uint8)
    records = octets.view(kind)
    every_other, mask = records[::2], np.arange(40) % 3 == 0
    together = concat([every_other, records, records[:0]])
    assert together.dtype == kind
    assert together.tobytes() == np.concatenate([every_other, records]).tobytes()
    assert take(records, mask).tobytes() == records[mask].tobytes()
    assert take(records, mask).dtype == kind
    assert not np.shares_memory(take(records, np.ones(40, bool)), records)
    as_void(records)[1] = as_void(records)[0]
    assert records[1].tobytes() == records[0].tobytes()


def test_they_go_where_one_says() -> None:
    room = np.zeros(6, EVENT)
    some = np.zeros(2, EVENT)
    some["worker"] = [3, 4]
    assert concat([some, some], room[1:5]).base is room
    assert room["worker"].tolist() == [0, 3, 4, 3, 4, 0]
