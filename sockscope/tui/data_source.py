"""The interface of data sources: a live session or a recording.

All methods but :meth:`DataSource.next` return at once. ``start``, ``next`` and ``close`` are called by the
thread of the collector, all others by the thread of the app, possibly at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sockscope.analysis.frame import Frame
from sockscope.analysis.server import Server
from sockscope.analysis.severity import Severity
from sockscope.analysis.work_distribution import WorkDistribution
from sockscope.model.history import HistoryView
from sockscope.records.batch import Meta


class Mark(Protocol):
    """A time in a recording to jump to: where a finding first appears."""

    @property
    def time_ns(self) -> int: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def title(self) -> str: ...


class Replay(Protocol):
    """Playback controls; every change leads to a new frame from :meth:`DataSource.next`."""

    @property
    def start_ns(self) -> int: ...
    @property
    def end_ns(self) -> int: ...
    @property
    def position_ns(self) -> int: ...
    @property
    def playing(self) -> bool: ...
    @property
    def speed(self) -> float: ...
    @property
    def marks(self) -> Sequence[Mark]: ...

    def play(self) -> None: ...
    def pause(self) -> None: ...
    def set_speed(self, speed: float) -> None: ...
    def seek(self, time_ns: int) -> None:
        """Go to the last batch at or before ``time_ns``, limited to the recording."""

    def step(self, ticks: int) -> None:
        """Go forward or back by a number of batches, and pause."""


class DataSource(Protocol):
    """A source of frames, in order of time."""

    @property
    def meta(self) -> Meta: ...
    @property
    def title(self) -> str:
        """Return the target in words, or the name of the file."""

    @property
    def replay(self) -> Replay | None:
        """Return the playback controls of a recording, else None."""

    @property
    def ended(self) -> str:
        """Return why there are no further frames (one line), or ""."""

    @property
    def recording(self) -> str:
        """Return the file being recorded, or ""."""

    def start(self) -> None:
        """Start.

        :raises SockscopeError: when that is not possible
        """

    def next(self, timeout: float) -> tuple[Frame, HistoryView] | None:
        """Return the newest frame not returned yet, or None after ``timeout`` seconds without one.

        :raises SockscopeError: when the source fails
        """

    def record(self, path: Path) -> None:
        """Record from now on, including the current state.

        :raises SockscopeError: when the file cannot be written
        """

    def stop_recording(self) -> None: ...
    def close(self) -> None:
        """Stop everything; may be called twice, and without a start."""


@dataclass(frozen=True, eq=False)
class FrameContext:
    """What every widget receives: the frame and the time series. Two contexts are never equal."""

    frame: Frame
    history: HistoryView

    def distribution(self, server: Server) -> WorkDistribution:
        """Return how the workers of a server share each kind of work."""
        return self.frame.reports[server.group.name].distribution
