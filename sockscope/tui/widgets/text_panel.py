"""Lines that a function of the moment makes: for what is shown in one place only."""

from __future__ import annotations

from collections.abc import Callable

from sockscope.tui.base_widget import Drawn
from sockscope.tui.data_source import Moment
from sockscope.tui.text_line import Line
from sockscope.tui.themes import Palette

Maker = Callable[[Moment, Palette, int, int], list[Line]]


class Sheet(Drawn):
    """:param maker: moment, palette, width, height → lines"""

    def __init__(self, maker: Maker, *, id: str) -> None:
        super().__init__(id=id)
        self._maker = maker

    def give(self, moment: Moment) -> None:
        """The moment, which may be the same as before when what it is asked about is another."""
        self.moment = moment
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        return self._maker(self.moment, self.palette, width, height) if self.moment else []
