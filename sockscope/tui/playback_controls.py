"""Key bindings for playback of a recording."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App
from textual.binding import Binding

from sockscope.tui.data_source import DataSource, Replay
from sockscope.tui.screens.base import FrameScreen
from sockscope.tui.widgets.scrubber import Scrubber

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0)
_JUMPS = 20


class PlaybackControls(App[int]):
    """Actions for playback; they do nothing in a live session."""

    KEYS: ClassVar[list[Binding]] = [
        Binding("space", "play", "Play"),
        Binding("p", "play", "Play", show=False),
        Binding("comma", "step(-1)", "Tick back", show=False),
        Binding("full_stop", "step(1)", "Tick on", show=False),
        Binding("left_square_bracket", "jump(-1)", "Back", show=False),
        Binding("right_square_bracket", "jump(1)", "On", show=False),
        Binding("left_curly_bracket", "end(0)", "Beginning", show=False),
        Binding("right_curly_bracket", "end(1)", "End", show=False),
        Binding("minus", "speed(-1)", "Slower", show=False),
        Binding("plus,equals_sign", "speed(1)", "Faster", show=False),
        Binding("n", "mark(1)", "Next finding", show=False),
        Binding("N", "mark(-1)", "Previous finding", show=False),
    ]
    _REPLAY_ACTIONS: ClassVar[frozenset[str]] = frozenset({"play", "step", "jump", "end", "speed", "mark"})
    feed: DataSource

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action not in self._REPLAY_ACTIONS or self.feed.replay is not None

    @property
    def _replay(self) -> Replay:
        assert self.feed.replay is not None
        return self.feed.replay

    def action_play(self) -> None:
        replay = self._replay
        if replay.playing:
            replay.pause()
        else:
            if replay.position_ns >= replay.end_ns:
                replay.seek(replay.start_ns)
            replay.play()
        self._moved()

    def action_step(self, ticks: int) -> None:
        self._replay.step(ticks)
        self._moved()

    def action_jump(self, times: int) -> None:
        replay = self._replay
        self._seek(replay.position_ns + times * (replay.end_ns - replay.start_ns) // _JUMPS)

    def action_end(self, which: int) -> None:
        self._seek(self._replay.end_ns if which else self._replay.start_ns)

    def action_speed(self, step: int) -> None:
        replay = self._replay
        nearest = min(range(len(SPEEDS)), key=lambda index: abs(SPEEDS[index] - replay.speed))
        replay.set_speed(SPEEDS[min(max(nearest + step, 0), len(SPEEDS) - 1)])
        self._moved()

    def action_mark(self, step: int) -> None:
        replay = self._replay
        times = sorted(mark.time_ns for mark in replay.marks)
        later = [time for time in times if time > replay.position_ns]
        earlier = [time for time in times if time < replay.position_ns]
        if step > 0 and later:
            self._seek(later[0])
        elif step < 0 and earlier:
            self._seek(earlier[-1])
        else:
            self.notify(
                "no further finding in that direction" if times else "this recording has no findings",
                timeout=2,
            )

    def on_scrubber_sought(self, message: Scrubber.Sought) -> None:
        self._seek(message.time_ns)

    def _seek(self, time_ns: int) -> None:
        replay = self._replay
        replay.seek(min(max(time_ns, replay.start_ns), replay.end_ns))
        self._moved()

    def _moved(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, FrameScreen):
                screen.tick()
