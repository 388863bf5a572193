"""Deeds added up by listener and thread: the same sums by counting as by putting in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sockscope.model.connection_io import (
    CONNECTION_IO,
    LISTENER_IO,
    get_connection_io,
    merge_listener_io,
    sum_by_listener,
)
from sockscope.records.layout import CONNECTION


def _connections(count: int, *, listeners: int, workers: int, largest: int) -> Any:
    chance = np.random.default_rng(count)
    rows = np.zeros(count, CONNECTION)
    rows["id"] = np.arange(1, count + 1)
    rows["listener"] = chance.integers(0, listeners, count, endpoint=True)
    for slot in (0, 1):
        rows["io"]["worker"][:, slot] = chance.integers(0, workers, count, endpoint=True)
        for name in ("reads", "bytes_read", "writes", "bytes_written"):
            rows["io"][name][:, slot] = chance.integers(0, largest, count)
    return rows


def _one_by_one(connections: Any, connection_io: Any) -> list[tuple[int, ...]]:
    listener_of = dict(zip(connections["id"].tolist(), connections["listener"].tolist(), strict=True))
    sums: dict[tuple[int, int], list[int]] = {}
    for deed in connection_io:
        held = sums.setdefault((listener_of[int(deed["connection"])], int(deed["worker"])), [0, 0, 0, 0])
        for at, name in enumerate(("reads", "bytes_read", "writes", "bytes_written")):
            held[at] += int(deed[name])
    return [(*pair, *sums[pair]) for pair in sorted(sums)]


@pytest.mark.parametrize(
    ("listeners", "workers", "largest"),
    [(1, 1, 10), (3, 50, 1 << 40), (3, 7, 1 << 52), (4_000_000_000, 5, 100), (5, 4_000_000_000, 100)],
    ids=["few", "some", "sums beyond what a double holds", "listeners of large ids", "threads of large ids"],
)
def test_sums_are_exact_whichever_way_they_are_taken(listeners: int, workers: int, largest: int) -> None:
    connections = _connections(800, listeners=listeners, workers=workers, largest=largest)
    connection_io = get_connection_io(connections, np.empty(0, CONNECTION_IO))
    parts = sum_by_listener(connections, connection_io)
    assert parts.dtype == LISTENER_IO
    assert [tuple(map(int, row)) for row in parts] == _one_by_one(connections, connection_io)
    assert merge_listener_io(parts).tolist() == parts.tolist()


def test_of_nothing_there_are_no_parts() -> None:
    assert len(sum_by_listener(np.empty(0, CONNECTION), np.empty(0, CONNECTION_IO))) == 0
