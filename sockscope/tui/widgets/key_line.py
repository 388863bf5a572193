"""The line at the foot: the keys that do something where one is.

Not Textual's own Footer: that makes a widget a key at every change, each costs some milliseconds, and the
binding of their ``compact`` to the footer's keeps them alive when they are long gone (Textual 8.2): a session
of hours would grow, and pause for it.
"""

from __future__ import annotations

from textual import events
from textual.screen import Screen

from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.text_line import Line

_MORE = ("ctrl+p", "Ctrl+P", "Commands")


class KeyLine(BaseWidget):
    """Names each shown binding once; a click does what the key does."""

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._spans: list[tuple[int, int, str]] = []
        self._keys: list[tuple[str, str, str]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def draw(self, width: int, height: int) -> list[Line]:
        line, style = Line(), self.palette.style
        self._spans = []
        gap = " " if sum(len(shown) + len(words) + 3 for _, shown, words in self._keys) <= width else ""
        for key, shown, words in [*self._keys, _MORE]:
            if line.width + len(shown) + len(words) + 2 + len(gap) > width:
                break
            start = line.width
            line.add(f" {shown}", style("bold accent")).add(f" {words}{gap}", style("muted"))
            self._spans.append((start, line.width, key))
        return [line]

    def on_click(self, event: events.Click) -> None:
        for start, end, key in self._spans:
            if start <= event.x < end:
                self.app.simulate_key(key)

    def _changed(self, screen: Screen[object]) -> None:
        keys: dict[str, tuple[str, str, str]] = {}
        for _, binding, enabled, _ in screen.active_bindings.values():
            if binding.show and enabled:
                shown = "Enter" if binding.key == "enter" else self.app.get_key_display(binding)
                keys.setdefault(binding.action, (binding.key, shown, binding.description))
        if list(keys.values()) != self._keys:
            self._keys = list(keys.values())
            self.redraw()
