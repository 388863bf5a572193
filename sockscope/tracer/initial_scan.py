"""Fill the maps with what existed before tracing started.

The probes are attached first, so whatever happens meanwhile is seen by them; the kernel itself
puts the records into the maps, so a socket that closes in between leaves nothing behind.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from sockscope.records import layout
from sockscope.tracer.bpf_object import BpfObject
from sockscope.tracer.target_filter import TargetFilter

_LISTEN = 10
_FOLLOWED = (6, 262)  # IPPROTO_TCP, IPPROTO_MPTCP
_NOTHING = np.dtype("u1")
Holdings = np.ndarray[Any, np.dtype[Any]]


def scan_existing(program: BpfObject, scope: TargetFilter, left_out: Counter[layout.Loss]) -> Holdings:
    """Scan the listeners of the target, the threads of their owners, and their connections.

    :param left_out: counts what has no room
    :returns: one :data:`layout.SOCKET_OWNER` for each descriptor of each listener learnt
    """
    found = program.iterate("task_file", layout.SOCKET_OWNER)
    wanted = _wanted(found, scope)
    for holding in wanted[np.unique(wanted["socket"], return_index=True)[1]]:
        place = int(holding["netns"]) << 32 | int(holding["port"])
        if not program.maps["initial_ports"].add(place, 1) or not program.maps["initial_listeners"].add(
            int(holding["socket"]), 1
        ):
            left_out[layout.Loss.LISTENERS_FULL] += 1
    if not len(wanted):
        return wanted
    program.iterate("task_file", layout.SOCKET_OWNER)  # the listeners
    held = program.iterate("task_file", layout.SOCKET_OWNER)  # their connections, the ports known now
    program.iterate("tcp", _NOTHING)
    held = held[held["listener"] > 0]
    adopt(program, {int(pid) for pid in held["pid"]}, left_out)
    return held


def find_owners(program: BpfObject) -> Holdings:
    """Return the owners of the traced listeners; new owners become servers."""
    found = program.iterate("task_file", layout.SOCKET_OWNER)
    return found[found["listener"] > 0]


def adopt(program: BpfObject, pids: set[int], left_out: Counter[layout.Loss]) -> None:
    """Create workers for all threads of processes that own a traced listener."""
    for pid in pids:
        if not program.maps["servers"].add(pid, 1):
            left_out[layout.Loss.PROCESSES_FULL] += 1
    program.iterate("task", _NOTHING)


def _wanted(found: Holdings, scope: TargetFilter) -> Holdings:
    keep = (found["state"] == _LISTEN) & np.isin(found["protocol"], _FOLLOWED) & (found["socket"] > 0)
    if scope.ports:
        keep &= np.isin(found["port"], list(scope.ports))
    if scope.netns:
        keep &= found["netns"] == scope.netns
    belongs = {int(pid): scope.holds(int(pid)) for pid in np.unique(found["pid"][keep])}
    inodes = {int(row["inode"]) for row in found[keep] if belongs[int(row["pid"])]}
    chosen: Holdings = found[keep & np.isin(found["inode"], list(inodes))]
    return chosen
