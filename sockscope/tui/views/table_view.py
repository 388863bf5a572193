"""Base class of views with a table and a filter."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult

from sockscope.tui.columns import TableColumn, traced
from sockscope.tui.data_source import FrameContext
from sockscope.tui.messages import FilterChanged, RowChosen
from sockscope.tui.table import Table, TableRows
from sockscope.tui.views.base import View
from sockscope.tui.widgets.filter_bar import FilterBar

#: Lines that a table and what stands under it take together.
_ENOUGH = 30


class TableView(View):
    """A table view; subclasses define columns and build rows from a context."""

    filters = True
    columns: ClassVar[tuple[TableColumn, ...]]
    sort: ClassVar[str]
    empty: ClassVar[str]
    example: ClassVar[str]

    def compose(self) -> ComposeResult:
        yield FilterBar()
        yield Table(self.columns, self.sort, empty=self.empty, id=self._table_id())
        yield from self.below()

    def below(self) -> ComposeResult:
        """Compose the details of the selected row, shown if the terminal is high enough."""
        return ()

    def show_below(self, context: FrameContext) -> None:
        """Pass the context to the widgets of :meth:`below`."""

    def rows(self, context: FrameContext) -> TableRows:
        raise NotImplementedError

    @property
    def table(self) -> Table:
        return self.query_one(Table)

    def show(self, context: FrameContext) -> None:
        self.table.columns = traced(self.columns, context.frame.snapshot)
        self.table.show(self.rows(context))
        self._say()
        self.show_below(context)

    def on_row_chosen(self, message: RowChosen) -> None:
        if self.context is not None:
            self.show_below(self.context)

    def on_resize(self) -> None:
        self.set_class(self.size.height < _ENOUGH, "low")

    def start_focus(self) -> None:
        self.table.focus()

    def take_filter(self) -> None:
        self.query_one(FilterBar).open(self.example)

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
        if self.context is not None:
            self.show_below(self.context)

    def _say(self) -> None:
        table = self.table
        if table.filter_error:
            self.query_one(FilterBar).say(table.filter_error, wrong=True)
        else:
            self.query_one(FilterBar).say(f"{table.shown:,} of {table.total:,}")

    def _table_id(self) -> str:
        return f"{self.id}-table"
