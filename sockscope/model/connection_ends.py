"""How connections ended: counted by listener, so that connections that are not kept still count."""

from __future__ import annotations

from typing import Any

import numpy as np

Records = np.ndarray[Any, np.dtype[Any]]

#: How many closed connections of a listener ended in one way (``ended``: ConnectionEnd; 0: its end was not
#: seen), answered (at least one byte written) or not, or open before tracing began so that this is not known.
END_COUNT = np.dtype(
    [("listener", "<u4"), ("ended", "u1"), ("answered", "?"), ("open_before", "?"), ("count", "<u8")]
)
_KEY = ["listener", "ended", "answered", "open_before"]


def count_ends(closed: Records, open_before: int) -> Records:
    """Count ``closed`` connections; ``open_before``: the flag of those that were open before tracing began."""
    rows = np.zeros(len(closed), END_COUNT)
    rows["listener"], rows["ended"] = closed["listener"], closed["ended"]
    rows["answered"] = closed["first_write_ns"] > 0
    rows["open_before"] = (closed["flags"] & open_before) != 0
    rows["count"] = 1
    return merge_ends(rows)


def merge_ends(rows: Records) -> Records:
    """Add up the rows of one listener, end and answer."""
    if not len(rows):
        return rows
    order = np.lexsort([rows[name] for name in _KEY])
    rows = rows[order]
    fresh = np.ones(len(rows), bool)
    for number, name in enumerate(_KEY):
        changed = rows[name][1:] != rows[name][:-1]
        fresh[1:] = changed if number == 0 else fresh[1:] | changed
    starts = np.flatnonzero(fresh)
    merged = rows[starts].copy()
    merged["count"] = np.add.reduceat(rows["count"], starts)
    return merged
