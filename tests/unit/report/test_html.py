"""The HTML report: self-contained, escaped, with a text alternative for every chart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from sockscope.analysis.frame import Finding
from sockscope.model.history import LISTENER_SERIES, WORKER_SERIES
from sockscope.report.html import page as html_page
from sockscope.report.html.components import Card, Cell, Figure, FindingSection, Table
from sockscope.report.html.environment import _environment, mark_code, render_template
from sockscope.session.load_recording import coarser, history_of, read
from tests.synthetic import Scenario, SyntheticSource
from tests.unit.report.conftest import SCENARIOS, shown

VOID = {"meta", "br", "hr", "col"}


class Outline(HTMLParser):
    """Elements in order; fails on what is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


@pytest.fixture(params=["straggler", "overflow", "hostile"])
def page(request: pytest.FixtureRequest) -> str:
    return rendered(request.param)


@cache
def rendered(name: str) -> str:
    return html_page.render(*shown(name))


def test_the_page_loads_no_external_resource(page: str) -> None:
    for _, attributes in Outline(page).seen:
        for name in ("src", "href", "xlink:href", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    assert not re.search(r"url\((?!#)|@import|<script|<iframe|<link", page)


def test_every_chart_has_a_text_alternative_and_ids_are_unique(page: str) -> None:
    seen = Outline(page).seen
    charts = [attributes for name, attributes in seen if name == "svg"]
    assert len(charts) >= 6
    assert all(len(attributes.get("aria-label") or "") > 30 for attributes in charts)
    ids = [attributes["id"] for _, attributes in seen if attributes.get("id")]
    assert len(ids) == len(set(ids))


def test_charts_use_only_colours_that_the_style_sheet_defines(page: str) -> None:
    assert "#01f0" not in page
    used = set(re.findall(r"var\(--(\w+)\)", page))
    defined = set(re.findall(r"--(\w+):", page))
    assert used <= defined


def test_thread_names_are_escaped() -> None:
    page = rendered("hostile")
    assert "<script" not in page
    assert "&lt;script&gt;x" in page
    assert "$a|b`&amp;&#34;&#39;" in page  # not parsed as a formula
    assert "\x1b" not in page


def test_every_text_of_a_template_is_escaped() -> None:
    text = "<i>`\"'&"
    finding = FindingSection(
        *(text,) * 5, occurrences=((text, text),), cause=text, remedy=(text,), evidence=text
    )
    table = Table(text, (text, text), ((text, Cell(text, link=text, note=text)),))
    figure = Figure(text, (Markup("<svg></svg>"),), text, table, region=text, scale=text)
    macros = _environment().get_template("macros.html").module
    parts = [macros.finding(finding), macros.table(table), macros.figure(figure)]
    parts += [macros.cards([Card(text, (text,))]), macros.badge(text, text), mark_code(text)]
    for part in parts:
        assert "<i>" not in part
        Outline(re.sub("<code>|</code>", "", part))
    assert "<svg></svg>" in parts[2]


def test_a_template_fails_on_a_name_that_it_was_not_given() -> None:
    with pytest.raises(UndefinedError):
        render_template("report.html", title="x")


def test_a_table_row_has_as_many_cells_as_the_head() -> None:
    with pytest.raises(ValueError, match="2 cells"):
        Table("caption", ("a", "b"), (("1",),))


def test_findings_are_shown_with_their_remedies() -> None:
    frame, history = shown("even")
    finding = Finding("loop-stall", "critical", "A <loop> stalls", "x", "long", {"n": 1.5}, ("do `this`",))
    page = html_page.render(replace(frame, findings=(finding,)), history)
    assert "A &lt;loop&gt; stalls" in page
    assert "do <code>this</code>" in page


def test_the_summary_has_the_verdicts_and_links_to_the_servers() -> None:
    frame, history = shown("handoff")
    page = html_page.render(replace(frame, servers=frame.servers * 12), history)
    assert '<td><a href="#s0">0.0.0.0:8080 memcached</a></td><td><strong>handoff</strong></td>' in page
    links = re.findall(r'href="#(s\d+)"', page)
    assert len(links) == 6
    assert all(f'id="{link}"' in page for link in links)
    assert "6 servers with fewer connections have no section of their own" in page


def test_a_page_is_rendered_without_history_or_servers() -> None:
    frame, _ = shown("even")
    assert "Activity over time" not in html_page.render(frame)
    assert "No listening socket matched" in html_page.render(replace(frame, servers=(), groups=()))


def test_a_coarser_history_has_the_same_sums_and_peaks() -> None:
    scenario = Scenario("shared", workers=3, overflow=True)
    fine = history_of(SyntheticSource(scenario).batches(41), 41)
    coarse = history_of(SyntheticSource(scenario).batches(41), 41, points=10)
    assert (fine.ticks, coarse.ticks) == (40, 10)
    workers = list(fine.workers)
    for series in ("accepts", "reads", "busy", "cpu"):
        assert np.allclose(
            fine.worker(series, workers).sum(axis=1), coarse.worker(series, workers).sum(axis=1)
        )
    assert fine.listener("drops", [1]).sum() == coarse.listener("drops", [1]).sum()
    assert fine.listener("queue", [1]).max() == coarse.listener("queue", [1]).max()


def test_the_history_of_a_file_is_that_of_its_batches(recording: Callable[..., Path]) -> None:
    frame, history = read(recording("straggler"))
    _, lived = shown("straggler")
    assert history.times_ns.tolist() == lived.times_ns.tolist()
    for series in WORKER_SERIES:
        assert np.array_equal(history.worker(series, history.workers), lived.worker(series, history.workers))
    for series in LISTENER_SERIES:
        assert np.array_equal(history.listener(series, [1]), lived.listener(series, [1]))
    assert frame.snapshot.role_counts.sum() > 1000


def test_coarser_batches_keep_the_workers() -> None:
    def batches() -> Iterator[object]:
        return coarser(SyntheticSource(SCENARIOS["even"]).batches(7), 3)

    assert [len(batch.workers) > 0 for batch in batches()] == [True, True, True]
