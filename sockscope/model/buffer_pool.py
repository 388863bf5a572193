"""Large arrays in memory that was used before.

A fresh quarter of a gigabyte comes page by page from the kernel, and in a virtual machine from its host: that
takes several times as long as to fill it.  So an array that nobody looks at any more is written over.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from sockscope.records.structured import concat

Records = np.ndarray[Any, np.dtype[Any]]

#: Below it memory comes from the process's own store.
_LARGE = 4 << 20


def _references(held: Sequence[object], at: int) -> int:
    return sys.getrefcount(held[at])


#: To something in a list that nobody else knows: how many this Python counts differs from release to release.
_UNSEEN = _references([object()], 0)


class BufferPool:
    """Room for one array after another.  A view holds its array, so who still looks at one keeps it as it is."""

    def __init__(self) -> None:
        self._held: list[Records] = []

    def room(self, size: int, dtype: np.dtype[Any]) -> Records:
        """An array of that length or more, in which anything may stand; it is the latest until the next."""
        unseen = [at for at in range(len(self._held)) if _references(self._held, at) <= _UNSEEN]
        for at in unseen:
            if size <= len(self._held[at]) <= 2 * size:
                self._held.append(self._held.pop(at))
                return self._held[-1]
        # what is too small or too large goes, and of what is still looked at the latest is kept in sight
        seen = [array for at, array in enumerate(self._held) if at not in unseen]
        self._held = [*seen[-1:], np.empty(size + size // 16, dtype)]
        return self._held[-1]

    def clear(self) -> None:
        self._held.clear()


class ReusedArray:
    """One array after another, put together of parts."""

    def __init__(self) -> None:
        self._rooms = BufferPool()

    def concatenated(self, parts: Sequence[Records]) -> Records:
        """``parts``, one after another, as :func:`numpy.concatenate`; they have the same dtype."""
        size = sum(map(len, parts))
        if size * parts[0].itemsize < _LARGE:
            self._rooms.clear()
            return concat(parts)
        return concat(parts, self._rooms.room(size, parts[0].dtype)[:size])
