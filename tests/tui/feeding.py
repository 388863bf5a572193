"""Feeds for tests: the synthetic source behind the protocol that live sessions and recordings have.

Nothing here waits for a clock: a test says how many ticks there are, and all of them are given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sockscope.analysis.analyse import analyse
from sockscope.analysis.frame import Finding, Frame
from sockscope.analysis.severity import Severity
from sockscope.errors import SockscopeError
from sockscope.model.history import History, HistoryView
from sockscope.model.state import State
from sockscope.records.batch import Batch, Meta
from tests.synthetic import Scenario, SyntheticSource

Change = Callable[[Frame], Frame]

FINDINGS = (
    Finding(
        id="queue-overflow", severity="critical", title="The accept queue overflows",
        subject="0.0.0.0:8080", explanation="The queue of this listener was at its limit, and the kernel refused "
        "handshakes. Clients wait a second or more before they try again.",
        evidence={"queue": 128, "backlog": 128, "drops": 4211, "queue_wait_p99_ns": 214_000_000},
        remedy=("Accept faster: take blocking work off the thread that accepts.",
                "Then raise the backlog of listen() and net.core.somaxconn; the smaller of both is in force."),
    ),
    Finding(
        id="loop-stall", severity="warning", title="An event loop stalls", subject="nginx 4002 on 0.0.0.0:8080",
        explanation="This thread stayed away from epoll_wait so long that everything else it serves waited.",
        evidence={"thread": "nginx 4002", "longest_ns": 291_000_000, "share_of_reads": 0.26},
        remedy=("Move blocking work to other threads.",),
    ),
    Finding(
        id="hash-noise", severity="info", title="Shares differ no more than hashing makes them", subject="0.0.0.0:8080",
        explanation="What looks uneven is chance.", evidence={"cv": 0.03}, remedy=("Nothing to do.",),
    ),
)  # fmt: skip


def with_findings(frame: Frame) -> Frame:
    return replace(frame, findings=FINDINGS)


@dataclass(frozen=True)
class TestMark:
    __test__ = False
    time_ns: int
    severity: Severity
    title: str


@dataclass
class LiveFeed:
    """The first ``at_once`` ticks in one go, each further one when :meth:`tick` is called."""

    scenario: Scenario
    at_once: int = 40
    change: Change = lambda frame: frame
    keep_closed: int = 2000
    fail_after: int | None = None
    recording: str = ""
    ended: str = ""
    recorded: list[Path] = field(default_factory=list)
    closed: bool = False
    given: int = 0
    replay: None = None

    def __post_init__(self) -> None:
        self.source = SyntheticSource(self.scenario)
        self._state, self._history = State(self.keep_closed), History()
        self._wanted = threading.Semaphore(0)
        self._model = threading.Lock()  # the test's thread feeds what the collector's looks at
        self._started = False

    @property
    def meta(self) -> Meta:
        return self.source.meta

    @property
    def title(self) -> str:
        return self.meta.target

    def start(self) -> None:
        for _ in range(self.at_once):
            self._take()
        self._started = True
        self._wanted.release()

    def tick(self) -> None:
        """Let one more tick come."""
        self._take()
        self._wanted.release()

    def next(self, timeout: float) -> tuple[Frame, HistoryView] | None:
        if not self._wanted.acquire(timeout=min(timeout, 0.02)):
            return None
        if self.fail_after is not None and self.given >= self.fail_after:
            raise SockscopeError("the kernel no longer gives records; start again")
        with self._model:
            frame, history = analyse(self.meta, self._state.snapshot()), self._history.view()
        self.given += 1
        return self.change(frame), history

    def record(self, path: Path) -> None:
        self.recording = str(path)
        self.recorded.append(path)

    def stop_recording(self) -> None:
        self.recording = ""

    def close(self) -> None:
        self.closed = True

    def _take(self) -> None:
        batch = self.source.batch()
        with self._model:
            self._state.apply(batch)
            self._history.apply(batch)
        if batch.final:
            self.ended = "the target is gone"


class Recording:
    """Batches kept in memory, moved through as a recording is."""

    def __init__(
        self, scenario: Scenario, ticks: int, marks: Sequence[tuple[int, Severity, str]] = ()
    ) -> None:
        source = SyntheticSource(scenario)
        self.meta = source.meta
        self.batches: list[Batch] = list(source.batches(ticks))
        times = [batch.time_ns for batch in self.batches]
        self.start_ns, self.end_ns = times[0], times[-1]
        self.marks = tuple(TestMark(times[tick], severity, title) for tick, severity, title in marks)
        self.at, self.playing, self.speed = 0, False, 1.0
        self._moved = threading.Event()

    @property
    def position_ns(self) -> int:
        return self.batches[self.at].time_ns

    def play(self) -> None:
        self.playing = True

    def pause(self) -> None:
        self.playing = False

    def set_speed(self, speed: float) -> None:
        self.speed = speed

    def seek(self, time_ns: int) -> None:
        fitting = [index for index, batch in enumerate(self.batches) if batch.time_ns <= time_ns]
        self._go(fitting[-1] if fitting else 0)

    def step(self, ticks: int) -> None:
        self.playing = False
        self._go(self.at + ticks)

    def _go(self, at: int) -> None:
        self.at = min(max(at, 0), len(self.batches) - 1)
        self._moved.set()


class ReplayFeed:
    """A recording as a feed."""

    title = "synthetic.sockscope"
    ended = ""
    recording = ""

    def __init__(self, recording: Recording, change: Change = lambda frame: frame) -> None:
        self.replay, self._change = recording, change
        self.closed = False

    @property
    def meta(self) -> Meta:
        return self.replay.meta

    def start(self) -> None:
        self.replay._moved.set()

    def next(self, timeout: float) -> tuple[Frame, HistoryView] | None:
        if not self.replay._moved.wait(min(timeout, 0.02)):
            return None
        self.replay._moved.clear()
        state, history = State(2000), History()
        for batch in self.replay.batches[: self.replay.at + 1]:
            state.apply(batch)
            history.apply(batch)
        return self._change(analyse(self.meta, state.snapshot())), history.view()

    def record(self, path: Path) -> None:
        raise SockscopeError("a recording cannot be recorded")

    def stop_recording(self) -> None:
        raise AssertionError

    def close(self) -> None:
        self.closed = True
