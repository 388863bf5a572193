"""The Textual app of the dashboard, and its factory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import Screen

from sockscope.analysis.frame import Frame
from sockscope.errors import SockscopeError
from sockscope.tui.collector import Collector
from sockscope.tui.commands import build_commands
from sockscope.tui.data_source import DataSource, FrameContext
from sockscope.tui.messages import Arrived, Ended, RowOpened
from sockscope.tui.playback_controls import PlaybackControls
from sockscope.tui.screens.base import FrameScreen
from sockscope.tui.screens.connection import ConnectionScreen
from sockscope.tui.screens.finding import FindingScreen
from sockscope.tui.screens.help import HelpScreen
from sockscope.tui.screens.main import MainScreen
from sockscope.tui.screens.worker import WorkerScreen
from sockscope.tui.themes import PALETTES, get_theme_title
from sockscope.tui.views import VIEWS
from sockscope.tui.views.connections import ConnectionsView
from sockscope.tui.views.findings import find_finding
from sockscope.tui.widgets.header import Header

#: Saves a frame as a report and says where.
Save = Callable[[Frame, Path], Path]


class Dashboard(PlaybackControls, App[int]):
    """Show the frames of a data source until the user quits."""

    CSS_PATH = "app.tcss"
    TITLE = "sockscope"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key, f"view('{name}')", view.title, show=False) for key, name, view in VIEWS),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("slash", "refuse('no table to filter here; screens 2 to 5 have tables')", show=False),
        Binding("m", "switch", "Switch"),
        Binding("m", "refuse('nothing to switch here; screens 1, 3 and 6 have alternatives')", show=False),
        Binding("p", "pause", "Pause"),
        Binding("r", "record", "Record"),
        Binding("r", "refuse('this already is a recording')", show=False),
        *PlaybackControls.KEYS,
        Binding("e", "save", "Save"),
        Binding("t", "theme", "Theme", show=False),
        Binding("escape", "back", "Back", key_display="Esc"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+c", "quit", show=False),
    ]
    paused: reactive[bool] = reactive(False, init=False)

    def __init__(self, feed: DataSource, *, save: Save | None, theme: str, directory: Path) -> None:
        super().__init__()
        self.feed = feed
        self.latest: FrameContext | None = None
        self.shown: FrameContext | None = None
        self.failure = ""
        self._save, self._directory = save, directory
        self._ended = Ended("")
        self._collector = Collector(self, feed)
        for palette in PALETTES:
            self.register_theme(palette.theme())
        self.theme = theme

    def get_default_screen(self) -> MainScreen:
        return MainScreen()

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        # a loop that is not the main thread's (textual-serve, some tests) cannot have handlers
        with contextlib.suppress(RuntimeError, ValueError, NotImplementedError):
            loop.add_signal_handler(signal.SIGTERM, self.exit, 128 + signal.SIGTERM)
            loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        self._update_headers()
        self._collector.start()

    def _hang_up(self) -> None:
        """Leave after the terminal is gone, keeping what was recorded.

        Nothing can be drawn or restored, and reading would return end of file endlessly.
        """
        try:
            self.feed.close()
        finally:
            os._exit(128 + signal.SIGHUP)

    def on_unmount(self) -> None:
        self._collector.stop()

    def on_resize(self) -> None:
        for screen in self.screen_stack:
            screen.set_class(self.size.height < 32, "short")

    @property
    def main(self) -> MainScreen:
        return next(screen for screen in self.screen_stack if isinstance(screen, MainScreen))

    def on_arrived(self, message: Arrived) -> None:
        self.latest = self._collector.take() or self.latest
        if not self.paused:
            self._show()

    def on_ended(self, message: Ended) -> None:
        if message.failed and self.latest is None:
            self.failure = message.reason
            self.exit(1, return_code=1)
            return
        self._ended = message
        self._update_headers()
        if message.failed:
            self.notify(
                f"{message.reason}\nThe last frame stays on screen.",
                title="Tracing stopped",
                severity="error",
                timeout=10,
                markup=False,
            )

    def on_row_opened(self, message: RowOpened) -> None:
        kind = message.table.removesuffix("-table")
        if kind == "workers":
            self._open(WorkerScreen(message.key))
        elif kind == "connections":
            self._open(ConnectionScreen(message.key))
        elif kind == "findings" and self.shown:
            finding = find_finding(self.shown.frame, message.key)
            if finding is not None:
                self._open(FindingScreen(message.key, finding))
        elif kind == "listeners" and self.shown:
            ports = [item.port for item in self.shown.frame.snapshot.listeners if item.id == message.key]
            self.main.current = "connections"
            self.main.query_one(ConnectionsView).filter_by(f"port:{ports[0]}" if ports else "")

    def action_view(self, name: str) -> None:
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.main.current = name

    def action_refuse(self, why: str) -> None:
        """Explain why a key has no effect on this screen."""
        self.notify(why, timeout=3)

    def action_filter(self) -> None:
        self.main.view.take_filter()

    def action_switch(self) -> None:
        self.main.view.next_choice()

    def action_pause(self) -> None:
        self.paused = not self.paused

    def watch_paused(self, paused: bool) -> None:
        self._update_headers()
        if not paused:
            self._show()

    def action_record(self) -> None:
        try:
            if self.feed.recording:
                name = self.feed.recording
                self.feed.stop_recording()
                self.notify(f"saved as {name}", title="Recording stopped", markup=False)
            elif not self._ended.reason:
                self.feed.record(self._file("", ".sockscope"))
        except (SockscopeError, OSError) as error:
            self.notify(str(error), title="Cannot record", severity="error", markup=False)
        self._update_headers()

    def action_save(self) -> None:
        if self.shown is None:
            self.notify("nothing to save yet", timeout=3)
            return
        try:
            if self._save is not None:
                path = self._save(self.shown.frame, self._file("-report", ".html"))
            else:
                path = self._file("-screen", ".svg")
                path.write_text(self.export_screenshot())
        except (SockscopeError, OSError) as error:
            self.notify(str(error), title="Cannot save", severity="error", markup=False)
        else:
            self.notify(str(path), title="Saved", markup=False)

    def action_theme(self) -> None:
        names = [palette.name for palette in PALETTES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)] if self.theme in names else names[0]
        self.notify(get_theme_title(self.theme), title="Theme", timeout=2)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        return build_commands(self)

    async def action_back(self) -> None:
        if len(self.screen_stack) > 1:
            self.pop_screen()
            self._show()
        else:
            self.main.view.drop_filter()

    def action_help(self) -> None:
        top = self.screen
        if isinstance(top, MainScreen):
            title, sections = top.view.title, top.view.help
        elif isinstance(top, FrameScreen):
            title, sections = top.heading, top.help
        else:
            return
        self.push_screen(HelpScreen(title, sections, replaying=self.feed.replay is not None))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("filter", "switch"):
            top = self.screen
            return isinstance(top, MainScreen) and (
                top.view.filters if action == "filter" else top.view.switches
            )
        if action in ("pause", "record"):
            return self.feed.replay is None
        if action == "back":
            return len(self.screen_stack) > 1 or self.main.view.filtered
        return super().check_action(action, parameters)

    def _open(self, screen: FrameScreen) -> None:
        screen.set_class(self.size.height < 32, "short")
        if self.shown is not None:
            screen.give(self.shown)
        self.push_screen(screen, wait_for_dismiss=False)
        self.call_after_refresh(self._update_headers)

    def _show(self) -> None:
        if self.latest is None:
            return
        self.shown = self.latest
        if isinstance(self.screen, FrameScreen):
            self.screen.give(self.shown)
        self._update_headers()

    def _update_headers(self) -> None:
        for screen in self.screen_stack:
            for header in screen.query(Header):
                header.title = self.feed.title
                header.paused = self.paused
                header.recording = self.feed.recording
                header.ended, header.failed = self._ended.reason, self._ended.failed
                header.replaying = self.feed.replay is not None

    def _file(self, what: str, ending: str) -> Path:
        """Return an unused file name with the time of the frame."""
        context = self.latest or self.shown
        meta = self.feed.meta
        ns = (context.frame.snapshot.time_ns if context else meta.started_ns) + meta.monotonic_offset_ns
        stamp = datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y%m%d-%H%M%S")
        path = self._directory / f"sockscope-{stamp}{what}{ending}"
        number = 2
        while path.exists():
            path = self._directory / f"sockscope-{stamp}{what}-{number}{ending}"
            number += 1
        return path


def make_app(
    feed: DataSource,
    *,
    save: Save | None = None,
    theme: str = "sockscope-dark",
    directory: Path | None = None,
) -> Dashboard:
    """Create the app, for the command line and for tests.

    :param save: writes a report of a frame; without it ``e`` saves a screenshot
    :param directory: directory for recordings and reports; default: the working directory
    """
    return Dashboard(feed, save=save, theme=theme, directory=directory or Path())
