"""What the dashboard is fed by: a live session or a recording, which look the same from here.

All methods but :meth:`Feed.next` return at once.  ``start``, ``next`` and ``close`` are called by
the collector's thread, everything else by the thread of the screen; a feed must bear both at once.
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
    """A moment of a recording worth jumping to: where a finding begins."""

    @property
    def time_ns(self) -> int: ...
    @property
    def severity(self) -> Severity: ...
    @property
    def title(self) -> str: ...


class Replay(Protocol):
    """Time under the user's hand.  Every change leads to a new frame from :meth:`Feed.next`."""

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
        """To the last batch at or before ``time_ns``; beyond either end is that end."""

    def step(self, ticks: int) -> None:
        """So many batches on, or back; pauses."""


class DataSource(Protocol):
    """Frames of one source, newest last."""

    @property
    def meta(self) -> Meta: ...
    @property
    def title(self) -> str:
        """What is looked at: the target in words, or the name of the file."""

    @property
    def replay(self) -> Replay | None:
        """Its controls when this is a recording, else None."""

    @property
    def ended(self) -> str:
        """Why no further frame will come (one line), or "" while some may."""

    @property
    def recording(self) -> str:
        """The file that is being written, or ""."""

    def start(self) -> None:
        """Begin.  :raises SockscopeError: when it cannot"""

    def next(self, timeout: float) -> tuple[Frame, HistoryView] | None:
        """The newest frame not yet given, waiting so many seconds for one; None when none came.

        :raises SockscopeError: when the source fails
        """

    def record(self, path: Path) -> None:
        """Write all that comes from now on, and what is known now.  :raises SockscopeError:"""

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
