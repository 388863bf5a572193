"""Find connections whose socket is gone, by a program in probes/reap.bpf.c."""

from __future__ import annotations

from typing import Any

import numpy as np

from sockscope.tracer.bpf_object import BpfObject

#: Of the directory at a time (BUCKETS_A_RUN).
BUCKETS_A_RUN = 4
_ID = np.dtype("<u8")
_SOCKETS = 1 << 63  # keys from there on are sockets, below it threads

Ids = np.ndarray[Any, np.dtype[np.uint64]]


def find_gone_sockets(program: BpfObject) -> Ids:
    """Return the ids of connections whose socket was freed or reused.

    :raises OSError: when the kernel does not run the program
    """
    found = []
    buckets = int(program.maps["bucket_count"].get(0) or 0)
    for first in range(0, buckets, BUCKETS_A_RUN):
        if program.run("reap", 0, first):
            found.append(program.maps["reap_queue"].pop_all())
    for key, place in zip(*program.maps["slot_overflow"].read_all(), strict=True):
        if key >= _SOCKETS and program.run("reap", int(key), int(place)):
            found.append(program.maps["reap_queue"].pop_all())
    return np.unique(np.concatenate(found)) if found else np.empty(0, _ID)
