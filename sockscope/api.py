"""The Python API: trace servers and read recordings.

The examples in docs/api.md are run by tests.
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
from sockscope.store.recording import RecordingSink
from sockscope.target import Target

#: Closed connections that a live frame lists; counts and histograms cover all.
KEPT_CLOSED = 5000


class Recording:
    """A recording, opened read-only; use it as a context manager.

    :raises SockscopeError: when the file does not exist or is not a recording that this version reads
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._reader = Reader(self.path)
        self._has_derived_tables = False
        self._end: tuple[Frame, HistoryView] | None = None

    @property
    def meta(self) -> Meta:
        """Return host, kernel, target, start time and attach methods."""
        return self._reader.meta

    def frame(self) -> Frame:
        """Return the frame at the end of the recording, with every connection.

        :raises SockscopeError: when the file is damaged or has no data
        """
        return self._at_end()[0]

    def frames(self, keep_closed: int | None = KEPT_CLOSED) -> Iterator[Frame]:
        """Yield one frame per tick (about a second), as a live session showed it.

        :param keep_closed: closed connections that each frame lists; None lists all and costs memory
        :raises SockscopeError: when the file is damaged
        """
        state = State(keep_closed)
        state.started_at(self.meta.started_ns)
        for batch in self._reader.batches(events=False):
            state.apply(batch)
            yield analyse(self.meta, state.snapshot())

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a DuckDB query over the views of docs/recording-schema.md and docs/fleet.md.

        Queries cannot access other files or the network.

        :raises UsageError: when the query is invalid
        """
        import duckdb

        try:
            connection = self._reader.connection()
            if not self._has_derived_tables and names_derived(query):
                add_tables(connection, derived(self.path))
                self._has_derived_tables = True
            cursor = connection.execute(query)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except duckdb.Error as error:
            raise UsageError(" ".join(str(error).split())) from error

    def report(self, form: str = "text") -> str:
        """Return the report, as ``sockscope report --format`` writes it.

        :param form: ``text``, ``json``, ``markdown`` or ``html``
        :raises SockscopeError: when the file is damaged, or a package that the format needs is missing
        """
        return render(self._at_end()[0], form, self._at_end()[1])

    def close(self) -> None:
        """Close the file."""
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
    """Trace live servers, from entering the context until leaving it; needs root.

    :param target: what to trace; default: every listener on this host
    :param path: also record to this file
    :param overwrite: replace an existing file
    :param keep_closed: closed connections that a frame lists; None lists all and costs memory
    :param attach: signal → attach method, or ``off``; as ``--attach SIGNAL=METHOD``
    :param map_sizes: name of a BPF map → maximum entries; as ``--map-size NAME=N``
    :raises SockscopeError: when tracing is not possible, or the file cannot be written
    """

    def __init__(
        self,
        target: Target | None = None,
        path: Path | str | None = None,
        *,
        overwrite: bool = False,
        keep_closed: int | None = KEPT_CLOSED,
        attach: Mapping[str, str] | None = None,
        map_sizes: Mapping[str, str] | None = None,
    ) -> None:
        self.target = target or Target()
        self.path = None if path is None else Path(path)
        self._overwrite = overwrite
        self._map_sizes, self._attach = get_map_sizes(map_sizes or {}), attach
        self._state, self._history = State(keep_closed), History()
        self._session: LiveSession | None = None
        self._sink: RecordingSink | None = None
        self._meta: Meta | None = None

    @property
    def meta(self) -> Meta:
        """Return host, kernel, target, start time and attach methods.

        :raises UsageError: before tracing has started
        """
        if self._meta is None:
            raise UsageError("nothing has been traced yet", hint="use the recorder in a with statement")
        return self._meta

    def frames(self, seconds: float | None = None, interval: float = 1.0) -> Iterator[Frame]:
        """Yield a frame every ``interval`` seconds.

        Stops after ``seconds`` (None: never), or when the target was given by pid and has exited.
        """
        begin = time.monotonic_ns()
        end = None if seconds is None else begin + round(seconds * 1e9)
        due = begin + round(interval * 1e9)
        while self._session is not None and not self._session.target_has_ended():
            until = due if end is None else min(due, end)
            self._session.wait_for_tick(until)
            if time.monotonic_ns() < until:  # a ring is filling up: drain it, then continue to wait
                self._take(self._session.batch())
                continue
            self._take(self._session.batch())
            yield self.frame()
            if end is not None and time.monotonic_ns() >= end:
                return
            due = max(due + round(interval * 1e9), time.monotonic_ns())

    def frame(self) -> Frame:
        """Return the frame of the last tick; after leaving the context, the final frame."""
        return analyse(self.meta, self._state.snapshot())

    def report(self, form: str = "text") -> str:
        """Return the report on the time traced so far; for forms see :meth:`Recording.report`."""
        return render(self.frame(), form, self._history.view())

    def _take(self, batch: Batch) -> None:
        self._state.apply(batch)
        self._history.apply(batch)
        if self._sink is not None:
            self._sink.take(batch)

    def __enter__(self) -> Self:
        if self._meta is not None:
            raise UsageError("a recorder can be used only once", hint="create another one")
        if self.path is not None and self.path.exists() and not self._overwrite:
            raise SockscopeError(f"{self.path} exists", hint="choose another name, or pass overwrite=True")
        session = LiveSession(self.target, self._map_sizes, self._attach)
        try:
            self._meta = session.meta
            self._state.started_at(session.meta.started_ns)
            session.start()
            if self.path is not None:
                self._sink = RecordingSink(self.path, session.meta, self._overwrite)
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
                if self._sink is not None:
                    self._sink.__exit__(kind, error, trace)
            finally:
                session.close()


def render(frame: Frame, form: str = "text", history: HistoryView | None = None) -> str:
    """Return the report on a frame.

    :param form: ``text``, ``json``, ``markdown`` or ``html``
    :param history: time series, for the charts over time in ``html``
    :raises UsageError: when the form is unknown
    """
    if form not in dict(FORMATS):
        raise UsageError(f"unknown report format {form!r}", hint=f"formats: {', '.join(dict(FORMATS))}")
    return render_as(form, frame, history)
