"""One figure is the same in every form of the report."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from sockscope import formatting
from sockscope.analysis.frame import Frame
from sockscope.analysis.idle_servers import SHOWN_IDLE
from sockscope.report import markdown, text
from sockscope.report.html import page as html_page
from tests.unit.report.conftest import shown


def _serving_others_too() -> tuple[Frame, int]:
    """One thread did its work for another server's listener, but for seven reads; its tid."""
    frame, _ = shown("handoff")
    parts = frame.snapshot.listener_io.copy()
    part = parts[parts["reads"] > 7][:1]
    worker = frame.snapshot.workers[int(part["worker"][0])]
    parts["reads"][(parts["worker"] == worker.id)] = 7
    return replace(frame, snapshot=replace(frame.snapshot, listener_io=parts)), worker.tid


def test_what_a_thread_did_for_others_is_in_no_form_of_the_report() -> None:
    frame, tid = _serving_others_too()
    _, history = shown("handoff")
    plain = text.render(frame, history)
    assert re.search(rf"/{tid} +\S+ +– +7 ", plain), plain
    marked = markdown.render(frame)
    assert re.search(rf"\| {tid} \| 0 \| 7 \|", marked), marked
    page = re.sub(r"<[^>]+>", " ", html_page.render(frame, history))
    assert re.search(rf" {tid} +0 +7 +", page)
    for form in (plain, marked, page):
        assert "for other listeners" in form


@pytest.mark.parametrize("kind", ["queue_wait", "data_wait"])
def test_the_longest_wait_is_the_one_that_was_measured(kind: str) -> None:
    """The buckets of the kernel's histogram are exact to a quarter only."""
    frame, history = shown("handoff")
    (wait,) = getattr(frame, kind).values()
    page = re.sub(r"<[^>]+>", " ", html_page.render(frame, history))
    words = {"queue_wait": "queue wait", "data_wait": "data wait"}[kind]
    row = re.search(rf" {words} +{formatting.count(wait.samples)}((?: +[\d.]+ [µmn]?s)+) ", page)
    assert row, page
    assert row[1].split("  ")[-1].strip() == formatting.duration(wait.longest)


def test_a_table_without_rows_has_no_head() -> None:
    frame, _ = shown("even")
    idle = {
        number: replace(worker, accepts=0, accepts_eagain=0, reads=0, writes=0)
        for number, worker in frame.snapshot.workers.items()
    }
    (server,) = frame.servers
    server = replace(server, workers=tuple(idle.values()), group=replace(server.group, accepts={}))
    snapshot = replace(frame.snapshot, workers=idle, listener_io=frame.snapshot.listener_io[:0], waiting=())
    quiet = replace(frame, snapshot=snapshot, servers=(server,))
    plain = text.render(quiet)
    assert "pid/tid" not in plain
    assert "used no connection" in plain
    assert "| thread |" not in markdown.render(quiet)
    assert "No thread used a connection." in markdown.render(quiet)


def test_of_many_idle_servers_a_few_are_listed_and_the_rest_counted() -> None:
    frame, _ = shown("even")
    (server,) = frame.servers
    quiet = replace(server, connections=0)
    many = replace(frame, servers=(*[quiet] * 500, server))
    for form in (text, markdown):
        plain = form.render(many)
        assert plain.count(f"(pid {server.pid})") == SHOWN_IDLE + 1  # the last one, too
        assert f"and {500 - SHOWN_IDLE} more servers without connections" in plain
        assert "more server" not in form.render(replace(frame, servers=(quiet,) * SHOWN_IDLE))
