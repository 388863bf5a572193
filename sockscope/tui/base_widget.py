"""Base class of drawn widgets: lines are computed once per change and size."""

from __future__ import annotations

from textual.geometry import Size
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from sockscope.tui.data_source import FrameContext
from sockscope.tui.text_line import Line
from sockscope.tui.themes import Palette, get_palette


class BaseWidget(Widget):
    """A widget that draws itself from a frame context.

    Subclasses implement :meth:`draw`, and :meth:`wanted_height` if their height is ``auto``.
    """

    context: reactive[FrameContext | None] = reactive(None, layout=False)
    _drawn: tuple[object, list[Strip]] | None = None
    _height = 0

    @property
    def palette(self) -> Palette:
        theme = self.app.current_theme
        return get_palette(theme.name, theme.dark, colourless=self.colourless)

    @property
    def colourless(self) -> bool:
        """Return whether colours are disabled."""
        return bool(self.app.no_color)

    def draw(self, width: int, height: int) -> list[Line]:
        """Return the lines; fewer than ``height`` leave space, more are cut."""
        raise NotImplementedError

    def wanted_height(self, width: int) -> int:
        """Return the number of lines needed, for ``height: auto``."""
        return len(self.draw(width, 1000))

    def watch_context(self) -> None:
        self.redraw()

    def redraw(self) -> None:
        """Draw again after a change."""
        self._drawn = None
        if self.is_attached:
            width = self.content_size.width
            taller = bool(self.styles.is_auto_height and width and self.wanted_height(width) != self._height)
            self.refresh(layout=taller)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        self._height = self.wanted_height(width)
        return self._height

    def notify_style_update(self) -> None:
        self._drawn = None
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        width, height = self.content_size
        key = (width, height, self.app.theme)
        if self._drawn is None or self._drawn[0] != key:
            base = self.rich_style
            self._drawn = (
                key,
                [
                    line.strip().adjust_cell_length(width).apply_style(base)
                    for line in self.draw(width, height)
                ],
            )
        strips = self._drawn[1]
        return strips[y] if y < len(strips) else Strip.blank(width, self.rich_style)
