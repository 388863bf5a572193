"""Records copied as bytes.

numpy copies structured arrays field by field: a million connections take 0.17 s, their bytes 0.013.  So does an
index of places (``records[where]``), but not :meth:`numpy.ndarray.take`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Records = np.ndarray[Any, np.dtype[Any]]


def as_void(records: Records) -> Records:
    """The same memory, but each record one piece."""
    return records.view(np.dtype((np.void, records.dtype.itemsize)))


def concat(parts: Sequence[Records], out: Records | None = None) -> Records:
    """One after another, as :func:`numpy.concatenate`; they have the same dtype.

    :param out: where to, of just that length; else new memory
    """
    kind = parts[0].dtype
    if out is None:
        out = np.empty(sum(map(len, parts)), kind)
    np.concatenate([as_void(part) for part in parts], out=as_void(out))
    return out


def take(records: Records, mask: Any) -> Records:
    """A copy of those for which ``mask`` holds."""
    return records.take(np.flatnonzero(mask))
