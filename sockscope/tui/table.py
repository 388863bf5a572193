"""A table that renders only visible rows: ten thousand connections cost as much as twenty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from rich.cells import cell_len
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from sockscope.errors import UsageError
from sockscope.tui import filters
from sockscope.tui.columns import TableColumn, fitting
from sockscope.tui.messages import RowChosen, RowOpened
from sockscope.tui.text_line import Line, fit, fit_name
from sockscope.tui.themes import Palette, get_palette

Array = np.ndarray[Any, np.dtype[Any]]


#: Rows taken as seen before the table has its size.
_UNKNOWN = 24


class TableRows(filters.Filtered, Protocol):
    """The rows of a table, rebuilt for each context; cells are formatted when they become visible."""

    def identities(self) -> Array:
        """Return a number per row that stays the same between contexts."""

    def cell(self, row: int, column: str) -> tuple[str, str]:
        """Return the text of a cell and its style."""

    def order(self, column: str) -> Array:
        """Return the values to sort by."""


class Table(ScrollView, can_focus=True):
    """Rows under a heading, with cursor, sort order and filter, which are kept when rows change."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("home,g", "edge(0)", "Top", show=False),
        Binding("end,G", "edge(1)", "Bottom", show=False),
        Binding("right,l", "shift(1)", "More columns", show=False),
        Binding("left,h", "shift(-1)", "Columns back", show=False),
        Binding("enter", "open", "Open"),
        Binding("s", "sort", "Sort"),
        Binding("S", "reverse", "Turn order", show=False),
    ]

    cursor: reactive[int] = reactive(0, repaint=False)

    def __init__(self, columns: Sequence[TableColumn], sort: str, *, empty: str, id: str) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.sort_column = sort
        self.descending = not self._column(sort).least_first
        self.shift = 0
        self.filter_text = ""
        self.filter_error = ""
        self._empty = empty
        self._rows: TableRows | None = None
        self._order: Array = np.empty(0, np.intp)
        self._chosen: int | None = None
        self.total = 0
        self._based: tuple[str, Style] | None = None
        self._names: dict[str, int] = {}

    @property
    def palette(self) -> Palette:
        dark, colourless = self.app.current_theme.dark, bool(self.app.no_color)
        return get_palette(self.app.theme, dark, colourless=colourless)

    @property
    def _base_style(self) -> Style:
        """Return the colours of the widget, computed once per theme."""
        if self._based is None or self._based[0] != self.app.theme:
            self._based = (self.app.theme, self.rich_style)
        return self._based[1]

    @property
    def _room(self) -> int:
        """Return the width of a line without margin and scroll bar."""
        return self.scrollable_content_region.width - 1

    @property
    def shown(self) -> int:
        """Return the number of rows that match the filter."""
        return len(self._order)

    @property
    def chosen(self) -> int | None:
        """Return the identity of the row under the cursor."""
        return self._chosen

    def show(self, rows: TableRows) -> None:
        """Replace the rows; order, filter and cursor are kept."""
        self._rows, self.total = rows, len(rows)
        try:
            mask = filters.parse(self.filter_text, rows.keys).mask(rows)
            self.filter_error = ""
        except UsageError as error:
            self.filter_error, mask = str(error), np.ones(len(rows), bool)
        index = np.flatnonzero(mask)
        values = np.asarray(rows.order(self.sort_column))[index]
        order = np.argsort(values, kind="stable")
        self._order = index[order[::-1] if self.descending else order]
        self._follow(rows.identities()[self._order])
        self._widen(rows)
        grown = self.virtual_size.height != len(self._order) + 1
        self.virtual_size = Size(self.size.width, len(self._order) + 1)
        self.refresh(layout=grown and self.styles.is_auto_height)

    def set_filter(self, text: str) -> None:
        self.filter_text = text
        self._again()

    def choose(self, identity: int) -> None:
        """Move the cursor to a row, now or as soon as it exists."""
        self._chosen = identity
        self._again()

    def sort_by(self, key: str) -> None:
        """Sort by a column; again reverses the order."""
        if key == self.sort_column:
            self.descending = not self.descending
        else:
            self.sort_column, self.descending = key, not self._column(key).least_first
        self._scroll_into_view(key)
        self._again()

    def action_move(self, rows: int) -> None:
        self._go(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        self._go(self.cursor + pages * max(self.size.height - 2, 1))

    def action_edge(self, end: int) -> None:
        self._go(end * (len(self._order) - 1))

    def action_shift(self, columns: int) -> None:
        if columns > 0 and self.columns[-1] in self._visible()[0]:
            return
        self.shift = min(max(self.shift + columns, 0), len(self.columns) - 2)
        self.refresh()

    def action_open(self) -> None:
        if self._chosen is not None and len(self._order):
            self.post_message(RowOpened(self.id or "", self._chosen))

    def action_sort(self) -> None:
        keys = [column.key for column in self.columns]
        self.sort_by(keys[(keys.index(self.sort_column) + 1) % len(keys)])

    def action_reverse(self) -> None:
        self.sort_by(self.sort_column)

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            left = 1
            for column, width in zip(*self._visible(), strict=True):
                if left <= event.x < left + width + 1:
                    self.sort_by(column.key)
                    return
                left += width + 1
            return
        row = event.y - 1 + self.scroll_offset.y
        if 0 <= row < len(self._order):
            again = row == self.cursor and event.chain > 1
            self._go(row)
            if again:
                self.action_open()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the height of all rows, at least one line."""
        return max(len(self._order) + 1, 3)

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._order) + 1)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        columns, widths = self._visible()
        if y == 0:
            line = self._heading(columns, widths)
        else:
            line = self._line(y - 1 + self.scroll_offset.y, y, columns, widths, width)
        return line.strip().adjust_cell_length(width).apply_style(self._base_style)

    def _line(
        self, row: int, y: int, columns: Sequence[TableColumn], widths: Sequence[int], width: int
    ) -> Line:
        line, palette = Line(), self.palette
        if self._rows is None or row >= len(self._order):
            if y == 2 and not len(self._order):
                text = self._empty if not self.total else f"none of {self.total:,} matches the filter"
                line.add(f"  {text}", palette.style("muted"))
            return line
        here = row == self.cursor
        line.add(" " if not here else "▌", palette.style("accent on raised" if here else "text"))
        back = f" on {'raised' if here else 'background'}" if here else ""
        for column, size in zip(columns, widths, strict=True):
            text, words = self._rows.cell(int(self._order[row]), column.key)
            style = palette.style(("bold " if here and not self.app.no_color else "") + words + back)
            if here and self.app.no_color:
                style = palette.style(f"reverse {words}")
            shown = fit_name(text, size) if column.thread else fit(text, size, right=column.right)
            line.add(shown, style).add(" ", style)
        if here:
            line.to(width, palette.style("reverse text" if self.app.no_color else "text on raised"))
        return line

    def _heading(self, columns: Sequence[TableColumn], widths: Sequence[int]) -> Line:
        line, palette = Line().add(" "), self.palette
        for column, size in zip(columns, widths, strict=True):
            sorted_by = column.key == self.sort_column
            title = f"{column.title}{('▼' if self.descending else '▲') if sorted_by else ''}"
            line.fit(
                title, size, palette.style("bold accent" if sorted_by else "bold muted"), right=column.right
            ).add(" ")
        right = len(self.columns) - len(columns) - self.shift
        sign = " ".join(
            part for part in (f"←{self.shift}" * bool(self.shift), f"→{right}" * bool(right)) if part
        )
        return line.end(self._room, (sign, palette.style("accent"))) if sign else line

    def _visible(self) -> tuple[list[TableColumn], list[int]]:
        """Return the visible columns with their widths."""
        return fitting(self.columns, self.shift, self._room, self._names)

    def _widen(self, rows: TableRows) -> None:
        """Widen columns of threads to the visible names."""
        top = self.scroll_offset.y
        for column in self.columns:
            if column.thread:
                seen = self._order[top : top + max(self.size.height, _UNKNOWN)]
                longest = max((cell_len(rows.cell(int(row), column.key)[0]) for row in seen), default=0)
                self._names[column.key] = max(longest, self._names.get(column.key, 0))

    def _scroll_into_view(self, key: str) -> None:
        """Scroll until a column is visible."""
        place = [column.key for column in self.columns].index(key)
        if place and place - 1 < self.shift:
            self.shift = place - 1
        while self.shift < len(self.columns) - 2 and self._column(key) not in self._visible()[0]:
            self.shift += 1

    def _column(self, key: str) -> TableColumn:
        return next(column for column in self.columns if column.key == key)

    def _again(self) -> None:
        if self._rows is not None:
            self.show(self._rows)

    def _follow(self, identities: Array) -> None:
        """Keep the cursor on its row, or at its line if the row is gone."""
        if self._chosen is not None:
            found = np.flatnonzero(identities == self._chosen)
            if len(found):
                self.cursor = int(found[0])
                return
        self.cursor = min(self.cursor, max(len(identities) - 1, 0))
        self._chosen = int(identities[self.cursor]) if len(identities) else None

    def _go(self, row: int) -> None:
        if self._rows is None or not len(self._order):
            return
        self.cursor = min(max(row, 0), len(self._order) - 1)
        self._chosen = int(self._rows.identities()[self._order[self.cursor]])
        self.post_message(RowChosen(self.id or "", self._chosen))
        top, height = self.scroll_offset.y, max(self.size.height - 1, 1)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, immediate=True)
        self.refresh()
