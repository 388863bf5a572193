"""Make the pictures of README and docs from the shipped recording: ``make pictures``.

They are what the dashboard draws, so they cannot show what it does not.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from sockscope.session.feeds import replay_feed
from sockscope.tui.app import make_app

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECORDING = Path("docs", "recordings", "straggler.sockscope")

#: Picture → key that opens the screen.
SCREENS = {
    "overview": "1",
    "listeners": "2",
    "workers": "3",
    "connections": "4",
    "findings": "5",
    "latency": "6",
}
SIZE = (130, 40)
MOMENT = 0.75  # of the recording's length


async def draw(directory: Path) -> None:
    """One SVG a screen, at a moment when there is much to do."""
    os.chdir(ROOT)  # the picture shows the file's name as it was given
    feed = replay_feed(RECORDING)
    app = make_app(feed)
    async with app.run_test(size=SIZE) as pilot:
        length = feed.replay.end_ns - feed.replay.start_ns
        feed.replay.seek(feed.replay.start_ns + round(length * MOMENT))
        wanted = feed.replay.position_ns
        for _ in range(200):
            await pilot.pause(0.02)
            if app.shown is not None and app.shown.frame.snapshot.time_ns == wanted:
                break
        for name, key in SCREENS.items():
            await pilot.press(key)
            await pilot.pause(0.2)
            (directory / f"{name}.svg").write_text(app.export_screenshot(title="sockscope"))


if __name__ == "__main__":
    asyncio.run(draw(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE))
