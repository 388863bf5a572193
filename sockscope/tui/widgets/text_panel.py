"""A panel of lines made by a function, for text that is shown in one place only."""

from __future__ import annotations

from collections.abc import Callable

from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.data_source import FrameContext
from sockscope.tui.text_line import Line
from sockscope.tui.themes import Palette

Maker = Callable[[FrameContext, Palette, int, int], list[Line]]


class TextPanel(BaseWidget):
    """A panel of lines.

    :param maker: context, palette, width, height → lines
    """

    def __init__(self, maker: Maker, *, id: str) -> None:
        super().__init__(id=id)
        self._maker = maker

    def give(self, context: FrameContext) -> None:
        """Show a context; it may be the same as before if the subject has changed."""
        self.context = context
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        return self._maker(self.context, self.palette, width, height) if self.context else []
