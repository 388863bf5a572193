"""The dashboard under the largest load that it must bear, to be run in a terminal of its own.

64 workers, 10,000 open connections, 20,000 new ones a second, two frames a second:

    python loaded.py paced TICKS      batches made beforehand, one each half second
    python loaded.py fast TICKS FILE  as fast as it can, memory told in FILE ("tick bytes" each 120 ticks)
    python loaded.py record TICKS FILE  the same batches as a recording
    python loaded.py replay FILE      a recording, playing
"""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path

import psutil

from sockscope.analysis.analyse import analyse
from sockscope.analysis.frame import Frame
from sockscope.cli.live import show
from sockscope.model.history import History, HistoryView
from sockscope.model.state import State
from sockscope.records.batch import Batch, Meta
from sockscope.session.frame_sources import KEPT_CLOSED, open_replay_source
from sockscope.store.recording import RecordingSink
from sockscope.tui.app import make_app
from sockscope.tui.data_source import DataSource
from tests.synthetic import Scenario, SyntheticSource

LARGE = Scenario("reuseport", 64, rate=20_000, lifetime_s=0.5, imbalance=0.3, straggler=3)
TOLD_EACH = 120


class Given:
    """A live feed of the load.  ``ahead``: batches made before it begins, so that making them costs nothing then."""

    replay = None
    title = "the largest load"
    recording = ""

    def __init__(self, ticks: int, told: Path | None = None) -> None:
        self._source = SyntheticSource(LARGE)
        self._left, self._told = ticks, told
        self._ahead: deque[Batch] = deque() if told else deque(self._source.batches(ticks))
        self._state, self._history = State(KEPT_CLOSED), History()
        self._due = 0.0
        self.ended = ""

    @property
    def meta(self) -> Meta:
        return self._source.meta

    def start(self) -> None:
        self._due = time.monotonic()

    def next(self, timeout: float) -> tuple[Frame, HistoryView] | None:
        wait = self._due - time.monotonic()
        if wait > 0 and not self._told:
            time.sleep(min(wait, timeout))
            if wait > timeout:
                return None
        if not self._left:
            self.ended = "the load is over"
            time.sleep(timeout)
            return None
        self._due += LARGE.interval_ns / 1e9
        self._left -= 1
        batch = self._source.batch() if self._told else self._ahead.popleft()
        self._state.apply(batch)
        self._history.apply(batch)
        if self._told and self._left % TOLD_EACH == 0:
            with self._told.open("a") as file:
                file.write(f"{self._left} {psutil.Process().memory_info().rss}\n")
        return analyse(self.meta, self._state.snapshot()), self._history.view()

    def record(self, path: Path) -> None:
        raise NotImplementedError

    def stop_recording(self) -> None: ...

    def close(self) -> None: ...


def main(what: str, *words: str) -> int:
    if what == "record":
        source = SyntheticSource(LARGE)
        with RecordingSink(Path(words[1]), source.meta) as recording:
            for batch in source.batches(int(words[0])):
                recording.take(batch)
        return 0
    feed: DataSource
    if what == "replay":
        feed = replayed = open_replay_source(Path(words[0]))
        replayed.replay.play()
    else:
        feed = Given(int(words[0]), Path(words[1]) if what == "fast" else None)
    return show(make_app(feed))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
