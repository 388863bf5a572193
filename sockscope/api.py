"""Tracing and reading recordings from Python: what ``import sockscope`` gives.

Examples are in docs/library.md, which tests run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sockscope.analysis.analyse import analyse
from sockscope.analysis.frame import Frame
from sockscope.errors import SockscopeError, UsageError
from sockscope.export.derived_tables import add_tables, derived, names_derived
from sockscope.model.history import History, HistoryView
from sockscope.model.state import State
from sockscope.records.batch import Batch, Meta
from sockscope.report import FORMATS
from sockscope.report import render as render_as
from sockscope.session.live import LiveSession, get_map_sizes
from sockscope.session.load_recording import read
from sockscope.store import Reader
from sockscope.store.recording import RecordingSink as Writing
from sockscope.target import Target

#: Closed connections that a frame of something live still lists; counts and histograms cover all.
KEPT_CLOSED = 5000


class Recording:
    """A recording; use as a context manager.

    Nothing that stands in the file is executed, and the file is not changed.

    :raises SockscopeError: when there is no such file, or it is no recording that this version reads
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._reader = Reader(self.path)
        self._asked = False
        self._end: tuple[Frame, HistoryView] | None = None

    @property
    def meta(self) -> Meta:
        """The host, its kernel, what was traced, since when, and how."""
        return self._reader.meta

    def frame(self) -> Frame:
        """How everything stood at the end, with every connection.

        :raises SockscopeError: when the file is damaged, or holds nothing yet
        """
        return self._at_end()[0]

    def frames(self, keep_closed: int | None = KEPT_CLOSED) -> Iterator[Frame]:
        """A frame for each tick (about a second), as a live session showed it.

        :param keep_closed: how many closed connections each lists; None: all, which costs memory
        :raises SockscopeError: when the file is damaged
        """
        state = State(keep_closed)
        state.started_at(self.meta.started_ns)
        for batch in self._reader.batches(events=False):
            state.apply(batch)
            yield analyse(self.meta, state.snapshot())

    def sql(self, query: str) -> list[dict[str, Any]]:
        """The rows of a question in DuckDB's SQL, over the views of docs/trace.md and docs/fleet.md.

        No other file and no network can be reached.

        :raises UsageError: when the question cannot be answered
        """
        import duckdb

        try:
            connection = self._reader.connection()
            if not self._asked and names_derived(query):
                add_tables(connection, derived(self.path))
                self._asked = True
            cursor = connection.execute(query)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except duckdb.Error as error:
            raise UsageError(" ".join(str(error).split())) from error

    def report(self, form: str = "text") -> str:
        """The report on it, as ``sockscope report --format`` writes it.

        :param form: ``text``, ``json``, ``markdown`` or ``html``
        :raises SockscopeError: when the file is damaged, or what the format needs is not installed
        """
        return render(self._at_end()[0], form, self._at_end()[1])

    def close(self) -> None:
        """Let the file go."""
        self._reader.close()

    def _at_end(self) -> tuple[Frame, HistoryView]:
        if self._end is None:
            self._end = read(self.path)
        return self._end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Recorder:
    """Trace what happens now, from entering the context to leaving it; needs root.

    :param target: what to trace; nothing given: every listener of the host
    :param path: also record into this file
    :param overwrite: replace a file of that name
    :param keep_closed: how many closed connections a frame lists; None: all, which costs memory
    :param signals: a way for a signal, as ``--attach NAME=WAY``
    :param limits: sizes of the kernel's tables, as ``--map-size NAME=NUMBER``
    :raises SockscopeError: when tracing is not possible here, or the file cannot be written
    """

    def __init__(
        self,
        target: Target | None = None,
        path: Path | str | None = None,
        *,
        overwrite: bool = False,
        keep_closed: int | None = KEPT_CLOSED,
        signals: Mapping[str, str] | None = None,
        limits: Mapping[str, str] | None = None,
    ) -> None:
        self.target = target or Target()
        self.path = None if path is None else Path(path)
        self._overwrite = overwrite
        self._how = get_map_sizes(limits or {}), signals
        self._state, self._history = State(keep_closed), History()
        self._session: LiveSession | None = None
        self._writing: Writing | None = None
        self._meta: Meta | None = None

    @property
    def meta(self) -> Meta:
        """The host, its kernel, what is traced, since when, and how.

        :raises UsageError: before tracing began
        """
        if self._meta is None:
            raise UsageError("nothing has been traced yet", hint="use the recorder in a with statement")
        return self._meta

    def frames(self, seconds: float | None = None, interval: float = 1.0) -> Iterator[Frame]:
        """A frame each ``interval`` seconds, until ``seconds`` are over (None: as long as they are asked for)
        or the target, given by process, has ended."""
        begin = time.monotonic_ns()
        end = None if seconds is None else begin + round(seconds * 1e9)
        due = begin + round(interval * 1e9)
        while self._session is not None and not self._session.target_has_ended():
            until = due if end is None else min(due, end)
            self._session.wait_for_tick(until)
            if time.monotonic_ns() < until:  # a ring is filling up: take it in, and wait on
                self._take(self._session.batch())
                continue
            self._take(self._session.batch())
            yield self.frame()
            if end is not None and time.monotonic_ns() >= end:
                return
            due = max(due + round(interval * 1e9), time.monotonic_ns())

    def frame(self) -> Frame:
        """How everything stood at the last tick; after the context was left, at its end."""
        return analyse(self.meta, self._state.snapshot())

    def report(self, form: str = "text") -> str:
        """The report on what was traced so far; forms are those of :meth:`Recording.report`."""
        return render(self.frame(), form, self._history.view())

    def _take(self, batch: Batch) -> None:
        self._state.apply(batch)
        self._history.apply(batch)
        if self._writing is not None:
            self._writing.take(batch)

    def __enter__(self) -> Self:
        if self._meta is not None:
            raise UsageError("a recorder can be used only once", hint="create another one")
        if self.path is not None and self.path.exists() and not self._overwrite:
            raise SockscopeError(f"{self.path} exists", hint="choose another name, or pass overwrite=True")
        limits, signals = self._how
        session = LiveSession(self.target, limits, signals)
        try:
            self._meta = session.meta
            self._state.started_at(session.meta.started_ns)
            session.start()
            if self.path is not None:
                self._writing = Writing(self.path, session.meta, self._overwrite)
        except BaseException:
            session.close()
            raise
        self._session = session
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        try:
            self._take(session.stop())
        finally:
            try:
                if self._writing is not None:
                    self._writing.__exit__(kind, error, trace)
            finally:
                session.close()


def render(frame: Frame, form: str = "text", history: HistoryView | None = None) -> str:
    """The report on a frame.

    :param form: ``text``, ``json``, ``markdown`` or ``html``
    :param history: what happened when, for the pictures over time in ``html``
    :raises UsageError: when there is no such form
    """
    if form not in dict(FORMATS):
        raise UsageError(f"unknown report format {form!r}", hint=f"formats: {', '.join(dict(FORMATS))}")
    return render_as(form, frame, history)
