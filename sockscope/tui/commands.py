"""What the command palette (Ctrl+P) offers: everything that a key does, by name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from textual.app import App, SystemCommand

from sockscope.tui.themes import PALETTES, get_theme_title
from sockscope.tui.views import VIEWS

#: (title, what it does, action); an action that cannot be done now is left out.
COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("Filter the table (/)", "such as port:443 reader:nginx wait:>10ms", "filter"),
    ("Switch what is shown (m)", "another measure, or another grouping", "switch"),
    ("Pause, or go on (p)", "the picture stands still, collecting goes on", "pause"),
    ("Record, or stop recording (r)", "into a file that replay and report read", "record"),
    ("Play, or stop (space)", "time goes on from here", "play"),
    ("One tick on (.)", "", "step(1)"),
    ("One tick back (,)", "", "step(-1)"),
    ("Faster (+)", "", "speed(1)"),
    ("Slower (-)", "", "speed(-1)"),
    ("The next finding (n)", "to the moment at which it first shows", "mark(1)"),
    ("The previous finding (N)", "to the moment at which it first shows", "mark(-1)"),
    ("To the beginning ({)", "", "end(0)"),
    ("To the end (})", "", "end(1)"),
    ("Save what is seen (e)", "as a report", "save"),
    ("Help for this screen (?)", "how to read it, and all keys", "help"),
    ("Quit (q)", "and leave the terminal as it was", "quit"),
)


def build_commands(app: App[int]) -> Iterator[SystemCommand]:
    """Those that mean something now, screens first."""
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
