"""Feeds for the dashboard: a live session, or a recording with time under the user's hand.

They satisfy the protocol in sockscope/tui/feed.py, which this room does not import.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sockscope.analysis.analyse import analyse
from sockscope.analysis.frame import Frame
from sockscope.analysis.severity import Severity
from sockscope.errors import SockscopeError
from sockscope.host.privileges import invoker
from sockscope.model.history import History, HistoryView
from sockscope.model.state import State
from sockscope.records.batch import Batch, Meta
from sockscope.session.live import LiveSession, get_map_sizes
from sockscope.session.privdrop import drop_privileges
from sockscope.store import Reader
from sockscope.store.recording import RecordingSink
from sockscope.target import Target

#: Closed connections that a live frame still shows.
KEPT_CLOSED = 5000
_SLOWEST_STEP_S = 0.02


def open_live_source(
    target: Target, *, interval_s: float, signals: Mapping[str, str], limits: Mapping[str, str]
) -> LiveSource:
    """A feed of what happens now; tracing has begun, and what it needed to begin is given up.

    :raises SockscopeError: when tracing is not possible here
    """
    session = LiveSession(target, get_map_sizes(limits), signals)
    try:
        session.start()
    except BaseException:
        session.close()
        raise
    # before the screen's threads start; where its user may not write, recordings are refused in words
    drop_privileges([] if invoker() else [Path.cwd()])
    return LiveSource(session, str(target), interval_s)


def open_replay_source(path: Path) -> ReplaySource:
    """A feed of a recording.

    :raises SockscopeError: when it cannot be read
    """
    return ReplaySource(path)


class LiveSource:
    """Frames of a live session, one each ``interval_s``."""

    replay = None

    def __init__(self, session: LiveSession, title: str, interval_s: float) -> None:
        self._session = session
        self._interval_ns = round(interval_s * 1e9)
        self._state, self._history = State(KEPT_CLOSED), History()
        self._state.started_at(session.meta.started_ns)
        self._lock = threading.Lock()
        self._recording: RecordingSink | None = None
        self._whole = False
        self._ahead: list[Batch] = []
        self._due_ns = 0
        self._open = True
        self.title = title
        self.recording = ""
        self.ended = ""

    @property
    def meta(self) -> Meta:
        return self._session.meta

    def start(self) -> None:
        """It has begun already: live_feed saw to that."""

    def next(self, timeout: float) -> tuple[Frame, HistoryView] | None:
        if self.ended:
            time.sleep(min(timeout, 0.1))
            return None
        self._session.wait_for_tick(min(self._due_ns, time.monotonic_ns() + round(timeout * 1e9)))
        if time.monotonic_ns() < self._due_ns and not self._session.under_pressure():
            return None
        self._due_ns = time.monotonic_ns() + self._interval_ns
        with self._lock:
            if not self._open:
                return None
            over = self._session.target_has_ended()
            batch = self._session.stop() if over else self._session.batch(whole=self._whole)
            self._whole = False
            batches, self._ahead = [*self._ahead, batch], []
            if self._recording:
                self._recording.take(batch)
            if over:
                self._end_recording()
                self.ended = f"the target has ended: {self.title}"
        for batch in batches:
            self._state.apply(batch)
            self._history.apply(batch)
        return analyse(self.meta, self._state.snapshot()), self._history.view()

    def record(self, path: Path) -> None:
        with self._lock:
            self._end_recording()
            self._recording = RecordingSink(path, self.meta)
            self._whole = True  # its first batch holds all that is open now
            self.recording = str(path)

    def stop_recording(self) -> None:
        with self._lock:
            if self._recording and self._open and not self.ended:
                batch = self._session.batch()  # what happened since the last frame belongs to it
                self._recording.take(batch)
                self._ahead.append(batch)
            self._end_recording()

    def close(self) -> None:
        with self._lock:
            if self._open:
                self._open = False
                try:
                    if self._recording:
                        self._recording.take(self._session.stop())
                finally:
                    self._end_recording()
                    self._session.close()

    def _end_recording(self) -> None:
        if self._recording:
            self._recording.__exit__(None, None, None)
            self._recording, self.recording = None, ""


@dataclass(frozen=True)
class FindingMark:
    """When a finding first appeared in a recording."""

    time_ns: int
    severity: Severity
    title: str


class PlaybackClock:
    """Where a replay stands.  Moved by the screen's thread, followed by the collector's."""

    def __init__(self, times_ns: Sequence[int]) -> None:
        self._times = times_ns
        self._wanted = 0
        self._playing = False
        self._speed = 1.0
        self._since = 0.0
        self._from_ns = times_ns[0]
        self.changed = threading.Event()
        self.marks: tuple[FindingMark, ...] = ()

    @property
    def start_ns(self) -> int:
        return self._times[0]

    @property
    def end_ns(self) -> int:
        return self._times[-1]

    @property
    def position_ns(self) -> int:
        return self._times[self.wanted]

    @property
    def playing(self) -> bool:
        return self._playing

    @property
    def speed(self) -> float:
        return self._speed

    @property
    def wanted(self) -> int:
        """The batch that should be shown now."""
        if not self._playing:
            return self._wanted
        now = self._from_ns + round((time.monotonic() - self._since) * 1e9 * self._speed)
        at = self._at(now)
        if at == len(self._times) - 1:
            self._playing, self._wanted = False, at
        return at

    def play(self) -> None:
        self._begin(self.position_ns)
        self._playing = True
        self.changed.set()

    def pause(self) -> None:
        self._wanted = self.wanted
        self._playing = False
        self.changed.set()

    def set_speed(self, speed: float) -> None:
        self._begin(self.position_ns)
        self._speed = speed
        self.changed.set()

    def seek(self, time_ns: int) -> None:
        self._wanted = self._at(time_ns)
        self._begin(time_ns)
        self.changed.set()

    def step(self, ticks: int) -> None:
        self.pause()
        self._wanted = min(max(self._wanted + ticks, 0), len(self._times) - 1)

    def _begin(self, time_ns: int) -> None:
        self._from_ns, self._since = time_ns, time.monotonic()

    def _at(self, time_ns: int) -> int:
        from bisect import bisect_right

        return max(bisect_right(self._times, time_ns) - 1, 0)


class ReplaySource:
    """Frames of a recording, wherever the timeline stands.

    Going on reads on; going back reads from the start again: batches are not kept, so a recording
    of any length fits.
    """

    recording = ""
    ended = ""

    def __init__(self, path: Path) -> None:
        self._reader = Reader(path)
        rows = self._reader.connection().execute("SELECT time_ns FROM raw.ticks ORDER BY tick").fetchall()
        if not rows:
            self._reader.close()
            raise SockscopeError(
                f"{path} has no data: tracing ended before the first batch", hint="record again"
            )
        self.title = str(path)
        self.replay = PlaybackClock([row[0] for row in rows])
        self._shown = -1
        self._found: set[tuple[str, str]] = set()
        self._rewind()

    @property
    def meta(self) -> Meta:
        return self._reader.meta

    def start(self) -> None:
        self.replay.changed.set()

    def next(self, timeout: float) -> tuple[Frame, HistoryView] | None:
        deadline = time.monotonic() + timeout
        while (wanted := self.replay.wanted) == self._shown and not self.replay.changed.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.replay.changed.wait(min(left, _SLOWEST_STEP_S))
        self.replay.changed.clear()
        if wanted < self._at:
            self._rewind()
        while self._at < wanted:
            self._advance()
        self._shown = wanted
        frame = analyse(self.meta, self._state.snapshot())
        self._mark(frame)
        return frame, self._history.view()

    def record(self, path: Path) -> None:
        raise SockscopeError("this already is a recording", hint=f"copy {self.title} to keep it")

    def stop_recording(self) -> None:
        """Nothing is recorded."""

    def close(self) -> None:
        self._reader.close()

    def _rewind(self) -> None:
        self._state, self._history = State(KEPT_CLOSED), History()
        self._state.started_at(self.meta.started_ns)
        self._batches: Iterator[Batch] = self._reader.batches(events=False)
        self._at = -1

    def _advance(self) -> None:
        batch = next(self._batches)
        self._state.apply(batch)
        self._history.apply(batch)
        self._at += 1

    def _mark(self, frame: Frame) -> None:
        fresh = [found for found in frame.findings if (found.id, found.subject) not in self._found]
        self._found.update((found.id, found.subject) for found in fresh)
        marks = [FindingMark(frame.snapshot.time_ns, found.severity, found.title) for found in fresh]
        self.replay.marks = tuple(sorted((*self.replay.marks, *marks), key=lambda mark: mark.time_ns))
