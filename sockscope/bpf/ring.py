"""Read a BPF ring buffer in bulk: one structured array per drain.

Layout (kernel/bpf/ringbuf.c): page 0 of the map is the consumer's position (writable), page 1 the
producer's (read only), then the data, and then the data once more, so that no record wraps.  We map
of the second copy only what a record at the end reaches into: the kernel maps every page at once
(remap_vmalloc_range), and each counts as ours.  A record is an 8-byte header (u32 length with BUSY
and DISCARD bits on top, u32 page offset) and its payload, padded to 8.  One ring holds records of
one size, so a drain is a view and a copy, two where it comes to the ring's end.

A ring buffer does not report what it refused: the probes count that in the map ``losses``.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

_BUSY = np.uint32(0x8000_0000)


class Ring:
    """The consumer of a ring of fixed-size records.

    :param fd: descriptor of the BPF_MAP_TYPE_RINGBUF map
    :param pages: its size in pages (a power of two)
    :param record: dtype of a record; its size must be a multiple of 8
    """

    def __init__(self, fd: int, pages: int, record: np.dtype[Any]) -> None:
        if record.itemsize % 8:
            raise ValueError(f"records of {record.itemsize} bytes do not fill whole words")
        self._size = pages * mmap.PAGESIZE
        self._framed = np.dtype([("length", "<u4"), ("page", "<u4"), ("payload", (np.void, record.itemsize))])
        self._record = record
        self._consumer_map = mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        beyond = -(-self._framed.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE
        self._producer_map = mmap.mmap(
            fd,
            mmap.PAGESIZE + self._size + min(beyond, self._size),
            mmap.MAP_SHARED,
            mmap.PROT_READ,
            offset=mmap.PAGESIZE,
        )
        self._consumer = np.frombuffer(self._consumer_map, np.uint64, 1)
        self._producer = np.frombuffer(self._producer_map, np.uint64, 1)

    def drain(self) -> np.ndarray[Any, np.dtype[Any]]:
        """Return a copy of all complete records, oldest first, and release their space."""
        at, end = int(self._consumer[0]), int(self._producer[0])
        parts = []
        while at < end:
            begin = at % self._size
            last = -(-(self._size - begin) // self._framed.itemsize)  # with the one that reaches beyond
            count = min((end - at) // self._framed.itemsize, last)
            framed = np.frombuffer(self._producer_map, self._framed, count, offset=mmap.PAGESIZE + begin)
            busy = np.flatnonzero(framed["length"] & _BUSY)  # a writer still at work: stop before it
            if len(busy):
                framed = framed[: busy[0]]
            if not len(framed):
                break
            parts.append(framed["payload"].copy())  # as bytes: see records/structured.py
            at += len(framed) * self._framed.itemsize
            del framed
            self._consumer[0] = at
            end = int(self._producer[0])
        if not parts:
            return np.empty(0, self._record)
        return (parts[0] if len(parts) == 1 else np.concatenate(parts)).view(self._record)

    def fill(self) -> float:
        """Return the fill level, 0 to 1."""
        return (int(self._producer[0]) - int(self._consumer[0])) / self._size

    def close(self) -> None:
        """Unmap; the ring's owner closes the descriptor."""
        del self._consumer, self._producer
        self._consumer_map.close()
        self._producer_map.close()
