"""An array of ticks to which columns and rows are added, and whose views stay as they are."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class GrowableArray:
    """Ticks × columns × series; rows are appended and never written again."""

    def __init__(self, ticks: int, series: int) -> None:
        self._ticks, self._series = ticks, series
        self._rows = np.zeros((ticks + ticks // 2, 0, series))
        self._used = 0
        self.columns: dict[int, int] = {}

    @property
    def width(self) -> int:
        return int(self._rows.shape[1])

    def columns_of(self, ids: Iterable[int]) -> Array:
        found = np.fromiter((self.columns.setdefault(number, len(self.columns)) for number in ids), np.intp)
        if len(self.columns) > self.width:
            self._move(max(8, 2 * len(self.columns)))
        return found

    def drop(self, ids: Container[int]) -> Array:
        """Give up the columns of ``ids``; where each of those that are left was, in their new order."""
        left = {number: place for number, place in self.columns.items() if number not in ids}
        places = np.fromiter(left.values(), np.intp, len(left))
        self.columns = {number: column for column, number in enumerate(left)}
        self._move(max(8, 2 * len(left)), places)
        return places

    def append(self, row: Array) -> None:
        if self._used == len(self._rows):
            self._move(self.width)
        self._rows[self._used, : len(row)] = row
        self._used += 1

    def last(self, ticks: int) -> Array:
        seen = self._rows[max(self._used - ticks, 0) : self._used]
        seen.flags.writeable = False
        return seen

    def _move(self, width: int, places: Array | None = None) -> None:
        """To a new array, which views of the old one do not notice."""
        kept = self._rows[max(self._used - self._ticks, 0) : self._used]
        if places is not None:
            kept = kept[:, places]
        self._rows = np.zeros((self._ticks + self._ticks // 2, width, self._series))
        self._rows[: len(kept), : kept.shape[1]] = kept
        self._used = len(kept)


def next_capacity(array: Array, length: int) -> Array:
    """The same rows, and zeros behind them."""
    grown = np.zeros((length, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
