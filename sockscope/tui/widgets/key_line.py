"""The key line at the bottom: the keys that apply to the current screen.

Textual's Footer is not used: it creates one widget per key at every change, each costs some
milliseconds, and the binding of their ``compact`` keeps them alive (Textual 8.2), so that memory of a
long session would grow.
"""

from __future__ import annotations

from textual import events
from textual.screen import Screen

from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.text_line import Line

_MORE = ("ctrl+p", "Ctrl+P", "Commands")


class KeyLine(BaseWidget):
    """The shown bindings, each once; a click has the effect of the key."""

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
