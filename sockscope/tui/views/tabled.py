"""A screen that is a table with a filter."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult

from sockscope.tui.feed import Moment
from sockscope.tui.messages import FilterChanged
from sockscope.tui.table import Column, Rows, Table
from sockscope.tui.views.base import View
from sockscope.tui.widgets.filter_bar import FilterBar


class TabledView(View):
    """Subclasses say which columns, and make rows of a moment."""

    columns: ClassVar[tuple[Column, ...]]
    sort: ClassVar[str]
    empty: ClassVar[str]
    example: ClassVar[str]

    def compose(self) -> ComposeResult:
        yield FilterBar()
        yield Table(self.columns, self.sort, empty=self.empty, id=self._table_id())

    def rows(self, moment: Moment) -> Rows:
        raise NotImplementedError

    @property
    def table(self) -> Table:
        return self.query_one(Table)

    def show(self, moment: Moment) -> None:
        self.table.show(self.rows(moment))
        self._say()

    def start_focus(self) -> None:
        self.table.focus()

    def take_filter(self) -> bool:
        self.query_one(FilterBar).open(self.example)
        return True

    def drop_filter(self) -> None:
        self.query_one(FilterBar).clear()

    @property
    def filtered(self) -> bool:
        return bool(self.table.filter_text)

    def filter_by(self, text: str) -> None:
        """Set the filter as if it had been typed."""
        bar = self.query_one(FilterBar)
        bar.set_text(text)

    def on_filter_changed(self, message: FilterChanged) -> None:
        self.table.set_filter(message.text)
        self.app.refresh_bindings()
        self._say()

    def _say(self) -> None:
        table = self.table
        if table.filter_error:
            self.query_one(FilterBar).say(table.filter_error, wrong=True)
        else:
            self.query_one(FilterBar).say(f"{table.shown:,} of {table.total:,}")

    def _table_id(self) -> str:
        return f"{self.id}-table"
