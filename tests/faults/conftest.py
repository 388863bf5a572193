"""What each fault came to, collected; with WRITE_RELIABILITY=1 it becomes docs/reliability.md,
with =some the rows of tests that were not run stay."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.faults import table

_ROWS: list[table.Row] = []
Told = Callable[..., None]


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Told:
    """``told(fault, outcome, tries=1)``: what a test did and saw, once all its assertions held."""

    def tell(fault: str, outcome: str, tries: int = 1) -> None:
        _ROWS.append(table.Row(fault, table.sentence(request.node.originalname), tries, outcome))

    return tell


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = (yield).get_result()
    if report.failed and isinstance(item, pytest.Function):
        _ROWS.append(table.Row("", table.sentence(item.originalname), 1, "**failed**"))


def pytest_sessionfinish() -> None:
    if os.environ.get("WRITE_RELIABILITY") and _ROWS:
        table.write_faults(_ROWS, keep=os.environ["WRITE_RELIABILITY"] == "some")
