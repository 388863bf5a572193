"""Each finding comes with the chart that proves it, and with numbers in units."""

from __future__ import annotations

from dataclasses import replace

import pytest
from driving import busy, drive, text_of, until
from feeding import FINDINGS as SHOWN
from textual.pilot import Pilot

from sockscope.analysis.findings import FINDINGS
from sockscope.analysis.frame import Finding, Frame
from sockscope.model.history import HISTOGRAMS, LISTENER_SERIES
from sockscope.tui.app import Dashboard
from sockscope.tui.finding_text import CHARTS, chart_for, format_value
from sockscope.tui.screens.finding import FindingScreen
from sockscope.tui.widgets.heatmap import METRICS, PROOFS


def test_every_finding_has_a_chart_and_every_chart_a_finding() -> None:
    assert set(CHARTS) == {detector.id for detector in FINDINGS}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_of_something_that_is_measured(name: str) -> None:
    chart, what = CHARTS[name]
    assert (
        what
        in {
            "timeline": LISTENER_SERIES,
            "spectrogram": HISTOGRAMS,
            "heat": [metric.name for metric in (*METRICS, *PROOFS)],
            "flow": [""],
        }[chart]
    )


@pytest.mark.parametrize(
    ("chart", "words"),
    [
        ("timeline", "queue over time"),
        ("spectrogram", "one sample:"),
        ("heat", "Workers over time"),
        ("flow", "clients"),
    ],
)
def test_a_finding_opens_with_its_evidence_its_chart_and_what_to_do(chart: str, words: str) -> None:
    named = next(name for name, (kind, _) in CHARTS.items() if kind == chart)

    def change(frame: Frame) -> Frame:
        return replace(frame, findings=(replace(SHOWN[0], id=named),))

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("5", "enter")
        await until(pilot, lambda: isinstance(app.screen, FindingScreen) and words in text_of(app))
        shown = text_of(app)
        for part in ("Evidence", "drops 4,211", "queue wait p99 214 ms", "What to do", "1. Accept faster"):
            assert part in shown, part

    feed = busy()
    feed.change = change
    drive(feed, steps)


def test_a_finding_that_is_no_more_is_marked_as_passed_and_stays() -> None:
    feed = busy()

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("5", "enter")
        await until(pilot, lambda: isinstance(app.screen, FindingScreen))
        feed.change = lambda frame: replace(frame, findings=())
        feed.tick()
        await until(pilot, lambda: "no longer detected" in text_of(app))
        assert "Evidence" in text_of(app)

    drive(feed, steps)


def test_the_finding_under_the_cursor_is_told_below_the_list() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("5")
        await until(pilot, lambda: "The queue of this listener was at its limit" in text_of(app))
        await pilot.press("j")
        await until(pilot, lambda: "Move blocking work to other threads" in text_of(app))

    drive(busy(), steps)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("answer_p50_ms", 15.2, "15.2 ms"),
        ("cpu_per_request_us", 6640.0, "6.64 ms"),
        ("longest_ns", 291_000_000, "291 ms"),
        ("busiest_load", 0.934, "93.4 %"),
        ("p_value", 1e-9, "below 0.001"),
        ("p_value", 0.25, "0.25"),
        ("ratio", 35.9, "35.9"),
        ("requests", 12345, "12,345"),
        ("per_second", 12345.6, "12,346"),
        ("cv", float("nan"), "–"),
        ("thread", "a\x1b[31mb", "a\ufffd[31mb"),
    ],
)
def test_the_name_of_a_number_tells_its_unit(name: str, value: float | int | str, words: str) -> None:
    assert format_value(name, value) == words


def test_a_finding_of_tomorrow_has_a_chart_too() -> None:
    unknown = Finding("new-one", "notice", "t", "s", "e", {}, ())
    assert chart_for(unknown)[0] == "heat"
