"""Connections that wait in the queue of a listener from which nothing is accepted."""

from __future__ import annotations

import numpy as np

from sockscope.analysis.findings._connection_waits import Waits
from sockscope.analysis.findings._context import ServerContext
from sockscope.model.snapshot import Listener


def stuck_waits(context: ServerContext, listener: Listener) -> Waits | None:
    """Return the waits of a listener's queued connections, if one of them hangs and none was accepted meanwhile."""
    mine = context.queue_waits_by_listener.get(listener.id)
    if mine is None:
        return None
    waiting = mine.of(~mine.over)
    if not len(waiting) or float(waiting.ns.max()) < context.thresholds.hang_ns:
        return None
    oldest = int(context.snapshot.time_ns - waiting.ns.max())
    rows = context.columns
    later = (rows["listener"] == listener.id) & (rows["accepted_ns"] > oldest)
    return None if np.any(later) else waiting


def describe_owners(context: ServerContext, listener: Listener) -> str:
    """Return the processes that hold a listener, with name, parent and descriptor."""
    names = []
    for held in listener.owners[:8]:
        process = context.snapshot.processes.get(held.pid)
        known = f"{process.comm}, parent {process.parent_pid}, " if process else ""
        names.append(f"process {held.pid} ({known}descriptor {held.descriptors[0]})")
    more = len(listener.owners) - len(names)
    return (", ".join(names) or "no process that could be seen") + (f" and {more} more" if more > 0 else "")
