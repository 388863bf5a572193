"""Threads, processes, hosts and files may be called anything: no screen obeys a name, and none breaks of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from driving import drive, text_of, typed, until
from feeding import LiveFeed, with_findings
from textual.pilot import Pilot

from sockscope.records.batch import Batch, Meta
from sockscope.session.frame_sources import ReplaySource, open_replay_source
from sockscope.store.recording import RecordingSink
from sockscope.tui.app import Dashboard
from sockscope.tui.screens.main import MainScreen
from tests.synthetic import Scenario, SyntheticSource

#: At most 15 bytes each, as the kernel keeps them: markup that opens, closes and links, an action, sequences
#: that colour, retitle and clear a terminal, text from right to left and its end, lines, nothing at all.
NAMES = (
    "[red]worker[/]", "[/]", "[link=x:y]a", "[@click=quit]x", "\\[b]", "\x1b[31mred", "\x1b]0;own\x07", "\x9b2Jgone",
    "\u202egnp.exe", "\u2066x\u2069", "two\nlines\r", "tab\tbell\a", "\x7f\x08\x08", "", "漢字漢字漢", "e\u0301\u0301\u200b",
)  # fmt: skip
LONG = "[bold red]" + "".join(NAMES[:13]) + "%s{0}"
SCENARIO = Scenario("handoff", len(NAMES) - 1, imbalance=1.0, straggler=1, names=NAMES)


class Hostile:
    """The synthetic source, in a world where everything that can be named has such a name."""

    def __init__(self) -> None:
        self._source = SyntheticSource(SCENARIO)

    @property
    def meta(self) -> Meta:
        meta = self._source.meta
        signals = tuple(_named(signal) for signal in meta.signals)
        return replace(meta, host=LONG, target=LONG, command=LONG, kernel=LONG, signals=signals)

    def batch(self) -> Batch:
        batch = self._source.batch()
        processes = tuple(_named(process) for process in batch.processes)
        health = replace(batch.health, lost=((LONG, 3),), notes=(LONG,))
        return replace(batch, processes=processes, health=health)


def _named(thing: Any) -> Any:
    """The same with all its texts hostile; what is empty stays so, for that means something."""
    texts = {name: getattr(thing, name) for name in thing.__dataclass_fields__}
    return replace(thing, **{name: LONG for name, text in texts.items() if isinstance(text, str) and text})


def looked_at(app: Dashboard) -> str:
    """The text of the screen, when nothing on it is more than text."""
    for strip in app.screen._compositor.render_strips():
        for segment in strip:
            assert segment.control is None
            assert segment.text.isprintable(), f"{segment.text!r} reaches the terminal"
            assert segment.style is None or segment.style.link is None, f"{segment.text!r} is a link"
            actions = segment.style.meta if segment.style else {}
            assert not any("quit" in str(value) for value in actions.values()), f"{segment.text!r} acts"
    return text_of(app)


async def everywhere(app: Dashboard, pilot: Pilot[int]) -> None:
    told: dict[str, str] = {}
    for key in "123456":
        await pilot.press(key)
        await pilot.pause()
        told[key] = looked_at(app)
        assert app.export_screenshot().replace("\n", "").isprintable()
        if key in "136":  # what else can be shown there
            for _ in range(5 if key == "1" else 2):
                await pilot.press("m")
                await pilot.pause()
                looked_at(app)
        assert app.shown is not None
        if key in "34" or (key == "5" and app.shown.frame.findings):
            for _ in range(5 if key == "3" else 1):
                await pilot.press("enter")
                await until(pilot, lambda: not isinstance(app.screen, MainScreen))
                looked_at(app)
                await pilot.press("escape")
                await until(pilot, lambda: isinstance(app.screen, MainScreen))
                await pilot.press("j")
    assert "[/] 4002" in told["3"]  # as it stands, not as the end of a colour
    assert "red" in told["3"]
    for key in ("question_mark", "ctrl+p"):
        await pilot.press(key)
        await pilot.pause()
        looked_at(app)
        await pilot.press("escape")
    await pilot.press("4", "slash")
    await typed(app, pilot, "reader:[red] and:[/]")
    looked_at(app)
    await pilot.press("escape", "escape")


@pytest.mark.parametrize("size", [(80, 24), pytest.param((200, 60), marks=pytest.mark.slow)], ids=str)
def test_no_name_of_a_traced_server_is_obeyed_on_any_screen(size: tuple[int, int], tmp_path: Path) -> None:
    feed = LiveFeed(SCENARIO, change=with_findings)
    feed.source = Hostile()  # type: ignore[assignment]

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        await everywhere(app, pilot)
        feed.recording = "/tmp/[b]\x1b[1m.sockscope"
        app._update_headers()
        await until(pilot, lambda: "● recording [b]" in text_of(app))
        looked_at(app)
        feed.ended = LONG
        await until(pilot, lambda: "■ [bold red]" in text_of(app))
        looked_at(app)

    drive(feed, steps, size=size, directory=tmp_path, notifications=True)


def test_no_name_in_a_recording_nor_its_own_is_obeyed(tmp_path: Path) -> None:
    source, path = Hostile(), tmp_path / "[red]\x1b[31m\u202e[link=x]\n.sockscope"
    with RecordingSink(path, source.meta) as recording:
        for _ in range(12):
            recording.take(source.batch())
    feed: Any = open_replay_source(path)
    assert isinstance(feed, ReplaySource)
    feed.replay.seek(feed.replay.end_ns)
    drive(feed, everywhere, directory=tmp_path, notifications=True)
