"""What goes wrong is said, and the terminal is left as it was."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from driving import busy, drive, text_of, until
from feeding import LiveFeed
from textual.pilot import Pilot

from sockscope.cli.live import Live, _without_web_option, need_terminal, serve
from sockscope.cli.replay import Replay
from sockscope.errors import SockscopeError, UsageError
from sockscope.tui import screens, views, widgets
from sockscope.tui.app import Dashboard
from sockscope.tui.text_line import cells_each, columns, fit, fit_name, sparkline, wrap
from sockscope.tui.views import VIEWS
from tests.synthetic import Scenario

HOSTILE = ("[red]x[/red]", "\x1b[31mred", "[bold", "a]b[/", "日本語の名前", "\x07\n\t")


def test_a_source_that_fails_in_the_middle_is_said_and_what_was_seen_stays() -> None:
    feed = LiveFeed(Scenario(), fail_after=1)

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        feed.tick()
        await until(pilot, lambda: "no longer gives records" in text_of(app))
        await pilot.press("4", "3", "1")
        assert "Workers over time" in text_of(app)

    app = drive(feed, steps)
    assert not app.failure
    assert feed.closed


def test_a_source_that_cannot_start_ends_the_app_with_its_reason() -> None:
    class Broken(LiveFeed):
        def start(self) -> None:
            raise SockscopeError("tracing needs root; run it with sudo")

    feed = Broken(Scenario())

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await until(pilot, lambda: bool(app.failure))

    app = drive(feed, steps)
    assert app.failure == "tracing needs root; run it with sudo"
    assert app.return_code == 1
    assert feed.closed


def test_a_target_that_ends_is_said() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await until(pilot, lambda: "the target is gone" in text_of(app))

    drive(LiveFeed(Scenario(gone_at=30)), steps)


def test_names_from_outside_are_shown_as_they_are_and_do_nothing() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        for keys in (["1"], ["3"], ["enter"], ["escape", "4"], ["enter"], ["escape", "6", "right"]):
            await pilot.press(*keys)
            await pilot.pause()
            shown = text_of(app)
            assert "\x1b" not in shown
            assert "\x07" not in shown
        await pilot.press("3")
        await pilot.pause()
        assert "[red]x[/red]" in text_of(app)

    drive(busy(workers=6, names=HOSTILE), steps)


def test_without_a_terminal_one_line_points_at_report(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser()
    command = Live()
    command.prepare(parser)
    with pytest.raises(UsageError, match="sockscope report") as raised:
        command.run(parser.parse_args([]))
    assert raised.value.exit_status == 2
    replay, parser = Replay(), argparse.ArgumentParser()
    replay.prepare(parser)
    with pytest.raises(UsageError, match=r"sockscope report x\.sockscope"):
        replay.run(parser.parse_args(["x.sockscope"]))


def test_a_terminal_that_cannot_move_its_cursor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    with pytest.raises(UsageError, match="'dumb'"):
        need_terminal("read the report")
    monkeypatch.setenv("TERM", "xterm-256color")
    need_terminal("read the report")


@pytest.mark.parametrize("where", ["here", "127.0.0.1:", "1.2.3.4:99999", ":0"])
def test_an_address_to_serve_at_that_cannot_be_is_refused(where: str) -> None:
    with pytest.raises(UsageError, match="ADDRESS:PORT"):
        serve(where)


def test_a_browser_runs_the_same_command_without_web_option() -> None:
    base = ["live", "--port", "80"]
    for given in (["--web"], ["--web", "127.0.0.1:9"], ["--web=127.0.0.1:9"]):
        assert _without_web_option([*base, *given, "--theme", "light"])[2:] == [
            "sockscope",
            *base,
            "--theme",
            "light",
        ]


@pytest.mark.parametrize("package", [views, screens, widgets])
def test_every_file_has_a_purpose(package: object) -> None:
    folder = Path(package.__file__ or "").parent  # type: ignore[attr-defined]
    for path in folder.glob("*.py"):
        assert path.read_text().startswith('"""'), path


def test_every_screen_in_the_folder_is_in_the_list() -> None:
    listed = {view.__module__.rpartition(".")[2] for _, _, view in VIEWS}
    files = {path.stem for path in Path(views.__file__ or "").parent.glob("*.py")}
    assert files - {"__init__", "base", "table_view"} == listed
    for _, _, view in VIEWS:
        assert view.title
        assert view.help


def test_cells_are_counted_not_letters() -> None:
    assert fit("日本語", 4) == "日 …"
    assert fit("abc", 5, right=True) == "  abc"
    assert fit("abcdef", 4) == "abc…"
    assert wrap("aa bb cccccc", 5) == ["aa bb", "ccccc", "c"]
    assert sparkline([0, 1, 8], 4) == "  ▂█"


def test_what_is_cut_from_a_threads_name_is_not_its_number() -> None:
    assert fit_name("ss-worker-3 31894", 14) == "ss-worke…31894"
    assert fit_name("nginx 4001", 14) == "nginx 4001    "
    assert fit_name("日本語の名前 4001", 12) == "日本語 …4001"
    assert fit_name("name", 3) == "na…"


def test_few_ticks_are_drawn_wide_and_many_by_their_highest() -> None:
    assert [cells_each(ticks, 60) for ticks in (1, 12, 13, 30, 31, 500)] == [5, 5, 4, 2, 1, 1]
    assert columns([1, 2, 3], 40) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert columns(list(range(10)), 4) == [0, 3, 6, 9]
    assert columns([9, *[0] * 99], 10)[0] == 9
