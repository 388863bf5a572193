"""The Markdown report: tables that are tables, and names that cannot break out of them."""

from __future__ import annotations

import re

import pytest

from sockscope.analysis.analyse import analyse
from sockscope.model.history import History
from sockscope.model.state import State
from sockscope.report import render as render_as
from sockscope.report.markdown import coded, escaped, render
from tests.synthetic import Scenario, SyntheticSource
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


def test_the_slowest_connections_are_listed() -> None:
    frame, _ = shown("straggler")
    for form in ("markdown", "text"):
        text = render_as(form, frame)
        assert "slowest connections" in text
        assert len(re.findall(r"queue \S+ [µm]?s, data \S+ [µm]?s, reply", text)) >= 3


def test_a_server_that_nobody_connected_to_is_not_called_sound() -> None:
    source = SyntheticSource(Scenario("reuseport", rate=0.0))
    state, history = State(), History()
    state.started_at(source.meta.started_ns)
    for batch in source.batches(3):
        state.apply(batch)
        history.apply(batch)
    idle = analyse(source.meta, state.snapshot())
    assert idle.servers
    assert "No connections were observed, so nothing can be judged." in render(idle)
    assert "No findings" not in render(idle)
    page = render_as("html", idle, history.view())
    assert "no connections" in page
    assert "no findings" not in page
    assert "No findings." in render(shown("even")[0])
