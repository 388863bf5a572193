"""The clock by which the probes stamp what they see."""

from __future__ import annotations

import functools
import time
from pathlib import Path

_PROC = Path("/proc/self")


def now_ns() -> int:
    """Nanoseconds of CLOCK_MONOTONIC as bpf_ktime_get_ns() gives them.

    A process in a time namespace (5.6, commit 769071ac9f20 "ns: Introduce Time
    Namespace") reads another clock than the kernel's probes, off by a constant.
    """
    return time.monotonic_ns() - offset_ns()


@functools.cache
def offset_ns(proc: Path = _PROC) -> int:
    """What the time namespace of this process adds to CLOCK_MONOTONIC; it cannot change while it runs."""
    try:
        # the file tells of the namespace that children get: ours, unless we have just unshared
        if (proc / "ns/time").readlink() != (proc / "ns/time_for_children").readlink():
            return 0
        for line in (proc / "timens_offsets").read_text().splitlines():
            name, seconds, nanoseconds = line.split()
            if name == "monotonic":
                return int(seconds) * 10**9 + int(nanoseconds)
    except (OSError, ValueError):
        pass  # no time namespaces in this kernel
    return 0
