"""Threads that live for one connection, thousands a second."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import ReportOutcome
from tests.faults.stand import lost, wrong
from tests.faults.threads import recorded

pytestmark = pytest.mark.kernel


@pytest.mark.slow
def test_short_lived_threads_are_all_recorded(tmp_path: Path, report_outcome: ReportOutcome) -> None:
    number = 20_000
    seen, answers, rate = recorded(tmp_path, number, 1500)
    assert rate > 1000
    assert seen["health"]["lost"] == []
    assert wrong(seen, answers) == []
    assert sum(worker["reads"] == 1 for worker in seen["workers"]) == number
    report_outcome(
        f"target: one thread per connection, {rate:,.0f} a second", "all recorded, none lost", number
    )


@pytest.mark.slow
def test_threads_that_end_faster_than_they_are_read_are_recorded_or_counted(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    number = 40_000
    seen, answers, rate = recorded(tmp_path, number, 0)
    assert rate > 1000
    unknown = sum(loss["count"] for loss in seen["health"]["lost"] if loss["what"] == "threads")
    assert sum(worker["reads"] == 1 for worker in seen["workers"]) + unknown == number
    assert len(seen["connections"]) + lost(seen) == number
    nobody = {row["remote"] for row in seen["connections"] if row["readers"][0]["tid"] is None}
    assert len(nobody) <= unknown
    seen["connections"] = [row for row in seen["connections"] if row["remote"] not in nobody]
    assert wrong(seen, [answer for answer in answers if answer.remote not in nobody]) == []
    report_outcome(
        f"target: one thread per connection, {rate:,.0f} a second",
        f"{number - unknown:,} recorded, {unknown:,} counted as lost, and their I/O attributed to no thread",
        number,
    )
