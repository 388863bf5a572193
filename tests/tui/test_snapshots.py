"""Pictures of every screen at three sizes, and of each state a screen can be in.

Made anew with ``pytest tests/tui/test_snapshots.py --snapshot-update``; look at them when they differ.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from driving import busy, settled, until
from feeding import LiveFeed, Recording, ReplayFeed, with_findings
from textual.pilot import Pilot

from sockscope.sources.synthetic import Scenario
from sockscope.tui.app import Dashboard, make_app

Compare = Callable[..., bool]
SIZES = (
    pytest.param((80, 24), id="80x24"),
    pytest.param((120, 40), id="120x40"),
    pytest.param((200, 60), id="200x60", marks=pytest.mark.slow),
)


def press(*keys: str) -> Callable[[Pilot[int]], Awaitable[None]]:
    async def steps(pilot: Pilot[int]) -> None:
        app = pilot.app
        assert isinstance(app, Dashboard)
        await settled(app, pilot)
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        await pilot.pause(0.05)

    return steps


def same(compare: Compare, feed: Any, size: tuple[int, int], *keys: str, theme: str = "dark") -> None:
    app = make_app(feed, theme=f"sockscope-{theme}", directory=Path("/nowhere"))
    assert compare(app, terminal_size=size, run_before=press(*keys))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", "123456")
def test_every_screen_at_every_size(snap_compare: Compare, key: str, size: tuple[int, int]) -> None:
    same(snap_compare, busy(), size, key)


@pytest.mark.slow
@pytest.mark.parametrize("key", "123456")
def test_every_screen_in_light(snap_compare: Compare, key: str) -> None:
    same(snap_compare, busy(), (120, 40), key, theme="light")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", "345")
def test_every_drill_down(snap_compare: Compare, key: str, size: tuple[int, int]) -> None:
    same(snap_compare, busy(), size, key, "enter")


@pytest.mark.parametrize("size", SIZES[:2])
@pytest.mark.parametrize("kind", ["single", "handoff", "dispatch", "reuseport"])
def test_the_overview_of_every_model(snap_compare: Compare, kind: Any, size: tuple[int, int]) -> None:
    same(snap_compare, LiveFeed(Scenario(kind, 1 if kind == "single" else 4)), size)


@pytest.mark.parametrize(
    ("state", "keys"),
    [
        ("empty", ()),
        ("empty", ("4",)),
        ("empty", ("5",)),
        ("empty", ("6",)),
        ("paused", ("p",)),
        ("lost", ()),
        ("overflow", ("2",)),
        ("many", ()),
        ("group", ("2",)),
        ("help", ("question_mark",)),
        ("filter", ("4", "slash", *"port:8080 wait:>2ms".replace(" ", "_"))),
    ],
)
def test_states(snap_compare: Compare, state: str, keys: tuple[str, ...]) -> None:
    feed = {
        "empty": lambda: LiveFeed(Scenario(), at_once=1),
        "lost": lambda: busy(lost=3),
        "overflow": lambda: busy(overflow=True, rate=900.0),
        "many": lambda: busy(kind="reuseport", workers=48, rate=3000.0),
        "group": lambda: busy(kind="reuseport", workers=8),
    }.get(state, busy)()
    same(snap_compare, feed, (120, 40), *("space" if key == "_" else key for key in keys))


def test_a_target_that_is_gone(snap_compare: Compare) -> None:
    async def steps(pilot: Pilot[int]) -> None:
        app = pilot.app
        assert isinstance(app, Dashboard)
        await settled(app, pilot)
        await until(pilot, lambda: bool(app._ended.reason))

    feed = LiveFeed(Scenario(gone_at=38))
    assert snap_compare(make_app(feed), terminal_size=(120, 40), run_before=steps)


@pytest.mark.parametrize("size", SIZES[:2])
def test_a_recording(snap_compare: Compare, size: tuple[int, int]) -> None:
    recording = Recording(Scenario(imbalance=1.0), 30, [(8, "critical", "full"), (21, "warning", "late")])
    recording.at = 15
    same(snap_compare, ReplayFeed(recording, with_findings), size)


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["dark-safe", "light-safe"])
def test_the_safe_themes(snap_compare: Compare, theme: str) -> None:
    same(snap_compare, busy(), (120, 40), theme=theme)


def test_without_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    same(snap_compare, busy(), (120, 40))
