"""Every screen in every state, at three sizes, in dark and in light, against its picture.

The pictures are compressed SVG (a browser shows them).  ``make screens`` runs this; with
``--snapshot-update`` it makes them anew.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from driving import busy, drive, until
from feeding import LiveFeed, with_findings
from textual.pilot import Pilot

from sockscope.tui.app import Dashboard
from tests.synthetic import Scenario

pytestmark = pytest.mark.slow

PICTURES = Path(__file__).parent / "pictures"
STATES = {
    "busy": busy,
    "empty": lambda: LiveFeed(Scenario(), at_once=1),
    "paused": busy,
    "lost": lambda: busy(lost=3),
    "gone": lambda: LiveFeed(Scenario(gone_at=38), change=with_findings),
}
#: What must be read on every screen of a state.
SAID = {
    "busy": "live",
    "empty": "live",
    "paused": "paused",
    "lost": "records lost",
    "gone": "the target is gone",
}
SIZES = ((80, 24), (120, 40), (200, 60))


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("state", STATES)
def test_every_screen_looks_as_it_did(
    state: str, size: tuple[int, int], theme: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    different = []

    def compare(app: Dashboard, screen: str) -> None:
        svg = app.export_screenshot(title="sockscope", simplify=True)
        assert SAID[state] in svg.replace("&#160;", " "), f"{screen} does not say in what state it is"
        path = PICTURES / f"{state}-{screen}-{size[0]}x{size[1]}-{theme}.svgz"
        if request.config.getoption("update_snapshots"):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(gzip.compress(svg.encode(), mtime=0))
        elif not path.exists() or gzip.decompress(path.read_bytes()).decode() != svg:
            (tmp_path / path.with_suffix(".svg").name).write_text(svg)
            different.append(path.name)

    async def steps(app: Dashboard, pilot: Pilot[int]) -> None:
        if state == "paused":
            await pilot.press("p")
        if state == "gone":
            await until(pilot, lambda: bool(app._ended.reason))
        for key in "123456":
            await pilot.press(key)
            await pilot.pause()
            compare(app, key)
            if key in "345" and state != "empty":
                depth = len(app.screen_stack)
                await pilot.press("enter")
                await until(pilot, lambda: len(app.screen_stack) > depth)  # noqa: B023
                compare(app, f"{key}-opened")
                await pilot.press("escape")

    drive(STATES[state](), steps, size=size, theme=f"sockscope-{theme}")
    assert not different, f"look at {tmp_path}: {different}"


def test_no_picture_is_left_of_a_screen_that_is_no_more() -> None:
    names = {
        f"{state}-{screen}-{width}x{height}-{theme}.svgz"
        for state in STATES for width, height in SIZES for theme in ("dark", "light")
        for screen in ("1", "2", "3", "4", "5", "6", *(("3-opened", "4-opened", "5-opened") if state != "empty" else ()))
    }  # fmt: skip
    assert {path.name for path in PICTURES.iterdir()} == names
