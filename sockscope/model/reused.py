"""Large arrays in memory that was used before.

A fresh quarter of a gigabyte comes page by page from the kernel, and in a virtual machine from its host: that
takes several times as long as to fill it.  So an array that nobody looks at any more is written over.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

Records = np.ndarray[Any, np.dtype[Any]]

#: Below it memory comes from the process's own store.
_LARGE = 4 << 20
#: References to an array in the list that nobody else knows: the list's, the loop's, and that of the call.
_UNSEEN = 3


class Reused:
    """Room for one array after another.  A view holds its array, so who still looks at one keeps it as it is."""

    def __init__(self) -> None:
        self._held: list[Records] = []

    def concatenated(self, parts: Sequence[Records]) -> Records:
        """``parts``, one after another, as :func:`numpy.concatenate`; they have the same dtype."""
        size = sum(map(len, parts))
        if size * parts[0].itemsize < _LARGE:
            self._held.clear()
            return np.concatenate(parts)
        room = self._room(size, parts[0].dtype)[:size]
        np.concatenate(parts, out=room)
        return room

    def _room(self, size: int, dtype: np.dtype[Any]) -> Records:
        seen = []
        for array in self._held:
            if sys.getrefcount(array) > _UNSEEN:
                seen.append(array)
            elif size <= len(array) <= 2 * size:
                return array
        # what is too small or too large goes, and what is still looked at is not waited for in numbers
        self._held = [*seen[-1:], np.empty(size + size // 16, dtype)]
        return self._held[-1]
