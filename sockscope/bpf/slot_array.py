"""Arrays of records that the probes write and the tracer maps: a tick copies only what has changed.

The index of a record is its slot. Slots are reused, so a record is valid only while it has an id; the
probes write the id last and clear it first. The map ``slots_used`` has the highest slot ever used:
nothing beyond it is read or mapped.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from sockscope.bpf.maps import Map, Records
from sockscope.records.structured import take

#: Keys per bucket of one cache line (BUCKET_KEYS).
_KEYS_A_BUCKET = 5
_CROWD = 1024


def bucket_count(places: int) -> int:
    """Return the number of buckets for so many slots: three per eight slots, and even.

    With all slots in use, 53 % of the keys are: then 5.4 % of the buckets have more keys than they
    hold (5.3 % for buckets of four keys that are half full).
    """
    return 2 * -(-3 * places // 16)


def overflow_capacity(places: int) -> int:
    """Return the capacity for keys whose two buckets are both full.

    With all slots in use one key in 150 by chance, one in 50 for the worst of 864 memory layouts of
    sockets; one in 40 after many keys have come and gone, because a key that overflowed stays there.
    """
    return places // 16 + _CROWD


class SlotArray:
    """The records of one array map with BPF_F_MMAPABLE (5.5, commit fc9702273e2e).

    :param fd: its descriptor
    :param record: dtype of a record, with ``id`` and ``touched_ns``; a multiple of 8 bytes
    :param room: number of slots
    :param used: the map with the number of slots ever used, and the index in it
    """

    def __init__(self, fd: int, record: np.dtype[Any], room: int, used: tuple[Map, int]) -> None:
        if record.itemsize % 8:
            raise ValueError(f"records of {record.itemsize} bytes do not fill whole words")
        self._fd, self._record, self._room = fd, record, room
        self._used = used
        self._map: mmap.mmap | None = None
        self._view: Records = np.empty(0, record)

    def used(self) -> int:
        """Return the number of slots ever used."""
        counts, index = self._used
        held = counts.get(index)
        return min(int(held), self._room) if held is not None else 0

    def changed(self, since_ns: int) -> Records:
        """Return copies of the records modified since then (0: of all), in the order of slots.

        A record that is being created or removed may be missing; the next call or the ring has it.
        """
        view = self._seen(self.used())
        ids = view["id"].copy()
        wanted = ids > 0
        if since_ns > 0:
            wanted &= view["touched_ns"] >= since_ns
        where = np.flatnonzero(wanted)
        rows = view.take(where)
        # a slot that was reused while it was read
        steady = (rows["id"] == ids[where]) & (view["id"][where] == ids[where])
        return rows if steady.all() else take(rows, steady)

    def of(self, ids: Any) -> Records:
        """Return copies of the records with these ids that still exist, in the order of slots."""
        view = self._seen(self.used())
        rows = take(view, np.isin(view["id"], ids))
        return take(rows, np.isin(rows["id"], ids))

    def has_untouched_since(self, since_ns: int) -> bool:
        """Return whether a record was not modified since then."""
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
            # in steps of doubled size, so that remapping is rare
            count = min(self._room, max(64, 1 << (count - 1).bit_length()))
            self.close()
            size = -(-count * self._record.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE
            self._map = mmap.mmap(self._fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
            self._view = np.frombuffer(self._map, self._record, count)
        return self._view
