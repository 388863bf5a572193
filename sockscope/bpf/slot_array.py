"""Arrays of records that the probes write and we map: a tick copies what has changed, no more.

A record's index is its place.  A place is used again, so a record counts only while it has an id;
the probes write the id last and take it away first.  How many places were ever used is in the map
``slots_used``: nothing beyond them is looked at, nor mapped.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from sockscope.bpf.maps import Map, Records
from sockscope.records.structured import take

#: Room for keys in a bucket of one cache line (BUCKET_KEYS).
_KEYS_A_BUCKET = 5
_CROWD = 1024


def bucket_count(places: int) -> int:
    """Buckets of the directory for so many places: three for eight, and even, as they stand in pairs.

    When all places are in use, 53 of 100 keys are: one bucket in 20 then has more keys than it holds (5.4 %),
    as when half of the keys of smaller buckets were (5.3 % with four keys a bucket).
    """
    return 2 * -(-3 * places // 16)


def overflow_capacity(places: int) -> int:
    """Room for keys whose two buckets are full.

    One in 150 by chance when all places are in use, one in 50 for the worst of 864 layouts of sockets in memory;
    one in 40 when many keys, each another, have come and gone, since one that went there stays there.
    """
    return places // 16 + _CROWD


class SlotArray:
    """The records of one array map with BPF_F_MMAPABLE (5.5, commit fc9702273e2e).

    :param fd: its descriptor
    :param record: dtype of a record, with ``id`` and ``touched_ns``; a multiple of 8 bytes
    :param room: how many it holds
    :param used: the map that says how many were ever used, and the index there
    """

    def __init__(self, fd: int, record: np.dtype[Any], room: int, used: tuple[Map, int]) -> None:
        if record.itemsize % 8:
            raise ValueError(f"records of {record.itemsize} bytes do not fill whole words")
        self._fd, self._record, self._room = fd, record, room
        self._used = used
        self._map: mmap.mmap | None = None
        self._view: Records = np.empty(0, record)

    def used(self) -> int:
        """How many places were ever used."""
        counts, index = self._used
        held = counts.get(index)
        return min(int(held), self._room) if held is not None else 0

    def changed(self, since_ns: int) -> Records:
        """Copies of the records that were touched since then (0: of all), in order of place.

        One that is being made or removed at this moment may be missing; the next call has it, or
        its ring does.
        """
        view = self._seen(self.used())
        ids = view["id"].copy()
        wanted = ids > 0
        if since_ns > 0:
            wanted &= view["touched_ns"] >= since_ns
        where = np.flatnonzero(wanted)
        rows = view.take(where)
        # a place that changed hands while it was read
        steady = (rows["id"] == ids[where]) & (view["id"][where] == ids[where])
        return rows if steady.all() else take(rows, steady)

    def of(self, ids: Any) -> Records:
        """Copies of the records with these ids, as far as they are still there, in order of place."""
        view = self._seen(self.used())
        rows = take(view, np.isin(view["id"], ids))
        return take(rows, np.isin(rows["id"], ids))

    def has_untouched_since(self, since_ns: int) -> bool:
        """Whether a record was not touched since then."""
        view = self._seen(self.used())
        return bool(((view["id"] > 0) & (view["touched_ns"] < since_ns)).any())

    def close(self) -> None:
        """Unmap; the map's owner closes the descriptor."""
        self._view = np.empty(0, self._record)
        if self._map is not None:
            self._map.close()
            self._map = None

    def _seen(self, count: int) -> Records:
        if count > len(self._view):
            # in steps of doubled size, so that it is mapped anew only now and then
            count = min(self._room, max(64, 1 << (count - 1).bit_length()))
            self.close()
            size = -(-count * self._record.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE
            self._map = mmap.mmap(self._fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
            self._view = np.frombuffer(self._map, self._record, count)
        return self._view
