"""The help screen: what the current screen shows, and its keys."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

#: (keys, what they do) that hold everywhere.
KEYS: tuple[tuple[str, str], ...] = (
    ("1 – 6", "screens"),
    ("↑ ↓ ← → or k j h l", "move; ← → also scroll columns"),
    ("Enter, Esc", "open; back"),
    ("/", "filter, where there is a table"),
    ("s  S", "sort by the next column; reverse the order"),
    ("m", "switch metric or grouping"),
    ("Tab", "next part of the screen"),
    ("p", "pause: the screen freezes, collecting continues; p again jumps to now"),
    ("r", "record to a file; r again stops"),
    ("e", "save a report"),
    ("t", "theme: dark, light, and both for colour-blind users"),
    ("Ctrl+P", "all commands by name"),
    ("q", "quit"),
)
REPLAY_KEYS: tuple[tuple[str, str], ...] = (
    ("Space or p", "play, stop"),
    (",  .", "one tick back, forward"),
    ("[  ]", "back, forward by a twentieth of the recording"),
    ("-  +", "slower, faster"),
    ("n  N", "next, previous finding ▲"),
    ("{  }", "start, end"),
)


class HelpScreen(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter", "dismiss", "Close"),
        Binding("down,j", "scroll(1)", show=False),
        Binding("up,k", "scroll(-1)", show=False),
    ]

    def __init__(self, title: str, sections: tuple[tuple[str, str], ...], *, replaying: bool) -> None:
        super().__init__()
        self._title, self._sections, self._replaying = title, sections, replaying

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="help"):
            yield Static(Content(f"{self._title}: how to read it"), classes="help-title")
            for heading, text in self._sections:
                yield Static(Content(heading), classes="help-heading")
                yield Static(Content(text), classes="help-text")
            yield Static(Content("Keys"), classes="help-title")
            yield Static(Content(_listed(KEYS)), classes="help-text")
            if self._replaying:
                yield Static(Content("Keys of a recording"), classes="help-title")
                yield Static(Content(_listed(REPLAY_KEYS)), classes="help-text")

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def _listed(keys: tuple[tuple[str, str], ...]) -> str:
    return "\n".join(f"{key:<20}{words}" for key, words in keys)
