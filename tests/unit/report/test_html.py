"""The HTML report: whole in itself, safe, told in words too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from sockscope.analysis.frame import Finding
from sockscope.model.history import LISTENER_SERIES, WORKER_SERIES
from sockscope.report.html import page as html_page
from sockscope.report.html.markup import Safe, tag
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


def test_it_needs_nothing_from_anywhere(page: str) -> None:
    for _, attributes in Outline(page).seen:
        for name in ("src", "href", "xlink:href", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    assert not re.search(r"url\((?!#)|@import|<script|<iframe|<link", page)


def test_every_picture_has_words_and_ids_are_unique(page: str) -> None:
    seen = Outline(page).seen
    charts = [attributes for name, attributes in seen if name == "svg"]
    assert len(charts) >= 6
    assert all(len(attributes.get("aria-label") or "") > 30 for attributes in charts)
    ids = [attributes["id"] for _, attributes in seen if attributes.get("id")]
    assert len(ids) == len(set(ids))


def test_colours_are_those_of_the_page(page: str) -> None:
    assert "#01f0" not in page
    used = set(re.findall(r"var\(--(\w+)\)", page))
    defined = set(re.findall(r"--(\w+):", page))
    assert used <= defined


def test_what_a_thread_calls_itself_is_text_and_nothing_else() -> None:
    page = rendered("hostile")
    assert "<script" not in page
    assert "&lt;script&gt;x" in page
    assert "$a|b`&amp;&quot;&#x27;" in page  # not taken for a formula
    assert "\x1b" not in page


def test_text_is_escaped_wherever_it_is_put() -> None:
    assert tag("p", "a<b", Safe("<i></i>"), title='"') == '<p title="&quot;">a&lt;b<i></i></p>'


def test_findings_stand_with_their_remedies() -> None:
    frame, history = shown("even")
    finding = Finding("loop-stall", "critical", "A <loop> stalls", "x", "long", {"n": 1.5}, ("do `this`",))
    page = html_page.render(replace(frame, findings=(finding,)), history)
    assert "A &lt;loop&gt; stalls" in page
    assert "do <code>this</code>" in page


def test_the_summary_has_the_verdict_and_leads_to_each_server() -> None:
    frame, history = shown("handoff")
    page = html_page.render(replace(frame, servers=frame.servers * 12), history)
    assert '<td><a href="#s0">0.0.0.0:8080 memcached</a></td><td><strong>handoff</strong></td>' in page
    links = re.findall(r'href="#(s\d+)"', page)
    assert len(links) == 6
    assert all(f'id="{link}"' in page for link in links)
    assert "6 servers with fewer connections have no section of their own" in page


def test_without_a_history_or_connections_there_is_a_page_still() -> None:
    frame, _ = shown("even")
    assert "What happened when" not in html_page.render(frame)
    assert "Nobody listened" in html_page.render(replace(frame, servers=(), groups=()))


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


def test_nothing_in_a_batch_that_a_history_reads_is_left_out() -> None:
    def batches() -> Iterator[object]:
        return coarser(SyntheticSource(SCENARIOS["even"]).batches(7), 3)

    assert [len(batch.workers) > 0 for batch in batches()] == [True, True, True]
