"""What the dashboard does with much: only what is seen is made, and nothing grows."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from driving import drive, until
from feeding import LiveFeed
from textual.pilot import Pilot

from sockscope.model.history import History
from sockscope.tui.app import Dashboard
from sockscope.tui.collector import Collector
from sockscope.tui.data_source import FrameContext
from sockscope.tui.rows.connections import COLUMNS, ConnectionRows
from sockscope.tui.screens.main import MainScreen
from sockscope.tui.table import Table
from tests.synthetic import Scenario, SyntheticSource

LARGE = Scenario("reuseport", 64, rate=20_000, lifetime_s=0.5, imbalance=0.3, straggler=3)


def test_cells_are_made_for_visible_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[str] = Counter()
    cell = ConnectionRows.cell

    def counted(rows: ConnectionRows, row: int, column: str) -> tuple[str, str]:
        made[column] += 1
        return cell(rows, row, column)

    monkeypatch.setattr(ConnectionRows, "cell", counted)
    feed = LiveFeed(LARGE, at_once=6, keep_closed=5000)

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("4")
        table = app.main.query_one("#connections-table", Table)
        assert table.total > 10_000
        made.clear()
        first = app.shown
        feed.tick()
        await until(pilot, lambda: app.shown is not first)
        # a frame may be drawn more than once, never row by row for what is not seen
        assert made.total() <= 4 * 40 * len(COLUMNS)

    drive(feed, steps)


def test_a_frame_reaches_only_what_is_on_top(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    show = MainScreen.show

    def counted(screen: MainScreen, context: Any) -> None:
        shown.append(context)
        show(screen, context)

    monkeypatch.setattr(MainScreen, "show", counted)
    feed = LiveFeed(Scenario())

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("3", "enter")
        await until(pilot, lambda: not isinstance(app.screen, MainScreen))
        shown.clear()
        first = app.shown
        feed.tick()
        await until(pilot, lambda: app.shown is not first)
        assert not shown

    drive(feed, steps)


@pytest.mark.slow
def test_thirty_minutes_of_history_take_no_more_room_than_three() -> None:
    source, history = SyntheticSource(Scenario("reuseport", 64, rate=500)), History()

    def held() -> int:
        return history._worker._rows.nbytes + sum(
            tick.counts.nbytes + tick.buckets.nbytes + tick.workers.nbytes for tick in history._spectra
        )

    sizes = []
    for index, batch in enumerate(source.batches(3600)):
        history.apply(batch)
        if index in (400, 3599):
            sizes.append(held())
    assert sizes[1] <= 1.1 * sizes[0]


@pytest.mark.slow
def test_history_keeps_up_with_the_largest_load_many_times_over() -> None:
    source, history = SyntheticSource(LARGE), History()
    batches = list(source.batches(12))
    begun = time.process_time()
    for batch in batches:
        history.apply(batch)
    spent, covered = time.process_time() - begun, len(batches) * LARGE.interval_ns / 1e9
    assert spent < 0.05 * covered


def test_a_slow_screen_makes_no_queue_of_moments() -> None:
    class Slow:
        def __init__(self) -> None:
            self.posted: list[Any] = []

        def post_message(self, message: Any) -> None:
            self.posted.append(message)

    app, feed = Slow(), LiveFeed(Scenario(), at_once=2)
    feed.start()
    found = [feed.next(1), (feed.tick(), feed.next(1))[1]]
    assert all(found)
    collector = Collector(app, feed)  # type: ignore[arg-type]
    contexts = [FrameContext(*each) for each in found if each]
    for context in contexts:
        collector._offer(context)
    assert len(app.posted) == 1
    assert collector.take() is contexts[1]
    assert collector.take() is None
    collector._offer(contexts[0])
    assert len(app.posted) == 2
