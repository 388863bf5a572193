"""Render the pictures of README and docs from the shipped recording: ``make pictures``."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from sockscope.report import render
from sockscope.session.frame_sources import open_replay_source
from sockscope.session.load_recording import read
from sockscope.tui.app import make_app

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
RECORDING = Path("docs", "recordings", "straggler.sockscope")

#: Picture and the key that opens its screen.
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
    feed = open_replay_source(RECORDING)
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


def photograph(directory: Path) -> None:
    """The beginning of the HTML report, as a browser shows it."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "report.html")
        page.write_text(render("html", *read(ROOT / RECORDING)), encoding="utf-8")
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
             f"--user-data-dir={folder}/profile", "--window-size=1064,1900",
             f"--screenshot={directory / 'report.png'}", page.as_uri()],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    asyncio.run(draw(place))
    photograph(place)
