"""The clock of the timestamps that the probes take."""

from __future__ import annotations

import functools
import time
from pathlib import Path

_PROC = Path("/proc/self")


def now_ns() -> int:
    """Return CLOCK_MONOTONIC in ns, as bpf_ktime_get_ns() does.

    A process in a time namespace (5.6, commit 769071ac9f20 "ns: Introduce Time
    Namespace") reads a clock with a constant offset to the one of the probes.
    """
    return time.monotonic_ns() - offset_ns()


@functools.cache
def offset_ns(proc: Path = _PROC) -> int:
    """Return the ns that the time namespace of this process adds to CLOCK_MONOTONIC; constant while it runs."""
    try:
        # the file describes the namespace of children: our own, unless this process has called unshare()
        if (proc / "ns/time").readlink() != (proc / "ns/time_for_children").readlink():
            return 0
        for line in (proc / "timens_offsets").read_text().splitlines():
            name, seconds, nanoseconds = line.split()
            if name == "monotonic":
                return int(seconds) * 10**9 + int(nanoseconds)
    except (OSError, ValueError):
        pass  # no time namespaces in this kernel
    return 0
