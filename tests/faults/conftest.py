"""Collect the outcome of each fault.

With WRITE_RELIABILITY=1 the outcomes replace the table of docs/reliability.md; with WRITE_RELIABILITY=some
the rows of tests that were not run are kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.faults import table

_ROWS: list[table.Row] = []
ReportOutcome = Callable[..., None]


@pytest.fixture
def report_outcome(request: pytest.FixtureRequest) -> ReportOutcome:
    """Return ``report_outcome(fault, outcome, tries=1)``, to be called once all assertions hold."""

    def report(fault: str, outcome: str, tries: int = 1) -> None:
        _ROWS.append(table.Row(fault, table.sentence(request.node.originalname), tries, outcome))

    return report


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = (yield).get_result()
    if report.failed and isinstance(item, pytest.Function):
        _ROWS.append(table.Row("", table.sentence(item.originalname), 1, "**failed**"))


def pytest_sessionfinish() -> None:
    if os.environ.get("WRITE_RELIABILITY") and _ROWS:
        table.write_faults(_ROWS, keep=os.environ["WRITE_RELIABILITY"] == "some")
