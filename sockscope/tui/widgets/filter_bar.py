"""The input line of the filter; applied at each key, cleared by Esc."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Static

from sockscope.tui.messages import FilterChanged
from sockscope.tui.table import Table


class FilterBar(Horizontal):
    """The filter bar, hidden until it is opened."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Clear filter", key_display="Esc")]

    _said = ("", False)

    def compose(self) -> ComposeResult:
        yield Static("filter", id="filter-label")
        yield Input(placeholder="", compact=True, id="filter-text", select_on_focus=False)
        yield Static("", id="filter-hint")

    def open(self, example: str) -> None:
        self.display = True
        box = self.query_one(Input)
        box.placeholder = example
        box.cursor_blink = False
        box.focus()

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Show the number of matches, or the error."""
        if not self.display or (text, wrong) == self._said:
            return
        self._said = (text, wrong)
        hint = self.query_one("#filter-hint", Static)
        hint.update(Content(text))
        hint.set_class(wrong, "wrong")

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(FilterChanged(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.display = bool(event.value)
        self._back()

    def action_leave(self) -> None:
        self.clear()
        self._back()

    def set_text(self, text: str) -> None:
        self.query_one(Input).value = text
        self.display = bool(text)

    def clear(self) -> None:
        self.query_one(Input).value = ""
        self.display = False

    def _back(self) -> None:
        if self.parent is not None:
            for table in self.parent.query(Table):
                table.focus()
