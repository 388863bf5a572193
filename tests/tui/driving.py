"""Running the real app with a pilot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from feeding import LiveFeed, ReplayFeed, with_findings
from textual.pilot import Pilot
from textual.widgets import Input

from sockscope.tui.app import Dashboard, Save, make_app
from tests.synthetic import Scenario

Steps = Callable[[Dashboard, Pilot[int]], Awaitable[None]]


def busy(**values: Any) -> LiveFeed:
    """A feed of a server with something to see: an unfair share and a straggler."""
    scenario = Scenario(**{"kind": "shared", "workers": 4, "imbalance": 1.0, "straggler": 1, **values})
    return LiveFeed(scenario, change=with_findings)


async def settled(app: Dashboard, pilot: Pilot[int]) -> None:
    """Wait until the first moment is on the screen."""
    for _ in range(1000):
        await pilot.pause(0.01)
        if app.shown is not None or app.failure:
            break
    await pilot.pause()


async def until(pilot: Pilot[int], true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            break
        await pilot.pause(0.01)
    assert true()
    await pilot.pause()


async def typed(app: Dashboard, pilot: Pilot[int], text: str) -> None:
    """Text into the line that has the focus, as one who pastes does: a key each takes its time in a test."""
    box = app.focused
    assert isinstance(box, Input)
    box.insert_text_at_cursor(text)
    await pilot.pause()


def drive(
    feed: LiveFeed | ReplayFeed,
    steps: Steps,
    *,
    size: tuple[int, int] = (120, 40),
    directory: Path | None = None,
    save: Save | None = None,
    notifications: bool = False,
    theme: str = "sockscope-dark",
) -> Dashboard:
    app = make_app(feed, directory=directory, save=save, theme=theme)

    async def run() -> None:
        async with app.run_test(size=size, notifications=notifications) as pilot:
            await settled(app, pilot)
            await steps(app, pilot)

    asyncio.run(run())
    return app


def text_of(app: Dashboard) -> str:
    """What the screen shows, without its styles."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in lines[: app.size.height])
