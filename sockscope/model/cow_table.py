"""Rows that are shown, and change afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np

from sockscope.model.buffer_pool import BufferPool
from sockscope.records.structured import as_void

Records = np.ndarray[Any, np.dtype[Any]]


class CowTable:
    """A table in one piece with what is shown before it, and whose viewers keep what they saw.

    Once shown, the memory in which the rows lie is left as it is: the next change goes to a copy, where earlier
    ones were, if nobody looks at those any more.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._rooms = BufferPool()
        self._room = self.all = np.empty(0, dtype)
        self._in_front = 0  # rows for which there is room before the first
        self._shown = False

    def set(self, rows: Records) -> None:
        """These and no others, which nobody else changes."""
        self._adopt_buffer(rows, rows, 0)

    def write(self, where: Records, rows: Records) -> None:
        """Other rows at these places."""
        if len(where):
            self._detach_shown()
            as_void(self.all)[where] = as_void(rows)

    def select(self, where: Records, further: Records) -> None:
        """Only the rows at these places, in ascending order, and ``further`` ones behind them."""
        room, rows = self._elsewhere(self._in_front, len(where) + len(further))
        np.take(self.all, where, out=rows[: len(where)], mode="clip")
        as_void(rows)[len(where) :] = as_void(further)
        self._adopt_buffer(room, rows, self._in_front)

    def after(self, others: Records) -> Records:
        """``others`` and then these, in one piece, which nobody may change."""
        count = len(others)
        if count > self._in_front:
            self._copy(count + count // 4)
        else:
            self._detach_shown()
        begin = self._in_front - count
        as_void(self._room)[begin : self._in_front] = as_void(others)
        self._shown = True
        return self._room[begin : self._in_front + len(self.all)]

    def _detach_shown(self) -> None:
        if self._shown:
            self._copy(self._in_front)

    def _copy(self, in_front: int) -> None:
        room, rows = self._elsewhere(in_front, len(self.all))
        as_void(rows)[:] = as_void(self.all)
        self._adopt_buffer(room, rows, in_front)

    def _elsewhere(self, in_front: int, size: int) -> tuple[Records, Records]:
        room = self._rooms.room(in_front + size, self.all.dtype)
        return room, room[in_front : in_front + size]

    def _adopt_buffer(self, room: Records, rows: Records, in_front: int) -> None:
        self._room, self.all, self._in_front, self._shown = room, rows, in_front, False
