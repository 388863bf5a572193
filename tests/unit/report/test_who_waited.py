"""Which threads waited for a listener, as the reports show it."""

from __future__ import annotations

from dataclasses import replace

from sockscope.analysis.frame import Frame
from sockscope.model.snapshot import Waiting
from sockscope.report import text
from sockscope.report.html import page as html_page
from sockscope.report.json import document
from tests.unit.report.conftest import shown


def looked_at(looks: int, *waiting: tuple[int, int]) -> Frame:
    """A server of one listener, looked at so often; (worker id, at how many looks it waited) each."""
    frame, _ = shown("straggler")
    (listener,) = frame.snapshot.listeners
    rows = tuple(Waiting(listener.id, worker, times) for worker, times in waiting)
    (server,) = frame.servers
    listeners = (replace(listener, samples=looks),)
    group = replace(server.group, listeners=listeners)
    snapshot = replace(frame.snapshot, listeners=listeners, waiting=rows)
    return replace(frame, snapshot=snapshot, servers=(replace(server, group=group),))


def test_the_text_report_has_each_threads_share_of_the_samples() -> None:
    frame = looked_at(40, (1, 10), (2, 40))
    first, second, third = (frame.snapshot.workers[number].tid for number in (1, 2, 3))
    lines = {
        line.split()[0].partition("/")[2]: line
        for line in text.render(frame).splitlines()
        if line.startswith("  4")
    }
    assert lines[str(first)].endswith("  25.0 %")
    assert lines[str(second)].endswith(" 100.0 %")
    assert lines[str(third)].endswith("       –")
    assert (
        "(waiting: share of 40 sampled arrivals at which the thread was waiting for this listener)"
        in text.render(frame)
    )
    assert "could not be named" not in text.render(frame)
    assert "waiting for the listener" in html_page.render(frame)


def test_unidentified_waiters_are_reported() -> None:
    frame = looked_at(40, (1, 10), (0, 4))
    assert "(at 10.0 % of them, some waiting threads could not be identified)" in text.render(frame)
    (listener,) = document(frame)["listeners"]
    assert listener["samples_unnamed"] == 4
    assert [row["samples"] for row in listener["waiting"]] == [10]


def test_few_samples_are_not_reported() -> None:
    frame = looked_at(7, (1, 7))
    assert "waited:" not in text.render(frame)
    assert "waiting for the listener" not in html_page.render(frame)
