"""Columns of long records, each taken out once."""

from __future__ import annotations

from typing import Any

import numpy as np

Records = np.ndarray[Any, np.dtype[Any]]


class ByColumn:
    """The columns of ``records`` by name, as arrays of their own.

    A look through one column of records passes over all of them, 240 bytes each; several detectors
    look at the same dozen columns, so each is taken out when it is first asked for.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._taken: dict[str, Records] = {}

    def __getitem__(self, name: str) -> Records:
        if name not in self._taken:
            self._taken[name] = np.ascontiguousarray(self._records[name])
        return self._taken[name]

    def __len__(self) -> int:
        return len(self._records)
