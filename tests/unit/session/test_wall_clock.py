"""A machine's clock that is set under way changes nothing that was recorded, and is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sockscope.records.batch import Batch
from sockscope.records.layout import CONNECTION
from sockscope.store import Reader
from sockscope.store import wall_clock as clock_module
from sockscope.store.recording import RecordingSink
from sockscope.store.wall_clock import offset_ns
from tests.unit.store.recordings import META

SECOND = 1_000_000_000


def connection(number: int) -> Batch:
    """A batch with one connection, which waited 5 ms."""
    row = np.zeros(1, CONNECTION)
    row["id"], row["established_ns"] = number, number * SECOND
    row["accepted_ns"] = row["established_ns"] + 5_000_000
    return Batch(number * SECOND, connections=row)


@pytest.mark.parametrize(
    ("by_s", "way"), [(3600, "set forward by 3600 s"), (-0.5, "set back by 500 ms"), (0.02, ""), (0, "")]
)
def test_a_clock_that_was_set_is_told_and_harms_no_time(
    by_s: float, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, shift = clock_module.time.time_ns, [0]
    monkeypatch.setattr(clock_module.time, "time_ns", lambda: real() + shift[0])
    meta = replace(META, monotonic_offset_ns=offset_ns())
    with RecordingSink(tmp_path / "x", meta) as recording:
        recording.take(connection(1))
        shift[0] = round(by_s * SECOND)
        recording.take(connection(2))
        recording.take(connection(3))
    assert way in recording.tally.clock
    assert bool(recording.tally.clock) == bool(way)
    with Reader(tmp_path / "x") as reader:
        notes = [batch.health.notes for batch in reader.batches()]
        rows = (
            reader.connection()
            .execute("SELECT queue_wait_ns, epoch_ns(established_at) FROM connections ORDER BY id")
            .fetchall()
        )
    assert [len(some) for some in notes] == ([0, 1, 1] if way else [0, 0, 0])
    assert [wait for wait, _ in rows] == [5_000_000] * 3
    assert [at - rows[0][1] for _, at in rows] == [0, SECOND, 2 * SECOND]
