"""docs/servers.md has every server that is tested, with the verdict that the test demands."""

from __future__ import annotations

import pytest

from tests.servers.real_servers import REAL, Real
from tests.servers.table_of_servers import DOCUMENT, rows_of, verdict_words


@pytest.mark.parametrize("real", REAL, ids=lambda real: real.name)
def test_the_page_says_of_a_server_what_its_test_says(real: Real) -> None:
    found = rows_of(DOCUMENT.read_text())[real.software, real.how]
    allowed = {verdict_words(real.model, real.handoff, real.roaming)}
    if real.may_roam:
        allowed.add(verdict_words(real.model, real.handoff, not real.roaming))
    assert any(f"| {words} |" in found for words in allowed), found
    assert real.remark in found


def test_the_page_has_no_server_that_is_not_tested() -> None:
    there = {(real.software, real.how) for real in REAL} | {("server", "started as")}
    assert rows_of(DOCUMENT.read_text()).keys() <= there
