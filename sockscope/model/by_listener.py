"""Where each listener's rows stand: of ten thousand servers each asks for its own."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

Records = np.ndarray[Any, np.dtype[Any]]
_ALL = slice(None)


class ByListener:
    """
    :param listeners: of each row, the id of its listener
    """

    def __init__(self, listeners: Records) -> None:
        self._count = len(listeners)
        self._order: Records | None = None
        self._spans: dict[int, tuple[int, int]] = {}
        if not self._count:
            return
        lowest, highest = int(listeners.min()), int(listeners.max())
        if lowest == highest:  # most hosts' servers are traced one by one
            self._spans[lowest] = (0, self._count)
            return
        # numbers of 16 bits are sorted by counting
        keys = listeners.astype(np.uint16) if highest < 1 << 16 else listeners
        self._order = np.argsort(keys, kind="stable")
        numbers, begins = np.unique(listeners[self._order], return_index=True)
        self._spans = dict(zip(numbers.tolist(), pairwise([*begins.tolist(), self._count]), strict=True))

    def rows(self, numbers: Iterable[int]) -> Records | slice:
        """The places of these listeners' rows, upwards; a slice of all where all rows are theirs.

        :param numbers: ids, each once
        """
        spans = [self._spans[number] for number in numbers if number in self._spans]
        if sum(end - begin for begin, end in spans) == self._count:
            return _ALL
        if not spans or self._order is None:
            return np.empty(0, np.intp)
        parts = [self._order[begin:end] for begin, end in spans]
        return parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts))
