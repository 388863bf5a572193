"""What taking events from the kernel costs user space: a ring that the kernel fills, drained in bulk.

The events come from a program that is run on demand, a thousand a run, so that nothing else is measured: no
server, no probes.  What a recording then does with them is in docs/recording.md.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import Any

import numpy as np

from sockscope.bpf import syscall
from sockscope.bpf.ring import Ring
from sockscope.records import layout
from sockscope.tracer.map_defs import MapSizes

_RINGBUF = 27  # enum bpf_map_type
_OUTPUT = 130  # bpf_ringbuf_output
_NO_WAKEUP = 1
_A_RUN = 1000


def decoded(events: int, record: np.dtype[Any] = layout.EVENT) -> dict[str, Any]:
    """How many events there were, how many were taken from the ring and in order, and the CPU time for that."""
    pages = MapSizes().events_pages
    ring_fd = syscall.create_map("events", _RINGBUF, 0, 0, pages * mmap.PAGESIZE, 0)
    program = syscall.load_program("fill", "raw", _filling(ring_fd, record.itemsize))
    ring = Ring(ring_fd, pages, record)
    taken, sound, spent, lost = 0, True, 0.0, 0
    try:
        for first in range(0, events, _A_RUN):
            lost += syscall.run_program(program, first)
            if ring.fill() < 0.5 and first + _A_RUN < events:
                continue
            before = time.process_time()
            drained = ring.drain()
            spent += time.process_time() - before
            sound &= bool((drained["time_ns"] == np.arange(taken, taken + len(drained))).all())
            taken += len(drained)
    finally:
        ring.close()
        os.close(program)
        os.close(ring_fd)
    return {
        "events": events,
        "taken": taken,
        "lost": lost,
        "in_order": sound,
        "ns_an_event": 1e9 * spent / taken,
    }


def _filling(ring: int, size: int) -> bytes:
    """A program: for (i = 0; i < 1000; i++) put an event into the ring whose first field is args[0] + i.

    It returns how many had no room.
    """
    words = size // 8

    def code(operation: int, to: int, source: int, offset: int = 0, value: int = 0) -> bytes:
        return struct.pack("<BBhi", operation, source << 4 | to, offset, value)

    begin = [
        code(0x79, 6, 1),  # r6 = args[0]
        code(0xB7, 7, 0),  # r7 = 0: i
        code(0xB7, 8, 0),  # r8 = 0: how many had no room
        *(code(0x7A, 10, 0, -8 * word) for word in range(1, words + 1)),  # zeros on the stack
    ]
    loop = [
        code(0x7B, 10, 6, -size),  # the event's time
        code(0x18, 1, 1, 0, ring) + code(0, 0, 0),  # r1 = the ring
        code(0xBF, 2, 10),
        code(0x07, 2, 0, 0, -size),  # r2 = the event
        code(0xB7, 3, 0, 0, size),
        code(0xB7, 4, 0, 0, _NO_WAKEUP),
        code(0x85, 0, 0, 0, _OUTPUT),
        code(0x15, 0, 0, 1),  # if r0 != 0
        code(0x07, 8, 0, 0, 1),  # r8 += 1
        code(0x07, 6, 0, 0, 1),
        code(0x07, 7, 0, 0, 1),
    ]
    back = -sum(len(part) // 8 for part in loop) - 1
    end = [code(0xA5, 7, 0, back, _A_RUN), code(0xBF, 0, 8), code(0x95, 0, 0)]
    return b"".join(begin + loop + end)
