"""docs/servers.md has every server that is tested, with the verdict that the test demands."""

from __future__ import annotations

import pytest

from tests.servers.real_servers import REAL, Real
from tests.servers.table_of_servers import (
    DOCUMENT,
    by_its_nature,
    differences,
    evidence_of,
    rows_of,
    verdict_words,
)


@pytest.mark.parametrize("real", REAL, ids=lambda real: real.name)
def test_the_page_says_of_a_server_what_its_test_says(real: Real) -> None:
    found = rows_of(DOCUMENT.read_text())[real.software, real.how]
    allowed = {verdict_words(real.model, real.handoff, real.roaming)}
    if real.may_roam:
        allowed.add(verdict_words(real.model, real.handoff, not real.roaming))
    assert any(f"| {words} |" in found for words in allowed), found
    assert real.remark in found


def test_the_page_has_no_server_that_is_not_tested() -> None:
    there = {(real.software, real.how) for real in REAL} | {("server", "configuration")}
    assert rows_of(DOCUMENT.read_text()).keys() <= there


def test_what_is_compared_is_what_no_run_changes() -> None:
    evidence = (
        "2 threads accepted 224 connections on one listening socket",
        "when a connection came, 1.4 of 2 threads waited for the socket, each at 64 to 79 % of 14 looks; one is woken",
        "224 of 224 connections were read by their acceptor",
        "160 of 224 connections were read by several threads",
    )
    same = (evidence[1].replace("1.4", "0.9"), "84 of 84 connections were read by their acceptor")
    compared = {"threads waited for the socket", "one is woken", "connections were read by their acceptor"}
    assert by_its_nature(evidence) == by_its_nature(same) == compared
    assert by_its_nature([sentence.replace("one is", "all are") for sentence in evidence]) != compared


@pytest.mark.parametrize("real", REAL, ids=lambda real: real.name)
def test_what_the_page_says_of_each_server_can_be_compared(real: Real) -> None:
    told = evidence_of(rows_of(DOCUMENT.read_text())[real.software, real.how])
    assert by_its_nature(told) or real.model == "dispatch", told
    assert differences(real, told) == frozenset()
    assert differences(real, [*told, "SO_REUSEPORT is set, and is used"]) != frozenset()
