"""A screen that is given moments."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.screen import Screen

from sockscope.tui.data_source import FrameContext
from sockscope.tui.widgets.header import Header
from sockscope.tui.widgets.scrubber import Scrubber


class FrameScreen(Screen[None]):
    """It shows what it is given while it is on top, and the latest when it comes back to the top."""

    heading: ClassVar[str] = ""
    help: ClassVar[tuple[tuple[str, str], ...]] = ()
    context: FrameContext | None = None
    _ready = False

    def top(self) -> ComposeResult:
        """What every screen begins with."""
        yield Header(id="header")
        replay = self.app.feed.replay  # type: ignore[attr-defined]
        if replay is not None:
            yield Scrubber(replay, id="scrub")

    def tick(self) -> None:
        """The position in a recording may have changed."""
        for bar in self.query(Scrubber):
            bar.tick += 1

    def on_mount(self) -> None:
        """Moments may come before there is a widget to show them."""
        self._ready = True
        if self.context is not None:
            self.give(self.context)

    def give(self, context: FrameContext) -> None:
        self.context = context
        if not self._ready:
            return
        for header in self.query(Header):
            header.context = context
        self.tick()
        self.show(context)

    def show(self, context: FrameContext) -> None:
        """Hand the moment to the widgets."""
        raise NotImplementedError
