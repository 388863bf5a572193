"""Pictures of every screen at two sizes, and of each state that a session can be in.

Made anew with ``pytest tests/tui/test_snapshots.py --snapshot-update``; look at them when they differ.
``make screens`` holds all screens in all states, at all sizes and in both themes, against theirs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from driving import busy, settled
from feeding import LiveFeed, Recording, ReplayFeed, with_findings
from textual.pilot import Pilot

from sockscope.tui.app import Dashboard, make_app
from tests.synthetic import Scenario

Compare = Callable[..., bool]
SIZES = (pytest.param((80, 24), id="80x24"), pytest.param((120, 40), id="120x40"))


def press(*keys: str) -> Callable[[Pilot[int]], Awaitable[None]]:
    async def steps(pilot: Pilot[int]) -> None:
        app = pilot.app
        assert isinstance(app, Dashboard)
        await settled(app, pilot)
        for key in keys:
            await pilot.press(key)
        await pilot.pause()

    return steps


def same(compare: Compare, feed: Any, size: tuple[int, int], *keys: str, theme: str = "dark") -> None:
    app = make_app(feed, theme=f"sockscope-{theme}", directory=Path("/nowhere"))
    assert compare(app, terminal_size=size, run_before=press(*keys))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", "123456")
def test_every_screen(snap_compare: Compare, key: str, size: tuple[int, int]) -> None:
    same(snap_compare, busy(), size, key)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", "345")
def test_every_drill_down(snap_compare: Compare, key: str, size: tuple[int, int]) -> None:
    same(snap_compare, busy(), size, key, "enter")


@pytest.mark.parametrize("kind", ["single", "handoff", "dispatch", "reuseport"])
def test_the_overview_of_every_model(snap_compare: Compare, kind: Any) -> None:
    same(snap_compare, LiveFeed(Scenario(kind, 1 if kind == "single" else 4)), (120, 40))


@pytest.mark.parametrize(
    ("state", "keys"),
    [
        ("empty", ()),
        ("paused", ("p",)),
        ("lost", ()),
        ("gone", ()),
        ("overflow", ("2",)),
        ("many", ()),
        ("group", ("2",)),
        ("help", ("question_mark",)),
        ("filter", ("4", "slash", *"wait:>2ms")),
    ],
)
def test_states(snap_compare: Compare, state: str, keys: tuple[str, ...]) -> None:
    feed = {
        "empty": lambda: LiveFeed(Scenario(), at_once=1),
        "lost": lambda: busy(lost=3),
        "gone": lambda: busy(gone_at=38),
        "overflow": lambda: busy(overflow=True, rate=900.0),
        "many": lambda: busy(kind="reuseport", workers=48, rate=3000.0),
        "group": lambda: busy(kind="reuseport", workers=8),
    }.get(state, busy)()
    same(snap_compare, feed, (120, 40), *keys)


@pytest.mark.parametrize("size", SIZES)
def test_a_recording(snap_compare: Compare, size: tuple[int, int]) -> None:
    recording = Recording(Scenario(imbalance=1.0), 30, [(8, "critical", "full"), (21, "warning", "late")])
    recording.at = 15
    same(snap_compare, ReplayFeed(recording, with_findings), size)


def test_in_light(snap_compare: Compare) -> None:
    same(snap_compare, busy(), (120, 40), theme="light")


def test_without_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    same(snap_compare, busy(), (120, 40))
