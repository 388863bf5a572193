"""The main screen: the numbered views under one header."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.reactive import reactive
from textual.widgets import ContentSwitcher

from sockscope.tui.data_source import FrameContext
from sockscope.tui.screens.base import FrameScreen
from sockscope.tui.views import VIEWS
from sockscope.tui.views.base import View
from sockscope.tui.widgets.key_line import KeyLine
from sockscope.tui.widgets.tabs import Tabs


class MainScreen(FrameScreen):
    current: reactive[str] = reactive(VIEWS[0][1], init=False)

    def compose(self) -> ComposeResult:
        yield from self.top()
        yield Tabs(tuple((key, name, view.title) for key, name, view in VIEWS), id="tabs")
        with ContentSwitcher(initial=VIEWS[0][1], id="views"):
            for _, name, view in VIEWS:
                yield view(id=name)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(Tabs).current = self.current
        for view in self.query(f"#{self.current}").results(View):  # none, when the app ends at once
            view.start_focus()

    @property
    def view(self) -> View:
        return self.query_one(f"#{self.current}", View)

    def show(self, context: FrameContext) -> None:
        self.query_one(Tabs).context = context
        self.view.context = context

    def watch_current(self, name: str) -> None:
        self.query_one(ContentSwitcher).current = name
        self.query_one(Tabs).current = name
        if self.context is not None:
            self.view.context = self.context
        self.view.start_focus()
        self.app.refresh_bindings()

    def on_tabs_chosen(self, message: Tabs.Chosen) -> None:
        self.current = message.view
