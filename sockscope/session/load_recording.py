"""A recording as reports need it: the frame at its end, and what happened when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sockscope.analysis.frame import Frame
from sockscope.model.history import History, HistoryView
from sockscope.records.batch import Batch, Records
from sockscope.session.frames import frame_of_batches
from sockscope.store import Reader
from sockscope.store.database import translated_errors
from sockscope.store.schema import Schema
from sockscope.store.tables import RecordTable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Points on a time axis; more could not be told apart on paper.
POINTS = 300

_SERIES = ("workers", "listeners", "threads", "queues")
#: Bytes of records that are read at once.
_AT_ONCE = 16_000_000


def read(path: Path) -> tuple[Frame, HistoryView]:
    """
    :raises SockscopeError: when it cannot be read
    """
    with Reader(path) as reader:
        with translated_errors(path, "read"):
            database = reader.connection()
            times = database.execute("SELECT time_ns FROM raw.ticks ORDER BY tick").fetchall()
            found = _batches(database, reader.tables, reader.schema, [int(row[0]) for row in times])
            history = history_of(found, len(times))
        meta, batches = reader.meta, [reader.final_batch()]
    # the largest by far comes last, when the database has given its memory back
    return frame_of_batches(meta, batches), history


def _batches(database: DuckDBPyConnection, tables: str, schema: Schema, times: list[int]) -> Iterator[Batch]:
    """What series are made of, tick by tick.  Connections, most of a recording, are not read again."""
    parts = [(part.field, part.table) for part in schema.parts if part.field in _SERIES]
    size = 1
    for _, table in parts:
        if isinstance(table, RecordTable):
            rows = database.execute(f"SELECT count(*) FROM {tables}.{table.name}").fetchall()[0][0]
            size += rows * table.dtype.itemsize
    step = max(_AT_ONCE * len(times) // size, 1)
    for start in range(0, len(times), step):
        end = min(start + step, len(times))
        found: dict[str, Any] = {}
        for field, table in parts:
            if isinstance(table, RecordTable):
                ticks, records = table.fetch_ticks(database, tables, start, end - 1)
                found[field] = records, np.searchsorted(ticks, np.arange(start, end + 1))
        for index in range(end - start):
            now: dict[str, Any] = {
                field: records[cuts[index] : cuts[index + 1]] for field, (records, cuts) in found.items()
            }
            yield Batch(times[start + index], **now)


def history_of(batches: Iterable[Batch], ticks: int, points: int = POINTS) -> HistoryView:
    """
    :param ticks: how many batches there are, the first included
    """
    history = History(points)
    for batch in coarser(batches, -(-(ticks - 1) // points)):
        history.apply(batch)
    return history.view()


def coarser(batches: Iterable[Batch], every: int) -> Iterator[Batch]:
    """The first batch, and then one for each ``every``: what is cumulative as it stood at the end, of
    queues the longest.  Connections are left out: no series is made of them."""
    left = iter(batches)
    yield from islice(left, 1)
    while some := list(islice(left, max(every, 1))):
        yield some[0] if len(some) == 1 else _together(some)


def _together(some: list[Batch]) -> Batch:
    return replace(
        Batch(some[-1].time_ns),
        workers=_last([batch.workers for batch in some], ("id",)),
        listeners=_last([batch.listeners for batch in some], ("id",)),
        threads=_last([batch.threads for batch in some], ("pid", "tid")),
        queues=_longest([batch.queues for batch in some]),
    )


def _last(parts: list[Records], identity: tuple[str, ...]) -> Records:
    """The last row of each thing."""
    rows = np.concatenate(parts)
    return rows[_latest(_things(rows, identity))] if len(rows) else rows


def _longest(parts: list[Records]) -> Records:
    """The last row of each queue, with the longest lengths of all its rows."""
    rows = np.concatenate(parts)
    if not len(rows):
        return rows
    things = _things(rows, ("netns", "inode"))
    last = rows[_latest(things)]
    for length in ("queue", "syn_queue"):
        longest = np.zeros(len(last), rows[length].dtype)
        np.maximum.at(longest, things, rows[length])
        last[length] = longest
    return last


def _things(rows: Records, identity: tuple[str, ...]) -> Records:
    """For each row the number of the thing that it is of."""
    keys = np.stack([rows[name].astype(np.uint64) for name in identity], axis=1)
    return np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)


def _latest(things: Records) -> Records:
    """Where the last row of each thing is."""
    latest = np.zeros(int(things.max()) + 1, np.intp)
    latest[things] = np.arange(len(things))  # of equal indexes the last counts
    return latest
