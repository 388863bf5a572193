"""List the signals that each metric needs; a metric without them is shown as "not traced", not as 0.

A signal is missing if the kernel offers no attach method for it, or if it was disabled to reduce overhead.
Findings declare their own needs.
"""

from __future__ import annotations

from collections.abc import Mapping

from sockscope.model.snapshot import Snapshot
from sockscope.records.batch import Meta

NOT_TRACED = "not traced"

#: Figure (a worker's field, a kind of shared work, a wait, a column) → the signals that it comes from,
#: beside those without which nothing is traced.
NEEDS: Mapping[str, frozenset[str]] = {
    name: frozenset(signals.split())
    for name, signals in {
        "readers": "read",
        "reads": "read",
        "bytes_read": "read",
        "reads_eagain": "read",
        "eof_reads": "read",
        "open connections": "read",
        "CPU time": "read",
        "writers": "write",
        "writes": "write",
        "bytes_written": "write",
        "bytes": "read write",
        "answer": "read write",
        "data_wait": "read data-ready",
        "waits": "wait",
        "wakeups": "wait",
        "wait_ns": "wait",
        "busy_ns": "wait",
        "stall": "wait",
        "stall_max_ns": "wait",
        "busy time": "wait read",
        # woken without a successful operation: all kinds of operations must be traced
        "wakeups_spurious": "wait read write",
        # a worker's turns are separated by its waits and by operations that returned EAGAIN
        "deferred_replies": "wait read write",
        "wakes": "wake read",
        # the dashboard's words
        "reader": "read",
        "handed": "read",
        "in": "read",
        "out": "write",
        "writer": "write",
        "answers": "write",
        "data": "read data-ready",
        "busy": "wait",
        "wasted": "wait read write",
        # whether the reader's requests are done by others
        "requests handed": "wait wake read write",
    }.items()
}


def untraced(meta: Meta) -> frozenset[str]:
    """The signals that were not traced."""
    return frozenset(signal.name for signal in meta.signals if not signal.method)


def missing(snapshot: Snapshot, what: str) -> frozenset[str]:
    """Of the signals that a figure needs those that were not traced; empty: it is known."""
    return NEEDS.get(what, frozenset()) & snapshot.untraced


def is_traced(snapshot: Snapshot, *what: str) -> bool:
    """Whether all these figures are known."""
    return not any(missing(snapshot, one) for one in what)
