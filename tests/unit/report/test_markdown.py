"""The Markdown report: tables that are tables, and names that cannot break out of them."""

from __future__ import annotations

import re

import pytest

from sockscope.report import render as render_as
from sockscope.report.markdown import coded, escaped, render
from tests.unit.report.conftest import SCENARIOS, shown


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_row_has_as_many_cells_as_its_head(name: str) -> None:
    width = 0
    for line in render(shown(name)[0]).splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        width = width or cells
        assert cells == width, line


def test_it_says_model_findings_and_losses() -> None:
    text = render(shown("overflow")[0])
    assert "**single" in text
    assert "## warning: " in text
    assert "Lost: nothing." in text
    assert "177" not in text
    assert re.search(r"Lost: \d+ connections", render(shown("straggler")[0]))


def test_names_are_shown_and_not_obeyed() -> None:
    text = render(shown("hostile")[0])
    assert "<script>" not in text
    assert r"\<script\>x" in text
    assert escaped("a|b\n# c [x](y)") == r"a\|b \# c \[x\](y)"


def test_remedies_keep_their_commands_and_nothing_else() -> None:
    assert coded("do `perf top -t 1` to <b>*x*") == "do `perf top -t 1` to \\<b\\>\\*x\\*"


def test_the_connections_that_waited_longest_are_told() -> None:
    frame, _ = shown("straggler")
    for form in ("markdown", "text"):
        text = render_as(form, frame)
        assert "waited longest" in text
        assert len(re.findall(r"queue \S+ [µm]?s, reader \S+ [µm]?s, answer", text)) >= 3
