"""The entries of the command palette (Ctrl+P): every key binding by name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from textual.app import App, SystemCommand

from sockscope.tui.themes import PALETTES, get_theme_title
from sockscope.tui.views import VIEWS

#: (title, what it does, action); an action that cannot be done now is left out.
COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("Filter the table (/)", "such as port:443 reader:nginx wait:>10ms", "filter"),
    ("Switch the metric (m)", "another metric or grouping", "switch"),
    ("Pause or resume (p)", "the screen freezes, collecting continues", "pause"),
    ("Start or stop recording (r)", "to a file for replay and report", "record"),
    ("Play or pause (space)", "playback from here", "play"),
    ("One tick on (.)", "", "step(1)"),
    ("One tick back (,)", "", "step(-1)"),
    ("Faster (+)", "", "speed(1)"),
    ("Slower (-)", "", "speed(-1)"),
    ("The next finding (n)", "to its first occurrence", "mark(1)"),
    ("The previous finding (N)", "to its first occurrence", "mark(-1)"),
    ("To the beginning ({)", "", "end(0)"),
    ("To the end (})", "", "end(1)"),
    ("Save a report (e)", "as a report", "save"),
    ("Help for this screen (?)", "how to read it, and all keys", "help"),
    ("Quit (q)", "and leave the terminal as it was", "quit"),
)


def build_commands(app: App[int]) -> Iterator[SystemCommand]:
    """Return the entries that apply now, screens first."""
    for key, name, view in VIEWS:
        yield SystemCommand(
            f"{view.title} ({key})", "show this screen", partial(app.run_action, f"view('{name}')")
        )
    for title, words, action in COMMANDS:
        if app.check_action(action.partition("(")[0], ()):
            yield SystemCommand(title, words, partial(app.run_action, action))
    for palette in PALETTES:
        yield SystemCommand(
            f"Theme: {get_theme_title(palette.name)}", "", partial(setattr, app, "theme", palette.name)
        )
