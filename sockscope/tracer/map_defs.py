"""What the probes keep in the kernel: maps, arrays of records and rings, and the room for each."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np

from sockscope.bpf.slot_array import bucket_count, overflow_capacity
from sockscope.records import layout

_U8, _U16, _U32, _U64 = (np.dtype(f"<u{size}") for size in (1, 2, 4, 8))
_NOTHING = np.dtype([])

#: Map → (key, value) for :class:`Map`; a queue has no keys.
MAPS: dict[str, tuple[np.dtype[Any], np.dtype[Any]]] = {
    "listeners": (_U64, layout.LISTENER),
    "more_io": (layout.IO_KEY, layout.IO),
    "wakes": (layout.WAKE_KEY, layout.WAKE_COUNT),
    "waiting": (layout.WAITING_KEY, layout.WAITING_COUNT),
    "servers": (_U32, _U8),
    "target_pids": (_U32, _U8),
    "target_ports": (_U16, _U8),
    "seeds": (_U64, _U8),
    "seed_ports": (_U64, _U8),
    "target": (_U32, layout.TARGET),
    "serials": (_U32, _U64),
    "losses": (_U32, _U64),
    "rescued": (_U32, _U64),
    "fresh_places": (_U32, _U64),
    "bucket_count": (_U32, _U32),
    "crowded": (_U64, _U32),
    "gone": (_NOTHING, _U64),
}
#: Array of records → its index in ``fresh_places`` (``enum kept``), and the record.
SLOT_ARRAYS: dict[str, tuple[int, np.dtype[Any]]] = {
    "connections": (0, layout.CONNECTION),
    "workers": (1, layout.WORKER),
}
#: Maps that only the probes themselves use.
PRIVATE = (
    "births",
    "blank_worker",
    "buckets",
    "calls",
    "free_connections",
    "free_workers",
    "listener_keys",
    "look_under_way",
    "told",
    "unrecorded",
)
#: Rings, and the record that each carries.
RINGS = {"closed": layout.CONNECTION, "ended": layout.WORKER, "shut": layout.LISTENER}
#: The ring that is there only with ``detail``.
EVENTS = "events"


@dataclass(frozen=True)
class MapSizes:
    """Room in the kernel, in elements; rings in pages of 4 KiB (powers of two).

    What does not fit is counted, never silently dropped.
    """

    connections: int = 65536
    listeners: int = 4096
    workers: int = 8192
    processes: int = 4096
    more_io: int = 65536
    wakes: int = 16384
    waiting: int = 16384
    closed_pages: int = 4096
    ended_pages: int = 2048
    shut_pages: int = 16
    events_pages: int = 16384

    def room(self) -> dict[str, int]:
        """Map → elements, or bytes of a ring."""
        places = self.connections + self.workers
        return {
            "connections": self.connections,
            "free_connections": self.connections,
            "free_workers": self.workers,
            "buckets": bucket_count(places),
            "crowded": overflow_capacity(places),
            "listeners": self.listeners,
            "listener_keys": self.listeners,
            "seeds": self.listeners,
            "seed_ports": self.listeners,
            "workers": self.workers,
            "calls": 2 * self.workers,
            "servers": self.processes,
            "target_pids": self.processes,
            "more_io": self.more_io,
            "wakes": self.wakes,
            "waiting": self.waiting,
            "closed": self.closed_pages * mmap.PAGESIZE,
            "ended": self.ended_pages * mmap.PAGESIZE,
            "shut": self.shut_pages * mmap.PAGESIZE,
            "events": self.events_pages * mmap.PAGESIZE,
        }
