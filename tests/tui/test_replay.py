"""Time under the user's hand."""

from __future__ import annotations

from pathlib import Path

from driving import busy, drive, text_of, until
from feeding import Recording, ReplayFeed
from textual.pilot import Pilot

from sockscope.tui.app import Dashboard
from sockscope.tui.screens.connection import ConnectionScreen
from sockscope.tui.screens.help import HelpScreen
from sockscope.tui.screens.worker import WorkerScreen
from sockscope.tui.widgets.scrubber import Scrubber
from tests.synthetic import Scenario


def feed() -> ReplayFeed:
    return ReplayFeed(Recording(Scenario(), 41, [(10, "warning", "late"), (30, "critical", "full")]))


def test_every_key_of_a_recording() -> None:
    replayed = feed()
    recording = replayed.replay

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        for key, at in (
            ("full_stop", 1), ("full_stop", 2), ("comma", 1), ("right_square_bracket", 3), ("left_square_bracket", 1),
            ("n", 10), ("n", 30), ("n", 30), ("N", 10), ("right_curly_bracket", 40), ("left_curly_bracket", 0),
            ("comma", 0),
        ):  # fmt: skip
            await pilot.press(key)
            assert recording.at == at, key
        await pilot.press("plus")
        assert recording.speed == 2.0
        await pilot.press("minus", "minus")
        assert recording.speed == 0.5
        await pilot.press("space")
        assert recording.playing
        await pilot.press("p")
        assert not recording.playing

    drive(replayed, steps)


def test_what_is_shown_is_what_was_known_at_that_time() -> None:
    replayed = feed()

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        for key, at in (("right_curly_bracket", 40), ("N", 30), ("left_curly_bracket", 0)):
            await pilot.press(key)
            wanted = replayed.replay.batches[at].time_ns
            await until(pilot, lambda: bool(app.shown and app.shown.frame.snapshot.time_ns == wanted))  # noqa: B023
        assert app.shown
        assert app.shown.history.ticks == 0

    drive(replayed, steps)


def test_a_click_on_the_bar_goes_there_and_marks_are_seen() -> None:
    replayed = feed()

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        bar = app.main.query_one(Scrubber)
        assert text_of(app).count("▲") >= 2
        await pilot.click(bar, offset=(bar._left + bar._room // 2, 0))
        assert abs(replayed.replay.at - 20) <= 1
        await pilot.click(bar, offset=(bar._left + bar._room - 1, 0))
        assert replayed.replay.at == 40

    drive(replayed, steps)


def test_playing_from_the_end_begins_again() -> None:
    replayed = feed()

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("right_curly_bracket", "space")
        assert replayed.replay.playing
        assert replayed.replay.at == 0

    drive(replayed, steps)


def test_a_connection_that_is_not_there_yet_stays_as_it_was_last_seen() -> None:
    replayed = feed()
    replayed.replay.at = 40

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("4", "enter")
        await until(pilot, lambda: isinstance(app.screen, ConnectionScreen) and "established" in text_of(app))
        replayed.replay.seek(0)
        await until(pilot, lambda: "as last observed" in text_of(app))

    drive(replayed, steps)


def test_a_recording_is_not_recorded_and_its_help_knows_its_keys(tmp_path: Path) -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("r")
        assert not list(tmp_path.iterdir())
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        await pilot.press(*["pagedown"] * 4)
        await until(pilot, lambda: "Keys of a recording" in text_of(app))

    drive(feed(), steps, directory=tmp_path)


def test_the_keys_of_a_recording_do_nothing_in_a_live_session() -> None:
    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("space", "comma", "full_stop", "n", "N", "plus", "minus", "left_square_bracket")
        assert app.shown
        assert not app.main.query(Scrubber)

    drive(busy(), steps)


def test_a_recording_is_moved_through_on_a_screen_that_was_opened_too() -> None:
    replayed = feed()
    replayed.replay.at = 40

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await pilot.press("3", "enter")
        await until(pilot, lambda: isinstance(app.screen, WorkerScreen))
        bar = app.screen.query_one(Scrubber)
        assert "0:20.0" in text_of(app)
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "0:19.0" in text_of(app))
        await pilot.click(bar, offset=(bar._left, 0))
        await until(pilot, lambda: replayed.replay.at == 0)
        assert "Play" in text_of(app).splitlines()[-1]
        assert "Record" not in text_of(app).splitlines()[-1]

    drive(replayed, steps)
