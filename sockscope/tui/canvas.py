"""A grid of cells for boxes and arrows."""

from __future__ import annotations

from rich.cells import cell_len
from rich.style import Style

from sockscope.tui.text_line import Line


class Canvas:
    """A canvas; later marks cover earlier ones, and marks outside are ignored."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._cells: list[list[tuple[str, Style | None]]] = [[(" ", None)] * width for _ in range(height)]

    def put(self, x: int, y: int, text: str, style: Style | None = None) -> None:
        if not 0 <= y < self.height:
            return
        row = self._cells[y]
        for sign in text:
            size = 1 if sign.isascii() else cell_len(sign)
            if x >= 0 and x + size <= self.width and size:
                row[x] = (sign, style)
                if size == 2:
                    row[x + 1] = ("", style)
            x += size

    def column(self, x: int, top: int, bottom: int, sign: str, style: Style | None = None) -> None:
        for y in range(top, bottom + 1):
            self.put(x, y, sign, style)

    def box(
        self, x: int, y: int, width: int, height: int, style: Style, title: str = "", lit: Style | None = None
    ) -> None:
        """Draw a box with its title in the upper edge."""
        inner = width - 2
        shown = f" {title} " if title else ""
        self.put(x, y, "╭" + "─" * inner + "╮", style)
        if shown and cell_len(shown) <= inner:
            self.put(x + 1, y, shown, lit or style)
        for line in range(y + 1, y + height - 1):
            self.put(x, line, "│", style)
            self.put(x + width - 1, line, "│", style)
        self.put(x, y + height - 1, "╰" + "─" * inner + "╯", style)

    def lines(self) -> list[Line]:
        drawn = []
        for row in self._cells:
            line, run, style = Line(), "", row[0][1] if row else None
            for sign, own in row:
                if own is not style:
                    line.add(run, style)
                    run, style = "", own
                run += sign
            drawn.append(line.add(run.rstrip() if style is None else run, style))
        return drawn
