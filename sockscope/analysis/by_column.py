"""Columns of long records, each taken out once."""

from __future__ import annotations

from typing import Any

import numpy as np

from sockscope.model.connection_io import BLOCK

Records = np.ndarray[Any, np.dtype[Any]]

#: What every frame asks for: of large arrays taken out together.
_USUAL = (
    "established_ns",
    "accepted_ns",
    "first_data_ns",
    "first_read_ns",
    "ending_ns",
    "touched_ns",
    "readable_ns",
    "data_wait_max_ns",
    "listener",
    "acceptor",
    "flags",
)


class ByColumn:
    """The columns of ``records`` (CONNECTION) by name, as arrays of their own.

    A look through one column of records passes over all of them, 240 bytes each; several detectors look at
    the same dozen columns.  So these are taken out once, block by block, and others when they are asked for.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._taken: dict[str, Records] = {}

    def __getitem__(self, name: str) -> Records:
        if name not in self._taken:
            if name in _USUAL:
                self._take_usual()
            else:
                self._taken[name] = np.ascontiguousarray(self._records[name])
        return self._taken[name]

    def __len__(self) -> int:
        return len(self._records)

    def _take_usual(self) -> None:
        count = len(self._records)
        columns = [(name, np.empty(count, self._records.dtype[name])) for name in _USUAL]
        for begin in range(0, count, BLOCK):
            block = self._records[begin : begin + BLOCK]
            for name, column in columns:
                column[begin : begin + len(block)] = block[name]
        self._taken.update(columns)
