"""A recording as reports need it: the frame at its end, and what happened when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from sockscope.analysis.frame import Frame
from sockscope.model.history import History, HistoryView
from sockscope.records.batch import Batch, Records
from sockscope.session.frames import frame_of_batches
from sockscope.sources.trace import Reader

#: Points on a time axis; more could not be told apart on paper.
POINTS = 300


def read(path: Path) -> tuple[Frame, HistoryView]:
    """
    :raises SockscopeError: when it cannot be read
    """
    with Reader(path) as reader:
        frame = frame_of_batches(reader.meta, [reader.final_batch()])
        ticks = int(reader.connection().execute("SELECT count(*) FROM raw.ticks").fetchall()[0][0])
        return frame, history_of(reader.batches(), ticks)


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
