"""Base class of screens."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.screen import Screen

from sockscope.tui.data_source import FrameContext
from sockscope.tui.widgets.header import Header
from sockscope.tui.widgets.scrubber import Scrubber


class FrameScreen(Screen[None]):
    """A screen that shows contexts while it is on top, and the latest one when it returns to the top."""

    heading: ClassVar[str] = ""
    help: ClassVar[tuple[tuple[str, str], ...]] = ()
    context: FrameContext | None = None
    _ready = False

    def top(self) -> ComposeResult:
        """Compose the header that every screen has."""
        yield Header(id="header")
        replay = self.app.feed.replay  # type: ignore[attr-defined]
        if replay is not None:
            yield Scrubber(replay, id="scrub")

    def tick(self) -> None:
        """Update the position in a recording."""
        for bar in self.query(Scrubber):
            bar.tick += 1

    def on_mount(self) -> None:
        """Show the context that may have arrived before mounting."""
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
        """Pass the context to the widgets."""
        raise NotImplementedError
