"""Hash maps whose keys are pairs of ids: what changed in them, and away with the pairs that are over.

Such a map has no time of the last change in it: what changed is told by comparing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sockscope.bpf.maps import Map, Records
from sockscope.records.batch import ACCEPT_ERRORS, IO_OVERFLOW, WAITING, WAKE

#: How often to look for threads that are gone when there is little room left.
_LOOK_TICKS = 10


class DeltaMaps:
    """The maps ``io_overflow``, ``wakes`` and ``waiting``: for each tick the rows that changed.

    :param room_for_wakes: how many pairs there may be
    """

    def __init__(self, maps: Mapping[str, Map], room_for_wakes: int) -> None:
        self._maps, self._room_for_wakes = maps, room_for_wakes
        self._told = {name: _Previous() for name in ("io_overflow", "wakes", "waiting", "accept_errors")}
        self._ticks = 0

    def anew(self) -> None:
        """Tell everything with the next batch, changed or not."""
        for told in self._told.values():
            told.anew()

    def io_overflow(self, closed: Records) -> Records:
        """IO_OVERFLOW rows.  Those of ``closed`` connections are over."""
        held = self._maps["io_overflow"]
        found = rows(held, IO_OVERFLOW)
        forget(held, found, np.isin(found["connection"], closed["id"]))
        return self._told["io_overflow"].changed(found, "connection", "worker")

    def wakes(self, ended: Records) -> Records:
        """WAKE rows.  Those of workers that have ``ended`` are over, and those of any thread that is gone:
        one that touches no socket ends without a record, and is looked for when there is little room."""
        held = self._maps["wakes"]
        found = rows(held, WAKE)
        over = np.isin(found["waker"], ended["id"]) | np.isin(found["wakee"], ended["tid"])
        self._ticks += 1
        if len(found) > self._room_for_wakes // 2 and self._ticks % _LOOK_TICKS == 0:
            over |= [not Path(f"/proc/{tid}").exists() for tid in found["wakee"].tolist()]
        forget(held, found, over)
        return self._told["wakes"].changed(found, "waker", "wakee")

    def waiting(self, ended: Records, shut: Records) -> Records:
        """WAITING rows.  Those of workers that have ``ended`` and of listeners that were ``shut`` are over."""
        held = self._maps["waiting"]
        found = rows(held, WAITING)
        forget(held, found, np.isin(found["worker"], ended["id"]) | np.isin(found["listener"], shut["id"]))
        return self._told["waiting"].changed(found, "listener", "worker")

    def accept_errors(self, ended: Records, shut: Records) -> Records:
        """ACCEPT_ERRORS rows.  Those of workers that have ``ended`` and of listeners that were ``shut`` are over."""
        held = self._maps["accept_errors"]
        found = rows(held, ACCEPT_ERRORS)
        forget(held, found, np.isin(found["worker"], ended["id"]) | np.isin(found["listener"], shut["id"]))
        return self._told["accept_errors"].changed(found, "listener", "worker", "error")


class _Previous:
    """What was told before."""

    def __init__(self) -> None:
        self._keys: Any = np.empty(0, np.uint64)
        self._rows: Records | None = None

    def anew(self) -> None:
        self._rows = None

    def changed(self, found: Records, one: str, other: str, error: str = "") -> Records:
        """Those of ``found``, all that there are now, that were not told as they are.

        :param one: and ``other``: names of the two numbers of a pair, below 2 ** 32
        :param error: a third one that belongs to the identity: an errno, below 2 ** 10
        """
        keys = found[one].astype(np.uint64) << np.uint64(32) | found[other].astype(np.uint64)
        if error:
            keys = keys << np.uint64(10) | found[error].astype(np.uint64)
        order = np.argsort(keys)
        keys, found = keys[order], found[order]
        before, fresh = self._rows, np.ones(len(found), bool)
        if before is not None and len(before):
            at = np.minimum(np.searchsorted(self._keys, keys), len(before) - 1)
            fresh = before[at] != found
        self._keys, self._rows = keys, found
        return found[fresh]


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
