"""Every key on every screen of the real app."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from driving import busy, drive, settled, text_of, typed, until
from feeding import FINDINGS, LiveFeed
from textual.pilot import Pilot

from sockscope.analysis.frame import Frame
from sockscope.tui.app import Dashboard
from sockscope.tui.columns import fitting
from sockscope.tui.data_source import FrameContext
from sockscope.tui.rows.connections import COLUMNS
from sockscope.tui.rows.listeners import ListenerRows
from sockscope.tui.screens.connection import ConnectionScreen
from sockscope.tui.screens.finding import FindingScreen
from sockscope.tui.screens.help import HelpScreen
from sockscope.tui.screens.main import MainScreen
from sockscope.tui.screens.worker import WorkerScreen
from sockscope.tui.table import Table
from sockscope.tui.themes import PALETTES
from sockscope.tui.views import VIEWS
from sockscope.tui.widgets.header import Header
from sockscope.tui.widgets.heatmap import METRICS, HeatMap
from sockscope.tui.widgets.spectrogram import KINDS, Spectrogram
from sockscope.tui.widgets.text_panel import TextPanel
from tests.synthetic import Scenario


def table(app: Dashboard, view: str) -> Table:
    return app.main.query_one(f"#{view}-table", Table)


def test_numbers_turn_to_screens_and_each_says_in_its_help_how_to_read_it() -> None:
    words = (
        "Workers over time",
        "Accept queue over time",
        "Max stall",
        "In queue",
        "Finding ",
        "one sample:",
    )

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        for (key, name, view), word in zip(VIEWS, words, strict=True):
            await pilot.press(key)
            await pilot.pause()
            assert app.main.current == name
            assert app.main.view.context is app.shown
            assert word in text_of(app)
            await pilot.press("question_mark")
            assert isinstance(app.screen, HelpScreen)
            assert f"{view.title}: how to read it" in text_of(app)
            await pilot.press("escape")
            assert isinstance(app.screen, MainScreen)

    drive(busy(), steps)


def test_moving_in_a_table_with_arrows_and_with_vim_keys() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("4")
        rows = table(app, "connections")
        for keys, cursor in (
            ("j", 1), ("down", 2), ("k", 1), ("up", 0), ("up", 0), ("G", rows.shown - 1), ("g", 0),
            ("end", rows.shown - 1), ("home", 0),
        ):  # fmt: skip
            await pilot.press(keys)
            assert rows.cursor == cursor
        await pilot.press("pagedown")
        assert rows.cursor > 20
        await pilot.press("ctrl+u")
        assert rows.cursor == 0

    drive(busy(), steps)


def test_columns_that_do_not_fit_are_reached_sideways() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("3")
        assert "On CPU" not in text_of(app)
        await pilot.press(*["right"] * 8)
        await pilot.pause()
        assert "On CPU" in text_of(app)
        assert "Thread" in text_of(app)
        await pilot.press(*["h"] * 9)
        assert table(app, "workers").shift == 0

    drive(busy(), steps, size=(80, 24))


@pytest.mark.parametrize("width", [80, 120, 140])
def test_who_did_it_how_sure_that_is_and_how_long_it_took_are_seen_at_every_width(width: int) -> None:
    longest = {"acceptor": 30, "reader": 30}
    seen, widths = fitting(COLUMNS, 0, width - 3, longest)
    assert [column.key for column in seen][:6] == ["peer", "state", "acceptor", "reader", "exact", "wait"]
    assert sum(widths) + len(widths) <= width - 3


def test_sorting_goes_through_the_columns_and_turns() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("3")
        rows = table(app, "workers")
        assert (rows.sort_column, rows.descending) == ("accepts", True)
        await pilot.press("S")
        assert (rows.sort_column, rows.descending) == ("accepts", False)
        seen = []
        for _ in rows.columns:
            await pilot.press("s")
            seen.append(rows.sort_column)
            assert rows._column(rows.sort_column) in rows._visible()[0]
        assert sorted(seen) == sorted(column.key for column in rows.columns)

    drive(busy(), steps, size=(80, 24))


def test_a_click_on_a_heading_sorts_and_a_double_click_on_a_row_opens() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("3")
        rows = table(app, "workers")
        await pilot.click(rows, offset=(3, 0))
        assert rows.sort_column == "name"
        await pilot.click(rows, offset=(3, 2))
        assert rows.cursor == 1
        await pilot.click(rows, offset=(3, 2), times=2)
        await until(pilot, lambda: isinstance(app.screen, WorkerScreen))

    drive(busy(), steps)


def test_sort_cursor_and_filter_stay_when_new_moments_come() -> None:
    feed = busy()

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("4", "s", "s", "S", "j", "j", "j")
        rows = table(app, "connections")
        await pilot.press("slash")
        await typed(app, pilot, "state:open")
        await pilot.press("enter", "j")
        before = (rows.sort_column, rows.descending, rows.filter_text, rows.chosen)
        first = app.shown
        feed.tick()
        await until(pilot, lambda: app.shown is not first)
        assert (rows.sort_column, rows.descending, rows.filter_text) == before[:3]
        kept = app.shown and before[3] in app.shown.frame.snapshot.connections["id"]
        assert not kept or rows.chosen == before[3] or rows.filter_text

    drive(feed, steps)


def test_the_filter_works_while_it_is_typed_says_what_is_wrong_and_goes_with_escape() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("4")
        rows = table(app, "connections")
        everything = rows.shown
        await pilot.press("slash", *"wait:>2")
        await pilot.pause()
        assert "is not a duration" not in text_of(app)
        await pilot.press("m", "s")
        await pilot.pause()
        some = rows.shown
        assert 0 < some < everything
        assert f"{some:,} of {everything:,}" in text_of(app)
        await typed(app, pilot, " nonsense:1")
        assert "unknown key 'nonsense'" in text_of(app)
        await pilot.press("escape")
        await pilot.pause()
        assert rows.shown == everything
        await pilot.press("slash")
        await typed(app, pilot, "state:open")
        await pilot.press("enter")
        assert app.focused is rows
        await pilot.press("escape")
        await pilot.pause()
        assert rows.shown == everything

    drive(busy(), steps)


def test_a_filter_that_nothing_fits_says_so() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("4", "slash")
        await typed(app, pilot, "port:9")
        assert "matches the filter" in text_of(app)

    drive(busy(), steps)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_enter_opens_and_escape_goes_back_to_the_same_row(size: tuple[int, int]) -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        for view, screen, words in (
            ("3", WorkerScreen, "Loop stalls"), ("4", ConnectionScreen, "established"), ("5", FindingScreen, "Evidence"),
        ):  # fmt: skip
            await pilot.press(view, "j")
            chosen = table(app, app.main.current).chosen
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, screen) and words in text_of(app))  # noqa: B023
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, MainScreen))
            assert table(app, app.main.current).chosen == chosen

    drive(busy(), steps, size=size)


def test_from_a_worker_to_one_of_its_connections_and_back_twice() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("3", "enter")
        await until(pilot, lambda: isinstance(app.screen, WorkerScreen))
        await pilot.pause()
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(app.screen, ConnectionScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, WorkerScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, MainScreen))

    drive(busy(), steps)


def test_a_number_leaves_a_drill_down() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("3", "enter")
        await until(pilot, lambda: isinstance(app.screen, WorkerScreen))
        await pilot.press("6")
        assert isinstance(app.screen, MainScreen)
        assert app.main.current == "latency"

    drive(busy(), steps)


def test_enter_on_a_listener_shows_its_connections() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("2", "enter")
        await until(pilot, lambda: app.main.current == "connections")
        await until(pilot, lambda: table(app, "connections").filter_text == "port:8080")

    drive(busy(), steps)


def test_m_goes_through_what_a_screen_can_show() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        heat, waits = app.main.query_one(HeatMap), app.main.query_one("#spectrogram", Spectrogram)
        titles = set()
        for _ in METRICS:
            await pilot.press("m")
            await pilot.pause()
            titles.add(METRICS[heat.shown].title)
            assert METRICS[heat.shown].title in text_of(app)
        assert len(titles) == len(METRICS)
        await pilot.press("3", "m")
        await pilot.pause()
        assert "×1" in text_of(app)
        await pilot.press("6")
        for _ in KINDS:
            await pilot.press("m")
        assert waits.kind == 0

    drive(busy(), steps)


def test_latency_of_one_worker_or_of_all() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("6")
        assert "all workers" in text_of(app)
        await pilot.press("right")
        await pilot.pause()
        assert "of nginx 4001" in text_of(app)
        await pilot.press("left", "left")
        await pilot.pause()
        assert "of nginx 4004" in text_of(app)

    drive(busy(), steps)


def test_pause_holds_the_picture_while_collecting_goes_on_and_then_jumps_to_now() -> None:
    feed = busy()

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("p")
        held, picture = app.shown, text_of(app)
        assert "paused" in picture
        for _ in range(3):
            feed.tick()
        await until(pilot, lambda: app.latest is not held)
        await pilot.press("4", "3", "1")
        assert app.shown is held
        await until(pilot, lambda: feed.given == 4)
        await pilot.press("p")
        await until(pilot, lambda: app.shown is app.latest)
        assert app.shown is not held
        assert held
        assert app.shown
        # nothing was lost: each tick that came meanwhile is in the history
        assert app.shown.history.ticks == held.history.ticks + 3
        assert "paused" not in text_of(app)

    drive(feed, steps)


def test_r_records_and_stops(tmp_path: Path) -> None:
    feed = busy()

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("r")
        await pilot.pause()
        assert feed.recorded[0].parent == tmp_path
        assert "● recording sockscope-" in text_of(app)
        await pilot.press("r")
        await pilot.pause()
        assert feed.recording == ""
        assert "● recording" not in text_of(app)

    drive(feed, steps, directory=tmp_path)


def test_e_saves_what_is_seen_and_never_over_another_file(tmp_path: Path) -> None:
    saved: list[Frame] = []

    def save(frame: Frame, path: Path) -> Path:
        saved.append(frame)
        path.write_text("report")
        return path

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("e", "e")
        await pilot.pause()
        assert app.shown
        assert saved == [app.shown.frame] * 2

    drive(busy(), steps, directory=tmp_path, save=save)
    assert len(list(tmp_path.iterdir())) == 2


def test_e_without_a_report_saves_the_picture(tmp_path: Path) -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("e")

    drive(busy(), steps, directory=tmp_path)
    assert "<svg" in next(tmp_path.iterdir()).read_text()


def test_saving_where_one_may_not_is_said_and_nothing_breaks(tmp_path: Path) -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("e")
        await until(pilot, lambda: "Cannot save" in text_of(app))

    drive(busy(), steps, directory=tmp_path / "there" / "is" / "none", notifications=True)


def test_themes_go_round() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        seen = []
        for _ in PALETTES:
            await pilot.press("t")
            await pilot.pause()
            seen.append(app.theme)
        assert sorted(seen) == sorted(palette.name for palette in PALETTES)

    drive(busy(), steps)


def test_several_servers_are_chosen_with_up_and_down() -> None:
    feed = busy()

    def double(frame: Frame) -> Frame:
        first = frame.servers[0]
        group = replace(first.group, port=9090)
        return replace(frame, servers=(first, replace(first, group=group, connections=3)))

    feed.change = double

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        overview = app.main.view
        assert overview.server == "0.0.0.0:8080"  # type: ignore[attr-defined]
        await pilot.press("down")
        assert overview.server == "0.0.0.0:9090"  # type: ignore[attr-defined]
        await pilot.press("k")
        assert overview.server == "0.0.0.0:8080"  # type: ignore[attr-defined]
        assert "0.0.0.0:9090" in text_of(app)

    drive(feed, steps)


def test_tab_goes_to_the_heat_map_where_enter_opens_a_worker() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("tab", "down", "enter")
        await until(pilot, lambda: isinstance(app.screen, WorkerScreen))
        assert "nginx 4002" in text_of(app)

    drive(busy(), steps)


def test_a_click_on_a_tab_turns_to_it() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.click("#tabs", offset=(20, 0))
        assert app.main.current == "listeners"

    drive(busy(), steps)


@pytest.mark.slow
def test_resizing_at_any_time_on_any_screen() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        for key in "123456":
            await pilot.press(key)
            for size in ((80, 24), (250, 70), (40, 10), (120, 40)):
                await pilot.resize_terminal(*size)
                await pilot.pause()
                assert text_of(app).strip()
        await pilot.press("4", "enter")
        await pilot.resize_terminal(30, 6)
        await pilot.pause()

    drive(busy(), steps)


def test_findings_are_counted_in_the_tab_and_shown_gravest_first() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        assert "Findings 2" in text_of(app)
        await pilot.press("5")
        rows = table(app, "findings")
        assert rows._rows
        assert rows._rows.cell(int(rows._order[0]), "title")[0] == FINDINGS[0].title

    drive(busy(), steps)


def test_q_quits_and_the_feed_is_closed() -> None:
    feed = busy()

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("q")

    drive(feed, steps)
    assert feed.closed


def test_the_header_never_hides_lost_records() -> None:
    for size in ((60, 20), (80, 24), (200, 60)):

        async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
            assert "117 records lost" in text_of(app)
            await pilot.press("4", "enter")
            await until(pilot, lambda: isinstance(app.screen, ConnectionScreen))
            await until(pilot, lambda: "117 records lost" in text_of(app))

        drive(busy(lost=3), steps, size=size)


def test_only_the_screen_that_is_seen_gets_moments() -> None:
    feed = LiveFeed(Scenario())

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await settled(app, pilot)
        first = app.main.query_one("#connections")
        assert first.context is None  # type: ignore[attr-defined]
        assert app.main.query_one(Header).context is app.shown

    drive(feed, steps)


def test_the_row_under_the_cursor_is_told_below_the_table() -> None:
    feed = busy()

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("3")
        names = []
        for _ in range(2):
            more = app.main.query_one("#workers #more", TextPanel)
            await until(pilot, lambda: "p50" in text_of(app))
            names.append("".join(segment.text for segment in more.render_line(0)).split(" of process")[0])
            await pilot.press("j")
        assert names == [" nginx 4001", " nginx 4004"]
        await pilot.press("4")
        assert "first answer" in text_of(app)
        await pilot.press("2")
        assert "of socket 70000" in text_of(app)

    drive(feed, steps)


def test_a_key_that_does_nothing_here_says_where_it_does() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("slash")
        await until(pilot, lambda: "no table to filter here" in text_of(app))
        await pilot.press("2", "m")
        await until(pilot, lambda: "nothing to switch here" in text_of(app))

    drive(busy(), steps, notifications=True)


def test_the_footer_names_only_keys_that_do_something() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        for key, there, absent in (
            ("1", "Switch", "Filter"),
            ("4", "Filter", "Switch"),
            ("6", "Switch", "Sort"),
        ):
            await pilot.press(key)
            await pilot.pause()
            footer = text_of(app).splitlines()[-1]
            assert there in footer, key
            assert absent not in footer, key
            assert "Play" not in footer

    drive(busy(), steps)


def test_the_command_palette_knows_what_every_key_does() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        titles = [command.title for command in app.get_system_commands(app.screen)]
        for words in (
            "Workers (3)",
            "Pause",
            "Start or stop recording",
            "Save",
            "Theme: light, colour-blind safe",
            "Help",
            "Quit",
        ):
            assert any(title.startswith(words) for title in titles), words
        assert not any("tick" in title for title in titles)
        await pilot.press("ctrl+p", *"latency")
        await until(pilot, lambda: "Latency (6)" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.main.current == "latency")

    drive(busy(), steps)


def test_what_was_asked_for_a_backlog_stands_beside_the_limit_in_force() -> None:
    feed = busy()
    feed.start()
    found = feed.next(1)
    assert found
    context = FrameContext(*found)
    rows = ListenerRows(context)
    assert rows.cell(0, "limit")[0] == "128"
    assert rows.cell(0, "asked")[0] == "128"
    hosts = tuple(replace(host, somaxconn=128) for host in context.frame.snapshot.hosts)
    clamped = replace(context.frame, snapshot=replace(context.frame.snapshot, hosts=hosts))
    assert ListenerRows(FrameContext(clamped, context.history)).cell(0, "asked")[0] == "128+"


def test_what_a_queued_connection_waits_for_is_told_while_it_waits() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("4", "slash")
        await typed(app, pilot, "state:queued")
        await pilot.press("enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, ConnectionScreen))
        await until(pilot, lambda: "queue wait" in text_of(app) and "so far" in text_of(app))
        assert "not yet" in text_of(app)

    drive(busy(overflow=True), steps)
