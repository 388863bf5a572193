"""Hash maps whose keys are pairs of ids: return changed elements and remove finished ones.

The elements have no modification time: changes are found by comparison with the previous read.
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
    """Read the maps ``io_overflow``, ``wakes`` and ``waiting``: at each tick the rows that changed.

    :param room_for_wakes: maximum entries of ``wakes``
    """

    def __init__(self, maps: Mapping[str, Map], room_for_wakes: int) -> None:
        self._maps, self._room_for_wakes = maps, room_for_wakes
        self._previous = {name: _Previous() for name in ("io_overflow", "wakes", "waiting", "accept_errors")}
        self._ticks = 0

    def reset(self) -> None:
        """Return all rows at the next read, changed or not."""
        for previous in self._previous.values():
            previous.reset()

    def io_overflow(self, closed: Records) -> Records:
        """Return changed IO_OVERFLOW rows; those of ``closed`` connections are removed."""
        held = self._maps["io_overflow"]
        found = rows(held, IO_OVERFLOW)
        forget(held, found, np.isin(found["connection"], closed["id"]))
        return self._previous["io_overflow"].changed(found, "connection", "worker")

    def wakes(self, ended: Records) -> Records:
        """Return changed WAKE rows; those of ``ended`` workers are removed.

        Threads without socket I/O end without a record: they are searched for when the map fills up.
        """
        held = self._maps["wakes"]
        found = rows(held, WAKE)
        over = np.isin(found["waker"], ended["id"]) | np.isin(found["wakee"], ended["tid"])
        self._ticks += 1
        if len(found) > self._room_for_wakes // 2 and self._ticks % _LOOK_TICKS == 0:
            over |= [not Path(f"/proc/{tid}").exists() for tid in found["wakee"].tolist()]
        forget(held, found, over)
        return self._previous["wakes"].changed(found, "waker", "wakee")

    def waiting(self, ended: Records, shut: Records) -> Records:
        """Return changed WAITING rows; those of ``ended`` workers and ``shut`` listeners are removed."""
        held = self._maps["waiting"]
        found = rows(held, WAITING)
        forget(held, found, np.isin(found["worker"], ended["id"]) | np.isin(found["listener"], shut["id"]))
        return self._previous["waiting"].changed(found, "listener", "worker")

    def accept_errors(self, ended: Records, shut: Records) -> Records:
        """Return changed ACCEPT_ERRORS rows; those of ``ended`` workers and ``shut`` listeners are removed."""
        held = self._maps["accept_errors"]
        found = rows(held, ACCEPT_ERRORS)
        forget(held, found, np.isin(found["worker"], ended["id"]) | np.isin(found["listener"], shut["id"]))
        return self._previous["accept_errors"].changed(found, "listener", "worker", "error")


class _Previous:
    """The rows that were returned before."""

    def __init__(self) -> None:
        self._keys: Any = np.empty(0, np.uint64)
        self._rows: Records | None = None

    def reset(self) -> None:
        self._rows = None

    def changed(self, found: Records, one: str, other: str, error: str = "") -> Records:
        """Return the rows of ``found`` that differ from the previous read.

        :param one: and ``other``: names of the two ids of a pair, below 2 ** 32
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
    """Return all elements as rows of ``record``, whose fields are those of key and value."""
    keys, values = held.read_all()
    found = np.empty(len(keys), record)
    in_key = set(held.key.names or ())
    for name in record.names or ():
        found[name] = keys[name] if name in in_key else values[name]
    return found


def forget(held: Map, found: Records, over: Any) -> None:
    """Remove the elements of the rows for which ``over`` holds: they will not change any more."""
    names = [name for name in held.key.names or () if name in (found.dtype.names or ())]
    for row in found[over]:
        key = np.zeros(1, held.key)
        for name in names:
            key[name] = row[name]
        held.remove(key[0])
