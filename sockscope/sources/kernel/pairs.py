"""Hash maps whose keys are pairs of ids: rows of a batch, and away with the pairs that are over."""

from __future__ import annotations

from typing import Any

import numpy as np

from sockscope.sources.kernel.maps import Map, Records


def rows(held: Map, record: np.dtype[Any]) -> Records:
    """Every element as a row of ``record``, whose fields are named as those of the key or the value."""
    keys, values = held.read_all()
    found = np.empty(len(keys), record)
    in_key = set(held.key.names or ())
    for name in record.names or ():
        found[name] = keys[name] if name in in_key else values[name]
    return found


def forget(held: Map, found: Records, over: Any) -> None:
    """Remove the elements of the rows for which ``over`` holds: nothing will be added to them."""
    names = [name for name in held.key.names or () if name in (found.dtype.names or ())]
    for row in found[over]:
        key = np.zeros(1, held.key)
        for name in names:
            key[name] = row[name]
        held.remove(key[0])
