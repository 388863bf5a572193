"""The line with the names of the views."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.reactive import reactive

from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.text_line import Line


class Tabs(BaseWidget):
    """Views by number and name; the current one is highlighted, a click switches."""

    class Chosen(Message):
        """Posted on a click on a name."""

        def __init__(self, view: str) -> None:
            super().__init__()
            self.view = view

    current: reactive[str] = reactive("")

    def __init__(self, views: tuple[tuple[str, str, str], ...], *, id: str) -> None:
        """Create the tabs.

        :param views: key, identity and title of each view
        """
        super().__init__(id=id)
        self._views = views
        self._spans: list[tuple[int, int, str]] = []

    def watch_current(self) -> None:
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        line, style = Line(), self.palette.style
        self._spans = []
        for key, name, title in self._views:
            start, here = line.width, name == self.current
            line.add(f" {key}", style("bold accent on raised" if here else "accent"))
            line.add(f" {title}", style("bold text on raised" if here else "muted"))
            number, words = self._badge(name)
            if number:
                line.add(f" {number}", style(f"bold {words} on raised" if here else f"bold {words}"))
            line.add(" ", style("text on raised") if here else None)
            self._spans.append((start, line.width, name))
            if width >= 90:
                line.add(" ")
        return [line]

    def _badge(self, name: str) -> tuple[int, str]:
        if name != "findings" or self.context is None:
            return 0, ""
        findings = [item for item in self.context.frame.findings if item.severity != "info"]
        worst = "critical" if any(item.severity == "critical" for item in findings) else "warning"
        return len(findings), worst

    def on_click(self, event: events.Click) -> None:
        for start, end, name in self._spans:
            if start <= event.x < end:
                self.post_message(self.Chosen(name))
