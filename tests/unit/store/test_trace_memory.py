"""Recording takes little memory, however long it lasts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.store.recordings import run

_SCRIPT = """
from tests.unit.store.measure import Load, memory_mb
load, ticks = Load(20_000), int(sys.argv[2])
load.batch(0)
writer = Writer(sys.argv[1], META)
resident = []
for tick in range(ticks):
    writer.write(load.batch(tick))
    writer.commit()
    resident.append(memory_mb()["VmRSS"])
writer.close()
import sockscope.store.memory_trim
print(max(resident[: ticks // 2]), max(resident[ticks // 2 :]), memory_mb()["VmHWM"])
"""


def test_twenty_thousand_connections_a_second_take_no_more_memory_with_time(tmp_path: Path) -> None:
    first, second, peak = map(int, run(_SCRIPT, tmp_path / "x", 12).split())
    assert second <= first + 6
    assert peak <= 150  # with Python, numpy, the test's own batches and DuckDB's code


@pytest.mark.slow
def test_five_million_rows_take_no_more_memory_than_a_few(tmp_path: Path) -> None:
    first, second, peak = map(int, run(_SCRIPT, tmp_path / "x", 200).split())
    assert second <= first + 10
    assert peak <= 160
