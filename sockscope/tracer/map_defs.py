"""The maps, slot arrays and rings of the probes, with their sizes."""

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
    "io_overflow": (layout.IO_KEY, layout.IO),
    "wakes": (layout.WAKE_KEY, layout.WAKE_COUNT),
    "accept_errors": (layout.ACCEPT_ERROR_KEY, layout.ACCEPT_ERROR),
    "waiting": (layout.WAITING_KEY, layout.WAITING_COUNT),
    "servers": (_U32, _U8),
    "target_pids": (_U32, _U8),
    "target_ports": (_U16, _U8),
    "initial_listeners": (_U64, _U8),
    "initial_ports": (_U64, _U8),
    "target": (_U32, layout.TARGET),
    "last_ids": (_U32, _U64),
    "losses": (_U32, _U64),
    "rescued": (_U32, _U64),
    "slots_used": (_U32, _U64),
    "bucket_count": (_U32, _U32),
    "slot_overflow": (_U64, _U32),
    "reap_queue": (_NOTHING, _U64),
}
#: Array of records → its index in ``slots_used`` (``enum slot_kind``), and the record.
SLOT_ARRAYS: dict[str, tuple[int, np.dtype[Any]]] = {
    "connections": (0, layout.CONNECTION),
    "workers": (1, layout.WORKER),
}
#: Maps that only the probes themselves use.
PRIVATE = (
    "births",
    "zero_worker",
    "buckets",
    "calls",
    "free_connections",
    "free_workers",
    "listener_keys",
    "mptcp_traced",
    "sample_scratch",
    "dispatch_states",
    "unrecorded",
)
#: Rings, and the record that each carries.
RINGS = {
    "closed_connections": layout.CONNECTION,
    "exited_threads": layout.WORKER,
    "closed_listeners": layout.LISTENER,
}
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
    io_overflow: int = 65536
    wakes: int = 16384
    waiting: int = 16384
    accept_errors: int = 16384
    closed_pages: int = 4096
    exited_pages: int = 2048
    listener_pages: int = 16
    events_pages: int = 16384

    def room(self) -> dict[str, int]:
        """Map → elements, or bytes of a ring."""
        places = self.connections + self.workers
        return {
            "connections": self.connections,
            "free_connections": self.connections,
            "free_workers": self.workers,
            "buckets": bucket_count(places),
            "slot_overflow": overflow_capacity(places),
            "listeners": self.listeners,
            "listener_keys": self.listeners,
            "initial_listeners": self.listeners,
            "initial_ports": self.listeners,
            "workers": self.workers,
            "calls": 2 * self.workers,
            "servers": self.processes,
            "target_pids": self.processes,
            "io_overflow": self.io_overflow,
            "wakes": self.wakes,
            "waiting": self.waiting,
            "accept_errors": self.accept_errors,
            "closed_connections": self.closed_pages * mmap.PAGESIZE,
            "exited_threads": self.exited_pages * mmap.PAGESIZE,
            "closed_listeners": self.listener_pages * mmap.PAGESIZE,
            "events": self.events_pages * mmap.PAGESIZE,
        }
