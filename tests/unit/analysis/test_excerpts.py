"""What the bench writes into docs/findings.md."""

from __future__ import annotations

from dataclasses import replace

from sockscope.analysis.frame import Finding
from tests.diagnosis.cases import CONTROLS, FAULTS
from tests.diagnosis.excerpts import Excerpts

DOCUMENT = "# Findings\n\n## herd\n\nText.\n\n- Do.\n\n## other\n\nText.\n"
FAULT = replace(FAULTS[0], name="of its own", expected="herd")


def finding(id: str, explanation: str) -> Finding:
    return Finding(id, "warning", "Title", "server", explanation, {}, ())


def test_an_excerpt_ends_its_section_and_is_replaced_by_the_next() -> None:
    first, second = Excerpts(), Excerpts()
    first.saw(FAULT, [finding("herd", "First.")])
    second.saw(FAULT, [finding("herd", "Second.")])
    once = first.put_into(DOCUMENT)
    assert (
        "- Do.\n\n<!-- seen -->\nSeen in a run of the bench (of its own):\n\n```\nwarning: Title [herd]\n  First.\n```\n<!-- /seen -->\n\n## other\n\nText.\n"
        in once
    )
    assert first.put_into(once) == once
    assert second.put_into(once) == once.replace("First.", "Second.")


def test_a_section_of_which_nothing_was_seen_stays() -> None:
    assert Excerpts().put_into(DOCUMENT) == DOCUMENT


def test_the_case_of_its_own_in_which_it_came_first_is_shown() -> None:
    excerpts = Excerpts()
    excerpts.saw(CONTROLS[0], [finding("herd", "By the way.")])
    excerpts.saw(FAULT, [finding("other", "Other."), finding("herd", "Second place.")])
    excerpts.saw(FAULT, [finding("herd", "Best.")])
    excerpts.saw(FAULT, [finding("herd", "Too late.")])
    assert "Best." in excerpts.put_into(DOCUMENT)
